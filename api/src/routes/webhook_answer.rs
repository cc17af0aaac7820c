//! Webhooks as callers read them.

use std::collections::BTreeSet;

use execution_ledger_domain::webhook::Kind;
use execution_ledger_domain::{EventId, Timestamp, WebhookId};
use execution_ledger_process::webhooks::{Fault, LastTry};
use execution_ledger_projections::{At, DeliveryRow, WebhookRow};
use serde::Serialize;
use utoipa::ToSchema;

use crate::problem::Problem;
use crate::state::App;

/// A webhook, without its secret.
#[derive(Serialize, ToSchema)]
pub(super) struct WebhookAnswer {
    #[schema(value_type = String, format = Uuid)]
    webhook_id: WebhookId,
    name: String,
    /// Where it is told.
    url: String,
    /// The kinds of messages that it gets.
    #[schema(value_type = Vec<String>)]
    kinds: BTreeSet<Kind>,
    /// Whether it is told at all.
    enabled: bool,
    /// Which secret it has, counted from 1.
    secret_generation: u32,
    /// Until when messages are signed with the secret before it too; null where there is none.
    #[schema(value_type = Option<String>, format = DateTime)]
    previous_secret_until: Option<Timestamp>,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    /// When it was last changed.
    #[schema(value_type = String, format = DateTime)]
    changed_at: Timestamp,
    /// Position of that change.
    position: String,
    /// How it stands; null in answers as of another moment.
    health: Option<WebhookHealth>,
}

/// How a webhook stands now.
#[derive(Serialize, ToSchema)]
pub(super) struct WebhookHealth {
    /// Messages that it is owed; counted up to 100,000.
    pending: u64,
    /// Since when the oldest of them is owed.
    #[schema(value_type = Option<String>, format = DateTime)]
    oldest_pending_at: Option<Timestamp>,
    /// Messages that were given up; 1,000 at most.
    dead: u64,
    /// Attempts in a row that failed, since the ledger was started.
    failures: u32,
    /// Since when they fail.
    #[schema(value_type = Option<String>, format = DateTime)]
    failing_since: Option<Timestamp>,
    /// When the last attempt was, since the ledger was started.
    #[schema(value_type = Option<String>, format = DateTime)]
    last_attempt_at: Option<Timestamp>,
    /// The status that it answered; null where none came.
    last_status: Option<u16>,
    /// What was wrong then; null where the message was taken.
    last_reason: Option<&'static str>,
    /// When a message is tried next.
    #[schema(value_type = Option<String>, format = DateTime)]
    next_attempt_at: Option<Timestamp>,
}

impl WebhookAnswer {
    pub(super) async fn of(app: &App, at: At, row: WebhookRow) -> Result<Self, Problem> {
        let health = match at {
            At::Now => Some(WebhookHealth::of(app, row.id).await?),
            At::Position(_) => None,
        };
        Ok(Self {
            webhook_id: row.id,
            name: row.settings.name,
            url: row.settings.url,
            kinds: row.settings.kinds,
            enabled: row.settings.enabled,
            secret_generation: row.generation,
            previous_secret_until: row.previous_until,
            created_at: row.created_at,
            changed_at: row.changed_at,
            position: app.position_text(row.position),
            health,
        })
    }
}

impl WebhookHealth {
    async fn of(app: &App, id: WebhookId) -> Result<Self, Problem> {
        let backlog = app.views().webhook_backlog(id).await?;
        let standing = app.webhooks().standing(id);
        let last: Option<LastTry> = standing.and_then(|standing| standing.last);
        Ok(Self {
            pending: backlog.pending,
            oldest_pending_at: backlog.oldest,
            dead: backlog.dead,
            failures: standing.map_or(0, |standing| standing.failures),
            failing_since: standing.and_then(|standing| standing.failing_since),
            last_attempt_at: last.map(|last| last.at),
            last_status: last.and_then(|last| last.status),
            last_reason: last.and_then(|last| last.reason).map(Fault::as_str),
            next_attempt_at: standing.and_then(|standing| standing.next_try),
        })
    }
}

/// A message to a webhook.
#[derive(Serialize, ToSchema)]
pub(super) struct DeliveryAnswer {
    /// The id under which it is sent, however often that is.
    message_id: String,
    /// The event that it tells of.
    #[schema(value_type = String, format = Uuid)]
    event_id: EventId,
    /// What it tells.
    #[schema(value_type = String)]
    kind: Kind,
    /// pending, delivered or dead.
    state: &'static str,
    /// Since when: of a pending one when the event was recorded, or the message was redriven.
    #[schema(value_type = String, format = DateTime)]
    since: Timestamp,
    /// How often it was tried since the ledger was started last before; null while it is pending.
    attempts: Option<u32>,
    /// The status that was answered last; null where none came.
    status: Option<u16>,
    /// Why it was given up: status, redirect, gone, timeout, connect_failed, address_refused,
    /// url_refused, broken or unreadable.
    reason: Option<String>,
    /// Position of the event that it tells of.
    position: String,
}

impl DeliveryAnswer {
    pub(super) fn of(app: &App, row: DeliveryRow) -> Self {
        Self {
            message_id: row.message.id(),
            event_id: row.message.event_id,
            kind: row.message.kind,
            state: row.state.as_str(),
            since: row.since,
            attempts: row.attempts,
            status: row.status,
            reason: row.reason,
            position: app.position_text(row.position),
        }
    }
}
