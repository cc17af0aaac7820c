//! Billing: every fact about money once, whatever happened, and sums that are the sums of its rows.

use std::collections::{BTreeMap, HashMap};

use execution_ledger_domain::billing::{Amount, BillingKind, BillingRow};
use execution_ledger_domain::execution::ExecutionEvent;
use execution_ledger_domain::payment::PaymentEvent;
use execution_ledger_domain::{Event, StreamName};
use execution_ledger_domain::{EventId, NanoUsd, Scope, Timestamp};
use execution_ledger_projections::{
    At, BILLING_PAGE_MAX, CostSummary, CostsBy, CostsQuery, Earned, QueryError, Views,
};
use execution_ledger_store::{EventStore, Position, With};
use proptest::prelude::*;

use super::answers::scopes;
use super::history::{config, life, runtime};
use super::world::{START, Step, World};

/// One day, in microseconds.
const DAY: i64 = 24 * 3_600_000_000;

async fn page(views: &Views, scope: &Scope, at: At, after: Position) -> Vec<BillingRow> {
    let seen = views.billing(scope, at, after, BILLING_PAGE_MAX).await.expect("a page");
    assert!(!seen.value.more);
    assert_eq!(seen.value.resume_after, seen.position.max(after));
    seen.value.rows
}

/// What billing has to be told, folded from the log by hand: where, by which event, what and how much.
async fn told_by_hand(world: &World) -> Vec<(String, EventId, BillingKind, Option<Amount>)> {
    let log = world.store.log_id().to_string();
    let read = world.store.read_all(Position::START, 10_000, With::EventsOnly).await;
    let (mut known, mut amounts) = (HashMap::new(), HashMap::<StreamName, String>::new());
    let mut told = Vec::new();
    for recorded in read.expect("events") {
        let stream = recorded.stream.clone();
        let row = match recorded.event().expect("an event") {
            Event::Execution(ExecutionEvent::CostCorrected(corrected)) => {
                let now = corrected.cost_nano_usd;
                let before: Option<NanoUsd> = known.insert(stream, Some(now)).flatten();
                let more = now.nanos() - before.map_or(0, NanoUsd::nanos);
                let more = NanoUsd::from_nanos(more).expect("an amount");
                Some((BillingKind::CostCorrected, Some(Amount::Usd(more))))
            }
            Event::Execution(event) => event.report().map(|report| {
                known.insert(stream, report.cost_nano_usd);
                (BillingKind::RunCost, report.cost_nano_usd.map(Amount::Usd))
            }),
            Event::Payment(PaymentEvent::Verified(verified)) => {
                amounts.insert(stream, verified.terms.amount);
                None
            }
            Event::Payment(PaymentEvent::Settled(_)) => {
                Some((BillingKind::PaymentSettled, Some(Amount::Token(amounts[&stream].clone()))))
            }
            Event::Payment(PaymentEvent::RefundOwed(owed)) => {
                Some((BillingKind::RefundOwed, Some(Amount::Token(owed.amount))))
            }
            _ => None,
        };
        told.extend(row.map(|(kind, amount)| {
            (format!("{log}-{}", recorded.position.number()), recorded.id, kind, amount)
        }));
    }
    told
}

/// The sums of rows, by group, and of all of them.
fn summed<'a>(
    rows: impl Iterator<Item = &'a BillingRow>,
    by: CostsBy,
) -> (Vec<CostSummary>, CostSummary) {
    let mut groups: BTreeMap<Option<String>, Vec<&BillingRow>> = BTreeMap::new();
    let mut all = Vec::new();
    for row in rows {
        let key = match by {
            CostsBy::Day => Some(row.at.to_string()[..10].to_owned()),
            CostsBy::Agent => Some(row.agent.to_string()),
            CostsBy::Model => row.model.clone(),
            CostsBy::Trigger => Some(row.triggered_by.to_string()),
        };
        groups.entry(key).or_default().push(row);
        all.push(row);
    }
    let groups = groups.into_iter().map(|(key, rows)| summary(key, &rows)).collect();
    (groups, summary(None, &all))
}

fn summary(key: Option<String>, rows: &[&BillingRow]) -> CostSummary {
    let mut earned: BTreeMap<&str, [(u64, u128); 2]> = BTreeMap::new();
    let (mut runs, mut nanos, mut unknown) = (0, 0, 0);
    for row in rows {
        runs += u64::from(row.kind == BillingKind::RunCost);
        unknown += i64::from(row.unknown);
        match &row.amount {
            Some(Amount::Usd(amount)) => nanos += amount.nanos(),
            Some(Amount::Token(units)) => {
                let sums = earned.entry(&row.unit).or_default();
                let sum = &mut sums[usize::from(row.kind == BillingKind::RefundOwed)];
                sum.0 += 1;
                sum.1 += units.parse::<u128>().expect("digits");
            }
            None => assert_eq!((row.kind, row.unknown), (BillingKind::RunCost, 1)),
        }
    }
    let earned = earned.into_iter().map(|(unit, [settled, owed])| Earned {
        unit: unit.to_owned(),
        payments: settled.0,
        settled: settled.1.to_string(),
        refunds: owed.0,
        refund_owed: owed.1.to_string(),
    });
    CostSummary {
        key,
        runs,
        cost: NanoUsd::from_nanos(nanos).expect("an amount"),
        unknown: u64::try_from(unknown).unwrap_or(0),
        earned: earned.collect(),
    }
}

