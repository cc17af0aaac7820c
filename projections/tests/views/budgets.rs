//! Budgets: what the rows say is spent and kept is what a fold of the log says, now and as of then.

use std::collections::HashMap;

use execution_ledger_domain::budget::{
    BudgetEvent, BudgetSet, Budgets, Correction, EndedCost, Period,
};
use execution_ledger_domain::execution::{ExecutionEvent, Pending};
use execution_ledger_domain::{BudgetScope, Event, ExecutionId, NanoUsd, StreamName, Timestamp};
use execution_ledger_projections::{At, PageQuery, Views};
use execution_ledger_store::{EventStore, Position, With};
use proptest::prelude::*;

use super::history::{config, life, runtime};
use super::world::{World, agent, context, user};

/// Events of a life: more than any has.
const EVENTS_MAX: usize = 100_000;

fn scopes() -> [BudgetScope; 3] {
    [BudgetScope::Global, BudgetScope::Agent(agent("ada")), BudgetScope::User(user("max"))]
}

async fn set_budgets(world: &World) {
    for scope in scopes() {
        let limit = NanoUsd::from_nanos(1_000_000).ok();
        let set = BudgetSet {
            per_execution_nano_usd: None,
            per_day_nano_usd: limit,
            per_month_nano_usd: limit,
        };
        let fact = BudgetEvent::BudgetSet(set).into();
        let stream = StreamName::budget(&scope);
        world.ledger.note(&stream, &[fact], &context()).await.expect("noted");
    }
}

/// What is told of an execution, for its corrections.
struct Known {
    pending: Pending,
    started: bool,
    ended: Option<(EndedCost, Timestamp)>,
    cost: Option<NanoUsd>,
}

/// The fold of the whole log.
async fn folded(world: &World) -> Budgets {
    let (mut budgets, mut known) = (Budgets::default(), HashMap::<ExecutionId, Known>::new());
    let read = world.store.read_all(Position::START, EVENTS_MAX, With::EventsOnly).await;
    for recorded in &read.expect("a log") {
        let (at, stream) = (recorded.recorded_at, &recorded.stream);
        match recorded.event().expect("readable") {
            Event::Budget(event) => {
                budgets.apply_budget(at, &stream.budget_scope().expect("a budget"), &event);
            }
            Event::Execution(event) => {
                let id = stream.execution_id().expect("an execution");
                budgets.apply_execution(at, id, &event);
                if let Some(correction) = learn(&mut known, id, at, &event) {
                    budgets.correct(at, &correction);
                }
            }
            _ => {}
        }
    }
    budgets
}

fn learn(
    known: &mut HashMap<ExecutionId, Known>,
    id: ExecutionId,
    at: Timestamp,
    event: &ExecutionEvent,
) -> Option<Correction> {
    if let ExecutionEvent::Pending(pending) = event {
        let pending = pending.as_ref().clone();
        known.insert(id, Known { pending, started: false, ended: None, cost: None });
        return None;
    }
    let known = known.get_mut(&id)?;
    known.started |= matches!(event, ExecutionEvent::Running(_));
    if let Some(cost) = EndedCost::of(event, known.started) {
        known.ended = Some((cost, at));
        known.cost = event.report().and_then(|report| report.cost_nano_usd);
    }
    let ExecutionEvent::CostCorrected(corrected) = event else { return None };
    let kept = match (known.ended, known.cost) {
        (Some((EndedCost::Unknown, ended_at)), None) => {
            known.pending.max_cost_nano_usd.map(|max| (max, ended_at))
        }
        _ => None,
    };
    let before = known.cost.replace(corrected.cost_nano_usd);
    let (agent, user) = (known.pending.agent.clone(), known.pending.user.clone());
    Some(Correction { agent, user, before, now: corrected.cost_nano_usd, kept })
}

type Sums = Vec<(BudgetScope, [NanoUsd; 4])>;

async fn told(views: &Views, at: At) -> Sums {
    let query = PageQuery { limit: 10, cursor: None };
    let seen = views.budgets(at, None, &query).await.expect("budgets");
    let sums = seen.value.budgets.into_iter().map(|row| {
        let (day, month) = (row.day, row.month);
        (row.scope, [day.committed, day.reserved, month.committed, month.reserved])
    });
    sums.collect()
}

fn standing(budgets: &Budgets) -> Sums {
    let sums = scopes().into_iter().rev().map(|scope| {
        let (day, day_kept) = budgets.standing(&scope, Period::Day);
        let (month, month_kept) = budgets.standing(&scope, Period::Month);
        (scope, [day, day_kept, month, month_kept])
    });
    sums.collect()
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn what_rows_say_of_budgets_is_what_the_log_says_now_and_as_of_then(life in life()) {
        runtime().block_on(async {
            let mut world = World::new();
            let running = world.run_views();
            set_budgets(&world).await;
            let mut given = Vec::new();
            for steps in &life {
                for step in steps {
                    world.step(step).await;
                }
                running.caught_up(&world).await;
                let by_log = folded(&world).await;
                let sums = told(&running.views, At::Now).await;
                assert_eq!(sums, standing(&by_log));
                // What a restart goes on from leads to the same.
                let work = running.views.budget_work(Timestamp::EPOCH).await.expect("work").value;
                let mut loaded = Budgets::default();
                loaded.load_spent(work.moment, &work.spent);
                for (scope, budget) in work.budgets {
                    loaded.load_budget(scope, budget);
                }
                for open in work.open {
                    loaded.load_open(open.id, &open.agent, &open.user, open.max, open.started);
                }
                assert_eq!(standing(&loaded), sums);
                given.push((world.head().await, sums));
            }
            for (position, sums) in given {
                assert_eq!(told(&running.views, At::Position(position)).await, sums, "{position:?}");
            }
            running.stop().await;
        });
    }
}
