//! What chat sessions ask of the policy, one by one.

use uuid::Uuid;

use super::tests::{agent, at, ended, id, pending, policy, running, started};
use super::*;
use crate::execution::{Pending, ResultInjected, Trigger};
use crate::ids::UserName;
use crate::session::{Closed, SessionEvent};

fn self_task(of: &str, session: u128) -> ExecutionEvent {
    let user = UserName::new("u").expect("name");
    ExecutionEvent::Pending(Box::new(Pending {
        triggered_by: Trigger::SelfTask,
        chat_session_id: Some(SessionId(Uuid::from_u128(session))),
        inject_result: true,
        ..crate::given::task(agent(of), user, at(86_400))
    }))
}

#[test]
fn a_result_is_owed_to_its_session_from_the_ending_until_it_is_settled() {
    let session = SessionId(Uuid::from_u128(7));
    let inject = Effect::Inject { execution: id(1), session };
    let mut policy = policy(&[("a", 1, 50)]);
    policy.apply_execution(1, id(1), &self_task("a", 7));
    policy.begin(at(0), 64);
    policy.apply_execution(2, id(1), &running(1));
    assert_eq!(policy.begin(at(0), 64), []);
    policy.apply_execution(3, id(1), &ended());
    assert_eq!(policy.begin(at(0), 64), std::slice::from_ref(&inject));
    assert_eq!(policy.begin(at(0), 64), [], "it is under way");
    policy.give_back(&inject);
    assert_eq!(policy.begin(at(0), 64), std::slice::from_ref(&inject));
    let injected = ExecutionEvent::ResultInjected(ResultInjected { session_id: session });
    policy.apply_execution(4, id(1), &injected);
    policy.give_back(&inject);
    assert_eq!(policy.begin(at(0), 64), [], "it is settled, whoever did it");
}

#[test]
fn an_injection_that_found_nothing_to_do_is_forgotten_and_so_is_one_whose_event_comes_later() {
    let session = SessionId(Uuid::from_u128(7));
    let mut policy = policy(&[("a", 1, 50)]);
    for number in 1..=2 {
        policy.load_injection(id(number), session);
    }
    let effects = policy.begin(at(0), 64);
    assert_eq!(effects.len(), 2);
    for effect in &effects {
        policy.done(effect);
    }
    assert!(policy.injecting.is_empty(), "nothing else would ever take it out");
    let injected = ExecutionEvent::ResultInjected(ResultInjected { session_id: session });
    policy.apply_execution(1, id(2), &injected);
    assert_eq!(policy.begin(at(0), 64), []);
}

#[test]
fn what_was_owed_before_a_restart_is_owed_after_it_also_while_nothing_is_started() {
    let session = SessionId(Uuid::from_u128(7));
    let mut restarted = policy(&[("a", 1, 50)]);
    restarted.load_injection(id(1), session);
    restarted.drain();
    assert_eq!(restarted.begin(at(0), 64), [Effect::Inject { execution: id(1), session }]);
}

#[test]
fn a_closed_session_ends_its_waiting_turns_and_leaves_the_running_one() {
    let mut policy = policy(&[("a", 1, 50)]);
    policy.apply_execution(1, id(1), &pending("a", None, Some(7)));
    policy.begin(at(0), 64);
    policy.apply_execution(2, id(1), &running(1));
    policy.apply_execution(3, id(2), &pending("a", None, Some(7)));
    policy.apply_execution(4, id(3), &pending("a", None, Some(8)));
    let session = SessionId(Uuid::from_u128(7));
    policy.apply_session(session, &SessionEvent::Closed(Closed {}));
    let cancel = Effect::CancelWaiting { execution: id(2), cause: CancelCause::SessionClosed };
    let effects = policy.begin(at(0), 64);
    assert_eq!(effects[0], cancel);
    assert_eq!(started(&effects), [id(3)]);
    policy.give_back(&cancel);
    assert_eq!(policy.begin(at(0), 64), [cancel]);
}

