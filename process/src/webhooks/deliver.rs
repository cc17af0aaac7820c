//! One message on its way: what it says, the attempt, and what is recorded of it.

use std::time::Duration;

use execution_ledger_domain::webhook::{Command, DeadLettered, Delivered, Rejection};
use execution_ledger_domain::{Actor, WebhookId};
use execution_ledger_store::{Context, ExecuteError};

use super::book::{Flight, Load, WINDOW_MAX, later};
use super::schedule::{ATTEMPTS_MAX, wait};
use super::send::{Fault, Letter, Tried};
use super::sign::seconds;
use super::{Webhooks, message, story};
use crate::failpoint;

/// How long a message rests where the ledger itself could not do its part.
const REST_AFTER_FAULT: Duration = Duration::from_secs(1);

impl Webhooks {
    /// Reads what else a webhook is owed.
    pub(super) async fn load(&self, load: Load) {
        let Load { webhook, after, seen } = load;
        match self.0.outbox.owed(webhook, after, WINDOW_MAX, seen).await {
            Ok(rows) => self.book().loaded(load, &rows, WINDOW_MAX, self.now()),
            Err(error) => {
                tracing::warn!(%error, %webhook, "what a webhook is owed can't be read yet");
                tokio::time::sleep(REST_AFTER_FAULT).await;
                self.book().not_loaded(load);
            }
        }
    }

    /// Tries a message once, and records what came of it.
    pub(super) async fn deliver(&self, flight: Flight) {
        if let Some(status) = flight.taken {
            return self.record_taken(flight, status).await;
        }
        let store = self.0.ledger.store().as_ref();
        let body = match message::body(store, self.0.outbox.as_ref(), &flight.owed).await {
            Ok(Some(body)) => body,
            Ok(None) => return self.give_up(flight, None, Fault::Unreadable).await,
            Err(error) => {
                tracing::warn!(%error, webhook = %flight.webhook, "a message can't be made yet");
                return self.rest(flight);
            }
        };
        let Some(tried) = self.send(&flight, body).await else {
            return self.book().let_go(&flight);
        };
        self.book().tried(flight.webhook, tried, self.now());
        let result = if matches!(tried, Tried::Taken(_)) { "taken" } else { "failed" };
        metrics::counter!("ledger_webhook_attempts_total", "result" => result).increment(1);
        let flight = Flight { attempts: flight.attempts.saturating_add(1), ..flight };
        match tried {
            Tried::Taken(status) => {
                failpoint::reach("webhooks.taken");
                self.record_taken(flight, status).await;
            }
            Tried::Gone => {
                self.disable(flight.webhook).await;
                self.try_again(flight, Some(410), Fault::Gone).await;
            }
            Tried::Failed { status, reason } => self.try_again(flight, status, reason).await,
        }
    }

    /// Nothing where the webhook is gone.
    async fn send(&self, flight: &Flight, body: Vec<u8>) -> Option<Tried> {
        let url = {
            let book = self.book();
            let active = book.line(flight.webhook).and_then(|line| line.state.active());
            active.map(|active| active.settings.url.clone())?
        };
        let id = flight.owed.message.id();
        let at_s = seconds(self.now());
        let signatures = self.signatures(flight.webhook, &id, at_s, &body);
        let letter = Letter { url: &url, id: &id, at_s, signatures, body };
        Some(self.0.sender.send(letter).await)
    }

    async fn record_taken(&self, flight: Flight, status: u16) {
        let taken = Delivered { message: flight.owed.message, attempts: flight.attempts, status };
        match self.record(&flight, Command::Deliver(taken)).await {
            Ok(()) | Err(ExecuteError::Refused(_)) => self.book().let_go(&flight),
            // It was taken: only the record of it is tried again.
            Err(_) => self.rest(Flight { taken: Some(status), ..flight }),
        }
    }

    async fn try_again(&self, flight: Flight, status: Option<u16>, reason: Fault) {
        if flight.attempts >= ATTEMPTS_MAX {
            return self.give_up(flight, status, reason).await;
        }
        let due = later(self.now(), wait(flight.owed.message, flight.attempts));
        self.book().put_back(flight, due);
    }

    async fn give_up(&self, flight: Flight, status: Option<u16>, reason: Fault) {
        let message = flight.owed.message;
        let reason = reason.as_str().to_owned();
        let dead = DeadLettered { message, attempts: flight.attempts, status, reason };
        match self.record(&flight, Command::GiveUp(dead)).await {
            Ok(()) => {
                metrics::counter!("ledger_webhook_dead_letters_total").increment(1);
                self.book().let_go(&flight);
            }
            Err(ExecuteError::Refused(Rejection::DeadFull)) => {
                let due = later(self.now(), wait(message, ATTEMPTS_MAX));
                self.book().put_back(flight, due);
            }
            Err(ExecuteError::Refused(_)) => self.book().let_go(&flight),
            Err(_) => self.rest(flight),
        }
    }

    /// Its receiver said that it is gone for good: nothing more is sent until somebody enables it.
    async fn disable(&self, id: WebhookId) {
        let settings = {
            let book = self.book();
            let active = book.line(id).and_then(|line| line.state.active());
            active.map(|active| active.settings.clone())
        };
        let Some(mut settings) = settings else { return };
        settings.enabled = false;
        let change = Command::Change(Box::new(settings));
        match self.command(id, change, &context(id, None)).await {
            Ok(_) => tracing::warn!(webhook = %id, "its receiver answers 410: it is disabled"),
            Err(error) => tracing::warn!(%error, webhook = %id, "it can't be disabled yet"),
        }
    }

    async fn record(
        &self,
        flight: &Flight,
        command: Command,
    ) -> Result<(), ExecuteError<Rejection>> {
        let cause = flight.owed.message.event_id.to_string();
        let context = context(flight.webhook, Some(cause));
        let done = self.command(flight.webhook, command, &context).await;
        if let Err(error) = &done
            && !matches!(error, ExecuteError::Refused(_))
        {
            let webhook = flight.webhook;
            tracing::error!(%error, %webhook, "what came of a message can't be recorded yet");
        }
        done.map(|_| ())
    }

    fn rest(&self, flight: Flight) {
        let due = later(self.now(), REST_AFTER_FAULT);
        self.book().put_back(flight, due);
    }
}

/// What the ledger itself does with a webhook.
fn context(id: WebhookId, cause: Option<String>) -> Context {
    Context {
        actor: Actor::system("webhooks"),
        correlation_id: Some(story(id)),
        causation_id: cause,
        traceparent: None,
    }
}
