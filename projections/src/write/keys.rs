//! Keys: what was issued, and what was revoked since. Of a secret there is its digest alone.

use execution_ledger_domain::key::{Issued, KeyEvent};
use execution_ledger_domain::wire::Event;
use execution_ledger_domain::{AgentName, Timestamp};
use execution_ledger_store::Recorded;
use serde::{Deserialize, Serialize};

use super::versions::{After, Facets, Versioned, versions_indexes, versions_tables};

/// Keys as versioned things.
pub(crate) struct Keys;

/// A version of a key.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct KeyVersion {
    /// What was issued.
    pub issued: Issued,
    /// When.
    pub issued_at: Timestamp,
    /// When it was revoked, if it was.
    pub revoked_at: Option<Timestamp>,
}

impl Versioned for Keys {
    const NAME: &'static str = "keys";
    const VERSION: u32 = 1;
    const TABLES: &'static str = versions_tables!("keys");
    const INDEXES: &'static str = versions_indexes!("keys");
    type State = KeyVersion;

    fn is_about(event: &Event) -> bool {
        matches!(event, Event::Key(_))
    }

    fn after(before: Option<&KeyVersion>, event: &Event, recorded: &Recorded) -> After<KeyVersion> {
        let Event::Key(event) = event else { return After::Same };
        let at = recorded.recorded_at;
        match (before, event) {
            (None, KeyEvent::Issued(issued)) => After::Now(KeyVersion {
                issued: issued.as_ref().clone(),
                issued_at: at,
                revoked_at: None,
            }),
            (Some(key), KeyEvent::Revoked(_)) if key.revoked_at.is_none() => {
                After::Now(KeyVersion { revoked_at: Some(at), ..key.clone() })
            }
            (_, KeyEvent::Issued(_) | KeyEvent::Revoked(_)) => After::Same,
        }
    }

    fn facets(key: &KeyVersion) -> Facets<'_> {
        Facets {
            user: Some(key.issued.user.as_str()),
            agent: key.issued.agent.as_ref().map(AgentName::as_str),
            kind: Some(key.issued.role.as_str()),
            active: key.revoked_at.is_none(),
        }
    }
}
