//! Billing: a row for each fact that is about money, in the order of the log, and their sums by day.

use std::collections::HashMap;

use execution_ledger_domain::billing::BillingKind;
use execution_ledger_domain::execution::{CostBasis, ExecutionEvent, Trigger};
use execution_ledger_domain::wire::Event;
use execution_ledger_domain::{AgentName, NanoUsd, Timestamp, UserName};
use execution_ledger_store::Recorded;
use rusqlite::{Connection, params};
use uuid::Uuid;

use super::billing_payments::{self, Paid};
use super::billing_sums::{Group, Sums};
use super::projection::{Change, Projection, ProjectionError};
use super::row::Row;
use crate::columns;
use crate::model::{basis_code, kind_code, trigger_code};

/// `amount` in nano-dollars: absent where nobody knows, and of payments, whose amount stands in
/// `payment` with all else that is theirs alone. `paid_by` is the payment of a run that was paid for. `unknown` is 1 for a run of unknown cost and -1 for the
/// correction that makes it known. `billing_days` and `billing_sums` are what its rows come to; `billing_open`
/// is what is known of payments that more may be told of.
const TABLES: &str = "
CREATE TABLE billing(
  position INTEGER PRIMARY KEY,
  event_id BLOB NOT NULL,
  kind INTEGER NOT NULL,
  execution BLOB NOT NULL,
  at INTEGER NOT NULL,
  agent TEXT NOT NULL,
  user TEXT NOT NULL,
  source_agent TEXT,
  model TEXT,
  triggered_by INTEGER NOT NULL,
  amount INTEGER,
  basis INTEGER,
  unknown INTEGER NOT NULL,
  payment TEXT,
  paid_by TEXT
);
CREATE TABLE billing_days(
  day INTEGER PRIMARY KEY,
  first INTEGER NOT NULL,
  runs INTEGER NOT NULL,
  dollars INTEGER NOT NULL,
  nanos INTEGER NOT NULL,
  unknown INTEGER NOT NULL
);
CREATE TABLE billing_sums(
  day INTEGER NOT NULL,
  key TEXT NOT NULL,
  runs INTEGER NOT NULL,
  dollars INTEGER NOT NULL,
  nanos INTEGER NOT NULL,
  unknown INTEGER NOT NULL,
  PRIMARY KEY(day, key)
) WITHOUT ROWID;
CREATE TABLE billing_open(
  payment TEXT PRIMARY KEY,
  execution BLOB NOT NULL,
  data TEXT NOT NULL
) WITHOUT ROWID;
CREATE INDEX billing_open_executions ON billing_open(execution);
CREATE INDEX billing_payments ON billing(position) WHERE payment IS NOT NULL;
";

/// Rows since the last flush.
#[derive(Default)]
pub(super) struct Billing {
    entries: Vec<Entry>,
    sums: Sums,
    /// What is known of the cost of executions that ended since the last flush, for corrections.
    known: HashMap<u64, Option<NanoUsd>>,
}

struct Entry {
    position: u64,
    event_id: Uuid,
    at: Timestamp,
    execution: Uuid,
    agent: AgentName,
    user: UserName,
    source_agent: Option<AgentName>,
    model: Option<String>,
    triggered_by: Trigger,
    told: Told,
}

/// What a row tells.
struct Told {
    kind: BillingKind,
    amount: Option<NanoUsd>,
    basis: Option<CostBasis>,
    unknown: i64,
    /// What a payment's own row says of it.
    payment: Option<String>,
    /// The id of the payment that an execution's row was paid by.
    paid_by: Option<String>,
}

