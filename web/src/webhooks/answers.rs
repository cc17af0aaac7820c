//! Webhooks as the interface answers them.

#![expect(clippy::struct_field_names, reason = "the interface's own names")]

use serde::Deserialize;

/// A page of webhooks.
#[derive(Deserialize)]
pub(super) struct WebhookList {
    pub webhooks: Vec<Webhook>,
    pub next_cursor: Option<String>,
}

/// A webhook, without its secret.
#[derive(Deserialize)]
pub(super) struct Webhook {
    pub webhook_id: String,
    pub name: String,
    pub url: String,
    pub kinds: Vec<String>,
    pub enabled: bool,
    pub secret_generation: u32,
    pub previous_secret_until: Option<String>,
    pub created_at: String,
    pub changed_at: String,
    /// Nothing in an answer as of another moment; pages ask for now alone.
    pub health: Option<Health>,
}

impl Webhook {
    /// Its page.
    pub fn address(&self) -> String {
        format!("/webhooks/{}", self.webhook_id)
    }
}

/// How a webhook stands.
#[derive(Deserialize)]
pub(super) struct Health {
    pub pending: u64,
    pub oldest_pending_at: Option<String>,
    pub dead: u64,
    pub failures: u32,
    pub failing_since: Option<String>,
    pub last_attempt_at: Option<String>,
    pub last_status: Option<u16>,
    pub last_reason: Option<String>,
    pub next_attempt_at: Option<String>,
}

/// A webhook with a secret that was not shown before.
#[derive(Deserialize)]
pub(super) struct Secret {
    pub secret: String,
    pub webhook_id: String,
    pub name: String,
}

/// A page of messages.
#[derive(Deserialize)]
pub(super) struct DeliveryList {
    pub deliveries: Vec<Delivery>,
    pub next_cursor: Option<String>,
}

/// A message to a webhook.
#[derive(Deserialize)]
pub(super) struct Delivery {
    pub message_id: String,
    pub event_id: String,
    pub kind: String,
    pub state: String,
    pub since: String,
    pub attempts: Option<u32>,
    pub status: Option<u16>,
    pub reason: Option<String>,
    pub position: String,
}

/// What is tried again.
#[derive(Deserialize)]
pub(super) struct Redriven {
    pub redriven: u64,
    pub position: String,
}

/// What a change led to.
#[derive(Deserialize)]
pub(super) struct Changed {
    pub position: String,
}

/// What came of a test message.
#[derive(Deserialize)]
pub(super) struct Tested {
    pub taken: bool,
    pub status: Option<u16>,
    pub reason: Option<String>,
    pub duration_ms: u64,
}
