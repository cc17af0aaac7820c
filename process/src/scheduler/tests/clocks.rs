//! Clocks that jump, restarts, and many schedules at once.

use std::sync::Arc;

use execution_ledger_domain::schedule::{CatchUp, Overlap, ScheduleEvent};
use execution_ledger_domain::{Event, ExecutionId, ScheduleId, StreamName, Timestamp};
use execution_ledger_store::EventStore;
use proptest::prelude::*;
use tokio::sync::watch;

use super::world::{World, at, draft};
use crate::scheduler::Draft;

#[tokio::test]
async fn a_clock_that_jumps_back_decides_nothing_twice_and_nothing_is_lost_when_it_jumps_on() {
    let mut world = World::new(50).await;
    let id = world.schedule(Overlap::Queue, CatchUp::One).await;
    for moment in ["10:05:00", "10:10:00", "10:02:00", "10:05:00", "10:09:00", "10:10:30"] {
        world.decide_at(at(moment)).await;
    }
    assert_eq!(world.decided(id).await, ["on_time 10:05", "on_time 10:10"]);
    world.decide_at(at("10:31:30")).await;
    world.decide_at(at("10:12:00")).await;
    world.decide_at(at("10:35:00")).await;
    assert_eq!(
        world.decided(id).await[2..],
        ["missed 10:15-10:25 (3)", "catch_up 10:30", "on_time 10:35"]
    );
}

#[tokio::test]
async fn a_tick_while_the_machine_slept_was_missed_and_one_that_is_only_late_was_not() {
    let mut world = World::new(50).await;
    let id = world.schedule(Overlap::Queue, CatchUp::None).await;
    world.decide_at(at("10:04:50")).await;
    world.decide_at(at("10:05:02")).await;
    world.decide_at(at("10:09:50")).await;
    world.decide_at(at("10:10:25")).await;
    assert_eq!(world.decided(id).await, ["on_time 10:05", "missed 10:10"]);
}

#[tokio::test]
async fn after_a_clock_is_put_back_behind_the_start_new_schedules_fire_on_time() {
    let mut world = World::new(50).await;
    world.clock.set(at("12:00:00"));
    world.restart().await;
    world.decide_at(at("10:04:50")).await;
    let id = world.schedule(Overlap::Queue, CatchUp::None).await;
    world.decide_at(at("10:05:02")).await;
    assert_eq!(world.decided(id).await, ["on_time 10:05"]);
}

#[tokio::test]
async fn ticks_come_as_they_should_through_both_changes_of_the_clocks_in_two_zones() {
    for (zone, cron, from, expected) in [
        ("Europe/Berlin", "30 2 * * *", "2026-03-28T12:00:00Z", ["01:00", "00:30"]),
        ("Europe/Berlin", "30 2 * * *", "2026-10-24T12:00:00Z", ["00:30", "01:30"]),
        ("America/New_York", "30 2 * * *", "2026-03-07T12:00:00Z", ["07:00", "06:30"]),
        ("America/New_York", "30 1 * * *", "2026-10-31T12:00:00Z", ["05:30", "06:30"]),
    ] {
        let mut world = World::new(50).await;
        let mut now: Timestamp = from.parse().expect("a time");
        world.clock.set(now);
        let (cron, timezone) = (cron.to_owned(), zone.to_owned());
        let id = world.create(Draft { cron, timezone, overlap: Overlap::Queue, ..draft() }).await;
        // Two days, looked at each quarter of an hour.
        for _ in 0..2 * 24 * 4 {
            now = now.plus_s(900);
            world.decide_at(now).await;
        }
        let expected = expected.map(|time| format!("on_time {time}"));
        assert_eq!(world.decided(id).await, expected, "{zone} {from}");
    }
}

#[tokio::test]
async fn a_thousand_schedules_in_one_second_are_all_decided_each_once() {
    let mut world = World::new(2_000).await;
    let mut ids = Vec::new();
    for _ in 0..1_000 {
        ids.push(world.create(draft()).await);
    }
    world.decide_at(at("10:05:00")).await;
    assert_eq!(world.desk.totals().1, 1_000);
    for id in ids {
        assert_eq!(world.decided(id).await, ["on_time 10:05"]);
    }
}

#[tokio::test]
async fn the_loop_notices_that_the_clock_has_moved_and_stops_when_told() {
    let mut world = World::new(50).await;
    let id = world.schedule(Overlap::Skip, CatchUp::One).await;
    let store = Arc::clone(&world.store);
    let mut log = store.subscribe(store.head().await.expect("a head")).await.expect("a log");
    let followed = store.subscribe(store.head().await.expect("a head")).await.expect("a log");
    let (stop, stopped) = watch::channel(false);
    let running = tokio::spawn(world.schedules.clone().run(followed, stopped));
    world.clock.set(at("10:05:00"));
    world.schedules.wake();
    let batch = log.next().await.expect("an event").expect("readable");
    assert_eq!(batch[0].stream, StreamName::schedule(id));
    stop.send_replace(true);
    running.await.expect("no panic").expect("stopped");
    let execution = world.execution(ExecutionId::of_tick(id, at("10:05:00"))).await;
    assert!(execution.pending().is_some(), "what was begun is finished");
}

/// One step of a schedule's life.
#[derive(Clone, Debug)]
enum Step {
    /// The clock moves by so many seconds, also backwards.
    Clock(i64),
    Restart,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![4 => (-1_200..3_000_i64).prop_map(Step::Clock), 1 => Just(Step::Restart)]
}

/// The ticks that a schedule's events decide, in order.
async fn ticks(world: &World, id: ScheduleId) -> Vec<Timestamp> {
    let mut ticks = Vec::new();
    for recorded in world.events(&StreamName::schedule(id)).await {
        match recorded.event().expect("readable") {
            Event::Schedule(ScheduleEvent::Fired(fired)) => ticks.push(fired.tick),
            Event::Schedule(ScheduleEvent::Skipped(skipped)) => {
                let next = |tick: &Timestamp| Some(tick.plus_s(300));
                let all = std::iter::successors(Some(skipped.tick), next);
                ticks.extend(all.take(usize::try_from(skipped.count).expect("few")));
                assert_eq!(ticks.last(), Some(&skipped.last()));
            }
            _ => {}
        }
    }
    ticks
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn over_random_walks_and_restarts_each_tick_is_decided_once(
        steps in prop::collection::vec(step(), 1..14),
        overlap in 0..3_usize,
        catch_up in 0..3_usize,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.expect("a runtime").block_on(async {
            let mut world = World::new(1_000).await;
            let draft = Draft {
                overlap: Overlap::ALL[overlap],
                catch_up: CatchUp::ALL[catch_up],
                ..draft()
            };
            let id = world.create(draft).await;
            let (mut now, mut latest) = (at("10:00:00"), at("10:00:00"));
            for step in steps {
                match step {
                    Step::Clock(seconds) => {
                        now = Timestamp::from_micros(now.micros() + seconds * 1_000_000);
                        latest = latest.max(now);
                        world.decide_at(now).await;
                    }
                    Step::Restart => world.restart().await,
                }
            }
            let first = at("10:05:00");
            let expected: Vec<_> =
                std::iter::successors(Some(first), |tick| Some(tick.plus_s(300)))
                    .take_while(|tick| *tick <= latest)
                    .collect();
            assert_eq!(ticks(&world, id).await, expected);
        });
    }
}
