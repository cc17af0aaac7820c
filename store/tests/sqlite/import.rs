//! Taking the events of another log into an empty one.

use execution_ledger_domain::Timestamp;
use execution_ledger_store::sqlite::{Importer, OpenError};
use execution_ledger_store::{EventStore, ImportError, NewLog as _, Position, contract};

use crate::{all, append, opened};

#[tokio::test]
async fn events_are_taken_over_just_as_they_are_and_the_log_goes_on_behind_them() {
    let folder = tempfile::tempdir().unwrap();
    let source = opened(&folder.path().join("source.db"));
    append(&source, vec![contract::event_with_text(0, "words"), contract::event(1)]).await.unwrap();
    append(&source, vec![contract::event(2)]).await.unwrap();
    let mut events = all(&source).await;

    let path = folder.path().join("target.db");
    let mut importer = Importer::open(&path, Timestamp::EPOCH).unwrap();
    assert_eq!(importer.held(Position::START, 9).await.unwrap(), []);
    importer.push(events[..2].to_vec()).await.unwrap();
    drop(importer);
    let mut importer = Box::new(Importer::open(&path, Timestamp::EPOCH).unwrap());
    assert_eq!(importer.held(Position::START, 9).await.unwrap(), events[..2], "it goes on");
    assert_eq!(importer.held(Position::new(1), 9).await.unwrap(), events[1..2]);
    importer.push(events.split_off(2)).await.unwrap();
    let log_id = importer.finish().await.unwrap();
    assert_ne!(log_id, *source.log_id(), "it is another log");

    let target = opened(&path);
    assert_eq!(all(&target).await, all(&source).await);
    let appended = append(&target, vec![contract::event(3)]).await.unwrap();
    assert_eq!(appended.revision, 3);
    let taken = Importer::open(&path, Timestamp::EPOCH);
    assert!(matches!(taken, Err(OpenError::InUse { .. })), "nothing else writes it meanwhile");
}

#[tokio::test]
async fn what_does_not_follow_on_what_was_there_is_refused_and_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let source = opened(&folder.path().join("source.db"));
    append(&source, vec![contract::event_with_text(0, "words"), contract::event(1)]).await.unwrap();
    let events = all(&source).await;

    let mut importer = Importer::open(&folder.path().join("target.db"), Timestamp::EPOCH).unwrap();
    let gap = importer.push(events[1..].to_vec()).await;
    assert!(matches!(gap, Err(ImportError::Revision { found: 1, expected: 0, .. })), "{gap:?}");
    let mut twice = events.clone();
    twice[1].id = twice[0].id;
    let twice = importer.push(twice).await;
    assert!(matches!(twice, Err(ImportError::DuplicateEventId(_))), "{twice:?}");
    let mut earlier = events.clone();
    earlier[1].recorded_at = Timestamp::EPOCH;
    let earlier = importer.push(earlier).await;
    assert!(matches!(earlier, Err(ImportError::Time { .. })), "{earlier:?}");
    let mut full = events.clone();
    full[0].contents = vec![full[0].contents.first().cloned().unwrap(); 17];
    let full = importer.push(full).await;
    assert!(matches!(full, Err(ImportError::TooManyContents { found: 17, .. })), "{full:?}");
    importer.push(events.clone()).await.unwrap();
    assert_eq!(importer.held(Position::START, 9).await.unwrap(), events);
}
