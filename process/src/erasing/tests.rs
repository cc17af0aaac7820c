//! Erasing over a real log and real files.

use execution_ledger_domain::{Actor, Event, EventId, Timestamp};
use execution_ledger_store::{
    EventStore, ExpectedRevision, ManualClock, Metadata, NewEvent, SqliteOptions, SqliteStore,
};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use uuid::Uuid;

use super::*;

const GOLDEN: &str = include_str!("../../../domain/tests/stored_events.ndjson");

pub(super) struct World {
    pub folder: tempfile::TempDir,
    pub store: Arc<dyn EventStore>,
    pub eraser: Eraser,
}

pub(super) fn content(text: &str) -> Content {
    // A salt that is the same for the same text is enough here.
    Content::new([3; 16], text)
}

/// Writes a transcript; answers what it holds.
pub(super) fn archive(archives: &Path, id: ExecutionId) -> String {
    let printed = format!("{{\"seq\":1,\"line\":\"{id}\"}}\n");
    std::fs::create_dir_all(archives).expect("a folder");
    let path = crate::transcript::archive_path(archives, id);
    let packed = zstd::encode_all(printed.as_bytes(), 1).expect("packed");
    std::fs::write(path, packed).expect("written");
    printed
}

pub(super) fn reference(text: &str) -> Value {
    json!(content(text).reference())
}

pub(super) fn execution(number: u128) -> ExecutionId {
    ExecutionId(Uuid::from_u128(number))
}

pub(super) fn wish(target: Target) -> Wish {
    let reason = "asked by its author".to_owned();
    Wish { target, reason, dry_run: false, after: Position::START, most: STEP_STREAMS_MAX }
}

pub(super) fn context() -> Context {
    let (actor, story) = (Actor::system("test"), Some("story".to_owned()));
    Context { actor, correlation_id: story, causation_id: None, traceparent: None }
}

impl World {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let path = |name: &str| folder.path().join(name);
        let store: Arc<dyn EventStore> =
            SqliteStore::open(&path("events.db"), SqliteOptions::default()).expect("a log");
        let clock = Arc::new(ManualClock::at(Timestamp::EPOCH));
        let ledger = Ledger::new(Arc::clone(&store), clock);
        let transcripts = Transcripts::new(path("runs"), path("transcripts"));
        Self { store, eraser: Eraser::new(ledger, transcripts), folder }
    }

    /// Appends an event as in the golden file, with these fields and texts.
    pub async fn append(
        &self,
        stream: &StreamName,
        type_name: &str,
        fields: Value,
        texts: &[&str],
    ) {
        let mut golden =
            GOLDEN.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
        let mut found = golden.rfind(|line| line["type"] == type_name).expect("a type");
        let data = &mut found["data"];
        for (name, value) in fields.as_object().expect("fields") {
            data[name] = value.clone();
        }
        if type_name == "execution.pending" && fields.get("retry_of").is_none() {
            data.as_object_mut().expect("fields").remove("retry_of");
        }
        let version = found["version"].as_u64().and_then(|v| u32::try_from(v).ok()).expect("one");
        let data = found["data"].to_string();
        Event::from_stored(type_name, version, &data).expect("an event");
        let metadata = Metadata {
            actor: Actor::system("test"),
            correlation_id: "story".to_owned(),
            causation_id: "cause".to_owned(),
            traceparent: None,
        };
        let event = NewEvent {
            id: EventId(Uuid::now_v7()),
            type_name: type_name.to_owned(),
            version,
            metadata: serde_json::to_string(&metadata).expect("JSON"),
            data,
            contents: texts.iter().map(|text| content(text)).collect(),
        };
        self.store.append(stream, ExpectedRevision::Any, vec![event]).await.expect("appended");
    }

    pub async fn accept(&self, id: ExecutionId, user: &str, message: &str, mut fields: Value) {
        fields["user"] = json!(user);
        fields["message"] = reference(message);
        fields["system_prompt"] = reference("kindly");
        let stream = StreamName::execution(id);
        self.append(&stream, "execution.pending", fields, &[message, "kindly"]).await;
    }

    /// An ended execution with a transcript.
    async fn ended(&self, id: ExecutionId, user: &str, message: &str, fields: Value) {
        self.accept(id, user, message, fields).await;
        self.ended_on(id, message, &self.archives(), json!({})).await;
    }

    /// What was accepted ran, with these fields of its start, and left a transcript in that folder.
    pub async fn ended_on(&self, id: ExecutionId, message: &str, archives: &Path, running: Value) {
        let stream = StreamName::execution(id);
        self.append(&stream, "execution.running", running, &[]).await;
        let answer = format!("answer to {message}");
        let printed = archive(archives, id);
        let golden = GOLDEN.lines().find(|line| line.contains("execution.completed")).expect("one");
        let mut report =
            serde_json::from_str::<Value>(golden).expect("JSON")["data"]["report"].take();
        report["response"] = reference(&answer);
        report["transcript"] = json!({
            "lines": 1, "bytes": printed.len(), "sha256": Digest::of(printed.as_bytes()),
        });
        self.append(&stream, "execution.completed", json!({"report": report}), &[&answer]).await;
    }

    fn archives(&self) -> PathBuf {
        self.folder.path().join("transcripts")
    }

    fn has_archive(&self, id: ExecutionId) -> bool {
        crate::transcript::archive_path(&self.archives(), id).exists()
    }

    /// All texts that are left beside the events, but for reasons.
    async fn left(&self) -> Vec<String> {
        let all = self.store.read_all(Position::START, 1_000, With::Contents).await.expect("read");
        let told = all.into_iter().filter(|event| event.type_name != "content.erased");
        let texts = told.flat_map(|event| event.contents);
        texts.filter_map(|stored| Some(stored.content?.text)).collect()
    }

    async fn erased_events(&self) -> Vec<Erased> {
        let all = self.store.read_all(Position::START, 1_000, With::Contents).await.expect("read");
        let erased = all.iter().filter_map(|recorded| match recorded.event().expect("readable") {
            Event::Erasure(ErasureEvent::Erased(erased)) => {
                assert_eq!(recorded.text(&erased.reason), Some("asked by its author"));
                Some(*erased)
            }
            _ => None,
        });
        erased.collect()
    }
}

