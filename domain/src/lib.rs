//! What an execution ledger is about, as pure functions over plain data: events, commands,
//! decisions, and the policy that decides what the process manager does next.
//!
//! There is no I/O here, no clock, no randomness and no async: time, ids and salts arrive in
//! commands, so every rule can be tested by *given events, when command, then events*.

pub mod access;
pub mod actor;
pub mod agent;
pub mod billing;
pub mod budget;
pub mod caller;
pub mod content;
pub mod erasure;
pub mod execution;
pub mod given;
pub mod ids;
pub mod key;
pub mod lease;
pub mod limits;
pub mod money;
pub mod notary;
pub mod payment;
pub mod policy;
pub mod schedule;
pub mod scope;
pub mod session;
pub mod stream;
pub mod time;
pub mod webhook;
pub mod wire;

pub use actor::{Actor, ActorKind};
pub use budget::BudgetScope;
pub use caller::{Caller, CallerRun, Right, Role};
pub use content::{Content, ContentRef, Digest};
pub use ids::{
    AgentName, BrowserId, ClaimId, EventId, ExecutionId, KeyId, NameError, NodeId, PaymentId,
    ScheduleId, SessionId, UserName, WebhookId,
};
pub use money::{MoneyError, NanoUsd};
pub use scope::Scope;
pub use stream::{Category, StreamName};
pub use time::Timestamp;
pub use wire::Event;

/// The rules of one kind of stream: how its state follows from its events, and which events
/// follow from a command.
pub trait Aggregate: Default {
    /// A fact of this kind of stream.
    type Event: Clone + Into<Event> + TryFrom<Event>;
    /// A wish that may be refused.
    type Command: Clone;
    /// Why a command was refused: a rule, never a fault.
    type Rejection: std::error::Error + Send + Sync + 'static;

    /// The state after one more event. Total: every stored event has a meaning in every state.
    #[must_use]
    fn evolve(self, event: &Self::Event) -> Self;

    /// The events that follow from `command`; an empty list means "already so".
    fn decide(&self, command: Self::Command) -> Result<Vec<Self::Event>, Self::Rejection>;
}
