//! One execution, whole.

use std::collections::HashSet;

use execution_ledger_domain::{ExecutionId, Scope, StreamName};
use execution_ledger_store::{Position, Recorded, With};
use rusqlite::params_from_iter;
use rusqlite::types::Value;

use super::filters::scope_condition;
use super::records::{STREAM_EVENTS_MAX, fold};
use crate::model::ExecutionRecord;
use crate::query::{At, QueryError, Seen};
use crate::views::Views;

impl Views {
    /// One execution with its texts whole; nothing where there is none that the scope covers.
    pub async fn execution(
        &self,
        scope: &Scope,
        at: At,
        id: ExecutionId,
    ) -> Result<Seen<Option<ExecutionRecord>>, QueryError> {
        let seen = self.execution_with_events(scope, at, id).await?;
        Ok(seen.map(|found| found.map(|(record, _)| record)))
    }

    /// One execution and the events of its stream that it was folded from, with their texts.
    pub async fn execution_with_events(
        &self,
        scope: &Scope,
        at: At,
        id: ExecutionId,
    ) -> Result<Seen<Option<(ExecutionRecord, Vec<Recorded>)>>, QueryError> {
        let position = self.position_for(at)?;
        let stream = StreamName::execution(id);
        let mut events =
            self.store().read_stream(&stream, 0, STREAM_EVENTS_MAX, With::Contents).await?;
        events.retain(|recorded| recorded.position <= position);
        let record = fold(&events, position)?;
        let covered = record.filter(|record| scope.covers(&record.ownership()));
        Ok(Seen { position, value: covered.map(|record| (record, events)) })
    }

    /// Those of the executions that the scope covers, as far as the read models have seen them.
    pub async fn covered(
        &self,
        scope: &Scope,
        ids: Vec<ExecutionId>,
    ) -> Result<HashSet<ExecutionId>, QueryError> {
        let scope = scope.clone();
        let seen = self.ask(At::Now, move |connection, _| {
            let (scoped, of_scope) = scope_condition("e", &scope, 2);
            let sql = format!("SELECT 1 FROM executions e WHERE e.id = ?1 AND {scoped}");
            let mut select = connection.prepare_cached(&sql)?;
            let mut covered = HashSet::new();
            for id in ids {
                let values = [Value::Blob(id.0.as_bytes().to_vec())].into_iter();
                if select.exists(params_from_iter(values.chain(of_scope.iter().cloned())))? {
                    covered.insert(id);
                }
            }
            Ok(covered)
        });
        Ok(seen.await?.value)
    }

    /// One execution as its events up to a position of the log make it, whether or not the read
    /// models have seen that position; nothing where there is none that the scope covers.
    pub async fn execution_by_log(
        &self,
        scope: &Scope,
        until: Position,
        id: ExecutionId,
    ) -> Result<Option<ExecutionRecord>, QueryError> {
        let stream = StreamName::execution(id);
        let events =
            self.store().read_stream(&stream, 0, STREAM_EVENTS_MAX, With::Contents).await?;
        let record = fold(&events, until)?;
        Ok(record.filter(|record| scope.covers(&record.ownership())))
    }
}
