//! What every handler has at hand.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use execution_ledger_domain::agent::{Agent, AgentConfig};
use execution_ledger_domain::execution::Execution;
use execution_ledger_domain::scope::Ownership;
use execution_ledger_domain::{AgentName, ExecutionId, Scope, StreamName, Timestamp};
use execution_ledger_process::erasing::Eraser;
use execution_ledger_process::keys::Keys;
use execution_ledger_process::nodes::Station;
use execution_ledger_process::paid::Payments;
use execution_ledger_process::run_token::LedgerSecret;
use execution_ledger_process::scheduler::Schedules;
use execution_ledger_process::tasks::{Request, Tasks};
use execution_ledger_process::transcript::{TranscriptHub, Transcripts};
use execution_ledger_process::webhooks::Webhooks;
use execution_ledger_projections::Views;
use execution_ledger_replay::notary::Notary;
use execution_ledger_store::{EventStore, ExecuteError, Ledger, LogId, StoreError};
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::sync::Semaphore;

use crate::access_log::AccessLog;
use crate::auth::KeyDigest;
use crate::feed::ActivityFeed;
use crate::forward;
use crate::gate::{Gate, RequestInfo};
use crate::options::Options;
use crate::paid::PaidGate;
use crate::problem::{Code, Problem};
use crate::sign_in::SignIn;

/// Checks of the history that go on at once.
const VERIFYING_MAX: usize = 1;

/// What is done once. Of several nodes one does it; another may take it over, and then these parts are
/// others.
#[derive(Clone)]
pub struct Duties {
    /// What callers can do with schedules.
    pub schedules: Schedules,
    /// What callers can do with webhooks.
    pub webhooks: Webhooks,
    /// Takes payments.
    pub payments: Payments,
    /// Signs what the log holds; without it `/tlog/` answers 404.
    pub notary: Option<Notary>,
}

/// The parts that the interface stands on.
pub struct Parts {
    /// The one write path; here only its store is read.
    pub ledger: Ledger,
    /// The read models.
    pub views: Views,
    /// What callers can do.
    pub tasks: Tasks,
    /// The stored transcripts.
    pub transcripts: Transcripts,
    /// The transcripts of live runs.
    pub hub: TranscriptHub,
    /// What `/metrics` shows; without it the path answers 404.
    pub metrics: Option<PrometheusHandle>,
    /// The digest of the admin key.
    pub admin_key: KeyDigest,
    /// What is done once, and answered by the node that does it.
    pub duties: Duties,
    /// This node among others; nothing where it is alone.
    pub station: Option<Station>,
    /// All other keys.
    pub keys: Keys,
    /// Vouches for the cookies of browsers.
    pub secret: LedgerSecret,
    /// The settings.
    pub options: Options,
}

/// What every handler has at hand. Cheap to clone.
#[derive(Clone)]
pub struct App(Arc<Inner>);

struct Inner {
    ledger: Ledger,
    views: Views,
    tasks: Tasks,
    duties: RwLock<Duties>,
    /// Whether the duties are at work here.
    on_duty: AtomicBool,
    station: Option<Station>,
    /// Asks other nodes; nothing where this one is alone.
    node_client: Option<reqwest::Client>,
    transcripts: Transcripts,
    hub: TranscriptHub,
    metrics: Option<PrometheusHandle>,
    admin_key: KeyDigest,
    keys: Keys,
    paid_gate: PaidGate,
    secret: LedgerSecret,
    sign_in: Arc<SignIn>,
    access_log: AccessLog,
    eraser: Eraser,
    gate: Arc<Gate>,
    feed: Arc<ActivityFeed>,
    log_id: LogId,
    /// Taken by whoever checks the history: it reads all of it.
    verifying: Arc<Semaphore>,
}

