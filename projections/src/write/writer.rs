//! The one connection that writes: batches of events in, one transaction each.

use execution_ledger_domain::wire::Event;
use execution_ledger_store::{Batch, Position, Recorded};
use rusqlite::{Connection, params};

use super::executions::{self, Executions};
use super::projection::{Change, Projection, ProjectionError};
use super::versions::Versions;
use super::{
    activities, agent_sessions, agents, billing, budget_spending, budgets, execution_sums, keys,
    schedule_ticks, schedules, search, sessions, webhook_deliveries, webhooks,
};
use crate::columns;
use crate::health::Poison;

/// All projections: name and version, by name. A change of any of them makes the file anew.
pub(super) fn versions() -> Vec<(&'static str, u32)> {
    let mut versions: Vec<_> = others().iter().map(|p| (p.name(), p.version())).collect();
    versions.push((executions::NAME, executions::VERSION));
    versions.sort_unstable();
    versions
}

/// Stored events with their meanings, or why one has none.
pub(super) struct Decoded {
    events: Batch,
    meanings: Vec<Result<Event, String>>,
}

impl Decoded {
    /// Reads stored events.
    pub fn of(events: Batch) -> Self {
        let read = |recorded: &Recorded| recorded.event().map_err(|error| describe(&error));
        let meanings = events.iter().map(read).collect();
        Self { events, meanings }
    }

    /// How many events.
    pub fn len(&self) -> usize {
        self.events.len()
    }

    /// How many of them stand at `position` or before.
    pub fn up_to(&self, position: Position) -> usize {
        self.events.iter().filter(|recorded| recorded.position <= position).count()
    }
}

