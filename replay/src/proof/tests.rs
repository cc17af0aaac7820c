//! A proof shows what was recorded, and no change to it passes.

use std::path::Path;
use std::sync::{Arc, OnceLock};

use execution_ledger_domain::{Content, ExecutionId, StreamName};
use execution_ledger_store::contract::event;
use execution_ledger_store::sqlite::{SqliteOptions, SqliteStore};
use execution_ledger_store::{EventStore, ExpectedRevision, NewEvent, SystemClock};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::{Proof, ProofError, ProveError, check, prove};
use crate::notary::{Notary, Signer, State, Verifier};

const STORED: &str = include_str!("../../../domain/tests/stored_events.ndjson");
const ID: &str = "01936b2e-7a3c-7000-8000-000000000001";

fn id() -> ExecutionId {
    ID.parse().unwrap()
}

/// An event as it was stored once, with the message beside it where it has one.
fn stored(type_name: &str) -> NewEvent {
    let line = STORED.lines().find(|line| line.contains(&format!("\"type\":\"{type_name}\"")));
    let line: Value = serde_json::from_str(line.unwrap()).unwrap();
    let (mut data, mut contents) = (line["data"].clone(), Vec::new());
    if type_name == "execution.pending" {
        let message = Content::new([3; 16], "What is the answer?");
        data["message"] = json!(message.reference());
        data.as_object_mut().unwrap().remove("system_prompt");
        contents.push(message);
    }
    let version = u32::try_from(line["version"].as_u64().unwrap()).unwrap();
    NewEvent {
        type_name: type_name.to_owned(),
        version,
        data: data.to_string(),
        contents,
        ..event(1)
    }
}

async fn append(store: &Arc<dyn EventStore>, stream: &StreamName, events: Vec<NewEvent>) {
    store.append(stream, ExpectedRevision::Any, events).await.unwrap();
}

async fn sign(folder: &Path, store: &Arc<dyn EventStore>) -> Verifier {
    let notary =
        Notary::open(folder.to_owned(), &[7; 32], Arc::clone(store), Arc::new(SystemClock));
    let notary = notary.unwrap();
    let caught_up = async {
        while notary.state() == State::CatchingUp {
            tokio::task::yield_now().await;
        }
    };
    notary.run(caught_up).await;
    assert_eq!(notary.state(), State::Live);
    notary.verifier().clone()
}

/// A signed log in which an execution's two events stand far apart, among 400 others.
async fn log(folder: &Path) -> (Arc<dyn EventStore>, Verifier) {
    let store: Arc<dyn EventStore> =
        SqliteStore::open(&folder.join("events.db"), SqliteOptions::default()).unwrap();
    let others = execution_ledger_store::contract::stream("others");
    let execution = StreamName::execution(id());
    append(&store, &others, (0..30).map(event).collect()).await;
    append(&store, &execution, vec![stored("execution.pending")]).await;
    for _ in 0..8 {
        append(&store, &others, (0..40).map(event).collect()).await;
    }
    append(&store, &execution, vec![stored("execution.queue_moved")]).await;
    append(&store, &others, (0..50).map(event).collect()).await;
    let key = sign(folder, &store).await;
    (store, key)
}

#[tokio::test]
async fn a_proof_shows_the_events_to_whoever_has_the_key() {
    let folder = tempfile::tempdir().unwrap();
    let (store, key) = log(folder.path()).await;
    let proof = prove(&store, folder.path(), id()).await.unwrap();
    assert_eq!(proof.events.iter().map(|event| event.index).collect::<Vec<_>>(), [30, 351]);
    let text = serde_json::to_vec(&proof).unwrap();
    let proven = check(&text, Some(&key)).unwrap();
    assert_eq!((proven.events, proven.texts, proven.tree_size), (2, 1, 402));
    assert!(proven.key_was_given && !check(&text, None).unwrap().key_was_given);
    let other = Signer::of_seed(key.name(), &[8; 32]).unwrap();
    assert!(matches!(check(&text, Some(other.verifier())), Err(ProofError::Key)));
}