impl App {
    /// Over its parts.
    pub fn new(parts: Parts) -> Self {
        let store = Arc::clone(parts.ledger.store());
        Self(Arc::new(Inner {
            log_id: store.log_id().clone(),
            feed: Arc::new(ActivityFeed::new(store, parts.views.clone())),
            eraser: eraser(&parts),
            node_client: parts.station.as_ref().and_then(|_| forward::client(&parts.options)),
            gate: Arc::new(Gate::new(parts.options)),
            secret: parts.secret.clone(),
            paid_gate: PaidGate::new(parts.duties.payments.requests_per_min()),
            sign_in: Arc::new(SignIn::new(
                parts.secret,
                Arc::clone(parts.ledger.clock()),
                Arc::clone(parts.keys.signed_out()),
            )),
            access_log: AccessLog::new(parts.ledger.clone()),
            keys: parts.keys,
            ledger: parts.ledger,
            views: parts.views,
            tasks: parts.tasks,
            duties: RwLock::new(parts.duties),
            on_duty: AtomicBool::new(parts.station.is_none()),
            station: parts.station,
            transcripts: parts.transcripts,
            hub: parts.hub,
            metrics: parts.metrics,
            admin_key: parts.admin_key,
            verifying: Arc::new(Semaphore::new(VERIFYING_MAX)),
        }))
    }

    /// The limits that all requests share.
    pub fn gate(&self) -> &Arc<Gate> {
        &self.0.gate
    }

    /// A token that lets a browser in as the administrator: good once, for ten minutes. The one
    /// before is good no more.
    pub fn new_sign_in_token(&self) -> Result<String, StoreError> {
        self.0.sign_in.new_link()
    }

    pub(crate) fn keys(&self) -> &Keys {
        &self.0.keys
    }

    /// From now on these do here what is done once.
    pub fn take_over(&self, duties: Duties) {
        *self.0.duties.write().unwrap_or_else(PoisonError::into_inner) = duties;
        self.0.on_duty.store(true, Ordering::Release);
    }

    /// From now on another node does what is done once: nothing that is asked of this one is answered
    /// by parts that are not kept up to date any more.
    pub fn hand_over(&self) {
        self.0.on_duty.store(false, Ordering::Release);
        self.0.duties.write().unwrap_or_else(PoisonError::into_inner).notary = None;
    }

    /// Whether this node answers what is done once: it leads, and the parts are at work.
    pub(crate) fn is_on_duty(&self) -> bool {
        let leads = self.0.station.as_ref().is_none_or(Station::leads);
        leads && self.0.on_duty.load(Ordering::Acquire)
    }

