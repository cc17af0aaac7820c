//! Restarts, lost tiles, and logs that are not what they were.

use std::fs;

use execution_ledger_domain::Timestamp;
use execution_ledger_store::NewLog as _;
use execution_ledger_store::sqlite::Importer;

use super::{SEED, all, append, notary, notary_of, open, run, tamper};
use crate::notary::{CHECKPOINTS_FILE, Checkpoints, Kept, Levels, State, leaf};

#[tokio::test]
async fn a_restart_goes_on_with_the_same_tree_and_key() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    append(&store, 600).await;
    let first = notary(folder.path(), &store);
    assert_eq!(run(&first).await, State::Live);
    append(&store, 100).await;
    let second = notary(folder.path(), &store);
    assert_eq!(second.verifier(), first.verifier());
    assert_eq!(run(&second).await, State::Live);
    let signed = second.checkpoint().unwrap();
    assert_eq!(signed.checkpoint.size, 700);
    assert!(signed.is_by(second.verifier()));
    let kept: Result<Vec<Kept>, _> =
        Checkpoints::in_folder(&folder.path().join("notary")).read().unwrap().collect();
    let sizes: Vec<_> = kept.unwrap().iter().map(|kept| kept.signed.checkpoint.size).collect();
    assert_eq!(sizes.last(), Some(&700));
    assert!(sizes.is_sorted() && sizes.contains(&600), "{sizes:?}");
}

#[tokio::test]
async fn nothing_new_is_nothing_to_sign() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    append(&store, 3).await;
    run(&notary(folder.path(), &store)).await;
    let path = folder.path().join("notary").join(CHECKPOINTS_FILE);
    let before = fs::read(&path).unwrap();
    run(&notary(folder.path(), &store)).await;
    assert_eq!(fs::read(&path).unwrap(), before);
}

#[tokio::test]
async fn lost_and_damaged_tiles_are_made_anew_and_agree() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    append(&store, 900).await;
    run(&notary(folder.path(), &store)).await;
    let tile = |index: usize| folder.path().join(format!("notary/tile/0/{index:03}"));
    let originals: Vec<_> = (0..3).map(|index| fs::read(tile(index)).unwrap()).collect();
    let restored = async |what: &str| {
        assert_eq!(run(&notary(folder.path(), &store)).await, State::Live, "{what}");
        for (index, original) in originals.iter().enumerate() {
            assert!(fs::read(tile(index)).unwrap() == *original, "{what}: {index}");
        }
    };
    fs::remove_file(tile(1)).unwrap();
    restored("a tile was removed").await;
    fs::write(tile(2), b"half").unwrap();
    restored("a tile was cut").await;
    fs::write(tile(0), vec![0; 8_192]).unwrap();
    restored("a tile was overwritten").await;
    let ends = folder.path().join(format!("notary/tile/ends-{}", store.log_id()));
    fs::write(ends, [0; 40]).unwrap();
    restored("where tiles end was overwritten").await;
    fs::remove_dir_all(folder.path().join("notary/tile")).unwrap();
    restored("all tiles were removed").await;
}

/// Tiles say where they end by the positions of their log; of another one these mean nothing, also where
/// all that was signed is under the tiles, so that no later checkpoint would tell.
#[tokio::test]
async fn the_same_events_in_another_log_lead_to_the_same_tree_from_whatever_tiles_there_are() {
    let (first, second) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let store = open(first.path());
    append(&store, 512).await;
    assert_eq!(run(&notary(first.path(), &store)).await, State::Live);
    // The other log counts its positions otherwise.
    let path = second.path().join("events.db");
    let mut importer = Box::new(Importer::open(&path, Timestamp::EPOCH).unwrap());
    importer.push(all(&store).await).await.unwrap();
    importer.finish().await.unwrap();
    let connection = rusqlite::Connection::open(&path).unwrap();
    let further = "DROP TRIGGER events_stay; DROP TRIGGER events_stay_as_they_are;
        UPDATE events SET position = -position; UPDATE events SET position = 1000 - 3 * position;";
    connection.execute_batch(further).unwrap();
    drop(connection);
    let moved = open(second.path());
    assert_eq!(moved.head().await.unwrap().number(), 1_000 + 3 * 512);

    append(&moved, 1).await;
    let signing = notary(first.path(), &moved);
    assert_eq!(run(&signing).await, State::Live);
    let signed = signing.checkpoint().unwrap().checkpoint;
    let mut tree = Levels::default();
    for event in &all(&moved).await {
        tree.push(leaf(event));
    }
    assert_eq!((signed.size, signed.root), (513, tree.root()));
    let tiles = fs::read_dir(first.path().join("notary/tile")).unwrap();
    let ends = tiles.filter(|entry| {
        let name = entry.as_ref().unwrap().file_name();
        name.to_str().unwrap().starts_with("ends")
    });
    assert_eq!(ends.count(), 1, "what spoke of the other log is gone");
}

