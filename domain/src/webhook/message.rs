//! What webhooks are told: which kinds there are, and which events lead to them.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::budget::BudgetEvent;
use crate::execution::ExecutionEvent;
use crate::ids::EventId;
use crate::payment::PaymentEvent;
use crate::wire::Event;

macro_rules! kinds {
    ($( $(#[doc = $doc:literal])* $variant:ident = $name:literal; )*) => {
        /// What a message tells.
        #[derive(
            Clone,
            Copy,
            Debug,
            PartialEq,
            Eq,
            PartialOrd,
            Ord,
            Hash,
            Serialize,
            Deserialize,
            schemars::JsonSchema,
        )]
        #[schemars(rename = "MessageKind")]
        pub enum Kind {
            $( $(#[doc = $doc])* #[serde(rename = $name)] $variant, )*
        }

        impl Kind {
            /// All kinds, in the order in which messages of one event are numbered.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// Its name in JSON.
            pub fn as_str(self) -> &'static str {
                match self { $( Self::$variant => $name, )* }
            }
        }
    };
}

kinds! {
    /// What a run cost, as the billing feed has it.
    RunCost = "run_cost";
    /// A cost was corrected, as the billing feed has it.
    CostCorrected = "cost_corrected";
    /// A payment has come, as the billing feed has it.
    PaymentSettled = "payment_settled";
    /// A payer is owed money, as the billing feed has it.
    RefundOwed = "refund_owed";
    /// A part of a budget's limit was passed.
    BudgetThresholdReached = "budget.threshold_reached";
    /// An execution ended well.
    ExecutionCompleted = "execution.completed";
    /// An execution failed.
    ExecutionFailed = "execution.failed";
    /// An execution was cancelled.
    ExecutionCancelled = "execution.cancelled";
}

impl Kind {
    /// Its number in columns: its place in [`Kind::ALL`].
    pub fn number(self) -> u8 {
        self as u8
    }

    /// The kind of that number.
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.get(usize::from(number)).copied()
    }

    /// The kinds of messages that an event leads to, in the order of [`Kind::ALL`].
    ///
    /// An ending without a run, of what was cancelled before its start for example, cost nothing and
    /// is no `run_cost`.
    pub fn of(event: &Event) -> &'static [Self] {
        match event {
            Event::Execution(event) => {
                let cost = event.report().is_some();
                match event {
                    ExecutionEvent::Completed(_) => &[Self::RunCost, Self::ExecutionCompleted],
                    ExecutionEvent::Failed(_) if cost => &[Self::RunCost, Self::ExecutionFailed],
                    ExecutionEvent::Failed(_) => &[Self::ExecutionFailed],
                    ExecutionEvent::Cancelled(_) if cost => {
                        &[Self::RunCost, Self::ExecutionCancelled]
                    }
                    ExecutionEvent::Cancelled(_) => &[Self::ExecutionCancelled],
                    ExecutionEvent::CostCorrected(_) => &[Self::CostCorrected],
                    _ => &[],
                }
            }
            Event::Payment(PaymentEvent::Settled(_)) => &[Self::PaymentSettled],
            Event::Payment(PaymentEvent::RefundOwed(_)) => &[Self::RefundOwed],
            Event::Budget(BudgetEvent::ThresholdReached(_)) => &[Self::BudgetThresholdReached],
            _ => &[],
        }
    }

    /// Whether events of a type, as it is stored, can lead to messages: told without reading them.
    pub fn may_follow(type_name: &str) -> bool {
        matches!(
            type_name,
            "execution.completed"
                | "execution.failed"
                | "execution.cancelled"
                | "execution.cost_corrected"
                | "payment.settled"
                | "payment.refund_owed"
                | "budget.threshold_reached"
        )
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A text is no kind of message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no such kind of message")]
pub struct UnknownKind;

impl FromStr for Kind {
    type Err = UnknownKind;

    fn from_str(text: &str) -> Result<Self, UnknownKind> {
        Self::ALL.iter().copied().find(|kind| kind.as_str() == text).ok_or(UnknownKind)
    }
}

/// A message: an event told as one kind. The same to every webhook that it is told to.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    schemars::JsonSchema,
)]
pub struct Message {
    /// The event that it tells of.
    pub event_id: EventId,
    /// What it tells.
    pub kind: Kind,
}

impl Message {
    /// The id under which it is sent, however often that is: what receivers know it again by.
    pub fn id(self) -> String {
        format!("msg_{}_{}", self.event_id.0.simple(), self.kind.as_str().replace('.', "_"))
    }
}