    fn duty<T>(&self, of: impl Fn(&Duties) -> T) -> T {
        of(&self.0.duties.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// This node among others; nothing where it is alone.
    pub(crate) fn station(&self) -> Option<&Station> {
        self.0.station.as_ref()
    }

    /// By what other nodes are asked.
    pub(crate) fn node_client(&self) -> Option<&reqwest::Client> {
        self.0.node_client.as_ref()
    }

    pub(crate) fn payments(&self) -> Payments {
        self.duty(|duties| duties.payments.clone())
    }

    pub(crate) fn paid_gate(&self) -> &PaidGate {
        &self.0.paid_gate
    }

    pub(crate) fn secret(&self) -> &LedgerSecret {
        &self.0.secret
    }

    pub(crate) fn notary(&self) -> Option<Notary> {
        self.duty(|duties| duties.notary.clone())
    }

    pub(crate) fn verifying(&self) -> &Arc<Semaphore> {
        &self.0.verifying
    }

    pub(crate) fn sign_in(&self) -> &Arc<SignIn> {
        &self.0.sign_in
    }

    pub(crate) fn access_log(&self) -> &AccessLog {
        &self.0.access_log
    }

    pub(crate) fn eraser(&self) -> &Eraser {
        &self.0.eraser
    }

    pub(crate) fn store(&self) -> &Arc<dyn EventStore> {
        self.0.ledger.store()
    }

    /// Now.
    pub(crate) fn now(&self) -> Timestamp {
        self.0.ledger.now()
    }

    pub(crate) fn views(&self) -> &Views {
        &self.0.views
    }

    pub(crate) fn tasks(&self) -> &Tasks {
        &self.0.tasks
    }

    pub(crate) fn schedules(&self) -> Schedules {
        self.duty(|duties| duties.schedules.clone())
    }

    pub(crate) fn webhooks(&self) -> Webhooks {
        self.duty(|duties| duties.webhooks.clone())
    }

    pub(crate) fn transcripts(&self) -> &Transcripts {
        &self.0.transcripts
    }

    pub(crate) fn hub(&self) -> &TranscriptHub {
        &self.0.hub
    }

    pub(crate) fn metrics(&self) -> Option<&PrometheusHandle> {
        self.0.metrics.as_ref()
    }

    pub(crate) fn admin_key(&self) -> KeyDigest {
        self.0.admin_key
    }

    pub(crate) fn feed(&self) -> &Arc<ActivityFeed> {
        &self.0.feed
    }

    pub(crate) fn log_id(&self) -> &LogId {
        &self.0.log_id
    }

    /// The state of an execution as the log has it now, ahead of all read models.
    pub(crate) async fn execution_now(
        &self,
        scope: &Scope,
        agent: &AgentName,
        id: ExecutionId,
    ) -> Result<Execution, Problem> {
        let stream = StreamName::execution(id);
        let state = self.0.ledger.load::<Execution>(&stream).await.map_err(unloaded)?;
        let pending = state.pending().filter(|pending| pending.agent == *agent);
        let pending = pending.ok_or_else(no_execution)?;
        let ownership = Ownership {
            agent: &pending.agent,
            user: &pending.user,
            source_agent: pending.source_agent.as_ref(),
        };
        if scope.covers(&ownership) { Ok(state) } else { Err(no_execution()) }
    }

    /// Whether an execution has ended, as the log has it now.
    pub(crate) async fn has_ended(&self, id: ExecutionId) -> Result<bool, Problem> {
        let state = self.0.ledger.load::<Execution>(&StreamName::execution(id)).await;
        Ok(matches!(state.map_err(unloaded)?, Execution::Ended { .. }))
    }

    /// The settings of an agent as the log has them now, ahead of all read models.
    pub(crate) async fn agent_now(&self, name: &AgentName) -> Result<AgentConfig, Problem> {
        let state = self.0.ledger.load::<Agent>(&StreamName::agent(name)).await;
        let state = state.map_err(unloaded)?;
        state.config().cloned().ok_or_else(|| no_agent(name))
    }
}

fn eraser(parts: &Parts) -> Eraser {
    let eraser = Eraser::new(parts.ledger.clone(), parts.transcripts.clone());
    match &parts.station {
        Some(station) => eraser.among(station.me()),
        None => eraser,
    }
}

fn unloaded<R: std::error::Error>(error: ExecuteError<R>) -> Problem {
    match error {
        ExecuteError::Store(fault) => fault.into(),
        other => Problem::internal(&other),
    }
}

/// There is no such execution that the caller may see.
pub(crate) fn no_execution() -> Problem {
    Problem::new(
        Code::ExecutionNotFound,
        "no execution of this agent that this key may see has that id",
    )
    .field("id")
}

/// There is no such chat session that the caller may see.
pub(crate) fn no_session() -> Problem {
    let detail = "no chat session that this key may see has that id";
    Problem::new(Code::SessionNotFound, detail).field("id")
}

/// There is no such schedule that the caller may see.
pub(crate) fn no_schedule() -> Problem {
    let detail = "no schedule that this key may see has that id";
    Problem::new(Code::ScheduleNotFound, detail).field("id")
}

/// There is no such webhook.
pub(crate) fn no_webhook() -> Problem {
    Problem::new(Code::WebhookNotFound, "no webhook has that id").field("id")
}

/// There is no such agent that the caller may see.
pub(crate) fn no_agent(name: &AgentName) -> Problem {
    Problem::new(Code::AgentNotFound, format!("there is no agent {name} that this key may see"))
        .field("name")
}

/// A request as the cause of what it leads to.
pub(crate) fn cause(info: &RequestInfo) -> Request {
    Request { id: info.id.to_string(), traceparent: info.traceparent.clone() }
}
