//! Full disks, failing disks, clocks that jump, and others who touch the file.

use std::sync::Arc;

use execution_ledger_domain::Timestamp;
use execution_ledger_store::{
    AppendError, EventStore, ManualClock, NewEvent, Position, SqliteOptions, SqliteStore,
    StoreError, contract,
};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use rusqlite::Connection;

use crate::children::{child, log_of_child};
use crate::{all, append, opened};

fn large(number: usize) -> NewEvent {
    contract::event_with_text(number, &"x".repeat(256 * 1024))
}

#[tokio::test]
async fn a_full_disk_refuses_what_does_not_fit_changes_nothing_and_takes_what_fits() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("events.db");
    let small_disk = SqliteOptions { max_pages: Some(180), ..SqliteOptions::default() };
    let store = SqliteStore::open(&path, small_disk).unwrap();
    let mut follower = store.subscribe(Position::START).await.unwrap();
    append(&store, vec![contract::event(0)]).await.unwrap();
    append(&store, vec![large(1), large(2)]).await.unwrap();
    let before = all(&store).await;
    for _ in 0..3 {
        let refused = append(&store, vec![contract::event(3), large(4)]).await;
        assert!(matches!(refused, Err(AppendError::Store(StoreError::DiskFull))), "{refused:?}");
    }
    assert_eq!(all(&store).await, before);
    let fits = append(&store, vec![contract::event(5)]).await.unwrap();
    assert_eq!(fits.revision, 3);
    let mut seen = Vec::new();
    while seen.len() < 4 {
        seen.extend(follower.next().await.unwrap().unwrap().iter().cloned());
    }
    assert_eq!(seen, all(&store).await);
    drop(store);
    let larger_disk = opened(&path);
    append(&larger_disk, vec![large(6)]).await.unwrap();
    assert_eq!(all(&larger_disk).await.len(), 5);
}

/// Does nothing unless it is started as a child by the test below.
#[tokio::test]
async fn child_whose_disk_fails_for_a_while() {
    let Some(path) = log_of_child() else { return };
    let store = opened(&path);
    let mut follower = store.subscribe(Position::START).await.unwrap();
    append(&store, vec![contract::event(0)]).await.unwrap();
    let (_, most) = getrlimit(Resource::RLIMIT_FSIZE).unwrap();
    setrlimit(Resource::RLIMIT_FSIZE, 128 * 1024, most).unwrap();
    for number in 1..4 {
        let failed = append(&store, vec![large(number)]).await;
        let Err(AppendError::Store(StoreError::Fault(problem))) = failed else {
            panic!("a failed commit is never acknowledged: {failed:?}")
        };
        assert!(problem.contains("not known"), "{problem}");
    }
    setrlimit(Resource::RLIMIT_FSIZE, most, most).unwrap();
    let appended = append(&store, vec![large(4)]).await.unwrap();
    assert_eq!(appended.revision, 1, "nothing of the failed appends is there");
    let mut seen = Vec::new();
    while seen.len() < 2 {
        seen.extend(follower.next().await.unwrap().unwrap().iter().cloned());
    }
    assert_eq!(seen, all(&store).await);
    println!("survived");
}

#[tokio::test]
async fn after_a_failed_commit_the_truth_is_read_again_and_the_store_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("events.db");
    let ended = child("faults::child_whose_disk_fails_for_a_while", &path).output().unwrap();
    let said = String::from_utf8_lossy(&ended.stdout);
    assert!(ended.status.success() && said.contains("survived"), "{said}");
    assert_eq!(all(&opened(&path)).await.len(), 2);
}

#[tokio::test]
async fn recorded_at_stands_still_while_the_clock_runs_behind_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("events.db");
    let at = |second: i64| Timestamp::from_micros(second * 1_000_000);
    let clock = Arc::new(ManualClock::at(at(100)));
    let options = SqliteOptions { clock: clock.clone(), ..SqliteOptions::default() };
    let store = SqliteStore::open(&path, options.clone()).unwrap();
    let mut times = Vec::new();
    for second in [100, 50, 99, 101] {
        clock.set(at(second));
        times.push(append(&store, vec![contract::event(0)]).await.unwrap().recorded_at);
    }
    drop(store);
    clock.set(at(7));
    let store = SqliteStore::open(&path, options).unwrap();
    times.push(append(&store, vec![contract::event(0)]).await.unwrap().recorded_at);
    assert_eq!(times, [at(100), at(100), at(100), at(101), at(101)], "also after a restart");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_append_waits_while_another_process_locks_the_file_for_a_moment() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("events.db");
    let store = opened(&path);
    let other = Connection::open(&path).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let waiting = tokio::spawn({
        let store = store.clone();
        async move { append(&store, vec![contract::event(0)]).await }
    });
    tokio::task::yield_now().await;
    assert!(!waiting.is_finished());
    other.execute_batch("ROLLBACK").unwrap();
    waiting.await.unwrap().unwrap();
}

#[tokio::test]
async fn an_event_that_somebody_wrote_behind_the_stores_back_is_not_overwritten() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("events.db");
    let store = opened(&path);
    append(&store, vec![contract::event(0)]).await.unwrap();
    Connection::open(&path)
        .unwrap()
        .execute(
            "INSERT INTO events VALUES (2, 'test-b', 0, randomblob(16), 'test.forged', 1, 0, '{}', '{}')",
            [],
        )
        .unwrap();
    let failed = append(&store, vec![contract::event(1)]).await;
    assert!(matches!(failed, Err(AppendError::Store(StoreError::Fault(_)))), "{failed:?}");
    let appended = append(&store, vec![contract::event(1)]).await.unwrap();
    assert_eq!((appended.position, appended.revision), (Position::new(3), 1));
}
