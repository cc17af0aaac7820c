//! What the parts below refuse or fail at, as problems.

use std::convert::Infallible;

use execution_ledger_domain::budget::OverBudget;
use execution_ledger_domain::policy::NotAdmitted;
use execution_ledger_domain::{AgentName, agent, key, limits, schedule, session};
use execution_ledger_process::budgets::BudgetError;
use execution_ledger_process::keys::{IN_USE_MAX as KEYS_IN_USE_MAX, KeyError};
use execution_ledger_process::paid::{PaidError, ResolveError};
use execution_ledger_process::scheduler::ScheduleError;
use execution_ledger_process::tasks::{
    AgentError, CorrectError, MoveError, RetryError, SessionError, StopError, SubmitError,
};
use execution_ledger_process::webhooks::WebhookError;
use execution_ledger_projections::QueryError;
use execution_ledger_store::{ExecuteError, PositionError, StoreError};
use serde_json::Value;

use crate::problem::{Code, Problem};
use crate::routes::{no_budget, no_key, no_payment};
use crate::state::{no_agent, no_execution, no_schedule, no_session, no_webhook};

/// When it is worth trying again after a queue was full, in seconds.
const QUEUE_RETRY_S: u64 = 5;
/// When it is worth trying again after the log was busy, in seconds.
const BUSY_RETRY_S: u64 = 1;
/// When it is worth trying again after the facilitator did not answer, in seconds.
const FACILITATOR_RETRY_S: u64 = 5;
/// When it is worth trying again while the read models are rebuilt, in seconds.
const REBUILD_RETRY_S: u64 = 2;
/// When it is worth trying again after a disk was full, in seconds.
const DISK_RETRY_S: u64 = 30;

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        let text = error.to_string();
        match error {
            StoreError::DiskFull => Self::new(Code::DiskFull, text)
                .hint("free some space on the disk of the data directory")
                .retry_after(DISK_RETRY_S),
            StoreError::Busy(_) => Self::new(Code::Overloaded, text).retry_after(BUSY_RETRY_S),
            StoreError::Closed(_) => Self::new(Code::ShuttingDown, text).retry_after(BUSY_RETRY_S),
            StoreError::Unreachable(_) => Self::new(Code::NotReady, text).retry_after(BUSY_RETRY_S),
            StoreError::TimedOut(_) => Self::new(Code::NotReady, text)
                .hint("it may have been recorded: look, or repeat it with its Idempotency-Key")
                .retry_after(BUSY_RETRY_S),
            StoreError::Fault(_) => Self::internal(&text),
        }
    }
}

impl From<PositionError> for Problem {
    fn from(error: PositionError) -> Self {
        match error {
            PositionError::Malformed => Self::new(Code::InvalidParameter, error.to_string()),
            PositionError::OtherLog { .. } => Self::new(Code::OtherLog, error.to_string())
                .hint("the log was restored from a backup: start again without that position"),
        }
    }
}

/// Why a fact that no rule decides about was not recorded.
pub(crate) fn not_noted(error: ExecuteError<Infallible>) -> Problem {
    write_failed(error, |never| match never {})
}

/// What writing failed at, but for the rules that refused it.
fn write_failed<R: std::error::Error + 'static>(
    error: ExecuteError<R>,
    refused: impl FnOnce(R) -> Problem,
) -> Problem {
    match error {
        ExecuteError::Refused(rejection) => refused(rejection),
        ExecuteError::Contended => {
            Problem::new(Code::Contended, error.to_string()).retry_after(BUSY_RETRY_S)
        }
        ExecuteError::TooLarge { max, .. } => {
            Problem::new(Code::BodyTooLarge, error.to_string()).limit(max as u64)
        }
        ExecuteError::Store(fault) => fault.into(),
        ExecuteError::Unreadable(_) => Problem::internal(&error),
    }
}

impl From<QueryError> for Problem {
    fn from(error: QueryError) -> Self {
        let text = error.to_string();
        match error {
            QueryError::NotReady { .. } => {
                Self::new(Code::NotReady, text).retry_after(REBUILD_RETRY_S)
            }
            QueryError::InvalidCursor => Self::new(Code::InvalidCursor, text).field("cursor"),
            QueryError::OtherLog { .. } => Self::new(Code::OtherLog, text)
                .field("cursor")
                .hint("the log was restored from a backup: start again without the cursor"),
            QueryError::Invalid { field, problem } => Self::invalid_parameter(field, problem),
            QueryError::Store(fault) => fault.into(),
            QueryError::Unreadable(_) | QueryError::Overflow | QueryError::Sqlite(_) => {
                Self::internal(&sources(&error))
            }
        }
    }
}

