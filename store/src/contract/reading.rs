//! What reads answer.

use std::sync::Arc;

use execution_ledger_domain::{Content, Timestamp};
use tokio::task::JoinSet;

use super::{append_one, event, event_with_text, ok, stream};
use crate::port::{EventStore, ExpectedRevision, NewEvent, Position, With};

const NONE: ExpectedRevision = ExpectedRevision::NoStream;

pub(super) async fn an_event_is_read_back_byte_for_byte(store: &dyn EventStore) {
    let name = stream("bytes");
    let odd = NewEvent {
        version: 7,
        data: r#"{ "b" : 1.50, "a":"ü\u0000\n🦀", "a2":[ ] }"#.to_owned(),
        contents: vec![Content::new([9; 16], "first\ttext\nü🦀"), Content::new([8; 16], "")],
        ..event(0)
    };
    let appended = ok("append", store.append(&name, NONE, vec![odd.clone()]).await);
    let by_stream = ok("read", store.read_stream(&name, 0, 1, With::Contents).await);
    let by_position = ok("read", store.read_all(Position::START, 1, With::Contents).await);
    assert_eq!(by_stream, by_position);
    let [stored] = &*by_stream else { panic!("one event: {by_stream:?}") };
    assert_eq!((stored.position, stored.revision), (appended.position, 0));
    assert_eq!((&stored.stream, stored.id), (&name, odd.id));
    assert_eq!((&stored.type_name, stored.version), (&odd.type_name, 7));
    assert_eq!((&stored.metadata, &stored.data), (&odd.metadata, &odd.data));
    assert_eq!(stored.recorded_at, appended.recorded_at);
    for (stored, given) in stored.contents.iter().zip(&odd.contents) {
        assert_eq!(stored.content.as_ref(), Some(given));
        assert_eq!(stored.sha256, given.reference().sha256);
    }
    assert_eq!(stored.contents.len(), 2);
}

pub(super) async fn texts_come_only_where_they_are_asked_for(store: &dyn EventStore) {
    let name = stream("texts");
    let events = vec![event_with_text(0, "zero"), event(1), event_with_text(2, "two")];
    let references: Vec<_> =
        events.iter().map(|event| event.contents.first().map(Content::reference)).collect();
    ok("append", store.append(&name, NONE, events).await);
    for bare in [
        ok("read", store.read_stream(&name, 0, 10, With::EventsOnly).await),
        ok("read", store.read_all(Position::START, 10, With::EventsOnly).await),
    ] {
        assert!(bare.iter().all(|event| event.contents.is_empty()));
    }
    for full in [
        ok("read", store.read_stream(&name, 0, 10, With::Contents).await),
        ok("read", store.read_all(Position::START, 10, With::Contents).await),
    ] {
        let texts: Vec<_> = full
            .iter()
            .zip(&references)
            .map(|(event, reference)| reference.as_ref().and_then(|r| event.text(r)))
            .collect();
        assert_eq!(texts, [Some("zero"), None, Some("two")]);
    }
}

pub(super) async fn pages_follow_each_other_without_a_gap(store: &dyn EventStore) {
    const EVENTS: usize = 25;
    for number in 0..EVENTS {
        append_one(store, &format!("pages-{}", number % 3), number).await;
    }
    let all = ok("read", store.read_all(Position::START, 1_000, With::EventsOnly).await);
    assert_eq!(all.len(), EVENTS);
    for size in [1, 2, 7, EVENTS] {
        let (mut paged, mut after) = (Vec::new(), Position::START);
        loop {
            let page = ok("read", store.read_all(after, size, With::EventsOnly).await);
            assert!(page.len() <= size);
            let Some(last) = page.last() else { break };
            after = last.position;
            paged.extend(page);
        }
        assert_eq!(paged, all);
    }
    let name = stream("pages-0");
    let from_third = ok("read", store.read_stream(&name, 2, 3, With::EventsOnly).await);
    let revisions: Vec<u64> = from_third.iter().map(|event| event.revision).collect();
    assert_eq!(revisions, [2, 3, 4]);
}

pub(super) async fn backwards_is_the_same_from_the_other_end(store: &dyn EventStore) {
    const END: Position = Position::END;
    for number in 0..9 {
        let events = vec![event_with_text(number, &format!("text {number}"))];
        let name = stream(&format!("back-{}", number % 2));
        ok("append", store.append(&name, ExpectedRevision::Any, events).await);
    }
    let mut all = ok("read", store.read_all(Position::START, 100, With::Contents).await);
    all.reverse();
    assert_eq!(ok("read", store.read_all_backwards(END, 100, With::Contents).await), all);
    for size in [1, 4] {
        let (mut paged, mut before) = (Vec::new(), END);
        loop {
            let page = ok("read", store.read_all_backwards(before, size, With::Contents).await);
            let Some(last) = page.last() else { break };
            before = last.position;
            paged.extend(page);
        }
        assert_eq!(paged, all);
    }
    let name = stream("back-0");
    let of_stream: Vec<_> = all.into_iter().filter(|event| event.stream == name).collect();
    let down = |from, limit| store.read_stream_backwards(&name, from, limit, With::Contents);
    assert_eq!(ok("read", down(u64::MAX, 100).await), of_stream);
    assert_eq!(ok("read", down(2, 2).await), of_stream[2..4]);
    assert!(ok("read", down(0, 0).await).is_empty());
    let none = stream("back-none");
    let missing = store.read_stream_backwards(&none, u64::MAX, 1, With::EventsOnly).await;
    assert!(ok("read", missing).is_empty());
    let first = store.read_all_backwards(Position::START, 1, With::EventsOnly).await;
    assert!(ok("read", first).is_empty());
}

