//! The way of answers to one client: batches, at the client's speed, bounded in memory and time.

use std::time::Duration;

use futures::{Stream, StreamExt, stream};
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

use crate::wire::streams::ReadResp;

/// Batches that wait for a client; each is at most a page of the log.
const BATCHES_MAX: usize = 2;
/// How long a client may take nothing, in seconds: then it is told so and let go.
pub(super) const SLOW_MAX_S: u64 = 600;

type Batch = Result<Vec<ReadResp>, Status>;

/// The sending side.
pub(super) struct Out {
    batches: mpsc::Sender<Batch>,
    /// The place among the calls that are answered at once.
    _place: OwnedSemaphorePermit,
}

/// The client is gone, or was let go.
pub(super) struct Gone;

impl Out {
    pub async fn send(&self, batch: Vec<ReadResp>) -> Result<(), Gone> {
        if batch.is_empty() {
            return Ok(());
        }
        let wait = Duration::from_secs(SLOW_MAX_S);
        if let Ok(sent) = tokio::time::timeout(wait, self.batches.send(Ok(batch))).await {
            return sent.map_err(|_| Gone);
        }
        // Dropping the sender would look like an end. The status has no room either, unless the
        // client goes on reading just now.
        let status = Status::aborted(format!(
            "Consumer too slow: nothing was read for {SLOW_MAX_S} s; go on from the last event that \
             you have"
        ));
        self.end(status).await;
        Err(Gone)
    }

    /// Ends with an error, never with OK: clients take that for an end that needs no reconnecting.
    pub async fn end(&self, status: Status) {
        let wait = Duration::from_secs(SLOW_MAX_S);
        // A client that is gone, or that still takes nothing, is told nothing.
        drop(tokio::time::timeout(wait, self.batches.send(Err(status))).await);
    }

    /// Resolves when the client is gone.
    pub async fn gone(&self) {
        self.batches.closed().await;
    }
}

/// Both sides of the way.
pub(super) fn way(
    place: OwnedSemaphorePermit,
) -> (Out, impl Stream<Item = Result<ReadResp, Status>> + Send + use<>) {
    let (batches, taken) = mpsc::channel(BATCHES_MAX);
    let messages = ReceiverStream::new(taken).flat_map(|batch: Batch| match batch {
        Ok(batch) => stream::iter(batch.into_iter().map(Ok).collect::<Vec<_>>()),
        Err(status) => stream::iter(vec![Err(status)]),
    });
    (Out { batches, _place: place }, messages)
}
