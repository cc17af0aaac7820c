//! Whatever happened: live, rebuilt, as of then and worked out by hand are the same.

use execution_ledger_projections::{
    At, CostsBy, CostsQuery, ExecutionFilters, ExecutionQuery, PAGE_MAX, Sort, digest, rebuild,
};
use execution_ledger_store::EventStore;
use proptest::prelude::*;
use std::sync::Arc;

use super::answers::{all_answers, by_hand, filter_sets, is_meant, scopes, stats_by_hand};
use super::world::{Step, World};

fn step() -> impl Strategy<Value = Step> {
    let which = 0..64_usize;
    prop_oneof![
        6 => (0..3_usize, 0..2_usize, 0..8_usize, 0..5_usize, 0..3_usize, 0..5_usize).prop_map(
            |(agent, user, trigger, text, model, source)| Step::Submit {
                agent, user, trigger, text, model, source,
            }
        ),
        6 => which.clone().prop_map(Step::Start),
        2 => which.clone().prop_map(Step::Cancel),
        6 => (which.clone(), 0..8_usize, proptest::option::of(0..1_000_i64), 0..5_usize).prop_map(
            |(which, outcome, cost, text)| Step::Finish { which, outcome, cost, text }
        ),
        1 => which.clone().prop_map(Step::Expire),
        1 => which.clone().prop_map(Step::MoveToFront),
        1 => (which.clone(), any::<bool>()).prop_map(|(which, injected)| Step::Settle {
            which, injected,
        }),
        1 => (which.clone(), 0..1_000_i64).prop_map(|(which, cost)| Step::Correct { which, cost }),
        2 => (0..6_usize, 0..6_usize).prop_map(|(which, what)| Step::Pay { which, what }),
        2 => (which.clone(), which.clone()).prop_map(|(which, command)| Step::Agent { which, command }),
        1 => (0..3_usize, any::<bool>()).prop_map(|(which, close)| Step::Session { which, close }),
        2 => (0..40_000_u64).prop_map(|seconds| Step::Pass { seconds }),
    ]
}

/// What is done between two looks at the answers.
pub fn life() -> impl Strategy<Value = Vec<Vec<Step>>> {
    proptest::collection::vec(proptest::collection::vec(step(), 1..24), 1..5)
}

pub fn config() -> ProptestConfig {
    ProptestConfig { cases: 12, failure_persistence: None, ..ProptestConfig::default() }
}

pub fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime")
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn answers_as_of_then_are_the_answers_that_were_given_then(life in life()) {
        runtime().block_on(async {
            let mut world = World::new();
            let mut running = world.run_views();
            let mut given = Vec::new();
            for steps in &life {
                for step in steps {
                    world.step(step).await;
                }
                running.caught_up(&world).await;
                given.push((world.head().await, all_answers(&running.views, At::Now).await));
                // Started again, it goes on where it was.
                running.stop().await;
                running = world.run_views();
            }
            running.caught_up(&world).await;
            for (position, answers) in given {
                let again = all_answers(&running.views, At::Position(position)).await;
                for (then, again) in answers.iter().zip(&again) {
                    assert_eq!(then, again, "as of {position:?}");
                }
            }
            running.stop().await;
        });
    }

    #[test]
    fn rebuilt_and_live_rows_are_the_same(life in life()) {
        runtime().block_on(async {
            let mut world = World::new();
            let running = world.run_views();
            for step in life.iter().flatten() {
                world.step(step).await;
            }
            running.caught_up(&world).await;
            running.stop().await;
            let store: Arc<dyn EventStore> = world.store.clone();
            let path = world.folder.path().join("rebuilt.db");
            let rebuilt = rebuild(&path, &store, |_| {}).await.expect("a rebuild");
            assert_eq!(rebuilt.position, world.head().await);
            let live = digest(&world.views_path()).expect("live rows");
            assert!(live.len() >= 9, "{live:?}");
            assert_eq!(live, digest(&path).expect("rebuilt rows"));
        });
    }

    #[test]
    fn pages_sums_and_costs_are_what_the_events_say(life in life()) {
        runtime().block_on(async {
            let mut world = World::new();
            let running = world.run_views();
            for step in life.iter().flatten() {
                world.step(step).await;
            }
            running.caught_up(&world).await;
            let head = world.head().await;
            let records = by_hand(&world, head).await;
            for scope in scopes() {
                for filters in filter_sets() {
                    let meant: Vec<_> =
                        records.iter().filter(|r| is_meant(r, &scope, &filters)).collect();
                    let mut newest_first = meant.clone();
                    newest_first.sort_by_key(|record| std::cmp::Reverse(record.no));
                    let query = ExecutionQuery {
                        filters: filters.clone(),
                        limit: PAGE_MAX,
                        sort: Sort::NewestFirst,
                        ..ExecutionQuery::default()
                    };
                    let page =
                        running.views.executions(&scope, At::Now, &query).await.expect("a page");
                    let page: Vec<_> = page.value.items.iter().collect();
                    assert_eq!(page, newest_first, "{scope:?} {filters:?}");
                    let stats =
                        running.views.stats(&scope, At::Now, &filters).await.expect("stats");
                    assert_eq!(stats.value, stats_by_hand(&meant), "{scope:?} {filters:?}");
                }
                let covered: Vec<_> = records
                    .iter()
                    .filter(|r| is_meant(r, &scope, &ExecutionFilters::default()))
                    .collect();
                let sums = stats_by_hand(&covered);
                for by in [CostsBy::Day, CostsBy::Agent, CostsBy::Model, CostsBy::Trigger] {
                    let query = CostsQuery { by, from: None, to: None };
                    let costs = running.views.costs(&scope, At::Now, &query).await.expect("costs");
                    let (total, parts) = (costs.value.total, costs.value.costs);
                    assert_eq!((total.cost, total.unknown), (sums.cost, sums.cost_unknown));
                    assert_eq!(parts.iter().map(|part| part.runs).sum::<u64>(), total.runs);
                    assert_eq!(parts.into_iter().map(|p| p.cost).sum::<execution_ledger_domain::NanoUsd>(), total.cost);
                }
            }
            running.stop().await;
        });
    }
}
