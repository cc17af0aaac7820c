//! A real log with a clock of the test's own, real read models over it, and webhooks.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use execution_ledger_domain::billing::BillingRow;
use execution_ledger_domain::execution::{CancelCause, Command, Execution};
use execution_ledger_domain::given::task;
use execution_ledger_domain::webhook::{Kind, WebhookSettings};
use execution_ledger_domain::{
    Actor, ActorKind, AgentName, Caller, Content, ExecutionId, Role, Scope, StreamName, Timestamp,
    UserName, WebhookId,
};
use execution_ledger_projections::{
    At, DeliveryQuery, DeliveryRow, DeliveryState, Health, Views, ViewsOptions,
};
use execution_ledger_store::sqlite::{SqliteOptions, SqliteStore};
use execution_ledger_store::{
    Clock, Context, EventStore, Ledger, ManualClock, Position, StoreError, With,
};
use uuid::Uuid;

use crate::following::{Following as _, work_off};
use crate::run_token::LedgerSecret;
use crate::tasks::Request;
use crate::webhooks::send::Sender;
use crate::webhooks::{
    Allowed, LoadedWebhook, Network, Outbox, Owed, Registered, WebhookError, Webhooks,
};

/// No test waits longer than this for anything.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long a receiver of a test may take.
pub const ATTEMPT: Duration = Duration::from_millis(500);

struct FromViews(Views);

#[async_trait]
impl Outbox for FromViews {
    async fn owed(
        &self,
        webhook: WebhookId,
        after: Option<(Position, Kind)>,
        limit: usize,
        seen: Position,
    ) -> Result<Vec<Owed>, StoreError> {
        self.0.wait_for(seen, PATIENCE).await.expect("seen in time");
        let rows = self.0.webhook_owed(webhook, after, limit).await.expect("rows");
        Ok(rows.iter().map(|row| Owed { message: row.message, position: row.position }).collect())
    }

    async fn billing_row(&self, at: Position) -> Result<Option<BillingRow>, StoreError> {
        let before = Position::new(at.number() - 1);
        let page = self.0.billing(&Scope::All, At::Now, before, 1).await.expect("a page");
        Ok(page.value.rows.into_iter().next())
    }
}

pub struct World {
    _folder: tempfile::TempDir,
    pub store: Arc<SqliteStore>,
    pub ledger: Ledger,
    pub clock: Arc<ManualClock>,
    pub views: Views,
    pub webhooks: Webhooks,
    applied: Position,
    ended: u128,
}

pub fn caller() -> Caller {
    let user = UserName::new("admin").expect("a name");
    Caller {
        actor: Actor { kind: ActorKind::Key, id: "admin".to_owned(), user, agent: None },
        role: Role::Admin,
        scope: Scope::All,
        run: None,
        may_call: None,
    }
}

pub fn request() -> Request {
    Request { id: "request".to_owned(), traceparent: None }
}

pub fn settings(url: &str) -> WebhookSettings {
    WebhookSettings {
        name: "Pager".to_owned(),
        url: url.to_owned(),
        kinds: BTreeSet::from([Kind::ExecutionCancelled]),
        enabled: true,
    }
}

/// Loopback, which tests speak to.
pub fn loopback() -> Allowed {
    let network = |text: &str, prefix| {
        let address = text.parse().expect("an address");
        Network { address, prefix }
    };
    Allowed::with(vec![network("127.0.0.0", 8), network("::1", 128)])
}

