//! Keys: who holds one, issuing them, and making them worth nothing.

mod ring;
mod text;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use execution_ledger_domain::content::Digest;
use execution_ledger_domain::key::{Command, Issued, Key, Rejection};
use execution_ledger_domain::{AgentName, Caller, KeyId, Role, StreamName, Timestamp, UserName};
use execution_ledger_store::{Context, ExecuteError, Ledger, Position, StoreError};
use uuid::Uuid;

use crate::desk::Desk;
use crate::redact::{Redactor, SECRET_IN_NAME};
use crate::signed_out::SignedOutBrowsers;
use crate::tasks::Request;
pub use ring::{Held, KeyRing};
pub use text::PREFIX;

/// Keys that may be in use at once.
pub const IN_USE_MAX: usize = 100_000;
/// Namespace of the ids of keys that are asked for once (UUIDv5).
const ONCE: Uuid = Uuid::from_u128(0x3f0e_77d2_94b1_5c86_a21d_6c0b_58e3_f417);
/// How long a change waits until it holds for the next request.
const APPLIED_WAIT: Duration = Duration::from_secs(5);

/// A key to be issued, as a caller asked for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewKey {
    /// What people call it.
    pub name: String,
    /// What its holder may do.
    pub role: Role,
    /// The user that it belongs to.
    pub user: UserName,
    /// The agent that it belongs to; of an agent's key only.
    pub agent: Option<AgentName>,
    /// The agents that its holder may give tasks to; nothing: all, of an agent's key none but its own.
    pub may_call: Option<BTreeSet<AgentName>>,
}

/// A key that was issued. Its text is shown once and kept nowhere.
#[derive(Clone, PartialEq, Eq)]
pub struct IssuedKey {
    /// Its id.
    pub id: KeyId,
    /// The key itself.
    pub key: String,
    /// When.
    pub issued_at: Timestamp,
    /// Position of the event.
    pub position: Position,
}

/// Why a key was not issued or not revoked.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// A key names an agent that there is not.
    #[error("{field}: there is no agent {agent}")]
    UnknownAgent {
        /// The field that names it.
        field: &'static str,
        /// The name.
        agent: AgentName,
    },
    /// As many keys are in use as may be.
    #[error("{IN_USE_MAX} keys are in use, which is as many as may be: revoke some")]
    TooMany,
    /// The same request issued this key before. Its text can't be shown again.
    #[error("this request issued the key {0} before, and its text can't be shown again")]
    AlreadyIssued(KeyId),
    /// The log has it, but it does not hold yet.
    #[error("the key is revoked in the log, but does not end yet: try again")]
    NotApplied,
    /// The write failed.
    #[error(transparent)]
    Write(#[from] ExecuteError<Rejection>),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What can be done about keys. Cheap to clone.
#[derive(Clone)]
pub struct Keys {
    ledger: Ledger,
    desk: Arc<Desk>,
}

impl Keys {
    /// Over the one write path and what follows the log.
    pub fn new(ledger: Ledger, desk: Arc<Desk>) -> Self {
        Self { ledger, desk }
    }

    /// The keys that hold.
    pub fn ring(&self) -> &KeyRing {
        self.desk.keys()
    }

    /// The browsers that were signed out.
    pub fn signed_out(&self) -> &Arc<SignedOutBrowsers> {
        self.desk.signed_out()
    }

    /// Issues a key. It holds as soon as this answers. With `once`, the caller's `Idempotency-Key`, it
    /// is issued once however often this is asked for.
    pub async fn issue(
        &self,
        caller: &Caller,
        new: NewKey,
        once: Option<&str>,
        request: &Request,
    ) -> Result<IssuedKey, KeyError> {
        if Redactor::global().finds_secret(&new.name) {
            let problem = SECRET_IN_NAME.to_owned();
            let refused = Rejection::Invalid { field: "name", problem };
            return Err(ExecuteError::Refused(refused).into());
        }
        let agents = new.agent.iter().map(|agent| ("agent", agent));
        let callable = new.may_call.iter().flatten().map(|agent| ("may_call", agent));
        for (field, agent) in agents.chain(callable) {
            if self.desk.config(agent).is_none() {
                return Err(KeyError::UnknownAgent { field, agent: agent.clone() });
            }
        }
        if self.ring().len() >= IN_USE_MAX {
            return Err(KeyError::TooMany);
        }
        let id = match once {
            None => KeyId(Uuid::now_v7()),
            Some(once) => {
                KeyId(Uuid::new_v5(&ONCE, format!("{} {once}", caller.actor.id).as_bytes()))
            }
        };
        let key = text::draw(id)?;
        let issued = Issued {
            name: new.name,
            role: new.role,
            user: new.user,
            agent: new.agent,
            may_call: new.may_call,
            secret_sha256: Digest::of(key.as_bytes()),
        };
        let command = Command::Issue(Box::new(issued));
        let (stream, context) = (StreamName::key(id), context(caller, request));
        let done = self.ledger.execute_new::<Key>(&stream, command, &[], &context).await;
        let done = done.map_err(|error| match error {
            ExecuteError::Refused(Rejection::AlreadyIssued) => KeyError::AlreadyIssued(id),
            other => other.into(),
        })?;
        if !self.desk.wait_applied(done.position, APPLIED_WAIT).await {
            tracing::warn!(key = %id, "the process manager is behind the log: a key holds later");
        }
        Ok(IssuedKey { id, key, issued_at: done.recorded_at, position: done.position })
    }

    /// Makes a key worth nothing. Once this answers well nobody is let in with it, and what was opened
    /// with it is ending. Also where it was revoked before.
    pub async fn revoke(
        &self,
        caller: &Caller,
        id: KeyId,
        request: &Request,
    ) -> Result<Position, KeyError> {
        let (stream, context) = (StreamName::key(id), context(caller, request));
        let done = self.ledger.execute::<Key>(&stream, Command::Revoke, &[], &context).await?;
        // The log knows it already, so trying again is all that is left where this takes too long.
        if !self.desk.wait_applied(done.position, APPLIED_WAIT).await {
            return Err(KeyError::NotApplied);
        }
        Ok(done.position)
    }
}

/// The story of a key begins with the request that asked for it.
fn context(caller: &Caller, request: &Request) -> Context {
    Context {
        actor: caller.actor.clone(),
        correlation_id: Some(request.id.clone()),
        causation_id: Some(request.id.clone()),
        traceparent: request.traceparent.clone(),
    }
}
