//! The rules of queue and slots, and the invariants over random histories.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use uuid::Uuid;

use super::*;
use crate::agent::{Configured, Paused, Registered, Resumed, Retired, Runtime};
use crate::execution::{CancellationRequested, Cancelled, Pending, QueueMoved, Running, Trigger};
use crate::ids::{ClaimId, NodeId, UserName};
use crate::lease::{Lease, LeaseName};

pub(super) fn agent(name: &str) -> AgentName {
    AgentName::new(name).expect("name")
}

pub(super) fn id(number: u64) -> ExecutionId {
    ExecutionId(Uuid::from_u128(number.into()))
}

pub(super) fn at(second: i64) -> Timestamp {
    Timestamp::from_micros(second * 1_000_000)
}

fn config(slots: u32, queue_limit: u32) -> AgentConfig {
    let base = AgentConfig::of(Runtime::Command, vec!["/bin/true".to_owned()]);
    AgentConfig { max_parallel_tasks: slots, queue_limit, ..base }
}

pub(super) fn pending(of: &str, parent: Option<u64>, chat: Option<u128>) -> ExecutionEvent {
    let user = UserName::new("u").expect("name");
    ExecutionEvent::Pending(Box::new(Pending {
        triggered_by: if chat.is_some() { Trigger::Chat } else { Trigger::Manual },
        parent_execution_id: parent.map(id),
        chat_session_id: chat.map(|session| SessionId(Uuid::from_u128(session))),
        ..crate::given::task(agent(of), user, at(86_400))
    }))
}

pub(super) fn running(number: u64) -> ExecutionEvent {
    let claim = ClaimId(Uuid::from_u128(number.into()));
    ExecutionEvent::Running(Running {
        claim,
        slot_until: at(360),
        runtime: Runtime::Command,
        resumed_session_id: None,
        told: Vec::new(),
        node: None,
    })
}

pub(super) fn ended() -> ExecutionEvent {
    let cancelled = Cancelled { cause: CancelCause::Requested, report: None };
    ExecutionEvent::Cancelled(Box::new(cancelled))
}

pub(super) fn policy(agents: &[(&str, u32, u32)]) -> Policy {
    let mut policy = Policy::default();
    for (name, slots, queue_limit) in agents {
        policy.load_agent(&agent(name), config(*slots, *queue_limit), AgentStatus::Active);
    }
    policy
}

pub(super) fn started(effects: &[Effect]) -> Vec<ExecutionId> {
    let start = |effect: &Effect| match effect {
        Effect::Start { execution, .. } => Some(*execution),
        _ => None,
    };
    effects.iter().filter_map(start).collect()
}

#[test]
fn slots_are_given_in_order_and_never_twice_before_their_event_is_seen() {
    let mut policy = policy(&[("a", 2, 50)]);
    for number in 1..=4 {
        policy.apply_execution(number, id(number), &pending("a", None, None));
    }
    assert_eq!(started(&policy.begin(at(0), 64)), [id(1), id(2)]);
    assert_eq!(started(&policy.begin(at(0), 64)), []);
    policy.apply_execution(5, id(1), &running(1));
    assert_eq!(started(&policy.begin(at(0), 64)), []);
    policy.apply_execution(6, id(1), &ended());
    assert_eq!(started(&policy.begin(at(0), 64)), [id(3)]);
}

#[test]
fn a_claim_that_is_known_at_once_and_again_from_the_log_takes_one_slot() {
    let mut policy = policy(&[("a", 2, 50)]);
    policy.apply_execution(1, id(1), &pending("a", None, None));
    policy.begin(at(0), 64);
    policy.apply_execution(0, id(1), &running(9));
    assert!(policy.holds(id(1)).is_some());
    policy.apply_execution(2, id(1), &running(9));
    assert_eq!(policy.totals(), (1, 0));
    policy.apply_execution(3, id(1), &ended());
    assert_eq!((policy.totals(), policy.next_deadline()), ((0, 0), None));
    policy.apply_execution(0, id(1), &running(9));
    assert_eq!(policy.totals(), (0, 0), "what has ended takes no slot, however late it is told");
}

#[test]
fn a_start_that_led_to_no_event_is_begun_again_in_its_old_place() {
    let mut policy = policy(&[("a", 1, 50)]);
    policy.apply_execution(1, id(1), &pending("a", None, None));
    policy.apply_execution(2, id(2), &pending("a", None, None));
    let effects = policy.begin(at(0), 64);
    policy.give_back(&effects[0]);
    assert_eq!(policy.begin(at(0), 64), effects);
}

