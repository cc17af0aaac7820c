//! A history that moves from a file to a server and back: the same bytes, the same tree.

#![expect(clippy::unwrap_used, reason = "a test that meets the unexpected should stop at once")]

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use execution_ledger_domain::{Actor, Content, Digest, EventId, StreamName, Timestamp};
use execution_ledger_endpoint::{OpenStore, Serving, serve_open};
use execution_ledger_replay::notary::{Levels, leaf};
use execution_ledger_replay::{ExportFilter, ExportFormat, check_file, export, import};
use execution_ledger_store::kurrentdb::{KurrentImport, KurrentOptions, KurrentStore};
use execution_ledger_store::sqlite::Importer;
use execution_ledger_store::{
    ContentPlace, EventStore, ExpectedRevision, ImportError, LogId, ManualClock, Metadata,
    NewEvent, NewLog, Position, Recorded, SqliteOptions, SqliteStore, StoreError, With,
};
use proptest::prelude::*;
use uuid::Uuid;

/// One append of a history: to which of a few streams, how many events, with which text, and what
/// becomes of an earlier one.
#[derive(Clone, Debug)]
struct Step {
    stream: u8,
    events: usize,
    text: Option<String>,
    erase: bool,
    later_us: u32,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let texts = prop::option::of(prop_oneof![
        "[a-z \n\"\\\\]{0,40}",
        "\\PC{1,20}",
        Just("\u{2028}\u{1f389}".to_owned()),
        (1_usize..60_000).prop_map(|bytes| "x".repeat(bytes)),
    ]);
    let step = (0_u8..4, 1_usize..5, texts, prop::bool::weighted(0.15), 0_u32..3);
    let step = step.prop_map(|(stream, events, text, erase, later_us)| Step {
        stream,
        events,
        text,
        erase,
        later_us,
    });
    prop::collection::vec(step, 1..30)
}

fn event(text: Option<&str>) -> NewEvent {
    let contents: Vec<_> = text.map(|text| Content::new([7; 16], text)).into_iter().collect();
    let registered = serde_json::json!({"reason": contents.first().map(Content::reference)});
    let data = if contents.is_empty() { "{}".to_owned() } else { registered.to_string() };
    let metadata = Metadata {
        actor: Actor::system("test"),
        correlation_id: "story".to_owned(),
        causation_id: "cause".to_owned(),
        traceparent: None,
    };
    NewEvent {
        id: EventId(Uuid::now_v7()),
        type_name: "agent.paused".to_owned(),
        version: 1,
        metadata: serde_json::to_string(&metadata).unwrap(),
        data,
        contents,
    }
}

/// A log that went through these steps.
async fn lived(path: &Path, steps: &[Step]) -> Arc<dyn EventStore> {
    let clock = Arc::new(ManualClock::at(Timestamp::from_micros(1_700_000_000_000_001)));
    let options = SqliteOptions { clock: Arc::clone(&clock) as _, ..SqliteOptions::default() };
    let store = SqliteStore::open(path, options).unwrap();
    let mut texts: Vec<ContentPlace> = Vec::new();
    for step in steps {
        let now = execution_ledger_store::Clock::now(&*clock);
        clock.set(Timestamp::from_micros(now.micros() + i64::from(step.later_us)));
        let stream: StreamName = format!("agent-a{}", step.stream).parse().unwrap();
        let events: Vec<_> = (0..step.events).map(|_| event(step.text.as_deref())).collect();
        let places: Vec<_> = if step.erase { texts.pop().into_iter().collect() } else { vec![] };
        for new in &events {
            let place = |content: &Content| ContentPlace {
                event_id: new.id,
                sha256: content.reference().sha256,
            };
            texts.extend(new.contents.iter().map(place));
        }
        store.append_erasing(&stream, ExpectedRevision::Any, events, places).await.unwrap();
    }
    store
}

