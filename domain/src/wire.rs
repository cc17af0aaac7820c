//! The stored form of events: a type name, a schema version and JSON.
//!
//! Old versions are read through upcasters and never rewritten: `UPCASTERS` holds one step for each
//! version of a type that is not written any more, and a fold over raw JSON takes a stored event from
//! its version to today's.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::access::AccessEvent;
use crate::agent::AgentEvent;
use crate::budget::BudgetEvent;
use crate::content::ContentRef;
use crate::erasure::{ErasureEvent, TextPart};
use crate::execution::ExecutionEvent;
use crate::key::KeyEvent;
use crate::lease::LeaseEvent;
use crate::notary::NotaryEvent;
use crate::payment::PaymentEvent;
use crate::schedule::ScheduleEvent;
use crate::session::SessionEvent;
use crate::webhook::WebhookEvent;

/// An event of any kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Of an `execution-{id}` stream.
    Execution(ExecutionEvent),
    /// Of an `agent-{name}` stream.
    Agent(AgentEvent),
    /// Of a `session-{id}` stream.
    Session(SessionEvent),
    /// Of a `key-{id}` stream.
    Key(KeyEvent),
    /// Of a `schedule-{id}` stream.
    Schedule(ScheduleEvent),
    /// Of an `access-{day}` stream.
    Access(AccessEvent),
    /// Of a `payment-{id}` stream.
    Payment(PaymentEvent),
    /// Of a `budget-{scope}` stream.
    Budget(BudgetEvent),
    /// Of a `webhook-{id}` stream.
    Webhook(WebhookEvent),
    /// Of a `content-{hash}` stream.
    Erasure(ErasureEvent),
    /// Of the stream `notary`.
    Notary(NotaryEvent),
    /// Of a `lease-{agent}` stream.
    Lease(LeaseEvent),
}

/// Why a stored event can't be read.
#[derive(Debug, thiserror::Error)]
pub enum WireError {
    /// No such type: written by a later version of the ledger, or by somebody else.
    #[error("unknown event type {0:?}; was it written by a later version of the ledger?")]
    UnknownType(String),
    /// No such version of the type.
    #[error("event type {type_name} has no version {version}; the newest known is {newest}")]
    UnknownVersion {
        /// The type.
        type_name: &'static str,
        /// The stored version.
        version: u32,
        /// The version that is written today.
        newest: u32,
    },
    /// The JSON does not fit the type.
    #[error("the data of {type_name} version {version} does not fit")]
    Data {
        /// The type.
        type_name: &'static str,
        /// The stored version.
        version: u32,
        /// What does not fit.
        #[source]
        source: serde_json::Error,
    },
}

/// One step from a version of a type to the next.
struct Upcaster {
    type_name: &'static str,
    from: u32,
    step: fn(Value) -> Value,
}

const UPCASTERS: &[Upcaster] = &[Upcaster {
    type_name: "execution.cancellation_requested",
    from: 1,
    step: |mut data| {
        // Version 1 had no cause: only callers could cancel.
        if let Some(object) = data.as_object_mut() {
            object.insert("cause".to_owned(), Value::from("requested"));
        }
        data
    },
}];

macro_rules! wire {
    ($( $kind:ident($enum:ident::$variant:ident) of $module:ident = $type_name:literal v $version:literal; )*) => {
        impl Event {
            /// Every type with the version that is written today.
            pub const TYPES: &'static [(&'static str, u32)] = &[$(($type_name, $version)),*];

            /// The type name, `category.fact`, and the version that is written today.
            pub fn type_and_version(&self) -> (&'static str, u32) {
                match self {
                    $( Self::$kind($enum::$variant(_)) => ($type_name, $version), )*
                }
            }

            /// The data as it is stored.
            pub fn to_json(&self) -> String {
                match self {
                    $( Self::$kind($enum::$variant(data)) => json(data), )*
                }
            }

            /// The event from its stored form, through upcasters where it is an old version.
            pub fn from_stored(type_name: &str, version: u32, data: &str) -> Result<Self, WireError> {
                match type_name {
                    $( $type_name => parse($type_name, version, $version, data)
                        .map(|data| Self::$kind($enum::$variant(data))), )*
                    _ => Err(WireError::UnknownType(type_name.to_owned())),
                }
            }
        }

        /// The JSON schema of every type's data, in the order of their names.
        pub fn schemas() -> Vec<(&'static str, u32, schemars::Schema)> {
            vec![$( (
                $type_name,
                $version,
                schemars::schema_for!(crate::$module::$variant),
            ) ),*]
        }
    };
}

