//! Taking the events of another log into an empty one.

use execution_ledger_domain::Timestamp;
use execution_ledger_store::sqlite::{ImportError, Importer};
use execution_ledger_store::{EventStore, Position, contract};

use crate::{all, append, opened};

#[tokio::test]
async fn events_are_taken_over_just_as_they_are_and_the_log_goes_on_behind_them() {
    let folder = tempfile::tempdir().unwrap();
    let source = opened(&folder.path().join("source.db"));
    append(&source, vec![contract::event_with_text(0, "words"), contract::event(1)]).await.unwrap();
    append(&source, vec![contract::event(2)]).await.unwrap();
    let mut events = all(&source).await;

    let path = folder.path().join("target.db");
    let mut importer = Importer::create(&path, Timestamp::EPOCH).unwrap();
    importer.push(&mut events[..2].to_vec()).unwrap();
    importer.push(&mut events[2..]).unwrap();
    let (log_id, last) = importer.finish().unwrap();
    assert_ne!(log_id, *source.log_id(), "it is another log");
    assert_eq!(last, Position::new(3));

    let target = opened(&path);
    assert_eq!(all(&target).await, all(&source).await);
    let appended = append(&target, vec![contract::event(3)]).await.unwrap();
    assert_eq!(appended.revision, 3);
    drop(target);
    assert!(matches!(Importer::create(&path, Timestamp::EPOCH), Err(ImportError::NotEmpty)));
}

#[tokio::test]
async fn what_does_not_follow_on_what_was_there_is_refused_and_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let source = opened(&folder.path().join("source.db"));
    append(&source, vec![contract::event_with_text(0, "words"), contract::event(1)]).await.unwrap();
    let events = all(&source).await;

    let mut importer =
        Importer::create(&folder.path().join("target.db"), Timestamp::EPOCH).unwrap();
    let gap = importer.push(&mut events[1..].to_vec());
    assert!(matches!(gap, Err(ImportError::Revision { found: 1, expected: 0, .. })), "{gap:?}");
    let mut twice = events.clone();
    twice[1].id = twice[0].id;
    let twice = importer.push(&mut twice);
    assert!(matches!(twice, Err(ImportError::DuplicateEventId(_))), "{twice:?}");
    let mut earlier = events.clone();
    earlier[1].recorded_at = Timestamp::EPOCH;
    let earlier = importer.push(&mut earlier);
    assert!(matches!(earlier, Err(ImportError::Time { .. })), "{earlier:?}");
    let mut full = events.clone();
    full[0].contents = vec![full[0].contents.first().cloned().unwrap(); 17];
    let full = importer.push(&mut full);
    assert!(matches!(full, Err(ImportError::TooManyContents(17))), "{full:?}");
    assert_eq!(importer.push(&mut events.clone()).unwrap(), Position::new(2));
}
