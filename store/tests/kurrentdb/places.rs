//! A server reads the whole log only from places of records, and refuses every other position.

use eventstore::{
    AppendToStreamOptions, EventData, Position as Place, ReadStreamOptions, StreamMetadataBuilder,
    StreamPosition, SubscribeToAllOptions,
};
use execution_ledger_store::kurrentdb::{KurrentImport, KurrentOptions, KurrentStore};
use execution_ledger_store::{
    EventStore, ExpectedRevision, NewEvent, NewLog as _, Position, Recorded, With, contract,
};

use crate::proxy::Proxy;
use crate::world::{Server, all, at, opened, server, somebody, until_async};

/// Facts of the logs here: enough for several marks.
const FACTS: usize = 3_500;
/// Facts of one append.
const TOGETHER: usize = 50;

async fn fill(store: &KurrentStore) -> Vec<Recorded> {
    for round in 0..FACTS / TOGETHER {
        let events: Vec<NewEvent> =
            (0..TOGETHER).map(|number| contract::event(round * TOGETHER + number)).collect();
        let name = contract::stream(&format!("filled-{}", round % 5));
        store.append(&name, ExpectedRevision::Any, events).await.unwrap();
    }
    all(store).await
}

/// How many marks are seen on the server.
async fn marks(server: &Server) -> usize {
    let read =
        somebody(server).read_stream("log.ledger-marks", &ReadStreamOptions::default()).await;
    let mut marks = 0;
    if let Ok(mut read) = read {
        while let Ok(Some(_)) = read.next().await {
            marks += 1;
        }
    }
    marks
}

/// What the server answers, in bytes: when the whole log is read, and when something near its end is,
/// by who knows nothing of it.
async fn answered(server: &Server, facts: &[Recorded]) -> (u64, u64) {
    let proxy = Proxy::before(server.address()).await;
    let store = opened(&[proxy.address()]).await;
    let opening = proxy.answered_bytes();
    let between = Position::new(facts[FACTS - 100].position.number() - 1);
    let read = store.read_all(between, 1, With::Contents).await.unwrap();
    assert_eq!(read[0], facts[FACTS - 100]);
    let near_the_end = proxy.answered_bytes() - opening;
    assert_eq!(all(&store).await.len(), FACTS);
    (proxy.answered_bytes() - opening - near_the_end, near_the_end)
}

/// Reads at positions in the whole log of which the reader was never told anything.
async fn is_read_everywhere(server: &Server, facts: &[Recorded]) {
    let store = opened(&[server.address()]).await;
    for index in (0..FACTS).step_by(317).chain([FACTS - 2]) {
        let fact = &facts[index];
        let between = Position::new(fact.position.number() - 1);
        let read = store.read_all(between, 3, With::Contents).await.unwrap();
        assert_eq!(read[..], facts[index..facts.len().min(index + 3)][..read.len()]);
        assert!(!read.is_empty());
        let between = Position::new(fact.position.number() + 1);
        let read = store.read_all_backwards(between, 2, With::Contents).await.unwrap();
        assert_eq!(&read[0], fact);
        let mut following = store.subscribe(fact.position).await.unwrap();
        let next = following.next().await.unwrap().unwrap();
        assert_eq!(next[0], facts[index + 1]);
        let at = store.position_at(fact.recorded_at, Position::END).await.unwrap();
        let last = facts.iter().rfind(|other| other.recorded_at <= fact.recorded_at).unwrap();
        assert_eq!(at, last.position);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_position_where_no_record_begins_is_refused_by_the_server() {
    let server = server().await;
    let store = opened(&[server.address()]).await;
    let appended = store
        .append(&contract::stream("a"), ExpectedRevision::NoStream, vec![contract::event(0)])
        .await
        .unwrap();
    for (away, is_read) in [(1, false), (0, true)] {
        let number = appended.position.number() - away;
        let at = StreamPosition::Position(Place { commit: number, prepare: number });
        let options = SubscribeToAllOptions::default().position(at);
        let mut following = somebody(&server).subscribe_to_all(&options).await;
        let other = EventData::json("other", &0).unwrap();
        let options = AppendToStreamOptions::default();
        somebody(&server).append_to_stream("others", &options, other).await.unwrap();
        let next = following.next().await;
        assert_eq!(next.is_ok(), is_read, "{next:?}");
        let refusal = next.err().map(|error| error.to_string()).unwrap_or_default();
        assert_eq!(refusal.contains("invalid position"), !is_read, "{refusal}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_is_read_from_any_position_by_its_marks() {
    let server = server().await;
    let facts = fill(&*opened(&[server.address()]).await).await;
    assert_eq!(facts.len(), FACTS);
    until_async("marks along the log", async || marks(&server).await >= 3).await;
    is_read_everywhere(&server, &facts).await;
    let (whole, near_the_end) = answered(&server, &facts).await;
    assert!(near_the_end < whole / 3, "{near_the_end} of {whole} bytes");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_without_marks_is_read_from_any_position_too() {
    let server = server().await;
    let facts = fill(&*opened(&[server.address()]).await).await;
    let hidden = StreamMetadataBuilder::new().truncate_before(1_000).build();
    somebody(&server)
        .set_stream_metadata("log.ledger-marks", &AppendToStreamOptions::default(), &hidden)
        .await
        .unwrap();
    assert_eq!(marks(&server).await, 0);
    let (whole, near_the_end) = answered(&server, &facts).await;
    assert!(near_the_end > whole / 3, "there is no other way: {near_the_end} of {whole} bytes");
    is_read_everywhere(&server, &facts).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_that_was_moved_there_has_marks_of_the_times_of_its_facts() {
    let (from, to) = (server().await, server().await);
    let facts = fill(&*opened(&[from.address()]).await).await;
    let mut moving = KurrentImport::open(KurrentOptions::at(at(&[to.address()]))).await.unwrap();
    for page in facts.chunks(600) {
        moving.push(page.to_vec()).await.unwrap();
    }
    Box::new(moving).finish().await.unwrap();
    let set = marks(&to).await;
    assert!(set >= 3, "{set} marks before anybody has opened it");
    let moved = all(&*opened(&[to.address()]).await).await;
    assert!(
        moved.iter().map(|fact| fact.recorded_at).eq(facts.iter().map(|fact| fact.recorded_at))
    );
    is_read_everywhere(&to, &moved).await;
    let (whole, near_the_end) = answered(&to, &moved).await;
    assert!(near_the_end < whole / 3, "{near_the_end} of {whole} bytes");
}
