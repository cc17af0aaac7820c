//! Texts that were erased: search, records, the file's bytes, and a rebuild.

use std::path::Path;

use execution_ledger_domain::erasure::{
    Beside, Command, Erased, Erasure, ErasureEvent, ErasureOf, TextPart,
};
use execution_ledger_domain::{Content, ExecutionId, Scope, StreamName};
use execution_ledger_projections::{At, ExecutionFilters, ExecutionQuery, digest, rebuild};
use execution_ledger_store::{ContentPlace, EventStore, Position, With};
use std::sync::Arc;

use super::world::{PATIENCE, Running, Submission, World, content, context};

/// Erases the message or the response of an execution, as the one write path does it.
async fn erase(world: &World, id: ExecutionId, part: TextPart) -> Position {
    let stream = StreamName::execution(id);
    let events = world.store.read_stream(&stream, 0, 100, With::EventsOnly).await.expect("read");
    let found = events.iter().find_map(|recorded| {
        let texts = recorded.event().expect("readable").texts();
        let (_, content) = texts.into_iter().find(|(is, _)| *is == part)?;
        Some((recorded.id, content))
    });
    let (event_id, text) = found.expect("a text");
    let reason: Content = content("asked for");
    let beside = vec![Beside { stream: stream.to_string(), event_id, part }];
    let of = ErasureOf::Execution(id.to_string());
    let erased = Erased { content: text, beside, of, reason: reason.reference() };
    let places = move |_: &[ErasureEvent]| vec![ContentPlace { event_id, sha256: text.sha256 }];
    let wish = Command::Erase(Box::new(erased));
    let stream = StreamName::content(text.sha256);
    let done = world
        .ledger
        .execute_erasing::<Erasure>(&stream, wish, &[reason], &context(), places)
        .await
        .expect("erased");
    done.position
}

async fn found(running: &Running, at: At, words: &str) -> Vec<ExecutionId> {
    let filters = ExecutionFilters { q: Some(words.to_owned()), ..ExecutionFilters::default() };
    let query = ExecutionQuery { filters, limit: 50, ..ExecutionQuery::default() };
    let page = running.views.executions(&Scope::All, at, &query).await.expect("a page");
    page.value.items.into_iter().map(|record| record.execution_id).collect()
}

fn is_in_file(path: &Path, word: &str) -> bool {
    ["", "-wal"].iter().any(|suffix| {
        let mut name = path.as_os_str().to_owned();
        name.push(suffix);
        let bytes = std::fs::read(&name).unwrap_or_default();
        String::from_utf8_lossy(&bytes).contains(word)
    })
}

async fn lived() -> (World, Vec<ExecutionId>) {
    let mut world = World::new();
    let mut ids = Vec::new();
    for number in 0..40 {
        let text = if number == 7 { "meet zanzibarette at noon" } else { "water the plants" };
        ids.push(world.submit(Submission { text, ..Submission::default() }).await);
        world.step(&super::world::Step::Start(number)).await;
        let answer = if number == 7 { "quokkaberry is told" } else { "all are watered" };
        world.finish(number, 0, None, answer).await;
    }
    (world, ids)
}

#[tokio::test]
async fn an_erased_text_is_found_and_shown_nowhere_also_of_the_past_and_not_a_byte_is_left() {
    let (world, ids) = lived().await;
    let running = world.run_views();
    running.caught_up(&world).await;
    let before = world.head().await;
    assert_eq!(found(&running, At::Now, "zanzibarette").await, [ids[7]]);
    assert!(is_in_file(&world.views_path(), "zanzibarette"));

    erase(&world, ids[7], TextPart::Message).await;
    let position = erase(&world, ids[7], TextPart::Response).await;
    assert!(running.views.forgotten(position, PATIENCE).await);
    for at in [At::Now, At::Position(before)] {
        for words in ["zanzibarette", "quokkaberry"] {
            assert!(found(&running, at, words).await.is_empty(), "{words}");
        }
        let seen = running.views.execution(&Scope::All, at, ids[7]).await.expect("asked");
        let record = seen.value.expect("an execution");
        assert_eq!((record.message, record.response), (None, None));
        assert_eq!(record.erased, [TextPart::Message, TextPart::Response]);
    }
    // Parts of words: the index keeps what they begin with only once.
    for part in ["anzibaret", "uokkaber"] {
        assert!(!is_in_file(&world.views_path(), part), "{part}");
    }
    assert_eq!(found(&running, At::Now, "plants").await.len(), 39);
    assert_eq!(found(&running, At::Now, "watered").await.len(), 39);

    running.stop().await;
    let scratch = world.folder.path().join("scratch.db");
    let store: Arc<dyn EventStore> = world.store.clone();
    rebuild(&scratch, &store, |_| ()).await.expect("rebuilt");
    let rows = digest(&scratch).expect("rows");
    assert_eq!(digest(&world.views_path()).expect("rows"), rows);
}

#[tokio::test]
async fn what_was_erased_while_nobody_looked_is_overwritten_after_the_next_start() {
    let (world, ids) = lived().await;
    let running = world.run_views();
    running.caught_up(&world).await;
    running.stop().await;
    let position = erase(&world, ids[7], TextPart::Message).await;
    let running = world.run_views();
    assert!(running.views.forgotten(position, PATIENCE).await);
    assert!(found(&running, At::Now, "zanzibarette").await.is_empty());
    assert!(!is_in_file(&world.views_path(), "anzibaret"));
    assert_eq!(found(&running, At::Now, "quokkaberry").await, [ids[7]], "the answer is not erased");
}
