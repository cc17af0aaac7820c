//! What is left of an erased text in the files.

use std::path::Path;

use execution_ledger_domain::Content;
use execution_ledger_store::{
    ContentPlace, EventStore, ExpectedRevision, NewEvent, SqliteStore, contract,
};

use crate::{all, append, opened};

/// Whether the bytes of a text stand anywhere in the database or beside it.
fn is_in_files(database: &Path, text: &str) -> bool {
    ["", "-wal", "-shm", "-journal"].iter().any(|suffix| {
        let mut name = database.as_os_str().to_owned();
        name.push(suffix);
        let bytes = std::fs::read(&name).unwrap_or_default();
        String::from_utf8_lossy(&bytes).contains(text)
    })
}

/// Events whose texts are short, as long as a page, and as long as a text may be.
fn events() -> Vec<NewEvent> {
    let sizes = [30, 300, 5_000, 100_000];
    let text = |number: usize| {
        let words = format!("words-{number}-of-the-erased ");
        words.repeat(sizes[number % sizes.len()] / words.len() + 1)
    };
    (0..40).map(|number| contract::event_with_text(number, &text(number))).collect()
}

async fn erase(store: &SqliteStore, events: &[NewEvent]) {
    let place = |event: &NewEvent| ContentPlace {
        event_id: event.id,
        sha256: event.contents.first().map(Content::reference).unwrap().sha256,
    };
    let places = events.iter().map(place).collect();
    let told = vec![contract::event(99)];
    let stream = contract::stream("told");
    store.append_erasing(&stream, ExpectedRevision::Any, told, places).await.unwrap();
}

#[tokio::test]
async fn no_byte_of_an_erased_text_is_left_in_any_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("events.db");
    let store = opened(&path);
    let events = events();
    for event in &events {
        append(&store, vec![event.clone()]).await.unwrap();
    }
    let (gone, kept): (Vec<_>, Vec<_>) =
        events.iter().cloned().enumerate().partition(|(number, _)| number % 5 < 3);
    let texts: Vec<NewEvent> = gone.into_iter().map(|(_, event)| event).collect();
    erase(&store, &texts).await;
    assert!(store.scrub().await.unwrap());
    for event in &texts {
        // A part of it that stands in no other text.
        let words = &event.contents[0].text[..20];
        assert!(!is_in_files(&path, words), "{words}");
    }
    let read = all(&store).await;
    for (number, event) in kept {
        assert_eq!(
            read[number].text(&event.contents[0].reference()),
            Some(&*event.contents[0].text)
        );
    }
}

#[tokio::test]
async fn what_a_reader_kept_from_being_overwritten_is_gone_after_the_next_opening() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("events.db");
    let store = opened(&path);
    let events = events();
    append(&store, events[..3].to_vec()).await.unwrap();
    let reader = rusqlite::Connection::open(&path).unwrap();
    reader.execute_batch("BEGIN; SELECT count(*) FROM contents;").unwrap();
    erase(&store, &events[..3]).await;
    assert!(!store.scrub().await.unwrap(), "the reader still sees it");
    reader.execute_batch("COMMIT").unwrap();
    drop(store);
    drop(reader);
    let _store = opened(&path);
    assert!(!is_in_files(&path, &events[0].contents[0].text[..20]));
}