impl World {
    pub async fn new(allowed: Allowed) -> Self {
        // An error means that another test of this process was first.
        drop(rustls::crypto::ring::default_provider().install_default());
        let folder = tempfile::tempdir().expect("a folder");
        let start: Timestamp = "2026-11-21T10:00:00Z".parse().expect("a time");
        let clock = Arc::new(ManualClock::at(start));
        let options = SqliteOptions {
            clock: Arc::clone(&clock) as Arc<dyn Clock>,
            ..SqliteOptions::default()
        };
        let store = SqliteStore::open(&folder.path().join("events.db"), options).expect("a log");
        let ledger = Ledger::new(store.clone(), clock.clone());
        let path = folder.path().join("views.db");
        let views = Views::open(&path, store.clone(), ViewsOptions::default()).expect("views");
        let running = views.clone();
        tokio::spawn(async move { running.run(std::future::pending()).await });
        let mut health = views.health_changes();
        let ready = tokio::time::timeout(PATIENCE, health.wait_for(Health::is_ready)).await;
        drop(ready.expect("views in time").expect("views run"));
        let webhooks = sending(&ledger, &views, allowed, Vec::new());
        let applied = Position::START;
        Self { _folder: folder, store, ledger, clock, views, webhooks, applied, ended: 0 }
    }

    /// As a start after a crash: what is known is what the log says.
    pub async fn start_again(&mut self) {
        let head = self.store.head().await.expect("a head");
        self.views.wait_for(head, PATIENCE).await.expect("seen in time");
        let (position, heads) = self.views.webhook_work().await.expect("work");
        let heads = heads.into_iter();
        let heads = heads.map(|h| LoadedWebhook { id: h.id, state: h.state, head: h.head });
        self.webhooks = sending(&self.ledger, &self.views, loopback(), heads.collect());
        self.applied = position;
    }

    pub async fn register(&self, settings: WebhookSettings) -> Result<Registered, WebhookError> {
        self.webhooks.register(&caller(), settings, &request()).await
    }

    /// An execution that ends, so that there is something to tell of.
    pub async fn end_one(&mut self) {
        self.ended += 1;
        let stream = StreamName::execution(ExecutionId(Uuid::from_u128(self.ended << 64)));
        let context = Context {
            actor: Actor::system("test"),
            correlation_id: Some("test".to_owned()),
            causation_id: None,
            traceparent: None,
        };
        let text = Content::new([7; 16], "do it");
        let agent = AgentName::new("a").expect("a name");
        let user = UserName::new("ada").expect("a name");
        let mut pending = task(agent, user, self.clock.now().plus_s(60));
        pending.message = text.reference();
        for (command, contents) in [
            (Command::Submit(Box::new(pending)), vec![text]),
            (Command::Cancel { cause: CancelCause::Requested }, vec![]),
        ] {
            let done = self.ledger.execute::<Execution>(&stream, command, &contents, &context);
            done.await.expect("accepted");
        }
    }

    /// Brings the webhooks in line with the log, and sends what is due.
    pub async fn pump(&mut self) {
        let read = self.store.read_all(self.applied, 1_000, With::EventsOnly).await;
        let read = read.expect("readable");
        if let Some(last) = read.last() {
            self.applied = last.position;
            self.webhooks.take_in(&read.into()).expect("taken in");
        }
        work_off(&self.webhooks).await;
    }

    pub fn pass(&self, seconds: u64) {
        self.clock.set(self.clock.now().plus_s(seconds));
    }

    /// What has become of the messages to a webhook, the oldest first.
    pub async fn deliveries(&self, id: WebhookId) -> Vec<DeliveryRow> {
        let head = self.store.head().await.expect("a head");
        self.views.wait_for(head, PATIENCE).await.expect("seen in time");
        let query = DeliveryQuery { state: None, limit: 200, cursor: None };
        let page = self.views.webhook_deliveries(At::Now, id, &query).await.expect("a page");
        let mut rows = page.value.expect("a webhook").items;
        rows.reverse();
        rows
    }

    pub async fn states(&self, id: WebhookId) -> Vec<DeliveryState> {
        self.deliveries(id).await.iter().map(|row| row.state).collect()
    }
}

fn sending(
    ledger: &Ledger,
    views: &Views,
    allowed: Allowed,
    loaded: Vec<LoadedWebhook>,
) -> Webhooks {
    let outbox = Arc::new(FromViews(views.clone()));
    let secret = LedgerSecret::new([7; 32]);
    let sender = Sender::new(allowed, ATTEMPT);
    Webhooks::sending_by(sender, ledger.clone(), outbox, secret, loaded)
}