#[tokio::test]
async fn half_a_checkpoint_that_a_crash_left_is_removed() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    append(&store, 3).await;
    run(&notary(folder.path(), &store)).await;
    let path = folder.path().join("notary").join(CHECKPOINTS_FILE);
    let before = fs::read(&path).unwrap();
    for cut in [1, before.len() / 2, before.len() - 1] {
        let mut torn = before.clone();
        torn.extend(&before[..cut]);
        fs::write(&path, torn).unwrap();
        assert_eq!(run(&notary(folder.path(), &store)).await, State::Live);
        assert_eq!(fs::read(&path).unwrap(), before);
    }
}

/// Signs a log of 600 events, does something to it, and lets the next notary look at it. Whether it
/// raised the alarm and signed nothing.
async fn alarms(sql: &str, then: usize) -> bool {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notary").join(CHECKPOINTS_FILE);
    {
        let store = open(folder.path());
        append(&store, 600).await;
        run(&notary(folder.path(), &store)).await;
        store.close().await;
    }
    tamper(folder.path(), sql);
    let before = fs::read(&path).unwrap();
    let store = open(folder.path());
    append(&store, then).await;
    let second = notary(folder.path(), &store);
    let state = run(&second).await;
    let silent = fs::read(&path).unwrap() == before && second.checkpoint().is_none();
    matches!(state, State::Alarm(_)) && silent
}

#[tokio::test]
async fn a_log_that_is_not_what_was_signed_raises_the_alarm_and_is_not_signed() {
    assert!(alarms("UPDATE events SET data = '{}' WHERE position = 590", 0).await, "changed");
    assert!(alarms("DELETE FROM events WHERE position > 580", 0).await, "cut");
    assert!(alarms("DELETE FROM events WHERE position > 200", 0).await, "cut before a tile's end");
    assert!(alarms("DELETE FROM events WHERE position > 580", 100).await, "cut, and grown again");
    assert!(!alarms("SELECT 1", 5).await, "untouched");
}

#[tokio::test]
async fn checkpoints_that_were_changed_raise_the_alarm() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    append(&store, 10).await;
    run(&notary(folder.path(), &store)).await;
    let path = folder.path().join("notary").join(CHECKPOINTS_FILE);
    let before = fs::read_to_string(&path).unwrap();
    let fewer = before.replace("\\n10\\n", "\\n9\\n");
    assert_ne!(fewer, before);
    for changed in [fewer.as_str(), "{}\n"] {
        fs::write(&path, changed).unwrap();
        assert!(matches!(run(&notary(folder.path(), &store)).await, State::Alarm(_)), "{changed}");
        assert_eq!(fs::read_to_string(&path).unwrap(), changed, "nothing was signed");
    }
}

#[tokio::test]
async fn another_key_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    notary(folder.path(), &store);
    assert!(notary_of(folder.path(), &store, [8; 32]).is_err());
    assert!(notary_of(folder.path(), &store, SEED).is_ok());
}

#[tokio::test]
async fn one_that_is_stopped_where_nothing_can_be_signed_stops() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    append(&store, 10).await;
    let stopped = notary(folder.path(), &store);
    let told_without_a_folder = async {
        while stopped.state() != State::Live {
            tokio::task::yield_now().await;
        }
        let place = folder.path().join("notary");
        fs::remove_dir_all(&place).unwrap();
        fs::write(&place, "no folder").unwrap();
        append(&store, 1).await;
    };
    stopped.run(told_without_a_folder).await;
    assert!(stopped.checkpoint().is_none(), "nothing more was signed");
}
