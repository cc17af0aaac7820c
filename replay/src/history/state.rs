//! The state of one stream, whatever kind of stream it is.

use execution_ledger_domain::agent::Agent;
use execution_ledger_domain::key::Key;
use execution_ledger_domain::schedule::Schedule;
use execution_ledger_domain::session::Session;
use execution_ledger_domain::{Aggregate as _, Event};
use execution_ledger_projections::ExecutionRecord;
use execution_ledger_store::Recorded;
use serde_json::{Value, json};

/// What the events of one stream lead to.
#[derive(Clone, Debug, Default)]
pub enum State {
    /// No event yet.
    #[default]
    Absent,
    /// Of an execution: its record, as the service answers it.
    Execution(Box<ExecutionRecord>),
    /// Of a chat.
    Session(Session),
    /// Of an agent.
    Agent(Agent),
    /// Of a schedule.
    Schedule(Schedule),
    /// Of a key.
    Key(Key),
}

impl State {
    /// The state after one more event of the stream. An event that does not belong there changes
    /// nothing.
    #[must_use]
    pub fn after(self, recorded: &Recorded, event: &Event) -> Self {
        match (self, event) {
            (Self::Absent, Event::Execution(event)) => {
                ExecutionRecord::after(None, recorded, event)
                    .map_or(Self::Absent, |record| Self::Execution(Box::new(record)))
            }
            (Self::Execution(mut record), Event::Execution(event)) => {
                record.apply(recorded, event);
                Self::Execution(record)
            }
            (Self::Absent, Event::Session(event)) => {
                Self::Session(Session::default().evolve(event))
            }
            (Self::Session(state), Event::Session(event)) => Self::Session(state.evolve(event)),
            (Self::Absent, Event::Agent(event)) => Self::Agent(Agent::default().evolve(event)),
            (Self::Agent(state), Event::Agent(event)) => Self::Agent(state.evolve(event)),
            (Self::Absent, Event::Schedule(event)) => {
                Self::Schedule(Schedule::default().evolve(event))
            }
            (Self::Schedule(state), Event::Schedule(event)) => Self::Schedule(state.evolve(event)),
            (Self::Absent, Event::Key(event)) => Self::Key(Key::default().evolve(event)),
            (Self::Key(state), Event::Key(event)) => Self::Key(state.evolve(event)),
            (state, _) => state,
        }
    }

    /// As JSON; null where there is nothing. Of a key, its secret's digest is left out.
    pub fn told(&self) -> Value {
        match self {
            Self::Absent => Value::Null,
            Self::Execution(record) => json!(record),
            Self::Session(session) => told_session(session),
            Self::Agent(agent) => {
                let status = match agent {
                    Agent::Absent => return Value::Null,
                    Agent::Active { paused: true, .. } => "paused",
                    Agent::Active { paused: false, .. } => "active",
                    Agent::Retired { .. } => "retired",
                };
                json!({"status": status, "config": agent.config()})
            }
            Self::Schedule(schedule) => told_schedule(schedule),
            Self::Key(key) => told_key(key),
        }
    }
}

fn told_session(session: &Session) -> Value {
    let Some(opened) = session.opened() else { return Value::Null };
    let status = if matches!(session, Session::Closed { .. }) { "closed" } else { "open" };
    json!({
        "status": status,
        "agent_name": opened.agent,
        "user": opened.user,
        "continues": opened.continues,
        "turns": session.turns(),
    })
}

fn told_schedule(schedule: &Schedule) -> Value {
    let Some(made) = schedule.made() else { return Value::Null };
    let status = match schedule.active() {
        None => "deleted",
        Some(active) if active.enabled => "enabled",
        Some(_) => "disabled",
    };
    json!({
        "status": status,
        "settings": made.settings,
        "user": made.user,
        "decided_until": made.decided,
    })
}

fn told_key(key: &Key) -> Value {
    let Some(issued) = key.issued() else { return Value::Null };
    let status = if matches!(key, Key::Revoked(_)) { "revoked" } else { "active" };
    json!({
        "status": status,
        "name": issued.name,
        "role": issued.role,
        "user": issued.user,
        "agent": issued.agent,
        "may_call": issued.may_call,
    })
}