#[test]
fn the_moved_are_first_the_last_moved_before_the_others() {
    let mut policy = policy(&[("a", 1, 50)]);
    policy.hold_back_for_disk(true);
    for number in 1..=4 {
        policy.apply_execution(number, id(number), &pending("a", None, None));
    }
    policy.apply_execution(5, id(3), &ExecutionEvent::QueueMoved(QueueMoved { rank: 1 }));
    policy.apply_execution(6, id(4), &ExecutionEvent::QueueMoved(QueueMoved { rank: 2 }));
    let queue = policy.capacity(&agent("a"), 10).expect("known").queue;
    assert_eq!(queue, [id(4), id(3), id(1), id(2)]);
    let why = policy.why_each_waits(&[id(1), id(4), id(9)]);
    assert_eq!(why.len(), 2, "who does not wait is left out");
    assert_eq!((why[&id(1)].1, why[&id(4)].1), (3, 1));
    policy.hold_back_for_disk(false);
    assert_eq!(started(&policy.begin(at(0), 64)), [id(4)]);
}

#[test]
fn the_queue_takes_its_limit_and_what_would_start_at_once() {
    let mut policy = policy(&[("a", 2, 1)]);
    let a = agent("a");
    for number in 1..=3 {
        assert_eq!(policy.reserve(&a, id(number)), Ok(()));
    }
    let full = NotAdmitted::QueueFull { agent: a.clone(), waiting: 3, limit: 1 };
    assert_eq!(policy.reserve(&a, id(4)), Err(full));
    policy.release(&a, id(3));
    assert_eq!(policy.reserve(&a, id(4)), Ok(()));
    let unknown = agent("b");
    assert_eq!(policy.reserve(&unknown, id(9)), Err(NotAdmitted::UnknownAgent(unknown.clone())));
}

#[test]
fn what_is_about_to_leave_the_queue_makes_room_for_what_comes_in_its_place() {
    let mut policy = policy(&[("a", 1, 1)]);
    let a = agent("a");
    for number in 1..=2 {
        policy.apply_execution(number, id(number), &pending("a", None, None));
    }
    assert_eq!(started(&policy.begin(at(0), 64)), [id(1)]);
    let full = NotAdmitted::QueueFull { agent: a.clone(), waiting: 1, limit: 1 };
    assert_eq!(policy.reserve(&a, id(3)), Err(full.clone()));
    assert_eq!(policy.reserve_instead_of(&[id(1), id(9)], &a, id(3)), Err(full), "neither waits");
    assert_eq!(policy.reserve_instead_of(&[id(1), id(2)], &a, id(3)), Ok(()));
}

#[test]
fn a_paused_agent_starts_nothing_and_a_retired_ones_queue_is_cancelled() {
    let mut policy = policy(&[("a", 1, 50)]);
    policy.apply_agent(&agent("a"), &AgentEvent::Paused(Paused {}));
    policy.apply_execution(1, id(1), &pending("a", None, None));
    assert_eq!(policy.begin(at(0), 64), []);
    assert_eq!(policy.why_waiting(id(1)).expect("waits").blocker, Blocker::AgentPaused);
    policy.apply_agent(&agent("a"), &AgentEvent::Retired(Retired {}));
    let cancel = Effect::CancelWaiting { execution: id(1), cause: CancelCause::AgentRetired };
    assert_eq!(policy.begin(at(0), 64), [cancel]);
    let retired = NotAdmitted::Retired(agent("a"));
    assert_eq!(policy.reserve(&agent("a"), id(2)), Err(retired));
    policy.apply_execution(2, id(1), &ended());
    let registered = Registered { config: config(1, 50) };
    policy.apply_agent(&agent("a"), &AgentEvent::Registered(Box::new(registered)));
    assert_eq!(policy.reserve(&agent("a"), id(2)), Ok(()));
}

#[test]
fn more_slots_hold_for_what_waits_already() {
    let mut policy = policy(&[("a", 1, 50)]);
    for number in 1..=3 {
        policy.apply_execution(number, id(number), &pending("a", None, None));
    }
    assert_eq!(started(&policy.begin(at(0), 64)), [id(1)]);
    let configured = Configured { config: config(3, 50) };
    policy.apply_agent(&agent("a"), &AgentEvent::Configured(Box::new(configured)));
    policy.apply_agent(&agent("a"), &AgentEvent::Resumed(Resumed {}));
    assert_eq!(started(&policy.begin(at(0), 64)), [id(2), id(3)]);
}

