use execution_ledger_domain::StreamName;
use execution_ledger_store::{ExpectedRevision, SqliteOptions, SqliteStore};

use super::*;
use crate::import::tests::new_event;

fn execution(number: u128) -> ExecutionId {
    ExecutionId(uuid::Uuid::from_u128(number))
}

async fn append(store: &Arc<dyn EventStore>, number: u128, types: &[(&str, &str)]) -> Position {
    let stream = StreamName::execution(execution(number));
    let events = types.iter().map(|(name, text)| new_event(name, text)).collect();
    store.append(&stream, ExpectedRevision::Any, events).await.unwrap().position
}

#[tokio::test]
async fn two_executions_and_two_moments_are_told_apart_by_what_differs_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("events.db");
    let store: Arc<dyn EventStore> = SqliteStore::open(&path, SqliteOptions::default()).unwrap();
    append(&store, 1, &[("execution.pending", "one"), ("execution.running", "")]).await;
    let early = append(&store, 2, &[("execution.pending", "another")]).await;
    append(&store, 2, &[("execution.running", "")]).await;
    append(&store, 1, &[("execution.cancelled", "")]).await;
    let late = append(&store, 3, &[("execution.pending", "third")]).await;

    let diff = diff_executions(&store, execution(1), execution(2), late).await.unwrap().unwrap();
    let named = |field: &str| diff.differences.iter().find(|change| change.field == field);
    let status = named("status").expect("another status");
    assert_eq!((&status.before, &status.after), (&json!("cancelled"), &json!("running")));
    assert_eq!(named("message").expect("another text").after, "another");
    assert!(named("execution_id").is_none() && named("agent_name").is_none(), "{diff:?}");
    let itself = diff_executions(&store, execution(1), execution(1), late).await.unwrap().unwrap();
    assert_eq!(itself.differences, []);
    let missing = diff_executions(&store, execution(1), execution(3), early).await.unwrap();
    assert_eq!(missing, Err(execution(3)), "not there by then");

    let diff = diff_lists(&store, early, late, None).await.unwrap();
    assert_eq!((diff.before.total, diff.after.total, diff.truncated), (2, 3, false));
    let moved: Vec<_> =
        diff.executions.iter().map(|m| (m.execution_id, m.before, m.after)).collect();
    let expected = [
        (execution(2), Some(Status::Pending), Status::Running),
        (execution(1), Some(Status::Running), Status::Cancelled),
        (execution(3), None, Status::Pending),
    ];
    assert_eq!(moved, expected);
    let nobody = AgentName::new("nobody").unwrap();
    assert_eq!(diff_lists(&store, early, late, Some(&nobody)).await.unwrap().executions, []);
    assert_eq!(diff_lists(&store, late, late, None).await.unwrap().executions, []);
}
