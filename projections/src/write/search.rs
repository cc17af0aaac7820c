//! Text search over messages and responses. The index holds words and where they stand, not the texts;
//! a row can be deleted alone, so that a text can be forgotten.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use execution_ledger_domain::erasure::{Beside, ErasureEvent, TextPart};
use execution_ledger_domain::execution::ExecutionEvent;
use execution_ledger_domain::wire::Event;
use execution_ledger_domain::{AgentName, ContentRef, ExecutionId, StreamName};
use execution_ledger_store::Batch;
use rusqlite::{CachedStatement, Connection, OptionalExtension, params};

use super::projection::{Change, Projection, ProjectionError};
use crate::columns;

/// Both tables have the execution's number as their row id, so that hits come in its order. With each
/// text stands its agent, see [`agent_word`]: so the index itself finds what an agent's texts say, also
/// where all others' say it too. While a
/// file is made, each transaction leaves a segment of its own and nothing is merged, unless they
/// become very many. `search_scrub`: whether words of forgotten texts may be left in the file.
const TABLES: &str = "
CREATE TABLE search_scrub(owed INTEGER NOT NULL);
INSERT INTO search_scrub(owed) VALUES(0);
CREATE VIRTUAL TABLE search_messages USING fts5(
  text, agent, content='', contentless_delete=1, tokenize='unicode61 remove_diacritics 2');
CREATE VIRTUAL TABLE search_responses USING fts5(
  text, agent, content='', contentless_delete=1, tokenize='unicode61 remove_diacritics 2');
INSERT INTO search_messages(search_messages, rank) VALUES('automerge', 0);
INSERT INTO search_responses(search_responses, rank) VALUES('automerge', 0);
INSERT INTO search_messages(search_messages, rank) VALUES('crisismerge', 1000);
INSERT INTO search_responses(search_responses, rank) VALUES('crisismerge', 1000);
";

/// Once a file is made, all segments become one; later ones are merged a little with each write, as
/// FTS5 does where nobody says otherwise.
const MERGED: &str = "
INSERT INTO search_messages(search_messages) VALUES('optimize');
INSERT INTO search_responses(search_responses) VALUES('optimize');
INSERT INTO search_messages(search_messages, rank) VALUES('automerge', 4);
INSERT INTO search_responses(search_responses, rank) VALUES('automerge', 4);
INSERT INTO search_messages(search_messages, rank) VALUES('crisismerge', 16);
INSERT INTO search_responses(search_responses, rank) VALUES('crisismerge', 16);
";

/// The texts that came since the last flush. Written in the order of their row ids: FTS5 writes out
/// what it has gathered whenever a smaller one comes.
#[derive(Default)]
pub(super) struct Search {
    messages: BTreeMap<u64, Indexed>,
    responses: BTreeMap<u64, Indexed>,
    /// The numbers of those whose texts these are: their rows are written after these.
    numbers: HashMap<ExecutionId, u64>,
    forgotten_messages: BTreeSet<u64>,
    forgotten_responses: BTreeSet<u64>,
}

/// A text where it came, to be indexed with its agent.
struct Indexed {
    batch: Batch,
    place: usize,
    text: ContentRef,
    agent: String,
}

impl Indexed {
    /// Writes it, unless it was erased by the time at which the log was read.
    fn write(&self, no: u64, insert: &mut CachedStatement<'_>) -> rusqlite::Result<()> {
        let recorded = self.batch.get(self.place);
        if let Some(text) = recorded.and_then(|recorded| recorded.text(&self.text)) {
            insert.execute(params![columns::number(no), text, self.agent])?;
        }
        Ok(())
    }
}

/// An agent's name as one word of the text index, whatever its characters are.
pub(crate) fn agent_word(agent: &AgentName) -> String {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let mut word = String::with_capacity(1 + 2 * agent.as_str().len());
    word.push('a');
    for byte in agent.as_str().bytes() {
        word.push(char::from(HEX[usize::from(byte >> 4)]));
        word.push(char::from(HEX[usize::from(byte & 15)]));
    }
    word
}

