//! A webhook: an address that is told of facts, signed, until it has answered.

mod event;

pub use event::{
    DeadLettered, Delivered, Redriven, SecretRotated, Settings as WebhookSettings, WebhookChanged,
    WebhookDeleted, WebhookEvent, WebhookRegistered,
};