#[tokio::test]
async fn an_execution_loses_its_texts_and_transcript_and_other_attempts_lose_what_was_asked() {
    let world = World::new();
    let (first, second, other) = (execution(1), execution(2), execution(3));
    world.ended(first, "ada", "do it", json!({})).await;
    world.ended(second, "ada", "do it again", json!({"retry_of": first})).await;
    world.ended(other, "ada", "something else", json!({})).await;
    let before = world.left().await;
    let preview = Wish { dry_run: true, ..wish(Target::Execution(second)) };
    let preview = world.eraser.step(&preview, &context()).await.expect("a preview");
    assert_eq!((preview.texts, preview.transcripts), (5, 1));
    assert_eq!(world.left().await, before, "a preview changes nothing");

    let wish = wish(Target::Execution(second));
    let done = world.eraser.step(&wish, &context()).await.expect("erased");
    assert_eq!((done.texts, done.transcripts, done.next), (5, 1, None));
    assert_eq!(done.named, preview.named);
    let left = ["answer to do it", "something else", "kindly", "answer to something else"];
    assert_eq!(world.left().await, left);
    assert_eq!((world.has_archive(first), world.has_archive(second)), (true, false));
    let told = world.erased_events().await;
    assert!(told.iter().all(|event| event.of == ErasureOf::Execution(second.to_string())));
    // The system prompt was the same text at two places: one event tells of both.
    assert_eq!(told.iter().map(|event| event.beside.len()).sum::<usize>(), 6);
    assert_eq!(told.len(), 5);
    let sha256 = told
        .iter()
        .find(|event| event.beside[0].part == TextPart::Transcript)
        .map(|event| event.content.sha256)
        .expect("the transcript");
    assert!(world.eraser.is_transcript_erased(second, sha256).await.expect("read"));
    assert!(!world.eraser.is_transcript_erased(first, sha256).await.expect("read"));

    let head = world.store.head().await.expect("a head");
    let again = world.eraser.step(&wish, &context()).await.expect("nothing to do");
    assert_eq!((again.texts, again.transcripts, again.erased_before), (0, 0, 5));
    assert_eq!(world.store.head().await.expect("a head"), head, "nothing is told twice");
}

#[tokio::test]
async fn what_an_open_execution_needs_stays_and_is_named() {
    let world = World::new();
    let (ended, open) = (execution(1), execution(2));
    world.ended(ended, "ada", "do it", json!({})).await;
    world.accept(open, "ada", "and wait", json!({"retry_of": ended})).await;
    let before = world.left().await;
    let digest = content("and wait").reference().sha256;
    for target in [Target::Execution(open), Target::Execution(ended), Target::Content(digest)] {
        let refused = world.eraser.step(&wish(target), &context()).await;
        assert!(matches!(refused, Err(EraseError::Open(id)) if id == open), "{refused:?}");
    }
    assert_eq!(world.left().await, before);
    let user = UserName::new("ada").expect("a name");
    let done = world.eraser.step(&wish(Target::User(user)), &context()).await.expect("erased");
    assert_eq!((done.texts, done.open_count, done.open), (3, 1, vec![open]));
    assert_eq!(world.left().await, ["and wait", "kindly"]);
}

