//! A webhook: an address that is told of facts, signed, until it has answered.
//!
//! Which facts it is owed follows from the log alone: those of its kinds that were recorded while it
//! was enabled. Its stream says what has become of each of them.

mod check;
mod decide;
mod event;
mod message;

pub use check::WebhookFieldError;
pub use decide::{Active, Command, Rejection, Webhook};
pub use event::{
    DeadLettered, Delivered, Redriven, SecretRotated, Settings as WebhookSettings, WebhookChanged,
    WebhookDeleted, WebhookEvent, WebhookRegistered,
};
pub use message::{Kind, Message};

#[cfg(test)]
mod tests;
