//! The agents' own sessions: which execution was in which, so that a caller can go on with one.

use execution_ledger_domain::wire::Event;
use rusqlite::{Connection, params};

use super::projection::{Change, Projection, ProjectionError};
use crate::columns;

const TABLES: &str = "
CREATE TABLE agent_sessions(
  position INTEGER PRIMARY KEY,
  agent TEXT NOT NULL,
  session TEXT NOT NULL,
  user TEXT NOT NULL,
  source_agent TEXT
);
";

const INDEXES: &str = "
CREATE INDEX agent_sessions_session ON agent_sessions(session, agent);
";

/// Sessions of executions that ended since the last flush.
#[derive(Default)]
pub(super) struct AgentSessions {
    ended: Vec<(u64, String, String, String, Option<String>)>,
}

impl Projection for AgentSessions {
    fn name(&self) -> &'static str {
        "agent_sessions"
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

    fn apply(&mut self, _: &Connection, change: &Change<'_>) -> Result<(), ProjectionError> {
        let Some(transition) = change.execution.as_ref().filter(|t| t.is_ending()) else {
            return Ok(());
        };
        let Event::Execution(event) = change.event else { return Ok(()) };
        let Some(session) = event.report().and_then(|report| report.agent_session_id.clone())
        else {
            return Ok(());
        };
        let row = transition.row;
        self.ended.push((
            change.recorded.position.number(),
            row.agent.as_str().to_owned(),
            session,
            row.user.as_str().to_owned(),
            row.source_agent.as_ref().map(|agent| agent.as_str().to_owned()),
        ));
        Ok(())
    }

    fn flush(&mut self, connection: &Connection) -> rusqlite::Result<()> {
        let mut insert = connection.prepare_cached(
            "INSERT INTO agent_sessions(position, agent, session, user, source_agent)
             VALUES(?,?,?,?,?)",
        )?;
        for (position, agent, session, user, source_agent) in self.ended.drain(..) {
            let position = columns::number(position);
            insert.execute(params![position, agent, session, user, source_agent])?;
        }
        Ok(())
    }

    fn forget(&mut self) {
        self.ended.clear();
    }
}
