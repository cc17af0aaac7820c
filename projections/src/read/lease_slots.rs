//! Which node took a slot for which execution that has not ended.

use execution_ledger_domain::{ClaimId, ExecutionId, NodeId};

use crate::columns;
use crate::query::{At, QueryError, Seen};
use crate::views::Views;

/// A slot that a node took.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeaseSlot {
    /// For which execution.
    pub execution: ExecutionId,
    /// By which start of it.
    pub claim: ClaimId,
    /// Which node.
    pub node: NodeId,
}

impl Views {
    /// All slots that nodes took for executions that have not ended.
    ///
    /// # Errors
    /// Where the file can't be read.
    pub async fn lease_slots(&self) -> Result<Seen<Vec<LeaseSlot>>, QueryError> {
        self.ask(At::Now, |connection, _| {
            let sql = "SELECT execution, claim, node FROM lease_slots";
            let mut select = connection.prepare_cached(sql)?;
            let rows = select.query_map([], |row| {
                Ok(LeaseSlot {
                    execution: ExecutionId(columns::uuid(row, 0)?),
                    claim: ClaimId(columns::uuid(row, 1)?),
                    node: NodeId(columns::uuid(row, 2)?),
                })
            })?;
            Ok(rows.collect::<rusqlite::Result<Vec<_>>>()?)
        })
        .await
    }
}
