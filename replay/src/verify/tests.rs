//! Sound histories are found sound; whatever is changed is found and named.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use execution_ledger_domain::agent::{AgentConfig, Command, Runtime};
use execution_ledger_domain::erasure::{self, Beside, Erased, Erasure, ErasureOf, TextPart};
use execution_ledger_domain::execution::{self, Execution, Pending};
use execution_ledger_domain::{
    Actor, AgentName, Content, ExecutionId, NodeId, StreamName, Timestamp, UserName, given, lease,
};
use execution_ledger_store::sqlite::{SqliteOptions, SqliteStore};
use execution_ledger_store::{Context, EventStore, Ledger, SystemClock, With};

use super::{Check, Inputs, Kept, Report, TranscriptState, verify};
use crate::notary::{CHECKPOINTS_FILE, Notary, SignedCheckpoint, State};

const AGENTS: usize = 320;

fn open(folder: &Path) -> Arc<dyn EventStore> {
    SqliteStore::open(&folder.join("events.db"), SqliteOptions::default()).unwrap()
}

/// Agents that are registered and paused: two events each.
async fn history(store: &Arc<dyn EventStore>, agents: std::ops::Range<usize>) {
    let ledger = Ledger::new(Arc::clone(store), Arc::new(SystemClock));
    let context = context();
    for number in agents {
        let stream = StreamName::agent(&AgentName::new(&format!("a{number}")).unwrap());
        let config = AgentConfig::of(Runtime::Demo, Vec::new());
        for command in [Command::Register(Box::new(config)), Command::Pause] {
            ledger
                .execute::<execution_ledger_domain::agent::Agent>(&stream, command, &[], &context)
                .await
                .unwrap();
        }
    }
}

fn context() -> Context {
    Context {
        actor: Actor::system("test"),
        correlation_id: Some("test".to_owned()),
        causation_id: None,
        traceparent: None,
    }
}

/// An execution with a message: where the message lies, and what is recorded of it.
async fn message(store: &Arc<dyn EventStore>) -> (Beside, Content) {
    let ledger = Ledger::new(Arc::clone(store), Arc::new(SystemClock));
    let (agent, user) = (AgentName::new("a").unwrap(), UserName::new("u").unwrap());
    let text = Content::new([7; 16], "water the plants");
    let pending =
        Pending { message: text.reference(), ..given::task(agent, user, Timestamp::EPOCH) };
    let stream = StreamName::execution(ExecutionId(uuid::Uuid::from_u128(1)));
    let submit = execution::Command::Submit(Box::new(pending));
    let texts = std::slice::from_ref(&text);
    ledger.execute::<Execution>(&stream, submit, texts, &context()).await.unwrap();
    let event = store.read_stream(&stream, 0, 1, With::EventsOnly).await.unwrap().remove(0);
    let part = TextPart::Message;
    (Beside { stream: stream.to_string(), event_id: event.id, part }, text)
}

async fn sign(folder: &Path, store: &Arc<dyn EventStore>) -> SignedCheckpoint {
    let notary = folder.join("notary");
    fs::create_dir_all(&notary).unwrap();
    let notary = Notary::open(notary, &[7; 32], Arc::clone(store), Arc::new(SystemClock)).unwrap();
    let caught_up = async {
        while notary.state() == State::CatchingUp {
            tokio::task::yield_now().await;
        }
    };
    notary.run(caught_up).await;
    notary.checkpoint().unwrap()
}

/// A signed history of 640 events, and an earlier checkpoint of 600 that an auditor kept.
async fn signed() -> (tempfile::TempDir, SignedCheckpoint) {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    history(&store, 0..AGENTS - 20).await;
    let kept = sign(folder.path(), &store).await;
    assert_eq!(kept.checkpoint.size, 600);
    history(&store, AGENTS - 20..AGENTS).await;
    sign(folder.path(), &store).await;
    store.close().await;
    (folder, kept)
}

async fn report(folder: &Path, kept: Option<&SignedCheckpoint>) -> Report {
    let store: Arc<dyn EventStore> =
        SqliteStore::open_read_only(&folder.join("events.db")).unwrap();
    let inputs = Inputs {
        notary: folder.join("notary"),
        key: None,
        kept: kept
            .map(|signed| Kept { source: "kept.txt".to_owned(), signed: signed.clone() })
            .into_iter()
            .collect(),
        witnesses: (Vec::new(), 0),
        transcripts: Box::new(|_, _| TranscriptState::Same),
    };
    verify(&store, inputs, |_| {}).await.unwrap()
}

fn tamper(folder: &Path, sql: &str) {
    let connection = rusqlite::Connection::open(folder.join("events.db")).unwrap();
    connection
        .execute_batch("DROP TRIGGER events_stay; DROP TRIGGER events_stay_as_they_are;")
        .unwrap();
    connection.execute_batch(sql).unwrap();
}

