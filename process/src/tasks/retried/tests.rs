//! Given earlier calls, when one comes again, then it starts something or not.

use std::collections::HashSet;
use std::sync::Arc;

use async_trait::async_trait;
use execution_ledger_domain::agent::{AgentConfig, Runtime};
use execution_ledger_domain::policy::{AgentStatus, Ceiling, Policy};
use execution_ledger_domain::{Actor, ActorKind, Role, Scope, UserName};
use execution_ledger_store::{Ledger, ManualClock, Position, SqliteOptions, SqliteStore};
use tempfile::TempDir;

use super::*;
use crate::desk::Desk;
use crate::run_token::LedgerSecret;
use crate::tasks::{SessionIndex, Via};

struct NoSessions;

#[async_trait]
impl SessionIndex for NoSessions {
    async fn is_resumable(&self, _: &AgentName, _: &str, _: &Scope) -> Result<bool, StoreError> {
        Ok(false)
    }

    async fn untold_results(
        &self,
        _: execution_ledger_domain::SessionId,
        _: Position,
        _: usize,
    ) -> Result<Vec<ExecutionId>, StoreError> {
        Ok(Vec::new())
    }
}

struct Given {
    tasks: Tasks,
    clock: Arc<ManualClock>,
    folder: TempDir,
}

fn agent() -> AgentName {
    AgentName::new("a").expect("a name")
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_micros(1_800_000_000_000_000 + seconds * 1_000_000)
}

fn caller(id: &str) -> Caller {
    let user = UserName::new("u").expect("a name");
    Caller {
        actor: Actor { kind: ActorKind::Key, id: id.to_owned(), user, agent: None },
        role: Role::Admin,
        scope: Scope::All,
        run: None,
        may_call: None,
    }
}

fn task(message: &str) -> NewTask {
    NewTask {
        via: Via::Mcp,
        waits: false,
        message: message.to_owned(),
        inject_result: false,
        chat_session_id: None,
        model: None,
        timeout_s: None,
        max_cost: None,
        allowed_tools: None,
        system_prompt: None,
        max_turns: None,
        resume_session_id: None,
        parent_execution_id: None,
        idempotency_key: None,
    }
}

fn request() -> Request {
    Request { id: "r".to_owned(), traceparent: None }
}

/// An agent that starts nothing, so that what is submitted waits.
fn opened(folder: TempDir, clock: Arc<ManualClock>) -> Given {
    let options = SqliteOptions { clock: clock.clone(), ..SqliteOptions::default() };
    let store = SqliteStore::open(&folder.path().join("events.db"), options).expect("a log");
    let ledger = Ledger::new(store, clock.clone());
    let mut policy = Policy::new(Ceiling::default());
    let config = AgentConfig::of(Runtime::Command, vec!["/bin/true".to_owned()]);
    policy.load_agent(&agent(), config, AgentStatus::Paused);
    let desk = Arc::new(Desk::new(policy, Position::START));
    let tasks = Tasks::new(ledger, desk, Arc::new(NoSessions), LedgerSecret::new([1; 32]));
    Given { tasks, clock, folder }
}

fn given() -> Given {
    let folder = tempfile::tempdir().expect("a folder");
    opened(folder, Arc::new(ManualClock::at(at(0))))
}

impl Given {
    async fn call(&self, caller: &Caller, message: &str, repeat: bool) -> Submitted {
        let (agent, task, request) = (agent(), task(message), request());
        let done = self.tasks.submit_unless_retried(caller, &agent, task, repeat, &request);
        done.await.expect("accepted")
    }

    async fn end(&self, id: ExecutionId) {
        self.tasks.stop(&caller("k"), id, &request()).await.expect("stopped");
    }
}

#[tokio::test]
async fn an_equal_call_is_answered_by_the_first_one_until_a_minute_after_its_end() {
    let given = given();
    let k = caller("k");
    let first = given.call(&k, "m", false).await;
    assert!(!first.replayed);
    given.clock.set(at(10_000));
    let again = given.call(&k, "m", false).await;
    assert_eq!((again.execution_id, again.replayed), (first.execution_id, true));

    given.end(first.execution_id).await;
    given.clock.set(at(10_059));
    let soon = given.call(&k, "m", false).await;
    assert_eq!((soon.execution_id, soon.replayed), (first.execution_id, true));
    given.clock.set(at(10_060));
    let later = given.call(&k, "m", false).await;
    assert_ne!(later.execution_id, first.execution_id);
    assert!(!later.replayed);
}

#[tokio::test]
async fn another_caller_and_another_message_start_something_else() {
    let given = given();
    let first = given.call(&caller("k"), "m", false).await;
    for (caller, message) in [(caller("l"), "m"), (caller("k"), "n")] {
        let other = given.call(&caller, message, false).await;
        assert_ne!(other.execution_id, first.execution_id);
        assert!(!other.replayed);
    }
}

#[tokio::test]
async fn a_wanted_repetition_starts_another_and_is_what_a_retry_then_means() {
    let given = given();
    let k = caller("k");
    let mut started = HashSet::new();
    for _ in 0..9 {
        let repeated = given.call(&k, "m", true).await;
        assert!(!repeated.replayed && started.insert(repeated.execution_id));
        let retried = given.call(&k, "m", false).await;
        assert_eq!((retried.execution_id, retried.replayed), (repeated.execution_id, true));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_at_the_same_time_start_one_and_repetitions_one_each() {
    let given = Arc::new(given());
    for (message, repeat, wanted) in [("m", false, 1), ("n", true, 8)] {
        let calls = (0..8).map(|_| {
            let given = Arc::clone(&given);
            tokio::spawn(async move { given.call(&caller("k"), message, repeat).await })
        });
        let done = futures::future::join_all(calls).await;
        let done: Vec<_> = done.into_iter().map(|call| call.expect("no panic")).collect();
        let ids: HashSet<_> = done.iter().map(|call| call.execution_id).collect();
        let started = done.iter().filter(|call| !call.replayed).count();
        assert_eq!((ids.len(), started), (wanted, wanted), "{message}");
    }
}

#[tokio::test]
async fn a_restart_forgets_nothing() {
    let given = given();
    let first = given.call(&caller("k"), "m", false).await;
    let Given { tasks, clock, folder } = given;
    tasks.ledger.store().close().await;
    drop(tasks);
    let given = opened(folder, clock);
    let again = given.call(&caller("k"), "m", false).await;
    assert_eq!((again.execution_id, again.replayed), (first.execution_id, true));
}
