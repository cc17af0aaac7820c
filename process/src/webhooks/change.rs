//! Registering, changing, rotating, redriving and testing webhooks.

use std::collections::BTreeSet;
use std::time::Instant;

use execution_ledger_domain::limits::webhook as limit;
use execution_ledger_domain::webhook::{
    Command, Kind, Message, Webhook, WebhookFieldError, WebhookSettings,
};
use execution_ledger_domain::{Caller, EventId, StreamName, WebhookId};
use execution_ledger_store::{Context, Position};
use uuid::Uuid;

use super::book::Line;
use super::send::{Letter, Tried};
use super::sign::{Secret, seconds};
use super::{WebhookError, Webhooks, message, story};
use crate::redact::{Redactor, SECRET_IN_NAME};
use crate::tasks::Request;

/// A webhook that has a secret which its caller has not seen before. It is shown once.
#[derive(Clone, PartialEq, Eq)]
pub struct Registered {
    /// The webhook.
    pub id: WebhookId,
    /// Its secret, as Standard Webhooks writes it: `whsec_…`.
    pub secret: String,
    /// Position of the event.
    pub position: Position,
}

/// Settings of a webhook that are to be others; what is absent stays.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Change {
    /// What people call it.
    pub name: Option<String>,
    /// Where it is told.
    pub url: Option<String>,
    /// The kinds of messages that it gets.
    pub kinds: Option<BTreeSet<Kind>>,
    /// Whether it is told at all.
    pub enabled: Option<bool>,
}

/// What came of a test message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tested {
    /// The message's id.
    pub message_id: String,
    /// What came of it.
    pub tried: Tried,
    /// How long it took, in milliseconds.
    pub duration_ms: u64,
}

impl Webhooks {
    /// Registers a webhook.
    ///
    /// # Errors
    /// [`WebhookError`] says which field can't be, or that there are too many.
    pub async fn register(
        &self,
        caller: &Caller,
        settings: WebhookSettings,
        request: &Request,
    ) -> Result<Registered, WebhookError> {
        if self.book().count() >= limit::WEBHOOKS_MAX {
            return Err(WebhookError::TooMany(limit::WEBHOOKS_MAX));
        }
        self.check(&settings)?;
        let id = WebhookId(Uuid::now_v7());
        let (stream, context) = (StreamName::webhook(id), context(caller, id, request));
        let command = Command::Register(Box::new(settings));
        let done = self.0.ledger.execute_new::<Webhook>(&stream, command, &[], &context).await?;
        if let Some(head) = done.head {
            self.book().insert(id, Line::new(done.state, head));
        }
        let secret = Secret::of(&self.0.secret, id, 1).reveal();
        Ok(Registered { id, secret, position: done.position })
    }

    /// Changes a webhook's settings.
    ///
    /// # Errors
    /// As [`Webhooks::register`], and [`WebhookError::NotFound`].
    pub async fn change(
        &self,
        caller: &Caller,
        id: WebhookId,
        change: Change,
        request: &Request,
    ) -> Result<Position, WebhookError> {
        let mut settings = self.settings(id)?;
        let Change { name, url, kinds, enabled } = change;
        settings.name = name.unwrap_or(settings.name);
        settings.url = url.unwrap_or(settings.url);
        settings.kinds = kinds.unwrap_or(settings.kinds);
        settings.enabled = enabled.unwrap_or(settings.enabled);
        self.check(&settings)?;
        self.give(caller, id, Command::Change(Box::new(settings)), request).await
    }

    /// Tells a webhook nothing any more.
    ///
    /// # Errors
    /// [`WebhookError::NotFound`].
    pub async fn delete(
        &self,
        caller: &Caller,
        id: WebhookId,
        request: &Request,
    ) -> Result<Position, WebhookError> {
        self.give(caller, id, Command::Delete, request).await
    }