fn found(report: &Report, check: Check, part: &str) -> bool {
    let fits = |text: &str| text.contains(part);
    report.problems.iter().any(|p| p.check == check && (fits(&p.place) || fits(&p.problem)))
}

#[tokio::test]
async fn a_sound_history_is_found_sound_also_without_its_tiles() {
    let (folder, kept) = signed().await;
    let sound = report(folder.path(), Some(&kept)).await;
    assert_eq!(sound.problems, []);
    assert_eq!((sound.events, sound.streams), (2 * AGENTS as u64, AGENTS as u64));
    assert_eq!((sound.signed_events, sound.kept_checkpoints), (640, 1));
    assert_eq!((sound.tiles, sound.tiles_missing), (2, 0));
    fs::remove_dir_all(folder.path().join("notary/tile")).unwrap();
    let sound = report(folder.path(), None).await;
    assert!(sound.is_sound());
    assert_eq!((sound.tiles, sound.tiles_missing), (0, 2));
}

#[tokio::test]
async fn a_changed_event_is_named_wherever_it_stands() {
    for (position, field) in [(1, "data"), (100, "metadata"), (256, "data"), (512, "type")] {
        let (folder, kept) = signed().await;
        let sql = match field {
            "type" => {
                format!("UPDATE events SET type = 'agent.resumed' WHERE position = {position}")
            }
            field => format!(
                "UPDATE events SET {field} = replace({field}, '}}', ' }}') WHERE position = {position}"
            ),
        };
        tamper(folder.path(), &sql);
        let report = report(folder.path(), Some(&kept)).await;
        let name = format!("event {position} (agent-a{}, revision", (position - 1) / 2);
        assert!(found(&report, Check::Event, &name), "{position}: {:#?}", report.problems);
        assert!(found(&report, Check::Checkpoint, "1 to 600"), "{:#?}", report.problems);
        assert!(found(&report, Check::KeptCheckpoint, "kept.txt"));
    }
}

#[tokio::test]
async fn a_change_after_the_last_full_tile_is_narrowed_down_by_the_checkpoints() {
    let (folder, kept) = signed().await;
    tamper(folder.path(), "UPDATE events SET data = ' ' || data WHERE position = 620");
    let report = report(folder.path(), Some(&kept)).await;
    assert!(found(&report, Check::Checkpoint, "601 to 640"), "{:#?}", report.problems);
    assert!(!found(&report, Check::KeptCheckpoint, ""), "the auditor's checkpoint is older");
}

#[tokio::test]
async fn removed_swapped_and_unreadable_events_are_named() {
    let swap = "UPDATE events SET position = 9999 WHERE position = 10;
        UPDATE events SET position = 10 WHERE position = 12;
        UPDATE events SET position = 12 WHERE position = 9999;";
    let cases = [
        ("DELETE FROM events WHERE position = 11", Check::Stream, "revision 1, where 0"),
        ("DELETE FROM events WHERE position = 12", Check::Event, "event 13 (agent-a6"),
        (swap, Check::Event, "event 10 (agent-a5"),
        (swap, Check::Event, "before the event before it"),
        (
            "UPDATE events SET event_id = x'00' WHERE position = 12",
            Check::Event,
            "after position 11",
        ),
        ("UPDATE events SET data = '[' WHERE position = 12", Check::Schema, "event 12"),
        ("UPDATE events SET metadata = '{}' WHERE position = 12", Check::Schema, "event 12"),
        ("UPDATE events SET version = 99 WHERE position = 12", Check::Schema, "event 12"),
        ("UPDATE events SET revision = 7 WHERE position = 12", Check::Stream, "agent-a5"),
    ];
    for (sql, check, part) in cases {
        let (folder, kept) = signed().await;
        tamper(folder.path(), sql);
        let report = report(folder.path(), Some(&kept)).await;
        assert!(found(&report, check, part), "{sql}: {:#?}", report.problems);
    }
}

#[tokio::test]
async fn a_log_that_lost_its_end_is_found_by_its_own_and_by_the_auditors_checkpoint() {
    let (folder, kept) = signed().await;
    tamper(folder.path(), "DELETE FROM events WHERE position > 590");
    let short = report(folder.path(), Some(&kept)).await;
    assert!(found(&short, Check::Checkpoint, "covers 640 events, and the log has 590"));
    assert!(found(&short, Check::KeptCheckpoint, "covers 600 events, and the log has 590"));
    // An operator who throws away the notary's files as well has only the auditor against him.
    fs::remove_file(folder.path().join("notary").join(CHECKPOINTS_FILE)).unwrap();
    fs::remove_dir_all(folder.path().join("notary/tile")).unwrap();
    assert!(report(folder.path(), None).await.is_sound());
    assert!(found(&report(folder.path(), Some(&kept)).await, Check::KeptCheckpoint, "590"));
}