wire! {
    Access(AccessEvent::Read) of access = "access.read" v 1;
    Access(AccessEvent::Refused) of access = "access.refused" v 1;
    Access(AccessEvent::SignedOut) of access = "access.signed_out" v 1;
    Agent(AgentEvent::Configured) of agent = "agent.configured" v 1;
    Agent(AgentEvent::Paused) of agent = "agent.paused" v 1;
    Agent(AgentEvent::Registered) of agent = "agent.registered" v 1;
    Agent(AgentEvent::Resumed) of agent = "agent.resumed" v 1;
    Agent(AgentEvent::Retired) of agent = "agent.retired" v 1;
    Budget(BudgetEvent::BudgetRefused) of budget = "budget.refused" v 1;
    Budget(BudgetEvent::BudgetSet) of budget = "budget.set" v 1;
    Budget(BudgetEvent::ThresholdReached) of budget = "budget.threshold_reached" v 1;
    Erasure(ErasureEvent::Erased) of erasure = "content.erased" v 1;
    Execution(ExecutionEvent::CancellationRequested) of execution = "execution.cancellation_requested" v 2;
    Execution(ExecutionEvent::Cancelled) of execution = "execution.cancelled" v 1;
    Execution(ExecutionEvent::Completed) of execution = "execution.completed" v 1;
    Execution(ExecutionEvent::CostCorrected) of execution = "execution.cost_corrected" v 1;
    Execution(ExecutionEvent::Failed) of execution = "execution.failed" v 1;
    Execution(ExecutionEvent::InjectionRefused) of execution = "execution.injection_refused" v 1;
    Execution(ExecutionEvent::Pending) of execution = "execution.pending" v 1;
    Execution(ExecutionEvent::QueueMoved) of execution = "execution.queue_moved" v 1;
    Execution(ExecutionEvent::ResultInjected) of execution = "execution.result_injected" v 1;
    Execution(ExecutionEvent::Running) of execution = "execution.running" v 1;
    Execution(ExecutionEvent::SignalSent) of execution = "execution.signal_sent" v 1;
    Key(KeyEvent::Issued) of key = "key.issued" v 1;
    Key(KeyEvent::Revoked) of key = "key.revoked" v 1;
    Lease(LeaseEvent::LeaseAcquired) of lease = "lease.acquired" v 1;
    Lease(LeaseEvent::LeaseReleased) of lease = "lease.released" v 1;
    Lease(LeaseEvent::SlotTaken) of lease = "lease.slot_taken" v 1;
    Notary(NotaryEvent::KeyRotated) of notary = "notary.key_rotated" v 1;
    Payment(PaymentEvent::RefundOwed) of payment = "payment.refund_owed" v 1;
    Payment(PaymentEvent::Settled) of payment = "payment.settled" v 1;
    Payment(PaymentEvent::SettlementFailed) of payment = "payment.settlement_failed" v 1;
    Payment(PaymentEvent::SettlementRequested) of payment = "payment.settlement_requested" v 1;
    Payment(PaymentEvent::SettlementUnknown) of payment = "payment.settlement_unknown" v 1;
    Payment(PaymentEvent::Verified) of payment = "payment.verified" v 1;
    Schedule(ScheduleEvent::Changed) of schedule = "schedule.changed" v 1;
    Schedule(ScheduleEvent::Created) of schedule = "schedule.created" v 1;
    Schedule(ScheduleEvent::Deleted) of schedule = "schedule.deleted" v 1;
    Schedule(ScheduleEvent::Disabled) of schedule = "schedule.disabled" v 1;
    Schedule(ScheduleEvent::Enabled) of schedule = "schedule.enabled" v 1;
    Schedule(ScheduleEvent::Fired) of schedule = "schedule.fired" v 1;
    Schedule(ScheduleEvent::Skipped) of schedule = "schedule.skipped" v 1;
    Session(SessionEvent::Closed) of session = "session.closed" v 1;
    Session(SessionEvent::MessagePosted) of session = "session.message_posted" v 1;
    Session(SessionEvent::Opened) of session = "session.opened" v 1;
    Webhook(WebhookEvent::WebhookChanged) of webhook = "webhook.changed" v 1;
    Webhook(WebhookEvent::DeadLettered) of webhook = "webhook.dead_lettered" v 1;
    Webhook(WebhookEvent::WebhookDeleted) of webhook = "webhook.deleted" v 1;
    Webhook(WebhookEvent::Delivered) of webhook = "webhook.delivered" v 1;
    Webhook(WebhookEvent::Redriven) of webhook = "webhook.redriven" v 1;
    Webhook(WebhookEvent::WebhookRegistered) of webhook = "webhook.registered" v 1;
    Webhook(WebhookEvent::SecretRotated) of webhook = "webhook.secret_rotated" v 1;
}

