//! Appends: in the order of the times, on one stream of requests, and certain of what happened.
//!
//! All appends go through one lane (`batch_append`): its requests are written whole, so they wait
//! for no delayed acknowledgement, and the server takes them in the order in which they were sent.
//! One refusal ends a lane, without saying more than that it was one; so whoever was refused looks
//! at the stream, and whoever was under way beside it sends the same events again. Event ids are
//! made once, so what was stored already is not stored again.

use std::sync::Arc;

use eventstore::{BatchWriteResult, Error, EventData, RecordedEvent};
use execution_ledger_domain::Timestamp;
use execution_ledger_domain::limits::APPEND_MAX_BYTES;
use futures::FutureExt;
use tokio::time::{Instant, timeout};
use uuid::Uuid;

use super::Shared;
use super::form::CustomMetadata;
use super::line::Failure;
use super::memory::first_revision;
use super::reading::{From, longer};
use super::session::{PAUSE_MIN, Session};
use crate::port::{AppendError, ExpectedRevision, Position, StoreError};

/// How often a refusal is looked into that nothing explains.
const UNEXPLAINED_MAX: u32 = 3;
/// Events at the end of a stream among which an append is looked for that expected nothing.
const LOOK_BACK: usize = 2_048;
/// What the crate says where a lane has ended beside an append that was under way.
const LANE_ENDED: &str = "Batch-append stream has been closed";
/// Codes of gRPC that leave open whether an append was stored: cancelled, deadline exceeded,
/// resource exhausted, aborted, unavailable.
const IN_DOUBT: [i32; 5] = [1, 4, 8, 10, 14];
/// Code of gRPC: we may not.
const PERMISSION_DENIED: i32 = 7;
/// Code of gRPC: we are nobody.
const UNAUTHENTICATED: i32 = 16;

/// Where an append stands on the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Placed {
    pub(super) revision: u64,
    pub(super) position: Position,
    /// When it was recorded; none for what has no such time.
    pub(super) recorded_at: Option<Timestamp>,
}

/// What one try led to.
enum Tried {
    Stored {
        revision: Option<u64>,
        position: Option<Position>,
        at: Timestamp,
    },
    /// The server said no to it, in words.
    Refused(String),
    /// It was not heard of; says whether the connection is to blame.
    Unknown {
        failure: Failure,
        connection: bool,
    },
}

/// What is appended: the events in the server's form, for a given time.
pub(super) struct Parcel<'a> {
    pub(super) name: String,
    pub(super) expected: ExpectedRevision,
    pub(super) ids: Vec<Uuid>,
    pub(super) events: &'a (dyn Fn(Timestamp) -> Vec<EventData> + Sync),
}

impl Shared {
    /// Sends a parcel until it is certain whether it is stored, or until the time is over.
    pub(super) async fn deliver(
        &self,
        parcel: &Parcel<'_>,
        deadline: Instant,
    ) -> Result<Placed, AppendError> {
        if matches!(parcel.expected, ExpectedRevision::Exact(r) if r >= i64::MAX as u64) {
            let current = self.last_revision(&parcel.name).await?;
            return Err(AppendError::WrongExpectedRevision { current });
        }
        let mut tries = 0;
        let delivered = self.send_until_certain(parcel, deadline, &mut tries).await;
        delivered.map_err(|error| match error {
            AppendError::Store(fault) if tries > 0 => self.in_doubt(fault).into(),
            other => other,
        })
    }

    /// What a fault is to who has sent something that may have been stored: never that nothing was.
    pub(super) fn in_doubt(&self, fault: StoreError) -> StoreError {
        match fault {
            StoreError::Unreachable(_) | StoreError::Closed(_) | StoreError::Busy(_) => {
                StoreError::TimedOut(self.line().waits.answer.as_secs())
            }
            other => other,
        }
    }

    async fn send_until_certain(
        &self,
        parcel: &Parcel<'_>,
        deadline: Instant,
        tries: &mut u32,
    ) -> Result<Placed, AppendError> {
        let (mut pause, mut unexplained) = (PAUSE_MIN, 0_u32);
        loop {
            let session = self.session(deadline).await?;
            *tries += 1;
            let head = self.known_head();
            match self.attempt(&session, parcel).await {
                Tried::Stored { revision: Some(revision), position: Some(position), at }
                    if *tries == 1 && position > head =>
                {
                    self.sessions.are_well();
                    return Ok(Placed { revision, position, recorded_at: Some(at) });
                }
                // Which try was stored, or whether it was one of an earlier call, is in the stream.
                Tried::Stored { .. } => {
                    self.sessions.are_well();
                    if let Some(placed) = self.found(parcel).await? {
                        return Ok(placed);
                    }
                    unexplained += 1;
                }
                Tried::Refused(problem) => {
                    if let Some(placed) = self.found(parcel).await? {
                        return Ok(placed);
                    }
                    self.refused(parcel, &problem).await?;
                    unexplained += 1;
                    if unexplained >= UNEXPLAINED_MAX {
                        let fault = format!("the server refuses an append: {problem}");
                        return Err(StoreError::Fault(fault).into());
                    }
                }
                Tried::Unknown { failure, connection } => {
                    metrics::counter!("ledger_log_in_doubt_total").increment(1);
                    if connection {
                        self.failed(&session, &failure)?;
                        tokio::time::sleep_until((Instant::now() + pause).min(deadline)).await;
                        pause = longer(pause);
                    }
                }
            }
            if Instant::now() >= deadline {
                return Err(StoreError::TimedOut(self.line().waits.answer.as_secs()).into());
            }
        }
    }

