//! Webhooks, what they are owed, and what has become of it.

use execution_ledger_domain::webhook::{Kind, Message};
use execution_ledger_domain::{EventId, Timestamp, WebhookId};
use execution_ledger_store::Position;
use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension, Row, params, params_from_iter};

use super::list::check_limit;
use super::versions::{VersionRow, Which, version, versions};
use crate::columns;
use crate::cursor::Cursor;
use crate::model::{Backlog, DeliveryRow, DeliveryState, OwedRow, WebhookHead, WebhookRow};
use crate::query::{At, DeliveryQuery, Page, QueryError, Seen, WebhookQuery};
use crate::views::Views;
use crate::write::{
    WEBHOOK_HEAD_COLUMNS, WEBHOOK_HEAD_ID_COLUMN, WebhookVersion, Webhooks, webhook_head,
    webhook_kind,
};

/// Messages of a backlog that are counted, at most.
pub const BACKLOG_COUNTED_MAX: u64 = 100_000;

const DELIVERY_COLUMNS: &str = "event, kind, no, state, since, attempts, status, reason";

impl Views {
    /// A page of webhooks, the newest first.
    ///
    /// # Errors
    /// [`QueryError`] where the question can't be answered.
    pub async fn webhooks(
        &self,
        at: At,
        query: &WebhookQuery,
    ) -> Result<Seen<Page<WebhookRow>>, QueryError> {
        check_limit(query.limit)?;
        let limit = query.limit as usize;
        let question = format!("webhooks {:?}", query.enabled);
        let log = self.log_id().clone();
        let cursor = query.cursor.as_deref();
        let cursor = cursor.map(|text| Cursor::decode(text, &log, &question)).transpose()?;
        let which = Which {
            kind: query.enabled.map(|enabled| webhook_kind(enabled).to_owned()),
            active: Some(true),
            before: cursor.map(|cursor| cursor.no),
            ..Which::default()
        };
        self.ask(at, move |connection, at| {
            let mut rows = versions::<Webhooks>(connection, at, &which, limit + 1)?;
            let more = rows.len() > limit;
            rows.truncate(limit);
            let last = rows.last().filter(|_| more).map(|row| row.created);
            Ok(Page {
                items: rows.into_iter().filter_map(webhook_row).collect(),
                next_cursor: last.map(|no| Cursor { key: 0, no }.encode(&log, &question)),
            })
        })
        .await
    }

    /// One webhook; nothing where there is none.
    ///
    /// # Errors
    /// As [`Views::webhooks`].
    pub async fn webhook(
        &self,
        at: At,
        id: WebhookId,
    ) -> Result<Seen<Option<WebhookRow>>, QueryError> {
        self.ask(at, move |connection, at| Ok(found(connection, at, id)?)).await
    }

    /// A page of the messages to a webhook, those of the latest events first; nothing where there is no
    /// such webhook.
    ///
    /// # Errors
    /// As [`Views::webhooks`].
    pub async fn webhook_deliveries(
        &self,
        at: At,
        id: WebhookId,
        query: &DeliveryQuery,
    ) -> Result<Seen<Option<Page<DeliveryRow>>>, QueryError> {
        check_limit(query.limit)?;
        let limit = query.limit as usize;
        let state = query.state;
        let question = format!("webhook_deliveries {id} {state:?}");
        let log = self.log_id().clone();
        let cursor = query.cursor.as_deref();
        let cursor = cursor.map(|text| Cursor::decode(text, &log, &question)).transpose()?;
        self.ask(at, move |connection, at| {
            if found(connection, at, id)?.is_none() {
                return Ok(None);
            }
            let mut items = deliveries(connection, at, id, state, cursor, limit + 1)?;
            let more = items.len() > limit;
            items.truncate(limit);
            let last = items.last().filter(|_| more).map(|row| Cursor {
                key: row.message.kind.number().into(),
                no: row.position.number(),
            });
            let next_cursor = last.map(|cursor| cursor.encode(&log, &question));
            Ok(Some(Page { items, next_cursor }))
        })
        .await
    }

