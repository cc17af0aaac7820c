//! Texts come with the log, and those that were erased do not.

use eventstore::ReadAllOptions;
use execution_ledger_store::{
    ContentPlace, EventStore, ExpectedRevision, NewEvent, Position, Recorded, With, contract,
};

use crate::relay::Relay;
use crate::world::{Follower, all, opened, server, somebody};

/// Texts that are appended.
const TEXTS: usize = 300;
/// Calls to read that go on beside them.
const READS_BESIDE: u64 = 40;

fn text(number: usize) -> String {
    format!("text {number}")
}

/// Whether each event has its text.
fn have_their_texts(events: &[Recorded], given: &[NewEvent]) {
    for (number, (event, given)) in events.iter().zip(given).enumerate() {
        assert_eq!(event.text(&given.contents[0].reference()), Some(&*text(number)));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn texts_of_other_nodes_come_with_the_log_and_are_not_asked_for_one_by_one() {
    let server = server().await;
    let relay = Relay::before(server.address()).await;
    let writes = opened(&[server.address()]).await;
    let follows = opened(&[relay.address()]).await;
    let follower = Follower::of(&follows).await;
    let events: Vec<NewEvent> =
        (0..TEXTS).map(|number| contract::event_with_text(number, &text(number))).collect();
    let before = relay.reads();
    for event in &events {
        let name = contract::stream("told");
        writes.append(&name, ExpectedRevision::Any, vec![event.clone()]).await.unwrap();
    }
    have_their_texts(&follower.saw(TEXTS).await, &events);
    let followed = relay.reads() - before;
    assert!(followed < READS_BESIDE, "{followed} reads for {TEXTS} texts");

    let reads = opened(&[relay.address()]).await;
    let before = relay.reads();
    have_their_texts(&all(&reads).await, &events);
    let read = relay.reads() - before;
    assert!(read < READS_BESIDE, "{read} reads for {TEXTS} texts");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_erased_text_does_not_come_back_from_the_log_on_any_node() {
    let server = server().await;
    let (one, two) = (opened(&[server.address()]).await, opened(&[server.address()]).await);
    let name = contract::stream("erased");
    let gone = contract::event_with_text(0, "gone");
    let kept = contract::event_with_text(1, "kept");
    let events = vec![gone.clone(), kept.clone()];
    one.append(&name, ExpectedRevision::NoStream, events).await.unwrap();
    // Both have it in memory, and read what tells of erasures, before it is erased.
    for store in [&one, &two] {
        assert_eq!(Follower::of(store).await.saw(2).await, all(store).await);
    }
    let sha256 = gone.contents[0].reference().sha256;
    let places = vec![ContentPlace { event_id: gone.id, sha256 }];
    let told = NewEvent { type_name: "content.erased".to_owned(), ..contract::event(2) };
    let reason = contract::stream("reason");
    two.append_erasing(&reason, ExpectedRevision::NoStream, vec![told], places).await.unwrap();

    let log = somebody(&server).read_all(&ReadAllOptions::default()).await;
    let (mut log, mut left) = (log.unwrap(), false);
    while let Some(event) = log.next().await.unwrap() {
        left |= event.get_original_event().data == "gone";
    }
    assert!(left, "the server keeps it in the whole log until it is scavenged");
    let three = opened(&[server.address()]).await;
    for store in [&one, &two, &three] {
        // Another node forgets it when it reads that it was erased.
        Follower::of(store).await.saw(3).await;
        let mut reads = vec![
            all(store).await,
            Follower::of(store).await.saw(3).await,
            store.read_stream(&name, 0, 10, With::Contents).await.unwrap(),
        ];
        let mut backwards =
            store.read_all_backwards(Position::END, 10, With::Contents).await.unwrap();
        backwards.reverse();
        reads.push(backwards);
        for read in reads {
            assert_eq!(read[0].text(&gone.contents[0].reference()), None);
            assert_eq!(read[0].contents[0].sha256, sha256);
            assert_eq!(read[1].text(&kept.contents[0].reference()), Some("kept"));
        }
    }
}