impl Event {
    /// The texts that lie beside this event, in the order in which they are stored.
    pub fn content_refs(&self) -> Vec<ContentRef> {
        self.texts().into_iter().map(|(_, reference)| reference).collect()
    }

    /// The same, each with what it is to the event.
    pub fn texts(&self) -> Vec<(TextPart, ContentRef)> {
        use ExecutionEvent as E;
        use ScheduleEvent as S;
        let texts: [(TextPart, Option<ContentRef>); 2] = match self {
            Self::Schedule(S::Created(event)) => {
                asked(event.settings.message, event.settings.system_prompt)
            }
            Self::Schedule(S::Changed(event)) => {
                asked(event.settings.message, event.settings.system_prompt)
            }
            Self::Execution(E::Pending(event)) => asked(event.message, event.system_prompt),
            Self::Payment(PaymentEvent::Verified(event)) => {
                asked(event.asked.pending.message, event.asked.pending.system_prompt)
            }
            Self::Payment(PaymentEvent::Settled(event)) => {
                [(TextPart::Reason, event.note), NO_TEXT]
            }
            Self::Payment(PaymentEvent::SettlementFailed(event)) => {
                [(TextPart::Reason, event.note), NO_TEXT]
            }
            Self::Execution(event @ (E::Completed(_) | E::Failed(_) | E::Cancelled(_))) => {
                let message = match event {
                    E::Failed(failed) => failed.message,
                    _ => None,
                };
                let response = event.report().and_then(|report| report.response);
                [(TextPart::Error, message), (TextPart::Response, response)]
            }
            Self::Execution(E::CostCorrected(event)) => reason(event.reason),
            Self::Erasure(ErasureEvent::Erased(event)) => reason(event.reason),
            Self::Execution(
                E::QueueMoved(_)
                | E::Running(_)
                | E::CancellationRequested(_)
                | E::SignalSent(_)
                | E::ResultInjected(_)
                | E::InjectionRefused(_),
            )
            | Self::Schedule(
                S::Enabled(_) | S::Disabled(_) | S::Fired(_) | S::Skipped(_) | S::Deleted(_),
            )
            | Self::Agent(_)
            | Self::Session(_)
            | Self::Key(_)
            | Self::Access(_)
            | Self::Payment(
                PaymentEvent::SettlementRequested(_)
                | PaymentEvent::SettlementUnknown(_)
                | PaymentEvent::RefundOwed(_),
            )
            | Self::Budget(_)
            | Self::Webhook(_)
            | Self::Notary(_)
            | Self::Lease(_) => return Vec::new(),
        };
        texts.into_iter().filter_map(|(part, text)| Some((part, text?))).collect()
    }
}

/// In the place of a second text, where there is none.
const NO_TEXT: (TextPart, Option<ContentRef>) = (TextPart::Reason, None);

/// The texts of what an agent is to do.
fn asked(
    message: ContentRef,
    system_prompt: Option<ContentRef>,
) -> [(TextPart, Option<ContentRef>); 2] {
    [(TextPart::Message, Some(message)), (TextPart::SystemPrompt, system_prompt)]
}

/// A person's reason.
fn reason(text: ContentRef) -> [(TextPart, Option<ContentRef>); 2] {
    [(TextPart::Reason, Some(text)), (TextPart::Reason, None)]
}

fn json<T: Serialize>(data: &T) -> String {
    serde_json::to_string(data)
        .unwrap_or_else(|error| unreachable!("event data is plain structs and strings: {error}"))
}

