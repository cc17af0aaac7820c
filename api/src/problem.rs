//! Every answer that is a refusal or a fault: RFC 9457 problem details with a stable code.
//!
//! This is the only place where a status code of an error is chosen.

use std::borrow::Cow;
use std::fmt;

use axum::http::header::{ALLOW, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value};

/// Longest `detail`, in bytes: what is longer is cut.
const DETAIL_MAX_BYTES: usize = 600;
/// What a problem's `type` begins with; its code follows.
const TYPE_PREFIX: &str = "urn:execution-ledger:problem:";

macro_rules! codes {
    ($( $(#[$doc:meta])* $variant:ident = $code:literal, $status:ident, $title:literal; )*) => {
        /// What went wrong, for programs. A code keeps its meaning for ever.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Code {
            $( $(#[$doc])* $variant, )*
        }

        impl Code {
            /// All codes, in the order of their statuses.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// The code as it stands in an answer.
            pub fn as_str(self) -> &'static str {
                match self { $( Self::$variant => $code, )* }
            }

            /// The code that stands so in an answer.
            pub fn named(text: &str) -> Option<Self> {
                match text { $( $code => Some(Self::$variant), )* _ => None }
            }

            /// The status that it is answered with.
            pub fn status(self) -> StatusCode {
                match self { $( Self::$variant => StatusCode::$status, )* }
            }

            /// What it means, in a few words that are always the same.
            pub fn title(self) -> &'static str {
                match self { $( Self::$variant => $title, )* }
            }
        }
    };
}

codes! {
    /// The body is no JSON, or no JSON object.
    MalformedJson = "malformed_json", BAD_REQUEST, "The body is not well-formed JSON";
    /// The request can't be understood as HTTP.
    MalformedRequest = "malformed_request", BAD_REQUEST, "The request is malformed";
    /// No key, or none that holds.
    Unauthorized = "unauthorized", UNAUTHORIZED, "A valid key is needed";
    /// The key holds, but not for this.
    Forbidden = "forbidden", FORBIDDEN, "This key does not allow that";
    /// The caller may not give tasks to that agent.
    AgentNotCallable = "agent_not_callable", FORBIDDEN, "This key may not call that agent";
    /// The header `X-Source-Agent` names another agent than the key's.
    SourceAgentMismatch = "source_agent_mismatch", FORBIDDEN, "X-Source-Agent is not this key's agent";
    /// The chat session belongs to somebody else.
    SessionNotOwned = "session_not_owned", FORBIDDEN, "The chat session belongs to another user";
    /// There is nothing at this path.
    NotFound = "not_found", NOT_FOUND, "There is nothing at this path";
    /// No agent of that name, or none that the caller may see.
    AgentNotFound = "agent_not_found", NOT_FOUND, "There is no such agent";
    /// No execution of that id, or none that the caller may see.
    ExecutionNotFound = "execution_not_found", NOT_FOUND, "There is no such execution";
    /// No chat session of that id.
    SessionNotFound = "session_not_found", NOT_FOUND, "There is no such chat session";
    /// The path exists, but not for this method.
    MethodNotAllowed = "method_not_allowed", METHOD_NOT_ALLOWED, "The path does not know this method";
    /// The body came too slowly.
    RequestTimeout = "request_timeout", REQUEST_TIMEOUT, "The body took too long";
    /// A position or cursor of another log, for example from before a restore.
    OtherLog = "other_log", CONFLICT, "That position belongs to another log";
    /// An active agent has this name.
    AgentExists = "agent_exists", CONFLICT, "An agent of this name is registered already";
    /// The agent takes no more tasks.
    AgentRetired = "agent_retired", CONFLICT, "The agent was retired";
    /// A synchronous call would wait for a slot that its own ancestors hold.
    WouldDeadlock = "would_deadlock", CONFLICT, "The call would wait for itself";
    /// Others kept changing the same thing.
    Contended = "contended", CONFLICT, "Others kept changing the same thing";
    /// The transcript was removed, as the settings say.
    TranscriptExpired = "transcript_expired", GONE, "The transcript was removed";
    /// The body is larger than it may be.
    BodyTooLarge = "body_too_large", PAYLOAD_TOO_LARGE, "The body is too large";
    /// The path and query are longer than they may be.
    UriTooLong = "uri_too_long", URI_TOO_LONG, "The path and query are too long";
    /// The body is no JSON by its own declaration.
    UnsupportedMediaType = "unsupported_media_type", UNSUPPORTED_MEDIA_TYPE, "The body must be JSON";
    /// The Host header names a host that this server does not answer for.
    HostNotAllowed = "host_not_allowed", MISDIRECTED_REQUEST, "This server does not answer for that host";
    /// A field of the body has a value that it can't have.
    InvalidField = "invalid_field", UNPROCESSABLE_ENTITY, "A field has a value that it can't have";
    /// The body has a field that the request does not know.
    UnknownField = "unknown_field", UNPROCESSABLE_ENTITY, "The body has an unknown field";
    /// A field that must be there is not.
    MissingField = "missing_field", UNPROCESSABLE_ENTITY, "A field is missing";
    /// A part of the path or the query has a value that it can't have.
    InvalidParameter = "invalid_parameter", UNPROCESSABLE_ENTITY, "A parameter has a value that it can't have";
    /// The query has a parameter that the request does not know.
    UnknownParameter = "unknown_parameter", UNPROCESSABLE_ENTITY, "The query has an unknown parameter";
    /// A header has a value that it can't have.
    InvalidHeader = "invalid_header", UNPROCESSABLE_ENTITY, "A header has a value that it can't have";
    /// The cursor was not given out for this list.
    InvalidCursor = "invalid_cursor", UNPROCESSABLE_ENTITY, "The cursor was not given out for this list";
    /// The caller gave no message, or an empty one.
    MessageRequired = "message_required", UNPROCESSABLE_ENTITY, "A task needs a message";
    /// The message is longer than a message may be.
    MessageTooLong = "message_too_long", UNPROCESSABLE_ENTITY, "The message is too long";
    /// The message is too long to be an argument of the agent's program.
    MessageTooLongForArgument = "message_too_long_for_argument", UNPROCESSABLE_ENTITY, "The message is too long for an argument";
    /// A text holds a control character that it may not hold.
    ControlCharacter = "control_character", UNPROCESSABLE_ENTITY, "A text has a control character";
    /// A value begins with '-' and would be read as an option.
    LooksLikeOption = "looks_like_option", UNPROCESSABLE_ENTITY, "A value looks like an option";
    /// A value is beyond what the agent's own settings allow.
    AboveAgentLimit = "above_agent_limit", UNPROCESSABLE_ENTITY, "A value is beyond the agent's own limit";
    /// The model is none of the agent's.
    ModelNotListed = "model_not_listed", UNPROCESSABLE_ENTITY, "The agent does not have that model";
    /// The agent lists no tools that could be narrowed.
    ToolsNotListed = "tools_not_listed", UNPROCESSABLE_ENTITY, "The agent lists no tools";
    /// The agent permits no system prompt of a caller's.
    SystemPromptNotPermitted = "system_prompt_not_permitted", UNPROCESSABLE_ENTITY, "The agent permits no system prompt";
    /// An injection needs a chat session.
    SessionRequired = "session_required", UNPROCESSABLE_ENTITY, "An injection needs a chat session";
    /// No execution of this agent that the caller may read had that session of the agent's own.
    UnknownAgentSession = "unknown_agent_session", UNPROCESSABLE_ENTITY, "The agent had no such session";
    /// There is no such execution above it that the caller may read.
    UnknownParent = "unknown_parent", UNPROCESSABLE_ENTITY, "There is no such parent execution";
    /// A run names another parent than itself.
    ForeignParent = "foreign_parent", UNPROCESSABLE_ENTITY, "A run is the parent of what it starts";
    /// The idempotency key stands for another request already.
    IdempotencyKeyReused = "idempotency_key_reused", UNPROCESSABLE_ENTITY, "The idempotency key stands for another request";
    /// Calls of agents by agents are nested too deeply.
    CallDepthExceeded = "call_depth_exceeded", UNPROCESSABLE_ENTITY, "Agents call agents too deeply";
    /// The path speaks WebSocket only.
    UpgradeRequired = "upgrade_required", UPGRADE_REQUIRED, "This path speaks WebSocket";
    /// As many executions wait as may.
    QueueFull = "queue_full", TOO_MANY_REQUESTS, "The agent's queue is full";
    /// The key asks more often than it may.
    RateLimited = "rate_limited", TOO_MANY_REQUESTS, "Too many requests";
    /// Too many requests with a key that does not hold came from this address.
    TooManyFailures = "too_many_failures", TOO_MANY_REQUESTS, "Too many failed attempts";
    /// The headers are more, or larger, than they may be.
    HeadersTooLarge = "headers_too_large", REQUEST_HEADER_FIELDS_TOO_LARGE, "The headers are too large";
    /// A fault of ours; the log says more, by the request's id.
    Internal = "internal", INTERNAL_SERVER_ERROR, "Something went wrong in the ledger";
    /// More goes on at once than may.
    Overloaded = "overloaded", SERVICE_UNAVAILABLE, "The ledger is busy";
    /// It has started, but can't answer this yet.
    NotReady = "not_ready", SERVICE_UNAVAILABLE, "The ledger is not ready";
    /// It is being stopped.
    ShuttingDown = "shutting_down", SERVICE_UNAVAILABLE, "The ledger is being stopped";
    /// The read models have not seen the position in time.
    ProjectionBehind = "projection_behind", GATEWAY_TIMEOUT, "The read models are behind that position";
    /// The wait for a synchronous task is over; the execution goes on.
    StillRunning = "still_running", GATEWAY_TIMEOUT, "The execution has not ended yet";
    /// No room is left; nothing was changed.
    DiskFull = "disk_full", INSUFFICIENT_STORAGE, "The disk is full";
}

/// A refusal or a fault, as it is answered.
#[derive(Debug)]
pub struct Problem(Box<Body>);

#[derive(Debug)]
struct Body {
    code: Code,
    detail: Cow<'static, str>,
    members: Map<String, Value>,
    retry_after_s: Option<u64>,
    allow: Option<String>,
}

impl Problem {
    /// A problem of that code; `detail` says for people what is the matter this time.
    pub fn new(code: Code, detail: impl Into<Cow<'static, str>>) -> Self {
        let detail = cut(detail.into());
        Self(Box::new(Body { code, detail, members: Map::new(), retry_after_s: None, allow: None }))
    }

    /// A value of the body's field that can't be.
    pub fn invalid_field(field: impl Into<String>, detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Code::InvalidField, detail).field(field)
    }

    /// A value of a part of the path or the query that can't be.
    pub fn invalid_parameter(
        name: impl Into<String>,
        detail: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self::new(Code::InvalidParameter, detail).field(name)
    }

    /// A fault of ours: logged here, in full; the answer says nothing of its cause.
    pub fn internal(cause: &dyn fmt::Display) -> Self {
        tracing::error!(%cause, "a request failed by a fault of the ledger");
        Self::new(
            Code::Internal,
            "the cause is in the ledger's own log, under the id of this request",
        )
    }

    /// Which field, parameter or header is meant.
    #[must_use]
    pub fn field(self, field: impl Into<String>) -> Self {
        self.member("field", Value::String(field.into()))
    }

    /// The limit that was broken.
    #[must_use]
    pub fn limit(self, limit: u64) -> Self {
        self.member("limit", Value::from(limit))
    }

    /// What to do about it.
    #[must_use]
    pub fn hint(self, hint: &str) -> Self {
        self.member("hint", Value::from(hint))
    }

    /// One more member of the answer.
    #[must_use]
    pub fn member(mut self, name: &str, value: Value) -> Self {
        self.0.members.insert(name.to_owned(), value);
        self
    }

    /// When it is worth trying again, in seconds.
    #[must_use]
    pub fn retry_after(mut self, seconds: u64) -> Self {
        self.0.retry_after_s = Some(seconds.max(1));
        self
    }

    /// The methods that the path knows.
    #[must_use]
    pub fn allow(mut self, methods: String) -> Self {
        self.0.allow = Some(methods);
        self
    }

    /// Its code.
    pub fn code(&self) -> Code {
        self.0.code
    }

    /// The field, parameter or header that is meant, where one is.
    pub fn named_field(&self) -> Option<&str> {
        self.0.members.get("field").and_then(Value::as_str)
    }

    /// What is the matter, in words.
    pub fn detail(&self) -> &str {
        &self.0.detail
    }
}

