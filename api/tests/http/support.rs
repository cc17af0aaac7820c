//! A whole ledger behind the interface, in a folder of its own: real log, real read models, real
//! process manager. Its agents are paused or retired, so no test here starts a process.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE, HOST};
use axum::http::{HeaderMap, Method, Request, StatusCode};
use execution_ledger_api::{App, Duties, KeyDigest, Options, Parts, router, serve};
use execution_ledger_domain::billing::BillingRow;
use execution_ledger_domain::policy::{Ceiling, Policy};
use execution_ledger_domain::webhook::Kind;
use execution_ledger_domain::{
    AgentName, Digest, ExecutionId, NodeId, Scope, SessionId, Timestamp, WebhookId,
};
use execution_ledger_process::desk::Desk;
use execution_ledger_process::keys::Keys;
use execution_ledger_process::manager::{Manager, ManagerOptions};
use execution_ledger_process::nodes::{Station, StationOptions};
use execution_ledger_process::paid::Payments;
use execution_ledger_process::paid::selling::Selling;
use execution_ledger_process::pricing::PriceBook;
use execution_ledger_process::run_token::LedgerSecret;
use execution_ledger_process::scheduler::Schedules;
use execution_ledger_process::tasks::{SessionIndex, Tasks};
use execution_ledger_process::transcript::{TranscriptHub, Transcripts};
use execution_ledger_process::webhooks::{Allowed, Outbox, Owed, Webhooks};
use execution_ledger_projections::{Views, ViewsOptions};
use execution_ledger_replay::notary::Notary;
use execution_ledger_store::sqlite::{SqliteOptions, SqliteStore};
use execution_ledger_store::{
    Beat, EventStore, Ledger, MemoryBoard, Position, StoreError, SystemClock,
};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;
use tower::ServiceExt;

pub const KEY: &str = "elk_test";
/// No test waits longer than this for anything.
pub const PATIENCE: Duration = Duration::from_secs(20);

struct NoSessions;

#[async_trait::async_trait]
impl SessionIndex for NoSessions {
    async fn is_resumable(&self, _: &AgentName, _: &str, _: &Scope) -> Result<bool, StoreError> {
        Ok(false)
    }

    async fn untold_results(
        &self,
        _: SessionId,
        _: Position,
        _: usize,
    ) -> Result<Vec<ExecutionId>, StoreError> {
        Ok(Vec::new())
    }
}

/// What webhooks are owed stays in the read models: nothing is sent here.
struct NoOutbox;

#[async_trait::async_trait]
impl Outbox for NoOutbox {
    async fn owed(
        &self,
        _: WebhookId,
        _: Option<(Position, Kind)>,
        _: usize,
        _: Position,
    ) -> Result<Vec<Owed>, StoreError> {
        Ok(Vec::new())
    }

    async fn billing_row(&self, _: Position) -> Result<Option<BillingRow>, StoreError> {
        Ok(None)
    }
}

pub struct Server {
    pub app: App,
    pub router: Router,
    pub store: Arc<dyn EventStore>,
    pub views: Views,
    pub secret: LedgerSecret,
    pub ledger: Ledger,
    pub folder: TempDir,
    pub duties: Duties,
    _stop: watch::Sender<bool>,
}

/// A node that is none by itself: others hear of it on this board, within this lease.
pub struct AmongOthers {
    pub board: Arc<MemoryBoard>,
    pub lease_ms: u64,
}

impl AmongOthers {
    fn station(&self, me: NodeId, folder: PathBuf, ledger: &Ledger, desk: &Arc<Desk>) -> Station {
        std::fs::create_dir(&folder).expect("a folder");
        let card = Beat {
            node: me,
            name: "here".to_owned(),
            url: "http://127.0.0.1:1".to_owned(),
            version: String::new(),
            lease_ms: self.lease_ms,
            secret: Digest::of(b""),
            leaving: false,
            agents: 0,
            running: 0,
            at: Timestamp::EPOCH,
        };
        let board = Arc::clone(&self.board);
        let options = StationOptions { card, folder };
        Station::new(options, board, ledger.clone(), Arc::clone(desk)).expect("a folder")
    }
}

pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub text: String,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("no JSON: {}", self.text))
    }

    pub fn code(&self) -> String {
        self.json()["code"].as_str().unwrap_or("none").to_owned()
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// The status, the code and the field of a problem.
    pub fn problem(&self) -> (u16, String, Option<String>) {
        let json = self.json();
        assert_eq!(self.header("content-type"), Some("application/problem+json"));
        assert_eq!(json["status"], self.status.as_u16());
        let field = json["field"].as_str().map(str::to_owned);
        (self.status.as_u16(), self.code(), field)
    }
}

