//! The test language of the rules: given events, when a command, then events or a refusal.

use std::fmt::Debug;

use crate::content::{ContentRef, Digest};
use crate::execution::{CostBasis, Evidence, Exit, Observation, Pending, Requester, Trigger};
use crate::ids::{AgentName, ClaimId, UserName};
use crate::{ActorKind, Aggregate, Timestamp};

/// A state that follows from the given events.
pub struct Given<A>(A);

/// What a command led to.
pub struct When<A: Aggregate>(Result<Vec<A::Event>, A::Rejection>);

/// Starts from these events.
pub fn given<A: Aggregate>(events: impl IntoIterator<Item = A::Event>) -> Given<A> {
    Given(events.into_iter().fold(A::default(), |state, event| state.evolve(&event)))
}

impl<A: Aggregate> Given<A> {
    /// Gives a command.
    #[must_use]
    pub fn when(self, command: A::Command) -> When<A> {
        When(self.0.decide(command))
    }
}

impl<A: Aggregate> When<A>
where
    A::Event: PartialEq + Debug,
    A::Rejection: PartialEq + Debug,
{
    /// Expects these events.
    #[track_caller]
    pub fn then(self, expected: impl IntoIterator<Item = A::Event>) {
        assert_eq!(self.0, Ok(expected.into_iter().collect::<Vec<_>>()));
    }

    /// Expects this refusal.
    #[track_caller]
    pub fn then_refused(self, expected: &A::Rejection) {
        assert_eq!(self.0.as_ref(), Err(expected));
    }

    /// The events, for a closer look.
    #[track_caller]
    pub fn events(self) -> Vec<A::Event> {
        self.0.unwrap_or_else(|refused| panic!("refused: {refused:?}"))
    }
}

/// The plainest task: by hand, on this agent, for this user, of a minute at most, waiting until
/// `expires_at`; its message is a digest of nothing.
pub fn task(agent: AgentName, user: UserName, expires_at: Timestamp) -> Pending {
    Pending {
        agent,
        triggered_by: Trigger::Manual,
        message: ContentRef { sha256: Digest([1; 32]), bytes: 5 },
        redactions: 0,
        requested_by: Requester { kind: ActorKind::Key, id: "k".to_owned() },
        user,
        expires_at,
        request_sha256: Digest([2; 32]),
        source_agent: None,
        parent_execution_id: None,
        depth: 0,
        chat_session_id: None,
        inject_result: false,
        retry_of: None,
        attempt: 1,
        max_retries: 0,
        not_before: None,
        schedule_id: None,
        payment_id: None,
        model_requested: None,
        timeout_s: 60,
        max_cost_nano_usd: None,
        allowed_tools: None,
        system_prompt: None,
        max_turns: None,
        resume_session_id: None,
    }
}

/// The plainest end of the run of `claim`: of this moment, with exit code 0 and success, and nothing
/// else known.
pub fn observed(claim: ClaimId, now: Timestamp) -> Observation {
    Observation {
        claim,
        started_at: now,
        ended_at: now,
        duration_ms: 0,
        exit: Some(Exit::Code(0)),
        stopped: None,
        signals: Vec::new(),
        killed_processes: 0,
        evidence: Evidence::Success,
        response: None,
        response_cut: false,
        cost: None,
        cost_basis: CostBasis::Unknown,
        price_book: None,
        usage: None,
        usage_by_model: Vec::new(),
        model_used: None,
        agent_session_id: None,
        num_turns: None,
        transcript: None,
    }
}
