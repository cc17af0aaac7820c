//! Rules of budgets, and random histories against a model.

use proptest::prelude::*;
use uuid::Uuid;

use super::*;
use crate::content::{ContentRef, Digest};
use crate::execution::{
    CancelCause, Cancelled, Completed, CostBasis, ExecutionEvent, Failed, FailureCode, Pending,
    RunReport, Running,
};
use crate::given::{given, task};
use crate::ids::{AgentName, ClaimId, ExecutionId, UserName};
use crate::money::NanoUsd;
use crate::time::Timestamp;

const DAY_S: i64 = 24 * 3_600;

fn usd(nanos: i64) -> NanoUsd {
    NanoUsd::from_nanos(nanos).expect("an amount")
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_micros(second * 1_000_000)
}

fn agent(name: &str) -> AgentName {
    AgentName::new(name).expect("a name")
}

fn user(name: &str) -> UserName {
    UserName::new(name).expect("a name")
}

fn id(number: u128) -> ExecutionId {
    ExecutionId(Uuid::from_u128(number))
}

fn limits(execution: Option<i64>, day: Option<i64>, month: Option<i64>) -> BudgetSet {
    BudgetSet {
        per_execution_nano_usd: execution.map(usd),
        per_day_nano_usd: day.map(usd),
        per_month_nano_usd: month.map(usd),
    }
}

fn spend(second: i64, max: Option<i64>) -> Spend {
    Spend { now: at(second), user: user("ada"), max: max.map(usd), named: false }
}

fn with(scope: &BudgetScope, set: BudgetSet) -> Budgets {
    let mut budgets = Budgets::default();
    budgets.apply_budget(at(0), scope, &BudgetEvent::BudgetSet(set));
    budgets
}

fn pending(name: &str, max: Option<i64>) -> ExecutionEvent {
    let pending = task(agent(name), user("ada"), at(1_000_000_000));
    ExecutionEvent::Pending(Box::new(Pending { max_cost_nano_usd: max.map(usd), ..pending }))
}

fn running() -> ExecutionEvent {
    ExecutionEvent::Running(Running {
        claim: ClaimId(Uuid::nil()),
        slot_until: at(1_000_000_000),
        runtime: crate::agent::Runtime::Command,
        resumed_session_id: None,
        told: Vec::new(),
        node: None,
    })
}

fn completed(cost: Option<i64>) -> ExecutionEvent {
    let report = RunReport {
        claim: ClaimId(Uuid::nil()),
        started_at: at(0),
        ended_at: at(0),
        duration_ms: 0,
        exit: None,
        killed_processes: 0,
        response: None,
        response_cut: false,
        cost_nano_usd: cost.map(usd),
        cost_basis: CostBasis::Unknown,
        price_book: None,
        usage: None,
        usage_by_model: Vec::new(),
        model_used: None,
        agent_session_id: None,
        num_turns: None,
        transcript: None,
    };
    ExecutionEvent::Completed(Box::new(Completed { report }))
}

fn failed(code: FailureCode) -> ExecutionEvent {
    let message = Some(ContentRef { sha256: Digest([1; 32]), bytes: 1 });
    ExecutionEvent::Failed(Box::new(Failed { code, message, report: None }))
}

fn cancelled() -> ExecutionEvent {
    ExecutionEvent::Cancelled(Box::new(Cancelled { cause: CancelCause::Requested, report: None }))
}

fn reached(since: i64, percent: u32, limit: i64) -> ThresholdReached {
    ThresholdReached {
        period: Period::Day,
        since: at(since),
        percent,
        limit_nano_usd: usd(limit),
        committed_nano_usd: usd(limit),
        reserved_nano_usd: NanoUsd::ZERO,
    }
}

#[test]
fn limits_are_amounts_of_nothing_or_more_and_the_same_again_is_nothing_new() {
    let set = limits(None, Some(5), None);
    let event = BudgetEvent::BudgetSet(set);
    given::<Budget>([]).when(Command::Set(set)).then([event.clone()]);
    given::<Budget>([event.clone()]).when(Command::Set(set)).then([]);
    for bad in [limits(None, None, None), limits(Some(-1), None, None)] {
        let refused = Budget::default();
        let refused = crate::Aggregate::decide(&refused, Command::Set(bad));
        assert!(matches!(refused, Err(Rejection::Invalid { .. })), "{bad:?}");
    }
    given::<Budget>([]).when(Command::Lift).then_refused(&Rejection::NotSet);
    let lifted = BudgetEvent::BudgetSet(BudgetSet::default());
    given::<Budget>([event.clone()]).when(Command::Lift).then([lifted.clone()]);
    given::<Budget>([event, lifted]).when(Command::Lift).then_refused(&Rejection::NotSet);
}

