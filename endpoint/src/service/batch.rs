//! Many appends over one call, each answered when it is stored.

use std::collections::HashMap;
use std::sync::Arc;

use futures::stream::FuturesUnordered;
use futures::{Stream, StreamExt};
use prost_types::{Duration as WireDuration, Timestamp};
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tonic::{Code, Status};
use uuid::Uuid;

use super::append::{Collected, Unfit};
use super::encode::parsed_id;
use super::plan::name;
use super::status::{bad_request, identifier, in_batch, refused_in_batch};
use super::{Caller, Served, stopped};
use crate::authority::Call;
use crate::log::{Expected, LogError, WriteError, Written};
use crate::wire::shared::{self, AllStreamPosition};
use crate::wire::streams::batch_append_req::Options;
use crate::wire::streams::batch_append_req::options::{DeadlineOption, ExpectedStreamPosition};
use crate::wire::streams::batch_append_resp::success::{CurrentRevisionOption, PositionOption};
use crate::wire::streams::batch_append_resp::{
    ExpectedStreamPosition as Believed, Result as Answer, Success,
};
use crate::wire::streams::{BatchAppendReq, BatchAppendResp};

/// Appends of one call that are stored at once.
const AT_ONCE_MAX: usize = 256;
/// Appends of one call whose last part is still to come.
const OPEN_MAX: usize = 64;
/// Answers that wait for a client.
pub(super) const ANSWERS_MAX: usize = 64;
/// The longest that an append waits, in seconds; clients may ask for less.
const DEADLINE_MAX_S: u64 = 60;

/// An append whose parts are coming in.
struct Open {
    correlation: shared::Uuid,
    stream: String,
    expected: Expected,
    wait: std::time::Duration,
    collected: Collected,
    /// Kept until the last part, so that each append is answered once.
    refused: Option<WriteError>,
}

type Answers = mpsc::Sender<Result<BatchAppendResp, Status>>;

/// Serves one call until the client ends it.
pub(super) async fn serve(
    served: Arc<Served>,
    caller: Caller,
    mut messages: impl Stream<Item = Result<BatchAppendReq, Status>> + Unpin,
    answers: Answers,
    _place: OwnedSemaphorePermit,
) {
    let mut open: HashMap<Uuid, Open> = HashMap::new();
    let mut storing = FuturesUnordered::new();
    let mut more = true;
    let mut stopping = served.stopping.clone();
    while more || !storing.is_empty() {
        tokio::select! {
            Some(answer) = storing.next() => {
                // Who calls is the same for all appends of a call: it is not known who, or it is.
                let unknown = Result::is_err(&answer);
                if answers.send(answer).await.is_err() || unknown {
                    return;
                }
            }
            message = messages.next(), if more && storing.len() < AT_ONCE_MAX => {
                match message.transpose().and_then(|message| taken(&mut open, message)) {
                    Ok(Taken::Complete(complete)) => storing.push(store(&served, &caller, complete)),
                    Ok(Taken::Part) => {}
                    Ok(Taken::End) => more = false,
                    Err(status) => {
                        // The client is gone where this can't be told.
                        drop(answers.send(Err(status)).await);
                        return;
                    }
                }
            }
            () = stopped(&mut stopping) => {
                drop(answers.send(Err(Status::unavailable("the server is stopping"))).await);
                return;
            }
            () = answers.closed() => return,
        }
    }
}

enum Taken {
    Complete(Box<Open>),
    Part,
    End,
}

fn taken(open: &mut HashMap<Uuid, Open>, message: Option<BatchAppendReq>) -> Result<Taken, Status> {
    let Some(message) = message else { return Ok(Taken::End) };
    let id = parsed_id(message.correlation_id.as_ref())
        .ok_or_else(|| bad_request("a batch has a correlation id"))?;
    let mut current = match (open.remove(&id), message.options, message.correlation_id) {
        (Some(current), _, _) => current,
        (None, Some(options), Some(correlation)) => begun(correlation, options)?,
        _ => return Err(bad_request("a batch begins with its options")),
    };
    for event in message.proposed_messages {
        if current.refused.is_some() {
            break;
        }
        match current.collected.push(
            event.id.as_ref(),
            event.metadata,
            event.custom_metadata,
            event.data,
        ) {
            Ok(()) => {}
            Err(Unfit::Refused(error)) => current.refused = Some(error),
            Err(Unfit::Wrong(status)) => {
                current.refused = Some(WriteError::Malformed(status.message().to_owned()));
            }
        }
    }
    if message.is_final {
        return Ok(Taken::Complete(Box::new(current)));
    }
    if open.len() >= OPEN_MAX {
        return Err(Status::resource_exhausted(format!(
            "at most {OPEN_MAX} batches of a call may be incomplete at once"
        )));
    }
    open.insert(id, current);
    Ok(Taken::Part)
}