/// An error with all of its causes.
fn sources(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(source) = next {
        text.push_str(": ");
        text.push_str(&source.to_string());
        next = source.source();
    }
    text
}

impl From<NotAdmitted> for Problem {
    fn from(error: NotAdmitted) -> Self {
        let text = error.to_string();
        match error {
            NotAdmitted::UnknownAgent(_) => Self::new(Code::AgentNotFound, text).field("name"),
            NotAdmitted::Retired(_) => Self::new(Code::AgentRetired, text).field("name"),
            NotAdmitted::QueueFull { limit, waiting, .. } => Self::new(Code::QueueFull, text)
                .limit(limit.into())
                .member("waiting", Value::from(waiting))
                .retry_after(QUEUE_RETRY_S),
            NotAdmitted::OverBudget(over) => over_budget(&over),
        }
    }
}

/// What a budget does not allow. Not 429: nothing that a client tries again by itself helps before the
/// day or month ends, or somebody sets the budget.
fn over_budget(over: &OverBudget) -> Problem {
    let hint = match over.until {
        Some(until) => format!("try again after {until}, or have an admin raise the budget"),
        None => "ask for less with max_cost_usd, or have an admin raise the budget".to_owned(),
    };
    let mut problem = Problem::new(Code::BudgetExceeded, over.to_string())
        .hint(&hint)
        .member("budget", Value::from(over.scope.to_string()))
        .member("period", Value::from(over.period.as_str()))
        .member("resets_at", over.until.map_or(Value::Null, |at| Value::from(at.to_string())));
    if over.told {
        let amounts = [
            ("limit_usd", over.limit),
            ("committed_usd", over.committed),
            ("reserved_usd", over.reserved),
            ("asked_usd", over.asked),
        ];
        for (name, amount) in amounts {
            problem = problem.member(name, Value::from(amount.to_usd()));
        }
    }
    problem
}

impl From<SubmitError> for Problem {
    fn from(error: SubmitError) -> Self {
        let text = error.to_string();
        match error {
            SubmitError::Invalid { field, code, problem } => {
                Self::new(Code::named(code).unwrap_or(Code::InvalidField), problem).field(field)
            }
            SubmitError::NotCallable(_) => Self::new(Code::AgentNotCallable, text).field("name"),
            SubmitError::NotAdmitted(refusal) => refusal.into(),
            SubmitError::KeyReused(first) => Self::new(Code::IdempotencyKeyReused, text)
                .field("Idempotency-Key")
                .member("execution_id", Value::from(first.to_string())),
            SubmitError::WouldDeadlock(_) => Self::new(Code::WouldDeadlock, text)
                .field("async_mode")
                .hint("send async_mode: true and look the result up later"),
            SubmitError::Write(error) => write_failed(error, |rule| Self::internal(&rule)),
            SubmitError::Store(fault) => fault.into(),
        }
    }
}

impl From<StopError> for Problem {
    fn from(error: StopError) -> Self {
        match error {
            StopError::NotFound => no_execution(),
            StopError::OtherUser => Self::new(Code::Forbidden, error.to_string()),
            StopError::Write(error) => write_failed(error, |_| no_execution()),
        }
    }
}

impl From<RetryError> for Problem {
    fn from(error: RetryError) -> Self {
        let text = error.to_string();
        match error {
            RetryError::NotFound => no_execution(),
            RetryError::OtherUser => Self::new(Code::Forbidden, text),
            RetryError::NotEnded => {
                Self::new(Code::NotEnded, text).hint("stop it first, or wait for its end")
            }
            RetryError::ChatTurn(_) => Self::new(Code::ChatTurn, text)
                .hint("post the message again: POST /api/sessions/{id}/messages"),
            RetryError::Erased => Self::new(Code::ContentErased, text),
            RetryError::Submit(refusal) => refusal.into(),
        }
    }
}

impl From<CorrectError> for Problem {
    fn from(error: CorrectError) -> Self {
        let text = error.to_string();
        match error {
            CorrectError::NotFound => no_execution(),
            CorrectError::OtherUser => Self::new(Code::Forbidden, text),
            CorrectError::Invalid { field, problem } => Self::invalid_field(field, problem),
            CorrectError::NotPriced(_) => Self::new(Code::NotPriced, text)
                .hint("say what it cost (cost_usd), or add the price to the price book"),
            CorrectError::Write(error) => write_failed(error, |refused| {
                Self::new(Code::NotEnded, refused.to_string())
                    .hint("stop it first, or wait for its end")
            }),
            CorrectError::Store(fault) => fault.into(),
        }
    }
}