fn parse<T: DeserializeOwned>(
    type_name: &'static str,
    version: u32,
    newest: u32,
    data: &str,
) -> Result<T, WireError> {
    let unfit = |source| WireError::Data { type_name, version, source };
    if version == newest {
        return serde_json::from_str(data).map_err(unfit);
    }
    let mut value: Value = serde_json::from_str(data).map_err(unfit)?;
    for from in version..newest {
        let upcaster = UPCASTERS
            .iter()
            .find(|upcaster| upcaster.type_name == type_name && upcaster.from == from)
            .ok_or(WireError::UnknownVersion { type_name, version, newest })?;
        value = (upcaster.step)(value);
    }
    if version > newest {
        return Err(WireError::UnknownVersion { type_name, version, newest });
    }
    serde_json::from_value(value).map_err(unfit)
}

/// Says that the event is of another kind of stream than was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the event belongs to another kind of stream")]
pub struct OtherKind;

macro_rules! kinds {
    ($( $kind:ident($event:ident); )*) => { $(
        impl From<$event> for Event {
            fn from(event: $event) -> Self {
                Self::$kind(event)
            }
        }

        impl TryFrom<Event> for $event {
            type Error = OtherKind;
            fn try_from(event: Event) -> Result<Self, OtherKind> {
                match event {
                    Event::$kind(event) => Ok(event),
                    _ => Err(OtherKind),
                }
            }
        }
    )* };
}

kinds! {
    Execution(ExecutionEvent);
    Agent(AgentEvent);
    Session(SessionEvent);
    Key(KeyEvent);
    Schedule(ScheduleEvent);
    Access(AccessEvent);
    Payment(PaymentEvent);
    Budget(BudgetEvent);
    Webhook(WebhookEvent);
    Erasure(ErasureEvent);
    Notary(NotaryEvent);
    Lease(LeaseEvent);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::execution::{CancelCause, CancellationRequested};

    #[test]
    fn a_stored_version_1_is_read_as_version_2() {
        let stored = Event::from_stored("execution.cancellation_requested", 1, "{}");
        let cause = CancelCause::Requested;
        let expected = ExecutionEvent::CancellationRequested(CancellationRequested { cause });
        assert_eq!(stored.expect("readable"), Event::Execution(expected));
    }

    #[test]
    fn a_later_version_an_unknown_type_and_unfit_data_are_told_apart() {
        let later = Event::from_stored("execution.running", 99, "{}");
        assert!(matches!(later, Err(WireError::UnknownVersion { version: 99, newest: 1, .. })));
        let before_the_first = Event::from_stored("execution.running", 0, "{}");
        assert!(matches!(before_the_first, Err(WireError::UnknownVersion { version: 0, .. })));
        let unknown = Event::from_stored("execution.exploded", 1, "{}");
        assert!(matches!(unknown, Err(WireError::UnknownType(_))));
        for unfit in ["", "{}", "[]", "{\"claim\":1}"] {
            let unfit = Event::from_stored("execution.running", 1, unfit);
            assert!(matches!(unfit, Err(WireError::Data { .. })));
        }
    }

    #[test]
    fn every_old_version_of_every_type_has_its_step() {
        for (type_name, newest) in Event::TYPES {
            for from in 1..*newest {
                assert!(
                    UPCASTERS.iter().any(|step| step.type_name == *type_name && step.from == from),
                    "{type_name} version {from} can't be read"
                );
            }
        }
    }

    /// One stored event of each type, as the log holds it. A change here is a change of the stored
    /// form: it needs a new version and an upcaster, not a new golden file.
    #[test]
    fn the_stored_form_of_every_type_is_as_it_always_was() {
        let golden = include_str!("../tests/stored_events.ndjson");
        let mut seen = std::collections::BTreeSet::new();
        for line in golden.lines() {
            let stored: Value = serde_json::from_str(line).expect("a line of JSON");
            let type_name = stored["type"].as_str().expect("a type");
            let version =
                stored["version"].as_u64().and_then(|v| u32::try_from(v).ok()).expect("one");
            let data = stored["data"].to_string();
            let event = Event::from_stored(type_name, version, &data).expect("readable");
            let (written_type, written_version) = event.type_and_version();
            assert_eq!(written_type, type_name);
            if version == written_version {
                let written: Value = serde_json::from_str(&event.to_json()).expect("JSON");
                assert_eq!(written, stored["data"], "{type_name}");
            }
            seen.insert((type_name.to_owned(), version));
        }
        for (type_name, newest) in Event::TYPES {
            for version in 1..=*newest {
                assert!(
                    seen.contains(&((*type_name).to_owned(), version)),
                    "{type_name} {version}"
                );
            }
        }
    }
}
