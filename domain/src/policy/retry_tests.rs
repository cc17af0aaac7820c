//! New attempts: when they follow, and that none starts before its time.

use std::collections::BTreeMap;

use proptest::prelude::*;
use uuid::Uuid;

use super::*;
use crate::agent::{Retired, Runtime};
use crate::execution::{Cancelled, Failed, FailureCode, Pending, QueueMoved, Running, Trigger};
use crate::ids::{ClaimId, UserName};

fn name() -> AgentName {
    AgentName::new("a").expect("name")
}

fn id(number: u64) -> ExecutionId {
    ExecutionId(Uuid::from_u128(number.into()))
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_micros(second * 1_000_000)
}

fn task() -> Pending {
    let user = UserName::new("u").expect("name");
    crate::given::task(name(), user, at(1_000_000))
}

fn waits_until(second: i64) -> ExecutionEvent {
    ExecutionEvent::Pending(Box::new(Pending { not_before: Some(at(second)), ..task() }))
}

fn plain() -> ExecutionEvent {
    ExecutionEvent::Pending(Box::new(task()))
}

fn running() -> ExecutionEvent {
    let claim = ClaimId(Uuid::from_u128(1));
    ExecutionEvent::Running(Running {
        claim,
        slot_until: at(900_000),
        runtime: Runtime::Command,
        resumed_session_id: None,
        told: Vec::new(),
        node: None,
    })
}

fn failed(code: FailureCode) -> ExecutionEvent {
    ExecutionEvent::Failed(Box::new(Failed { code, message: None, report: None }))
}

fn cancelled() -> ExecutionEvent {
    let cancelled = Cancelled { cause: CancelCause::Requested, report: None };
    ExecutionEvent::Cancelled(Box::new(cancelled))
}

fn policy(slots: u32) -> Policy {
    let base = AgentConfig::of(Runtime::Command, vec!["/bin/true".to_owned()]);
    let config = AgentConfig { max_parallel_tasks: slots, queue_limit: 2, ..base };
    let mut policy = Policy::default();
    policy.load_agent(&name(), config, AgentStatus::Active);
    policy
}

fn started(effects: &[Effect]) -> Vec<ExecutionId> {
    let start = |effect: &Effect| match effect {
        Effect::Start { execution, .. } => Some(*execution),
        _ => None,
    };
    effects.iter().filter_map(start).collect()
}

/// What follows where an execution of these settings ends like that.
fn followed(pending: Pending, ending: &ExecutionEvent) -> Vec<Effect> {
    let mut policy = policy(1);
    policy.apply_execution(1, id(1), &ExecutionEvent::Pending(Box::new(pending)));
    policy.begin(at(0), 64);
    policy.apply_execution(2, id(1), &running());
    policy.apply_execution(3, id(1), ending);
    policy.begin(at(0), 64)
}

#[test]
fn another_attempt_follows_on_what_can_pass_while_some_are_left_and_never_on_a_cancel() {
    let retried = Pending { max_retries: 2, ..task() };
    let retry = [Effect::Retry { execution: id(1) }];
    for code in [FailureCode::SpawnFailed, FailureCode::Overloaded] {
        assert_eq!(followed(retried.clone(), &failed(code)), retry);
        let last = Pending { attempt: 2, ..retried.clone() };
        assert_eq!(followed(last, &failed(code)), retry);
        let spent = Pending { attempt: 3, ..retried.clone() };
        assert_eq!(followed(spent, &failed(code)), []);
        assert_eq!(followed(task(), &failed(code)), [], "nobody asked for another attempt");
        let turn = Pending { triggered_by: Trigger::Chat, ..retried.clone() };
        assert_eq!(followed(turn, &failed(code)), [], "a chat turn is posted again");
    }
    for code in [
        FailureCode::Interrupted,
        FailureCode::AgentFailed,
        FailureCode::QueueExpired,
        FailureCode::OverloadedMidway,
    ] {
        assert_eq!(followed(retried.clone(), &failed(code)), []);
    }
    assert_eq!(followed(retried, &cancelled()), []);
}

