//! What can be wished of an execution.

use super::event::{CancelCause, FailureCode, InjectionRefusal, Pending, SignalSent};
use super::observation::{CostBasis, Observation};
use crate::agent::Runtime;
use crate::content::ContentRef;
use crate::ids::{ClaimId, ExecutionId, NodeId, SessionId};
use crate::money::NanoUsd;
use crate::time::Timestamp;

/// What a turn of a chat session goes on from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TurnContext {
    /// The agent's own session that it resumes.
    pub resumed_session_id: Option<String>,
    /// The executions whose injected results the agent is told of.
    pub told: Vec<ExecutionId>,
}

/// A wish about one execution.
#[derive(Clone, Debug)]
pub enum Command {
    /// Accept a task. What the event is to hold was checked and resolved before.
    Submit(Box<Pending>),
    /// Let it be the next of its agent's queue.
    MoveToFront {
        /// Higher than any rank given before; its own where it is the next already.
        rank: u64,
    },
    /// Take a slot; whoever's append wins may start the process.
    Start {
        /// Which start this is.
        claim: ClaimId,
        /// Now.
        now: Timestamp,
        /// Which program the agent is.
        runtime: Runtime,
        /// What a chat turn goes on from; nothing for any other execution.
        turn: TurnContext,
        /// Where it is to run, where several nodes share the log.
        node: Option<NodeId>,
    },
    /// Stop it, or never start it.
    Cancel {
        /// Why.
        cause: CancelCause,
    },
    /// Record a signal that was sent.
    NoteSignal {
        /// Which start of the execution was sent it.
        claim: ClaimId,
        /// The signal.
        sent: SignalSent,
    },
    /// End a start that was cancelled before any process was started for it.
    Abandon {
        /// Which start.
        claim: ClaimId,
    },
    /// End it by what was observed.
    Finish(Box<Observation>),
    /// End a start of which nothing was observed, or not enough.
    Lose {
        /// Which start.
        claim: ClaimId,
        /// Why it is lost.
        code: FailureCode,
        /// The same in words.
        message: ContentRef,
        /// What was observed all the same.
        observed: Option<Box<Observation>>,
    },
    /// Stop waiting if it has waited for too long.
    Expire {
        /// Now.
        now: Timestamp,
        /// The reason in words.
        message: ContentRef,
    },
    /// Record that its result stands in its chat session.
    Inject {
        /// The session.
        session_id: SessionId,
    },
    /// Record that its result can't stand in its chat session.
    RefuseInjection {
        /// The session.
        session_id: SessionId,
        /// Why not.
        reason: InjectionRefusal,
    },
    /// Correct the cost of an ended execution.
    CorrectCost {
        /// The cost that holds from now on.
        cost: NanoUsd,
        /// Where it comes from.
        basis: CostBasis,
        /// The version of the price book that it was computed with, where one was.
        price_book: Option<String>,
        /// A person's reason.
        reason: ContentRef,
    },
}
