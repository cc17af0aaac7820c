//! A real log with a clock of the test's own, a desk, and schedules; no process is started.

use std::sync::Arc;

use execution_ledger_domain::agent::{self, Agent, AgentConfig, Runtime};
use execution_ledger_domain::execution::{Attempt, CancelCause, Command, Execution};
use execution_ledger_domain::policy::{Ceiling, Policy};
use execution_ledger_domain::schedule::{self, CatchUp, Fired, Overlap, Schedule, ScheduleEvent};
use execution_ledger_domain::{
    Actor, ActorKind, AgentName, Caller, Event, ExecutionId, Role, ScheduleId, Scope, SessionId,
    StreamName, Timestamp, UserName,
};
use execution_ledger_store::sqlite::{SqliteOptions, SqliteStore};
use execution_ledger_store::{
    Clock, Context, EventStore, Ledger, ManualClock, Position, Recorded, StoreError, With,
};

use crate::desk::Desk;
use crate::following::{Following as _, work_off};
use crate::run_token::LedgerSecret;
use crate::scheduler::{Draft, Schedules};
use crate::tasks::{Request, SessionIndex, Tasks};

/// A moment of the test's day.
pub fn at(time: &str) -> Timestamp {
    format!("2026-11-21T{time}Z").parse().expect("a time")
}

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

/// What became of a tick, in short: `fired 10:05`, `skipped 10:05-10:15 (3) missed`.
pub fn told(event: &ScheduleEvent) -> Option<String> {
    let time = |moment: Timestamp| moment.to_chrono().format("%H:%M").to_string();
    match event {
        ScheduleEvent::Fired(fired) => {
            Some(format!("{} {}", fired.cause.as_str(), time(fired.tick)))
        }
        ScheduleEvent::Skipped(skipped) => Some(match skipped.until {
            None => format!("{} {}", skipped.reason.as_str(), time(skipped.tick)),
            Some(until) => format!(
                "{} {}-{} ({})",
                skipped.reason.as_str(),
                time(skipped.tick),
                time(until),
                skipped.count
            ),
        }),
        _ => None,
    }
}

pub struct World {
    _folder: tempfile::TempDir,
    pub store: Arc<SqliteStore>,
    pub ledger: Ledger,
    pub clock: Arc<ManualClock>,
    pub desk: Arc<Desk>,
    pub schedules: Schedules,
    applied: Position,
}

