//! All keys that hold, in memory: loaded at the start, then fed by whoever follows the log.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use execution_ledger_domain::content::Digest;
use execution_ledger_domain::key::{Issued, KeyEvent};
use execution_ledger_domain::{Actor, ActorKind, Caller, KeyId, Role, Scope};
use subtle::ConstantTimeEq;
use tokio_util::sync::CancellationToken;

use super::text;

/// A key that holds: who calls with it, until it is revoked.
#[derive(Debug)]
pub struct Held {
    /// Who calls with it.
    pub caller: Caller,
    /// Cancelled once it is revoked.
    pub revoked: CancellationToken,
    secret: Digest,
}

impl Held {
    /// SHA-256 of the whole key.
    pub fn secret_sha256(&self) -> &Digest {
        &self.secret
    }
}

/// The keys that hold. Of each secret it has the digest alone.
#[derive(Debug, Default)]
pub struct KeyRing {
    keys: RwLock<HashMap<KeyId, Arc<Held>>>,
}

impl KeyRing {
    /// Takes up a key that was in use when the log was last followed.
    pub fn take_up(&self, id: KeyId, issued: &Issued) {
        let held = Held {
            caller: caller(id, issued),
            revoked: CancellationToken::new(),
            secret: issued.secret_sha256,
        };
        let mut keys = self.keys.write().unwrap_or_else(PoisonError::into_inner);
        keys.entry(id).or_insert_with(|| Arc::new(held));
    }

    /// Takes in a fact of a key's life. A key that is revoked holds no more from here on, and
    /// whatever was opened with it is told.
    pub(crate) fn apply(&self, id: KeyId, event: &KeyEvent) {
        match event {
            KeyEvent::Issued(issued) => self.take_up(id, issued),
            KeyEvent::Revoked(_) => {
                let mut keys = self.keys.write().unwrap_or_else(PoisonError::into_inner);
                if let Some(held) = keys.remove(&id) {
                    held.revoked.cancel();
                }
            }
        }
    }

    /// The key that this text is, if it holds. Found by the id in it; the rest is compared in a time
    /// that says nothing of where it differs.
    pub fn find(&self, key: &str) -> Option<Arc<Held>> {
        let held = self.by_id(text::id_of(key)?)?;
        let given = Digest::of(key.as_bytes());
        let same: bool = held.secret.0.ct_eq(&given.0).into();
        same.then_some(held)
    }

    /// The key of that id, if it holds: for whoever knows already that the caller had it.
    pub fn by_id(&self, id: KeyId) -> Option<Arc<Held>> {
        self.keys.read().unwrap_or_else(PoisonError::into_inner).get(&id).cloned()
    }

    /// How many keys hold.
    pub fn len(&self) -> usize {
        self.keys.read().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Whether no key holds.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Who calls with a key.
fn caller(id: KeyId, issued: &Issued) -> Caller {
    let mut may_call = issued.may_call.clone();
    let mut scope = Scope::All;
    match (issued.role, &issued.agent) {
        (Role::Admin | Role::Operator | Role::Auditor | Role::Billing, _) => {}
        (Role::Agent, Some(agent)) => {
            scope = Scope::Agent(agent.clone());
            may_call.get_or_insert_default().insert(agent.clone());
        }
        // An agent's key without an agent is never issued; should one be there, it is a user's who
        // may call nobody.
        (Role::Agent, None) => {
            scope = Scope::User(issued.user.clone());
            may_call.get_or_insert_default();
        }
        (Role::User, _) => scope = Scope::User(issued.user.clone()),
    }
    let actor = Actor {
        kind: ActorKind::Key,
        id: id.to_string(),
        user: issued.user.clone(),
        agent: issued.agent.clone(),
    };
    Caller { actor, role: issued.role, scope, run: None, may_call }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use execution_ledger_domain::key::Revoked;
    use execution_ledger_domain::{AgentName, UserName};
    use uuid::Uuid;

    use super::*;

    fn agent(name: &str) -> AgentName {
        AgentName::new(name).expect("a name")
    }

    fn issued(role: Role, key: &str) -> Issued {
        Issued {
            name: "a key".to_owned(),
            role,
            user: UserName::new("ada").expect("a name"),
            agent: (role == Role::Agent).then(|| agent("a")),
            may_call: None,
            secret_sha256: Digest::of(key.as_bytes()),
        }
    }

    #[test]
    fn a_key_is_found_by_its_whole_text_until_it_is_revoked() {
        let (ring, id) = (KeyRing::default(), KeyId(Uuid::from_u128(1)));
        let key = text::draw(id).expect("random bytes");
        ring.apply(id, &KeyEvent::Issued(Box::new(issued(Role::User, &key))));
        let held = ring.find(&key).expect("it holds");
        let other = text::draw(id).expect("random bytes");
        assert!(ring.find(&other).is_none(), "another key that names the same id");
        assert!(!held.revoked.is_cancelled());
        ring.apply(id, &KeyEvent::Revoked(Revoked {}));
        assert!(held.revoked.is_cancelled() && ring.find(&key).is_none() && ring.is_empty());
    }

    #[test]
    fn each_role_sees_and_calls_what_it_may() {
        let id = KeyId(Uuid::from_u128(1));
        for role in [Role::Admin, Role::Operator, Role::Auditor, Role::Billing] {
            let caller = caller(id, &issued(role, "k"));
            assert_eq!((caller.scope, caller.may_call), (Scope::All, None), "{role}");
        }
        let user = caller(id, &issued(Role::User, "k"));
        assert_eq!(user.scope, Scope::User(UserName::new("ada").expect("a name")));
        assert_eq!(user.may_call, None, "a user may call all agents by default");

        let own = caller(id, &issued(Role::Agent, "k"));
        assert_eq!(own.scope, Scope::Agent(agent("a")));
        assert_eq!(own.may_call, Some(BTreeSet::from([agent("a")])), "an agent only itself");
        assert_eq!(own.actor.agent, Some(agent("a")));
        let may_call = Some(BTreeSet::from([agent("b")]));
        let wider = caller(id, &Issued { may_call, ..issued(Role::Agent, "k") });
        assert_eq!(wider.may_call, Some(BTreeSet::from([agent("a"), agent("b")])));
    }
}
