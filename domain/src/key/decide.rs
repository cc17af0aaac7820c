//! The rules of a key's life.

use super::event::{Issued, KeyEvent, Revoked};
use crate::Aggregate;
use crate::caller::Role;
use crate::limits::key as limit;

/// The state of one key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Key {
    /// No event yet.
    #[default]
    Absent,
    /// Its holder may call.
    Active(Box<Issued>),
    /// Its holder may not call any more.
    Revoked(Box<Issued>),
}

impl Key {
    /// What was issued, once something was.
    pub fn issued(&self) -> Option<&Issued> {
        match self {
            Self::Absent => None,
            Self::Active(issued) | Self::Revoked(issued) => Some(issued),
        }
    }
}

/// A wish about one key.
#[derive(Clone, Debug)]
pub enum Command {
    /// Issue it.
    Issue(Box<Issued>),
    /// Make it worth nothing.
    Revoke,
}

/// Why a command about a key was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// There is no key of that id.
    #[error("there is no such key")]
    NotFound,
    /// A key of that id was issued before.
    #[error("this key was issued before")]
    AlreadyIssued,
    /// A field breaks a rule.
    #[error("{field}: {problem}")]
    Invalid {
        /// The field.
        field: &'static str,
        /// What is wrong with it and what it may be.
        problem: String,
    },
}

impl Aggregate for Key {
    type Event = KeyEvent;
    type Command = Command;
    type Rejection = Rejection;

    fn evolve(self, event: &KeyEvent) -> Self {
        match (self, event) {
            (Self::Absent, KeyEvent::Issued(issued)) => Self::Active(issued.clone()),
            (Self::Active(issued), KeyEvent::Revoked(_)) => Self::Revoked(issued),
            (state, _) => state,
        }
    }

    fn decide(&self, command: Command) -> Result<Vec<KeyEvent>, Rejection> {
        match (self, command) {
            (Self::Absent, Command::Issue(issued)) => {
                check(&issued)?;
                Ok(vec![KeyEvent::Issued(issued)])
            }
            (Self::Active(_) | Self::Revoked(_), Command::Issue(_)) => {
                Err(Rejection::AlreadyIssued)
            }
            (Self::Active(_), Command::Revoke) => Ok(vec![KeyEvent::Revoked(Revoked {})]),
            (Self::Revoked(_), Command::Revoke) => Ok(vec![]),
            (Self::Absent, Command::Revoke) => Err(Rejection::NotFound),
        }
    }
}

fn check(issued: &Issued) -> Result<(), Rejection> {
    let invalid = |field, problem: String| Err(Rejection::Invalid { field, problem });
    let characters = issued.name.chars().count();
    let most = limit::NAME_MAX_CHARS;
    if !(1..=most).contains(&characters) || issued.name.chars().any(char::is_control) {
        return invalid(
            "name",
            format!("1 to {most} characters, none of them a control character"),
        );
    }
    match (issued.role, &issued.agent) {
        (Role::Agent, None) => {
            return invalid("agent", "an agent's key names its agent".to_owned());
        }
        (Role::Agent, Some(_)) | (_, None) => {}
        (role, Some(_)) => {
            return invalid("agent", format!("only a key of role agent has one, not {role}"));
        }
    }
    let Some(agents) = &issued.may_call else { return Ok(()) };
    if !matches!(issued.role, Role::User | Role::Agent) {
        let problem = format!("only keys of role user or agent are narrowed, not {}", issued.role);
        return invalid("may_call", problem);
    }
    let most = limit::MAY_CALL_MAX;
    if agents.len() > most {
        return invalid("may_call", format!("{} agents are more than {most}", agents.len()));
    }
    Ok(())
}
