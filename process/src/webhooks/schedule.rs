//! When a message is tried again.

use std::time::Duration;

use execution_ledger_domain::webhook::Message;

/// Attempts at one message: then it is given up.
pub const ATTEMPTS_MAX: u32 = 10;
/// How long after each failed attempt the next one comes, in seconds: the example of Standard Webhooks.
/// With the first attempt, which comes at once, there are ten within about three days.
const RETRY_AFTER_S: [u64; 9] =
    [5, 5 * 60, 30 * 60, 2 * 3_600, 5 * 3_600, 10 * 3_600, 14 * 3_600, 20 * 3_600, 24 * 3_600];
/// How much sooner or later than that an attempt may come, in parts of a thousand, so that messages
/// that failed together are not tried together.
const JITTER_PER_MILLE: u64 = 100;

/// How long to wait after so many attempts, each of which failed.
pub(super) fn wait(message: Message, attempts: u32) -> Duration {
    let last = RETRY_AFTER_S.len() - 1;
    let index = usize::try_from(attempts.saturating_sub(1)).unwrap_or(last).min(last);
    // The end of an event's id is random: it serves as the dice.
    let (_, dice) = message.event_id.0.as_u64_pair();
    let dice = dice.rotate_left(attempts.saturating_mul(7) + u32::from(message.kind.number()));
    let per_mille = 1_000 - JITTER_PER_MILLE + dice % (2 * JITTER_PER_MILLE + 1);
    Duration::from_millis(RETRY_AFTER_S[index] * per_mille)
}

#[cfg(test)]
mod tests {
    use execution_ledger_domain::EventId;
    use execution_ledger_domain::webhook::Kind;
    use uuid::Uuid;

    use super::*;

    #[test]
    fn waits_grow_up_to_a_day_and_differ_a_little_between_messages() {
        let message = |no| Message { event_id: EventId(Uuid::from_u128(no)), kind: Kind::RunCost };
        for attempts in 1..=ATTEMPTS_MAX + 3 {
            let index = (attempts as usize - 1).min(RETRY_AFTER_S.len() - 1);
            let middle = Duration::from_secs(RETRY_AFTER_S[index]);
            for no in 0..500 {
                let wait = wait(message(no << 3), attempts);
                assert!(wait >= middle * 9 / 10 && wait <= middle * 11 / 10, "{wait:?}");
            }
        }
        assert_eq!(wait(message(9), 2), wait(message(9), 2));
        assert_ne!(wait(message(9), 2), wait(message(10), 2));
    }
}