#[test]
fn an_attempt_that_could_not_be_appended_is_begun_again() {
    let mut policy = policy(1);
    policy.load_retry(id(7));
    let retry = Effect::Retry { execution: id(7) };
    assert_eq!(policy.begin(at(0), 64), std::slice::from_ref(&retry));
    assert_eq!(policy.begin(at(0), 64), []);
    policy.give_back(&retry);
    assert_eq!(policy.begin(at(0), 64), [retry]);
}

#[test]
fn whoever_waits_for_their_time_lets_the_others_pass_and_says_until_when() {
    let mut policy = policy(1);
    policy.apply_execution(1, id(1), &waits_until(30));
    policy.apply_execution(2, id(2), &plain());
    policy.apply_execution(3, id(3), &plain());
    assert_eq!(policy.next_deadline(), Some(at(30)));
    let why = policy.why_waiting(id(1)).expect("waits");
    assert_eq!((why.blocker, why.place), (Blocker::RetryBackoff { until: at(30) }, 3));
    assert_eq!(policy.capacity(&name(), 9).expect("known").queue, [id(2), id(3), id(1)]);
    assert_eq!(started(&policy.begin(at(29), 64)), [id(2)]);
    policy.apply_execution(4, id(2), &cancelled());
    policy.hold_back_for_disk(true);
    policy.begin(at(30), 64);
    policy.hold_back_for_disk(false);
    assert_eq!(policy.why_waiting(id(1)).expect("waits").place, 1, "it was accepted first");
    assert_eq!(started(&policy.begin(at(30), 64)), [id(1)]);
    assert_eq!(policy.totals(), (1, 1));
}

#[test]
fn whoever_waits_for_their_time_counts_in_the_queue_and_can_be_cancelled() {
    let mut policy = policy(1);
    for number in 1..=3 {
        policy.apply_execution(number, id(number), &waits_until(30));
    }
    assert!(policy.reserve(&name(), id(9)).is_err(), "two may wait, and one slot is free");
    policy.apply_execution(4, id(1), &cancelled());
    assert_eq!(policy.reserve(&name(), id(9)), Ok(()));
    assert_eq!(started(&policy.begin(at(30), 64)), [id(2)]);

    let retired = AgentEvent::Retired(Retired {});
    policy.apply_execution(5, id(4), &waits_until(99));
    policy.apply_agent(&name(), &retired);
    let ended: Vec<_> = policy.begin(at(31), 64).iter().map(Effect::execution).collect();
    assert_eq!(ended, [id(3), id(4)]);
}

#[test]
fn a_run_that_was_taken_up_has_no_time_to_wait_for() {
    let mut policy = policy(1);
    policy.apply_execution(1, id(1), &waits_until(30));
    policy.apply_execution(2, id(1), &running());
    assert_eq!(started(&policy.begin(at(40), 64)), []);
    assert_eq!(policy.totals(), (1, 0));
    policy.apply_execution(3, id(1), &cancelled());
    assert_eq!((policy.totals(), policy.next_deadline()), ((0, 0), None));
}

#[test]
fn a_clock_that_jumps_back_lets_nobody_who_waits_for_their_time_block_the_others() {
    let mut policy = policy(1);
    policy.apply_execution(1, id(1), &waits_until(100));
    policy.apply_execution(2, id(2), &plain());
    policy.apply_execution(3, id(2), &cancelled());
    let effects = policy.begin(at(101), 64);
    assert_eq!(started(&effects), [id(1)]);
    policy.apply_execution(4, id(3), &plain());
    // Refused as too early: the clock says 10 again.
    policy.give_back(&effects[0]);
    let why = policy.why_waiting(id(1)).expect("waits");
    assert_eq!(why.blocker, Blocker::RetryBackoff { until: at(100) });
    assert_eq!(policy.totals(), (0, 2));
    assert_eq!(started(&policy.begin(at(10), 64)), [id(3)]);
    policy.apply_execution(5, id(3), &cancelled());
    assert_eq!(started(&policy.begin(at(99), 64)), []);
    assert_eq!(started(&policy.begin(at(100), 64)), [id(1)]);
}

