//! The rules of a key's life.

use std::collections::BTreeSet;

use super::*;
use crate::Aggregate;
use crate::caller::Role;
use crate::content::Digest;
use crate::given::given;
use crate::ids::{AgentName, UserName};

fn issued(role: Role) -> Issued {
    Issued {
        name: "Nightly checks".to_owned(),
        role,
        user: UserName::new("ada").expect("a name"),
        agent: (role == Role::Agent).then(|| AgentName::new("a").expect("a name")),
        may_call: None,
        secret_sha256: Digest([7; 32]),
    }
}

fn issue(key: Issued) -> Command {
    Command::Issue(Box::new(key))
}

#[test]
fn a_key_is_issued_once_and_revoked_for_ever() {
    let key = issued(Role::Auditor);
    let was_issued = KeyEvent::Issued(Box::new(key.clone()));
    let revoked = KeyEvent::Revoked(Revoked {});
    given::<Key>([]).when(issue(key.clone())).then([was_issued.clone()]);
    given::<Key>([was_issued.clone()]).when(Command::Revoke).then([revoked.clone()]);
    given::<Key>([was_issued.clone(), revoked.clone()]).when(Command::Revoke).then([]);
    given::<Key>([]).when(Command::Revoke).then_refused(&Rejection::NotFound);
    for history in [vec![was_issued.clone()], vec![was_issued, revoked]] {
        given::<Key>(history).when(issue(key.clone())).then_refused(&Rejection::AlreadyIssued);
    }
}

#[test]
fn a_name_is_short_and_an_agent_belongs_to_an_agents_key_alone() {
    let refused_field = |key: Issued| match Key::Absent.decide(issue(key)) {
        Err(Rejection::Invalid { field, .. }) => Some(field),
        _ => None,
    };
    let of = issued;
    for name in [String::new(), "x".repeat(101), "line\nbreak".to_owned()] {
        assert_eq!(refused_field(Issued { name, ..of(Role::User) }), Some("name"));
    }
    assert_eq!(refused_field(Issued { agent: None, ..of(Role::Agent) }), Some("agent"));
    let agent = AgentName::new("a").ok();
    assert_eq!(refused_field(Issued { agent, ..of(Role::User) }), Some("agent"));
    let may_call = Some(BTreeSet::new());
    for role in [Role::Admin, Role::Operator, Role::Auditor, Role::Billing] {
        let narrowed = Issued { may_call: may_call.clone(), ..of(role) };
        assert_eq!(refused_field(narrowed), Some("may_call"), "{role}");
    }
    for role in [Role::User, Role::Agent] {
        assert_eq!(refused_field(Issued { may_call: may_call.clone(), ..of(role) }), None);
    }
    let many = (0..257).filter_map(|n| AgentName::new(&format!("a{n}")).ok()).collect();
    let many = Issued { may_call: Some(many), ..of(Role::User) };
    assert_eq!(refused_field(many), Some("may_call"));
}