#[test]
fn turns_have_a_queue_of_their_own_beside_that_of_tasks() {
    let mut policy = policy(&[("a", 1, 1)]);
    let a = agent("a");
    for number in 1..=2 {
        policy.apply_execution(number, id(number), &pending("a", None, None));
    }
    policy.begin(at(0), 64);
    assert!(policy.reserve(&a, id(3)).is_err(), "one runs, one waits");
    assert_eq!(policy.reserve_turn(&a, id(4)), Ok(()));
    policy.apply_execution(4, id(4), &pending("a", None, Some(7)));
    policy.apply_execution(5, id(5), &pending("a", None, Some(7)));
    let full = NotAdmitted::QueueFull { agent: a.clone(), waiting: 2, limit: 1 };
    assert_eq!(policy.reserve_turn(&a, id(6)), Err(full));
    assert_eq!(started(&policy.begin(at(0), 64)), [id(4)]);
    assert_eq!(policy.reserve_turn(&a, id(6)), Ok(()));
    policy.release(&a, id(6));
    let capacity = policy.capacity(&a, 10).expect("known");
    assert_eq!((capacity.waiting, capacity.queue), (1, vec![id(2)]), "turns are no tasks");
    policy.apply_execution(6, id(1), &ended());
    assert_eq!(started(&policy.begin(at(0), 64)), [id(2)]);
    assert_eq!(policy.reserve(&a, id(7)), Ok(()), "the waiting turn takes no place of a task");
}

#[test]
fn a_turn_has_its_place_among_the_turns_of_its_session_and_a_task_among_tasks() {
    let mut policy = policy(&[("a", 1, 50)]);
    policy.hold_back_for_disk(true);
    policy.apply_execution(1, id(1), &pending("a", None, None));
    policy.apply_execution(2, id(2), &pending("a", None, Some(7)));
    policy.apply_execution(3, id(3), &pending("a", None, Some(8)));
    policy.apply_execution(4, id(4), &pending("a", None, Some(7)));
    policy.apply_execution(5, id(5), &pending("a", None, None));
    let why = policy.why_each_waits(&[1, 2, 3, 4, 5].map(id));
    assert_eq!([1, 2, 3, 4, 5].map(|number| why[&id(number)].1), [1, 1, 1, 2, 2]);
}

#[test]
fn turns_whose_beginning_stands_still_leave_places_to_tasks_and_let_other_sessions_try() {
    let ceiling = Ceiling { max_parallel_total: 8, kept_for_chat: 1 };
    let base = crate::agent::AgentConfig::of(crate::agent::Runtime::Command, vec![]);
    let config = AgentConfig { max_parallel_tasks: 20, ..base };
    let mut policy = Policy::new(ceiling);
    policy.load_agent(&agent("a"), config, AgentStatus::Active);
    // Two turns of each of five sessions, and more tasks than there are places.
    for number in 0..10 {
        let turn = pending("a", None, Some(u128::from(number % 5)));
        policy.apply_execution(number, id(number), &turn);
    }
    for number in 10..20 {
        policy.apply_execution(number, id(number), &pending("a", None, None));
    }
    let begun = policy.begin(at(0), 64);
    assert_eq!(started(&begun)[..2], [id(0), id(1)]);
    assert_eq!(begun.len(), 8, "six are tasks");
    for effect in &begun[..2] {
        policy.give_back(effect);
    }
    let begun = policy.begin(at(0), 64);
    assert_eq!(started(&begun), [id(2), id(3)], "others first, and no session's second turn");
    for number in [2, 3] {
        policy.apply_execution(30 + number, id(number), &running(number));
    }
    for number in 10..14 {
        policy.apply_execution(40 + number, id(number), &ended());
    }
    let begun = policy.begin(at(0), 64);
    assert_eq!(started(&begun)[..2], [id(4), id(0)], "turns that run count no more");
}
