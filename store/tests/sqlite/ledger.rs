//! The one write path, on a real store.

use std::sync::Arc;

use async_trait::async_trait;
use execution_ledger_domain::access::{AccessEvent, Refused, RefusedFor};
use execution_ledger_domain::agent::{Agent, AgentConfig, AgentEvent, Command, Rejection, Runtime};
use execution_ledger_domain::limits::APPEND_MAX_BYTES;
use execution_ledger_domain::{Actor, AgentName, Content, Event, StreamName, Timestamp};
use execution_ledger_store::{
    AppendError, Appended, ContentPlace, Context, EventStore, ExecuteError, ExpectedRevision,
    Ledger, LogId, NewEvent, Position, Recorded, StoreError, Subscription, SystemClock, With,
    contract,
};

use crate::opened;

struct Fixture {
    ledger: Ledger,
    store: Arc<dyn EventStore>,
    stream: StreamName,
    _folder: tempfile::TempDir,
}

fn fixture() -> Fixture {
    let folder = tempfile::tempdir().unwrap();
    let store: Arc<dyn EventStore> = opened(&folder.path().join("events.db"));
    let ledger = Ledger::new(Arc::clone(&store), Arc::new(SystemClock));
    let stream = StreamName::agent(&AgentName::new("a").unwrap());
    Fixture { ledger, store, stream, _folder: folder }
}

fn context() -> Context {
    Context {
        actor: Actor::system("test"),
        correlation_id: Some("story".to_owned()),
        causation_id: Some("cause".to_owned()),
        traceparent: None,
    }
}

fn register() -> Command {
    Command::Register(Box::new(AgentConfig::of(Runtime::Command, vec!["true".to_owned()])))
}

impl Fixture {
    async fn execute(&self, command: Command) -> Result<Vec<AgentEvent>, ExecuteError<Rejection>> {
        let done = self.ledger.execute::<Agent>(&self.stream, command, &[], &context()).await?;
        Ok(done.events)
    }

    async fn stored(&self) -> Vec<Recorded> {
        self.store.read_stream(&self.stream, 0, 1_000, With::Contents).await.unwrap()
    }
}

#[tokio::test]
async fn a_command_is_decided_on_the_stored_state_and_its_events_are_stored_with_their_story() {
    let fixture = fixture();
    fixture.execute(register()).await.unwrap();
    let refused = fixture.execute(register()).await;
    assert!(matches!(refused, Err(ExecuteError::Refused(Rejection::AlreadyRegistered))));
    let paused = fixture
        .ledger
        .execute::<Agent>(&fixture.stream, Command::Pause, &[], &context())
        .await
        .unwrap();
    let loaded = fixture.ledger.load::<Agent>(&fixture.stream).await.unwrap();
    assert_eq!(paused.state, loaded);
    let stored = fixture.stored().await;
    assert_eq!(stored.len(), 2);
    assert_eq!(stored[1].type_name, "agent.paused");
    assert_eq!((stored[1].position, stored[1].recorded_at), (paused.position, paused.recorded_at));
    let metadata = stored[1].parsed_metadata().unwrap();
    assert_eq!((metadata.actor, &*metadata.correlation_id), (Actor::system("test"), "story"));
}

#[tokio::test]
async fn a_command_goes_on_from_a_known_state_and_reads_only_what_was_appended_since() {
    let fixture = fixture();
    let registered = fixture
        .ledger
        .execute::<Agent>(&fixture.stream, register(), &[], &context())
        .await
        .unwrap();
    let known = (registered.state, registered.head.unwrap());
    let from = async |command| {
        let Fixture { ledger, stream, .. } = &fixture;
        ledger.execute_from::<Agent>(stream, known.clone(), command, &[], &context()).await.unwrap()
    };
    let paused = from(Command::Pause).await;
    assert_eq!(paused.events.len(), 1);
    let stored = fixture.stored().await;
    let head = paused.head.unwrap();
    assert_eq!((head.revision, head.id), (stored[1].revision, stored[1].id));
    // Known is the state before the pause: the conflict tells of it.
    let resumed = from(Command::Resume).await;
    assert!(resumed.events.is_empty(), "an active agent is active already");
    let retired = from(Command::Retire).await;
    assert_eq!(retired.head.unwrap().revision, 2);
    assert_eq!(retired.state, fixture.ledger.load::<Agent>(&fixture.stream).await.unwrap());
}