    /// How a webhook stands now: what it is owed and what was given up.
    ///
    /// # Errors
    /// [`QueryError::NotReady`] while the read models are made anew.
    pub async fn webhook_backlog(&self, id: WebhookId) -> Result<Backlog, QueryError> {
        let seen = self
            .ask(At::Now, move |connection, _| {
                let count = |state: DeliveryState| -> rusqlite::Result<u64> {
                    let mut select = connection.prepare_cached(
                        "SELECT count(*) FROM (SELECT 1 FROM webhook_deliveries
                           WHERE webhook = ? AND state = ? AND valid_to IS NULL LIMIT ?)",
                    )?;
                    let most = columns::number(BACKLOG_COUNTED_MAX);
                    let values = params![id.0.as_bytes(), state.number(), most];
                    select.query_row(values, |row| columns::unsigned(row, 0))
                };
                let mut select = connection.prepare_cached(
                    "SELECT since FROM webhook_deliveries
                     WHERE webhook = ? AND state = ? AND valid_to IS NULL ORDER BY no, kind LIMIT 1",
                )?;
                let values = params![id.0.as_bytes(), DeliveryState::Pending.number()];
                let oldest = select.query_row(values, |row| row.get(0)).optional()?;
                Ok(Backlog {
                    pending: count(DeliveryState::Pending)?,
                    oldest: oldest.map(Timestamp::from_micros),
                    dead: count(DeliveryState::Dead)?,
                })
            })
            .await?;
        Ok(seen.value)
    }

    /// From where the sender goes on: all webhooks that are not deleted.
    ///
    /// # Errors
    /// As [`Views::webhook_backlog`].
    pub async fn webhook_work(&self) -> Result<(Position, Vec<WebhookHead>), QueryError> {
        let seen = self
            .ask(At::Now, |connection, _| {
                let sql =
                    format!("SELECT {WEBHOOK_HEAD_COLUMNS} FROM webhook_heads WHERE NOT deleted");
                let mut select = connection.prepare_cached(&sql)?;
                let rows = select.query_map([], |row| {
                    let found = webhook_head(row)?;
                    let id = WebhookId(columns::uuid(row, WEBHOOK_HEAD_ID_COLUMN)?);
                    Ok(WebhookHead { id, state: found.state, head: found.last })
                })?;
                Ok(rows.collect::<rusqlite::Result<Vec<_>>>()?)
            })
            .await?;
        Ok((seen.position, seen.value))
    }

    /// The next messages that a webhook is owed, those of the earliest events first, after one of them
    /// or from the first on; at most `limit`.
    ///
    /// # Errors
    /// As [`Views::webhook_backlog`].
    pub async fn webhook_owed(
        &self,
        id: WebhookId,
        after: Option<(Position, Kind)>,
        limit: usize,
    ) -> Result<Vec<OwedRow>, QueryError> {
        let (no, kind) = after.map_or((0, 0), |(at, kind)| (at.number(), kind.number()));
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let seen = self
            .ask(At::Now, move |connection, _| {
                let mut select = connection.prepare_cached(
                    "SELECT event, kind, no, since FROM webhook_deliveries
                     WHERE webhook = ? AND state = ? AND valid_to IS NULL AND (no, kind) > (?, ?)
                     ORDER BY no, kind LIMIT ?",
                )?;
                let state = DeliveryState::Pending.number();
                let values = params![id.0.as_bytes(), state, columns::number(no), kind, limit];
                let rows = select.query_map(values, |row| {
                    Ok(OwedRow {
                        message: message(row)?,
                        position: Position::new(columns::unsigned(row, 2)?),
                        since: Timestamp::from_micros(row.get(3)?),
                    })
                })?;
                Ok(rows.collect::<rusqlite::Result<Vec<_>>>()?)
            })
            .await?;
        Ok(seen.value)
    }
}

fn found(
    connection: &Connection,
    at: Option<Position>,
    id: WebhookId,
) -> rusqlite::Result<Option<WebhookRow>> {
    let row = version::<Webhooks>(connection, at, &id.to_string())?;
    Ok(row.filter(|row| !row.state.deleted).and_then(webhook_row))
}

fn webhook_row(row: VersionRow<WebhookVersion>) -> Option<WebhookRow> {
    let id = row.id.parse().ok();
    if id.is_none() {
        tracing::warn!(id = row.id, "a webhook's stream has no webhook's id");
    }
    Some(WebhookRow {
        id: id?,
        settings: row.state.settings,
        generation: row.state.generation,
        previous_until: row.state.previous_until,
        created_at: row.state.created_at,
        changed_at: row.state.changed_at,
        position: row.since,
    })
}

fn deliveries(
    connection: &Connection,
    at: Option<Position>,
    id: WebhookId,
    state: Option<DeliveryState>,
    before: Option<Cursor>,
    limit: usize,
) -> rusqlite::Result<Vec<DeliveryRow>> {
    let mut values = vec![Value::Blob(id.0.as_bytes().to_vec())];
    let mut conditions = "webhook = ?1".to_owned();
    let mut take = |condition: &str, numbers: &[i64]| {
        let mut condition = condition.to_owned();
        for number in numbers {
            values.push(Value::Integer(*number));
            condition = condition.replacen('#', &format!("?{}", values.len()), 1);
        }
        conditions.push_str(" AND ");
        conditions.push_str(&condition);
    };
    match at.map(|at| columns::number(at.number())) {
        Some(at) => take("valid_from <= # AND (valid_to IS NULL OR valid_to > #)", &[at, at]),
        None => take("valid_to IS NULL", &[]),
    }
    if let Some(state) = state {
        take("state = #", &[state.number().into()]);
    }
    if let Some(before) = before {
        take("(no, kind) < (#, #)", &[columns::number(before.no), before.key]);
    }
    values.push(Value::Integer(i64::try_from(limit).unwrap_or(i64::MAX)));
    let sql = format!(
        "SELECT {DELIVERY_COLUMNS} FROM webhook_deliveries WHERE {conditions}
         ORDER BY no DESC, kind DESC LIMIT ?{}",
        values.len()
    );
    let mut select = connection.prepare_cached(&sql)?;
    select.query_map(params_from_iter(values), delivery)?.collect()
}

fn delivery(row: &Row<'_>) -> rusqlite::Result<DeliveryRow> {
    let state = DeliveryState::from_number(row.get(3)?);
    Ok(DeliveryRow {
        message: message(row)?,
        position: Position::new(columns::unsigned(row, 2)?),
        state: state.ok_or_else(|| columns::Bad::at(3))?,
        since: Timestamp::from_micros(row.get(4)?),
        attempts: row.get(5)?,
        status: row.get(6)?,
        reason: row.get(7)?,
    })
}

fn message(row: &Row<'_>) -> rusqlite::Result<Message> {
    let kind = Kind::from_number(row.get(1)?);
    Ok(Message {
        event_id: EventId(columns::uuid(row, 0)?),
        kind: kind.ok_or_else(|| columns::Bad::at(1))?,
    })
}