async fn all(store: &dyn EventStore) -> Vec<Recorded> {
    let mut all: Vec<Recorded> = Vec::new();
    loop {
        let after = all.last().map_or(Position::START, |event| event.position);
        let page = store.read_all(after, 100, With::Contents).await.unwrap();
        if page.is_empty() {
            return all;
        }
        all.extend(page);
    }
}

fn root(events: &[Recorded]) -> Digest {
    let mut tree = Levels::default();
    for event in events {
        tree.push(leaf(event));
    }
    tree.root()
}

fn without_positions(events: &[Recorded]) -> Vec<Recorded> {
    let plain = |event: &Recorded| Recorded { position: Position::START, ..event.clone() };
    events.iter().map(plain).collect()
}

async fn exported(store: &Arc<dyn EventStore>) -> Vec<u8> {
    let mut file = Vec::new();
    let (filter, format) = (ExportFilter::default(), ExportFormat::Ndjson);
    export(store, &filter, format, Timestamp::EPOCH, &mut file, |_| {}).await.unwrap();
    file
}

/// The lines of the events, which name their position first.
fn events_of(file: &[u8]) -> Vec<String> {
    let text = std::str::from_utf8(file).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    let event = |line: &&str| line.split_once("\"stream\":").unwrap().1.to_owned();
    lines[1..lines.len() - 1].iter().map(event).collect()
}

struct Server {
    serving: Serving,
    _store: Arc<OpenStore>,
}

async fn server() -> Server {
    let store = OpenStore::in_memory().unwrap();
    let listen = SocketAddr::from(([127, 0, 0, 1], 0));
    let serving = serve_open(listen, Arc::clone(&store), None).await.unwrap();
    Server { serving, _store: store }
}

impl Server {
    fn options(&self) -> KurrentOptions {
        let place = format!("esdb://{}?tls=false", self.serving.address());
        KurrentOptions::at(place.parse().unwrap())
    }
}

/// A log that is cut off after so many events, wherever that is in what it was given.
struct CutOff {
    log: KurrentImport,
    left: usize,
}

#[async_trait]
impl NewLog for CutOff {
    async fn held(&mut self, after: Position, limit: usize) -> Result<Vec<Recorded>, StoreError> {
        self.log.held(after, limit).await
    }

    async fn push(&mut self, mut events: Vec<Recorded>) -> Result<(), ImportError> {
        let is_last = events.len() >= self.left;
        events.truncate(self.left);
        self.left -= events.len();
        self.log.push(events).await?;
        if is_last { Err(StoreError::TimedOut(0).into()) } else { Ok(()) }
    }

    async fn finish(self: Box<Self>) -> Result<LogId, ImportError> {
        Box::new(self.log).finish().await
    }
}

