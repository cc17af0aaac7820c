//! What is spent and what is kept: sums by day, and a row for each execution that keeps something. Rules
//! and words are those of `domain::budget`.

use std::collections::HashMap;

use execution_ledger_domain::budget::EndedCost;
use execution_ledger_domain::execution::ExecutionEvent;
use execution_ledger_domain::wire::Event;
use execution_ledger_domain::{AgentName, NanoUsd, Timestamp, UserName};
use rusqlite::{Connection, OptionalExtension, params};
use uuid::Uuid;

use super::billing_sums::DAY_MICROS;
use super::projection::{Change, Projection, ProjectionError, Transition};
use crate::columns;

/// `budget_days`: what was spent, by the day in which it was recorded; days that are over never change.
/// `budget_kept`: an execution that has a most keeps it from its first event (`no`) until `released`:
/// while it is open for now, from `ended` on for the day and month of `ended_at`.
const TABLES: &str = "
CREATE TABLE budget_days(
  day INTEGER NOT NULL,
  agent TEXT NOT NULL,
  user TEXT NOT NULL,
  spent INTEGER NOT NULL,
  PRIMARY KEY(day, agent, user)
) WITHOUT ROWID;
CREATE TABLE budget_kept(
  no INTEGER PRIMARY KEY,
  id BLOB NOT NULL,
  agent TEXT NOT NULL,
  user TEXT NOT NULL,
  amount INTEGER NOT NULL,
  ended INTEGER,
  ended_at INTEGER,
  released INTEGER
);
";

const INDEXES: &str = "CREATE INDEX budget_kept_released ON budget_kept(released);\n";

/// What changes in `budget_kept`.
enum Keeping {
    Begin {
        no: u64,
        id: Uuid,
        agent: AgentName,
        user: UserName,
        amount: NanoUsd,
    },
    /// It ended, and nobody knows what it cost.
    Unknown {
        no: u64,
        position: u64,
        at: Timestamp,
    },
    Release {
        no: u64,
        position: u64,
    },
}

/// What happened since the last flush, in order.
#[derive(Default)]
pub(super) struct BudgetSpending {
    days: HashMap<(i64, AgentName, UserName), i64>,
    keeping: Vec<Keeping>,
    /// What is known of the cost of executions that ended since the last flush, for corrections.
    known: HashMap<u64, Option<NanoUsd>>,
}

impl Projection for BudgetSpending {
    fn name(&self) -> &'static str {
        "budget_spending"
    }

    fn version(&self) -> u32 {
        1
    }

    fn tables(&self) -> &'static str {
        TABLES
    }

    fn indexes(&self) -> &'static str {
        INDEXES
    }

    fn apply(
        &mut self,
        connection: &Connection,
        change: &Change<'_>,
    ) -> Result<(), ProjectionError> {
        let (Event::Execution(event), Some(transition)) = (change.event, &change.execution) else {
            return Ok(());
        };
        let (row, position) = (transition.row, change.recorded.position.number());
        let at = change.recorded.recorded_at;
        match event {
            ExecutionEvent::Pending(pending) => {
                if let Some(amount) = pending.max_cost_nano_usd.filter(|max| *max > NanoUsd::ZERO) {
                    let (agent, user) = (row.agent.clone(), row.user.clone());
                    let (no, id) = (row.no, row.id.0);
                    self.keeping.push(Keeping::Begin { no, id, agent, user, amount });
                }
            }
            ExecutionEvent::CostCorrected(corrected) => {
                let before = match self.known.get(&row.no) {
                    Some(known) => *known,
                    None => cost_before(connection, row.no)?,
                };
                let now = corrected.cost_nano_usd;
                self.known.insert(row.no, Some(now));
                let before = before.unwrap_or(NanoUsd::ZERO).nanos();
                self.spend(transition, at, now.nanos().saturating_sub(before));
                self.keeping.push(Keeping::Release { no: row.no, position });
            }
            _ if transition.is_ending() => {
                self.known.insert(row.no, row.cost_at_end);
                let no = row.no;
                match EndedCost::of(event, row.started_position.is_some()) {
                    Some(EndedCost::Unknown) => {
                        self.keeping.push(Keeping::Unknown { no, position, at });
                    }
                    Some(EndedCost::Known(cost)) => {
                        self.spend(transition, at, cost.nanos());
                        self.keeping.push(Keeping::Release { no, position });
                    }
                    Some(EndedCost::Nothing) | None => {
                        self.keeping.push(Keeping::Release { no, position });
                    }
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn flush(&mut self, connection: &Connection) -> rusqlite::Result<()> {
        let mut add = connection.prepare_cached(
            "INSERT INTO budget_days(day, agent, user, spent) VALUES(?,?,?,?)
             ON CONFLICT(day, agent, user) DO UPDATE SET spent = spent + excluded.spent",
        )?;
        for ((day, agent, user), amount) in self.days.drain() {
            add.execute(params![day, agent.as_str(), user.as_str(), amount])?;
        }
        // Where nothing was ever kept, as most often, there is nothing to release.
        let mut keeps = connection
            .prepare_cached("SELECT EXISTS(SELECT 1 FROM budget_kept)")?
            .query_row([], |row| row.get::<_, bool>(0))?;
        for keeping in self.keeping.drain(..) {
            keeps |= matches!(keeping, Keeping::Begin { .. });
            if keeps {
                write(connection, &keeping)?;
            }
        }
        self.known.clear();
        Ok(())
    }

    fn forget(&mut self) {
        *self = Self::default();
    }
}

impl BudgetSpending {
    fn spend(&mut self, transition: &Transition<'_>, at: Timestamp, nanos: i64) {
        let (agent, user) = (transition.row.agent.clone(), transition.row.user.clone());
        let day = at.micros().div_euclid(DAY_MICROS);
        let sum = self.days.entry((day, agent, user)).or_default();
        *sum = sum.saturating_add(nanos);
    }
}

fn write(connection: &Connection, keeping: &Keeping) -> rusqlite::Result<()> {
    match keeping {
        Keeping::Begin { no, id, agent, user, amount } => connection
            .prepare_cached(
                "INSERT INTO budget_kept(no, id, agent, user, amount) VALUES(?,?,?,?,?)",
            )?
            .execute(params![
                columns::number(*no),
                id.as_bytes(),
                agent.as_str(),
                user.as_str(),
                amount.nanos(),
            ])?,
        Keeping::Unknown { no, position, at } => connection
            .prepare_cached("UPDATE budget_kept SET ended = ?, ended_at = ? WHERE no = ?")?
            .execute(params![columns::number(*position), at.micros(), columns::number(*no)])?,
        Keeping::Release { no, position } => connection
            .prepare_cached(
                "UPDATE budget_kept SET released = ? WHERE no = ? AND released IS NULL",
            )?
            .execute(params![columns::number(*position), columns::number(*no)])?,
    };
    Ok(())
}

/// What an execution's cost was before its next correction: its row is written after this, so it still
/// says what the last flush wrote.
fn cost_before(connection: &Connection, no: u64) -> Result<Option<NanoUsd>, ProjectionError> {
    let mut select = connection.prepare_cached("SELECT cost FROM executions WHERE no = ?")?;
    let found = select.query_row([columns::number(no)], |row| columns::optional_money(row, 0));
    Ok(found.optional()?.flatten())
}
