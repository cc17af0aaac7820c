//! The facts of a webhook.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::message::{Kind, Message};
use crate::time::Timestamp;

/// What a webhook is to be told, and where.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Settings {
    /// What people call it.
    pub name: String,
    /// Where it is told: an address of HTTPS, or of HTTP where the ledger's settings allow it.
    pub url: String,
    /// The kinds of messages that it gets.
    pub kinds: BTreeSet<Kind>,
    /// Whether it is told at all. What happens while it is not is never told later.
    pub enabled: bool,
}

/// A webhook was registered. Its secret is derived, was shown once and is kept nowhere.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct WebhookRegistered {
    /// What it is told, and where.
    pub settings: Settings,
}

/// What the webhook is told, or where, is otherwise from now on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct WebhookChanged {
    /// As it is now.
    pub settings: Settings,
}

/// The webhook has a new secret from now on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct SecretRotated {
    /// Which secret it is, counted from 1 at the registration.
    pub generation: u32,
    /// Until then messages are signed with the secret before it too.
    pub previous_until: Timestamp,
}

/// The webhook is told nothing any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct WebhookDeleted {}

/// The webhook took a message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Delivered {
    /// Which message.
    #[serde(flatten)]
    pub message: Message,
    /// How often it was tried.
    pub attempts: u32,
    /// The status that it answered.
    pub status: u16,
}

/// The webhook did not take a message and it is not tried any more, until somebody has it redriven.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct DeadLettered {
    /// Which message.
    #[serde(flatten)]
    pub message: Message,
    /// How often it was tried.
    pub attempts: u32,
    /// The last status that it answered, where it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// What was wrong the last time: a stable code.
    pub reason: String,
}

/// A message that was given up is tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Redriven {
    /// Which message.
    #[serde(flatten)]
    pub message: Message,
}

/// A fact of a webhook.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WebhookEvent {
    /// `webhook.registered`
    WebhookRegistered(Box<WebhookRegistered>),
    /// `webhook.changed`
    WebhookChanged(Box<WebhookChanged>),
    /// `webhook.secret_rotated`
    SecretRotated(SecretRotated),
    /// `webhook.deleted`
    WebhookDeleted(WebhookDeleted),
    /// `webhook.delivered`
    Delivered(Delivered),
    /// `webhook.dead_lettered`
    DeadLettered(DeadLettered),
    /// `webhook.redriven`
    Redriven(Redriven),
}
