//! A real event log in a temporary folder, and a random life in it.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use execution_ledger_domain::agent::{self, Agent, AgentConfig, Runtime};
use execution_ledger_domain::execution::{
    self, CancelCause, CostBasis, Evidence, Execution, FailureCode, Observation, Pending,
    Requester, StopCause, Trigger, TurnContext,
};
use execution_ledger_domain::payment;
use execution_ledger_domain::session;
use execution_ledger_domain::{
    Actor, ActorKind, AgentName, ClaimId, Content, Digest, ExecutionId, NanoUsd, PaymentId,
    SessionId, StreamName, Timestamp, UserName,
};
use execution_ledger_projections::{Health, Views, ViewsOptions};
use execution_ledger_store::sqlite::{SqliteOptions, SqliteStore};
use execution_ledger_store::{Clock, Context, EventStore, Ledger, ManualClock, Position};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use uuid::Uuid;

/// How long a test waits for something that must come.
pub const PATIENCE: Duration = Duration::from_mins(1);
pub const AGENTS: [&str; 3] = ["ada", "bob", "cleo"];
pub const USERS: [&str; 2] = ["max", "zoe"];
pub const MODELS: [&str; 2] = ["haiku", "opus"];
pub const TEXTS: [&str; 5] = [
    "fix the login bug",
    "Überprüfe das Log",
    "write tests for the parser; NEAR(a b) OR \"quoted\"",
    "summarise yesterday",
    "fix flaky tests",
];
/// 2026-11-21T00:00:00Z.
pub const START: i64 = 1_795_219_200_000_000;

/// One step of a life. Numbers are taken modulo what there is.
#[derive(Clone, Debug)]
pub enum Step {
    Submit { agent: usize, user: usize, trigger: usize, text: usize, model: usize, source: usize },
    Start(usize),
    Cancel(usize),
    Finish { which: usize, outcome: usize, cost: Option<i64>, text: usize },
    Expire(usize),
    MoveToFront(usize),
    Settle { which: usize, injected: bool },
    Correct { which: usize, cost: i64 },
    Pay { which: usize, what: usize },
    Agent { which: usize, command: usize },
    Session { which: usize, close: bool },
    Pass { seconds: u64 },
}

pub struct World {
    pub folder: tempfile::TempDir,
    pub store: Arc<SqliteStore>,
    pub ledger: Ledger,
    pub clock: Arc<ManualClock>,
    pub executions: Vec<(ExecutionId, ClaimId, SessionId)>,
    rank: u64,
}

/// Read models that follow the log in the background.
pub struct Running {
    pub views: Views,
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<()>,
}

impl Running {
    pub async fn stop(mut self) {
        drop(self.stop.take());
        self.task.await.expect("the runner ends");
    }

    /// Waits until the read models have seen everything.
    pub async fn caught_up(&self, world: &World) {
        let head = world.store.head().await.expect("head");
        self.views.wait_for(head, PATIENCE).await.expect("in time");
        self.healthy(|health| matches!(health, Health::Live)).await;
    }

    pub async fn healthy(&self, wanted: impl FnMut(&Health) -> bool) -> Health {
        let mut changes = self.views.health_changes();
        let health = tokio::time::timeout(PATIENCE, changes.wait_for(wanted)).await;
        health.expect("in time").expect("a runner").clone()
    }
}