    /// Gives a webhook another secret. The one before signs too for a day.
    ///
    /// # Errors
    /// [`WebhookError::NotFound`].
    pub async fn rotate(
        &self,
        caller: &Caller,
        id: WebhookId,
        request: &Request,
    ) -> Result<Registered, WebhookError> {
        let command = Command::Rotate { now: self.now() };
        let done = self.command(id, command, &context(caller, id, request)).await?;
        let active = done.state.active().ok_or(WebhookError::NotFound)?;
        let secret = Secret::of(&self.0.secret, id, active.generation).reveal();
        Ok(Registered { id, secret, position: done.position })
    }

    /// Has messages that were given up tried again: one, or all of them. Answers how many they are.
    ///
    /// # Errors
    /// [`WebhookError::NotDead`] where that one was not given up.
    pub async fn redrive(
        &self,
        caller: &Caller,
        id: WebhookId,
        which: Option<Message>,
        request: &Request,
    ) -> Result<(usize, Position), WebhookError> {
        let command = Command::Redrive(which);
        let done = self.command(id, command, &context(caller, id, request)).await?;
        Ok((done.events.len(), done.position))
    }

    /// Sends a message that tells of nothing, now and once, also to a webhook that is not enabled.
    /// Nothing is recorded of it.
    ///
    /// # Errors
    /// [`WebhookError::Busy`] where too many such messages are under way.
    pub async fn test(&self, id: WebhookId) -> Result<Tested, WebhookError> {
        let _permit = self.0.tests.try_acquire().map_err(|_| WebhookError::Busy)?;
        let url = self.settings(id)?.url;
        let (now, event_id) = (self.now(), EventId(Uuid::now_v7()));
        let message_id = format!("msg_{}_webhook_test", event_id.0.simple());
        let body = message::test(id, event_id, now);
        let at_s = seconds(now);
        let signatures = self.signatures(id, &message_id, at_s, &body);
        let began = Instant::now();
        let letter = Letter { url: &url, id: &message_id, at_s, signatures, body };
        let tried = self.0.sender.send(letter).await;
        let duration_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
        Ok(Tested { message_id, tried, duration_ms })
    }

    fn settings(&self, id: WebhookId) -> Result<WebhookSettings, WebhookError> {
        let book = self.book();
        let active = book.line(id).and_then(|line| line.state.active());
        active.map(|active| active.settings.clone()).ok_or(WebhookError::NotFound)
    }

    /// The signatures of a message, by each secret that holds at that moment.
    pub(super) fn signatures(
        &self,
        id: WebhookId,
        message: &str,
        at_s: i64,
        body: &[u8],
    ) -> String {
        let now = self.now();
        let generations: Vec<u32> = {
            let book = self.book();
            let active = book.line(id).and_then(|line| line.state.active());
            active.map(|active| active.generations(now).collect()).unwrap_or_default()
        };
        let sign =
            |generation| Secret::of(&self.0.secret, id, generation).sign(message, at_s, body);
        generations.into_iter().map(sign).collect::<Vec<_>>().join(" ")
    }

    async fn give(
        &self,
        caller: &Caller,
        id: WebhookId,
        command: Command,
        request: &Request,
    ) -> Result<Position, WebhookError> {
        Ok(self.command(id, command, &context(caller, id, request)).await?.position)
    }

    /// What the domain can't check: the address, and what looks like a secret.
    fn check(&self, settings: &WebhookSettings) -> Result<(), WebhookError> {
        settings.check()?;
        let refused = |field, problem: String| WebhookFieldError { field, problem };
        if Redactor::global().finds_secret(&settings.name) {
            return Err(refused("name", SECRET_IN_NAME.to_owned()).into());
        }
        let url = self.0.sender.check(&settings.url);
        url.map_err(|error| refused("url", error.to_string()))?;
        if Redactor::global().finds_secret(&settings.url) {
            let problem = "it holds what looks like a key or a password, and would be stored: \
                           messages are signed instead";
            return Err(refused("url", problem.to_owned()).into());
        }
        Ok(())
    }
}

/// What a caller does with a webhook.
fn context(caller: &Caller, id: WebhookId, request: &Request) -> Context {
    Context {
        actor: caller.actor.clone(),
        correlation_id: Some(story(id)),
        causation_id: Some(request.id.clone()),
        traceparent: request.traceparent.clone(),
    }
}
