//! Which log this is: a stream of the adapter's own says it.

use eventstore::EventData;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::Shared;
use super::import;
use super::reading::From;
use crate::port::{AppendError, LogId, Position, StoreError};

/// Type of the adapter's own event that names a log.
pub(super) const LOG_BEGUN: &str = "log.begun";
/// Random bytes of a log's id.
const LOG_ID_BYTES: usize = 8;

/// What names a log, in its own stream.
#[derive(Serialize, Deserialize)]
pub(super) struct LogBegun {
    pub(super) log: String,
}

impl LogBegun {
    /// A new log.
    pub(super) fn draw() -> Result<Self, StoreError> {
        let mut drawn = [0_u8; LOG_ID_BYTES];
        getrandom::fill(&mut drawn)
            .map_err(|error| StoreError::Fault(format!("no random bytes: {error}")))?;
        Ok(Self { log: format!("{:016x}", u64::from_be_bytes(drawn)) })
    }
}

impl Shared {
    /// Which log this is, and where it begins.
    pub(super) async fn identity(&self, read_only: bool) -> Result<(LogId, Position), StoreError> {
        let name = self.prefix.identity_stream();
        if let Some(known) = self.known_identity(&name).await? {
            return Ok(known);
        }
        if read_only {
            let fault = format!("there is no log with the prefix {} on it", self.prefix);
            return Err(StoreError::Fault(fault));
        }
        let begun = LogBegun::draw()?;
        let id = Uuid::now_v7();
        let event =
            |_| EventData::json(LOG_BEGUN, &begun).map(|event| event.id(id)).into_iter().collect();
        match self.append_first(name.clone(), id, &event).await {
            // Another node was first: then it is that log.
            Ok(()) | Err(AppendError::WrongExpectedRevision { .. }) => {}
            Err(AppendError::Store(fault)) => return Err(fault),
            Err(other) => return Err(StoreError::Fault(other.to_string())),
        }
        let known = self.known_identity(&name).await?;
        known.ok_or_else(|| StoreError::Fault(format!("{name} can't be read back")))
    }

    pub(super) async fn known_identity(
        &self,
        name: &str,
    ) -> Result<Option<(LogId, Position)>, StoreError> {
        let first = self.events_of(name, From::Revision(0), 1).await?;
        let last = self.events_of(name, From::End, 1).await?;
        let (Some(first), Some(last)) = (first.first(), last.first()) else { return Ok(None) };
        let odd = |problem: &dyn std::fmt::Display| StoreError::Fault(format!("{name}: {problem}"));
        if last.event_type == import::LOG_FILLING {
            return Err(odd(
                &"an import into this log did not end: repeat it, or take another prefix",
            ));
        }
        let begun: LogBegun = last.as_json().map_err(|error| odd(&error))?;
        let log_id = LogId::new(&begun.log).map_err(|error| odd(&error))?;
        Ok(Some((log_id, Position::new(first.position.commit))))
    }
}
