//! Keys: which there are and were.

use execution_ledger_domain::{KeyId, Role, UserName};

use super::list::check_limit;
use super::versions::{VersionRow, Which, version, versions};
use crate::cursor::Cursor;
use crate::model::KeyRow;
use crate::query::{At, KeyQuery, Page, QueryError, Seen};
use crate::views::Views;
use crate::write::{KeyVersion, Keys};

/// Keys that are read at once where all of them are wanted: above what may be in use.
const KEYS_IN_USE_MAX: usize = 1_000_000;

impl Views {
    /// A page of keys, the newest first.
    pub async fn keys(&self, at: At, query: &KeyQuery) -> Result<Seen<Page<KeyRow>>, QueryError> {
        check_limit(query.limit)?;
        let limit = query.limit as usize;
        let question = query.question();
        let log = self.log_id().clone();
        let cursor = query.cursor.as_deref();
        let cursor = cursor.map(|text| Cursor::decode(text, &log, &question)).transpose()?;
        let which = Which {
            user: query.user.as_ref().map(|user| user.as_str().to_owned()),
            kind: query.role.map(|role| role.as_str().to_owned()),
            active: query.revoked.map(|revoked| !revoked),
            before: cursor.map(|cursor| cursor.no),
            ..Which::default()
        };
        self.ask(at, move |connection, at| {
            let mut rows = versions::<Keys>(connection, at, &which, limit + 1)?;
            let more = rows.len() > limit;
            rows.truncate(limit);
            let last = rows.last().filter(|_| more).map(|row| row.created);
            Ok(Page {
                items: rows.iter().filter_map(key_row).collect(),
                next_cursor: last.map(|no| Cursor { key: 0, no }.encode(&log, &question)),
            })
        })
        .await
    }

    /// One key; nothing where there is none.
    pub async fn key(&self, at: At, id: KeyId) -> Result<Seen<Option<KeyRow>>, QueryError> {
        self.ask(at, move |connection, at| {
            let found = version::<Keys>(connection, at, &id.to_string())?;
            Ok(found.and_then(|found| key_row(&found)))
        })
        .await
    }

    /// All keys that were in use at a position.
    pub async fn keys_in_use(&self, at: At) -> Result<Seen<Vec<KeyRow>>, QueryError> {
        self.ask(at, |connection, at| {
            let which = Which { active: Some(true), ..Which::default() };
            let rows = versions::<Keys>(connection, at, &which, KEYS_IN_USE_MAX)?;
            Ok(rows.iter().filter_map(key_row).collect())
        })
        .await
    }
}

fn key_row(row: &VersionRow<KeyVersion>) -> Option<KeyRow> {
    let id = row.id.parse().ok();
    if id.is_none() {
        tracing::warn!(id = row.id, "a key's stream has no key's id");
    }
    Some(KeyRow {
        id: id?,
        issued: row.state.issued.clone(),
        issued_at: row.state.issued_at,
        revoked_at: row.state.revoked_at,
        position: row.since,
    })
}

impl KeyQuery {
    /// What tells this question's cursors from those of others.
    fn question(&self) -> String {
        let role = self.role.map_or("", Role::as_str);
        let user = self.user.as_ref().map_or("", UserName::as_str);
        format!("keys {role:?} {user:?} {:?}", self.revoked)
    }
}