pub(super) async fn several_streams_are_read_as_if_each_was_read_alone(store: &dyn EventStore) {
    for number in 0..6 {
        append_one(store, &format!("several-{}", number % 2), number).await;
    }
    let names = [stream("several-1"), stream("absent"), stream("several-0"), stream("several-1")];
    let together = ok("read", store.read_streams(&names, 2, With::Contents).await);
    assert_eq!(together.len(), names.len());
    for (name, events) in names.iter().zip(together) {
        assert_eq!(events, ok("read", store.read_stream(name, 0, 2, With::Contents).await));
    }
}

pub(super) async fn events_at_known_positions_are_those_of_their_stream(store: &dyn EventStore) {
    for number in 0..12 {
        append_one(store, &format!("known-{}", number % 2 * (number % 3)), number).await;
    }
    let everywhere: Vec<Position> =
        ok("read", store.read_all(Position::START, 100, With::EventsOnly).await)
            .iter()
            .map(|event| event.position)
            .chain([Position::new(1_000_000)])
            .collect();
    for with in [With::Contents, With::EventsOnly] {
        let mut known =
            vec![(stream("absent"), everywhere.clone()), (stream("known-0"), Vec::new())];
        let mut expected = vec![Vec::new(), Vec::new()];
        for name in ["known-0", "known-1", "known-2"].map(stream) {
            let mut events = ok("read", store.read_stream(&name, 0, 100, with).await);
            // Those of other streams are left out, and so are those that nobody asked for.
            known.push((name.clone(), everywhere.clone()));
            expected.push(events.clone());
            events.remove(0);
            known.push((name, events.iter().map(|event| event.position).collect()));
            expected.push(events);
        }
        assert_eq!(ok("read", store.read_at(&known, with).await), expected);
    }
}

pub(super) async fn what_is_beyond_the_end_is_empty(store: &dyn EventStore) {
    let last = append_one(store, "end", 0).await.position;
    let beyond = [last, Position::new(last.number() + 10), Position::new(u64::MAX)];
    for position in beyond {
        let page = ok("read", store.read_all(position, 10, With::Contents).await);
        assert!(page.is_empty());
    }
    for revision in [1, 100, u64::MAX] {
        let page = store.read_stream(&stream("end"), revision, 10, With::Contents).await;
        assert!(ok("read", page).is_empty());
    }
    let absent = store.read_stream(&stream("absent"), 0, 10, With::Contents).await;
    assert!(ok("read", absent).is_empty());
    let none = ok("read", store.read_all(Position::START, 0, With::Contents).await);
    assert!(none.is_empty());
}

pub(super) async fn a_position_need_not_be_an_events(store: &dyn EventStore) {
    for number in 0..6 {
        append_one(store, &format!("between-{}", number % 2), number).await;
    }
    let all = ok("read", store.read_all(Position::START, 100, With::Contents).await);
    for event in &all {
        let (before, after) = (event.position.number() - 1, event.position.number() + 1);
        let (before, after) = (Position::new(before), Position::new(after));
        let read = ok("read", store.read_all(before, 1, With::Contents).await);
        assert_eq!(&read[..], std::slice::from_ref(event));
        let read = ok("read", store.read_all_backwards(after, 1, With::Contents).await);
        assert_eq!(&read[..], std::slice::from_ref(event));
        let mut following = ok("subscribe", store.subscribe(before).await);
        assert_eq!(&super::take(&mut following, 1).await[0], event);
    }
}

pub(super) async fn a_moment_is_the_last_position_that_was_recorded_by_then(
    store: &dyn EventStore,
) {
    let none = store.position_at(Timestamp::EPOCH, Position::END).await;
    assert_eq!(ok("of an empty log", none), Position::START);
    for number in 0..30 {
        append_one(store, &format!("moments-{}", number % 3), number).await;
    }
    let all = ok("read", store.read_all(Position::START, 100, With::EventsOnly).await);
    let mut moments: Vec<i64> = all.iter().map(|event| event.recorded_at.micros()).collect();
    moments.extend([0, all[0].recorded_at.micros() - 1, all[29].recorded_at.micros() + 1]);
    for micros in moments {
        let moment = Timestamp::from_micros(micros);
        for until in [all[4].position, all[17].position, Position::END] {
            let known = all.iter().take_while(|event| event.position <= until);
            let last = known.filter(|event| event.recorded_at <= moment).last();
            let found = ok("moment", store.position_at(moment, until).await);
            assert_eq!(found, last.map_or(Position::START, |event| event.position));
        }
    }
}

pub(super) async fn recorded_at_never_decreases(store: Arc<dyn EventStore>) {
    let mut writers = JoinSet::new();
    for writer in 0..8 {
        let store = Arc::clone(&store);
        writers.spawn(async move {
            for number in 0..20 {
                append_one(&*store, &format!("times-{writer}"), number).await;
            }
        });
    }
    writers.join_all().await;
    let all = ok("read", store.read_all(Position::START, 1_000, With::EventsOnly).await);
    assert_eq!(all.len(), 160);
    assert!(all.is_sorted_by_key(|event| event.recorded_at));
}
