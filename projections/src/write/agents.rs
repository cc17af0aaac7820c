//! Agents: every version of their settings and status, with the interval in which it held.

use std::collections::HashMap;

use execution_ledger_domain::AgentName;
use execution_ledger_domain::agent::{AgentConfig, AgentEvent};
use execution_ledger_domain::wire::Event;
use rusqlite::{Connection, OptionalExtension, params};

use super::projection::{Change, Projection, ProjectionError};
use crate::columns;
use crate::model::AgentStatus;

/// A version holds from `valid_from` until before `valid_to`; without one it holds now.
const TABLES: &str = "
CREATE TABLE agents(
  name TEXT NOT NULL,
  valid_from INTEGER NOT NULL,
  valid_to INTEGER,
  status TEXT NOT NULL,
  config TEXT NOT NULL,
  registered_at INTEGER NOT NULL,
  changed_at INTEGER NOT NULL,
  PRIMARY KEY(name, valid_from)
) WITHOUT ROWID;
";

/// Agents whose current version is kept in memory: most.
const CACHE_MAX: usize = 1_000;

#[derive(Clone)]
struct Version {
    status: AgentStatus,
    config: AgentConfig,
    registered_at: i64,
    valid_from: u64,
}

/// The agents' current versions, as far as they were needed. Agents change rarely, so their rows are
/// written at once.
#[derive(Default)]
pub(super) struct Agents {
    current: HashMap<AgentName, Option<Version>>,
}

impl Projection for Agents {
    fn name(&self) -> &'static str {
        "agents"
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
        let Event::Agent(event) = change.event else { return Ok(()) };
        let recorded = change.recorded;
        let Some(name) = recorded.stream.agent_name() else {
            let problem = format!("an agent's event in the stream {}", recorded.stream);
            return Err(ProjectionError::Poison(problem));
        };
        if self.current.len() >= CACHE_MAX {
            self.current.clear();
        }
        let before = match self.current.get(&name) {
            Some(version) => version.clone(),
            None => load(connection, &name)?,
        };
        let after = after(before.clone(), event, recorded);
        if let (Some(after), true) = (&after, change_of(before.as_ref(), after.as_ref())) {
            write(connection, &name, before.as_ref(), after, recorded)?;
        }
        self.current.insert(name, after);
        Ok(())
    }

    fn flush(&mut self, _: &Connection) -> rusqlite::Result<()> {
        Ok(())
    }

    fn forget(&mut self) {
        self.current.clear();
    }
}

/// The version after an event; as in the domain, an event that does not fit changes nothing.
fn after(
    before: Option<Version>,
    event: &AgentEvent,
    recorded: &execution_ledger_store::Recorded,
) -> Option<Version> {
    let valid_from = recorded.position.number();
    if let AgentEvent::Registered(registered) = event {
        return Some(Version {
            status: AgentStatus::Active,
            config: registered.config.clone(),
            registered_at: recorded.recorded_at.micros(),
            valid_from,
        });
    }
    let mut version = before?;
    if version.status == AgentStatus::Retired {
        return Some(version);
    }
    match event {
        AgentEvent::Registered(_) => {}
        AgentEvent::Configured(configured) => version.config = configured.config.clone(),
        AgentEvent::Paused(_) => version.status = AgentStatus::Paused,
        AgentEvent::Resumed(_) => version.status = AgentStatus::Active,
        AgentEvent::Retired(_) => version.status = AgentStatus::Retired,
    }
    version.valid_from = valid_from;
    Some(version)
}

fn change_of(before: Option<&Version>, after: Option<&Version>) -> bool {
    before.map(|version| version.valid_from) != after.map(|version| version.valid_from)
}

fn write(
    connection: &Connection,
    name: &AgentName,
    before: Option<&Version>,
    after: &Version,
    recorded: &execution_ledger_store::Recorded,
) -> Result<(), ProjectionError> {
    if let Some(before) = before {
        connection
            .prepare_cached("UPDATE agents SET valid_to = ? WHERE name = ? AND valid_from = ?")?
            .execute(params![
                columns::number(after.valid_from),
                name.as_str(),
                columns::number(before.valid_from)
            ])?;
    }
    connection
        .prepare_cached(
            "INSERT INTO agents(name, valid_from, valid_to, status, config, registered_at,
               changed_at) VALUES(?, ?, NULL, ?, ?, ?, ?)",
        )?
        .execute(params![
            name.as_str(),
            columns::number(after.valid_from),
            after.status.as_str(),
            columns::json(&after.config),
            after.registered_at,
            recorded.recorded_at.micros(),
        ])?;
    Ok(())
}

fn load(connection: &Connection, name: &AgentName) -> Result<Option<Version>, ProjectionError> {
    let mut select = connection.prepare_cached(
        "SELECT status, config, registered_at, valid_from FROM agents
         WHERE name = ? AND valid_to IS NULL",
    )?;
    let found = select.query_row([name.as_str()], |row| {
        Ok(Version {
            status: columns::text(row, 0, AgentStatus::parse)?,
            config: columns::from_json(row, 1)?,
            registered_at: row.get(2)?,
            valid_from: columns::unsigned(row, 3)?,
        })
    });
    Ok(found.optional()?)
}
