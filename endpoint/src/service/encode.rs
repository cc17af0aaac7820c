//! Events and notices as messages.

use std::collections::HashMap;
use std::time::{SystemTime, UNIX_EPOCH};

use ::uuid::Uuid;
use prost_types::Timestamp;

use super::status::identifier;
use crate::log::LogEvent;
use crate::wire::shared::{self, uuid};
use crate::wire::streams::ReadResp;
use crate::wire::streams::read_resp::read_event::{Position as EventPosition, RecordedEvent};
use crate::wire::streams::read_resp::{
    CaughtUp, Checkpoint, Content, FellBehind, Position, ReadEvent, StreamNotFound,
    SubscriptionConfirmation,
};

pub(super) const TYPE: &str = "type";
pub(super) const CONTENT_TYPE: &str = "content-type";
pub(super) const JSON: &str = "application/json";
const OCTETS: &str = "application/octet-stream";
const CREATED: &str = "created";

pub(super) fn event(event: LogEvent, ids_as_text: bool) -> ReadResp {
    let content_type = if event.json { JSON } else { OCTETS };
    let metadata = HashMap::from([
        (TYPE.to_owned(), event.type_name),
        (CONTENT_TYPE.to_owned(), content_type.to_owned()),
        (CREATED.to_owned(), event.created.to_string()),
    ]);
    let recorded = RecordedEvent {
        id: Some(id(event.id, ids_as_text)),
        stream_identifier: Some(shared::StreamIdentifier { stream_name: event.stream.into() }),
        stream_revision: event.revision,
        prepare_position: event.position,
        commit_position: event.position,
        metadata,
        custom_metadata: event.metadata,
        data: event.data,
    };
    message(Content::Event(ReadEvent {
        event: Some(recorded),
        link: None,
        position: Some(EventPosition::CommitPosition(event.position)),
    }))
}

pub(super) fn id(id: Uuid, as_text: bool) -> shared::Uuid {
    let value = if as_text {
        uuid::Value::String(id.to_string())
    } else {
        let (high, low) = id.as_u64_pair();
        uuid::Value::Structured(uuid::Structured {
            most_significant_bits: high.cast_signed(),
            least_significant_bits: low.cast_signed(),
        })
    };
    shared::Uuid { value: Some(value) }
}

/// An id from a request; `None` where it is none.
pub(super) fn parsed_id(id: Option<&shared::Uuid>) -> Option<Uuid> {
    match id?.value.as_ref()? {
        uuid::Value::String(text) => Uuid::parse_str(text).ok(),
        uuid::Value::Structured(halves) => Some(Uuid::from_u64_pair(
            halves.most_significant_bits.cast_unsigned(),
            halves.least_significant_bits.cast_unsigned(),
        )),
    }
}

pub(super) fn stream_not_found(stream: &str) -> ReadResp {
    message(Content::StreamNotFound(StreamNotFound { stream_identifier: Some(identifier(stream)) }))
}

pub(super) fn confirmation() -> ReadResp {
    let subscription_id = Uuid::now_v7().to_string();
    message(Content::Confirmation(SubscriptionConfirmation { subscription_id }))
}

pub(super) fn checkpoint(position: u64) -> ReadResp {
    message(Content::Checkpoint(Checkpoint {
        commit_position: position,
        prepare_position: position,
        timestamp: Some(now()),
    }))
}

/// Where a subscription is.
#[derive(Clone, Copy)]
pub(super) enum Place {
    /// At this position of the whole log.
    All(u64),
    /// After this revision of a stream; `None` before the first.
    Stream(Option<u64>),
}

impl Place {
    fn parts(self) -> (Option<i64>, Option<Position>) {
        match self {
            Self::All(0) => (None, None),
            Self::All(at) => (None, Some(Position { commit_position: at, prepare_position: at })),
            Self::Stream(revision) => (revision.map(u64::cast_signed), None),
        }
    }
}

pub(super) fn caught_up(place: Place) -> ReadResp {
    let (stream_revision, position) = place.parts();
    message(Content::CaughtUp(CaughtUp { timestamp: Some(now()), stream_revision, position }))
}

pub(super) fn fell_behind(place: Place) -> ReadResp {
    let (stream_revision, position) = place.parts();
    message(Content::FellBehind(FellBehind { timestamp: Some(now()), stream_revision, position }))
}

fn message(content: Content) -> ReadResp {
    ReadResp { content: Some(content) }
}

fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp {
        seconds: i64::try_from(since.as_secs()).unwrap_or(i64::MAX),
        nanos: i32::try_from(since.subsec_nanos()).unwrap_or(0),
    }
}
