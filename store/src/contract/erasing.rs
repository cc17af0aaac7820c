//! What is left of a text that was erased.

use execution_ledger_domain::{Content, StreamName};

use super::{event, event_with_text, next, ok, stream};
use crate::port::{
    AppendError, ContentPlace, ERASE_MAX_PLACES, EventStore, ExpectedRevision, NewEvent, Position,
    Recorded, With,
};

const NONE: ExpectedRevision = ExpectedRevision::NoStream;

fn place(event: &NewEvent, content: &Content) -> ContentPlace {
    ContentPlace { event_id: event.id, sha256: content.reference().sha256 }
}

async fn stored(store: &dyn EventStore, name: &StreamName) -> Vec<Recorded> {
    ok("read", store.read_stream(name, 0, 100, With::Contents).await)
}

pub(super) async fn an_erased_text_is_gone_everywhere_and_nothing_else_is(store: &dyn EventStore) {
    let (name, told) = (stream("erased"), stream("told"));
    let kept = Content::new([2; 16], "kept");
    let gone = Content::new([1; 16], "gone");
    let both = NewEvent { contents: vec![gone.clone(), kept.clone()], ..event(0) };
    let copy = NewEvent { contents: vec![gone.clone()], ..event(1) };
    ok("append", store.append(&name, NONE, vec![both.clone(), copy.clone()]).await);
    let before = stored(store, &name).await;

    let places = vec![place(&both, &gone)];
    let teller = event_with_text(2, "the reason");
    let done = store.append_erasing(&told, NONE, vec![teller.clone()], places.clone()).await;
    let done = ok("erase", done);
    let after = stored(store, &name).await;
    let [first, second] = &*after else { panic!("two events: {after:?}") };
    assert_eq!(first.text(&gone.reference()), None);
    assert_eq!(first.contents[0].sha256, gone.reference().sha256);
    assert_eq!(first.text(&kept.reference()), Some("kept"));
    assert_eq!(second.text(&gone.reference()), Some("gone"), "that place was not named");
    assert_eq!((&first.data, &first.metadata), (&before[0].data, &before[0].metadata));

    let again = store.append_erasing(&told, NONE, vec![teller], places).await;
    assert_eq!(ok("the same again", again), done);
    assert!(ok("scrub", store.scrub().await));
    let mut follower = ok("subscribe", store.subscribe(Position::START).await);
    let mut seen = next(&mut follower).await.to_vec();
    while seen.len() < 3 {
        seen.extend(next(&mut follower).await.iter().cloned());
    }
    assert_eq!(seen[0].text(&gone.reference()), None, "followers are not told it either");
}

pub(super) async fn a_refused_append_erases_nothing(store: &dyn EventStore) {
    let name = stream("refused");
    let with_text = event_with_text(0, "words");
    ok("append", store.append(&name, NONE, vec![with_text.clone()]).await);
    let places = vec![place(&with_text, &with_text.contents[0])];
    let refused = store.append_erasing(&name, NONE, vec![event(1)], places.clone()).await;
    assert!(matches!(refused, Err(AppendError::WrongExpectedRevision { .. })), "{refused:?}");
    let many = vec![places[0]; ERASE_MAX_PLACES + 1];
    let refused = store.append_erasing(&name, ExpectedRevision::Any, vec![event(1)], many).await;
    assert!(matches!(refused, Err(AppendError::Malformed(_))), "{refused:?}");
    let text = with_text.contents[0].reference();
    assert_eq!(stored(store, &name).await[0].text(&text), Some("words"));
    let elsewhere = vec![ContentPlace { event_id: event(7).id, ..places[0] }];
    let any = ExpectedRevision::Any;
    ok("no such event", store.append_erasing(&name, any, vec![event(2)], elsewhere).await);
    assert_eq!(stored(store, &name).await[0].text(&text), Some("words"));
}
