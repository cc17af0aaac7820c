//! The rules of an execution, one by one, and the invariants over random commands.

use proptest::prelude::*;
use uuid::Uuid;

use super::*;
use crate::agent::Runtime;
use crate::content::{ContentRef, Digest};
use crate::given::given;
use crate::ids::{AgentName, ClaimId, ExecutionId, SessionId, UserName};
use crate::limits;
use crate::{Aggregate, NanoUsd, Timestamp};
use ExecutionEvent as E;

fn at(second: i64) -> Timestamp {
    Timestamp::from_micros(second * 1_000_000)
}

fn claim(number: u128) -> ClaimId {
    ClaimId(Uuid::from_u128(number))
}

fn session() -> SessionId {
    SessionId(Uuid::from_u128(77))
}

fn text() -> ContentRef {
    ContentRef { sha256: Digest([1; 32]), bytes: 5 }
}

fn task() -> Pending {
    let (agent, user) = (AgentName::new("a").expect("name"), UserName::new("u").expect("name"));
    crate::given::task(agent, user, at(1_000))
}

fn injecting() -> Pending {
    Pending { inject_result: true, chat_session_id: Some(session()), ..task() }
}

fn pending() -> E {
    E::Pending(Box::new(task()))
}

fn running() -> E {
    E::Running(Running {
        claim: claim(1),
        slot_until: at(10 + 60 + 300),
        runtime: Runtime::Command,
        resumed_session_id: None,
        told: Vec::new(),
        node: None,
    })
}

fn start(number: u128, second: i64) -> Command {
    Command::Start {
        claim: claim(number),
        now: at(second),
        runtime: Runtime::Command,
        turn: TurnContext::default(),
        node: None,
    }
}

#[test]
fn a_turns_start_records_what_it_resumes_and_which_results_its_agent_is_told_of() {
    let turn = TurnContext {
        resumed_session_id: Some("s".to_owned()),
        told: vec![ExecutionId(Uuid::from_u128(9))],
    };
    let runtime = Runtime::Command;
    given::<Execution>([pending()])
        .when(Command::Start {
            claim: claim(1),
            now: at(10),
            runtime,
            turn: turn.clone(),
            node: None,
        })
        .then([E::Running(Running {
            claim: claim(1),
            slot_until: at(10 + 60 + 300),
            runtime,
            resumed_session_id: turn.resumed_session_id,
            told: turn.told,
            node: None,
        })]);
}

fn cancel() -> Command {
    Command::Cancel { cause: CancelCause::Requested }
}

fn cancellation_requested() -> E {
    E::CancellationRequested(CancellationRequested { cause: CancelCause::Requested })
}

fn interrupted() -> SignalSent {
    SignalSent { signal: Signal::Interrupt, at: at(20) }
}

fn observed(evidence: Evidence, stopped: Option<StopCause>) -> Observation {
    Observation {
        started_at: at(11),
        ended_at: at(21),
        duration_ms: 10_000,
        stopped,
        evidence,
        ..crate::given::observed(claim(1), at(11))
    }
}

fn finish(evidence: Evidence, stopped: Option<StopCause>) -> Command {
    Command::Finish(Box::new(observed(evidence, stopped)))
}

fn completed() -> E {
    let events = given::<Execution>([pending(), running()]).when(finish(Evidence::Success, None));
    events.events().remove(0)
}

fn failure(events: &[E]) -> Option<FailureCode> {
    match events.last() {
        Some(E::Failed(failed)) => Some(failed.code),
        _ => None,
    }
}

#[test]
fn a_task_is_accepted_once() {
    given::<Execution>([]).when(Command::Submit(Box::new(task()))).then([pending()]);
    for before in
        [vec![pending()], vec![pending(), running()], vec![pending(), running(), completed()]]
    {
        given::<Execution>(before)
            .when(Command::Submit(Box::new(task())))
            .then_refused(&Rejection::AlreadySubmitted);
    }
}

#[test]
fn a_slot_is_taken_by_one_start_and_held_for_the_timeout_and_300_s() {
    given::<Execution>([pending()]).when(start(1, 10)).then([running()]);
    given::<Execution>([pending(), running()])
        .when(start(2, 11))
        .then_refused(&Rejection::AlreadyStarted);
    given::<Execution>([pending(), running(), completed()])
        .when(start(2, 30))
        .then_refused(&Rejection::AlreadyEnded);
}

