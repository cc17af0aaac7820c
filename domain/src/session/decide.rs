//! The rules of a chat session.

use super::event::{Closed, MessagePosted, Opened, SessionEvent};
use crate::Aggregate;
use crate::ids::ExecutionId;
use crate::limits::session as limit;

/// The state of one chat session.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Session {
    /// No event yet.
    #[default]
    Absent,
    /// It takes messages.
    Open {
        /// How it was opened.
        opened: Box<Opened>,
        /// The executions of its turns, in the order in which they were posted.
        turns: Vec<ExecutionId>,
    },
    /// It takes no more messages.
    Closed {
        /// How it was opened.
        opened: Box<Opened>,
        /// The executions of its turns, in the order in which they were posted.
        turns: Vec<ExecutionId>,
    },
}

impl Session {
    /// How it was opened, once it was.
    pub fn opened(&self) -> Option<&Opened> {
        match self {
            Self::Absent => None,
            Self::Open { opened, .. } | Self::Closed { opened, .. } => Some(opened),
        }
    }

    /// The executions of its turns, in the order in which they were posted.
    pub fn turns(&self) -> &[ExecutionId] {
        match self {
            Self::Absent => &[],
            Self::Open { turns, .. } | Self::Closed { turns, .. } => turns,
        }
    }
}

/// A wish about one chat session.
#[derive(Clone, Debug)]
pub enum Command {
    /// Open it.
    Open(Box<Opened>),
    /// Post a message, answered by this execution.
    Post {
        /// The execution.
        execution_id: ExecutionId,
    },
    /// Take no more messages.
    Close,
}

/// Why a command about a chat session was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// There is no session of that id.
    #[error("there is no such session")]
    NotFound,
    /// A session of that id was opened before.
    #[error("this session was opened before")]
    AlreadyOpened,
    /// It takes no more messages.
    #[error("this session was closed")]
    Closed,
    /// It holds as many messages as it may.
    #[error("a session holds at most {} messages: open another", limit::MESSAGES_MAX)]
    Full,
}

impl Aggregate for Session {
    type Event = SessionEvent;
    type Command = Command;
    type Rejection = Rejection;

    fn evolve(self, event: &SessionEvent) -> Self {
        match (self, event) {
            (Self::Absent, SessionEvent::Opened(opened)) => {
                Self::Open { opened: opened.clone(), turns: Vec::new() }
            }
            (Self::Open { opened, mut turns }, SessionEvent::MessagePosted(posted)) => {
                turns.push(posted.execution_id);
                Self::Open { opened, turns }
            }
            (Self::Open { opened, turns }, SessionEvent::Closed(_)) => {
                Self::Closed { opened, turns }
            }
            (state, _) => state,
        }
    }

    fn decide(&self, command: Command) -> Result<Vec<SessionEvent>, Rejection> {
        use Command as C;
        use SessionEvent as E;
        match (self, command) {
            (Self::Absent, C::Open(opened)) => Ok(vec![E::Opened(opened)]),
            (Self::Open { .. } | Self::Closed { .. }, C::Open(_)) => Err(Rejection::AlreadyOpened),

            // The same message again, after an answer that was lost.
            (Self::Open { turns, .. } | Self::Closed { turns, .. }, C::Post { execution_id })
                if turns.contains(&execution_id) =>
            {
                Ok(vec![])
            }
            (Self::Open { turns, .. }, C::Post { .. }) if turns.len() >= limit::MESSAGES_MAX => {
                Err(Rejection::Full)
            }
            (Self::Open { .. }, C::Post { execution_id }) => {
                Ok(vec![E::MessagePosted(MessagePosted { execution_id })])
            }
            (Self::Closed { .. }, C::Post { .. }) => Err(Rejection::Closed),

            (Self::Open { .. }, C::Close) => Ok(vec![E::Closed(Closed {})]),
            (Self::Closed { .. }, C::Close) => Ok(vec![]),

            (Self::Absent, C::Post { .. } | C::Close) => Err(Rejection::NotFound),
        }
    }
}