/// An error with its causes, on one line.
fn describe(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

/// How far a batch was taken in.
pub(super) struct Applied {
    /// Position of the last event that is in.
    pub position: Position,
    /// Whether a text was erased: what is left of it is still to be overwritten.
    pub erased: bool,
    /// The event after it, where it can't be taken in.
    pub poison: Option<Poison>,
}

enum Failure {
    Sqlite(rusqlite::Error),
    Poison { before: usize, poison: Poison },
}

/// The writer of the file.
pub(super) struct Writer {
    connection: Connection,
    erased: bool,
    executions: Executions,
    others: Vec<Box<dyn Projection>>,
    position: Position,
    /// Position of the last event of the open transaction.
    written: Position,
}

impl Writer {
    /// Over a file whose tables stand, at the position that it holds.
    pub fn new(connection: Connection, position: Position) -> Self {
        connection.set_prepared_statement_cache_capacity(96);
        let executions = Executions::default();
        let (others, written) = (others(), position);
        Self { connection, executions, others, position, written, erased: false }
    }

    /// Position of the last event that is in.
    pub fn position(&self) -> Position {
        self.position
    }

    /// The connection, for what no event leads to.
    pub fn connection(&self) -> &Connection {
        &self.connection
    }

    /// The connection, once no more is to be written.
    pub fn into_connection(self) -> Connection {
        self.connection
    }

    /// Takes in batches in one transaction: all of them, or what comes before an event that can't be
    /// taken in. After an error nothing of them is in.
    pub fn apply(&mut self, batches: &[Decoded]) -> rusqlite::Result<Applied> {
        let mut count = batches.iter().map(Decoded::len).sum();
        let mut poison = None;
        loop {
            self.connection.execute_batch("BEGIN IMMEDIATE")?;
            match self.fold_and_commit(batches, count) {
                Ok(()) => {
                    let erased = std::mem::take(&mut self.erased);
                    return Ok(Applied { position: self.position, poison, erased });
                }
                Err(Failure::Sqlite(error)) => {
                    // What went wrong first is what counts; SQLite may have rolled back already.
                    drop(self.roll_back());
                    return Err(error);
                }
                Err(Failure::Poison { before, poison: found }) => {
                    self.roll_back()?;
                    count = before;
                    poison = Some(found);
                }
            }
        }
    }

    /// Takes in one more batch in a transaction that stays open until [`Self::commit`]; whether it
    /// could be. Where it couldn't, nothing of the transaction is in: [`Self::apply`] tells why.
    pub fn go_on(&mut self, batch: &Decoded) -> rusqlite::Result<bool> {
        if self.connection.is_autocommit() {
            self.connection.execute_batch("BEGIN IMMEDIATE")?;
        }
        let written = self
            .fold(std::slice::from_ref(batch), batch.len())
            .and_then(|last| self.flush().map(|()| last).map_err(Failure::Sqlite));
        match written {
            Ok(last) => {
                self.written = last;
                Ok(true)
            }
            Err(Failure::Sqlite(error)) => {
                drop(self.roll_back());
                Err(error)
            }
            Err(Failure::Poison { .. }) => self.roll_back().map(|()| false),
        }
    }

    /// Ends the transaction that [`Self::go_on`] began.
    pub fn commit(&mut self) -> rusqlite::Result<()> {
        if self.connection.is_autocommit() { Ok(()) } else { self.commit_at(self.written) }
    }

    fn fold_and_commit(&mut self, batches: &[Decoded], count: usize) -> Result<(), Failure> {
        let last = self.fold(batches, count)?;
        self.flush().and_then(|()| self.commit_at(last)).map_err(Failure::Sqlite)
    }

    /// Folds the first events of batches; the position of the last of them.
    fn fold(&mut self, batches: &[Decoded], count: usize) -> Result<Position, Failure> {
        let events = batches.iter().flat_map(|batch| {
            let events = batch.events.iter().zip(&batch.meanings).enumerate();
            events.map(move |(place, event)| ((&batch.events, place), event))
        });
        let mut last = self.position;
        for (before, (batch, (recorded, meaning))) in events.take(count).enumerate() {
            self.fold_one(batch, recorded, meaning).map_err(|error| match error {
                ProjectionError::Sqlite(error) => Failure::Sqlite(error),
                ProjectionError::Poison(reason) => {
                    let (position, event_id) = (recorded.position, recorded.id);
                    Failure::Poison { before, poison: Poison { position, event_id, reason } }
                }
            })?;
            last = recorded.position;
        }
        Ok(last)
    }

    fn fold_one(
        &mut self,
        batch: (&Batch, usize),
        recorded: &Recorded,
        meaning: &Result<Event, String>,
    ) -> Result<(), ProjectionError> {
        let event = meaning.as_ref().map_err(|reason| ProjectionError::Poison(reason.clone()))?;
        self.erased |= matches!(event, Event::Erasure(_));
        let execution = match event {
            Event::Execution(event) => self.executions.fold(&self.connection, recorded, event)?,
            Event::Agent(_)
            | Event::Session(_)
            | Event::Key(_)
            | Event::Access(_)
            | Event::Schedule(_)
            | Event::Payment(_)
            | Event::Budget(_)
            | Event::Webhook(_)
            | Event::Erasure(_)
            | Event::Notary(_)
            | Event::Lease(_) => None,
        };
        let change = Change { recorded, batch, event, execution };
        for projection in &mut self.others {
            projection.apply(&self.connection, &change)?;
        }
        Ok(())
    }

    fn flush(&mut self) -> rusqlite::Result<()> {
        // Executions last: others read what the last flush wrote of them until then.
        for projection in &mut self.others {
            projection.flush(&self.connection)?;
        }
        self.executions.flush(&self.connection)
    }

    fn commit_at(&mut self, last: Position) -> rusqlite::Result<()> {
        self.executions.write_sums(&self.connection)?;
        self.connection
            .prepare_cached("UPDATE projections SET position = ?")?
            .execute([columns::number(last.number())])?;
        self.connection.execute_batch("COMMIT")?;
        self.position = last;
        Ok(())
    }

    fn roll_back(&mut self) -> rusqlite::Result<()> {
        self.executions.forget();
        for projection in &mut self.others {
            projection.forget();
        }
        if self.connection.is_autocommit() {
            Ok(())
        } else {
            self.connection.execute_batch("ROLLBACK")
        }
    }
}

fn others() -> Vec<Box<dyn Projection>> {
    vec![
        Box::new(activities::Activities::default()),
        Box::new(Versions::<agents::Agents>::default()),
        Box::new(Versions::<keys::Keys>::default()),
        Box::new(billing::Billing::default()),
        Box::new(Versions::<budgets::Budgets>::default()),
        Box::new(budget_spending::BudgetSpending::default()),
        Box::new(agent_sessions::AgentSessions::default()),
        Box::new(sessions::Sessions::default()),
        Box::new(Versions::<schedules::Schedules>::default()),
        Box::new(schedule_ticks::ScheduleTicks::default()),
        Box::new(Versions::<webhooks::Webhooks>::default()),
        Box::new(webhook_deliveries::WebhookDeliveries::default()),
        Box::new(Versions::<super::payments::Payments>::default()),
        Box::new(super::payment_work::PaymentWork),
        Box::new(super::lease_slots::LeaseSlots::default()),
        Box::new(search::Search::default()),
    ]
}

/// Makes the tables of an empty file, at the start of the log.
pub(super) fn make_tables(connection: &Connection, log_id: &str) -> rusqlite::Result<()> {
    connection.execute_batch(
        "CREATE TABLE projections(
           name TEXT PRIMARY KEY,
           version INTEGER NOT NULL,
           position INTEGER NOT NULL,
           log_id TEXT NOT NULL
         ) WITHOUT ROWID;",
    )?;
    connection.execute_batch(executions::TABLES)?;
    connection.execute_batch(execution_sums::TABLES)?;
    for projection in others() {
        connection.execute_batch(projection.tables())?;
    }
    for (name, version) in versions() {
        connection.execute(
            "INSERT INTO projections(name, version, position, log_id) VALUES(?, ?, 0, ?)",
            params![name, version, log_id],
        )?;
    }
    Ok(())
}

/// Makes the indexes that reading needs, in one transaction.
pub(super) fn make_indexes(connection: &mut Connection) -> rusqlite::Result<()> {
    let transaction = connection.transaction()?;
    transaction.execute_batch(executions::INDEXES)?;
    others().iter().try_for_each(|projection| transaction.execute_batch(projection.indexes()))?;
    transaction.commit()
}