impl From<MoveError> for Problem {
    fn from(error: MoveError) -> Self {
        let text = error.to_string();
        match error {
            MoveError::NotFound => no_execution(),
            MoveError::NotPending => Self::new(Code::NotPending, text),
            MoveError::TooOften(_) => Self::new(Code::TooManyMoves, text),
            MoveError::Write(error) => write_failed(error, |_| no_execution()),
        }
    }
}

/// Why a budget was not set or not lifted.
pub(crate) fn budget_refused(error: BudgetError) -> Problem {
    let text = error.to_string();
    match error {
        BudgetError::NotSet(scope) => no_budget(&scope),
        BudgetError::UnknownAgent(_) => Problem::new(Code::UnknownAgent, text).field("scope"),
        BudgetError::TooMany => {
            Problem::new(Code::TooManyBudgets, text).limit(limits::budget::BUDGETS_MAX as u64)
        }
        BudgetError::Invalid { field, problem } => Problem::invalid_field(field, problem),
        BudgetError::Behind => Problem::new(Code::Overloaded, text).retry_after(BUSY_RETRY_S),
        BudgetError::Write(error) => not_noted(error),
    }
}

/// Why a key was not issued or not revoked.
pub(crate) fn key_refused(error: KeyError) -> Problem {
    let text = error.to_string();
    match error {
        KeyError::UnknownAgent { field, agent } => {
            Problem::new(Code::UnknownAgent, format!("there is no agent {agent}")).field(field)
        }
        KeyError::TooMany => Problem::new(Code::TooManyKeys, text).limit(KEYS_IN_USE_MAX as u64),
        KeyError::AlreadyIssued(id) => Problem::new(Code::KeyAlreadyIssued, text)
            .field("Idempotency-Key")
            .member("key_id", Value::from(id.to_string()))
            .hint("revoke that key and issue another, if its text was lost"),
        KeyError::NotApplied => Problem::new(Code::Overloaded, text).retry_after(BUSY_RETRY_S),
        KeyError::Store(fault) => fault.into(),
        KeyError::Write(error) => write_failed(error, |rule| match rule {
            key::Rejection::NotFound => no_key(),
            key::Rejection::AlreadyIssued => Problem::internal(&rule),
            key::Rejection::Invalid { field, problem } => Problem::invalid_field(field, problem),
        }),
    }
}

impl From<SessionError> for Problem {
    fn from(error: SessionError) -> Self {
        let text = error.to_string();
        match error {
            SessionError::NotFound => no_session(),
            SessionError::Agent(SubmitError::NotAdmitted(NotAdmitted::UnknownAgent(_))) => {
                Self::new(Code::AgentNotFound, text).field("agent_name")
            }
            SessionError::Agent(error) => Self::from(error).field("agent_name"),
            SessionError::NotContinued(_) => {
                Self::new(Code::NotContinuable, text).field("execution_id")
            }
            SessionError::Write(error) => write_failed(error, |rule| match rule {
                session::Rejection::NotFound => no_session(),
                session::Rejection::Closed => Self::new(Code::SessionClosed, rule.to_string()),
                session::Rejection::Full => Self::new(Code::SessionFull, rule.to_string()),
                session::Rejection::AlreadyOpened => Self::internal(&rule),
            }),
            SessionError::Store(fault) => fault.into(),
        }
    }
}

/// Why a schedule was not made, changed or triggered.
pub(crate) fn schedule_refused(error: ScheduleError) -> Problem {
    let text = error.to_string();
    match error {
        ScheduleError::NotFound => no_schedule(),
        ScheduleError::ExecutionNotFound => {
            Problem::new(Code::ExecutionNotFound, "no execution that this key may see has that id")
                .field("execution_id")
        }
        ScheduleError::ExecutionOpen => Problem::new(Code::NotEnded, text)
            .field("execution_id")
            .hint("only what has ended is repeated: stop it first, or wait for its end"),
        ScheduleError::Erased => Problem::new(Code::ContentErased, text).field("message"),
        ScheduleError::TooMany(most) => {
            Problem::new(Code::TooManySchedules, text).limit(most as u64)
        }
        ScheduleError::Settings(broken) => Problem::invalid_field(broken.field, broken.problem),
        ScheduleError::Task(
            error @ (SubmitError::NotCallable(_)
            | SubmitError::NotAdmitted(
                NotAdmitted::UnknownAgent(_) | NotAdmitted::Retired(_),
            )),
        ) => Problem::from(error).field("agent_name"),
        ScheduleError::Task(error) => error.into(),
        ScheduleError::Store(fault) => fault.into(),
        ScheduleError::Write(error) => write_failed(error, |rule| match rule {
            schedule::Rejection::NotFound => no_schedule(),
            schedule::Rejection::Settings(broken) => {
                Problem::invalid_field(broken.field, broken.problem)
            }
            schedule::Rejection::Behind => {
                Problem::new(Code::Contended, rule.to_string()).retry_after(BUSY_RETRY_S)
            }
            schedule::Rejection::AlreadyCreated
            | schedule::Rejection::Disabled
            | schedule::Rejection::NotNext => Problem::internal(&rule),
        }),
    }
}