#[tokio::test]
async fn a_proof_stands_when_the_log_has_grown_and_a_text_was_erased() {
    let folder = tempfile::tempdir().unwrap();
    let (store, key) = log(folder.path()).await;
    let others = execution_ledger_store::contract::stream("others");
    append(&store, &others, (0..50).map(event).collect()).await;
    rusqlite::Connection::open(folder.path().join("events.db"))
        .unwrap()
        .execute("UPDATE contents SET salt = NULL, body = NULL", [])
        .unwrap();
    let proof = prove(&store, folder.path(), id()).await.unwrap();
    let proven = check(&serde_json::to_vec(&proof).unwrap(), Some(&key)).unwrap();
    assert_eq!((proven.events, proven.texts, proven.texts_absent), (2, 0, 1));
}

#[tokio::test]
async fn without_a_checkpoint_over_all_of_it_there_is_no_proof() {
    let folder = tempfile::tempdir().unwrap();
    let (store, _) = log(folder.path()).await;
    let unknown = "01936b2e-7a3c-7000-8000-00000000ffff".parse().unwrap();
    let nobody = prove(&store, folder.path(), unknown).await;
    assert!(matches!(nobody, Err(ProveError::NoExecution(_))));
    append(&store, &StreamName::execution(id()), vec![stored("execution.queue_moved")]).await;
    let late = prove(&store, folder.path(), id()).await;
    assert!(matches!(late, Err(ProveError::NotCovered { signed: 402 })));
    sign(folder.path(), &store).await;
    assert_eq!(prove(&store, folder.path(), id()).await.unwrap().events.len(), 3);
    let empty = tempfile::tempdir().unwrap();
    assert!(matches!(prove(&store, empty.path(), id()).await, Err(ProveError::Unsigned)));
}

#[tokio::test]
async fn a_proof_from_a_log_that_was_changed_is_not_made() {
    let folder = tempfile::tempdir().unwrap();
    let (store, _) = log(folder.path()).await;
    let connection = rusqlite::Connection::open(folder.path().join("events.db")).unwrap();
    connection
        .execute_batch(
            "DROP TRIGGER events_stay_as_they_are;
             UPDATE events SET data = '{}' WHERE position = 380;",
        )
        .unwrap();
    assert!(matches!(prove(&store, folder.path(), id()).await, Err(ProveError::Disagreement)));
}

/// A proof, made once for all cases.
fn made() -> &'static (Proof, Vec<u8>, Verifier) {
    static MADE: OnceLock<(Proof, Vec<u8>, Verifier)> = OnceLock::new();
    MADE.get_or_init(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let folder = tempfile::tempdir().unwrap();
            let (store, key) = log(folder.path()).await;
            let proof = prove(&store, folder.path(), id()).await.unwrap();
            let text = serde_json::to_vec(&proof).unwrap();
            (proof, text, key)
        })
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    #[test]
    fn a_proof_with_any_byte_changed_shows_nothing_or_says_the_same(
        at in any::<prop::sample::Index>(), xor in 1_u8..,
    ) {
        let (proof, text, key) = made();
        let mut changed = text.clone();
        changed[at.index(text.len())] ^= xor;
        if check(&changed, Some(key)).is_ok() {
            // Another way to write the same, for example a digit of an id as a capital letter.
            let read: Proof = serde_json::from_slice(&changed).unwrap();
            prop_assert_eq!(&read, proof);
        }
    }

    #[test]
    fn whatever_bytes_come_as_a_proof_nothing_breaks(
        cut in any::<prop::sample::Index>(), junk in prop::collection::vec(any::<u8>(), 0..64),
    ) {
        let (_, text, key) = made();
        let mut bytes = text[..cut.index(text.len())].to_vec();
        bytes.extend(junk);
        prop_assert!(check(&bytes, Some(key)).is_err());
    }
}
