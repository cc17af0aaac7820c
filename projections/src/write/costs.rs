//! Costs: one entry for each run that ended and each correction, as a signed difference. Sums of
//! entries up to a position are exact, and what was known then.

use execution_ledger_domain::NanoUsd;
use execution_ledger_domain::execution::{CostBasis, ExecutionEvent};
use execution_ledger_domain::wire::Event;
use rusqlite::{Connection, params};

use super::projection::{Change, Projection, ProjectionError};
use crate::columns;
use crate::model::trigger_code;

/// `runs` is 1 for a run's end and 0 for a correction; `unknown` is 1 for a run of unknown cost and
/// -1 for the correction that makes it known.
const TABLES: &str = "
CREATE TABLE cost_entries(
  position INTEGER PRIMARY KEY,
  execution_no INTEGER NOT NULL,
  at INTEGER NOT NULL,
  agent TEXT NOT NULL,
  model TEXT,
  triggered_by INTEGER NOT NULL,
  user TEXT NOT NULL,
  source_agent TEXT,
  runs INTEGER NOT NULL,
  unknown INTEGER NOT NULL,
  amount INTEGER NOT NULL,
  basis INTEGER NOT NULL
);
";

/// Entries of one kind since the last flush.
#[derive(Default)]
pub(super) struct Costs {
    entries: Vec<Entry>,
    /// What is known of the cost of executions that ended since the last flush, for corrections.
    known: std::collections::HashMap<u64, Option<NanoUsd>>,
}

struct Entry {
    position: u64,
    execution_no: u64,
    at: i64,
    agent: String,
    model: Option<String>,
    triggered_by: i64,
    user: String,
    source_agent: Option<String>,
    runs: i64,
    unknown: i64,
    amount: i64,
    basis: i64,
}

impl Projection for Costs {
    fn name(&self) -> &'static str {
        "costs"
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
        let Some(transition) = &change.execution else { return Ok(()) };
        let Event::Execution(event) = change.event else { return Ok(()) };
        let row = transition.row;
        let (runs, unknown, amount, basis) = match event {
            ExecutionEvent::Completed(_)
            | ExecutionEvent::Failed(_)
            | ExecutionEvent::Cancelled(_)
                if transition.is_ending() && row.ran =>
            {
                self.known.insert(row.no, row.cost_at_end);
                let amount = row.cost_at_end.unwrap_or(NanoUsd::ZERO).nanos();
                (
                    1,
                    i64::from(row.cost_at_end.is_none()),
                    amount,
                    event.report().map_or(CostBasis::Unknown, |report| report.cost_basis),
                )
            }
            ExecutionEvent::CostCorrected(corrected) => {
                let before = match self.known.get(&row.no) {
                    Some(known) => Before { ran: true, cost: *known },
                    None => before_correction(connection, row.no)?,
                };
                let new = corrected.cost_nano_usd;
                self.known.insert(row.no, Some(new));
                let unknown = if before.ran && before.cost.is_none() { -1 } else { 0 };
                // Both are below 2^53 in size, so the difference fits.
                let amount = new.nanos() - before.cost.unwrap_or(NanoUsd::ZERO).nanos();
                (0, unknown, amount, corrected.cost_basis)
            }
            _ => return Ok(()),
        };
        self.entries.push(Entry {
            position: change.recorded.position.number(),
            execution_no: row.no,
            at: change.recorded.recorded_at.micros(),
            agent: row.agent.as_str().to_owned(),
            model: row.model.clone(),
            triggered_by: trigger_code(row.triggered_by),
            user: row.user.as_str().to_owned(),
            source_agent: row.source_agent.as_ref().map(|agent| agent.as_str().to_owned()),
            runs,
            unknown,
            amount,
            basis: basis_code(basis),
        });
        Ok(())
    }

    fn flush(&mut self, connection: &Connection) -> rusqlite::Result<()> {
        let mut insert = connection.prepare_cached(
            "INSERT INTO cost_entries(position, execution_no, at, agent, model, triggered_by, user,
               source_agent, runs, unknown, amount, basis) VALUES(?,?,?,?,?,?,?,?,?,?,?,?)",
        )?;
        for entry in self.entries.drain(..) {
            insert.execute(params![
                columns::number(entry.position),
                columns::number(entry.execution_no),
                entry.at,
                entry.agent,
                entry.model,
                entry.triggered_by,
                entry.user,
                entry.source_agent,
                entry.runs,
                entry.unknown,
                entry.amount,
                entry.basis,
            ])?;
        }
        self.known.clear();
        Ok(())
    }

    fn forget(&mut self) {
        self.entries.clear();
        self.known.clear();
    }
}

struct Before {
    ran: bool,
    cost: Option<NanoUsd>,
}

/// What was known of an execution's cost before its next correction: the row of the execution is
/// written after this, so it still says what the last flush wrote.
fn before_correction(connection: &Connection, no: u64) -> Result<Before, ProjectionError> {
    let mut select = connection.prepare_cached("SELECT ran, cost FROM executions WHERE no = ?")?;
    let mut rows = select.query([columns::number(no)])?;
    Ok(match rows.next()? {
        Some(row) => Before { ran: row.get(0)?, cost: columns::optional_money(row, 1)? },
        None => Before { ran: false, cost: None },
    })
}

/// A basis's number in columns.
fn basis_code(basis: CostBasis) -> i64 {
    match basis {
        CostBasis::ProviderReported => 0,
        CostBasis::DerivedFromPartials => 1,
        CostBasis::PricedLocally => 2,
        CostBasis::Unknown => 3,
        CostBasis::Simulated => 4,
    }
}
