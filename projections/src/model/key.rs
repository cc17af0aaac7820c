//! Keys as they are told.

use execution_ledger_domain::key::Issued;
use execution_ledger_domain::{KeyId, Timestamp};
use execution_ledger_store::Position;

/// A key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyRow {
    /// Its id.
    pub id: KeyId,
    /// What was issued; of the secret its digest alone.
    pub issued: Issued,
    /// When.
    pub issued_at: Timestamp,
    /// When it was revoked, if it was.
    pub revoked_at: Option<Timestamp>,
    /// Position of its last change.
    pub position: Position,
}