#[tokio::test]
async fn facts_without_rules_are_noted_in_their_order_by_whoever_comes() {
    let fixture = fixture();
    let stream = StreamName::access(Timestamp::EPOCH);
    let fact = |count| {
        let (minute, code) = (Timestamp::EPOCH, RefusedFor::Unauthorized);
        Event::from(AccessEvent::Refused(Refused { source: None, minute, code, count }))
    };
    let first = fixture.ledger.note(&stream, &[fact(1), fact(2)], &context()).await.unwrap();
    let second = fixture.ledger.note(&stream, &[fact(3)], &context()).await.unwrap();
    assert!(first < second);
    let store = fixture.ledger.store();
    let stored = store.read_stream(&stream, 0, 10, With::EventsOnly).await.unwrap();
    let events: Vec<_> = stored.iter().map(|recorded| recorded.event().unwrap()).collect();
    assert_eq!(events, [fact(1), fact(2), fact(3)]);
    assert_eq!(stored[0].stream.as_str(), "access-1970-01-01");
}

#[tokio::test]
async fn what_is_so_already_appends_nothing_and_answers_where_it_stands() {
    let fixture = fixture();
    fixture.execute(register()).await.unwrap();
    fixture.execute(Command::Pause).await.unwrap();
    let before = fixture.stored().await;
    let again = fixture
        .ledger
        .execute::<Agent>(&fixture.stream, Command::Pause, &[], &context())
        .await
        .unwrap();
    assert!(again.events.is_empty());
    assert_eq!(again.position, before[1].position);
    assert_eq!(fixture.stored().await, before);
}

