//! Sums of days: whatever happened, and whatever part of it is meant, they are the sums of the rows.

use std::collections::BTreeMap;

use execution_ledger_domain::{Scope, Timestamp};
use execution_ledger_projections::{
    At, Bucket, ExecutionFilters, ExecutionRecord, TimelineBucket, Views,
};
use proptest::prelude::*;

use super::answers::{by_hand, filter_sets, is_meant, scopes, stats_by_hand};
use super::billing::spans;
use super::history::{config, life, runtime};
use super::world::World;

const BUCKETS: [Bucket; 5] =
    [Bucket::Hour, Bucket::Day, Bucket::Agent, Bucket::Trigger, Bucket::Model];

/// The parts of a timeline in which there is something, by hand.
fn parts_by_hand(records: &[&ExecutionRecord], bucket: Bucket) -> Vec<TimelineBucket> {
    let mut parts: BTreeMap<Option<String>, Vec<&ExecutionRecord>> = BTreeMap::new();
    for record in records {
        let created = record.created_at.to_string();
        let key = match bucket {
            Bucket::Hour => Some(format!("{}:00:00.000000Z", &created[..13])),
            Bucket::Day => Some(format!("{}T00:00:00.000000Z", &created[..10])),
            Bucket::Agent => Some(record.agent_name.to_string()),
            Bucket::Trigger => Some(record.triggered_by.to_string()),
            Bucket::Model => record.model_used.clone().or_else(|| record.model_requested.clone()),
        };
        parts.entry(key).or_default().push(record);
    }
    let part = |(bucket, records): (Option<String>, Vec<&ExecutionRecord>)| {
        let sums = stats_by_hand(&records);
        TimelineBucket {
            bucket,
            total: sums.total,
            pending: sums.pending,
            running: sums.running,
            completed: sums.completed,
            failed: sums.failed,
            cancelled: sums.cancelled,
            cost: sums.cost,
        }
    };
    parts.into_iter().map(part).collect()
}

async fn compare(
    views: &Views,
    scope: &Scope,
    filters: &ExecutionFilters,
    records: &[ExecutionRecord],
) {
    let meant: Vec<_> = records.iter().filter(|r| is_meant(r, scope, filters)).collect();
    let stats = views.stats(scope, At::Now, filters).await.expect("stats");
    assert_eq!(stats.value, stats_by_hand(&meant), "{scope:?} {filters:?}");
    for bucket in BUCKETS {
        let timeline = views.timeline(scope, At::Now, filters, bucket).await.expect("a timeline");
        let parts = timeline.value.buckets.into_iter().filter(|part| part.total > 0);
        let parts: Vec<_> = parts.collect();
        assert_eq!(parts, parts_by_hand(&meant, bucket), "{scope:?} {filters:?} {bucket:?}");
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn sums_of_days_are_those_of_the_rows_for_every_filter_and_span(life in life()) {
        runtime().block_on(async {
            let mut world = World::new();
            let running = world.run_views();
            for steps in &life {
                for step in steps {
                    world.step(step).await;
                }
                running.caught_up(&world).await;
                let records = by_hand(&world, world.head().await).await;
                for scope in scopes() {
                    for filters in filter_sets() {
                        for (from, to) in spans() {
                            let filters = ExecutionFilters {
                                from: from.map(Timestamp::from_micros),
                                to: to.map(Timestamp::from_micros),
                                ..filters.clone()
                            };
                            compare(&running.views, &scope, &filters, &records).await;
                        }
                    }
                }
            }
            running.stop().await;
        });
    }
}