#[test]
fn each_part_of_a_limit_is_told_once_for_each_day_and_limit() {
    let set = |day| BudgetEvent::BudgetSet(limits(None, Some(day), None));
    let told =
        |since, percent, limit| BudgetEvent::ThresholdReached(reached(since, percent, limit));
    let tell = |since, percent, limit| Command::Tell(reached(since, percent, limit));
    given::<Budget>([set(9)]).when(tell(0, 50, 9)).then([told(0, 50, 9)]);
    given::<Budget>([set(9), told(0, 50, 9)]).when(tell(0, 50, 9)).then([]);
    given::<Budget>([set(9), told(0, 50, 9)]).when(tell(0, 80, 9)).then([told(0, 80, 9)]);
    given::<Budget>([set(9), told(0, 50, 9)]).when(tell(DAY_S, 50, 9)).then([told(DAY_S, 50, 9)]);
    let outdated = Rejection::Outdated;
    given::<Budget>([set(9), told(DAY_S, 50, 9)]).when(tell(0, 80, 9)).then_refused(&outdated);
    given::<Budget>([set(9)]).when(tell(0, 80, 8)).then_refused(&outdated);
    // Another limit is told of anew.
    given::<Budget>([set(9), told(0, 50, 9), set(8)]).when(tell(0, 50, 8)).then([told(0, 50, 8)]);
}

#[test]
fn a_task_is_refused_by_the_first_budget_that_has_no_room_for_its_most() {
    let scope = BudgetScope::Agent(agent("a"));
    let mut budgets = with(&scope, limits(None, Some(10), None));
    let a = agent("a");
    assert_eq!(budgets.admit(id(1), &a, &spend(1, Some(6))), Ok(Some(usd(6))));
    let over = budgets.admit(id(2), &a, &spend(1, Some(5))).expect_err("no room");
    assert_eq!((&over.scope, over.period, over.limit), (&scope, Period::Day, usd(10)));
    assert_eq!((over.committed, over.reserved, over.asked), (usd(0), usd(6), usd(5)));
    assert_eq!(over.until, Some(at(DAY_S)));
    assert!(over.to_string().contains("the day ends at 1970-01-02"), "{over}");
    assert_eq!(budgets.admit(id(2), &agent("b"), &spend(1, Some(5))), Ok(Some(usd(5))));
    assert_eq!(budgets.admit(id(3), &a, &spend(1, Some(4))), Ok(Some(usd(4))), "just enough");
    // Reached: not even what keeps nothing.
    assert!(budgets.admit(id(4), &a, &spend(1, None)).is_err());
    budgets.release(id(3));
    assert_eq!(budgets.admit(id(4), &a, &spend(1, None)), Ok(None));
}

#[test]
fn a_budget_for_one_execution_lowers_what_nobody_named_and_refuses_what_somebody_did() {
    let mut budgets = with(&BudgetScope::User(user("ada")), limits(Some(5), None, None));
    let a = agent("a");
    assert_eq!(budgets.admit(id(1), &a, &spend(1, None)), Ok(Some(usd(5))));
    assert_eq!(budgets.admit(id(2), &a, &spend(1, Some(9))), Ok(Some(usd(5))), "the agent's own");
    assert_eq!(budgets.admit(id(3), &a, &spend(1, Some(3))), Ok(Some(usd(3))));
    let named = Spend { named: true, ..spend(1, Some(9)) };
    let over = budgets.admit(id(4), &a, &named).expect_err("too much");
    assert_eq!((over.period, over.limit, over.asked), (Period::Execution, usd(5), usd(9)));
    assert_eq!(over.until, None);
}

#[test]
fn what_an_ending_says_of_the_cost_is_spent_kept_or_free() {
    for (events, spent, kept) in [
        (vec![pending("a", Some(6))], 0, 6),
        (vec![pending("a", Some(6)), running()], 0, 6),
        (vec![pending("a", Some(6)), running(), completed(Some(7))], 7, 0),
        (vec![pending("a", Some(6)), running(), completed(None)], 0, 6),
        (vec![pending("a", None), running(), completed(None)], 0, 0),
        (vec![pending("a", Some(6)), cancelled()], 0, 0),
        (vec![pending("a", Some(6)), running(), cancelled()], 0, 0),
        (vec![pending("a", Some(6)), failed(FailureCode::QueueExpired)], 0, 0),
        (vec![pending("a", Some(6)), running(), failed(FailureCode::SpawnFailed)], 0, 0),
        (vec![pending("a", Some(6)), running(), failed(FailureCode::SupervisorLost)], 0, 6),
    ] {
        let mut budgets = with(&BudgetScope::Global, limits(None, Some(100), None));
        for event in &events {
            budgets.apply_execution(at(1), id(1), event);
        }
        let standing = budgets.standing(&BudgetScope::Global, Period::Day);
        assert_eq!(standing, (usd(spent), usd(kept)), "{events:?}");
    }
}

