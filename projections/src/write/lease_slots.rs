//! Which node took a slot for which execution that has not ended: what a node that starts must count.

use execution_ledger_domain::lease::LeaseEvent;
use execution_ledger_domain::wire::Event;
use rusqlite::{Connection, params};

use super::projection::{Change, Projection, ProjectionError};

const TABLES: &str = "
CREATE TABLE lease_slots(
  execution BLOB PRIMARY KEY,
  claim BLOB NOT NULL,
  node BLOB NOT NULL
) WITHOUT ROWID;
";

/// Taken slots. They are as few as what runs, so their rows are written at once.
#[derive(Default)]
pub(super) struct LeaseSlots {
    /// Whether there may be any: most logs never have one.
    any: Option<bool>,
}

impl Projection for LeaseSlots {
    fn name(&self) -> &'static str {
        "lease_slots"
    }

    fn version(&self) -> u32 {
        1
    }

    fn tables(&self) -> &'static str {
        TABLES
    }

    fn indexes(&self) -> &'static str {
        ""
    }

    fn apply(
        &mut self,
        connection: &Connection,
        change: &Change<'_>,
    ) -> Result<(), ProjectionError> {
        if let Event::Lease(LeaseEvent::SlotTaken(taken)) = change.event {
            self.any = Some(true);
            let sql = "INSERT OR REPLACE INTO lease_slots(execution, claim, node) VALUES(?, ?, ?)";
            let (execution, claim) = (taken.execution.0.as_bytes(), taken.claim.0.as_bytes());
            let row = params![execution, claim, taken.node.0.as_bytes()];
            connection.prepare_cached(sql)?.execute(row)?;
            return Ok(());
        }
        let ended = change.execution.as_ref().is_some_and(super::projection::Transition::is_ending);
        if !ended {
            return Ok(());
        }
        let any = match self.any {
            Some(any) => any,
            None => connection.prepare_cached("SELECT 1 FROM lease_slots LIMIT 1")?.exists([])?,
        };
        self.any = Some(any);
        if let Some(id) = change.recorded.stream.execution_id().filter(|_| any) {
            let sql = "DELETE FROM lease_slots WHERE execution = ?";
            connection.prepare_cached(sql)?.execute([id.0.as_bytes()])?;
        }
        Ok(())
    }

    fn flush(&mut self, _: &Connection) -> rusqlite::Result<()> {
        Ok(())
    }

    fn forget(&mut self) {
        self.any = None;
    }
}
