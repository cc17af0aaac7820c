//! A ledger's own log, as clients see it: read-only, in the form that it would have on a KurrentDB.
//!
//! A fact stands in `ledger.{stream}`; a text beside it is a stream of its own, which is there as
//! long as the text is. What clients append, if they may, lies in an open store beside the log: it is
//! read by the names of its streams, is not among the events of the whole log, and no fact.

use std::sync::Arc;

use async_trait::async_trait;
use execution_ledger_store::kurrentdb::Prefix;
use execution_ledger_store::kurrentdb::form::{CustomMetadata, TEXT_TYPE, TextMetadata};
use execution_ledger_store::sqlite::SqliteStore;
use execution_ledger_store::{EventStore, Position, Recorded, StoreError, With};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::log::{
    AllFrom, AllPage, Expected, Log, LogError, LogEvent, Proposed, Removal, StreamFrom, StreamPage,
    WriteError, Written,
};
use crate::open::OpenStore;

/// Events of one stream that are read at a time: their texts come along, each up to some hundred kilobytes.
const STREAM_PAGE_EVENTS: usize = 64;
/// Ticks of 100 ns in a microsecond.
const TICKS_PER_MICRO: i64 = 10;

/// An embedded ledger's log.
pub struct LedgerLog {
    store: Arc<SqliteStore>,
    prefix: Prefix,
    /// What clients append; absent where they may not.
    clients: Option<Arc<OpenStore>>,
    head: watch::Receiver<u64>,
    watching: JoinHandle<()>,
}

impl Drop for LedgerLog {
    fn drop(&mut self) {
        self.watching.abort();
    }
}

impl LedgerLog {
    /// Over a log that is open, and a store for what clients append, if they may.
    pub async fn new(
        store: Arc<SqliteStore>,
        clients: Option<Arc<OpenStore>>,
    ) -> Result<Arc<Self>, StoreError> {
        let at = store.head().await?;
        let (told, head) = watch::channel(at.number());
        let mut subscription = store.subscribe(at).await?;
        let watching = tokio::spawn(async move {
            while let Some(batch) = subscription.next().await {
                match batch {
                    Ok(batch) => {
                        if let Some(last) = batch.last() {
                            told.send_replace(last.position.number());
                        }
                    }
                    Err(error) => {
                        tracing::error!(%error, "the log can't be followed");
                        return;
                    }
                }
            }
        });
        Ok(Arc::new(Self { store, prefix: Prefix::default(), clients, head, watching }))
    }

    async fn ledger_stream(
        &self,
        name: &str,
        from: StreamFrom,
        limit: usize,
    ) -> Result<StreamPage, LogError> {
        let Some(stream) = self.prefix.ledger_stream(name) else { return self.text(name).await };
        let limit = limit.min(STREAM_PAGE_EVENTS);
        let read = match from {
            StreamFrom::UpFrom(revision) => {
                self.store.read_stream(&stream, revision, limit, With::Contents).await
            }
            StreamFrom::DownFrom(revision) => {
                self.store.read_stream_backwards(&stream, revision, limit, With::Contents).await
            }
        }
        .map_err(failed)?;
        if read.is_empty() && !self.is_there(&stream).await? {
            return Ok(StreamPage::Missing);
        }
        let next = match (read.last(), from) {
            _ if read.len() < limit => None,
            (Some(last), StreamFrom::UpFrom(_)) => Some(StreamFrom::UpFrom(last.revision + 1)),
            (Some(last), StreamFrom::DownFrom(_)) => {
                last.revision.checked_sub(1).map(StreamFrom::DownFrom)
            }
            (None, _) => None,
        };
        let events = read.into_iter().map(|recorded| self.event(recorded)).collect();
        Ok(StreamPage::Found { events, next })
    }

    async fn is_there(
        &self,
        stream: &execution_ledger_domain::StreamName,
    ) -> Result<bool, LogError> {
        let first = self.store.read_stream(stream, 0, 1, With::EventsOnly).await;
        Ok(!first.map_err(failed)?.is_empty())
    }

