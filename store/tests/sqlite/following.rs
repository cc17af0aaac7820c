//! Followers that fall behind, and readers of a log that nobody here writes.

use execution_ledger_store::{
    AppendError, EventStore, Position, SqliteStore, StoreError, contract,
};

use crate::{all, append, opened};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_follower_that_is_further_behind_than_the_memory_of_groups_reads_what_it_missed() {
    /// More than the store keeps in memory for followers.
    const APPENDS: usize = 1_100;
    let folder = tempfile::tempdir().unwrap();
    let store = opened(&folder.path().join("events.db"));
    let mut lagging = store.subscribe(Position::START).await.unwrap();
    for number in 0..APPENDS {
        append(&store, vec![contract::event(number)]).await.unwrap();
    }
    assert_eq!(store.commits(), APPENDS as u64);
    let mut seen = Vec::new();
    while seen.len() < APPENDS {
        seen.extend(lagging.next().await.unwrap().unwrap().iter().cloned());
    }
    assert_eq!(seen, all(&store).await);
    append(&store, vec![contract::event(0)]).await.unwrap();
    assert_eq!(lagging.next().await.unwrap().unwrap().len(), 1, "and then it is live again");
}

#[tokio::test]
async fn a_follower_that_starts_inside_a_group_sees_only_what_comes_after() {
    let folder = tempfile::tempdir().unwrap();
    let store = opened(&folder.path().join("events.db"));
    append(&store, (0..5).map(contract::event).collect()).await.unwrap();
    let mut follower = store.subscribe(Position::new(3)).await.unwrap();
    let seen = follower.next().await.unwrap().unwrap();
    let seen: Vec<u64> = seen.iter().map(|event| event.position.number()).collect();
    assert_eq!(seen, [4, 5]);
}

#[tokio::test]
async fn a_log_that_is_opened_for_reading_shows_what_a_server_writes_and_refuses_appends() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("events.db");
    let store = opened(&path);
    append(&store, vec![contract::event_with_text(0, "words")]).await.unwrap();
    let reader = SqliteStore::open_read_only(&path).unwrap();
    assert_eq!(reader.log_id(), store.log_id());
    append(&store, vec![contract::event(1)]).await.unwrap();
    assert_eq!(reader.head().await.unwrap(), Position::new(2));
    assert_eq!(all(&reader).await, all(&store).await);
    let mut stored = reader.subscribe(Position::START).await.unwrap();
    assert_eq!(stored.next().await.unwrap().unwrap().len(), 2);
    assert!(stored.next().await.is_none(), "it ends where the log ends");
    let refused = append(&reader, vec![contract::event(2)]).await;
    assert!(matches!(refused, Err(AppendError::Store(StoreError::Closed(_)))), "{refused:?}");
    reader.close().await;
}

#[tokio::test]
async fn a_log_that_a_killed_server_left_is_readable_without_a_server() {
    let folder = tempfile::tempdir().unwrap();
    let (path, left) = (folder.path().join("events.db"), folder.path().join("left"));
    let store = opened(&path);
    append(&store, vec![contract::event(0)]).await.unwrap();
    // What lies on the disk at this moment is what a kill would leave.
    std::fs::create_dir(&left).unwrap();
    for name in ["events.db", "events.db-wal"] {
        std::fs::copy(folder.path().join(name), left.join(name)).unwrap();
    }
    let reader = SqliteStore::open_read_only(&left.join("events.db")).unwrap();
    assert_eq!(all(&reader).await, all(&store).await);
}
