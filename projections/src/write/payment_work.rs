//! The payments of which more is to come: those that are not failed, not owed back, and whose execution
//! has not succeeded.

use execution_ledger_domain::execution::{ExecutionEvent, Trigger};
use execution_ledger_domain::payment::PaymentEvent;
use execution_ledger_domain::wire::Event;
use rusqlite::{Connection, params};

use super::projection::{Change, Projection, ProjectionError};

const TABLES: &str = "
CREATE TABLE payment_work(
  payment TEXT PRIMARY KEY,
  execution TEXT NOT NULL
) WITHOUT ROWID;
CREATE UNIQUE INDEX payment_work_execution ON payment_work(execution);
";

/// Open payments. They are few, so their rows are written at once.
#[derive(Default)]
pub(super) struct PaymentWork;

impl Projection for PaymentWork {
    fn name(&self) -> &'static str {
        "payment_work"
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
        let stream = &change.recorded.stream;
        match change.event {
            Event::Payment(PaymentEvent::Verified(verified)) => {
                let sql = "INSERT OR IGNORE INTO payment_work(payment, execution) VALUES(?, ?)";
                let execution = verified.asked.execution_id.to_string();
                connection.prepare_cached(sql)?.execute(params![stream.id(), execution])?;
            }
            Event::Payment(PaymentEvent::SettlementFailed(_) | PaymentEvent::RefundOwed(_)) => {
                let sql = "DELETE FROM payment_work WHERE payment = ?";
                connection.prepare_cached(sql)?.execute([stream.id()])?;
            }
            Event::Execution(ExecutionEvent::Completed(_)) => {
                let of = change.execution.as_ref().filter(|transition| transition.is_ending());
                if of.is_some_and(|transition| transition.row.triggered_by == Trigger::Paid) {
                    let sql = "DELETE FROM payment_work WHERE execution = ?";
                    connection.prepare_cached(sql)?.execute([stream.id()])?;
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn flush(&mut self, _: &Connection) -> rusqlite::Result<()> {
        Ok(())
    }

    fn forget(&mut self) {}
}
