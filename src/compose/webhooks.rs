//! From the read models to what the sender of webhooks needs of them.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use execution_ledger_domain::billing::BillingRow;
use execution_ledger_domain::webhook::Kind;
use execution_ledger_domain::{Scope, WebhookId};
use execution_ledger_process::run_token::LedgerSecret;
use execution_ledger_process::webhooks::{
    Allowed, LoadedWebhook, Network, Outbox, Owed, Webhooks, WebhooksError,
};
use execution_ledger_projections::{At, QueryError, Views};
use execution_ledger_store::{EventStore, Ledger, Position, StoreError};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::ServeError;
use crate::config::Settings;

/// How long messages that are on their way may take at the end: longer than an attempt may.
const SENDER_STOP: Duration = Duration::from_secs(20);
/// How long the read models may take to see what a webhook may be told of.
const SEEN_WAIT: Duration = Duration::from_secs(5);

/// What the read models know of what webhooks are owed.
struct FromViews(Views);

#[async_trait]
impl Outbox for FromViews {
    async fn owed(
        &self,
        webhook: WebhookId,
        after: Option<(Position, Kind)>,
        limit: usize,
        seen: Position,
    ) -> Result<Vec<Owed>, StoreError> {
        let behind = |error: &dyn std::fmt::Display| StoreError::Fault(error.to_string());
        self.0.wait_for(seen, SEEN_WAIT).await.map_err(|error| behind(&error))?;
        let rows = self.0.webhook_owed(webhook, after, limit).await.map_err(unread)?;
        let owed = |row: execution_ledger_projections::OwedRow| Owed {
            message: row.message,
            position: row.position,
        };
        Ok(rows.into_iter().map(owed).collect())
    }

    async fn billing_row(&self, at: Position) -> Result<Option<BillingRow>, StoreError> {
        let before = Position::new(at.number().saturating_sub(1));
        let page = self.0.billing(&Scope::All, At::Now, before, 1).await.map_err(unread)?;
        Ok(page.value.rows.into_iter().next())
    }
}

fn unread(error: QueryError) -> StoreError {
    match error {
        QueryError::Store(fault) => fault,
        other => StoreError::Fault(other.to_string()),
    }
}

/// The sender of webhooks at work.
pub struct Sender {
    /// What callers can do with webhooks.
    pub webhooks: Webhooks,
    stop: watch::Sender<bool>,
    task: JoinHandle<Result<(), WebhooksError>>,
}

impl Sender {
    /// Goes on with the webhooks where the read models are; sends nothing where another node does.
    pub async fn start(
        views: &Views,
        store: &Arc<dyn EventStore>,
        ledger: Ledger,
        secret: LedgerSecret,
        settings: &Settings,
        sends: bool,
    ) -> Result<Self, ServeError> {
        let failed =
            |error: &dyn std::fmt::Display| ServeError::Part(format!("the webhooks: {error}"));
        let (position, heads) = views.webhook_work().await.map_err(|error| failed(&error))?;
        let loaded = heads.into_iter().map(|head| LoadedWebhook {
            id: head.id,
            state: head.state,
            head: head.head,
        });
        let networks = settings
            .webhooks_allow_private
            .entries()
            .iter()
            .map(|network| Network { address: network.0.addr(), prefix: network.0.prefix_len() });
        let webhooks = Webhooks::new(
            ledger,
            Arc::new(FromViews(views.clone())),
            secret,
            Allowed::with(networks.collect()),
            loaded.collect(),
        );
        let log = store.subscribe(position).await.map_err(|error| failed(&error))?;
        let (stop, stopped) = watch::channel(false);
        let running = webhooks.clone();
        let task =
            tokio::spawn(
                async move { if sends { running.run(log, stopped).await } else { Ok(()) } },
            );
        Ok(Self { webhooks, stop, task })
    }

    /// Waits until it ends although nobody stopped it: then nobody would be told anything any more, and
    /// a supervising system should know.
    pub async fn ended(&mut self) -> ServeError {
        let why = match (&mut self.task).await {
            Ok(Err(error)) => error.to_string(),
            Err(panic) => panic.to_string(),
            Ok(Ok(())) => "the event log has ended".to_owned(),
        };
        ServeError::Part(format!("the sender of webhooks: {why}"))
    }

    /// Stops it once what is on its way has been tried.
    pub async fn stop(self) {
        self.stop.send_replace(true);
        if tokio::time::timeout(SENDER_STOP, self.task).await.is_err() {
            tracing::warn!(
                "some messages were still on their way; the next start sends them again"
            );
        }
    }
}