    /// The stream of one text: its one event, or none once it was erased.
    async fn text(&self, name: &str) -> Result<StreamPage, LogError> {
        let Some((id, sha256)) = self.prefix.text_place(name) else {
            return Ok(StreamPage::Missing);
        };
        let Some(beside) = self.store.event(id).await.map_err(failed)? else {
            return Ok(StreamPage::Missing);
        };
        let (position, created) = (beside.position.number(), ticks(&beside));
        let stored = beside.contents.into_iter().find(|stored| stored.sha256 == sha256);
        let content = match stored {
            None => return Ok(StreamPage::Missing),
            Some(stored) => match stored.content {
                None => return Ok(StreamPage::Tombstoned),
                Some(content) => content,
            },
        };
        let told = TextMetadata::of(id, &content);
        let metadata =
            serde_json::to_vec(&told).map_err(|error| LogError::Fault(error.to_string()))?;
        let event = LogEvent {
            position,
            stream: name.to_owned(),
            revision: 0,
            id: told.id(),
            type_name: TEXT_TYPE.to_owned(),
            json: false,
            created,
            metadata: metadata.into(),
            data: content.text.into(),
        };
        Ok(StreamPage::Found { events: vec![event], next: None })
    }

    fn event(&self, recorded: Recorded) -> LogEvent {
        let created = ticks(&recorded);
        let texts = recorded.contents.iter().map(|stored| stored.sha256).collect();
        let metadata = CustomMetadata {
            version: recorded.version,
            recorded_at: recorded.recorded_at,
            texts,
            stored: recorded.metadata,
        };
        LogEvent {
            position: recorded.position.number(),
            stream: self.prefix.stream(&recorded.stream),
            revision: recorded.revision,
            id: recorded.id.0,
            type_name: recorded.type_name,
            json: true,
            created,
            metadata: metadata.to_json().into(),
            data: recorded.data.into(),
        }
    }

    fn is_ours(&self, stream: &str) -> bool {
        self.prefix.is_ours(stream.strip_prefix("$$").unwrap_or(stream))
    }

    /// Where clients may write, if anywhere.
    fn clients_for(&self, stream: &str) -> Result<&OpenStore, WriteError> {
        if self.is_ours(stream) {
            return Err(WriteError::Denied(format!(
                "the stream {stream:.80} is the ledger's: it alone appends facts, by its own \
                 interface; choose a name that does not begin with {}",
                self.prefix
            )));
        }
        self.clients.as_deref().ok_or_else(|| {
            WriteError::Denied(
                "this log is read here, not written; to keep streams of clients beside it, start \
                 the ledger with --eventstore-client-streams"
                    .to_owned(),
            )
        })
    }
}

fn ticks(recorded: &Recorded) -> i64 {
    recorded.recorded_at.micros().saturating_mul(TICKS_PER_MICRO)
}

fn failed(error: StoreError) -> LogError {
    match error {
        StoreError::Fault(problem) => LogError::Fault(problem),
        other => LogError::Unavailable(other.to_string()),
    }
}

#[async_trait]
impl Log for LedgerLog {
    async fn read_all(&self, from: AllFrom, limit: usize) -> Result<AllPage, LogError> {
        let with = With::Contents;
        let (read, last) = match from {
            AllFrom::After(position) => {
                let read = self.store.read_all(Position::new(position), limit, with).await;
                let read = read.map_err(failed)?;
                // Short pages need not be the last: whether they are, the head tells.
                let reached = read.last().map_or(position, |last| last.position.number());
                let head = self.store.head().await.map_err(failed)?;
                (read, reached >= head.number())
            }
            AllFrom::Before(position) => {
                let before = Position::new(position);
                let read = self.store.read_all_backwards(before, limit, with).await;
                let read = read.map_err(failed)?;
                let last = read.is_empty();
                (read, last)
            }
        };
        let events = read.into_iter().map(|recorded| self.event(recorded)).collect();
        Ok(AllPage { events, last })
    }

    /// An embedded log is read from any position.
    async fn is_place(&self, _position: u64) -> Result<bool, LogError> {
        Ok(true)
    }

    async fn read_stream(
        &self,
        stream: &str,
        from: StreamFrom,
        limit: usize,
    ) -> Result<StreamPage, LogError> {
        match &self.clients {
            Some(clients) if !self.is_ours(stream) => {
                clients.read_stream(stream, from, limit).await
            }
            _ => self.ledger_stream(stream, from, limit).await,
        }
    }

    fn head(&self) -> watch::Receiver<u64> {
        self.head.clone()
    }

    fn changes(&self, stream: &str) -> watch::Receiver<u64> {
        match &self.clients {
            Some(clients) if !self.is_ours(stream) => clients.changes(stream),
            _ => self.head.clone(),
        }
    }

    async fn append(
        &self,
        stream: String,
        expected: Expected,
        events: Vec<Proposed>,
    ) -> Result<Written, WriteError> {
        self.clients_for(&stream)?.append(stream, expected, events).await
    }

    async fn remove(
        &self,
        stream: String,
        expected: Expected,
        removal: Removal,
    ) -> Result<Written, WriteError> {
        self.clients_for(&stream)?.remove(stream, expected, removal).await
    }
}