/// Why a webhook was not registered, changed or tried.
pub(crate) fn webhook_refused(error: WebhookError) -> Problem {
    let text = error.to_string();
    match error {
        WebhookError::NotFound => no_webhook(),
        WebhookError::TooMany(most) => Problem::new(Code::TooManyWebhooks, text).limit(most as u64),
        WebhookError::NotDead => Problem::new(Code::NotDead, text)
            .hint("GET /api/webhooks/{id}/deliveries?state=dead lists those that were"),
        WebhookError::Busy => Problem::new(Code::Overloaded, text).retry_after(BUSY_RETRY_S),
        WebhookError::Field(broken) => Problem::invalid_field(broken.field, broken.problem),
        WebhookError::Write(error) => write_failed(error, |rule| Problem::internal(&rule)),
    }
}

/// Why a payment was not taken: nobody was charged.
pub(crate) fn paid_refused(agent: &AgentName, error: PaidError) -> Problem {
    let text = error.to_string();
    match error {
        PaidError::NotForSale(_) => Problem::new(Code::NotForSale, text)
            .field("name")
            .hint("what is sold stands in the file that the setting paid_config names"),
        PaidError::NotTaken { .. } => Problem::new(Code::PaymentRequired, text),
        PaidError::Reused(first) => Problem::new(Code::PaymentReused, text)
            .field("PAYMENT-SIGNATURE")
            .member("execution_id", Value::from(first.to_string()))
            .hint("send the same body again, or pay anew"),
        PaidError::NoFacilitator(why) => {
            tracing::warn!(%agent, why, "a payment could not be verified");
            let detail = "it does not say whether the payment is good; nobody was charged";
            Problem::new(Code::FacilitatorUnavailable, detail).retry_after(FACILITATOR_RETRY_S)
        }
        PaidError::TooMany => Problem::new(Code::Overloaded, text).retry_after(BUSY_RETRY_S),
        PaidError::Task(error) => error.into(),
        PaidError::Write(error) => write_failed(error, |rule| Problem::internal(&rule)),
        PaidError::Store(fault) => fault.into(),
    }
}

/// Why a person's decision about a payment was not recorded.
pub(crate) fn resolution_refused(error: ResolveError) -> Problem {
    let text = error.to_string();
    match error {
        ResolveError::NotFound => no_payment(),
        ResolveError::NotUnknown(status) => Problem::new(Code::PaymentNotUnknown, text)
            .member("payment_status", Value::from(status)),
        ResolveError::StillValid { until } => Problem::new(Code::PaymentStillValid, text)
            .member("until", Value::from(until.to_string())),
        ResolveError::Invalid { field, problem } => Problem::invalid_field(field, problem),
        ResolveError::Write(error) => write_failed(error, |rule| Problem::internal(&rule)),
        ResolveError::Store(fault) => fault.into(),
    }
}

/// Why the agent of that name was not changed.
pub(crate) fn agent_refused(name: &AgentName, error: AgentError) -> Problem {
    let text = error.to_string();
    match error {
        AgentError::NoSuchUser(_) => Problem::invalid_field("run_as", text),
        AgentError::InsideDataDir => Problem::invalid_field("cwd", text),
        AgentError::HoldsSecret { .. } => Problem::invalid_field("env", text),
        AgentError::Write(error) => write_failed(error, |rule| match rule {
            agent::Rejection::NotFound => no_agent(name),
            agent::Rejection::AlreadyRegistered => {
                let detail = format!("{name} is taken: choose another name, or change that agent");
                Problem::new(Code::AgentExists, detail)
                    .field("name")
                    .hint("PUT /api/agents/{name} changes its settings")
            }
            agent::Rejection::Retired => {
                let detail = format!("{name} takes no more tasks and can't be changed");
                Problem::new(Code::AgentRetired, detail)
                    .field("name")
                    .hint("POST /api/agents registers the name again")
            }
            agent::Rejection::Config(broken) => {
                Problem::invalid_field(broken.field, broken.problem)
            }
        }),
    }
}