fn begun(correlation: shared::Uuid, options: Options) -> Result<Open, Status> {
    let expected = match options.expected_stream_position {
        Some(ExpectedStreamPosition::StreamPosition(revision)) => Expected::Exact(revision),
        Some(ExpectedStreamPosition::NoStream(())) => Expected::NoStream,
        Some(ExpectedStreamPosition::StreamExists(())) => Expected::Exists,
        Some(ExpectedStreamPosition::Any(())) => Expected::Any,
        None => return Err(bad_request("a batch says which revision it expects")),
    };
    Ok(Open {
        correlation,
        stream: name(options.stream_identifier)?,
        expected,
        wait: wait(options.deadline_option.as_ref()),
        collected: Collected::default(),
        refused: None,
    })
}

/// How long an append may wait. Some clients send a moment since 1970 as a duration: that is long.
fn wait(deadline: Option<&DeadlineOption>) -> std::time::Duration {
    let longest = std::time::Duration::from_secs(DEADLINE_MAX_S);
    let asked = match deadline {
        None => return longest,
        Some(DeadlineOption::Deadline(WireDuration { seconds, nanos })) => {
            (u64::try_from(*seconds).unwrap_or(0), u32::try_from(*nanos).unwrap_or(0))
        }
        Some(DeadlineOption::Deadline21100(Timestamp { seconds, .. })) => {
            let now = std::time::SystemTime::now()
                .duration_since(std::time::UNIX_EPOCH)
                .unwrap_or_default();
            (u64::try_from(*seconds).unwrap_or(0).saturating_sub(now.as_secs()), 0)
        }
    };
    std::time::Duration::new(asked.0.min(DEADLINE_MAX_S), asked.1.min(999_999_999)).min(longest)
}

async fn store(
    served: &Served,
    caller: &Caller,
    open: Box<Open>,
) -> Result<BatchAppendResp, Status> {
    let Open { correlation, stream, expected, wait, collected, refused } = *open;
    let result = match served.admit(caller, &Call::Append(stream.clone())).await {
        Err(status) if status.code() == Code::Unauthenticated => return Err(status),
        Err(status) => Answer::Error(refused_in_batch(&status)),
        Ok(_) => {
            let stored = if let Some(error) = refused {
                Err(error)
            } else {
                let append = served.log.append(stream.clone(), expected, collected.events);
                tokio::time::timeout(wait, append).await.unwrap_or_else(|_| {
                    let problem = format!("not stored within {} ms", wait.as_millis());
                    Err(LogError::Unavailable(problem).into())
                })
            };
            match stored {
                Ok(written) => Answer::Success(success(written)),
                Err(error) => Answer::Error(in_batch(&error, &stream, expected)),
            }
        }
    };
    Ok(BatchAppendResp {
        correlation_id: Some(correlation),
        stream_identifier: Some(identifier(&stream)),
        expected_stream_position: Some(match expected {
            Expected::Any => Believed::Any(()),
            Expected::NoStream => Believed::NoStream(()),
            Expected::Exists => Believed::StreamExists(()),
            Expected::Exact(revision) => Believed::StreamPosition(revision),
        }),
        result: Some(result),
    })
}

fn success(written: Written) -> Success {
    Success {
        current_revision_option: Some(
            written.revision.map_or(
                CurrentRevisionOption::NoStream(()),
                CurrentRevisionOption::CurrentRevision,
            ),
        ),
        position_option: Some(written.position.map_or(PositionOption::NoPosition(()), |at| {
            PositionOption::Position(AllStreamPosition {
                commit_position: at,
                prepare_position: at,
            })
        })),
    }
}
