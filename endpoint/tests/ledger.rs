//! An embedded ledger's log, as clients see it.

#![expect(clippy::unwrap_used, reason = "a test ends where something is not as it must be")]

use std::sync::Arc;

use execution_ledger_domain::StreamName;
use execution_ledger_endpoint::{
    AllFrom, Expected, LedgerLog, Log, LogEvent, OpenStore, Proposed, Removal, StreamFrom,
    StreamPage, WriteError,
};
use execution_ledger_store::contract::{event, event_with_text};
use execution_ledger_store::kurrentdb::form::{CustomMetadata, TextMetadata};
use execution_ledger_store::sqlite::{SqliteOptions, SqliteStore};
use execution_ledger_store::{ContentPlace, EventStore, ExpectedRevision, NewEvent};
use uuid::Uuid;

struct World {
    _folder: tempfile::TempDir,
    store: Arc<SqliteStore>,
    log: Arc<LedgerLog>,
}

async fn world(clients: bool) -> World {
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(&folder.path().join("events.db"), SqliteOptions::default());
    let store = store.unwrap();
    let clients = clients.then(|| OpenStore::in_memory().unwrap());
    let log = LedgerLog::new(Arc::clone(&store), clients).await.unwrap();
    World { _folder: folder, store, log }
}

fn execution(number: u32) -> StreamName {
    format!("execution-{number}").parse().unwrap()
}

impl World {
    async fn append(&self, stream: &StreamName, events: Vec<NewEvent>) {
        self.store.append(stream, ExpectedRevision::Any, events).await.unwrap();
    }

    async fn stream(&self, name: &str, from: StreamFrom) -> Option<Vec<LogEvent>> {
        match self.log.read_stream(name, from, 100).await.unwrap() {
            StreamPage::Found { events, next: None } => Some(events),
            StreamPage::Found { next, .. } => panic!("more at {next:?}"),
            StreamPage::Missing | StreamPage::Tombstoned => None,
        }
    }
}

fn foreign() -> Vec<Proposed> {
    vec![Proposed {
        id: Uuid::now_v7(),
        type_name: "note.taken".to_owned(),
        json: true,
        metadata: bytes::Bytes::new(),
        data: bytes::Bytes::from_static(b"{}"),
    }]
}

#[tokio::test]
async fn a_fact_has_its_own_id_type_and_data_and_says_when_it_was_recorded() {
    let world = world(false).await;
    let given = event(7);
    world.append(&execution(1), vec![given.clone(), event(8)]).await;
    let events = world.stream("ledger.execution-1", StreamFrom::UpFrom(0)).await.unwrap();
    assert_eq!(events.len(), 2);
    let first = &events[0];
    assert_eq!((first.id, &first.type_name), (given.id.0, &given.type_name));
    assert_eq!((&first.data[..], first.json), (given.data.as_bytes(), true));
    assert_eq!((first.revision, &first.stream[..]), (0, "ledger.execution-1"));
    let told = CustomMetadata::parse(&first.metadata).unwrap();
    assert_eq!((told.version, &told.stored), (given.version, &given.metadata));
    assert_eq!(told.recorded_at.micros() * 10, first.created);
    let page = world.log.read_all(AllFrom::After(0), 100).await.unwrap();
    assert_eq!((page.events, page.last), (events.clone(), true));
    let down = world.log.read_all(AllFrom::Before(u64::MAX), 1).await.unwrap();
    assert_eq!(down.events, events[1..]);
    let down = world.stream("ledger.execution-1", StreamFrom::DownFrom(u64::MAX)).await.unwrap();
    assert_eq!(down.iter().map(|event| event.revision).collect::<Vec<_>>(), [1, 0]);
}

#[tokio::test]
async fn a_text_is_a_stream_of_its_own_until_it_is_erased() {
    let world = world(false).await;
    let given = event_with_text(1, "do this ü");
    let (id, sha256) = (given.id, given.contents[0].reference().sha256);
    world.append(&execution(1), vec![given.clone()]).await;
    let events = world.stream("ledger.execution-1", StreamFrom::UpFrom(0)).await.unwrap();
    let told = CustomMetadata::parse(&events[0].metadata).unwrap();
    assert_eq!(told.texts, [sha256]);
    let name = format!("text.ledger-{id}.{sha256}");
    let [text] = &world.stream(&name, StreamFrom::UpFrom(0)).await.unwrap()[..] else {
        panic!("one event")
    };
    let content = TextMetadata::content(&text.metadata, &text.data, &sha256);
    assert_eq!(content.as_ref(), Some(&given.contents[0]));
    for wrong in [
        format!("text.ledger-{id}.{}", "0".repeat(64)),
        format!("text.other-{id}.{sha256}"),
        format!("text.ledger-{}.{sha256}", Uuid::nil()),
        "text.".to_owned(),
    ] {
        assert_eq!(world.stream(&wrong, StreamFrom::UpFrom(0)).await, None, "{wrong}");
    }
    let place = ContentPlace { event_id: id, sha256 };
    let told = vec![event(2)];
    let any = ExpectedRevision::Any;
    world.store.append_erasing(&execution(2), any, told, vec![place]).await.unwrap();
    let page = world.log.read_stream(&name, StreamFrom::UpFrom(0), 1).await.unwrap();
    assert!(matches!(page, StreamPage::Tombstoned));
}