impl World {
    /// At 10:00:00, with an agent `a` that is paused and lets `queue_limit` tasks wait.
    pub async fn new(queue_limit: u32) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let clock = Arc::new(ManualClock::at(at("10:00:00")));
        let options = SqliteOptions {
            clock: Arc::clone(&clock) as Arc<dyn Clock>,
            ..SqliteOptions::default()
        };
        let store = SqliteStore::open(&folder.path().join("events.db"), options).expect("a log");
        let ledger = Ledger::new(store.clone(), clock.clone());
        let (desk, schedules) = parts(&ledger);
        let applied = Position::START;
        let mut world = Self { _folder: folder, store, ledger, clock, desk, schedules, applied };
        let config = AgentConfig {
            queue_limit,
            models: vec!["m".to_owned()],
            ..AgentConfig::of(Runtime::Command, vec!["/bin/true".to_owned()])
        };
        world.agent(agent::Command::Register(Box::new(config))).await;
        world.agent(agent::Command::Pause).await;
        world
    }

    pub async fn agent(&mut self, command: agent::Command) {
        let stream = StreamName::agent(&agent_name());
        let done = self.ledger.execute::<Agent>(&stream, command, &[], &context()).await;
        done.expect("accepted");
        self.pump().await;
    }

    /// Brings the desk and the schedules in line with the log.
    pub async fn pump(&mut self) {
        loop {
            let read = self.store.read_all(self.applied, 1_000, With::EventsOnly).await;
            let read = read.expect("readable");
            let Some(last) = read.last() else { return };
            self.applied = last.position;
            for recorded in &read {
                tell_desk(&self.desk, recorded);
            }
            self.schedules.take_in(&read.into()).expect("readable");
        }
    }

    /// Other schedules over the same log, which know all of it: what they do, the world's own learn
    /// when they are brought in line.
    pub async fn elsewhere(&self) -> Schedules {
        let (desk, schedules) = parts(&self.ledger);
        let all = self.store.read_all(Position::START, 1_000, With::EventsOnly).await;
        let all = all.expect("readable");
        for recorded in &all {
            tell_desk(&desk, recorded);
        }
        schedules.take_in(&all.into()).expect("readable");
        schedules
    }

    /// As after a restart: everything is known from the log alone.
    pub async fn restart(&mut self) {
        (self.desk, self.schedules) = parts(&self.ledger);
        self.applied = Position::START;
        self.pump().await;
    }

    /// Sets the clock and decides what is due.
    pub async fn decide_at(&mut self, now: Timestamp) {
        self.clock.set(now);
        self.pump().await;
        work_off(&self.schedules).await;
        self.pump().await;
    }

    /// A schedule of every five minutes.
    pub async fn schedule(&mut self, overlap: Overlap, catch_up: CatchUp) -> ScheduleId {
        let id = self.create(Draft { overlap, catch_up, ..draft() }).await;
        self.pump().await;
        id
    }

    pub async fn create(&self, draft: Draft) -> ScheduleId {
        self.schedules.create(&caller(), draft, &request()).await.expect("made").0
    }

    pub async fn events(&self, stream: &StreamName) -> Vec<Recorded> {
        self.store.read_stream(stream, 0, 1_000, With::Contents).await.expect("readable")
    }

    /// What was decided of a schedule, in order.
    pub async fn decided(&self, id: ScheduleId) -> Vec<String> {
        let events = self.events(&StreamName::schedule(id)).await;
        let schedule = |recorded: &Recorded| match recorded.event().expect("readable") {
            Event::Schedule(event) => told(&event),
            other => panic!("{other:?}"),
        };
        events.iter().filter_map(schedule).collect()
    }

    pub async fn execution(&self, id: ExecutionId) -> Execution {
        self.ledger.load::<Execution>(&StreamName::execution(id)).await.expect("readable")
    }

    /// Submits another attempt at an execution.
    pub async fn try_again(&mut self, of: ExecutionId) -> ExecutionId {
        let pending = self.execution(of).await.pending().expect("submitted").clone();
        let pending = pending.again(Attempt {
            of,
            message: pending.message,
            system_prompt: None,
            requested_by: pending.requested_by.clone(),
            request_sha256: pending.request_sha256,
            now: self.clock.now(),
            not_before: None,
        });
        let (id, command) = (of.next_attempt(), Command::Submit(Box::new(pending)));
        let stream = StreamName::execution(id);
        let done = self.ledger.execute_new::<Execution>(&stream, command, &[], &context()).await;
        done.expect("accepted");
        self.pump().await;
        id
    }

    /// Records that a schedule fired, as if the ledger had died right after this append.
    pub async fn fire(&self, id: ScheduleId, fired: Fired, actor: Actor) {
        let correlation_id = Some(fired.execution_id.to_string());
        let context = Context { actor, correlation_id, ..context() };
        let (stream, command) = (StreamName::schedule(id), schedule::Command::Fire(fired));
        let done = self.ledger.execute::<Schedule>(&stream, command, &[], &context).await;
        assert_eq!(done.expect("accepted").events.len(), 1);
    }

    /// Ends an execution that waits.
    pub async fn end(&mut self, id: ExecutionId) {
        let command = Command::Cancel { cause: CancelCause::Requested };
        let stream = StreamName::execution(id);
        let done = self.ledger.execute::<Execution>(&stream, command, &[], &context()).await;
        done.expect("accepted");
        self.pump().await;
    }
}

fn tell_desk(desk: &Desk, recorded: &Recorded) {
    match recorded.event().expect("readable") {
        Event::Agent(event) => desk.policy().apply_agent(&agent_name(), &event),
        Event::Execution(event) => {
            let id = recorded.stream.execution_id().expect("an execution");
            desk.policy().apply_execution(recorded.position.number(), id, &event);
        }
        _ => {}
    }
}

fn parts(ledger: &Ledger) -> (Arc<Desk>, Schedules) {
    let desk = Arc::new(Desk::new(Policy::new(Ceiling::default()), Position::START));
    let secret = LedgerSecret::new([7; 32]);
    let tasks = Tasks::new(ledger.clone(), Arc::clone(&desk), Arc::new(NoSessions), secret);
    (desk, Schedules::new(ledger.clone(), tasks, Vec::new(), Vec::new()))
}

pub fn agent_name() -> AgentName {
    AgentName::new("a").expect("a name")
}

pub fn draft() -> Draft {
    Draft { cron: "*/5 * * * *".to_owned(), ..Draft::new(agent_name(), "tidy up".to_owned()) }
}

pub fn caller() -> Caller {
    let user = UserName::new("ada").expect("a name");
    Caller {
        actor: Actor { kind: ActorKind::Key, id: "k1".to_owned(), user, agent: None },
        role: Role::Operator,
        scope: Scope::All,
        run: None,
        may_call: None,
    }
}

pub fn request() -> Request {
    Request { id: "r1".to_owned(), traceparent: None }
}

fn context() -> Context {
    Context {
        actor: Actor::system("test"),
        correlation_id: Some("test".to_owned()),
        causation_id: None,
        traceparent: None,
    }
}
