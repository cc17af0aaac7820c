//! What becomes of ticks: fired, overlapped, missed, refused.

use execution_ledger_domain::agent::{self, AgentConfig, Runtime};
use execution_ledger_domain::budget::{BudgetEvent, BudgetSet};
use execution_ledger_domain::execution::{Execution, Trigger};
use execution_ledger_domain::schedule::{CatchUp, Overlap, ScheduleEvent};
use execution_ledger_domain::{ActorKind, BudgetScope, Event, ExecutionId, NanoUsd, StreamName};

use super::world::{World, at, draft};
use crate::scheduler::Draft;

#[tokio::test]
async fn a_tick_leads_to_an_execution_in_the_name_of_the_schedules_user() {
    let mut world = World::new(50).await;
    let draft = Draft {
        message: "use ghp_012345678901234567890123456789abcdef".to_owned(),
        model: Some("m".to_owned()),
        timeout_s: Some(7),
        ..draft()
    };
    let id = world.create(draft).await;
    world.decide_at(at("10:04:59")).await;
    assert!(world.decided(id).await.is_empty());
    world.decide_at(at("10:05:00")).await;
    assert_eq!(world.decided(id).await, ["on_time 10:05"]);

    let execution = ExecutionId::of_tick(id, at("10:05:00"));
    let state = world.execution(execution).await;
    let pending = state.pending().expect("submitted");
    assert_eq!(pending.triggered_by, Trigger::Schedule);
    assert_eq!(pending.schedule_id, Some(id));
    assert_eq!((pending.user.as_str(), pending.timeout_s), ("ada", 7));
    assert_eq!(pending.requested_by.kind, ActorKind::System);
    assert_eq!(pending.redactions, 1);
    let events = world.events(&StreamName::execution(execution)).await;
    let text = events[0].text(&pending.message).expect("a text");
    assert!(text.starts_with("use ") && !text.contains("ghp_"), "{text}");
    // One story, whose root is the execution, told on from the tick.
    let tick = world.events(&StreamName::schedule(id)).await.pop().expect("an event");
    let (of_tick, of_execution) =
        (tick.parsed_metadata().expect("metadata"), events[0].parsed_metadata().expect("metadata"));
    assert_eq!(of_tick.correlation_id, execution.to_string());
    assert_eq!(of_execution.correlation_id, execution.to_string());
    assert_eq!(of_execution.causation_id, tick.id.to_string());
    assert_eq!((of_tick.actor.id.as_str(), of_tick.actor.user.as_str()), ("scheduler", "ada"));
}

#[tokio::test]
async fn a_tick_while_the_last_execution_is_open_is_treated_as_the_policy_says() {
    for (overlap, expected, open) in [
        (Overlap::Skip, ["on_time 10:05", "overlap 10:10"], 1),
        (Overlap::Queue, ["on_time 10:05", "on_time 10:10"], 2),
        (Overlap::CancelPrevious, ["on_time 10:05", "on_time 10:10"], 1),
    ] {
        let mut world = World::new(50).await;
        let id = world.schedule(overlap, CatchUp::One).await;
        world.decide_at(at("10:05:00")).await;
        world.decide_at(at("10:10:00")).await;
        assert_eq!(world.decided(id).await, expected, "{overlap:?}");
        assert_eq!(world.desk.totals().1, open, "{overlap:?}");
        let first = world.execution(ExecutionId::of_tick(id, at("10:05:00"))).await;
        let ended = matches!(first, Execution::Ended { .. });
        assert_eq!(ended, overlap == Overlap::CancelPrevious, "{overlap:?}");
    }
}

#[tokio::test]
async fn a_tick_that_takes_the_place_of_the_last_execution_takes_its_place_in_the_queue() {
    let mut world = World::new(1).await;
    let id = world.schedule(Overlap::CancelPrevious, CatchUp::One).await;
    let ticks = ["10:05:00", "10:10:00", "10:15:00"];
    for tick in ticks {
        world.decide_at(at(tick)).await;
    }
    assert_eq!(world.decided(id).await, ["on_time 10:05", "on_time 10:10", "on_time 10:15"]);
    assert_eq!(world.desk.totals(), (0, 1), "only the last one waits");
}

#[tokio::test]
async fn a_tick_that_does_not_fire_cancels_nothing() {
    let mut world = World::new(1).await;
    let id = world.schedule(Overlap::CancelPrevious, CatchUp::One).await;
    world.decide_at(at("10:05:00")).await;
    world.agent(agent::Command::Retire).await;
    world.decide_at(at("10:10:00")).await;
    assert_eq!(world.decided(id).await, ["on_time 10:05", "agent_retired 10:10"]);
    let first = world.execution(ExecutionId::of_tick(id, at("10:05:00"))).await;
    assert!(matches!(first, Execution::Pending(_)), "{first:?}");
}

