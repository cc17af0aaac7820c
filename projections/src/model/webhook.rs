//! Webhooks as they are told.

use execution_ledger_domain::webhook::{Message, Webhook, WebhookSettings};
use execution_ledger_domain::{Timestamp, WebhookId};
use execution_ledger_store::{Position, StreamHead};

/// A webhook.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebhookRow {
    /// Its id.
    pub id: WebhookId,
    /// What it is told, and where.
    pub settings: WebhookSettings,
    /// Which secret it has, counted from 1.
    pub generation: u32,
    /// Until when messages are signed with the secret before it too.
    pub previous_until: Option<Timestamp>,
    /// When it was registered.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub changed_at: Timestamp,
    /// Position of that change.
    pub position: Position,
}

/// What has become of a message to a webhook.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeliveryState {
    /// It is owed.
    Pending,
    /// The webhook took it.
    Delivered,
    /// It was given up.
    Dead,
}

impl DeliveryState {
    /// All of them, in the order of their numbers in columns.
    pub const ALL: [Self; 3] = [Self::Pending, Self::Delivered, Self::Dead];

    /// Its name in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Delivered => "delivered",
            Self::Dead => "dead",
        }
    }

    pub(crate) fn number(self) -> u8 {
        self as u8
    }

    pub(crate) fn from_number(number: u8) -> Option<Self> {
        Self::ALL.get(usize::from(number)).copied()
    }
}

/// A message to a webhook.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeliveryRow {
    /// Which message.
    pub message: Message,
    /// Position of the event that it tells of.
    pub position: Position,
    /// What has become of it.
    pub state: DeliveryState,
    /// Since when: of a pending one when the event was recorded, or the message was redriven.
    pub since: Timestamp,
    /// How often it was tried; absent while it is pending.
    pub attempts: Option<u32>,
    /// The status that was answered last, where one was.
    pub status: Option<u16>,
    /// Why it was given up.
    pub reason: Option<String>,
}

/// A message that a webhook is owed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OwedRow {
    /// Which message.
    pub message: Message,
    /// Position of the event that it tells of.
    pub position: Position,
    /// Since when it is owed.
    pub since: Timestamp,
}

/// How a webhook stands now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backlog {
    /// Messages that it is owed; counted up to a limit.
    pub pending: u64,
    /// Since when the oldest of them is owed.
    pub oldest: Option<Timestamp>,
    /// Messages that were given up.
    pub dead: u64,
}

/// Where the sender of messages goes on with a webhook.
#[derive(Clone, Debug)]
pub struct WebhookHead {
    /// The webhook.
    pub id: WebhookId,
    /// Its state after the last event of its stream.
    pub state: Webhook,
    /// That event.
    pub head: StreamHead,
}
