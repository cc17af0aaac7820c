use execution_ledger_store::{ExpectedRevision, SqliteOptions, SqliteStore};
use serde_json::json;

use super::*;
use crate::import::tests::new_event;

struct World {
    _folder: tempfile::TempDir,
    store: Arc<dyn EventStore>,
}

impl World {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("events.db");
        let store = SqliteStore::open(&path, SqliteOptions::default()).unwrap();
        Self { _folder: folder, store }
    }

    /// Appends an event of each of these types, with the data of the golden file.
    async fn append(&self, stream: &StreamName, types: &[&str]) -> Position {
        let events = types.iter().map(|name| new_event(name, "do it")).collect();
        self.store.append(stream, ExpectedRevision::Any, events).await.unwrap().position
    }
}

fn execution(number: u128) -> ExecutionId {
    ExecutionId(uuid::Uuid::from_u128(number))
}

#[tokio::test]
async fn an_execution_is_walked_event_by_event_with_what_each_changed() {
    let world = World::new();
    let id = execution(1);
    let types = ["execution.pending", "execution.running", "execution.cancelled"];
    world.append(&StreamName::execution(id), &types).await;
    let head = world.store.head().await.unwrap();
    let replay = Replay::read(&world.store, &Subject::Execution(id), head).await.unwrap();
    assert_eq!(replay.len(), 3);
    assert_eq!(replay.state(0), Value::Null);
    for (events, status) in [(1, "pending"), (2, "running"), (3, "cancelled"), (9, "cancelled")] {
        assert_eq!(replay.state(events)["status"], status);
    }
    assert_eq!(replay.state(1)["message"], "do it");
    let steps = replay.steps().unwrap();
    let types: Vec<_> = steps.iter().map(|step| step.type_name.as_str()).collect();
    assert_eq!(types, ["execution.pending", "execution.running", "execution.cancelled"]);
    let status = steps[1].changes.iter().find(|change| change.field == "status").unwrap();
    assert_eq!((&status.before, &status.after), (&json!("pending"), &json!("running")));
    for (number, step) in steps.iter().enumerate() {
        assert_eq!(replay.step(number).unwrap().as_ref(), Some(step));
    }
    assert_eq!(replay.step(3).unwrap(), None);

    let earlier = Replay::read(&world.store, &Subject::Execution(id), Position::new(2)).await;
    assert_eq!(earlier.unwrap().state(9)["status"], "running");
    let nothing = Replay::read(&world.store, &Subject::Execution(execution(2)), head).await;
    assert!(nothing.unwrap().is_empty());
}

#[tokio::test]
async fn agents_sessions_schedules_and_keys_are_replayed_too_and_no_key_shows_its_secret() {
    let world = World::new();
    let agent = AgentName::new("b").unwrap();
    let uuid = uuid::Uuid::from_u128(5);
    for (subject, types, statuses) in [
        (
            Subject::Agent(agent),
            vec!["agent.registered", "agent.paused", "agent.resumed", "agent.retired"],
            vec!["active", "paused", "active", "retired"],
        ),
        (
            Subject::Session(SessionId(uuid)),
            vec!["session.opened", "session.message_posted", "session.closed"],
            vec!["open", "open", "closed"],
        ),
        (
            Subject::Schedule(ScheduleId(uuid)),
            vec!["schedule.created", "schedule.disabled", "schedule.enabled", "schedule.deleted"],
            vec!["enabled", "disabled", "enabled", "deleted"],
        ),
        (Subject::Key(KeyId(uuid)), vec!["key.issued", "key.revoked"], vec!["active", "revoked"]),
    ] {
        world.append(&subject.stream(), &types).await;
        let head = world.store.head().await.unwrap();
        let replay = Replay::read(&world.store, &subject, head).await.unwrap();
        let found: Vec<_> = (1..=replay.len()).map(|events| replay.state(events)).collect();
        let found_statuses: Vec<_> =
            found.iter().map(|state| state["status"].as_str().unwrap_or("none")).collect();
        assert_eq!(found_statuses, statuses, "{subject:?}: {found:?}");
        if matches!(subject, Subject::Key(_)) {
            assert!(!found.iter().any(|state| state.to_string().contains("sha256")), "{found:?}");
        }
    }
}

#[tokio::test]
async fn a_moment_is_a_position_or_a_time_of_this_log() {
    let world = World::new();
    let stream = StreamName::execution(execution(1));
    world.append(&stream, &["execution.pending", "execution.running"]).await;
    let events = world.store.read_all(Position::START, 9, With::EventsOnly).await.unwrap();
    let at = |text: String| {
        let store = Arc::clone(&world.store);
        async move { text.parse::<Moment>().unwrap().position(&store).await }
    };
    let log = world.store.log_id();
    assert_eq!(at(format!("{log}-1")).await.unwrap(), Position::new(1));
    assert!(matches!(at(format!("{log}-3")).await, Err(MomentError::Beyond { .. })));
    assert!(matches!(at("other-1".to_owned()).await, Err(MomentError::OtherLog(_))));
    let time = events[1].recorded_at;
    assert_eq!(at(time.to_string()).await.unwrap(), Position::new(2));
    assert_eq!(at("1970-01-01T00:00:00Z".to_owned()).await.unwrap(), Position::START);
    assert_eq!(at("2999-01-01T00:00:00Z".to_owned()).await.unwrap(), Position::new(2));
    assert!("yesterday".parse::<Moment>().is_err());
}

#[tokio::test]
async fn the_list_of_a_moment_counts_everything_and_names_the_newest() {
    let world = World::new();
    let mut ends = Vec::new();
    for number in 1..=6 {
        let types = match number {
            1..=2 => vec!["execution.pending", "execution.running", "execution.cancelled"],
            3..=4 => vec!["execution.pending", "execution.running"],
            _ => vec!["execution.pending"],
        };
        ends.push(world.append(&StreamName::execution(execution(number)), &types).await);
    }
    let list = list_at(&world.store, ends[5], None, 3, |_| {}).await.unwrap();
    assert_eq!(list.counts.total, 6);
    assert_eq!(list.counts.by_status["pending"], 2);
    assert_eq!(list.counts.by_status["running"], 2);
    assert_eq!(list.counts.by_status["cancelled"], 2);
    let ids: Vec<_> = list.executions.iter().map(|record| record.execution_id).collect();
    assert_eq!(ids, [execution(6), execution(5), execution(4)]);
    assert_eq!(list.executions[0].message.as_deref(), Some("do it"));

    let earlier = Position::new(ends[0].number() - 1);
    let list = list_at(&world.store, earlier, None, 3, |_| {}).await.unwrap();
    assert_eq!((list.counts.total, list.counts.by_status["running"]), (1, 1));
    let nobody = AgentName::new("nobody").unwrap();
    let list = list_at(&world.store, ends[5], Some(&nobody), 3, |_| {}).await.unwrap();
    assert_eq!((list.counts.total, list.executions.len()), (0, 0));
}