impl Server {
    pub async fn start() -> Self {
        Self::with(Options::default()).await
    }

    pub async fn with(options: Options) -> Self {
        Self::selling(options, None).await
    }

    /// One that sells what is said.
    pub async fn selling(options: Options, selling: Option<Selling>) -> Self {
        Self::made(options, selling, None).await.0
    }

    /// One of several nodes, which nobody has heard of yet.
    pub async fn among(others: AmongOthers) -> (Self, Station) {
        let (server, station) = Self::made(Options::default(), None, Some(others)).await;
        (server, station.expect("it is one of several"))
    }

    async fn made(
        options: Options,
        selling: Option<Selling>,
        others: Option<AmongOthers>,
    ) -> (Self, Option<Station>) {
        install_crypto();
        let folder = tempfile::tempdir().expect("a folder");
        let path = |name: &str| folder.path().join(name);
        for name in ["runs", "transcripts", "work"] {
            std::fs::create_dir(path(name)).expect("a folder");
        }
        let store: Arc<dyn EventStore> =
            SqliteStore::open(&path("events.db"), SqliteOptions::default()).expect("a log");
        let ledger = Ledger::new(Arc::clone(&store), Arc::new(SystemClock));
        let views = Views::open(&path("views.db"), Arc::clone(&store), ViewsOptions::default())
            .expect("views");
        let (stop, stopped) = watch::channel(false);
        let (running, mut ended) = (views.clone(), stopped.clone());
        tokio::spawn(async move {
            running.run(async move { drop(ended.wait_for(|stop| *stop).await) }).await;
        });
        let mut health = views.health_changes();
        let live = tokio::time::timeout(
            PATIENCE,
            health.wait_for(execution_ledger_projections::Health::is_ready),
        );
        live.await.expect("views in time").expect("views run");

        let secret = LedgerSecret::new([7; 32]);
        let mut policy = Policy::new(Ceiling::default());
        let me = NodeId(uuid::Uuid::from_u128(1));
        if others.is_some() {
            policy.share(me);
        }
        let desk = Arc::new(Desk::new(policy, Position::START));
        let station = others.map(|others| others.station(me, path("node"), &ledger, &desk));
        let transcripts = Transcripts::new(path("runs"), path("transcripts"));
        let hub = TranscriptHub::new(transcripts.clone());
        let options_of_manager = ManagerOptions {
            runs: path("runs"),
            transcripts: path("transcripts"),
            work: path("work"),
            ledger_url: "http://127.0.0.1:1".to_owned(),
            output_max_bytes: 1024 * 1024,
            min_free_bytes: 0,
            transcripts_max_bytes: None,
            transcripts_keep_days: None,
            price_book: PriceBook::built_in(),
        };
        let manager = Manager::new(
            ledger.clone(),
            Arc::clone(&desk),
            hub.clone(),
            secret.clone(),
            Arc::new(NoSessions),
            options_of_manager,
        );
        let log = store.subscribe(Position::START).await.expect("a subscription");
        let scheduler_stop = stopped.clone();
        tokio::spawn(manager.run(log, stopped));
        let keys = Keys::new(ledger.clone(), Arc::clone(&desk));
        let tasks = Tasks::new(ledger.clone(), desk, Arc::new(NoSessions), secret.clone());
        let schedules = Schedules::new(ledger.clone(), tasks.clone(), Vec::new(), Vec::new());
        let log = store.subscribe(Position::START).await.expect("a subscription");
        tokio::spawn(schedules.clone().run(log, scheduler_stop));
        let notary = Notary::open(
            folder.path().to_owned(),
            &[7; 32],
            Arc::clone(&store),
            Arc::clone(ledger.clock()),
        );
        let notary = notary.expect("a notary");
        let (signing, mut notary_stop) = (notary.clone(), stop.subscribe());
        tokio::spawn(async move {
            // An error means that nobody can stop it any more, which is a stop as well.
            signing.run(async { drop(notary_stop.wait_for(|stop| *stop).await) }).await;
        });
        let webhooks = Webhooks::new(
            ledger.clone(),
            Arc::new(NoOutbox),
            secret.clone(),
            Allowed::default(),
            Vec::new(),
        );
        let payments = Payments::new(ledger.clone(), tasks.clone(), selling, Vec::new());
        let payments = payments.expect("a client");
        let log = store.subscribe(Position::START).await.expect("a subscription");
        tokio::spawn(payments.clone().run(log, stop.subscribe()));
        let duties = Duties { schedules, webhooks, payments, notary: Some(notary) };
        let app = App::new(Parts {
            ledger: ledger.clone(),
            duties: duties.clone(),
            station: station.clone(),
            views: views.clone(),
            tasks,
            transcripts,
            hub,
            metrics: Some(
                metrics_exporter_prometheus::PrometheusBuilder::new().build_recorder().handle(),
            ),
            admin_key: KeyDigest::of(KEY),
            keys,
            secret: secret.clone(),
            options,
        });
        let router = router(app.clone());
        let server =
            Self { app, router, store, views, secret, ledger, folder, duties, _stop: stop };
        (server, station)
    }

