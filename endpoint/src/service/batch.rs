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
    /// Why it will not be stored; kept until the last part, so that each append is answered once. Of
    /// such an append nothing more is kept.
    refused: Option<Refused>,
}

/// Why an append is not stored.
enum Refused {
    /// Who calls may not.
    Caller(Status),
    /// It can't be as it is.
    Append(WriteError),
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
                if answers.send(Ok(answer)).await.is_err() {
                    return;
                }
            }
            message = messages.next(), if more && storing.len() < AT_ONCE_MAX => {
                let taken = match message.transpose() {
                    Ok(message) => taken(&served, &caller, &mut open, message).await,
                    Err(status) => Err(status),
                };
                match taken {
                    Ok(Taken::Complete(complete)) => storing.push(store(&served, complete)),
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

/// Takes a message in. Whether its sender may append is asked before anything of an append is kept.
async fn taken(
    served: &Served,
    caller: &Caller,
    open: &mut HashMap<Uuid, Open>,
    message: Option<BatchAppendReq>,
) -> Result<Taken, Status> {
    let Some(message) = message else { return Ok(Taken::End) };
    let id = parsed_id(message.correlation_id.as_ref())
        .ok_or_else(|| bad_request("a batch has a correlation id"))?;
    let mut current = match (open.remove(&id), message.options, message.correlation_id) {
        (Some(current), _, _) => current,
        (None, Some(options), Some(correlation)) => {
            let mut begun = begun(correlation, options)?;
            begun.refused = refusal(served, caller, &begun.stream).await?.map(Refused::Caller);
            begun
        }
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
            Err(Unfit::Refused(error)) => current.refused = Some(Refused::Append(error)),
            Err(Unfit::Wrong(status)) => {
                let problem = WriteError::Malformed(status.message().to_owned());
                current.refused = Some(Refused::Append(problem));
            }
        }
    }
    if current.refused.is_some() {
        current.collected = Collected::default();
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

/// Why a caller may not append to a stream; none where it may. An error where it is not known who calls,
/// which is the same for all appends of a call.
async fn refusal(served: &Served, caller: &Caller, stream: &str) -> Result<Option<Status>, Status> {
    match served.admit(caller, &Call::Append(stream.to_owned())).await {
        Ok(_) => Ok(None),
        Err(status) if status.code() == Code::Unauthenticated => Err(status),
        Err(status) => Ok(Some(status)),
    }
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

async fn store(served: &Served, open: Box<Open>) -> BatchAppendResp {
    let Open { correlation, stream, expected, wait, collected, refused } = *open;
    let stored = match refused {
        Some(Refused::Caller(status)) => Err(refused_in_batch(&status)),
        Some(Refused::Append(error)) => Err(in_batch(&error, &stream, expected)),
        None => {
            let append = served.log.append(stream.clone(), expected, collected.events);
            let stored = tokio::time::timeout(wait, append).await.unwrap_or_else(|_| {
                let problem = format!("not stored within {} ms", wait.as_millis());
                Err(LogError::Unavailable(problem).into())
            });
            stored.map_err(|error| in_batch(&error, &stream, expected))
        }
    };
    let result = match stored {
        Ok(written) => Answer::Success(success(written)),
        Err(status) => Answer::Error(status),
    };
    BatchAppendResp {
        correlation_id: Some(correlation),
        stream_identifier: Some(identifier(&stream)),
        expected_stream_position: Some(match expected {
            Expected::Any => Believed::Any(()),
            Expected::NoStream => Believed::NoStream(()),
            Expected::Exists => Believed::StreamExists(()),
            Expected::Exact(revision) => Believed::StreamPosition(revision),
        }),
        result: Some(result),
    }
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
