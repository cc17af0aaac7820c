//! Appending: one stream of messages for one append.

use std::collections::HashMap;

use bytes::Bytes;
use futures::{Stream, StreamExt};
use tonic::{Code, Status};

use super::encode::{CONTENT_TYPE, JSON, TYPE, parsed_id};
use super::plan::name;
use super::status::{bad_request, of_write};
use crate::log::{Expected, Log, Proposed, WriteError, Written};
use crate::open::{APPEND_MAX_BYTES, APPEND_MAX_EVENTS};
use crate::wire::shared::{self, Empty};
use crate::wire::streams::append_req::options::ExpectedStreamRevision;
use crate::wire::streams::append_req::{Content, Options};
use crate::wire::streams::append_resp::success::{CurrentRevisionOption, PositionOption};
use crate::wire::streams::append_resp::{
    Position, Result as Answer, Success, WrongExpectedVersion,
};
use crate::wire::streams::{AppendReq, AppendResp};

/// What an append wants: known from its first message.
pub(super) struct Wanted {
    pub stream: String,
    pub expected: Expected,
}

/// Reads the first message.
pub(super) async fn wanted(
    messages: &mut (impl Stream<Item = Result<AppendReq, Status>> + Unpin),
) -> Result<Wanted, Status> {
    match messages.next().await.transpose()?.and_then(|message| message.content) {
        Some(Content::Options(Options { stream_identifier, expected_stream_revision })) => {
            let expected = match expected_stream_revision {
                Some(ExpectedStreamRevision::Revision(revision)) => Expected::Exact(revision),
                Some(ExpectedStreamRevision::NoStream(_)) => Expected::NoStream,
                Some(ExpectedStreamRevision::StreamExists(_)) => Expected::Exists,
                Some(ExpectedStreamRevision::Any(_)) => Expected::Any,
                None => return Err(bad_request("an append says which revision it expects")),
            };
            Ok(Wanted { stream: name(stream_identifier)?, expected })
        }
        _ => Err(bad_request("an append begins with its options")),
    }
}

/// Takes the events, as many as an append may have, and appends them.
pub(super) async fn append(
    log: &dyn Log,
    Wanted { stream, expected }: Wanted,
    mut messages: impl Stream<Item = Result<AppendReq, Status>> + Unpin,
) -> Result<AppendResp, Status> {
    let mut collected = Collected::default();
    while let Some(message) = messages.next().await.transpose()? {
        match message.content {
            Some(Content::ProposedMessage(message)) => collected
                .push(message.id.as_ref(), message.metadata, message.custom_metadata, message.data)
                .map_err(|error| match error {
                    Unfit::Refused(error) => of_write(&error, &stream, expected),
                    Unfit::Wrong(status) => status,
                })?,
            Some(Content::Options(_)) => return Err(bad_request("an append has its options once")),
            None => return Err(bad_request("an empty message")),
        }
    }
    let result = match log.append(stream.clone(), expected, collected.events).await {
        Ok(written) => Answer::Success(success(written)),
        Err(WriteError::WrongExpected { current }) => {
            Answer::WrongExpectedVersion(wrong_expected(expected, current))
        }
        Err(error) => return Err(of_write(&error, &stream, expected)),
    };
    Ok(AppendResp { result: Some(result) })
}

/// The events of one append so far.
#[derive(Default)]
pub(super) struct Collected {
    pub events: Vec<Proposed>,
    bytes: usize,
}

/// Why an event is not taken.
pub(super) enum Unfit {
    /// The append is refused.
    Refused(WriteError),
    /// The message is wrong.
    Wrong(Status),
}

impl Collected {
    /// Takes one more event, within the limits of an append.
    pub fn push(
        &mut self,
        id: Option<&shared::Uuid>,
        mut metadata: HashMap<String, String>,
        custom_metadata: Bytes,
        data: Bytes,
    ) -> Result<(), Unfit> {
        let id = parsed_id(id).ok_or_else(|| Unfit::Wrong(bad_request("an event has an id")))?;
        let mut required = |key: &'static str| {
            metadata.remove(key).ok_or_else(|| Unfit::Wrong(missing_property(key)))
        };
        let (type_name, content_type) = (required(TYPE)?, required(CONTENT_TYPE)?);
        self.bytes += type_name.len() + custom_metadata.len() + data.len();
        if self.bytes > APPEND_MAX_BYTES || self.events.len() >= APPEND_MAX_EVENTS {
            return Err(Unfit::Refused(WriteError::TooLarge { max: APPEND_MAX_BYTES }));
        }
        let json = content_type == JSON;
        self.events.push(Proposed { id, type_name, json, metadata: custom_metadata, data });
        Ok(())
    }
}

fn missing_property(key: &str) -> Status {
    let mut status = Status::new(
        Code::InvalidArgument,
        format!("Required Metadata Property '{key}' is missing"),
    );
    if let Ok(value) = "missing-required-metadata-property".parse() {
        status.metadata_mut().insert("exception", value);
    }
    status
}

fn success(written: Written) -> Success {
    Success {
        current_revision_option: Some(written.revision.map_or(
            CurrentRevisionOption::NoStream(Empty {}),
            CurrentRevisionOption::CurrentRevision,
        )),
        position_option: Some(
            written.position.map_or(PositionOption::NoPosition(Empty {}), |at| {
                PositionOption::Position(Position { commit_position: at, prepare_position: at })
            }),
        ),
    }
}

fn wrong_expected(expected: Expected, current: Option<u64>) -> WrongExpectedVersion {
    use crate::wire::streams::append_resp::wrong_expected_version::{
        CurrentRevisionOption as Current, CurrentRevisionOption2060 as OldCurrent,
        ExpectedRevisionOption as Believed, ExpectedRevisionOption2060 as OldBelieved,
    };
    let (old_believed, believed) = match expected {
        Expected::Any => (Some(OldBelieved::Any2060(Empty {})), Believed::ExpectedAny(Empty {})),
        Expected::Exists => (
            Some(OldBelieved::StreamExists2060(Empty {})),
            Believed::ExpectedStreamExists(Empty {}),
        ),
        Expected::NoStream => (None, Believed::ExpectedNoStream(Empty {})),
        Expected::Exact(revision) => (
            Some(OldBelieved::ExpectedRevision2060(revision)),
            Believed::ExpectedRevision(revision),
        ),
    };
    let (old_current, current) = match current {
        Some(revision) => {
            (OldCurrent::CurrentRevision2060(revision), Current::CurrentRevision(revision))
        }
        None => (OldCurrent::NoStream2060(Empty {}), Current::CurrentNoStream(Empty {})),
    };
    WrongExpectedVersion {
        current_revision_option_20_6_0: Some(old_current),
        expected_revision_option_20_6_0: old_believed,
        current_revision_option: Some(current),
        expected_revision_option: Some(believed),
    }
}