/// Beginnings and ends: none, on the border of a day, and within one.
pub fn spans() -> Vec<(Option<i64>, Option<i64>)> {
    let within = |days: i64| Some(START + days * DAY + 12_345_678_901);
    let border = |days: i64| Some(START + days * DAY);
    vec![
        (None, None),
        (border(0), border(1)),
        (border(1), None),
        (None, within(1)),
        (within(0), within(0).map(|end| end + 20_000_000_000)),
        (within(0), within(2)),
        (within(0), border(3)),
        (border(2), border(1)),
    ]
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn rows_are_what_the_log_says_each_once_however_they_are_read(
        life in life(),
        limits in proptest::collection::vec(1..9_u32, 1..6),
    ) {
        runtime().block_on(async {
            let mut world = World::new();
            let mut running = world.run_views();
            let mut got: Vec<BillingRow> = Vec::new();
            let mut after = Position::START;
            let mut limits = limits.iter().cycle();
            for steps in &life {
                for step in steps {
                    world.step(step).await;
                    // In the middle of things, wherever the read models are.
                    let limit = *limits.next().expect("a limit");
                    let seen = running.views.billing(&Scope::All, At::Now, after, limit).await;
                    match seen {
                        Ok(seen) => {
                            assert!(seen.value.rows.len() <= limit as usize);
                            after = seen.value.resume_after;
                            got.extend(seen.value.rows);
                        }
                        Err(error) => assert!(matches!(error, QueryError::NotReady { .. })),
                    }
                }
                running.caught_up(&world).await;
                running.stop().await;
                running = world.run_views();
            }
            running.caught_up(&world).await;
            got.extend(page(&running.views, &Scope::All, At::Now, after).await);
            let told = told_by_hand(&world).await;
            let rows = got.iter();
            let rows: Vec<_> =
                rows.map(|r| (r.position.clone(), r.event_id, r.kind, r.amount.clone())).collect();
            assert_eq!(rows, told);
            assert_eq!(got, page(&running.views, &Scope::All, At::Now, Position::START).await);
            running.stop().await;
        });
    }

    #[test]
    fn summaries_are_the_sums_of_rows_to_the_last_nano_dollar(
        life in life(),
        moments in proptest::collection::vec(0..200_u64, 3),
    ) {
        runtime().block_on(async {
            let mut world = World::new();
            let running = world.run_views();
            for step in life.iter().flatten() {
                world.step(step).await;
            }
            running.caught_up(&world).await;
            let head = world.head().await.number();
            let moments = moments.iter().map(|place| At::Position(Position::new(place % (head + 1))));
            for at in moments.chain([At::Now]) {
                for scope in scopes() {
                    let rows = page(&running.views, &scope, at, Position::START).await;
                    for (from, to) in spans() {
                        let meant = |row: &&BillingRow| {
                            let at = row.at.micros();
                            from.is_none_or(|from| at >= from) && to.is_none_or(|to| at < to)
                        };
                        for by in [CostsBy::Day, CostsBy::Agent, CostsBy::Model, CostsBy::Trigger] {
                            let query = CostsQuery {
                                by,
                                from: from.map(Timestamp::from_micros),
                                to: to.map(Timestamp::from_micros),
                            };
                            let costs = running.views.costs(&scope, at, &query).await;
                            let costs = costs.expect("costs").value;
                            let (groups, total) = summed(rows.iter().filter(meant), by);
                            assert_eq!(costs.costs, groups, "{scope:?} {at:?} {query:?}");
                            assert_eq!(costs.total, total, "{scope:?} {at:?} {query:?}");
                        }
                    }
                }
            }
            running.stop().await;
        });
    }
}

#[test]
fn a_run_of_unknown_cost_has_a_row_without_an_amount_until_it_is_corrected_and_after() {
    runtime().block_on(async {
        let mut world = World::new();
        let running = world.run_views();
        for step in [
            Step::Submit { agent: 0, user: 0, trigger: 0, text: 0, model: 0, source: 9 },
            Step::Start(0),
            Step::Finish { which: 0, outcome: 0, cost: None, text: 0 },
            Step::Correct { which: 0, cost: 700 },
            Step::Correct { which: 0, cost: 100 },
            // It never runs, so it costs nothing and has no row.
            Step::Submit { agent: 0, user: 0, trigger: 0, text: 0, model: 0, source: 9 },
            Step::Cancel(1),
        ] {
            world.step(&step).await;
        }
        running.caught_up(&world).await;
        let rows = page(&running.views, &Scope::All, At::Now, Position::START).await;
        let usd = |nanos| Some(Amount::Usd(NanoUsd::from_nanos(nanos).expect("an amount")));
        let told: Vec<_> =
            rows.iter().map(|row| (row.kind, row.amount.clone(), row.unknown)).collect();
        let expected = [
            (BillingKind::RunCost, None, 1),
            (BillingKind::CostCorrected, usd(700), -1),
            (BillingKind::CostCorrected, usd(-600), 0),
        ];
        assert_eq!(told, expected);
        running.stop().await;
    });
}

#[test]
fn a_page_of_no_rows_or_of_too_many_is_refused() {
    runtime().block_on(async {
        let world = World::new();
        let running = world.run_views();
        running.caught_up(&world).await;
        for limit in [0, BILLING_PAGE_MAX + 1] {
            let refused = running.views.billing(&Scope::All, At::Now, Position::START, limit).await;
            assert!(matches!(refused, Err(QueryError::Invalid { field: "limit", .. })));
        }
        running.stop().await;
    });
}
