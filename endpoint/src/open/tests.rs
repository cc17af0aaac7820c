//! The open store itself.

use bytes::Bytes;
use uuid::Uuid;

use super::*;
use crate::log::LogEvent;

fn event(ordinal: u128) -> Proposed {
    Proposed {
        id: Uuid::from_u128(ordinal),
        type_name: "order.placed".to_owned(),
        json: true,
        metadata: Bytes::new(),
        data: format!("{{\"n\":{ordinal}}}").into(),
    }
}

async fn append(
    store: &OpenStore,
    stream: &str,
    expected: Expected,
    ids: &[u128],
) -> Result<Written, WriteError> {
    store.append(stream.to_owned(), expected, ids.iter().map(|id| event(*id)).collect()).await
}

async fn read(store: &OpenStore, stream: &str, from: StreamFrom) -> Option<Vec<u64>> {
    match store.read_stream(stream, from, 100).await.unwrap() {
        StreamPage::Found { events, .. } => Some(events.iter().map(|e| e.revision).collect()),
        StreamPage::Missing | StreamPage::Tombstoned => None,
    }
}

fn current(result: Result<Written, WriteError>) -> Option<u64> {
    match result {
        Err(WriteError::WrongExpected { current }) => current,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn an_append_is_made_once_at_the_revision_that_it_expects() {
    let store = OpenStore::in_memory().unwrap();
    assert_eq!(current(append(&store, "a", Expected::Exact(1), &[1]).await), None);
    assert_eq!(current(append(&store, "a", Expected::Exists, &[1]).await), None);
    let first = append(&store, "a", Expected::NoStream, &[1, 2]).await.unwrap();
    assert_eq!(first.revision, Some(1));
    // Again, in every way in which it may have been meant.
    for expected in [Expected::NoStream, Expected::Any, Expected::Exists] {
        assert_eq!(append(&store, "a", expected, &[1, 2]).await.unwrap(), first);
    }
    let second = append(&store, "a", Expected::Exact(1), &[3]).await.unwrap();
    assert_eq!(append(&store, "a", Expected::Exact(1), &[3]).await.unwrap(), second);
    assert_eq!(append(&store, "a", Expected::Exact(0), &[2, 3]).await.unwrap(), second);
    // Others, or more of them, are others.
    assert_eq!(current(append(&store, "a", Expected::NoStream, &[4]).await), Some(2));
    assert_eq!(current(append(&store, "a", Expected::Exact(0), &[2, 3, 4]).await), Some(2));
    for expected in [Expected::Any, Expected::Exists] {
        // Whoever expects no revision is answered by where the ids stand, in whatever order …
        let again = append(&store, "a", expected, &[3, 1]).await.unwrap();
        assert_eq!((again.revision, again.position < first.position), (Some(0), true));
        // … and can't mix those of an earlier append with new ones.
        assert_eq!(current(append(&store, "a", expected, &[3, 4]).await), Some(2));
    }
    // The same id in another stream is nobody's business.
    append(&store, "b", Expected::NoStream, &[1]).await.unwrap();
    assert_eq!(read(&store, "a", StreamFrom::UpFrom(0)).await, Some(vec![0, 1, 2]));
    assert_eq!(read(&store, "a", StreamFrom::DownFrom(1)).await, Some(vec![1, 0]));
}

#[tokio::test]
async fn a_deleted_stream_goes_on_where_it_was_and_a_buried_one_never() {
    let store = OpenStore::in_memory().unwrap();
    let remove = |expected, removal| store.remove("a".to_owned(), expected, removal);
    assert_eq!(current(remove(Expected::Any, Removal::Delete).await), None);
    append(&store, "a", Expected::NoStream, &[1, 2]).await.unwrap();
    assert_eq!(current(remove(Expected::Exact(0), Removal::Delete).await), Some(1));
    remove(Expected::Exact(1), Removal::Delete).await.unwrap();
    assert_eq!(read(&store, "a", StreamFrom::UpFrom(0)).await, None);
    remove(Expected::Exact(1), Removal::Delete).await.unwrap();
    let again = remove(Expected::Exists, Removal::Delete).await;
    assert!(matches!(again, Err(WriteError::StreamDeleted)));
    append(&store, "a", Expected::NoStream, &[3]).await.unwrap();
    append(&store, "a", Expected::NoStream, &[3]).await.unwrap();
    assert_eq!(read(&store, "a", StreamFrom::UpFrom(0)).await, Some(vec![2]));
    remove(Expected::Any, Removal::Tombstone).await.unwrap();
    let after = append(&store, "a", Expected::Any, &[4]).await;
    assert!(matches!(after, Err(WriteError::StreamDeleted)));
    let page = store.read_stream("a", StreamFrom::UpFrom(0), 10).await.unwrap();
    assert!(matches!(page, StreamPage::Tombstoned));
}

#[tokio::test]
async fn metadata_hide_what_is_old_and_only_the_newest_metadata_are_seen() {
    let store = OpenStore::in_memory().unwrap();
    append(&store, "a", Expected::NoStream, &[1, 2, 3, 4]).await.unwrap();
    for (id, said, seen) in [
        (10, r#"{"$maxCount":2}"#, vec![2, 3]),
        (11, r#"{"$tb":1}"#, vec![1, 2, 3]),
        (12, r#"{"$maxAge":3600}"#, vec![0, 1, 2, 3]),
    ] {
        let mut metadata = event(id);
        metadata.type_name = "$metadata".to_owned();
        metadata.data = said.into();
        store.append("$$a".to_owned(), Expected::Any, vec![metadata]).await.unwrap();
        assert_eq!(read(&store, "a", StreamFrom::UpFrom(0)).await, Some(seen), "{said}");
    }
    assert_eq!(read(&store, "$$a", StreamFrom::UpFrom(0)).await, Some(vec![2]));
}

#[tokio::test]
async fn the_whole_log_is_read_both_ways_and_survives_its_process() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("open.db");
    let store = OpenStore::open(&path).unwrap();
    let written = append(&store, "a", Expected::NoStream, &[1, 2]).await.unwrap();
    drop(store);
    let store = OpenStore::open(&path).unwrap();
    assert_eq!(Some(*store.head().borrow()), written.position);
    let names = |page: AllPage| page.events.into_iter().map(|e| e.stream).collect::<Vec<_>>();
    let up = store.read_all(AllFrom::After(0), 10).await.unwrap();
    assert!(up.last);
    assert_eq!(names(up), ["$open-store", "a", "a"]);
    let down = store.read_all(AllFrom::Before(u64::MAX), 2).await.unwrap();
    assert!(!down.last);
    let positions: Vec<_> = down.events.iter().map(|e: &LogEvent| e.position).collect();
    assert_eq!(Some(positions[0]), written.position);
    assert!(positions[0] > positions[1] + 1, "positions have gaps: {positions:?}");
    for (position, is_place) in [
        (0, true),
        (positions[1] - 1, false),
        (positions[1], true),
        (positions[1] + 1, false),
        (positions[0], true),
        (positions[0] + 1, true),
    ] {
        assert_eq!(store.is_place(position).await.unwrap(), is_place, "{position}");
    }
}

#[tokio::test]
async fn reserved_names_and_what_is_too_large_are_refused() {
    let store = OpenStore::in_memory().unwrap();
    for name in ["$ce-order", "$$", "$$$all", ""] {
        assert!(append(&store, name, Expected::Any, &[1]).await.is_err(), "{name}");
    }
    let mut large = event(1);
    large.data = vec![b'x'; APPEND_MAX_BYTES].into();
    let refused = store.append("a".to_owned(), Expected::Any, vec![large]).await;
    assert!(matches!(refused, Err(WriteError::TooLarge { .. })));
}
