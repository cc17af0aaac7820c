//! Changes of keys: cut off after each step, followed by who has an earlier key, and told by others.

use std::fs;
use std::panic::panic_any;
use std::path::Path;
use std::sync::Arc;

use execution_ledger_store::EventStore;

use super::{append, notary, notary_of, open, run, tamper};
use crate::notary::{
    CHECKPOINTS_FILE, Checkpoints, KEY_FILE, Kept, KeyChain, NEXT_KEY_FILE, Rotated, Signer, State,
    Step, finish, read_verifier, rotate,
};
use crate::proof::{check_consistency, prove_consistency};
use crate::verify::{Check, Inputs, Report, TranscriptState, verify};

/// The seed of the tests' key.
const SEED: [u8; 32] = super::SEED;
/// That of the next one.
const NEXT: [u8; 32] = [9; 32];

/// A signed log of 300 events, and the files of both keys. What stands in them is for others to read.
async fn signed(folder: &Path) -> Arc<dyn EventStore> {
    let store = open(folder);
    append(&store, 300).await;
    assert_eq!(run(&notary(folder, &store)).await, State::Live);
    fs::write(folder.join("notary").join(KEY_FILE), "first").unwrap();
    fs::write(folder.join("notary").join(NEXT_KEY_FILE), "second").unwrap();
    store
}

fn kept(folder: &Path) -> Vec<Kept> {
    let all: Result<_, _> =
        Checkpoints::in_folder(&folder.join("notary")).read().unwrap().collect();
    all.unwrap()
}

async fn rotated(folder: &Path, store: &Arc<dyn EventStore>) -> Rotated {
    rotate(store, &folder.join("notary"), (&SEED, &NEXT), &|_| {}).await.unwrap()
}

async fn report(folder: &Path, store: &Arc<dyn EventStore>, key: Option<&str>) -> Report {
    let inputs = Inputs {
        notary: folder.join("notary"),
        key: key.map(|key| key.parse().unwrap()),
        kept: Vec::new(),
        witnesses: (Vec::new(), 0),
        transcripts: Box::new(|_, _| TranscriptState::Same),
    };
    let mut report = verify(store, inputs, |_| {}).await.unwrap();
    // The events of these tests are of no type that the ledger knows.
    report.problems.retain(|problem| problem.check != Check::Schema);
    report
}

#[tokio::test]
async fn the_key_before_signs_the_change_as_its_last_and_the_new_one_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let store = signed(folder.path()).await;
    let first = read_verifier(&folder.path().join("notary")).unwrap().unwrap();
    let done = rotated(folder.path(), &store).await;
    assert_eq!((&done.previous, done.covered), (&first, 301));
    let second = read_verifier(&folder.path().join("notary")).unwrap().unwrap();
    assert_eq!((&second, second.name()), (&done.key, first.name()));
    let all = kept(folder.path());
    let by = |at: usize| {
        (
            all[at].signed.checkpoint.size,
            all[at].signed.is_by(&first),
            all[at].signed.is_by(&second),
        )
    };
    assert_eq!(by(all.len() - 2), (301, true, false));
    assert_eq!(by(all.len() - 1), (301, false, true));
    assert!(notary_of(folder.path(), &store, SEED).is_err(), "the key before signs no more");
    append(&store, 10).await;
    let after = notary_of(folder.path(), &store, NEXT).unwrap();
    assert_eq!(run(&after).await, State::Live);
    assert!(after.checkpoint().unwrap().is_by(&second));
    for key in [None, Some(first.to_string()), Some(second.to_string())] {
        let report = report(folder.path(), &store, key.as_deref()).await;
        assert_eq!(report.problems, []);
        assert_eq!(report.key, Some(second.to_string()));
        assert_eq!(report.keys_before, [first.to_string()]);
    }
}

#[tokio::test]
async fn a_change_that_is_cut_off_after_any_step_is_finished_once() {
    for cut in [Step::Signed, Step::Told, Step::Endorsed, Step::Moved, Step::Known] {
        for by_the_server in [false, true] {
            let folder = tempfile::tempdir().unwrap();
            let store = signed(folder.path()).await;
            let path = folder.path().join("notary");
            let (log, at) = (Arc::clone(&store), path.clone());
            let cut_off = tokio::spawn(async move {
                let dies = move |step: Step| {
                    if step == cut {
                        panic_any(step);
                    }
                };
                rotate(&log, &at, (&SEED, &NEXT), &dies).await
            });
            assert!(cut_off.await.unwrap_err().is_panic(), "{cut:?}");
            // What lies in the file `key` is what the caller reads.
            let moved = fs::read_to_string(path.join(KEY_FILE)).unwrap() == "second";
            let seed = if moved { NEXT } else { SEED };
            if by_the_server {
                let next = path.join(NEXT_KEY_FILE).exists().then_some(&NEXT);
                finish(&store, &path, &seed, next, &|_| {}).await.unwrap();
            } else if cut == Step::Signed || !moved {
                rotate(&store, &path, (&seed, &NEXT), &|_| {}).await.unwrap();
            } else {
                finish(&store, &path, &seed, None, &|_| {}).await.unwrap();
            }
            let is_next = !by_the_server || cut != Step::Signed;
            let last = notary_of(folder.path(), &store, if is_next { NEXT } else { SEED });
            let last = last.unwrap_or_else(|error| panic!("{cut:?} {by_the_server}: {error}"));
            append(&store, 5).await;
            assert_eq!(run(&last).await, State::Live, "{cut:?} {by_the_server}");
            let chain = KeyChain::read(&store, &path).await.unwrap().unwrap();
            assert_eq!(chain.rotations().len(), usize::from(is_next), "{cut:?}");
            let report = report(folder.path(), &store, None).await;
            assert_eq!(report.problems, [], "{cut:?} {by_the_server}");
        }
    }
}

