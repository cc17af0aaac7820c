//! The codes, and the status that each is answered with.

use axum::http::StatusCode;

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
    /// The request can't be understood as HTTP, or at `/mcp` as a message of JSON-RPC.
    MalformedRequest = "malformed_request", BAD_REQUEST, "The request is malformed";
    /// No key, or none that holds.
    Unauthorized = "unauthorized", UNAUTHORIZED, "A valid key is needed";
    /// It has to be paid for, and was not, or not well.
    PaymentRequired = "payment_required", PAYMENT_REQUIRED, "A payment is needed";
    /// The money did not come: nothing was charged, and nothing runs.
    SettlementFailed = "settlement_failed", PAYMENT_REQUIRED, "The payment was not settled";
    /// The key holds, but not for this.
    Forbidden = "forbidden", FORBIDDEN, "This key does not allow that";
    /// The caller may not give tasks to that agent.
    AgentNotCallable = "agent_not_callable", FORBIDDEN, "This key may not call that agent";
    /// A budget does not allow the task.
    BudgetExceeded = "budget_exceeded", FORBIDDEN, "A budget does not allow it";
    /// The header `X-Source-Agent` names another agent than the key's.
    SourceAgentMismatch = "source_agent_mismatch", FORBIDDEN, "X-Source-Agent is not this key's agent";
    /// A page of another site made a browser send it.
    OriginNotAllowed = "origin_not_allowed", FORBIDDEN, "The request comes from another site";
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
    /// No budget of that name, or one that was lifted.
    BudgetNotFound = "budget_not_found", NOT_FOUND, "There is no such budget";
    /// No text of that digest, or nothing of a user of that name.
    NothingToErase = "nothing_to_erase", NOT_FOUND, "There is nothing of that to erase";
    /// No key of that id.
    KeyNotFound = "key_not_found", NOT_FOUND, "There is no such key";
    /// No schedule of that id.
    ScheduleNotFound = "schedule_not_found", NOT_FOUND, "There is no such schedule";
    /// No webhook of that id.
    WebhookNotFound = "webhook_not_found", NOT_FOUND, "There is no such webhook";
    /// Nothing is sold, or not this agent.
    NotForSale = "not_for_sale", NOT_FOUND, "The agent is not for sale";
    /// No payment of that id.
    PaymentNotFound = "payment_not_found", NOT_FOUND, "There is no such payment";
    /// The path exists, but not for this method.
    MethodNotAllowed = "method_not_allowed", METHOD_NOT_ALLOWED, "The path does not know this method";
    /// The caller takes no form in which this path answers.
    NotAcceptable = "not_acceptable", NOT_ACCEPTABLE, "The answer would have a form that is not accepted";
    /// The body came too slowly.
    RequestTimeout = "request_timeout", REQUEST_TIMEOUT, "The body took too long";
    /// A position or cursor of another log, for example from before a restore.
    OtherLog = "other_log", CONFLICT, "That position belongs to another log";
    /// An active agent has this name.
    AgentExists = "agent_exists", CONFLICT, "An agent of this name is registered already";
    /// The same request issued a key before; its text is not shown again.
    KeyAlreadyIssued = "key_already_issued", CONFLICT, "This key was issued before";
    /// As many keys are in use as may be.
    TooManyKeys = "too_many_keys", CONFLICT, "Too many keys are in use";
    /// There are as many budgets as may be.
    TooManyBudgets = "too_many_budgets", CONFLICT, "There are too many budgets";
    /// There are as many schedules as may be.
    TooManySchedules = "too_many_schedules", CONFLICT, "There are too many schedules";
    /// There are as many webhooks as may be.
    TooManyWebhooks = "too_many_webhooks", CONFLICT, "There are too many webhooks";
    /// The message to a webhook was not given up, or is tried again already.
    NotDead = "not_dead", CONFLICT, "The message was not given up";
    /// The execution was moved to the front of its queue as often as may be.
    TooManyMoves = "too_many_moves", CONFLICT, "The execution was moved too often";
    /// The agent takes no more tasks.
    AgentRetired = "agent_retired", CONFLICT, "The agent was retired";
    /// The chat session takes no more messages and no more results.
    SessionClosed = "session_closed", CONFLICT, "The chat session was closed";
    /// The chat session holds as many messages as it may.
    SessionFull = "session_full", CONFLICT, "The chat session is full";
    /// A synchronous call would wait for a slot that its own ancestors hold.
    WouldDeadlock = "would_deadlock", CONFLICT, "The call would wait for itself";
    /// The execution does not wait for a slot.
    NotPending = "not_pending", CONFLICT, "The execution is not waiting";
    /// The execution has not ended yet.
    NotEnded = "not_ended", CONFLICT, "The execution has not ended";
    /// The price book can't price what was recorded of it.
    NotPriced = "not_priced", CONFLICT, "Its tokens have no price";
    /// A turn of a chat session is not tried again: it is posted again.
    ChatTurn = "chat_turn", CONFLICT, "The execution was a chat turn";
    /// What came of the payment is known.
    PaymentNotUnknown = "payment_not_unknown", CONFLICT, "Nobody doubts that payment";
    /// Whoever holds the payment's signature can still make it.
    PaymentStillValid = "payment_still_valid", CONFLICT, "That payment can still come";
    /// Others kept changing the same thing.
    Contended = "contended", CONFLICT, "Others kept changing the same thing";
    /// The text that is needed was erased.
    ContentErased = "content_erased", GONE, "The text was erased";
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
    /// A field names an agent that there is not.
    UnknownAgent = "unknown_agent", UNPROCESSABLE_ENTITY, "There is no such agent";
    /// No execution of this agent that the caller may read had that session of the agent's own.
    UnknownAgentSession = "unknown_agent_session", UNPROCESSABLE_ENTITY, "The agent had no such session";
    /// There is nothing that a chat could go on from.
    NotContinuable = "not_continuable", UNPROCESSABLE_ENTITY, "That execution can't be continued";
    /// There is no such execution above it that the caller may read.
    UnknownParent = "unknown_parent", UNPROCESSABLE_ENTITY, "There is no such parent execution";
    /// A run names another parent than itself.
    ForeignParent = "foreign_parent", UNPROCESSABLE_ENTITY, "A run is the parent of what it starts";
    /// The idempotency key stands for another request already.
    IdempotencyKeyReused = "idempotency_key_reused", UNPROCESSABLE_ENTITY, "The idempotency key stands for another request";
    /// The payment stands for another request already.
    PaymentReused = "payment_reused", UNPROCESSABLE_ENTITY, "The payment stands for another request";
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
    /// Of several nodes none does what is done once at the moment.
    NoLeader = "no_leader", SERVICE_UNAVAILABLE, "No node leads";
    /// Another node would have to answer, and can't be reached.
    NodeUnreachable = "node_unreachable", SERVICE_UNAVAILABLE, "Another node can't be reached";
    /// It has started, but can't answer this yet.
    NotReady = "not_ready", SERVICE_UNAVAILABLE, "The ledger is not ready";
    /// The facilitator does not say whether a payment is good.
    FacilitatorUnavailable = "facilitator_unavailable", SERVICE_UNAVAILABLE, "The facilitator can't be asked";
    /// It is being stopped.
    ShuttingDown = "shutting_down", SERVICE_UNAVAILABLE, "The ledger is being stopped";
    /// The read models have not seen the position in time.
    ProjectionBehind = "projection_behind", GATEWAY_TIMEOUT, "The read models are behind that position";
    /// The wait for a synchronous task is over; the execution goes on.
    StillRunning = "still_running", GATEWAY_TIMEOUT, "The execution has not ended yet";
    /// No room is left; nothing was changed.
    DiskFull = "disk_full", INSUFFICIENT_STORAGE, "The disk is full";
}
