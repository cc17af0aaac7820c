//! One reader who follows a run.

use std::io;
use std::sync::Arc;

use execution_ledger_domain::ExecutionId;
use futures::Stream;
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;

use super::reader::{Entry, Lines, Page, Transcripts};

/// Lines of one batch that a follower reads by itself: at most.
const CATCH_UP_LINES: usize = 512;
/// Bytes of such a batch: about at most.
const CATCH_UP_BYTES: usize = 256 * 1024;

/// Some lines that follow each other. Followers of one run share them.
pub type Batch = Arc<[Entry]>;

/// What the shared reader of a run tells its followers.
#[derive(Clone, Debug)]
pub(super) enum Message {
    /// More lines.
    Lines(Batch),
    /// The run has ended, and all its lines were read.
    End,
}

enum State {
    /// Reads the files, from the first line or on from where it was.
    CatchingUp { from: Option<Lines>, then: Then },
    /// Is told by the shared reader.
    Live,
    /// Has delivered everything, or failed.
    Done,
}

#[derive(Clone, Copy)]
enum Then {
    Live,
    Done,
}

/// Delivers each line after a number once, in order, and ends after the last line of the run.
///
/// A follower that is slower than the shared reader's buffer reads the files instead: it never
/// skips and never holds up others.
pub struct Follower {
    transcripts: Transcripts,
    execution: ExecutionId,
    after_seq: u64,
    state: State,
    receiver: Option<broadcast::Receiver<Message>>,
}

impl std::fmt::Debug for Follower {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Follower")
            .field("execution", &self.execution)
            .field("after_seq", &self.after_seq)
            .finish_non_exhaustive()
    }
}

impl Follower {
    pub(super) fn new(
        transcripts: Transcripts,
        execution: ExecutionId,
        after_seq: u64,
        receiver: Option<broadcast::Receiver<Message>>,
    ) -> Self {
        let then = if receiver.is_some() { Then::Live } else { Then::Done };
        let state = State::CatchingUp { from: None, then };
        Self { transcripts, execution, after_seq, state, receiver }
    }

    /// The number of the last line that was delivered.
    pub fn after_seq(&self) -> u64 {
        self.after_seq
    }

    /// The next lines; `None` after the last. After an error there is nothing more.
    pub async fn next(&mut self) -> Option<io::Result<Batch>> {
        loop {
            let step = match std::mem::replace(&mut self.state, State::Done) {
                State::CatchingUp { from, then } => self.catch_up(from, then).await,
                State::Live => Ok(self.listen().await),
                State::Done => return None,
            };
            match step {
                Ok(Some(batch)) => {
                    self.after_seq = batch.last().map_or(self.after_seq, |last| last.seq);
                    return Some(Ok(batch));
                }
                Ok(None) => {}
                Err(error) => {
                    self.state = State::Done;
                    return Some(Err(error));
                }
            }
        }
    }

    /// The same as a stream.
    pub fn into_stream(self) -> impl Stream<Item = io::Result<Batch>> + Send {
        futures::stream::unfold(self, |mut follower| async move {
            follower.next().await.map(|batch| (batch, follower))
        })
    }

    async fn catch_up(&mut self, from: Option<Lines>, then: Then) -> io::Result<Option<Batch>> {
        let (transcripts, execution, after_seq) =
            (self.transcripts.clone(), self.execution, self.after_seq);
        let read = move || -> io::Result<(Option<Lines>, Page)> {
            let lines = match from {
                Some(lines) => Some(lines),
                None => transcripts.open(execution)?,
            };
            let Some(mut lines) = lines else { return Ok((None, Page::default())) };
            let page = lines.page(after_seq, CATCH_UP_LINES, CATCH_UP_BYTES)?;
            Ok((Some(lines), page))
        };
        let (lines, page) = tokio::task::spawn_blocking(read).await.map_err(io::Error::other)??;
        self.state = match then {
            _ if page.full => State::CatchingUp { from: lines, then },
            Then::Live => State::Live,
            Then::Done => State::Done,
        };
        Ok((!page.entries.is_empty()).then(|| page.entries.into()))
    }

    async fn listen(&mut self) -> Option<Batch> {
        let Some(receiver) = &mut self.receiver else { return None };
        let message = receiver.recv().await;
        let (state, batch) = match message {
            Ok(Message::Lines(batch)) => self.fitting(batch),
            // What was missed is in the files.
            Err(RecvError::Lagged(_)) => (State::CatchingUp { from: None, then: Then::Live }, None),
            Ok(Message::End) | Err(RecvError::Closed) => {
                (State::CatchingUp { from: None, then: Then::Done }, None)
            }
        };
        self.state = state;
        batch
    }

    /// What of a batch comes next. One that comes too early is left for the files: whoever reads
    /// them later finds it there, and it is then passed over here.
    fn fitting(&self, batch: Batch) -> (State, Option<Batch>) {
        let next = self.after_seq + 1;
        match (batch.first(), batch.last()) {
            (Some(first), _) if first.seq == next => (State::Live, Some(batch)),
            (_, Some(last)) if last.seq < next => (State::Live, None),
            (Some(first), _) if first.seq > next => {
                (State::CatchingUp { from: None, then: Then::Live }, None)
            }
            _ => {
                let rest = batch.iter().filter(|entry| entry.seq >= next).cloned().collect();
                (State::Live, Some(rest))
            }
        }
    }
}