#[test]
fn what_waited_too_long_is_not_started_but_fails() {
    given::<Execution>([pending()]).when(start(1, 1_000)).then_refused(&Rejection::Expired);
    let expire = |second| Command::Expire { now: at(second), message: text() };
    given::<Execution>([pending()]).when(expire(999)).then_refused(&Rejection::NotExpired);
    given::<Execution>([pending()]).when(expire(1_000)).then([E::Failed(Box::new(Failed {
        code: FailureCode::QueueExpired,
        message: Some(text()),
        report: None,
    }))]);
    given::<Execution>([pending(), running()]).when(expire(2_000)).then([]);
    given::<Execution>([pending(), running(), completed()]).when(expire(2_000)).then([]);
}

#[test]
fn a_cancel_before_the_start_ends_it_at_once() {
    let cancelled = Cancelled { cause: CancelCause::Requested, report: None };
    given::<Execution>([pending()]).when(cancel()).then([E::Cancelled(Box::new(cancelled))]);
}

#[test]
fn a_cancel_of_a_run_is_a_wish_recorded_once() {
    given::<Execution>([pending(), running()]).when(cancel()).then([cancellation_requested()]);
    given::<Execution>([pending(), running(), cancellation_requested()]).when(cancel()).then([]);
    given::<Execution>([pending(), running(), completed()]).when(cancel()).then([]);
}

#[test]
fn a_start_that_was_cancelled_before_its_process_ends_without_one() {
    let abandon = || Command::Abandon { claim: claim(1) };
    let cancelled = Cancelled { cause: CancelCause::Requested, report: None };
    given::<Execution>([pending(), running(), cancellation_requested()])
        .when(abandon())
        .then([E::Cancelled(Box::new(cancelled))]);
    given::<Execution>([pending(), running()])
        .when(abandon())
        .then_refused(&Rejection::NotCancelled);
    given::<Execution>([pending()]).when(abandon()).then_refused(&Rejection::NotRunning);
    given::<Execution>([pending(), running(), completed()])
        .when(abandon())
        .then_refused(&Rejection::AlreadyEnded);
}

#[test]
fn only_evidence_of_success_completes() {
    let outcome = |evidence, stopped| {
        given::<Execution>([pending(), running()]).when(finish(evidence, stopped)).events()
    };
    assert!(matches!(outcome(Evidence::Success, None)[..], [E::Completed(_)]));
    assert_eq!(failure(&outcome(Evidence::None, None)), Some(FailureCode::AgentFailed));
    let said = Evidence::Failure { code: FailureCode::AgentError, message: Some(text()) };
    let events = outcome(said, None);
    assert_eq!(failure(&events), Some(FailureCode::AgentError));
    assert!(matches!(&events[0], E::Failed(failed) if failed.message == Some(text())));
}

#[test]
fn a_foreign_signal_is_named_as_such() {
    let mut killed = observed(Evidence::None, None);
    killed.exit = Some(Exit::Signal(9));
    let events =
        given::<Execution>([pending(), running()]).when(Command::Finish(Box::new(killed))).events();
    assert_eq!(failure(&events), Some(FailureCode::KilledBySignal));
}

#[test]
fn a_cancel_or_timeout_that_comes_after_success_leaves_the_success() {
    for stopped in [StopCause::Cancelled, StopCause::Timeout, StopCause::HostShutdown] {
        let events = given::<Execution>([pending(), running(), cancellation_requested()])
            .when(finish(Evidence::Success, Some(stopped)))
            .events();
        assert!(matches!(events[..], [E::Completed(_)]), "{stopped:?}");
    }
}

#[test]
fn a_broken_limit_fails_whatever_the_output_says() {
    for (stopped, code) in [
        (StopCause::OutputLimit, FailureCode::OutputLimit),
        (StopCause::DiskFull, FailureCode::DiskFull),
        (StopCause::LeaseExpired, FailureCode::LeaseExpired),
    ] {
        let events = given::<Execution>([pending(), running()])
            .when(finish(Evidence::Success, Some(stopped)))
            .events();
        assert_eq!(failure(&events), Some(code));
    }
}