#[tokio::test]
async fn changed_checkpoints_tiles_and_keys_are_named() {
    let (folder, kept) = signed().await;
    let notary = folder.path().join("notary");
    let tile = notary.join("tile/0/001");
    let mut bytes = fs::read(&tile).unwrap();
    bytes[77] ^= 1;
    fs::write(&tile, &bytes).unwrap();
    let damaged = report(folder.path(), Some(&kept)).await;
    assert_eq!(damaged.problems.len(), 1);
    assert!(found(&damaged, Check::Tile, "0/001"));

    let path = notary.join(CHECKPOINTS_FILE);
    let lines = fs::read_to_string(&path).unwrap();
    fs::write(&path, lines.replace("\\n600\\n", "\\n601\\n")).unwrap();
    assert!(found(&report(folder.path(), None).await, Check::Checkpoint, "not signed"));
    fs::write(&path, "nonsense\n").unwrap();
    assert!(found(&report(folder.path(), None).await, Check::Checkpoint, "line 1"));
    fs::write(notary.join("verifier"), "nobody\n").unwrap();
    assert!(found(&report(folder.path(), None).await, Check::Checkpoint, "public key"));
}

#[tokio::test]
async fn a_checkpoint_of_somebody_else_proves_nothing() {
    let (folder, _) = signed().await;
    let (_other, foreign) = {
        let other = tempfile::tempdir().unwrap();
        let store = open(other.path());
        history(&store, 0..3).await;
        let signed = sign(other.path(), &store).await;
        (other, signed)
    };
    let report = report(folder.path(), Some(&foreign)).await;
    assert!(found(&report, Check::KeptCheckpoint, "not signed by this ledger's key"));
}

#[tokio::test]
async fn a_text_that_is_gone_without_an_event_that_tells_of_it_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let (_, text) = message(&store).await;
    sign(folder.path(), &store).await;
    store.close().await;
    assert_eq!(report(folder.path(), None).await.problems, []);
    let digest = text.reference().sha256;
    tamper(
        folder.path(),
        &format!("UPDATE contents SET salt = NULL, body = NULL WHERE sha256 = x'{digest}';"),
    );
    let report = report(folder.path(), None).await;
    assert!(found(&report, Check::Content, "its message is gone"), "{:?}", report.problems);
    assert_eq!((report.problems.len(), report.contents_erased), (1, 1));
}

#[tokio::test]
async fn an_event_that_tells_of_an_erasure_while_the_text_is_still_there_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let (place, text) = message(&store).await;
    let reason = Content::new([8; 16], "asked by the user");
    let erased = Erased {
        content: text.reference(),
        beside: vec![place],
        of: ErasureOf::Content(text.reference().sha256),
        reason: reason.reference(),
    };
    let ledger = Ledger::new(Arc::clone(&store), Arc::new(SystemClock));
    let stream = StreamName::content(text.reference().sha256);
    let command = erasure::Command::Erase(Box::new(erased));
    // Told, and not done: the text stays.
    ledger.execute::<Erasure>(&stream, command, &[reason], &context()).await.unwrap();
    sign(folder.path(), &store).await;
    store.close().await;
    let report = report(folder.path(), None).await;
    assert!(found(&report, Check::Content, "is still there"), "{:?}", report.problems);
    assert_eq!((report.problems.len(), report.contents_erased), (1, 0));
}

#[tokio::test]
async fn clocks_of_several_nodes_may_be_a_little_apart_and_that_of_one_never_goes_back() {
    // (a lease before, the step back in microseconds) and what is said: (told, of the clocks alone)
    for (leases, back_us, wrong, apart, apart_ms) in [
        (true, 1, false, 1, 1),
        (true, 59_999_000, false, 1, 60_000),
        (true, 60_000_000, true, 0, 0),
        (false, 1, true, 0, 0),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let store = open(folder.path());
        if leases {
            let ledger = Ledger::new(Arc::clone(&store), Arc::new(SystemClock));
            let node = NodeId(uuid::Uuid::from_u128(1));
            let acquire = lease::Command::Acquire { node, after: 0 };
            let stream = StreamName::lease(&lease::LeaseName::Leader);
            ledger.execute::<lease::Lease>(&stream, acquire, &[], &context()).await.unwrap();
        }
        history(&store, 0..3).await;
        store.close().await;
        let last = "(SELECT max(position) FROM events)";
        let before = format!("(SELECT recorded_at FROM events WHERE position = {last} - 1)");
        tamper(
            folder.path(),
            &format!(
                "UPDATE events SET recorded_at = {before} - {back_us} WHERE position = {last}"
            ),
        );
        let report = report(folder.path(), None).await;
        let case = format!("leases: {leases}, back: {back_us}");
        assert_eq!(found(&report, Check::Event, "before the event before it"), wrong, "{case}");
        assert_eq!((report.clocks_apart, report.clocks_apart_ms), (apart, apart_ms), "{case}");
    }
}
