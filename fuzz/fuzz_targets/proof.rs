//! The check of proofs: of any bytes, and of a true proof that was changed. What is accepted says
//! nothing but what was signed.

#![no_main]

use std::sync::LazyLock;

use execution_ledger_domain::{Content, Digest, EventId, ExecutionId, StreamName, Timestamp};
use execution_ledger_replay::notary::{SignedCheckpoint, Signer, Verifier, leaf, node_hash};
use execution_ledger_replay::proof::{
    PROOF_FORMAT, Proof, ProvenEvent, ProvenText, SaltedText, check,
};
use execution_ledger_store::{Position, Recorded};
use libfuzzer_sys::fuzz_target;
use serde_json::{Value, json};
use uuid::Uuid;

/// Events as they were stored once.
const STORED: &str = include_str!("../../domain/tests/stored_events.ndjson");
/// Bytes of one change: kind, place (2), byte.
const CHANGE_BYTES: usize = 4;

struct Genuine {
    signer: Signer,
    proof: Proof,
    text: Vec<u8>,
}

static GENUINE: LazyLock<Genuine> = LazyLock::new(|| {
    let signer = Signer::of_seed("execution-ledger/fuzz", &[7; 32]).expect("a signer");
    let id: ExecutionId = "01936b2e-7a3c-7000-8000-000000000001".parse().expect("an id");
    let message = Content::new([3; 16], "What is the answer?");
    let stored = STORED.lines().find(|line| line.contains("\"execution.pending\""));
    let stored: Value = serde_json::from_str(stored.expect("one")).expect("JSON");
    let mut pending = stored["data"].clone();
    pending["message"] = json!(message.reference());
    pending.as_object_mut().expect("an object").remove("system_prompt");
    let events = [
        ("execution.pending", pending.to_string(), vec![message]),
        ("execution.queue_moved", json!({"rank": 4}).to_string(), Vec::new()),
        ("execution.queue_moved", json!({"rank": 5}).to_string(), Vec::new()),
    ];
    let mut proven: Vec<ProvenEvent> = (0..).zip(events).map(|(at, it)| event(at, it)).collect();
    let leaves: Vec<Digest> = proven.iter().map(|event| leaf(&recorded(id, event))).collect();
    let left = node_hash(leaves[0], leaves[1]);
    proven[0].path = vec![leaves[1], leaves[2]];
    proven[1].path = vec![leaves[0], leaves[2]];
    proven[2].path = vec![left];
    let proof = Proof {
        format: PROOF_FORMAT.to_owned(),
        execution_id: id,
        key: signer.verifier().to_string(),
        checkpoint: signer.sign(3, node_hash(left, leaves[2])).as_str().to_owned(),
        rotations: Vec::new(),
        events: proven,
    };
    let text = serde_json::to_vec(&proof).expect("a proof");
    if let Err(error) = check(&text, Some(signer.verifier())) {
        panic!("the true proof is not accepted: {error}");
    }
    Genuine { signer, proof, text }
});

fuzz_target!(|input: &[u8]| {
    let genuine = &*GENUINE;
    let key = genuine.signer.verifier();
    match input.split_first() {
        Some((0, changes)) => accepted_says_what_was_signed(&changed(changes), genuine),
        Some((1, text)) => {
            if let Ok(text) = std::str::from_utf8(text) {
                parsed(text, key);
            }
        }
        Some((_, text)) => {
            // Whoever makes a proof may put a key of his own into it: it says so.
            if let Ok(proven) = check(text, None) {
                assert!(!proven.key_was_given);
            }
            accepted_says_what_was_signed(text, genuine);
        }
        None => {}
    }
});

fn changed(changes: &[u8]) -> Vec<u8> {
    let mut text = GENUINE.text.clone();
    for change in changes.as_chunks::<CHANGE_BYTES>().0 {
        let [kind, high, low, byte] = *change;
        let at = usize::from(u16::from_be_bytes([high, low])) % text.len().max(1);
        match kind % 4 {
            0 => text[at] = byte,
            1 => text.insert(at, byte),
            2 if text.len() > 1 => drop(text.remove(at)),
            _ => {
                // A piece that stands elsewhere as well.
                let end = (at + usize::from(byte)).min(text.len());
                let piece = text[at..end].to_vec();
                text.splice(at..at, piece);
            }
        }
    }
    text
}

/// What is accepted under the true key is the true proof, but for texts that were left out, and for
/// events at its end.
fn accepted_says_what_was_signed(text: &[u8], genuine: &Genuine) {
    let Ok(proven) = check(text, Some(genuine.signer.verifier())) else { return };
    assert!(proven.key_was_given);
    let mut proof: Proof = serde_json::from_slice(text).expect("it was read before");
    let stated = |note: &str| SignedCheckpoint::parse(note).expect("a checkpoint").checkpoint;
    assert_eq!(stated(&proof.checkpoint), stated(&genuine.proof.checkpoint));
    assert_eq!(proof.execution_id, genuine.proof.execution_id);
    assert!(proof.events.len() <= genuine.proof.events.len());
    for (event, genuine) in proof.events.iter_mut().zip(&genuine.proof.events) {
        for (text, genuine) in event.texts.iter_mut().zip(&genuine.texts) {
            if text.content.is_none() {
                text.content.clone_from(&genuine.content);
            }
        }
        assert_eq!(event, genuine);
    }
}

fn parsed(text: &str, key: &Verifier) {
    if let Ok(signed) = SignedCheckpoint::parse(text) {
        assert_eq!(signed.as_str(), text);
        let said = &signed.checkpoint;
        let genuine = SignedCheckpoint::parse(&GENUINE.proof.checkpoint).expect("a checkpoint");
        assert!(!signed.is_by(key) || *said == genuine.checkpoint);
    }
    if let Ok(verifier) = text.parse::<Verifier>() {
        assert_eq!(verifier.to_string(), text);
    }
}

fn event(at: u64, (name, data, contents): (&str, String, Vec<Content>)) -> ProvenEvent {
    let texts = contents.into_iter().map(|content| ProvenText {
        sha256: content.reference().sha256,
        content: Some(SaltedText { salt: content.salt, text: content.text }),
    });
    ProvenEvent {
        index: at,
        revision: at,
        event_id: EventId(Uuid::from_u128(u128::from(at))),
        type_name: name.to_owned(),
        version: 1,
        recorded_at: Timestamp::EPOCH,
        metadata: "{}".to_owned(),
        data,
        texts: texts.collect(),
        path: Vec::new(),
    }
}

fn recorded(execution: ExecutionId, event: &ProvenEvent) -> Recorded {
    Recorded {
        position: Position::START,
        stream: StreamName::execution(execution),
        revision: event.revision,
        id: event.event_id,
        type_name: event.type_name.clone(),
        version: event.version,
        recorded_at: event.recorded_at,
        metadata: event.metadata.clone(),
        data: event.data.clone(),
        contents: Vec::new(),
    }
}
