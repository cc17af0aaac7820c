//! Moments of a log: its end, a position, a time.

use std::str::FromStr;
use std::sync::Arc;

use execution_ledger_domain::Timestamp;
use execution_ledger_store::{EventStore, LogPosition, Position, PositionError, StoreError};

/// A moment, as people name it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Moment {
    /// Up to and including the event at this position.
    Position(LogPosition),
    /// Up to and including the last event that was recorded at this time or before.
    Time(Timestamp),
}

/// Why a log has no such moment.
#[derive(Debug, thiserror::Error)]
pub enum MomentError {
    /// The position belongs to another log.
    #[error(transparent)]
    OtherLog(#[from] PositionError),
    /// The log has not come so far.
    #[error("the log ends at {head}, before {asked}")]
    Beyond {
        /// The log's end.
        head: String,
        /// What was asked for.
        asked: String,
    },
    /// The log can't be read.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl FromStr for Moment {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Ok(position) = text.parse() {
            return Ok(Self::Position(position));
        }
        text.parse().map(Self::Time).map_err(|_| {
            "a moment is a position that this ledger gave out, or a time as in 2026-11-01T00:00:00Z"
        })
    }
}

impl Moment {
    /// Its position in a log. A time after the last event is the log's end.
    ///
    /// # Errors
    /// [`MomentError`].
    pub async fn position(&self, store: &Arc<dyn EventStore>) -> Result<Position, MomentError> {
        let head = store.head().await?;
        match self {
            Self::Position(at) => {
                let position = LogPosition::parse_for(store.log_id(), &at.to_string())?;
                if position > head {
                    let head = LogPosition { log: at.log.clone(), position: head }.to_string();
                    return Err(MomentError::Beyond { head, asked: at.to_string() });
                }
                Ok(position)
            }
            Self::Time(time) => Ok(store.position_at(*time, head).await?),
        }
    }
}