#[test]
fn what_the_ledger_did_to_a_run_says_why_it_ended() {
    let ended = |stopped| {
        given::<Execution>([pending(), running(), cancellation_requested()])
            .when(finish(Evidence::None, Some(stopped)))
            .events()
    };
    assert!(matches!(&ended(StopCause::Cancelled)[..], [E::Cancelled(c)] if c.report.is_some()));
    assert_eq!(failure(&ended(StopCause::Timeout)), Some(FailureCode::Timeout));
    assert_eq!(failure(&ended(StopCause::HostShutdown)), Some(FailureCode::Interrupted));
}

#[test]
fn a_report_of_another_start_changes_nothing() {
    let mut foreign = observed(Evidence::Success, None);
    foreign.claim = claim(9);
    given::<Execution>([pending(), running()])
        .when(Command::Finish(Box::new(foreign)))
        .then_refused(&Rejection::OtherClaim);
    let lose = Command::Lose {
        claim: claim(9),
        code: FailureCode::SupervisorLost,
        message: text(),
        observed: None,
    };
    given::<Execution>([pending(), running()]).when(lose).then_refused(&Rejection::OtherClaim);
}

#[test]
fn signals_are_recorded_once_each_and_before_the_ending() {
    let note = || Command::NoteSignal { claim: claim(1), sent: interrupted() };
    given::<Execution>([pending(), running()]).when(note()).then([E::SignalSent(interrupted())]);
    given::<Execution>([pending(), running(), E::SignalSent(interrupted())]).when(note()).then([]);
    let killed = SignalSent { signal: Signal::Kill, at: at(25) };
    let mut seen = observed(Evidence::None, Some(StopCause::Cancelled));
    seen.signals = vec![interrupted(), killed];
    let events = given::<Execution>([
        pending(),
        running(),
        cancellation_requested(),
        E::SignalSent(interrupted()),
    ])
    .when(Command::Finish(Box::new(seen)))
    .events();
    assert!(matches!(&events[..], [E::SignalSent(sent), E::Cancelled(_)] if *sent == killed));
}

#[test]
fn a_lost_run_fails_with_what_was_seen_of_it() {
    let seen = Some(Box::new(observed(Evidence::None, None)));
    let lose = |observed| Command::Lose {
        claim: claim(1),
        code: FailureCode::SupervisorLost,
        message: text(),
        observed,
    };
    let events = given::<Execution>([pending(), running()]).when(lose(seen)).events();
    assert!(matches!(&events[..], [E::Failed(failed)] if failed.report.is_some()));
    given::<Execution>([pending()]).when(lose(None)).then_refused(&Rejection::NotRunning);
}

#[test]
fn a_result_is_injected_once_and_only_where_it_was_asked_for() {
    let history = || vec![E::Pending(Box::new(injecting())), running(), completed()];
    let inject = || Command::Inject { session_id: session() };
    let injected = E::ResultInjected(ResultInjected { session_id: session() });
    let refuse = || Command::RefuseInjection {
        session_id: session(),
        reason: InjectionRefusal::SessionClosed,
    };
    given::<Execution>(history()).when(inject()).then([injected.clone()]);
    let settled = || history().into_iter().chain([injected.clone()]);
    given::<Execution>(settled()).when(inject()).then([]);
    given::<Execution>(settled()).when(refuse()).then([]);
    given::<Execution>(history()).when(refuse()).then([E::InjectionRefused(InjectionRefused {
        session_id: session(),
        reason: InjectionRefusal::SessionClosed,
    })]);
    given::<Execution>([pending(), running(), completed()])
        .when(inject())
        .then_refused(&Rejection::NoInjectionAsked);
    given::<Execution>([E::Pending(Box::new(injecting()))])
        .when(inject())
        .then_refused(&Rejection::NotEnded);
}

#[test]
fn a_cost_is_corrected_after_the_end_only() {
    let correct = || Command::CorrectCost {
        cost: NanoUsd::ZERO,
        basis: CostBasis::ProviderReported,
        price_book: None,
        reason: text(),
    };
    given::<Execution>([pending(), running()]).when(correct()).then_refused(&Rejection::NotEnded);
    let events = given::<Execution>([pending(), running(), completed()]).when(correct()).events();
    assert!(matches!(&events[..], [E::CostCorrected(_)]));
}

#[test]
fn only_the_waiting_are_moved_and_nothing_happens_to_what_does_not_exist() {
    let moved = || Command::MoveToFront { rank: 4 };
    given::<Execution>([pending()]).when(moved()).then([E::QueueMoved(QueueMoved { rank: 4 })]);
    given::<Execution>([pending(), running()]).when(moved()).then_refused(&Rejection::NotPending);
    for command in [moved(), cancel(), start(1, 1), finish(Evidence::Success, None)] {
        given::<Execution>([]).when(command).then_refused(&Rejection::NotFound);
    }
}