impl World {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let clock = Arc::new(ManualClock::at(Timestamp::from_micros(START)));
        let options = SqliteOptions {
            clock: Arc::clone(&clock) as Arc<dyn Clock>,
            ..SqliteOptions::default()
        };
        let store = SqliteStore::open(&folder.path().join("events.db"), options).expect("a log");
        let ledger = Ledger::new(store.clone(), clock.clone());
        Self { folder, store, ledger, clock, executions: Vec::new(), rank: 0 }
    }

    pub fn views_path(&self) -> PathBuf {
        self.folder.path().join("views.db")
    }

    pub fn run_views(&self) -> Running {
        let store: Arc<dyn EventStore> = self.store.clone();
        let views =
            Views::open(&self.views_path(), store, ViewsOptions::default()).expect("a folder");
        let (stop, stopped) = oneshot::channel::<()>();
        let running = views.clone();
        let task = tokio::spawn(async move {
            running.run(async move { drop(stopped.await) }).await;
        });
        Running { views, stop: Some(stop), task }
    }

    pub async fn head(&self) -> Position {
        self.store.head().await.expect("head")
    }

    /// Does a step; what a rule refuses changes nothing.
    pub async fn step(&mut self, step: &Step) {
        match step {
            Step::Submit { agent, user, trigger, text, model, source } => {
                let source = AGENTS.get(*source).map(|name| self::agent(name));
                let model = MODELS.get(*model).copied();
                let tried = self.executions.get(*text).map(|(id, ..)| *id);
                let submission = Submission {
                    retry_of: tried.filter(|_| user % 2 == 1),
                    max_retries: u32::from(model.is_none()),
                    by_itself: false,
                    agent: AGENTS[*agent % AGENTS.len()],
                    user: USERS[*user % USERS.len()],
                    trigger: Trigger::ALL[*trigger % Trigger::ALL.len()],
                    text: TEXTS[*text % TEXTS.len()],
                    model,
                    source,
                    injects: text.is_multiple_of(2),
                };
                self.submit(submission).await;
            }
            Step::Start(which) => {
                let now = self.clock.now();
                // Also what was never injected, or was told before: both change nothing.
                let other = self.executions.get(which / 2).map(|(id, ..)| *id);
                let told: Vec<_> = other.into_iter().collect();
                self.with(*which, |claim, _| execution::Command::Start {
                    claim,
                    now,
                    runtime: Runtime::Command,
                    turn: TurnContext { resumed_session_id: None, told },
                    node: None,
                })
                .await;
            }
            Step::Cancel(which) => {
                self.with(*which, |_, _| execution::Command::Cancel {
                    cause: CancelCause::Requested,
                })
                .await;
            }
            Step::Finish { which, outcome, cost, text } => {
                self.finish(*which, *outcome, *cost, TEXTS[*text % TEXTS.len()]).await;
            }
            Step::Expire(which) => {
                let text = content("waited for too long");
                let now = Timestamp::MAX;
                let message = text.reference();
                self.give(*which, &[text], |_, _| execution::Command::Expire { now, message })
                    .await;
            }
            Step::MoveToFront(which) => {
                self.rank += 1;
                let rank = self.rank;
                self.with(*which, |_, _| execution::Command::MoveToFront { rank }).await;
            }
            Step::Settle { which, injected } => {
                self.with(*which, |_, session_id| {
                    if *injected {
                        execution::Command::Inject { session_id }
                    } else {
                        let reason = execution::InjectionRefusal::SessionClosed;
                        execution::Command::RefuseInjection { session_id, reason }
                    }
                })
                .await;
            }
            Step::Correct { which, cost } => {
                let text = content("the invoice says so");
                let reason = text.reference();
                let cost = NanoUsd::from_nanos(*cost).expect("an amount");
                let basis = CostBasis::PricedLocally;
                self.give(*which, &[text], |_, _| execution::Command::CorrectCost {
                    cost,
                    basis,
                    price_book: None,
                    reason,
                })
                .await;
            }
            Step::Pay { which, what } => self.pay(*which, *what).await,
            Step::Agent { which, command } => self.agent(*which, *command).await,
            Step::Session { which, close: false } => {
                self.open_session(session(*which), user(USERS[which % USERS.len()])).await;
            }
            Step::Session { which, close: true } => self.close_session(session(*which)).await,
            Step::Pass { seconds } => self.clock.set(self.clock.now().plus_s(*seconds)),
        }
    }

    pub async fn submit(&mut self, submission: Submission) -> ExecutionId {
        self.submit_into(session(self.executions.len()), submission).await
    }

    pub async fn submit_into(&mut self, session: SessionId, submission: Submission) -> ExecutionId {
        let number = self.executions.len() as u128 + 1;
        // One that follows by itself has the id that is expected of it.
        let id = match submission.retry_of.filter(|_| submission.by_itself) {
            Some(failed) => failed.next_attempt(),
            None => ExecutionId(Uuid::from_u128(number << 64)),
        };
        let text = content(submission.text);
        let pending = Pending {
            chat_session_id: Some(session),
            ..pending(&submission, &text, self.clock.now())
        };
        self.executions.push((id, ClaimId(Uuid::from_u128(number << 64 | 1)), session));
        let command = execution::Command::Submit(Box::new(pending));
        self.give(self.executions.len() - 1, &[text], |_, _| command).await;
        id
    }

    /// Ends a run in one of a few ways.
    pub async fn finish(&mut self, which: usize, outcome: usize, cost: Option<i64>, text: &str) {
        let text = content(text);
        let response = Some(text.reference());
        let evidence = match outcome % 4 {
            0 | 1 => Evidence::Success,
            2 => {
                let passes = which % 4 == 3;
                let code = if passes { FailureCode::Overloaded } else { FailureCode::AgentError };
                Evidence::Failure { code, message: response }
            }
            _ => Evidence::None,
        };
        let now = self.clock.now();
        let duration_ms = (which as u64 % 7) * 1_000 + outcome as u64;
        let observe = |claim| Observation {
            ended_at: now.plus_s(duration_ms / 1_000),
            duration_ms,
            stopped: (outcome % 4 == 3).then_some(StopCause::Cancelled),
            evidence,
            response,
            cost: cost.map(|cost| NanoUsd::from_nanos(cost).expect("an amount")),
            cost_basis: CostBasis::ProviderReported,
            model_used: outcome.is_multiple_of(2).then(|| MODELS[which % MODELS.len()].to_owned()),
            ..execution_ledger_domain::given::observed(claim, now)
        };
        self.give(which, &[text], |claim, _| execution::Command::Finish(Box::new(observe(claim))))
            .await;
    }

    async fn with(
        &mut self,
        which: usize,
        command: impl FnOnce(ClaimId, SessionId) -> execution::Command,
    ) {
        self.give(which, &[], command).await;
    }

    async fn give(
        &mut self,
        which: usize,
        contents: &[Content],
        command: impl FnOnce(ClaimId, SessionId) -> execution::Command,
    ) {
        if self.executions.is_empty() {
            return;
        }
        let (id, claim, session) = self.executions[which % self.executions.len()];
        let stream = StreamName::execution(id);
        let done = self
            .ledger
            .execute::<Execution>(&stream, command(claim, session), contents, &context())
            .await;
        refused_or(done);
    }

    pub async fn open_session(&self, id: SessionId, user: UserName) {
        let opened = session::Opened { agent: agent(AGENTS[0]), user, continues: None };
        self.tell_session(id, session::Command::Open(Box::new(opened))).await;
    }

    pub async fn close_session(&self, id: SessionId) {
        self.tell_session(id, session::Command::Close).await;
    }

    async fn tell_session(&self, id: SessionId, command: session::Command) {
        let stream = StreamName::session(id);
        refused_or(
            self.ledger.execute::<session::Session>(&stream, command, &[], &context()).await,
        );
    }

    /// Something of the life of one of a few payments; most of it does not fit.
    async fn pay(&mut self, which: usize, what: usize) {
        let id = PaymentId(Digest::of(&[b'0' + u8::try_from(which % 6).expect("a digit")]));
        let text = content("paid");
        let amount = if which.is_multiple_of(2) { "18446744073709551616" } else { "70" };
        let command = match what % 6 {
            0 | 1 => payment::Command::Verify(Box::new(payment::Verified {
                x402_version: 2,
                terms: payment::Terms {
                    scheme: "exact".to_owned(),
                    network: "eip155:8453".to_owned(),
                    asset: format!("0xA{}", which % 2),
                    amount: amount.to_owned(),
                    pay_to: "0x2".to_owned(),
                },
                payer: "0x3".to_owned(),
                nonce: format!("0x{which}"),
                valid_after_s: 0,
                valid_before_s: u64::MAX >> 12,
                payload_sha256: Digest::of(b"payload"),
                payment_identifier: None,
                resource: "http://localhost/api/paid/ada/task".to_owned(),
                facilitator: "http://localhost".to_owned(),
                asked: payment::Asked {
                    execution_id: ExecutionId::paid_by(id),
                    pending: pending(
                        &Submission {
                            agent: AGENTS[which % AGENTS.len()],
                            user: USERS[which % USERS.len()],
                            trigger: Trigger::Paid,
                            model: MODELS.get(which % 3).copied(),
                            ..Submission::default()
                        },
                        &text,
                        self.clock.now(),
                    ),
                },
            })),
            2 => payment::Command::RequestSettlement { asked_before: 0 },
            3 | 4 => payment::Command::Settle(payment::Settled {
                transaction: Some(format!("0x{what}")),
                evidence: payment::Evidence::Facilitator,
                note: None,
            }),
            _ => payment::Command::OweRefund(payment::RefundOwed {
                amount: amount.to_owned(),
                cause: payment::RefundCause::ExecutionFailed,
                code: None,
                ended_at: None,
            }),
        };
        let contents = if what % 6 < 2 { vec![text] } else { Vec::new() };
        let stream = StreamName::payment(id);
        refused_or(
            self.ledger.execute::<payment::Payment>(&stream, command, &contents, &context()).await,
        );
    }

    async fn agent(&mut self, which: usize, command: usize) {
        let name = agent(AGENTS[which % AGENTS.len()]);
        let config = |slots| {
            let mut config = AgentConfig::of(Runtime::Command, vec!["true".to_owned()]);
            config.max_parallel_tasks = slots;
            Box::new(config)
        };
        let command = match command % 6 {
            0 | 1 => agent::Command::Register(config(2)),
            2 => agent::Command::Configure(config(5)),
            3 => agent::Command::Pause,
            4 => agent::Command::Resume,
            _ => agent::Command::Retire,
        };
        let stream = StreamName::agent(&name);
        let done = self.ledger.execute::<Agent>(&stream, command, &[], &context()).await;
        refused_or(done);
    }
}