    /// One try: sent in the order of its time.
    async fn attempt(&self, session: &Arc<Session>, parcel: &Parcel<'_>) -> Tried {
        let lane = match session.lane(self.line()).await {
            Ok(lane) => lane,
            Err(failure) => return Tried::Unknown { failure, connection: true },
        };
        let expected = match parcel.expected {
            ExpectedRevision::NoStream => eventstore::ExpectedRevision::NoStream,
            ExpectedRevision::Exact(revision) => eventstore::ExpectedRevision::Exact(revision),
            ExpectedRevision::Any => eventstore::ExpectedRevision::Any,
        };
        let patience = self.line().waits.attempt;
        let (sending, at, early) = self.stamps.next(&*self.clock, |at| {
            let events = (parcel.events)(at);
            let sending = lane.append_to_stream(&parcel.name, expected, events);
            let mut sending = Box::pin(sending);
            // It is sent when it is first polled, so that is done before the next time is given.
            let early = sending.as_mut().now_or_never();
            (sending, at, early)
        });
        let answer = match early {
            Some(answer) => Ok(answer),
            None => timeout(patience, sending).await,
        };
        let tried = match answer {
            Ok(Ok(stored)) => return stored_as(&stored, at),
            Ok(Err(error)) => tried(error),
            Err(_) => Tried::Unknown { failure: Failure::Silent(patience), connection: true },
        };
        session.give_up(&lane).await;
        tried
    }

    /// The parcel, where all of it stands in its stream.
    async fn found(&self, parcel: &Parcel<'_>) -> Result<Option<Placed>, StoreError> {
        let events = if let Some(first) = first_revision(parcel.expected) {
            self.events_of(&parcel.name, From::Revision(first), parcel.ids.len()).await?
        } else {
            let mut events = self.events_of(&parcel.name, From::End, LOOK_BACK).await?;
            events.reverse();
            let first = events.iter().position(|event| Some(&event.id) == parcel.ids.first());
            first.map_or_else(Vec::new, |first| events.split_off(first))
        };
        let ids = events.iter().map(|event| &event.id).take(parcel.ids.len());
        if !ids.eq(&parcel.ids) {
            return Ok(None);
        }
        let last = parcel.ids.len().checked_sub(1).and_then(|last| events.get(last));
        let placed = |event: &RecordedEvent| Placed {
            revision: event.revision,
            position: Position::new(event.position.commit),
            recorded_at: CustomMetadata::parse(&event.custom_metadata)
                .ok()
                .map(|custom| custom.recorded_at),
        };
        Ok(last.map(placed))
    }

    /// Says what a refusal meant: an error where that is certain.
    async fn refused(&self, parcel: &Parcel<'_>, problem: &str) -> Result<(), AppendError> {
        if problem.contains("AppendExceeded") || problem.contains("ppend Size") {
            let fault = format!(
                "the server takes no append of this size ({problem}); its MaxAppendSize must be above {APPEND_MAX_BYTES} bytes"
            );
            return Err(StoreError::Fault(fault).into());
        }
        let current = self.last_revision(&parcel.name).await?;
        let as_expected = match parcel.expected {
            ExpectedRevision::NoStream => current.is_none() && !problem.contains("eleted"),
            ExpectedRevision::Exact(revision) => current == Some(revision),
            ExpectedRevision::Any => true,
        };
        if as_expected { Ok(()) } else { Err(AppendError::WrongExpectedRevision { current }) }
    }
}

fn stored_as(stored: &BatchWriteResult, at: Timestamp) -> Tried {
    let position = stored.current_position().map(|position| Position::new(position.commit));
    Tried::Stored { revision: stored.current_revision(), position, at }
}

/// What the crate's error says of one try.
fn tried(error: Error) -> Tried {
    match error {
        Error::Grpc { code, message } => match code as i32 {
            PERMISSION_DENIED | UNAUTHENTICATED => {
                Tried::Unknown { failure: Failure::Told(Error::AccessDenied), connection: true }
            }
            code_now if IN_DOUBT.contains(&code_now) => {
                let failure = Failure::Told(Error::Grpc { code, message });
                Tried::Unknown { failure, connection: true }
            }
            _ => Tried::Refused(format!("{message} ({code:?})")),
        },
        Error::WrongExpectedVersion { .. } | Error::ResourceDeleted => {
            Tried::Refused(error.to_string())
        }
        Error::ServerError(said) if said.contains(LANE_ENDED) => {
            Tried::Unknown { failure: Failure::Broken(said), connection: false }
        }
        other => Tried::Unknown { failure: Failure::Told(other), connection: true },
    }
}