#[test]
fn a_new_day_is_empty_but_for_what_goes_on_and_a_month_remembers_its_days() {
    let scope = BudgetScope::Global;
    let mut budgets = with(&scope, limits(None, Some(100), Some(100)));
    for (number, ending) in [(1, completed(Some(3))), (2, completed(None))] {
        budgets.apply_execution(at(1), id(number), &pending("a", Some(4)));
        budgets.apply_execution(at(2), id(number), &running());
        budgets.apply_execution(at(3), id(number), &ending);
    }
    budgets.apply_execution(at(4), id(3), &pending("a", Some(8)));
    assert_eq!(budgets.standing(&scope, Period::Day), (usd(3), usd(12)));
    budgets.take_thresholds(at(DAY_S));
    assert_eq!(budgets.standing(&scope, Period::Day), (usd(0), usd(8)));
    assert_eq!(budgets.standing(&scope, Period::Month), (usd(3), usd(12)));
    // A clock that jumps back begins no day anew.
    budgets.take_thresholds(at(5));
    assert_eq!(budgets.standing(&scope, Period::Day), (usd(0), usd(8)));
    // The correction counts today; what was kept is free in the month of the ending.
    let correction = Correction {
        agent: agent("a"),
        user: user("ada"),
        before: None,
        now: usd(2),
        kept: Some((usd(4), at(3))),
    };
    budgets.correct(at(DAY_S + 1), &correction);
    assert_eq!(budgets.standing(&scope, Period::Day), (usd(2), usd(8)));
    assert_eq!(budgets.standing(&scope, Period::Month), (usd(5), usd(8)));
    budgets.take_thresholds(at(31 * DAY_S));
    assert_eq!(budgets.standing(&scope, Period::Month), (usd(0), usd(8)));
}

#[test]
fn parts_are_reached_by_what_is_spent_and_kept_and_looked_at_when_something_changed() {
    let scope = BudgetScope::Agent(agent("a"));
    let mut budgets = with(&scope, limits(None, Some(10), Some(100)));
    assert_eq!(budgets.take_thresholds(at(1)), []);
    budgets.apply_execution(at(1), id(1), &pending("a", Some(8)));
    let percents = |budgets: &mut Budgets, second| {
        let reached = budgets.take_thresholds(at(second));
        reached.iter().map(|(_, reached)| (reached.period, reached.percent)).collect::<Vec<_>>()
    };
    assert_eq!(percents(&mut budgets, 1), [(Period::Day, 50), (Period::Day, 80)]);
    assert!(!budgets.has_changed(), "looked at");
    budgets.look_again(scope.clone());
    let told = budgets.take_thresholds(at(1));
    for (scope, told) in &told {
        budgets.apply_budget(at(1), scope, &BudgetEvent::ThresholdReached(*told));
    }
    assert_eq!(percents(&mut budgets, 1), [], "told");
    // What goes on counts in the next day too.
    assert_eq!(percents(&mut budgets, DAY_S), [(Period::Day, 50), (Period::Day, 80)]);
}

