//! Refusals and faults as clients of the protocol understand them.
//!
//! Clients choose the kind of their error by the trailer `exception`, some by the text.

use prost::Message;
use prost_types::Any;
use tonic::metadata::MetadataMap;
use tonic::{Code, Status};

use crate::authority::Refusal;
use crate::log::{Expected, LogError, WriteError};
use crate::wire::{rpc, shared};

const EXCEPTION: &str = "exception";

/// A status with trailers; a value that no header can hold is left out.
fn with_trailers(code: Code, message: String, trailers: &[(&'static str, &str)]) -> Status {
    let mut metadata = MetadataMap::new();
    for (name, value) in trailers {
        if let Ok(value) = value.parse() {
            metadata.insert(*name, value);
        }
    }
    Status::with_metadata(code, message, metadata)
}

pub(super) fn bad_request(problem: impl Into<String>) -> Status {
    Status::invalid_argument(problem)
}

/// No record begins where the whole log was to be read from.
pub(super) fn invalid_position() -> Status {
    Status::invalid_argument("Trying to read from an invalid position.")
}

pub(super) fn of_log(error: &LogError) -> Status {
    match error {
        LogError::Unavailable(_) => Status::unavailable(error.to_string()),
        LogError::Fault(_) => {
            tracing::error!(%error, "a call to the log failed");
            Status::internal(error.to_string())
        }
    }
}

pub(super) fn of_refusal(refusal: Refusal) -> Status {
    let denied = [(EXCEPTION, "access-denied")];
    match refusal {
        Refusal::Unauthenticated(message) => Status::unauthenticated(message),
        Refusal::Denied(message) => with_trailers(Code::PermissionDenied, message, &denied),
        Refusal::Unavailable(message) => Status::unavailable(message),
    }
}

pub(super) fn stream_deleted(stream: &str) -> Status {
    let message = format!("Event stream '{stream}' is deleted.");
    let trailers = [(EXCEPTION, "stream-deleted"), ("stream-name", stream)];
    with_trailers(Code::FailedPrecondition, message, &trailers)
}

/// How the text of a wrong revision has to read, for clients that take it apart.
fn wrong_expected_text(stream: &str, expected: Expected, current: Option<u64>) -> String {
    let actual = current.map_or(-1, |revision| i64::try_from(revision).unwrap_or(i64::MAX));
    format!(
        "Append failed due to WrongExpectedVersion. Stream: {stream}, Expected version: {}, \
         Actual version: {actual}",
        expected.number()
    )
}

/// Why nothing was written, as the status of a call.
pub(super) fn of_write(error: &WriteError, stream: &str, expected: Expected) -> Status {
    match error {
        WriteError::WrongExpected { current } => with_trailers(
            Code::FailedPrecondition,
            wrong_expected_text(stream, expected, *current),
            &[
                (EXCEPTION, "wrong-expected-version"),
                ("stream-name", stream),
                ("expected-version", &expected.number().to_string()),
                ("actual-version", &current.map_or(-1, u64::cast_signed).to_string()),
            ],
        ),
        WriteError::StreamDeleted => stream_deleted(stream),
        WriteError::TooLarge { max } => with_trailers(
            Code::InvalidArgument,
            format!("Maximum Append Size of {max} Exceeded."),
            &[
                (EXCEPTION, "maximum-append-size-exceeded"),
                ("maximum-append-size", &max.to_string()),
            ],
        ),
        WriteError::Denied(message) => of_refusal(Refusal::Denied(message.clone())),
        WriteError::Malformed(message) => bad_request(message.clone()),
        WriteError::Log(error) => of_log(error),
    }
}

/// Why nothing was written, as a batch append answers it: a status with one packed detail.
pub(super) fn in_batch(error: &WriteError, stream: &str, expected: Expected) -> rpc::Status {
    let status = of_write(error, stream, expected);
    let details = match error {
        WriteError::WrongExpected { current } => {
            packed("WrongExpectedVersion", &wrong_expected(expected, *current))
        }
        WriteError::StreamDeleted => packed(
            "StreamDeleted",
            &shared::StreamDeleted { stream_identifier: Some(identifier(stream)) },
        ),
        WriteError::TooLarge { max } => packed(
            "MaximumAppendSizeExceeded",
            &shared::MaximumAppendSizeExceeded {
                max_append_size: u32::try_from(*max).unwrap_or(u32::MAX),
            },
        ),
        WriteError::Denied(_) => packed("AccessDenied", &shared::AccessDenied {}),
        WriteError::Malformed(message) => {
            packed("BadRequest", &shared::BadRequest { message: message.clone() })
        }
        WriteError::Log(LogError::Unavailable(_)) => packed("Timeout", &shared::Timeout {}),
        WriteError::Log(LogError::Fault(_)) => packed("Unknown", &shared::Unknown {}),
    };
    rpc::Status {
        code: status.code().into(),
        message: status.message().to_owned(),
        details: Some(details),
    }
}

/// A refused right, as a batch append answers it.
pub(super) fn refused_in_batch(status: &Status) -> rpc::Status {
    rpc::Status {
        code: status.code().into(),
        message: status.message().to_owned(),
        details: Some(packed("AccessDenied", &shared::AccessDenied {})),
    }
}

fn wrong_expected(expected: Expected, current: Option<u64>) -> shared::WrongExpectedVersion {
    use shared::wrong_expected_version::{
        CurrentStreamRevisionOption as Current, ExpectedStreamPositionOption as Believed,
    };
    shared::WrongExpectedVersion {
        current_stream_revision_option: Some(
            current.map_or(Current::CurrentNoStream(()), Current::CurrentStreamRevision),
        ),
        expected_stream_position_option: Some(match expected {
            Expected::Any => Believed::ExpectedAny(()),
            Expected::NoStream => Believed::ExpectedNoStream(()),
            Expected::Exists => Believed::ExpectedStreamExists(()),
            Expected::Exact(revision) => Believed::ExpectedStreamPosition(revision),
        }),
    }
}

pub(super) fn identifier(stream: &str) -> shared::StreamIdentifier {
    shared::StreamIdentifier { stream_name: stream.to_owned().into() }
}

/// A detail of one of the protocol's shared kinds.
fn packed(kind: &str, message: &impl Message) -> Any {
    let type_url = format!("type.googleapis.com/event_store.client.{kind}");
    Any { type_url, value: message.encode_to_vec() }
}
