//! Text search over messages and responses. The index holds words and where they stand, not the texts;
//! a row can be deleted alone, so that a text can be forgotten.

use std::collections::BTreeMap;

use execution_ledger_domain::execution::ExecutionEvent;
use execution_ledger_domain::wire::Event;
use rusqlite::{Connection, params};

use super::projection::{Change, Projection, ProjectionError};
use crate::columns;

/// Both tables have the execution's number as their row id, so that hits come in its order.
const TABLES: &str = "
CREATE VIRTUAL TABLE search_messages USING fts5(
  text, content='', contentless_delete=1, tokenize='unicode61 remove_diacritics 2');
CREATE VIRTUAL TABLE search_responses USING fts5(
  text, content='', contentless_delete=1, tokenize='unicode61 remove_diacritics 2');
";

/// The texts that came since the last flush. Written in the order of their row ids: FTS5 writes out
/// what it has gathered whenever a smaller one comes.
#[derive(Default)]
pub(super) struct Search {
    messages: BTreeMap<u64, String>,
    responses: BTreeMap<u64, String>,
}

impl Projection for Search {
    fn name(&self) -> &'static str {
        "search"
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

    fn apply(&mut self, _: &Connection, change: &Change<'_>) -> Result<(), ProjectionError> {
        let Some(transition) = &change.execution else { return Ok(()) };
        let Event::Execution(event) = change.event else { return Ok(()) };
        let no = transition.row.no;
        let response = match event {
            ExecutionEvent::Pending(pending) => {
                if let Some(text) = change.recorded.text(&pending.message) {
                    self.messages.insert(no, text.to_owned());
                }
                return Ok(());
            }
            ended => ended.report().and_then(|report| report.response),
        };
        let text = response.and_then(|response| change.recorded.text(&response));
        if let Some(text) = text.filter(|_| transition.is_ending()) {
            self.responses.insert(no, text.to_owned());
        }
        Ok(())
    }

    fn flush(&mut self, connection: &Connection) -> rusqlite::Result<()> {
        let mut insert =
            connection.prepare_cached("INSERT INTO search_messages(rowid, text) VALUES(?, ?)")?;
        for (no, text) in std::mem::take(&mut self.messages) {
            insert.execute(params![columns::number(no), text])?;
        }
        let mut insert =
            connection.prepare_cached("INSERT INTO search_responses(rowid, text) VALUES(?, ?)")?;
        for (no, text) in std::mem::take(&mut self.responses) {
            insert.execute(params![columns::number(no), text])?;
        }
        Ok(())
    }

    fn forget(&mut self) {
        self.messages.clear();
        self.responses.clear();
    }
}