/// What happens to one execution in a random history.
#[derive(Clone, Copy, Debug)]
enum Step {
    Ask { agent: usize, max: Option<i64>, fails: bool },
    Begin(usize),
    End { which: usize, cost: Option<i64> },
    Cancel(usize),
    Correct { which: usize, cost: i64 },
    Later(i64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let max = prop_oneof![Just(None), (0..60_i64).prop_map(Some)];
    let step = prop_oneof![
        4 => (0..2_usize, max, prop::bool::weighted(0.1))
            .prop_map(|(agent, max, fails)| Step::Ask { agent, max, fails }),
        3 => (0..40_usize).prop_map(Step::Begin),
        3 => (0..40_usize, prop_oneof![Just(None), (0..60_i64).prop_map(Some)])
            .prop_map(|(which, cost)| Step::End { which, cost }),
        1 => (0..40_usize).prop_map(Step::Cancel),
        1 => (0..40_usize, 0..60_i64).prop_map(|(which, cost)| Step::Correct { which, cost }),
        1 => (0..DAY_S).prop_map(Step::Later),
    ];
    prop::collection::vec(step, 0..120)
}

/// An execution as the test remembers it.
#[derive(Clone)]
struct Life {
    agent: AgentName,
    max: Option<i64>,
    started: bool,
    ended: Option<(Timestamp, bool)>,
    cost: Option<i64>,
}

proptest! {
    #[test]
    fn no_admission_passes_a_limit_and_a_fold_of_the_log_is_the_live_state(steps in steps()) {
        let scopes =
            [BudgetScope::Global, BudgetScope::Agent(agent("a")), BudgetScope::User(user("ada"))];
        let mut live = Budgets::default();
        let mut log: Vec<(Timestamp, ExecutionId, ExecutionEvent)> = Vec::new();
        let mut corrections: Vec<(usize, Timestamp, Correction)> = Vec::new();
        for (scope, day) in scopes.iter().zip([100, 60, 90]) {
            let set = BudgetEvent::BudgetSet(limits(Some(50), Some(day), Some(3 * day)));
            live.apply_budget(at(0), scope, &set);
        }
        let begun = live.clone();
        let (mut lives, mut now): (Vec<Life>, _) = (Vec::new(), 0);
        for step in steps {
            let mut events = Vec::new();
            match step {
                Step::Later(seconds) => now += seconds,
                Step::Ask { agent: which, max, fails } => {
                    let agent = agent(["a", "b"][which]);
                    let number = id(lives.len() as u128);
                    let most = live.admit(number, &agent, &spend(now, max));
                    for scope in &scopes {
                        for (period, of) in [(Period::Day, 1), (Period::Month, 3)] {
                            let limit = live.budget(scope).limits.per_day_nano_usd.map_or(0, NanoUsd::nanos);
                            let (spent, kept) = live.standing(scope, period);
                            let counts = *scope != scopes[1] || which == 0;
                            let asked = most.as_ref().ok().and_then(|most| *most);
                            prop_assert!(
                                most.is_err() || !counts || asked == Some(NanoUsd::ZERO)
                                    || spent.nanos() + kept.nanos() <= limit * of,
                                "{scope} {period:?}: {spent} + {kept} of {limit}"
                            );
                        }
                    }
                    match most {
                        Ok(most) if !fails => {
                            let max = most.map(NanoUsd::nanos);
                            events.push((lives.len(), pending(agent.as_str(), max)));
                            lives.push(Life { agent, max, started: false, ended: None, cost: None });
                        }
                        Ok(_) => live.release(number),
                        Err(_) => {}
                    }
                }
                Step::Begin(which) => {
                    if let Some(life) = lives.get_mut(which)
                        && life.ended.is_none() && !life.started
                    {
                        life.started = true;
                        events.push((which, running()));
                    }
                }
                Step::End { which, cost } => {
                    if let Some(life) = lives.get_mut(which)
                        && life.ended.is_none() && life.started
                    {
                        (life.ended, life.cost) = (Some((at(now), cost.is_none())), cost);
                        events.push((which, completed(cost)));
                    }
                }
                Step::Cancel(which) => {
                    if let Some(life) = lives.get_mut(which)
                        && life.ended.is_none()
                    {
                        life.ended = Some((at(now), false));
                        events.push((which, cancelled()));
                    }
                }
                Step::Correct { which, cost } => {
                    if let Some(life) = lives.get_mut(which)
                        && let Some((ended_at, unknown)) = life.ended
                    {
                        let kept = life.max.filter(|_| unknown && life.cost.is_none());
                        let correction = Correction {
                            agent: life.agent.clone(),
                            user: user("ada"),
                            before: life.cost.map(usd),
                            now: usd(cost),
                            kept: kept.map(|max| (usd(max), ended_at)),
                        };
                        life.cost = Some(cost);
                        live.correct(at(now), &correction);
                        corrections.push((log.len(), at(now), correction));
                    }
                }
            }
            for (which, event) in events {
                live.apply_execution(at(now), id(which as u128), &event);
                log.push((at(now), id(which as u128), event));
            }
        }
        let mut folded = begun;
        let mut corrections = corrections.into_iter().peekable();
        for number in 0..=log.len() {
            while let Some((_, at, correction)) = corrections.next_if(|(before, ..)| *before == number) {
                folded.correct(at, &correction);
            }
            if let Some((at, id, event)) = log.get(number) {
                folded.apply_execution(*at, *id, event);
            }
        }
        live.take_thresholds(at(now));
        folded.take_thresholds(at(now));
        for scope in &scopes {
            for period in [Period::Day, Period::Month] {
                prop_assert_eq!(live.standing(scope, period), folded.standing(scope, period));
            }
        }
    }
}