impl Projection for Billing {
    fn name(&self) -> &'static str {
        "billing"
    }

    fn version(&self) -> u32 {
        2
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
        let recorded = change.recorded;
        let entry = match (change.event, &change.execution) {
            (Event::Execution(event), Some(transition)) => {
                let told = if transition.is_ending() && transition.row.ran {
                    Some(self.ended(transition.row, event))
                } else if let ExecutionEvent::CostCorrected(_) = event {
                    self.corrected(connection, transition.row, event)?
                } else {
                    None
                };
                match told {
                    Some(told) => Some(Entry::of_execution(
                        recorded,
                        transition.row,
                        paid_by(connection, transition.row, told)?,
                    )),
                    None => None,
                }
            }
            (Event::Payment(event), _) => billing_payments::told(connection, recorded, event)?
                .map(|(kind, paid)| Entry::of_payment(recorded, kind, paid)),
            _ => None,
        };
        if let Some(entry) = entry {
            self.sums.add(entry.group(), entry.position, entry.told.amount, entry.told.unknown);
            self.entries.push(entry);
        }
        Ok(())
    }

    fn flush(&mut self, connection: &Connection) -> rusqlite::Result<()> {
        let mut insert = connection.prepare_cached(
            "INSERT INTO billing(position, event_id, kind, execution, at, agent, user, source_agent,
               model, triggered_by, amount, basis, unknown, payment, paid_by)
             VALUES(?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)",
        )?;
        for entry in self.entries.drain(..) {
            insert.execute(params![
                columns::number(entry.position),
                entry.event_id.as_bytes(),
                kind_code(entry.told.kind),
                entry.execution.as_bytes(),
                entry.at.micros(),
                entry.agent.as_str(),
                entry.user.as_str(),
                entry.source_agent.as_ref().map(AgentName::as_str),
                entry.model,
                trigger_code(entry.triggered_by),
                entry.told.amount.map(NanoUsd::nanos),
                entry.told.basis.map(basis_code),
                entry.told.unknown,
                entry.told.payment,
                entry.told.paid_by,
            ])?;
        }
        self.known.clear();
        self.sums.flush(connection)
    }

    fn forget(&mut self) {
        self.entries.clear();
        self.sums = Sums::default();
        self.known.clear();
    }
}

impl Billing {
    fn ended(&mut self, row: &Row, event: &ExecutionEvent) -> Told {
        self.known.insert(row.no, row.cost_at_end);
        Told {
            kind: BillingKind::RunCost,
            amount: row.cost_at_end,
            basis: event.report().map(|report| report.cost_basis),
            unknown: i64::from(row.cost_at_end.is_none()),
            payment: None,
            paid_by: None,
        }
    }

    fn corrected(
        &mut self,
        connection: &Connection,
        row: &Row,
        event: &ExecutionEvent,
    ) -> Result<Option<Told>, ProjectionError> {
        let ExecutionEvent::CostCorrected(corrected) = event else { return Ok(None) };
        let before = match self.known.get(&row.no) {
            Some(known) => Before { ran: true, cost: *known },
            None => before_correction(connection, row.no)?,
        };
        let new = corrected.cost_nano_usd;
        self.known.insert(row.no, Some(new));
        Ok(Some(Told {
            kind: BillingKind::CostCorrected,
            // Costs are never below zero, so the difference is an amount.
            amount: Some(new.saturating_sub(before.cost.unwrap_or(NanoUsd::ZERO))),
            basis: Some(corrected.cost_basis),
            unknown: if before.ran && before.cost.is_none() { -1 } else { 0 },
            payment: None,
            paid_by: None,
        }))
    }
}

impl Entry {
    fn of_execution(recorded: &Recorded, row: &Row, told: Told) -> Self {
        Self {
            position: recorded.position.number(),
            event_id: recorded.id.0,
            at: recorded.recorded_at,
            execution: row.id.0,
            agent: row.agent.clone(),
            user: row.user.clone(),
            source_agent: row.source_agent.clone(),
            model: row.model.clone(),
            triggered_by: row.triggered_by,
            told,
        }
    }

    fn of_payment(recorded: &Recorded, kind: BillingKind, paid: Paid) -> Self {
        let payment = Some(columns::json(&paid.facts));
        Self {
            position: recorded.position.number(),
            event_id: recorded.id.0,
            at: recorded.recorded_at,
            execution: paid.execution.0,
            agent: paid.agent,
            user: paid.user,
            source_agent: paid.source_agent,
            model: paid.model,
            triggered_by: paid.triggered_by,
            told: Told { kind, amount: None, basis: None, unknown: 0, payment, paid_by: None },
        }
    }

    fn group(&self) -> Group<'_> {
        Group {
            at: self.at,
            agent: self.agent.as_str(),
            model: self.model.as_deref(),
            triggered_by: self.triggered_by,
            is_run: self.told.kind == BillingKind::RunCost,
        }
    }
}

/// Names the payment that this execution was paid by, if it was. A new attempt at it is not paid for.
fn paid_by(connection: &Connection, row: &Row, told: Told) -> rusqlite::Result<Told> {
    let paid_by = match row.triggered_by {
        Trigger::Paid => billing_payments::payment_of(connection, row.id)?,
        _ => None,
    };
    Ok(Told { paid_by, ..told })
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
