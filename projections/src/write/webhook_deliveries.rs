//! What webhooks are owed, what has become of it, and from where the sender goes on.
//!
//! Which messages a webhook is owed is decided here and nowhere else: those of its kinds that events
//! led to while it was enabled. So it follows from the log alone, whoever was running then.

use std::collections::{HashMap, HashSet};

use execution_ledger_domain::webhook::{Kind, Message, Webhook, WebhookEvent};
use execution_ledger_domain::wire::Event;
use execution_ledger_domain::{Aggregate, EventId, Timestamp, WebhookId};
use execution_ledger_store::{Position, Recorded, StreamHead};
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::projection::{Change, Projection, ProjectionError};
use crate::columns;
use crate::model::DeliveryState;

/// A row holds from `valid_from` until before `valid_to`; without one it holds now. `no` is the position
/// of the event that the message tells of.
const TABLES: &str = "
CREATE TABLE webhook_deliveries(
  webhook BLOB NOT NULL,
  event BLOB NOT NULL,
  kind INTEGER NOT NULL,
  valid_from INTEGER NOT NULL,
  valid_to INTEGER,
  no INTEGER NOT NULL,
  state INTEGER NOT NULL,
  since INTEGER NOT NULL,
  attempts INTEGER,
  status INTEGER,
  reason TEXT,
  PRIMARY KEY(webhook, event, kind, valid_from)
) WITHOUT ROWID;
CREATE TABLE webhook_heads(
  webhook BLOB PRIMARY KEY,
  revision INTEGER NOT NULL,
  position INTEGER NOT NULL,
  recorded_at INTEGER NOT NULL,
  event BLOB NOT NULL,
  deleted INTEGER NOT NULL,
  state TEXT NOT NULL
) WITHOUT ROWID;
";

const INDEXES: &str = "
CREATE INDEX webhook_deliveries_listed ON webhook_deliveries(webhook, no, kind);
CREATE INDEX webhook_deliveries_current ON webhook_deliveries(webhook, state, no, kind)
  WHERE valid_to IS NULL;
";

/// Where the sender goes on with a webhook.
#[derive(Clone)]
pub(crate) struct Head {
    pub state: Webhook,
    pub last: StreamHead,
}

/// All webhooks that are not deleted, once they were needed: [`execution_ledger_domain::limits`] says
/// how many there may be.
#[derive(Default)]
pub(super) struct WebhookDeliveries {
    heads: Option<HashMap<WebhookId, Head>>,
    changed: HashSet<WebhookId>,
}

impl Projection for WebhookDeliveries {
    fn name(&self) -> &'static str {
        "webhook_deliveries"
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
        if let Event::Webhook(event) = change.event {
            return self.take_in(connection, change.recorded, event);
        }
        let kinds = Kind::of(change.event);
        if !kinds.is_empty() {
            self.owe(connection, change.recorded, kinds)?;
        }
        Ok(())
    }

    fn flush(&mut self, connection: &Connection) -> rusqlite::Result<()> {
        let Some(heads) = &mut self.heads else { return Ok(()) };
        for id in self.changed.drain() {
            if let Some(head) = heads.get(&id) {
                write(connection, id, head)?;
                if head.state.active().is_none() {
                    heads.remove(&id);
                }
            }
        }
        Ok(())
    }

    fn forget(&mut self) {
        *self = Self::default();
    }
}

impl WebhookDeliveries {
    fn heads(
        &mut self,
        connection: &Connection,
    ) -> rusqlite::Result<&mut HashMap<WebhookId, Head>> {
        let heads = if let Some(heads) = self.heads.take() {
            heads
        } else {
            let sql = format!("SELECT {HEAD_COLUMNS} FROM webhook_heads WHERE NOT deleted");
            let mut select = connection.prepare_cached(&sql)?;
            let rows = select.query_map([], |row| {
                Ok((WebhookId(columns::uuid(row, HEAD_ID_COLUMN)?), head(row)?))
            })?;
            rows.collect::<rusqlite::Result<_>>()?
        };
        Ok(self.heads.insert(heads))
    }