#[test]
fn the_ceiling_holds_over_all_agents_and_the_oldest_comes_first() {
    let ceiling = Ceiling { max_parallel_total: 3, kept_for_chat: 1 };
    let mut policy = Policy::new(ceiling);
    for name in ["a", "b"] {
        policy.load_agent(&agent(name), config(9, 50), AgentStatus::Active);
    }
    policy.apply_execution(1, id(1), &pending("b", None, None));
    policy.apply_execution(2, id(2), &pending("a", None, None));
    policy.apply_execution(3, id(3), &pending("b", None, None));
    assert_eq!(started(&policy.begin(at(0), 64)), [id(1), id(2)]);
    assert_eq!(policy.why_waiting(id(3)).expect("waits").blocker, Blocker::CeilingReached);
}

#[test]
fn chat_stays_free_while_tasks_fill_the_slots_one_turn_of_a_session_at_a_time() {
    let ceiling = Ceiling { max_parallel_total: 2, kept_for_chat: 1 };
    let mut policy = Policy::new(ceiling);
    policy.load_agent(&agent("a"), config(1, 50), AgentStatus::Active);
    policy.apply_execution(1, id(1), &pending("a", None, None));
    policy.apply_execution(2, id(2), &pending("a", None, None));
    assert_eq!(started(&policy.begin(at(0), 64)), [id(1)]);
    policy.apply_execution(3, id(3), &pending("a", None, Some(7)));
    policy.apply_execution(4, id(4), &pending("a", None, Some(7)));
    assert_eq!(started(&policy.begin(at(0), 64)), [id(3)]);
    assert_eq!(policy.why_waiting(id(4)).expect("waits").blocker, Blocker::SessionBusy);
    policy.apply_execution(5, id(3), &ended());
    assert_eq!(started(&policy.begin(at(0), 64)), [id(4)]);
}

#[test]
fn a_wish_to_stop_reaches_the_supervisor_also_after_a_restart() {
    let mut first = policy(&[("a", 1, 50)]);
    first.apply_execution(1, id(1), &pending("a", None, None));
    first.begin(at(0), 64);
    first.apply_execution(2, id(1), &running(9));
    let requested = CancellationRequested { cause: CancelCause::Requested };
    first.apply_execution(3, id(1), &ExecutionEvent::CancellationRequested(requested));
    let stop = Effect::Stop { execution: id(1), claim: ClaimId(Uuid::from_u128(9)) };
    assert_eq!(first.begin(at(0), 64), std::slice::from_ref(&stop));
    assert_eq!(first.begin(at(0), 64), []);

    let mut restarted = policy(&[("a", 1, 50)]);
    let mut slot = HeldSlot::new(ClaimId(Uuid::from_u128(9)), at(360));
    slot.cancellation = Some(CancelCause::Requested);
    restarted.load_execution(&OpenExecution {
        id: id(1),
        agent: agent("a"),
        place: Place::new(1, 0),
        expires_at: at(86_400),
        parent: None,
        chat_session: None,
        inject_into: None,
        not_before: None,
        is_retried: false,
        held: Some(slot),
    });
    assert_eq!(restarted.begin(at(0), 64), [stop]);
    assert_eq!(restarted.totals(), (1, 0));
}

#[test]
fn waits_and_slots_end_at_their_deadlines() {
    let mut policy = policy(&[("a", 1, 50)]);
    policy.apply_execution(1, id(1), &pending("a", None, None));
    policy.apply_execution(2, id(2), &pending("a", None, None));
    policy.begin(at(0), 64);
    policy.apply_execution(3, id(1), &running(9));
    assert_eq!(policy.next_deadline(), Some(at(360)));
    let lapse = Effect::Lapse { execution: id(1), claim: ClaimId(Uuid::from_u128(9)) };
    assert_eq!(policy.begin(at(360), 64), [lapse]);
    assert_eq!(policy.begin(at(86_400), 64), [Effect::Expire { execution: id(2) }]);
    assert_eq!(policy.next_deadline(), None);
}