#[tokio::test]
async fn what_the_key_before_signs_after_the_change_counts_for_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let store = signed(folder.path()).await;
    rotated(folder.path(), &store).await;
    append(&store, 20).await;
    let after = notary_of(folder.path(), &store, NEXT).unwrap();
    run(&after).await;
    let signed = after.checkpoint().unwrap().checkpoint;
    let thief = Signer::of_seed(after.verifier().name(), &SEED).unwrap();
    let forged = Kept {
        at: execution_ledger_domain::Timestamp::EPOCH,
        signed: thief.sign(signed.size, signed.root),
    };
    Checkpoints::in_folder(&folder.path().join("notary")).append(&forged).unwrap();
    let report = report(folder.path(), &store, None).await;
    assert!(report.problems.iter().any(|problem| problem.problem.contains("not signed")));
}

#[tokio::test]
async fn a_change_that_the_key_before_has_not_signed_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let store = signed(folder.path()).await;
    let first = read_verifier(&folder.path().join("notary")).unwrap().unwrap().to_string();
    rotated(folder.path(), &store).await;
    let path = folder.path().join("notary").join(CHECKPOINTS_FILE);
    let lines = fs::read_to_string(&path).unwrap();
    let mut lines: Vec<_> = lines.lines().collect();
    lines.remove(lines.len() - 2);
    fs::write(&path, lines.join("\n") + "\n").unwrap();
    let report = report(folder.path(), &store, Some(&first)).await;
    let named = report.problems.iter().any(|found| {
        found.check == Check::Checkpoint && found.problem.contains("has not signed this change")
    });
    assert!(named, "{:#?}", report.problems);
}

#[tokio::test]
async fn nothing_is_changed_where_log_and_checkpoints_disagree() {
    let folder = tempfile::tempdir().unwrap();
    signed(folder.path()).await.close().await;
    tamper(folder.path(), "DELETE FROM events WHERE position > 290");
    let store = open(folder.path());
    let refused =
        rotate(&store, &folder.path().join("notary"), (&SEED, &NEXT), &|_| {}).await.unwrap_err();
    assert!(refused.to_string().contains("events are missing"), "{refused}");
    assert_eq!(super::all(&store).await.len(), 290, "the log tells of nothing");
}

#[tokio::test]
async fn who_kept_a_key_and_a_checkpoint_of_before_can_follow_to_today() {
    let folder = tempfile::tempdir().unwrap();
    let store = signed(folder.path()).await;
    let path = folder.path().join("notary");
    let older = kept(folder.path()).pop().unwrap().signed;
    let first = read_verifier(&path).unwrap().unwrap();
    rotated(folder.path(), &store).await;
    append(&store, 300).await;
    run(&notary_of(folder.path(), &store, NEXT).unwrap()).await;
    let proof = prove_consistency(&store, &path, &older).await.unwrap();
    let text = serde_json::to_vec(&proof).unwrap();
    let shown = check_consistency(&text, Some(&first), Some(&older.checkpoint)).unwrap();
    assert_eq!((shown.older_size, shown.newer_size, shown.rotations), (300, 601, 1));
    assert!(shown.key_was_given && shown.checkpoint_was_given);
    let stranger = Signer::of_seed(first.name(), &[5; 32]).unwrap();
    assert!(check_consistency(&text, Some(stranger.verifier()), None).is_err());
    let elsewhere = stranger.sign(300, older.checkpoint.root);
    assert!(prove_consistency(&store, &path, &elsewhere).await.is_err());
    for at in 0..proof.path.len() {
        let mut other = proof.clone();
        other.path[at].0[0] ^= 1;
        let text = serde_json::to_vec(&other).unwrap();
        assert!(check_consistency(&text, Some(&first), None).is_err());
    }
    let mut led_astray = proof.clone();
    led_astray.rotations[0].event.data = led_astray.rotations[0].event.data.replace('1', "2");
    let text = serde_json::to_vec(&led_astray).unwrap();
    assert!(check_consistency(&text, Some(&first), None).is_err());
}