#[tokio::test]
async fn all_of_a_user_goes_in_steps_and_nothing_of_others() {
    let world = World::new();
    for number in 1..=5 {
        world.ended(execution(number), "ada", &format!("mine {number}"), json!({})).await;
    }
    world.ended(execution(9), "adam", "his", json!({})).await;
    let settings = GOLDEN.lines().find(|line| line.contains("schedule.created")).expect("one");
    let mut settings =
        serde_json::from_str::<Value>(settings).expect("JSON")["data"]["settings"].take();
    settings["message"] = reference("each day");
    settings["system_prompt"] = reference("kindly");
    let schedule = "schedule-0192f0c1-2d3e-7a4b-8c5d-6e7f80910a1b".parse().expect("a name");
    let fields = json!({"user": "ada", "settings": settings});
    world.append(&schedule, "schedule.created", fields, &["each day", "kindly"]).await;

    let user = Target::User(UserName::new("ada").expect("a name"));
    let (mut after, mut texts, mut transcripts, mut steps) = (Position::START, 0, 0, 0);
    loop {
        let wish = Wish { after, most: 2, ..wish(user.clone()) };
        let step = world.eraser.step(&wish, &context()).await.expect("erased");
        (texts, transcripts, steps) =
            (texts + step.texts, transcripts + step.transcripts, steps + 1);
        match step.next {
            Some(next) => after = next,
            None => break,
        }
    }
    assert_eq!((texts, transcripts), (17, 5));
    assert!(steps >= 3, "{steps} steps");
    assert_eq!(world.left().await, ["his", "kindly", "answer to his"]);
    assert!(world.has_archive(execution(9)));
}

#[tokio::test]
async fn one_text_goes_by_its_digest_and_a_session_by_its_id() {
    let world = World::new();
    let session = SessionId(Uuid::from_u128(77));
    let of_session = json!({"chat_session_id": session});
    world.ended(execution(1), "ada", "do it", json!({})).await;
    world.ended(execution(2), "ada", "chat", of_session).await;
    let digest = content("answer to do it").reference().sha256;
    let done = world.eraser.step(&wish(Target::Content(digest)), &context()).await.expect("erased");
    assert_eq!((done.texts, done.transcripts), (1, 0));
    let done = world.eraser.step(&wish(Target::Session(session)), &context()).await.expect("done");
    assert_eq!((done.texts, done.transcripts), (3, 1));
    assert_eq!(world.left().await, ["do it", "kindly"]);
    for unknown in [
        Target::Content(Digest([9; 32])),
        Target::Execution(execution(8)),
        Target::Session(SessionId(Uuid::from_u128(5))),
        Target::User(UserName::new("nobody").expect("a name")),
    ] {
        let refused = world.eraser.step(&wish(unknown), &context()).await;
        assert!(matches!(refused, Err(EraseError::NotFound)), "{refused:?}");
    }
    for unfit in ["", " \n", "bell\u{7}", &"x".repeat(REASON_MAX_BYTES + 1)] {
        let wish = Wish { reason: unfit.to_owned(), ..wish(Target::Content(digest)) };
        let refused = world.eraser.step(&wish, &context()).await;
        assert!(matches!(refused, Err(EraseError::Reason(_))), "{unfit:?}: {refused:?}");
    }
}

#[tokio::test]
async fn a_transcript_that_was_put_aside_comes_back_unless_the_log_tells_of_its_erasure() {
    let world = World::new();
    let (told, untold) = (execution(1), execution(2));
    for id in [told, untold] {
        world.ended(id, "ada", "do it", json!({})).await;
    }
    // As if it had died right after the event, and right before it.
    let found = Found { stream: StreamName::execution(told), part: Part::Transcript };
    let item = texts::of_stream(&world.store, &found);
    let item = item.await.expect("read").items.remove(0);
    for id in [told, untold] {
        assert!(files::put_aside(&world.eraser.transcripts, id).expect("put aside"));
        assert!(!world.has_archive(id));
    }
    let reason = content("asked by its author");
    let erased = Erased {
        content: item.content,
        beside: vec![item.beside],
        of: ErasureOf::Execution(told.to_string()),
        reason: reason.reference(),
    };
    world.eraser.tell(erased, &reason, &context()).await.expect("told");
    assert_eq!(world.eraser.recover().await.expect("recovered"), 1);
    assert_eq!((world.has_archive(told), world.has_archive(untold)), (false, true));
    assert!(files::aside(&world.archives()).expect("listed").is_empty());
    assert_eq!(world.eraser.recover().await.expect("again"), 0);
}