#[test]
fn a_start_that_is_given_back_expires_or_is_cancelled_as_if_it_had_never_been_begun() {
    let mut expiring = policy(&[("a", 1, 50)]);
    expiring.apply_execution(1, id(1), &pending("a", None, None));
    let begun = expiring.begin(at(0), 64);
    assert_eq!(expiring.begin(at(86_400), 64), [], "it is being started");
    expiring.give_back(&begun[0]);
    assert_eq!(expiring.begin(at(86_400), 64), [Effect::Expire { execution: id(1) }]);

    let mut retiring = policy(&[("a", 1, 50)]);
    retiring.apply_execution(1, id(1), &pending("a", None, None));
    let begun = retiring.begin(at(0), 64);
    retiring.apply_agent(&agent("a"), &AgentEvent::Retired(Retired {}));
    assert_eq!(retiring.begin(at(0), 64), []);
    retiring.give_back(&begun[0]);
    let cancel = Effect::CancelWaiting { execution: id(1), cause: CancelCause::AgentRetired };
    assert_eq!(retiring.begin(at(0), 64), [cancel]);
}

#[test]
fn a_drained_policy_starts_nothing_even_when_the_disk_has_room_again() {
    let mut policy = policy(&[("a", 1, 50)]);
    policy.apply_execution(1, id(1), &pending("a", None, None));
    policy.hold_back_for_disk(true);
    policy.drain();
    policy.hold_back_for_disk(false);
    assert_eq!(policy.begin(at(0), 64), []);
    assert_eq!(policy.why_waiting(id(1)).expect("waits").blocker, Blocker::Draining);
}

#[test]
fn a_run_that_holds_the_last_place_of_all_would_wait_for_itself_on_any_agent() {
    let mut policy = Policy::new(Ceiling { max_parallel_total: 2, kept_for_chat: 1 });
    for name in ["a", "b"] {
        policy.load_agent(&agent(name), config(5, 50), AgentStatus::Active);
    }
    policy.apply_execution(1, id(1), &pending("a", None, None));
    policy.begin(at(0), 64);
    policy.apply_execution(2, id(1), &running(1));
    assert!(policy.would_deadlock(&agent("b"), id(1)));
}

#[test]
fn of_several_nodes_a_run_waits_for_places_of_the_one_that_starts_what_it_waits_for() {
    let [here, there] = [1, 2].map(|number| NodeId(Uuid::from_u128(number)));
    let mut policy = Policy::new(Ceiling { max_parallel_total: 2, kept_for_chat: 1 });
    policy.share(here);
    for (name, host) in [("a", Some(here)), ("b", Some(there)), ("c", Some(here)), ("d", None)] {
        policy.load_agent(&agent(name), config(5, 50), AgentStatus::Active);
        let lease = Lease { holder: host, ..Lease::default() };
        policy.load_lease(LeaseName::Agent(agent(name)), lease);
    }
    policy.apply_execution(1, id(1), &pending("a", None, None));
    let mut begun = running(1);
    if let ExecutionEvent::Running(running) = &mut begun {
        running.node = Some(here);
    }
    policy.apply_execution(2, id(1), &begun);
    assert!(policy.would_deadlock(&agent("c"), id(1)), "all places of its node are its own");
    assert!(!policy.would_deadlock(&agent("b"), id(1)), "nothing runs where that is started");
    assert!(!policy.would_deadlock(&agent("d"), id(1)), "some node will start it");
}

#[test]
fn a_run_that_would_wait_for_itself_is_known() {
    let mut policy = policy(&[("a", 1, 50), ("b", 2, 50)]);
    policy.apply_execution(1, id(1), &pending("a", None, None));
    policy.apply_execution(2, id(2), &pending("b", Some(1), None));
    policy.begin(at(0), 64);
    policy.apply_execution(3, id(1), &running(1));
    policy.apply_execution(4, id(2), &running(2));
    assert!(policy.would_deadlock(&agent("a"), id(1)));
    assert!(policy.would_deadlock(&agent("a"), id(2)));
    assert!(!policy.would_deadlock(&agent("b"), id(2)));
}

#[derive(Clone, Debug)]
enum Step {
    Submit(u8),
    Begin,
    Claimed,
    End(u8),
    GiveBack,
    Pause(u8),
    Resume(u8),
    Cancel(u8),
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..3_u8).prop_map(Step::Submit),
        4 => Just(Step::Begin),
        4 => Just(Step::Claimed),
        3 => any::<u8>().prop_map(Step::End),
        1 => Just(Step::GiveBack),
        1 => (0..3_u8).prop_map(Step::Pause),
        1 => (0..3_u8).prop_map(Step::Resume),
        1 => any::<u8>().prop_map(Step::Cancel),
    ]
}

