//! An erasure that is cut off between its fact and its texts is finished before anybody is told that
//! the texts are gone.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use execution_ledger_endpoint::{
    AllFrom, AllPage, Expected, Log, LogError, NodeKeyAuthority, OpenStore, Proposed, Removal,
    Serve, StreamFrom, StreamPage, WriteError, Written, serve,
};
use execution_ledger_store::kurrentdb::Prefix;
use execution_ledger_store::{
    AppendError, ContentPlace, EventStore, ExpectedRevision, NewEvent, Recorded, StoreError, With,
    contract,
};
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::proxy::Proxy;
use crate::world::{opened, opened_impatiently};

/// A server that can't delete streams at times.
struct Stubborn {
    store: Arc<OpenStore>,
    refuses: AtomicBool,
    /// Falls silent when it is asked to.
    silenced: std::sync::OnceLock<Arc<Proxy>>,
}

#[async_trait]
impl Log for Stubborn {
    async fn read_all(&self, from: AllFrom, limit: usize) -> Result<AllPage, LogError> {
        self.store.read_all(from, limit).await
    }

    async fn is_place(&self, position: u64) -> Result<bool, LogError> {
        self.store.is_place(position).await
    }

    async fn read_stream(
        &self,
        stream: &str,
        from: StreamFrom,
        limit: usize,
    ) -> Result<StreamPage, LogError> {
        self.store.read_stream(stream, from, limit).await
    }

    fn head(&self) -> watch::Receiver<u64> {
        self.store.head()
    }

    fn changes(&self, stream: &str) -> watch::Receiver<u64> {
        self.store.changes(stream)
    }

    async fn append(
        &self,
        stream: String,
        expected: Expected,
        events: Vec<Proposed>,
    ) -> Result<Written, WriteError> {
        self.store.append(stream, expected, events).await
    }

    async fn remove(
        &self,
        stream: String,
        expected: Expected,
        removal: Removal,
    ) -> Result<Written, WriteError> {
        if !self.refuses.load(Ordering::Relaxed) {
            return self.store.remove(stream, expected, removal).await;
        }
        if let Some(proxy) = self.silenced.get() {
            proxy.be_half_open(true);
            proxy.swallow();
            proxy.cut();
        }
        Err(LogError::Unavailable("not now".to_owned()).into())
    }
}

struct World {
    server: Arc<Stubborn>,
    serving: execution_ledger_endpoint::Serving,
    text: NewEvent,
    fact: NewEvent,
}

impl World {
    async fn new() -> Self {
        let server = Arc::new(Stubborn {
            store: OpenStore::in_memory().unwrap(),
            refuses: AtomicBool::new(true),
            silenced: std::sync::OnceLock::new(),
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let authority = Arc::new(NodeKeyAuthority::new(Prefix::default(), None));
        let log = Arc::<Stubborn>::clone(&server);
        let serving = serve(listener, Serve { log, authority, tls: None }).unwrap();
        let text = contract::event_with_text(0, "to be erased");
        let fact = NewEvent { type_name: "content.erased".to_owned(), ..contract::event(1) };
        Self { server, serving, text, fact }
    }

    async fn erase(&self, store: &dyn EventStore) -> Result<(), AppendError> {
        let none = ExpectedRevision::NoStream;
        let name = contract::stream("text");
        store.append(&name, none, vec![self.text.clone()]).await.unwrap();
        let sha256 = self.text.contents[0].reference().sha256;
        let places = vec![ContentPlace { event_id: self.text.id, sha256 }];
        let told = contract::stream("erased");
        store.append_erasing(&told, none, vec![self.fact.clone()], places).await.map(drop)
    }

    async fn text(&self, store: &dyn EventStore) -> Option<String> {
        let read = store.read_stream(&contract::stream("text"), 0, 1, With::Contents).await;
        read.unwrap()[0].text(&self.text.contents[0].reference()).map(str::to_owned)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_text_whose_erasure_was_cut_off_is_gone_before_anybody_is_told_so() {
    let world = World::new().await;
    let store = opened_impatiently(&[world.serving.address()]).await;
    let other = opened(&[world.serving.address()]).await;
    let cut_off = world.erase(&*store).await;
    assert!(matches!(cut_off, Err(AppendError::Store(StoreError::TimedOut(_)))), "{cut_off:?}");
    let told = store.read_stream(&contract::stream("erased"), 0, 9, With::EventsOnly).await;
    assert_eq!(
        told.unwrap().iter().map(|fact: &Recorded| fact.id).collect::<Vec<_>>(),
        [world.fact.id]
    );
    assert!(world.text(&*store).await.is_some(), "the fact is there, and the text still is");
    let not_yet = store.scrub().await;
    assert!(not_yet.is_err(), "nobody says that it is gone: {not_yet:?}");
    world.server.refuses.store(false, Ordering::Relaxed);
    // Another node may be asked to finish it, which was there before.
    assert!(other.scrub().await.unwrap());
    for store in [&other, &store] {
        assert_eq!(world.text(&**store).await, None);
    }
    assert!(store.scrub().await.unwrap());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_gone_after_the_fact_does_not_lead_to_the_answer_that_nothing_changed() {
    let world = World::new().await;
    let proxy = Arc::new(Proxy::before(world.serving.address()).await);
    assert!(world.server.silenced.set(Arc::clone(&proxy)).is_ok());
    let store = opened_impatiently(&[proxy.address()]).await;
    let cut_off = world.erase(&*store).await;
    assert!(matches!(cut_off, Err(AppendError::Store(StoreError::TimedOut(_)))), "{cut_off:?}");
}