    pub async fn send(&self, request: Request<Body>) -> Answer {
        let answered = tokio::time::timeout(PATIENCE, self.router.clone().oneshot(request)).await;
        let response = answered.expect("an answer in time").expect("never an error");
        let (head, body) = response.into_parts();
        let body = body.collect().await.expect("a body").to_bytes();
        let text = String::from_utf8(body.to_vec()).expect("UTF-8");
        Answer { status: head.status, headers: head.headers, text }
    }

    pub fn request(method: Method, path: &str) -> axum::http::request::Builder {
        Self::request_with(KEY, method, path)
    }

    pub fn request_with(key: &str, method: Method, path: &str) -> axum::http::request::Builder {
        Request::builder()
            .method(method)
            .uri(path)
            .header(HOST, "localhost:7171")
            .header(AUTHORIZATION, format!("Bearer {key}"))
    }

    /// The same as another holder of a key.
    pub async fn call_as(&self, key: &str, method: Method, path: &str, body: &Value) -> Answer {
        let request =
            Self::request_with(key, method, path).header(CONTENT_TYPE, "application/json");
        self.send(request.body(Body::from(body.to_string())).expect("a request")).await
    }

    /// Issues a key: its id and its text.
    pub async fn issue(&self, body: &Value) -> (String, String) {
        let answer = self.post("/api/keys", body).await;
        assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.text);
        let json = answer.json();
        let text = |name: &str| json[name].as_str().expect("a text").to_owned();
        (text("key_id"), text("key"))
    }

    /// Waits until the read models have seen what an answer has.
    pub async fn reached(&self, answer: &Answer) {
        let position = answer.header("ledger-position").expect("a position").to_owned();
        let seen = self.get(&format!("/api/executions?wait_for={position}")).await;
        assert_eq!(seen.status, StatusCode::OK, "{}", seen.text);
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.send(Self::request(Method::GET, path).body(Body::empty()).expect("a request")).await
    }

    pub async fn call(&self, method: Method, path: &str, body: impl Into<String>) -> Answer {
        let request = Self::request(method, path).header(CONTENT_TYPE, "application/json");
        self.send(request.body(Body::from(body.into())).expect("a request")).await
    }

    pub async fn post(&self, path: &str, body: &Value) -> Answer {
        self.call(Method::POST, path, body.to_string()).await
    }

    /// An agent that takes tasks and starts none.
    pub async fn paused_agent(&self, name: &str) {
        let body = json!({"name": name, "runtime": "command", "command": ["/bin/true"]});
        let answer = self.post("/api/agents", &body).await;
        assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.text);
        let answer = self.post(&format!("/api/agents/{name}/pause"), &json!({})).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
    }

    /// A task that waits: its execution's id and its position.
    pub async fn submit(&self, agent: &str, message: &str) -> (String, String) {
        let body = json!({"message": message, "async_mode": true});
        let answer = self.post(&format!("/api/agents/{agent}/task"), &body).await;
        assert_eq!(answer.status, StatusCode::ACCEPTED, "{}", answer.text);
        let json = answer.json();
        let text = |name: &str| json[name].as_str().expect("a text").to_owned();
        (text("execution_id"), text("position"))
    }

    pub async fn head(&self) -> Position {
        self.store.head().await.expect("a head")
    }

    /// The same ledger on a real socket.
    pub async fn listen(&self) -> Listening {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let (stop, stopped) = oneshot::channel::<()>();
        let app = self.app.clone();
        let task = tokio::spawn(serve(listener, None, app, |interface| interface, async move {
            drop(stopped.await);
        }));
        Listening { address, stop, task }
    }
}

/// Chooses the cryptography of TLS for this process, once: clients of HTTP want to know it.
fn install_crypto() {
    // An error means that it was chosen already, which is just as well.
    drop(rustls::crypto::ring::default_provider().install_default());
}

pub struct Listening {
    pub address: SocketAddr,
    pub stop: oneshot::Sender<()>,
    pub task: JoinHandle<std::io::Result<()>>,
}