/// What the log and the manager know, kept in the simplest way.
#[derive(Default)]
struct Model {
    number: u64,
    waiting: BTreeMap<u64, u8>,
    begun: Vec<(Effect, u8)>,
    running: BTreeMap<u64, u8>,
    first_started: Vec<(u8, u64)>,
}

const NAMES: [&str; 3] = ["a", "b", "c"];
const SLOTS: [u32; 3] = [1, 2, 3];

fn number_of(execution: ExecutionId) -> u64 {
    u64::try_from(execution.0.as_u128()).expect("small")
}

proptest! {
    #[test]
    fn no_agent_ever_holds_more_than_its_slots_and_queues_are_first_in_first_out(
        steps in prop::collection::vec(any_step(), 1..200),
    ) {
        let ceiling = Ceiling { max_parallel_total: 5, kept_for_chat: 1 };
        let mut policy = Policy::new(ceiling);
        for (name, slots) in NAMES.iter().zip(SLOTS) {
            policy.load_agent(&agent(name), config(slots, 1_000), AgentStatus::Active);
        }
        let mut model = Model::default();
        for step in steps {
            take(&mut policy, &mut model, &step);
            let mut held = [0_u32; 3];
            for of in model.running.values().chain(model.begun.iter().map(|(_, of)| of)) {
                held[usize::from(*of)] += 1;
            }
            for (of, held) in held.iter().enumerate() {
                prop_assert!(*held <= SLOTS[of], "{} holds {held}", NAMES[of]);
                let seen = policy.capacity(&agent(NAMES[of]), 0).expect("known").holders.len();
                prop_assert_eq!(seen, *held as usize);
            }
            let all: u32 = held.iter().sum();
            prop_assert!(all < ceiling.max_parallel_total);
            let waiting = model.waiting.len();
            prop_assert_eq!(policy.totals(), (all, u32::try_from(waiting).expect("small")));
        }
    }
}

fn take(policy: &mut Policy, model: &mut Model, step: &Step) {
    match *step {
        Step::Submit(of) => {
            model.number += 1;
            let name = NAMES[usize::from(of)];
            policy.apply_execution(model.number, id(model.number), &pending(name, None, None));
            model.waiting.insert(model.number, of);
        }
        Step::Begin => {
            for effect in policy.begin(at(0), 64) {
                let number = number_of(effect.execution());
                let of = model.waiting.remove(&number).expect("it waited");
                let earlier = model.waiting.iter().find(|(n, other)| **other == of && **n < number);
                assert_eq!(earlier, None, "an older one of the same agent waits still");
                model.first_started.push((of, number));
                model.begun.push((effect, of));
            }
        }
        Step::Claimed if !model.begun.is_empty() => {
            let (effect, of) = model.begun.remove(0);
            let number = number_of(effect.execution());
            policy.apply_execution(1_000_000, effect.execution(), &running(number));
            model.running.insert(number, of);
        }
        Step::GiveBack if !model.begun.is_empty() => {
            let (effect, of) = model.begun.remove(0);
            policy.give_back(&effect);
            model.waiting.insert(number_of(effect.execution()), of);
        }
        Step::End(which) if !model.running.is_empty() => {
            let numbers: Vec<u64> = model.running.keys().copied().collect();
            let number = numbers[usize::from(which) % numbers.len()];
            policy.apply_execution(1_000_001, id(number), &ended());
            model.running.remove(&number);
            assert!(policy.holding().iter().all(|(held, ..)| *held != id(number)));
        }
        Step::Cancel(which) if !model.waiting.is_empty() => {
            let numbers: Vec<u64> = model.waiting.keys().copied().collect();
            let number = numbers[usize::from(which) % numbers.len()];
            policy.apply_execution(1_000_002, id(number), &ended());
            model.waiting.remove(&number);
        }
        Step::Pause(of) => {
            policy.apply_agent(&agent(NAMES[usize::from(of)]), &AgentEvent::Paused(Paused {}));
        }
        Step::Resume(of) => {
            policy.apply_agent(&agent(NAMES[usize::from(of)]), &AgentEvent::Resumed(Resumed {}));
        }
        Step::Claimed | Step::GiveBack | Step::End(_) | Step::Cancel(_) => {}
    }
    let ids: BTreeSet<u64> = model.waiting.keys().copied().collect();
    assert!(ids.iter().all(|number| policy.why_waiting(id(*number)).is_some()));
}
