//! Schedules: their settings, and whether their ticks fire.

use execution_ledger_domain::schedule::{ScheduleEvent, Settings};
use execution_ledger_domain::wire::Event;
use execution_ledger_domain::{Timestamp, UserName};
use execution_ledger_store::Recorded;
use serde::{Deserialize, Serialize};

use super::versions::{After, Facets, Versioned, versions_indexes, versions_tables};

/// Schedules as versioned things.
pub(crate) struct Schedules;

/// A version of a schedule.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct ScheduleVersion {
    /// What it is to do, and when.
    pub settings: Settings,
    /// Revision of the event that holds the settings, with their texts.
    pub settings_revision: u64,
    /// The user that it belongs to.
    pub user: UserName,
    /// Whether its ticks fire.
    pub enabled: bool,
    /// Whether it is gone.
    pub deleted: bool,
    /// When it was made.
    pub created_at: Timestamp,
    /// When this version began.
    pub changed_at: Timestamp,
}

/// What a schedule is found by: whether its ticks fire.
pub(crate) fn kind(enabled: bool) -> &'static str {
    if enabled { "enabled" } else { "disabled" }
}

impl Versioned for Schedules {
    const NAME: &'static str = "schedules";
    const VERSION: u32 = 1;
    const TABLES: &'static str = versions_tables!("schedules");
    const INDEXES: &'static str = versions_indexes!("schedules");
    type State = ScheduleVersion;

    fn is_about(event: &Event) -> bool {
        use ScheduleEvent as E;
        matches!(
            event,
            Event::Schedule(
                E::Created(_) | E::Changed(_) | E::Enabled(_) | E::Disabled(_) | E::Deleted(_)
            )
        )
    }

    fn after(
        before: Option<&ScheduleVersion>,
        event: &Event,
        recorded: &Recorded,
    ) -> After<ScheduleVersion> {
        let Event::Schedule(event) = event else { return After::Same };
        let changed_at = recorded.recorded_at;
        if let (None, ScheduleEvent::Created(created)) = (before, event) {
            return After::Now(ScheduleVersion {
                settings: created.settings.clone(),
                settings_revision: recorded.revision,
                user: created.user.clone(),
                enabled: created.enabled,
                deleted: false,
                created_at: changed_at,
                changed_at,
            });
        }
        let Some(before) = before.filter(|version| !version.deleted) else { return After::Same };
        let mut version = ScheduleVersion { changed_at, ..before.clone() };
        match event {
            ScheduleEvent::Changed(changed) => {
                version.settings = changed.settings.clone();
                version.settings_revision = recorded.revision;
            }
            ScheduleEvent::Enabled(_) => version.enabled = true,
            ScheduleEvent::Disabled(_) => version.enabled = false,
            ScheduleEvent::Deleted(_) => version.deleted = true,
            ScheduleEvent::Created(_) | ScheduleEvent::Fired(_) | ScheduleEvent::Skipped(_) => {
                return After::Same;
            }
        }
        After::Now(version)
    }

    fn facets(version: &ScheduleVersion) -> Facets<'_> {
        Facets {
            user: Some(version.user.as_str()),
            agent: Some(version.settings.agent.as_str()),
            kind: Some(kind(version.enabled)),
            active: !version.deleted,
        }
    }
}
