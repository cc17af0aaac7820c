//! What a request to read asks for, checked.

use tonic::Status;

use super::filter::Filter;
use super::status::{bad_request, invalid_position, of_log};
use crate::authority::Call;
use crate::log::{AllFrom, Log, StreamFrom};
use crate::wire::shared::StreamIdentifier;
use crate::wire::streams::read_req::options::all_options::AllOption;
use crate::wire::streams::read_req::options::stream_options::RevisionOption;
use crate::wire::streams::read_req::options::uuid_option;
use crate::wire::streams::read_req::options::{
    CountOption, FilterOption, ReadDirection, StreamOption,
};
use crate::wire::streams::read_req::{Options, options};

/// Length of a stream's name in a request, in bytes.
const NAME_MAX_BYTES: usize = 1_024;

/// What to read, and how.
pub(super) struct Plan {
    pub source: Source,
    /// How many events; `None` for a subscription.
    pub count: Option<u64>,
    /// Whether ids are told as text.
    pub ids_as_text: bool,
}

/// From where to where.
pub(super) enum Source {
    All {
        from: AllFrom,
        at_end: bool,
        filter: Option<Filter>,
        /// The position that the client named.
        named: Option<u64>,
    },
    Stream {
        name: String,
        from: StreamFrom,
        at_end: bool,
    },
}

impl Plan {
    pub fn from_wire(options: Options) -> Result<Self, Status> {
        let backwards = options.read_direction() == ReadDirection::Backwards;
        let count = match options.count_option {
            Some(CountOption::Count(count)) => Some(count),
            Some(CountOption::Subscription(_)) if backwards => {
                return Err(bad_request("a subscription goes forwards"));
            }
            Some(CountOption::Subscription(_)) => None,
            None => return Err(bad_request("a count or a subscription is missing")),
        };
        let filter = match options.filter_option {
            Some(FilterOption::Filter(filter)) => Filter::from_wire(&filter)?,
            Some(FilterOption::NoFilter(_)) | None => None,
        };
        let source = match options.stream_option {
            None => return Err(bad_request("a stream or $all is missing")),
            Some(StreamOption::All(all)) => {
                let (from, at_end) = all_from(all.all_option.as_ref(), backwards, count.is_none());
                let named = match &all.all_option {
                    Some(AllOption::Position(at)) => Some(at.commit_position),
                    Some(AllOption::Start(_) | AllOption::End(_)) | None => None,
                };
                Source::All { from, at_end, filter, named }
            }
            Some(StreamOption::Stream(stream)) => {
                let (from, at_end) =
                    stream_from(stream.revision_option.as_ref(), backwards, count.is_none());
                Source::Stream { name: name(stream.stream_identifier)?, from, at_end }
            }
        };
        let ids = options.uuid_option.and_then(|option: options::UuidOption| option.content);
        let ids_as_text = matches!(ids, Some(uuid_option::Content::String(_)));
        Ok(Self { source, count, ids_as_text })
    }

    /// Refuses a position from which the log can't be read.
    pub async fn check_place(&self, log: &dyn Log) -> Result<(), Status> {
        let Source::All { named: Some(position), .. } = self.source else { return Ok(()) };
        let is_place = log.is_place(position).await.map_err(|error| of_log(&error))?;
        if is_place { Ok(()) } else { Err(invalid_position()) }
    }
}

/// What the caller of a read must be allowed to do.
pub(super) fn call(options: &Options) -> Result<Call, Status> {
    match &options.stream_option {
        None => Err(bad_request("a stream or $all is missing")),
        Some(StreamOption::All(_)) => Ok(Call::ReadAll),
        Some(StreamOption::Stream(stream)) => {
            Ok(Call::ReadStream(name(stream.stream_identifier.clone())?))
        }
    }
}

/// A read begins at the event that a position names; a subscription after it. Backwards, it begins
/// before it.
fn all_from(at: Option<&AllOption>, backwards: bool, following: bool) -> (AllFrom, bool) {
    match at {
        Some(AllOption::Position(at)) if backwards => (AllFrom::Before(at.commit_position), false),
        Some(AllOption::Position(at)) if following => (AllFrom::After(at.commit_position), false),
        Some(AllOption::Position(at)) => {
            (AllFrom::After(at.commit_position.saturating_sub(1)), false)
        }
        Some(AllOption::End(_)) if backwards => (AllFrom::Before(u64::MAX), false),
        Some(AllOption::End(_)) => (AllFrom::After(u64::MAX), true),
        Some(AllOption::Start(_)) | None if backwards => (AllFrom::Before(0), false),
        Some(AllOption::Start(_)) | None => (AllFrom::After(0), false),
    }
}

/// As with the whole log, but that a read backwards includes the revision.
fn stream_from(
    at: Option<&RevisionOption>,
    backwards: bool,
    following: bool,
) -> (StreamFrom, bool) {
    match at {
        Some(RevisionOption::Revision(at)) if backwards => (StreamFrom::DownFrom(*at), false),
        Some(RevisionOption::Revision(at)) if following => {
            (StreamFrom::UpFrom(at.saturating_add(1)), false)
        }
        Some(RevisionOption::Revision(at)) => (StreamFrom::UpFrom(*at), false),
        Some(RevisionOption::End(_)) if backwards => (StreamFrom::DownFrom(u64::MAX), false),
        Some(RevisionOption::End(_)) => (StreamFrom::UpFrom(u64::MAX), true),
        Some(RevisionOption::Start(_)) | None if backwards => (StreamFrom::DownFrom(0), false),
        Some(RevisionOption::Start(_)) | None => (StreamFrom::UpFrom(0), false),
    }
}

/// The name of a stream, as text.
pub(super) fn name(identifier: Option<StreamIdentifier>) -> Result<String, Status> {
    let bytes = identifier.map(|identifier| identifier.stream_name).unwrap_or_default();
    if bytes.is_empty() || bytes.len() > NAME_MAX_BYTES {
        return Err(bad_request(format!("a stream's name has 1 to {NAME_MAX_BYTES} bytes")));
    }
    String::from_utf8(bytes.into()).map_err(|_| bad_request("a stream's name is UTF-8"))
}