fn refused_or<T, R: std::error::Error>(done: Result<T, execution_ledger_store::ExecuteError<R>>) {
    match done {
        Ok(_) | Err(execution_ledger_store::ExecuteError::Refused(_)) => {}
        Err(fault) => panic!("the store failed: {fault}"),
    }
}

/// A task.
pub struct Submission {
    pub agent: &'static str,
    pub user: &'static str,
    pub trigger: Trigger,
    pub text: &'static str,
    pub model: Option<&'static str>,
    pub source: Option<AgentName>,
    pub retry_of: Option<ExecutionId>,
    /// Whether it is the attempt that follows by itself.
    pub by_itself: bool,
    pub max_retries: u32,
    /// Whether its result is to be put into its session.
    pub injects: bool,
}

impl Default for Submission {
    fn default() -> Self {
        Self {
            agent: AGENTS[0],
            user: USERS[0],
            trigger: Trigger::Manual,
            text: TEXTS[0],
            model: None,
            source: None,
            retry_of: None,
            by_itself: false,
            max_retries: 0,
            injects: false,
        }
    }
}

/// Some say the most that they may cost.
fn max_cost(submission: &Submission) -> Option<NanoUsd> {
    let named = submission.text.len().is_multiple_of(2);
    named.then(|| NanoUsd::from_nanos(400).expect("an amount"))
}

