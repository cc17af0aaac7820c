//! What becomes of ticks: fired, overlapped, missed, refused.

use execution_ledger_domain::agent::{self, AgentConfig, Runtime};
use execution_ledger_domain::execution::{Execution, Trigger};
use execution_ledger_domain::schedule::{
    CatchUp, Cause, Command, Fired, Overlap, Schedule, ScheduleEvent,
};
use execution_ledger_domain::{ActorKind, Event, ExecutionId, StreamName};

use super::world::{World, at, caller, draft};
use crate::scheduler::Draft;
use crate::tasks::scheduler;

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
async fn what_was_fired_and_not_submitted_is_submitted_once_after_the_restart() {
    let mut world = World::new(50).await;
    let id = world.schedule(Overlap::Queue, CatchUp::One).await;
    // As if the ledger had died right after this append.
    let execution = ExecutionId::of_tick(id, at("10:05:00"));
    let fired = Fired { tick: at("10:05:00"), execution_id: execution, cause: Cause::OnTime };
    let context = execution_ledger_store::Context {
        actor: scheduler(&caller().actor.user),
        correlation_id: Some(execution.to_string()),
        causation_id: None,
        traceparent: None,
    };
    let stream = StreamName::schedule(id);
    let done = world.ledger.execute::<Schedule>(&stream, Command::Fire(fired), &[], &context).await;
    done.expect("accepted");
    // Meanwhile the agent has lost what the schedule asks for: it is submitted all the same.
    let narrower = AgentConfig {
        timeout_s: 3,
        ..AgentConfig::of(Runtime::Command, vec!["/bin/true".to_owned()])
    };
    world.agent(agent::Command::Configure(Box::new(narrower))).await;

    world.restart().await;
    world.decide_at(at("10:05:30")).await;
    let state = world.execution(execution).await;
    assert_eq!(state.pending().map(|pending| pending.timeout_s), Some(3));
    world.restart().await;
    world.decide_at(at("10:05:40")).await;
    assert_eq!(world.events(&StreamName::execution(execution)).await.len(), 1);
    assert_eq!(world.decided(id).await, ["on_time 10:05"]);
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