#[tokio::test]
async fn a_new_attempt_at_an_execution_counts_as_an_execution_of_its_schedule() {
    for (overlap, expected) in
        [(Overlap::Skip, "overlap 10:10"), (Overlap::CancelPrevious, "on_time 10:10")]
    {
        let mut world = World::new(50).await;
        let id = world.schedule(overlap, CatchUp::One).await;
        world.decide_at(at("10:05:00")).await;
        let first = ExecutionId::of_tick(id, at("10:05:00"));
        world.end(first).await;
        let attempt = world.try_again(first).await;
        world.decide_at(at("10:10:00")).await;
        assert_eq!(world.decided(id).await[1], expected);
        let attempt = world.execution(attempt).await;
        let ended = matches!(attempt, Execution::Ended { .. });
        assert_eq!(ended, overlap == Overlap::CancelPrevious, "{overlap:?}");
    }
}

#[tokio::test]
async fn a_tick_after_the_last_execution_has_ended_fires() {
    let mut world = World::new(50).await;
    let id = world.schedule(Overlap::Skip, CatchUp::One).await;
    world.decide_at(at("10:05:00")).await;
    world.end(ExecutionId::of_tick(id, at("10:05:00"))).await;
    world.decide_at(at("10:10:00")).await;
    assert_eq!(world.decided(id).await, ["on_time 10:05", "on_time 10:10"]);
}

#[tokio::test]
async fn ticks_that_were_missed_while_down_are_decided_as_the_policy_says() {
    for (catch_up, expected) in [
        (CatchUp::One, vec!["missed 10:05-10:10 (2)", "catch_up 10:15"]),
        (CatchUp::None, vec!["missed 10:05-10:15 (3)"]),
        (CatchUp::All, vec!["catch_up 10:05", "catch_up 10:10", "catch_up 10:15"]),
    ] {
        let mut world = World::new(50).await;
        let id = world.schedule(Overlap::Skip, catch_up).await;
        // The last of them seconds ago: it was missed like the others.
        world.clock.set(at("10:15:08"));
        world.restart().await;
        world.decide_at(at("10:15:10")).await;
        assert_eq!(world.decided(id).await, expected, "{catch_up:?}");
        // Another restart decides nothing again.
        world.restart().await;
        world.decide_at(at("10:15:11")).await;
        assert_eq!(world.decided(id).await, expected, "{catch_up:?}");
    }
}

#[tokio::test]
async fn what_the_agent_does_not_take_is_skipped_with_the_reason() {
    let mut world = World::new(3).await;
    let full = world.schedule(Overlap::Queue, CatchUp::One).await;
    for minute in ["10:05:00", "10:10:00", "10:15:00", "10:20:00", "10:25:00", "10:30:00"] {
        world.decide_at(at(minute)).await;
    }
    // Three may wait behind the three that could start.
    assert_eq!(world.decided(full).await.len(), 6);
    world.decide_at(at("10:35:00")).await;
    assert_eq!(world.decided(full).await[6], "queue_full 10:35");

    let mut world = World::new(50).await;
    let draft = Draft { model: Some("m".to_owned()), ..draft() };
    let id = world.create(draft).await;
    let other = AgentConfig {
        models: vec!["other".to_owned()],
        ..AgentConfig::of(Runtime::Command, vec!["/bin/true".to_owned()])
    };
    world.agent(agent::Command::Configure(Box::new(other))).await;
    world.decide_at(at("10:05:00")).await;
    world.agent(agent::Command::Retire).await;
    world.decide_at(at("10:10:00")).await;
    assert_eq!(world.decided(id).await, ["refused 10:05", "agent_retired 10:10"]);
    let events = world.events(&StreamName::schedule(id)).await;
    let Event::Schedule(ScheduleEvent::Skipped(skipped)) = events[1].event().expect("readable")
    else {
        panic!("not skipped")
    };
    assert_eq!(skipped.code.as_deref(), Some("model_not_listed"));
}

#[tokio::test]
async fn a_tick_that_a_budget_does_not_allow_is_skipped_and_the_refusal_stands_with_the_budget() {
    let mut world = World::new(50).await;
    let id = world.schedule(Overlap::Queue, CatchUp::One).await;
    let set = BudgetSet { per_day_nano_usd: Some(NanoUsd::ZERO), ..BudgetSet::default() };
    let (scope, set) = (BudgetScope::Global, BudgetEvent::BudgetSet(set));
    world.desk.policy().budgets_mut().apply_budget(at("10:00:00"), &scope, &set);
    world.decide_at(at("10:05:00")).await;
    assert_eq!(world.decided(id).await, ["refused 10:05"]);
    let events = world.events(&StreamName::schedule(id)).await;
    let Event::Schedule(ScheduleEvent::Skipped(skipped)) = events[1].event().expect("readable")
    else {
        panic!("not skipped")
    };
    assert_eq!(skipped.code.as_deref(), Some("budget_exceeded"));
    let refused = world.events(&StreamName::budget(&scope)).await;
    let [one] = &refused[..] else { panic!("{refused:?}") };
    let Event::Budget(BudgetEvent::BudgetRefused(refused)) = one.event().expect("readable") else {
        panic!("not refused")
    };
    assert_eq!((refused.requested_by.id.as_str(), refused.user.as_str()), ("scheduler", "ada"));
}