    fn take_in(
        &mut self,
        connection: &Connection,
        recorded: &Recorded,
        event: &WebhookEvent,
    ) -> Result<(), ProjectionError> {
        let Some(id) = recorded.stream.webhook_id() else {
            let problem = format!("a webhook's event in the stream {}", recorded.stream);
            return Err(ProjectionError::Poison(problem));
        };
        let heads = self.heads(connection)?;
        let before = heads.remove(&id).map_or_else(Webhook::default, |head| head.state);
        let last = StreamHead::of(recorded);
        heads.insert(id, Head { state: before.evolve(event), last });
        self.changed.insert(id);
        let settled = match event {
            WebhookEvent::Delivered(taken) => Settled {
                message: taken.message,
                state: DeliveryState::Delivered,
                attempts: Some(taken.attempts),
                status: Some(taken.status),
                reason: None,
            },
            WebhookEvent::DeadLettered(dead) => Settled {
                message: dead.message,
                state: DeliveryState::Dead,
                attempts: Some(dead.attempts),
                status: dead.status,
                reason: Some(&dead.reason),
            },
            WebhookEvent::Redriven(redriven) => Settled {
                message: redriven.message,
                state: DeliveryState::Pending,
                attempts: None,
                status: None,
                reason: None,
            },
            WebhookEvent::WebhookRegistered(_)
            | WebhookEvent::WebhookChanged(_)
            | WebhookEvent::SecretRotated(_)
            | WebhookEvent::WebhookDeleted(_) => return Ok(()),
        };
        Ok(settled.write(connection, id, recorded)?)
    }

    /// Notes what an event owes to the webhooks that are to be told of it.
    fn owe(
        &mut self,
        connection: &Connection,
        recorded: &Recorded,
        kinds: &[Kind],
    ) -> rusqlite::Result<()> {
        for (id, head) in self.heads(connection)? {
            let Some(active) = head.state.active().filter(|active| active.settings.enabled) else {
                continue;
            };
            for kind in kinds.iter().filter(|kind| active.settings.kinds.contains(kind)) {
                let no = columns::number(recorded.position.number());
                insert(connection)?.execute(params![
                    id.0.as_bytes(),
                    recorded.id.0.as_bytes(),
                    kind.number(),
                    no,
                    no,
                    DeliveryState::Pending.number(),
                    recorded.recorded_at.micros(),
                    None::<u32>,
                    None::<u16>,
                    None::<&str>,
                ])?;
            }
        }
        Ok(())
    }
}

/// What has become of a message.
struct Settled<'a> {
    message: Message,
    state: DeliveryState,
    attempts: Option<u32>,
    status: Option<u16>,
    reason: Option<&'a str>,
}

impl Settled<'_> {
    fn write(
        &self,
        connection: &Connection,
        id: WebhookId,
        recorded: &Recorded,
    ) -> rusqlite::Result<()> {
        let position = columns::number(recorded.position.number());
        let (event, kind) = (self.message.event_id.0, self.message.kind.number());
        let mut end = connection.prepare_cached(
            "UPDATE webhook_deliveries SET valid_to = ?
             WHERE webhook = ? AND event = ? AND kind = ? AND valid_to IS NULL RETURNING no",
        )?;
        let key = params![position, id.0.as_bytes(), event.as_bytes(), kind];
        let no: Option<i64> = end.query_row(key, |row| row.get(0)).optional()?;
        // Of a message that nobody was owed there is nothing to say.
        let Some(no) = no else { return Ok(()) };
        insert(connection)?.execute(params![
            id.0.as_bytes(),
            event.as_bytes(),
            kind,
            position,
            no,
            self.state.number(),
            recorded.recorded_at.micros(),
            self.attempts,
            self.status,
            self.reason,
        ])?;
        Ok(())
    }
}

fn insert(connection: &Connection) -> rusqlite::Result<rusqlite::CachedStatement<'_>> {
    connection.prepare_cached(
        "INSERT INTO webhook_deliveries(webhook, event, kind, valid_from, no, state, since, attempts,
           status, reason) VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    )
}

fn write(connection: &Connection, id: WebhookId, head: &Head) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "INSERT OR REPLACE INTO webhook_heads(webhook, revision, position, recorded_at, event,
               deleted, state) VALUES(?, ?, ?, ?, ?, ?, ?)",
        )?
        .execute(params![
            id.0.as_bytes(),
            columns::number(head.last.revision),
            columns::number(head.last.position.number()),
            head.last.recorded_at.micros(),
            head.last.id.0.as_bytes(),
            head.state.active().is_none(),
            columns::json(&head.state),
        ])?;
    Ok(())
}

/// The columns that [`head`] reads, in its order, and the webhook's id.
pub(crate) const HEAD_COLUMNS: &str = "revision, position, recorded_at, event, state, webhook";
/// Which of them is the webhook's id.
pub(crate) const HEAD_ID_COLUMN: usize = 5;

/// Reads a row of [`HEAD_COLUMNS`].
pub(crate) fn head(row: &Row<'_>) -> rusqlite::Result<Head> {
    Ok(Head {
        last: StreamHead {
            revision: columns::unsigned(row, 0)?,
            position: Position::new(columns::unsigned(row, 1)?),
            recorded_at: Timestamp::from_micros(row.get(2)?),
            id: EventId(columns::uuid(row, 3)?),
        },
        state: columns::from_json(row, 4)?,
    })
}
