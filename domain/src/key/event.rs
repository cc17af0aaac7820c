//! The facts of a key's life.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::caller::Role;
use crate::content::Digest;
use crate::ids::{AgentName, UserName};

/// A key was issued. Its secret was shown once and is kept nowhere.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Issued {
    /// What people call it.
    pub name: String,
    /// What its holder may do.
    pub role: Role,
    /// The user that it belongs to.
    pub user: UserName,
    /// The agent that it belongs to; of an agent's key only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<AgentName>,
    /// The agents that its holder may give tasks to, an agent's key always its own too; absent:
    /// all, of an agent's key none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub may_call: Option<BTreeSet<AgentName>>,
    /// SHA-256 of the whole key.
    pub secret_sha256: Digest,
}

/// The key is worth nothing any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Revoked {}

/// A fact of a key's life.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyEvent {
    /// `key.issued`
    Issued(Box<Issued>),
    /// `key.revoked`
    Revoked(Revoked),
}