impl Projection for Search {
    fn name(&self) -> &'static str {
        "search"
    }

    fn version(&self) -> u32 {
        3
    }

    fn tables(&self) -> &'static str {
        TABLES
    }

    fn indexes(&self) -> &'static str {
        MERGED
    }

    fn apply(
        &mut self,
        connection: &Connection,
        change: &Change<'_>,
    ) -> Result<(), ProjectionError> {
        if let Event::Erasure(ErasureEvent::Erased(erased)) = change.event {
            return erased.beside.iter().try_for_each(|place| self.erase(connection, place));
        }
        let Some(transition) = &change.execution else { return Ok(()) };
        let Event::Execution(event) = change.event else { return Ok(()) };
        let no = transition.row.no;
        let indexed = |text: ContentRef| {
            let (batch, place) = (Arc::clone(change.batch.0), change.batch.1);
            Indexed { batch, place, text, agent: agent_word(&transition.row.agent) }
        };
        let response = match event {
            ExecutionEvent::Pending(pending) => {
                self.numbers.insert(transition.row.id, no);
                self.messages.insert(no, indexed(pending.message));
                return Ok(());
            }
            ended => ended.report().and_then(|report| report.response),
        };
        let response = response.filter(|_| transition.is_ending());
        if let Some(response) = response {
            self.numbers.insert(transition.row.id, no);
            self.responses.insert(no, indexed(response));
        }
        Ok(())
    }

    fn flush(&mut self, connection: &Connection) -> rusqlite::Result<()> {
        let mut insert = connection
            .prepare_cached("INSERT INTO search_messages(rowid, text, agent) VALUES(?, ?, ?)")?;
        for (no, indexed) in std::mem::take(&mut self.messages) {
            indexed.write(no, &mut insert)?;
        }
        let mut insert = connection
            .prepare_cached("INSERT INTO search_responses(rowid, text, agent) VALUES(?, ?, ?)")?;
        for (no, indexed) in std::mem::take(&mut self.responses) {
            indexed.write(no, &mut insert)?;
        }
        self.numbers.clear();
        let messages = std::mem::take(&mut self.forgotten_messages);
        delete(connection, "DELETE FROM search_messages WHERE rowid = ?", messages)?;
        let responses = std::mem::take(&mut self.forgotten_responses);
        delete(connection, "DELETE FROM search_responses WHERE rowid = ?", responses)
    }

    fn forget(&mut self) {
        *self = Self::default();
    }
}

impl Search {
    /// Forgets a text: its row is deleted. Where the log was read after the erasure there is none.
    fn erase(&mut self, connection: &Connection, place: &Beside) -> Result<(), ProjectionError> {
        let stream = place.stream.parse::<StreamName>().ok();
        let Some(id) = stream.and_then(|stream| stream.execution_id()) else { return Ok(()) };
        let no = match self.numbers.get(&id) {
            Some(no) => Some(*no),
            None => connection
                .prepare_cached("SELECT no FROM executions WHERE id = ?")?
                .query_row([id.0.as_bytes()], |row| columns::unsigned(row, 0))
                .optional()?,
        };
        let Some(no) = no else { return Ok(()) };
        let (waiting, forgotten) = match place.part {
            TextPart::Message => (&mut self.messages, &mut self.forgotten_messages),
            TextPart::Response => (&mut self.responses, &mut self.forgotten_responses),
            TextPart::SystemPrompt | TextPart::Error | TextPart::Reason | TextPart::Transcript => {
                return Ok(());
            }
        };
        if waiting.remove(&no).is_none() {
            forgotten.insert(no);
        }
        Ok(())
    }
}

/// Deletes rows, and remembers that what they held is still to be overwritten.
fn delete(connection: &Connection, sql: &str, rows: BTreeSet<u64>) -> rusqlite::Result<()> {
    let mut deleted = 0;
    for no in rows {
        deleted += connection.prepare_cached(sql)?.execute([columns::number(no)])?;
    }
    if deleted > 0 {
        connection.execute("UPDATE search_scrub SET owed = 1", [])?;
    }
    Ok(())
}