/// What is accepted with a task.
fn pending(submission: &Submission, text: &Content, now: Timestamp) -> Pending {
    Pending {
        agent: agent(submission.agent),
        triggered_by: submission.trigger,
        message: text.reference(),
        redactions: 0,
        requested_by: Requester { kind: ActorKind::Key, id: "key".to_owned() },
        user: user(submission.user),
        expires_at: now.plus_s(86_400),
        request_sha256: Digest::of(b"request"),
        source_agent: submission.source.clone(),
        parent_execution_id: None,
        depth: 0,
        chat_session_id: None,
        inject_result: submission.injects,
        retry_of: submission.retry_of,
        attempt: 1,
        max_retries: submission.max_retries,
        not_before: submission.retry_of.map(|_| now),
        schedule_id: None,
        payment_id: None,
        model_requested: submission.model.map(str::to_owned),
        timeout_s: 900,
        max_cost_nano_usd: max_cost(submission),
        allowed_tools: None,
        system_prompt: None,
        max_turns: None,
        resume_session_id: None,
    }
}

/// One of a few sessions, which many executions share.
pub fn session(which: usize) -> SessionId {
    SessionId(Uuid::from_u128(which as u128 % 3 + 1))
}

pub fn agent(name: &str) -> AgentName {
    AgentName::new(name).expect("a name")
}

pub fn user(name: &str) -> UserName {
    UserName::new(name).expect("a name")
}

pub fn content(text: &str) -> Content {
    Content::new([7; 16], text)
}

pub fn context() -> Context {
    Context {
        actor: Actor::system("test"),
        correlation_id: Some("story".to_owned()),
        causation_id: Some("cause".to_owned()),
        traceparent: None,
    }
}