fn cut(detail: Cow<'static, str>) -> Cow<'static, str> {
    if detail.len() <= DETAIL_MAX_BYTES {
        return detail;
    }
    let end = detail.floor_char_boundary(DETAIL_MAX_BYTES);
    Cow::Owned(format!("{}…", &detail[..end]))
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let Body { code, detail, mut members, retry_after_s, allow } = *self.0;
        members.insert("type".to_owned(), Value::from(format!("{TYPE_PREFIX}{}", code.as_str())));
        members.insert("title".to_owned(), Value::from(code.title()));
        members.insert("status".to_owned(), Value::from(code.status().as_u16()));
        members.insert("code".to_owned(), Value::from(code.as_str()));
        members.insert("detail".to_owned(), Value::String(detail.into_owned()));
        let mut response = (code.status(), Value::Object(members).to_string()).into_response();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if let Some(seconds) = retry_after_s {
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        if let Some(methods) = allow.and_then(|methods| HeaderValue::try_from(methods).ok()) {
            headers.insert(ALLOW, methods);
        }
        if code == Code::Unauthorized {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

/// A problem as the interface's description shows it (RFC 9457).
#[derive(utoipa::ToSchema)]
#[schema(as = Problem)]
#[expect(dead_code, reason = "only describes what is answered")]
pub struct ProblemSchema {
    /// `urn:execution-ledger:problem:` and the code.
    pub r#type: String,
    /// What the code means, in a few words.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// What went wrong, for programs: stable.
    pub code: String,
    /// What is the matter this time, for people.
    pub detail: String,
    /// The field, parameter or header that is meant.
    pub field: Option<String>,
    /// The limit that was broken.
    pub limit: Option<u64>,
    /// What to do about it.
    pub hint: Option<String>,
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_code_is_written_once_in_snake_case() {
        let mut seen = HashSet::new();
        for code in Code::ALL {
            assert!(seen.insert(code.as_str()), "{} stands twice", code.as_str());
            assert!(code.as_str().bytes().all(|b| b.is_ascii_lowercase() || b == b'_'));
            assert!(code.status().is_client_error() || code.status().is_server_error());
        }
    }

    #[test]
    fn a_long_detail_is_cut_between_characters() {
        let problem = Problem::new(Code::InvalidField, "ä".repeat(1_000));
        assert!(problem.detail().len() <= DETAIL_MAX_BYTES + '…'.len_utf8());
        assert!(problem.detail().ends_with('…'));
    }

    #[test]
    fn the_guide_lists_every_code_with_its_status_and_nothing_else() {
        let guide = include_str!("../../docs/API.md");
        let listed: HashSet<(String, u16)> = guide
            .lines()
            .filter_map(|line| line.strip_prefix("| `"))
            .filter_map(|row| row.split_once("` | "))
            .filter_map(|(code, rest)| {
                let status = rest.split(' ').next()?.parse().ok()?;
                Some((code.to_owned(), status))
            })
            .collect();
        let known = Code::ALL.iter().map(|c| (c.as_str().to_owned(), c.status().as_u16()));
        assert_eq!(listed, known.collect());
    }
}