#[test]
fn each_rank_is_above_all_that_were_given_out() {
    let mut policy = policy(1);
    policy.apply_execution(1, id(1), &plain());
    policy.apply_execution(2, id(1), &ExecutionEvent::QueueMoved(QueueMoved { rank: 8 }));
    assert_eq!((policy.next_rank(), policy.next_rank()), (9, 10));
}

#[test]
fn whoever_is_the_next_already_keeps_their_rank() {
    let mut policy = policy(1);
    policy.hold_back_for_disk(true);
    policy.apply_execution(1, id(1), &plain());
    policy.apply_execution(2, id(2), &plain());
    policy.apply_execution(3, id(3), &waits_until(9));
    assert_eq!((policy.front_rank(id(1)), policy.front_rank(id(2))), (0, 1));
    policy.apply_execution(4, id(2), &ExecutionEvent::QueueMoved(QueueMoved { rank: 1 }));
    assert_eq!((policy.front_rank(id(2)), policy.front_rank(id(1))), (1, 2));
    policy.apply_execution(5, id(1), &cancelled());
    policy.apply_execution(6, id(2), &cancelled());
    assert_eq!(policy.front_rank(id(3)), 3, "others may come before its time does");
}

#[derive(Clone, Debug)]
enum Step {
    /// Accepts one that starts so many seconds from now at the earliest.
    Submit(u8),
    /// Lets so many seconds pass.
    Pass(u8),
    Begin,
    GiveBack,
    End(u8),
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (0..20_u8).prop_map(Step::Submit),
        2 => (0..9_u8).prop_map(Step::Pass),
        4 => Just(Step::Begin),
        1 => Just(Step::GiveBack),
        3 => any::<u8>().prop_map(Step::End),
    ]
}

proptest! {
    #[test]
    fn nothing_starts_before_its_time_and_those_whose_time_has_come_start_in_order(
        steps in prop::collection::vec(any_step(), 1..200),
    ) {
        let mut policy = policy(2);
        let (mut now, mut number) = (0_i64, 0_u64);
        let mut waiting: BTreeMap<u64, i64> = BTreeMap::new();
        let mut begun: Vec<Effect> = Vec::new();
        for step in steps {
            match step {
                Step::Submit(after) => {
                    number += 1;
                    let earliest = now + i64::from(after);
                    let event = if after == 0 { plain() } else { waits_until(earliest) };
                    policy.apply_execution(number, id(number), &event);
                    waiting.insert(number, earliest);
                }
                Step::Pass(seconds) => now += i64::from(seconds),
                Step::Begin => {
                    for effect in policy.begin(at(now), 64) {
                        let number = u64::try_from(effect.execution().0.as_u128()).expect("small");
                        let earliest = waiting.remove(&number).expect("it waited");
                        prop_assert!(earliest <= now, "{number} is early");
                        let passed = waiting.range(..number).find(|(_, other)| **other <= now);
                        prop_assert_eq!(passed, None, "an older one could start as well");
                        begun.push(effect);
                    }
                    let due = waiting.values().any(|earliest| *earliest <= now);
                    prop_assert!(!due || begun.len() == 2, "a slot is free and one could start");
                    let next = waiting.values().filter(|earliest| **earliest > now).min();
                    let told = policy.next_deadline();
                    prop_assert!(next.is_none_or(|next| told.is_some_and(|told| told <= at(*next))));
                }
                Step::GiveBack => {
                    if let Some(effect) = begun.pop() {
                        policy.give_back(&effect);
                        let number = u64::try_from(effect.execution().0.as_u128()).expect("small");
                        waiting.insert(number, now);
                    }
                }
                Step::End(which) if !begun.is_empty() => {
                    let effect = begun.remove(usize::from(which) % begun.len());
                    policy.apply_execution(1_000_000, effect.execution(), &cancelled());
                }
                Step::End(_) => {}
            }
            let counted = policy.totals();
            prop_assert_eq!(counted, (
                u32::try_from(begun.len()).expect("small"),
                u32::try_from(waiting.len()).expect("small"),
            ));
        }
    }
}
