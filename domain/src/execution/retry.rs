//! New attempts at an execution: what they take over from it, and when they follow by themselves.

use super::event::{FailureCode, Pending, Requester, Trigger};
use crate::content::{ContentRef, Digest};
use crate::ids::ExecutionId;
use crate::limits::{QUEUE_MAX_S, agent as limit};
use crate::time::Timestamp;

/// How much of a wait is taken off at random, so that what failed at once is not tried again at
/// once: at most one part of so many.
const JITTER_PART: u64 = 5;

/// What a new attempt does not take over from the one before it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// The execution that it is a new attempt at.
    pub of: ExecutionId,
    /// The message, stored anew.
    pub message: ContentRef,
    /// The system prompt, stored anew.
    pub system_prompt: Option<ContentRef>,
    /// Who asked for it.
    pub requested_by: Requester,
    /// By what a repeated request for it is recognised.
    pub request_sha256: Digest,
    /// Now.
    pub now: Timestamp,
    /// It starts at this moment or later.
    pub not_before: Option<Timestamp>,
}

impl FailureCode {
    /// Whether it can pass by itself: then nothing was done yet, and trying again may help. Where the
    /// agent had begun, trying again would do and pay twice what it did.
    pub fn can_pass(self) -> bool {
        matches!(self, Self::SpawnFailed | Self::Overloaded)
    }
}

impl Pending {
    /// Another attempt at the same task, with the same settings, for the same user.
    #[must_use]
    pub fn again(&self, attempt: Attempt) -> Self {
        let waits_from = attempt.not_before.map_or(attempt.now, |at| at.max(attempt.now));
        Self {
            triggered_by: Trigger::Retry,
            message: attempt.message,
            requested_by: attempt.requested_by,
            expires_at: waits_from.plus_s(QUEUE_MAX_S),
            request_sha256: attempt.request_sha256,
            retry_of: Some(attempt.of),
            attempt: self.attempt.saturating_add(1),
            not_before: attempt.not_before,
            system_prompt: attempt.system_prompt,
            ..self.clone()
        }
    }

    /// Whether another attempt follows by itself should this one fail for a reason that can pass.
    /// A chat turn is posted again by whoever wants it.
    pub fn is_retried(&self) -> bool {
        self.triggered_by != Trigger::Chat && self.attempt <= self.max_retries
    }

    /// When the attempt that follows on this one by itself starts at the earliest: `base_s` seconds
    /// after it `failed_at`, twice as long with each attempt, ten minutes at most, and up to a fifth
    /// less, by the execution's id.
    pub fn retried_from(&self, id: ExecutionId, failed_at: Timestamp, base_s: u64) -> Timestamp {
        let doublings = self.attempt.saturating_sub(1).min(limit::RETRIES_MAX);
        let most_ms = limit::RETRY_BACKOFF_MAX_S * 1_000;
        let wait_ms = base_s.saturating_mul(1_000 << doublings).min(most_ms);
        // The last bytes of an id are its most random ones.
        let [.., high, low] = *id.0.as_bytes();
        let off = wait_ms / JITTER_PART * u64::from(u16::from_be_bytes([high, low])) / 65_536;
        failed_at.plus_ms(wait_ms - off)
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::ActorKind;
    use crate::execution::{Command, Execution, ExecutionEvent, Rejection};
    use crate::given::{given, task};
    use crate::ids::{AgentName, ClaimId, SessionId, UserName};

    fn at(second: i64) -> Timestamp {
        Timestamp::from_micros(second * 1_000_000)
    }

    fn id(number: u128) -> ExecutionId {
        ExecutionId(Uuid::from_u128(number))
    }

    fn first() -> Pending {
        let (agent, user) = (AgentName::new("a").expect("name"), UserName::new("u").expect("name"));
        Pending {
            chat_session_id: Some(SessionId(Uuid::from_u128(5))),
            inject_result: true,
            triggered_by: Trigger::SelfTask,
            timeout_s: 7,
            max_retries: 3,
            ..task(agent, user, at(100))
        }
    }

    fn attempt(not_before: Option<Timestamp>) -> Attempt {
        Attempt {
            of: id(1),
            message: ContentRef { sha256: Digest([7; 32]), bytes: 5 },
            system_prompt: None,
            requested_by: Requester { kind: ActorKind::System, id: "process_manager".to_owned() },
            request_sha256: Digest([8; 32]),
            now: at(1_000),
            not_before,
        }
    }

    #[test]
    fn a_new_attempt_keeps_all_but_its_texts_its_requester_and_its_times() {
        let again = first().again(attempt(None));
        assert_eq!((again.triggered_by, again.retry_of), (Trigger::Retry, Some(id(1))));
        assert_eq!((again.attempt, again.max_retries, again.timeout_s), (2, 3, 7));
        assert_eq!((again.chat_session_id, again.inject_result), (first().chat_session_id, true));
        assert_eq!((again.user.as_str(), again.message.sha256), ("u", Digest([7; 32])));
        assert_eq!(again.expires_at, at(1_000 + 86_400));
        let later = first().again(attempt(Some(at(1_600))));
        assert_eq!(later.expires_at, at(1_600 + 86_400), "its time in the queue begins then");
        let overdue = first().again(attempt(Some(at(10))));
        assert_eq!(overdue.expires_at, at(1_000 + 86_400));
    }

    #[test]
    fn waits_double_up_to_ten_minutes_and_are_a_fifth_shorter_at_most() {
        for number in [0, 77, 0xffff, 0x1234_5678_9abc] {
            for (attempt, whole) in [(1, 5), (2, 10), (3, 20), (7, 320), (8, 600), (11, 600)] {
                let pending = Pending { attempt, ..first() };
                let wait = pending.retried_from(id(number), at(50), 5).ms_since(at(50));
                assert!((whole * 800..=whole * 1_000).contains(&wait), "{attempt}: {wait}");
            }
        }
        assert_eq!(first().retried_from(id(0), at(50), 5), at(55));
        assert_ne!(first().retried_from(id(9_999), at(50), 5), at(55));
        assert_eq!(first().retried_from(id(9), at(50), 0), at(50));
    }

    #[test]
    fn nothing_starts_before_its_time() {
        let pending = first().again(attempt(Some(at(1_600))));
        let start = |now| Command::Start {
            claim: ClaimId(Uuid::from_u128(1)),
            now,
            runtime: crate::agent::Runtime::Command,
            turn: crate::execution::TurnContext::default(),
            node: None,
        };
        let waiting = || given::<Execution>([ExecutionEvent::Pending(Box::new(pending.clone()))]);
        waiting().when(start(at(1_599))).then_refused(&Rejection::TooEarly);
        assert_eq!(waiting().when(start(at(1_600))).events().len(), 1);
    }
}