async fn moved_and_back(steps: Vec<Step>, cuts: Vec<usize>) {
    let folder = tempfile::tempdir().unwrap();
    let first = lived(&folder.path().join("first.db"), &steps).await;
    let (file, events) = (exported(&first).await, all(first.as_ref()).await);
    check_file(file.as_slice(), |_| {}).unwrap();

    let server = server().await;
    for cut in cuts {
        let log = KurrentImport::open(server.options()).await.unwrap();
        let left = 1 + cut % events.len();
        let cut = import(file.as_slice(), Box::new(CutOff { log, left }), |_| {}).await;
        assert!(cut.is_ok() || cut.unwrap_err().may_pass());
        if KurrentImport::open(server.options()).await.is_err() {
            break;
        }
    }
    let log = Box::new(KurrentImport::open(server.options()).await.unwrap());
    let done = import(file.as_slice(), log, |_| {}).await.unwrap();
    let moved = KurrentStore::open(server.options()).await.unwrap();
    assert_eq!(moved.log_id().as_str(), done.log_id);
    let there = all(moved.as_ref()).await;
    assert_eq!(without_positions(&there), without_positions(&events));
    assert_eq!(root(&there), root(&events), "the notary signs the same tree");
    for event in events.iter().take(5) {
        let stream = moved.read_stream(&event.stream, event.revision, 1, With::Contents).await;
        assert_eq!(
            without_positions(&stream.unwrap()),
            without_positions(std::slice::from_ref(event))
        );
    }

    let moved: Arc<dyn EventStore> = moved;
    let back = exported(&moved).await;
    assert_eq!(events_of(&back), events_of(&file));
    let path = folder.path().join("back.db");
    let log = Box::new(Importer::open(&path, Timestamp::EPOCH).unwrap());
    import(back.as_slice(), log, |_| {}).await.unwrap();
    let home = SqliteStore::open(&path, SqliteOptions::default()).unwrap();
    assert_eq!(all(home.as_ref()).await, events, "also the positions: both count from one");
    moved.close().await;
    server.serving.stop().await;
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, max_shrink_iters: 50, ..ProptestConfig::default() })]

    #[test]
    fn any_history_moves_to_a_server_and_back_to_the_byte_however_often_it_is_cut_off(
        steps in steps(),
        cuts in prop::collection::vec(0_usize..200, 0..3),
    ) {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(moved_and_back(steps, cuts));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_that_is_not_filled_to_its_end_is_opened_by_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let step = Step { stream: 0, events: 3, text: None, erase: false, later_us: 1 };
    let source = lived(&folder.path().join("a.db"), &[step]).await;
    let events = all(source.as_ref()).await;
    let server = server().await;
    let mut log = KurrentImport::open(server.options()).await.unwrap();
    log.push(events[..2].to_vec()).await.unwrap();
    drop(log);
    let refused = KurrentStore::open(server.options()).await.map(drop).unwrap_err().to_string();
    assert!(refused.contains("an import into this log did not end"), "{refused}");
    let refused = KurrentStore::open_read_only(server.options()).await.map(drop);
    assert!(refused.is_err());

    let mut log = Box::new(KurrentImport::open(server.options()).await.unwrap());
    assert_eq!(
        without_positions(&log.held(Position::START, 9).await.unwrap()),
        without_positions(&events[..2])
    );
    let gap = Recorded { revision: 5, ..events[2].clone() };
    let refused = log.push(vec![gap]).await;
    assert!(
        matches!(refused, Err(ImportError::Revision { found: 5, expected: 2, .. })),
        "{refused:?}"
    );
    let early = Recorded { recorded_at: Timestamp::EPOCH, ..events[2].clone() };
    assert!(matches!(log.push(vec![early]).await, Err(ImportError::Time { .. })));
    log.push(events[2..].to_vec()).await.unwrap();
    let id = log.finish().await.unwrap();
    assert_eq!(KurrentStore::open(server.options()).await.unwrap().log_id(), &id);
    // Nothing else is there to fill it with: that is no second log.
    let again = Box::new(KurrentImport::open(server.options()).await.unwrap());
    assert_eq!(again.finish().await.unwrap(), id);
}

/// What an attempt that was killed had sent and nobody heard of can come late, and in other company.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_comes_twice_or_late_is_stored_once_and_in_its_place() {
    let folder = tempfile::tempdir().unwrap();
    let step = |text: &str| Step {
        stream: 0,
        events: 4,
        text: Some(text.to_owned()),
        erase: false,
        later_us: 1,
    };
    let source = lived(&folder.path().join("a.db"), &[step("one"), step("two")]).await;
    let events = all(source.as_ref()).await;
    let server = server().await;
    let mut before = KurrentImport::open(server.options()).await.unwrap();
    let mut after = Box::new(KurrentImport::open(server.options()).await.unwrap());
    before.push(events[..3].to_vec()).await.unwrap();
    after.push(events[..6].to_vec()).await.unwrap();
    before.push(events[3..5].to_vec()).await.unwrap();
    after.push(events[6..].to_vec()).await.unwrap();
    let mut late = KurrentImport::open(server.options()).await.unwrap();
    late.push(events[..3].to_vec()).await.unwrap();
    after.finish().await.unwrap();
    let moved = KurrentStore::open(server.options()).await.unwrap();
    assert_eq!(without_positions(&all(moved.as_ref()).await), without_positions(&events));
}
