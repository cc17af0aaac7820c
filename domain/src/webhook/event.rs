//! The facts of a webhook.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::ids::EventId;

/// What a webhook is to be told, and where.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Settings {
    /// What people call it.
    pub name: String,
    /// Where it is told: an address of HTTPS, or of HTTP where the ledger's settings allow it.
    pub url: String,
    /// The kinds of messages that it gets.
    pub kinds: BTreeSet<String>,
    /// Whether it is told at all.
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
}

/// The webhook is told nothing any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct WebhookDeleted {}

/// The webhook took a message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Delivered {
    /// The event that it was told of.
    pub event_id: EventId,
    /// The kind of the message.
    pub kind: String,
    /// How often it was tried.
    pub attempts: u32,
    /// The status that it answered.
    pub status: u16,
}

/// The webhook did not take a message and it is not tried any more, until somebody has it redriven.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct DeadLettered {
    /// The event that it was to be told of.
    pub event_id: EventId,
    /// The kind of the message.
    pub kind: String,
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
    /// The event that it tells of.
    pub event_id: EventId,
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