#[tokio::test]
async fn what_is_not_there_is_missing_and_what_ends_is_at_its_end() {
    let world = world(false).await;
    world.append(&execution(1), vec![event(1)]).await;
    for missing in ["ledger.execution-2", "execution-1", "$$ledger.execution-1", "orders-1"] {
        assert_eq!(world.stream(missing, StreamFrom::UpFrom(0)).await, None, "{missing}");
    }
    let beyond = world.stream("ledger.execution-1", StreamFrom::UpFrom(5)).await;
    assert_eq!(beyond, Some(Vec::new()));
}

#[tokio::test]
async fn nobody_appends_facts_here_and_clients_have_streams_of_their_own_only_where_they_may() {
    for clients in [false, true] {
        let world = world(clients).await;
        world.append(&execution(1), vec![event(1)]).await;
        for own in ["ledger.execution-1", "ledger.x", "$$ledger.execution-1", "text.ledger-1"] {
            let refused = world.log.append(own.to_owned(), Expected::Any, foreign()).await;
            assert!(matches!(refused, Err(WriteError::Denied(_))), "{own}: {refused:?}");
            let refused = world.log.remove(own.to_owned(), Expected::Any, Removal::Tombstone).await;
            assert!(matches!(refused, Err(WriteError::Denied(_))), "{own}: {refused:?}");
        }
        let appended = world.log.append("notes-1".to_owned(), Expected::NoStream, foreign()).await;
        let seen = world.stream("notes-1", StreamFrom::UpFrom(0)).await;
        if clients {
            appended.unwrap();
            assert_eq!(seen.map(|events| events.len()), Some(1));
        } else {
            let Err(WriteError::Denied(problem)) = appended else { panic!("{appended:?}") };
            assert!(problem.contains("--eventstore-client-streams"), "{problem}");
            assert_eq!(seen, None);
        }
        let all = world.log.read_all(AllFrom::After(0), 100).await.unwrap();
        assert_eq!(all.events.len(), 1, "a note is no fact");
    }
}

#[tokio::test]
async fn whoever_follows_is_told_of_what_comes_in_the_log_and_in_streams_of_clients() {
    let world = world(true).await;
    let (mut head, mut notes) = (world.log.head(), world.log.changes("notes-1"));
    let before = *head.borrow();
    world.append(&execution(1), vec![event(1)]).await;
    head.wait_for(|head| *head > before).await.unwrap();
    notes.mark_unchanged();
    world.log.append("notes-1".to_owned(), Expected::Any, foreign()).await.unwrap();
    notes.changed().await.unwrap();
    world.store.close().await;
    while head.changed().await.is_ok() {}
}

#[tokio::test]
async fn a_long_stream_is_read_in_pages_that_are_not_larger_than_memory_should_be() {
    let world = world(false).await;
    for number in 0..150 {
        world.append(&execution(1), vec![event(number)]).await;
    }
    let revisions = async |mut from: StreamFrom| {
        let (mut seen, mut largest) = (Vec::new(), 0);
        loop {
            let page = world.log.read_stream("ledger.execution-1", from, 1_000).await.unwrap();
            let StreamPage::Found { events, next } = page else { panic!("it is there") };
            largest = largest.max(events.len());
            seen.extend(events.iter().map(|event| event.revision));
            match next {
                Some(next) => from = next,
                None => return (seen, largest),
            }
        }
    };
    let (up, largest) = revisions(StreamFrom::UpFrom(0)).await;
    assert_eq!(up, (0..150).collect::<Vec<_>>());
    assert!(largest < 100, "{largest} events at once");
    let (down, _) = revisions(StreamFrom::DownFrom(u64::MAX)).await;
    assert_eq!(down, (0..150).rev().collect::<Vec<_>>());
}
