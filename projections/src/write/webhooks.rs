//! Webhooks: what they are told and where. Their secrets are derived and stand nowhere.

use execution_ledger_domain::Timestamp;
use execution_ledger_domain::webhook::{WebhookEvent, WebhookSettings};
use execution_ledger_domain::wire::Event;
use execution_ledger_store::Recorded;
use serde::{Deserialize, Serialize};

use super::versions::{After, Facets, Versioned, versions_indexes, versions_tables};

/// Webhooks as versioned things.
pub(crate) struct Webhooks;

/// A version of a webhook.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct WebhookVersion {
    /// What it is told, and where.
    pub settings: WebhookSettings,
    /// Which secret it has.
    pub generation: u32,
    /// Until when the secret before it signs too.
    pub previous_until: Option<Timestamp>,
    /// Whether it is gone.
    pub deleted: bool,
    /// When it was registered.
    pub created_at: Timestamp,
    /// When this version began.
    pub changed_at: Timestamp,
}

/// What a webhook is found by: whether it is told anything.
pub(crate) fn kind(enabled: bool) -> &'static str {
    if enabled { "enabled" } else { "disabled" }
}

impl Versioned for Webhooks {
    const NAME: &'static str = "webhooks";
    const VERSION: u32 = 1;
    const TABLES: &'static str = versions_tables!("webhooks");
    const INDEXES: &'static str = versions_indexes!("webhooks");
    type State = WebhookVersion;

    fn is_about(event: &Event) -> bool {
        use WebhookEvent as E;
        matches!(
            event,
            Event::Webhook(
                E::WebhookRegistered(_)
                    | E::WebhookChanged(_)
                    | E::SecretRotated(_)
                    | E::WebhookDeleted(_)
            )
        )
    }

    fn after(
        before: Option<&WebhookVersion>,
        event: &Event,
        recorded: &Recorded,
    ) -> After<WebhookVersion> {
        let Event::Webhook(event) = event else { return After::Same };
        let changed_at = recorded.recorded_at;
        if let (None, WebhookEvent::WebhookRegistered(registered)) = (before, event) {
            return After::Now(WebhookVersion {
                settings: registered.settings.clone(),
                generation: 1,
                previous_until: None,
                deleted: false,
                created_at: changed_at,
                changed_at,
            });
        }
        let Some(before) = before.filter(|version| !version.deleted) else { return After::Same };
        let mut version = WebhookVersion { changed_at, ..before.clone() };
        match event {
            WebhookEvent::WebhookChanged(changed) => version.settings = changed.settings.clone(),
            WebhookEvent::SecretRotated(rotated) => {
                version.generation = rotated.generation;
                version.previous_until = Some(rotated.previous_until);
            }
            WebhookEvent::WebhookDeleted(_) => version.deleted = true,
            WebhookEvent::WebhookRegistered(_)
            | WebhookEvent::Delivered(_)
            | WebhookEvent::DeadLettered(_)
            | WebhookEvent::Redriven(_) => return After::Same,
        }
        After::Now(version)
    }

    fn facets(version: &WebhookVersion) -> Facets<'_> {
        Facets {
            kind: Some(kind(version.settings.enabled)),
            active: !version.deleted,
            ..Facets::default()
        }
    }
}
