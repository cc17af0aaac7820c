//! What was acknowledged is there after a kill.

use std::collections::HashSet;
use std::io::{BufRead, BufReader};

use execution_ledger_store::{EventStore, OpenError, SqliteOptions, SqliteStore, contract};

use crate::children::{child, log_of_child};
use crate::{all, opened};

/// Tasks of the child that append at once.
const WRITERS: usize = 8;
/// Acknowledgements after which the child is killed.
const ACKNOWLEDGED: usize = 400;
/// Appends of each writer at most, so that a child which nobody kills ends too.
const APPENDS_MAX: usize = 100_000;

/// Does nothing unless it is started as a child by the test below.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn child_that_appends_until_it_is_killed() {
    let Some(path) = log_of_child() else { return };
    let store = opened(&path);
    let mut writers = tokio::task::JoinSet::new();
    for writer in 0..WRITERS {
        let store = store.clone();
        writers.spawn(async move {
            let stream = contract::stream(&format!("writer-{writer}"));
            for number in 0..APPENDS_MAX {
                let event = contract::event_with_text(number, "a text beside it");
                let id = event.id;
                let any = execution_ledger_store::ExpectedRevision::Any;
                let appended = store.append(&stream, any, vec![event]).await.unwrap();
                println!("ack {} {id}", appended.position.number());
            }
        });
    }
    writers.join_all().await;
}

#[tokio::test]
async fn every_acknowledged_event_is_there_after_kill_9() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("events.db");
    let mut acknowledged: HashSet<(u64, String)> = HashSet::new();
    for _ in 0..3 {
        let enough = acknowledged.len() + ACKNOWLEDGED;
        let mut killed =
            child("durability::child_that_appends_until_it_is_killed", &path).spawn().unwrap();
        let mut lines = BufReader::new(killed.stdout.take().unwrap()).lines();
        let mut read = |line: std::io::Result<String>| {
            let line = line.unwrap();
            let words: Vec<&str> = line.split(' ').collect();
            if let ["ack", position, id] = words[..] {
                acknowledged.insert((position.parse().unwrap(), id.to_owned()));
            }
            acknowledged.len()
        };
        while read(lines.next().unwrap()) < enough {}
        let refused = SqliteStore::open(&path, SqliteOptions::default()).err().unwrap();
        assert!(
            matches!(refused, OpenError::InUse { pid, .. } if pid == Some(killed.id())),
            "another process has it: {refused}"
        );
        killed.kill().unwrap();
        killed.wait().unwrap();
        lines.for_each(|line| {
            read(line);
        });

        let store = opened(&path);
        let stored = all(&store).await;
        let there: HashSet<(u64, String)> =
            stored.iter().map(|event| (event.position.number(), event.id.to_string())).collect();
        assert!(acknowledged.is_subset(&there), "an acknowledged event is lost");
        assert_eq!(store.head().await.unwrap(), stored.last().unwrap().position);
        for (expected, event) in (1..).zip(&stored) {
            assert_eq!(event.position.number(), expected, "positions have no gap");
            let text = event.contents[0].content.as_ref().unwrap();
            assert_eq!(text.text, "a text beside it", "texts are stored with their events");
        }
    }
}
