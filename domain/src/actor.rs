//! Who did it.

use serde::{Deserialize, Serialize};

use crate::ids::{AgentName, UserName};

/// What kind of caller or part an actor is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ActorKind {
    /// A key, held by a person or a program.
    Key,
    /// A run, by its run token.
    Run,
    /// The ledger's own process manager.
    System,
    /// Whoever made a payment, without a key.
    Payer,
}

/// Who caused an event: a key, a run or the ledger itself, and on whose behalf.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Actor {
    /// What kind of actor.
    pub kind: ActorKind,
    /// Its id: of the key, of the execution whose run token it was, the name of the part, or the
    /// address that pays.
    pub id: String,
    /// The user that the key belongs to, or that the run was started for.
    pub user: UserName,
    /// The agent on whose behalf it acts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<AgentName>,
}

impl Actor {
    /// The ledger itself, by the name of its part, for example `manager`.
    pub fn system(part: &str) -> Self {
        Self {
            kind: ActorKind::System,
            id: part.to_owned(),
            user: UserName::new("system").unwrap_or_else(|_| unreachable!("a fixed, valid name")),
            agent: None,
        }
    }
}