#[test]
fn what_is_the_next_already_is_not_moved_and_nothing_is_moved_for_ever() {
    let moved = |rank| E::QueueMoved(QueueMoved { rank });
    let to = |rank| Command::MoveToFront { rank };
    given::<Execution>([pending()]).when(to(0)).then([]);
    given::<Execution>([pending(), moved(4)]).when(to(4)).then([]);
    let history = |moves: u32| [pending()].into_iter().chain((1..=u64::from(moves)).map(moved));
    let most = limits::QUEUE_MOVES_MAX;
    given::<Execution>(history(most - 1)).when(to(1_000)).then([moved(1_000)]);
    given::<Execution>(history(most)).when(to(1_000)).then_refused(&Rejection::MovedTooOften);
    given::<Execution>(history(most)).when(to(u64::from(most))).then([]);
}

/// Any command, about any of three claims, at any time, with any evidence.
fn any_command() -> impl Strategy<Value = Command> {
    let evidence = prop_oneof![
        Just(Evidence::Success),
        Just(Evidence::None),
        Just(Evidence::Failure { code: FailureCode::AgentError, message: None }),
    ];
    let stopped = prop::option::of(prop_oneof![
        Just(StopCause::Cancelled),
        Just(StopCause::Timeout),
        Just(StopCause::OutputLimit),
        Just(StopCause::HostShutdown),
    ]);
    let finish = (1..4_u128, evidence, stopped).prop_map(|(number, evidence, stopped)| {
        let observed = Observation { claim: claim(number), ..observed(evidence, stopped) };
        Command::Finish(Box::new(observed))
    });
    let lose = (1..4_u128).prop_map(|number| Command::Lose {
        claim: claim(number),
        code: FailureCode::SupervisorLost,
        message: text(),
        observed: None,
    });
    prop_oneof![
        Just(Command::Submit(Box::new(injecting()))),
        (1..4_u128, 0..1_200_i64).prop_map(|(number, second)| start(number, second)),
        Just(cancel()),
        finish,
        lose,
        (1..4_u128).prop_map(|number| Command::Abandon { claim: claim(number) }),
        (0..1_200_i64).prop_map(|second| Command::Expire { now: at(second), message: text() }),
        Just(Command::Inject { session_id: session() }),
        Just(Command::RefuseInjection {
            session_id: session(),
            reason: InjectionRefusal::SessionNotFound,
        }),
        Just(Command::MoveToFront { rank: 1 }),
        (1..4_u128).prop_map(|n| Command::NoteSignal { claim: claim(n), sent: interrupted() }),
    ]
}

fn is_ending(event: &E) -> bool {
    matches!(event, E::Completed(_) | E::Failed(_) | E::Cancelled(_))
}

proptest! {
    #[test]
    fn whatever_is_commanded_there_is_at_most_one_ending_and_one_start(
        commands in prop::collection::vec(any_command(), 1..60),
    ) {
        let mut state = Execution::default();
        let mut history: Vec<E> = Vec::new();
        for command in commands {
            if let Ok(events) = state.decide(command.clone()) {
                for event in events {
                    state = state.evolve(&event);
                    history.push(event);
                }
                // A command that was carried out is "already so", or refused, when it is repeated.
                let moves = matches!(command, Command::MoveToFront { .. });
                prop_assert!(moves || state.decide(command).is_ok_and(|e| e.is_empty()) || state.pending().is_some());
            }
        }
        let endings = history.iter().filter(|event| is_ending(event)).count();
        let starts = history.iter().filter(|event| matches!(event, E::Running(_))).count();
        prop_assert!(endings <= 1 && starts <= 1);
        if let Some(end) = history.iter().position(is_ending) {
            let after = &history[end + 1..];
            prop_assert!(after.iter().all(|event| matches!(event,
                E::ResultInjected(_) | E::InjectionRefused(_) | E::CostCorrected(_))));
            let injections = after.iter().filter(|event| !matches!(event, E::CostCorrected(_)));
            prop_assert!(injections.count() <= 1);
        }
        let folded = history.iter().fold(Execution::default(), Execution::evolve);
        prop_assert_eq!(folded, state);
    }
}