#[tokio::test]
async fn a_command_on_a_stream_that_is_not_new_after_all_is_decided_again() {
    let fixture = fixture();
    let story = context();
    let new = || fixture.ledger.execute_new::<Agent>(&fixture.stream, register(), &[], &story);
    new().await.unwrap();
    let refused = new().await;
    assert!(matches!(refused, Err(ExecuteError::Refused(Rejection::AlreadyRegistered))));
    assert_eq!(fixture.stored().await.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_at_once_exactly_one_registers_the_agent() {
    let fixture = Arc::new(fixture());
    let mut callers = tokio::task::JoinSet::new();
    for _ in 0..16 {
        let fixture = Arc::clone(&fixture);
        callers.spawn(async move { fixture.execute(register()).await.is_ok() });
    }
    let registered = callers.join_all().await.into_iter().filter(|won| *won).count();
    assert_eq!(registered, 1);
    assert_eq!(fixture.stored().await.len(), 1);
}

#[tokio::test]
async fn an_event_that_this_version_does_not_know_stops_the_command() {
    let fixture = fixture();
    let unknown = NewEvent { type_name: "agent.promoted".to_owned(), ..contract::event(0) };
    fixture.store.append(&fixture.stream, ExpectedRevision::Any, vec![unknown]).await.unwrap();
    let failed = fixture.execute(Command::Pause).await;
    let Err(ExecuteError::Unreadable(problem)) = failed else { panic!("{failed:?}") };
    assert!(problem.contains("agent-a@0") && problem.contains("agent.promoted"), "{problem}");
    assert_eq!(fixture.stored().await.len(), 1);
}

#[tokio::test]
async fn an_event_of_another_kind_of_stream_stops_the_command() {
    let fixture = fixture();
    let moved = NewEvent {
        type_name: "execution.queue_moved".to_owned(),
        data: r#"{"rank":1}"#.to_owned(),
        ..contract::event(0)
    };
    fixture.store.append(&fixture.stream, ExpectedRevision::Any, vec![moved]).await.unwrap();
    let failed = fixture.execute(Command::Pause).await;
    assert!(matches!(failed, Err(ExecuteError::Unreadable(_))), "{failed:?}");
}

#[tokio::test]
async fn a_text_that_no_event_refers_to_is_not_stored() {
    let fixture = fixture();
    let stray = Content::new([1; 16], "nobody refers to this");
    fixture
        .ledger
        .execute::<Agent>(&fixture.stream, register(), &[stray], &context())
        .await
        .unwrap();
    assert!(fixture.stored().await[0].contents.is_empty());
}

mod texts {
    use execution_ledger_domain::execution::{Command, CostBasis, Execution};
    use execution_ledger_domain::{ExecutionId, NanoUsd};
    use uuid::Uuid;

    use super::{Content, ExecuteError, StreamName, With, context, fixture};

    /// An execution that was cancelled before it started: its cost can be corrected.
    const PENDING: &str = r#"{"agent":"a","triggered_by":"manual","requested_by":{"kind":"key","id":"k"},
        "user":"u","redactions":0,"expires_at":"2999-01-01T00:00:00.000000Z","attempt":1,"timeout_s":900,
        "grace_s":5,"request_sha256":"0000000000000000000000000000000000000000000000000000000000000000",
        "message":{"sha256":"0000000000000000000000000000000000000000000000000000000000000000","bytes":0}}"#;

    async fn ended(fixture: &super::Fixture) -> StreamName {
        let stream = StreamName::execution(ExecutionId(Uuid::now_v7()));
        let event = |type_name: &str, data: &str| super::NewEvent {
            type_name: type_name.to_owned(),
            data: data.to_owned(),
            ..super::contract::event(0)
        };
        let life = vec![
            event("execution.pending", PENDING),
            event("execution.cancelled", r#"{"cause":"requested"}"#),
        ];
        fixture.store.append(&stream, super::ExpectedRevision::NoStream, life).await.unwrap();
        stream
    }

    fn correct(reason: &Content) -> Command {
        Command::CorrectCost {
            cost: NanoUsd::ZERO,
            basis: CostBasis::Unknown,
            price_book: None,
            reason: reason.reference(),
        }
    }

    #[tokio::test]
    async fn a_text_lies_beside_the_event_that_refers_to_it_and_beside_no_other() {
        let fixture = fixture();
        let stream = ended(&fixture).await;
        let reason = Content::new([1; 16], "billed twice");
        let stray = Content::new([2; 16], "nobody refers to this");
        fixture
            .ledger
            .execute::<Execution>(&stream, correct(&reason), &[stray, reason.clone()], &context())
            .await
            .unwrap();
        let stored = fixture.store.read_stream(&stream, 0, 10, With::Contents).await.unwrap();
        assert_eq!(stored[2].contents.len(), 1);
        assert_eq!(stored[2].text(&reason.reference()), Some("billed twice"));
        assert!(stored[..2].iter().all(|event| event.contents.is_empty()));
    }

    #[tokio::test]
    async fn an_append_that_is_too_large_is_refused_and_changes_nothing() {
        let fixture = fixture();
        let stream = ended(&fixture).await;
        let endless = Content::new([1; 16], "x".repeat(super::APPEND_MAX_BYTES));
        let refused = fixture
            .ledger
            .execute::<Execution>(
                &stream,
                correct(&endless),
                std::slice::from_ref(&endless),
                &context(),
            )
            .await;
        assert!(
            matches!(refused, Err(ExecuteError::TooLarge { max: super::APPEND_MAX_BYTES, .. })),
            "{refused:?}"
        );
        let stored = fixture.store.read_stream(&stream, 0, 10, With::Contents).await.unwrap();
        assert_eq!(stored.len(), 2);
    }
}

/// A store on which somebody else always appends first.
struct AlwaysLate(Arc<dyn EventStore>);

#[async_trait]
impl EventStore for AlwaysLate {
    fn log_id(&self) -> &LogId {
        self.0.log_id()
    }
    async fn append_erasing(
        &self,
        _: &StreamName,
        _: ExpectedRevision,
        _: Vec<NewEvent>,
        _: Vec<ContentPlace>,
    ) -> Result<Appended, AppendError> {
        Err(AppendError::WrongExpectedRevision { current: Some(7) })
    }
    async fn scrub(&self) -> Result<bool, StoreError> {
        Ok(true)
    }
    async fn read_stream(
        &self,
        stream: &StreamName,
        from_revision: u64,
        limit: usize,
        with: With,
    ) -> Result<Vec<Recorded>, StoreError> {
        self.0.read_stream(stream, from_revision, limit, with).await
    }
    async fn read_all(
        &self,
        after: Position,
        limit: usize,
        with: With,
    ) -> Result<Vec<Recorded>, StoreError> {
        self.0.read_all(after, limit, with).await
    }
    async fn read_stream_backwards(
        &self,
        stream: &StreamName,
        from_revision: u64,
        limit: usize,
        with: With,
    ) -> Result<Vec<Recorded>, StoreError> {
        self.0.read_stream_backwards(stream, from_revision, limit, with).await
    }
    async fn read_all_backwards(
        &self,
        before: Position,
        limit: usize,
        with: With,
    ) -> Result<Vec<Recorded>, StoreError> {
        self.0.read_all_backwards(before, limit, with).await
    }
    async fn head(&self) -> Result<Position, StoreError> {
        self.0.head().await
    }
    async fn subscribe(&self, after: Position) -> Result<Subscription, StoreError> {
        self.0.subscribe(after).await
    }
    async fn close(&self) {
        self.0.close().await;
    }
}

#[tokio::test]
async fn a_command_that_is_always_late_gives_up_after_a_bounded_number_of_tries() {
    let fixture = fixture();
    let late = Arc::new(AlwaysLate(Arc::clone(&fixture.store)));
    let ledger = Ledger::new(late, Arc::new(SystemClock));
    let failed = ledger.execute::<Agent>(&fixture.stream, register(), &[], &context()).await;
    assert!(matches!(failed, Err(ExecuteError::Contended)), "{failed:?}");
}
