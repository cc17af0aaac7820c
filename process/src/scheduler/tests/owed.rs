//! What was fired and is not there, because the ledger died between.

use execution_ledger_domain::agent::{self, AgentConfig, Runtime};
use execution_ledger_domain::execution::Execution;
use execution_ledger_domain::schedule::{CatchUp, Cause, Fired, Overlap};
use execution_ledger_domain::{ActorKind, ExecutionId, NanoUsd, ScheduleId, StreamName};

use super::world::{World, at, caller, draft};
use crate::scheduler::Draft;
use crate::tasks::scheduler;

fn on_time(id: ScheduleId, tick: &str) -> Fired {
    let tick = at(tick);
    Fired { tick, execution_id: ExecutionId::of_tick(id, tick), cause: Cause::OnTime }
}

#[tokio::test]
async fn what_was_fired_and_not_submitted_is_submitted_once_after_the_restart() {
    let mut world = World::new(50).await;
    let id = world.schedule(Overlap::Queue, CatchUp::One).await;
    let fired = on_time(id, "10:05:00");
    world.fire(id, fired, scheduler(&caller().actor.user)).await;

    world.restart().await;
    world.decide_at(at("10:05:30")).await;
    let execution = fired.execution_id;
    assert!(matches!(world.execution(execution).await, Execution::Pending(_)));
    world.restart().await;
    world.decide_at(at("10:05:40")).await;
    assert_eq!(world.events(&StreamName::execution(execution)).await.len(), 1);
    assert_eq!(world.decided(id).await, ["on_time 10:05"]);
}

#[tokio::test]
async fn what_is_submitted_late_may_do_no_more_than_its_schedule_and_its_agent_say() {
    let mut world = World::new(50).await;
    let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
    let config = AgentConfig {
        models: words(&["m"]),
        allowed_tools: Some(words(&["Read", "Bash", "Edit"])),
        ..AgentConfig::of(Runtime::ClaudeCode, vec![])
    };
    world.agent(agent::Command::Configure(Box::new(config.clone()))).await;
    let nanos = |nanos| NanoUsd::from_nanos(nanos).expect("an amount");
    let draft = Draft {
        model: Some("m".to_owned()),
        timeout_s: Some(60),
        allowed_tools: Some(words(&["Read", "Edit"])),
        max_turns: Some(3),
        max_cost: Some(nanos(1_000)),
        ..draft()
    };
    let id = world.create(draft).await;
    world.pump().await;
    let fired = on_time(id, "10:05:00");
    world.fire(id, fired, scheduler(&caller().actor.user)).await;
    // Meanwhile the agent has lost a model, a tool and some of its time.
    let config = AgentConfig {
        models: words(&["n"]),
        allowed_tools: Some(words(&["Read", "Bash"])),
        timeout_s: 30,
        ..config
    };
    world.agent(agent::Command::Configure(Box::new(config))).await;

    world.restart().await;
    world.decide_at(at("10:05:30")).await;
    let state = world.execution(fired.execution_id).await;
    let pending = state.pending().expect("submitted");
    assert_eq!(pending.model_requested.as_deref(), Some("n"));
    assert_eq!(pending.allowed_tools, Some(words(&["Read"])));
    assert_eq!((pending.timeout_s, pending.max_turns), (30, Some(3)));
    assert_eq!(pending.max_cost_nano_usd, Some(nanos(1_000)));
}

#[tokio::test]
async fn what_was_triggered_and_not_submitted_is_submitted_in_the_name_of_who_asked() {
    let mut world = World::new(50).await;
    let id = world.schedule(Overlap::CancelPrevious, CatchUp::One).await;
    world.decide_at(at("10:05:00")).await;
    let execution = ExecutionId::of_trigger(id, "k1", "once");
    let fired = Fired { tick: at("10:06:00"), execution_id: execution, cause: Cause::Triggered };
    world.fire(id, fired, caller().actor).await;

    world.restart().await;
    world.decide_at(at("10:06:30")).await;
    let state = world.execution(execution).await;
    let pending = state.pending().expect("submitted");
    assert_eq!(pending.requested_by.kind, ActorKind::Key);
    assert_eq!(pending.requested_by.id, "k1");
    let events = world.events(&StreamName::execution(execution)).await;
    let metadata = events[0].parsed_metadata().expect("metadata");
    let tick = world.events(&StreamName::schedule(id)).await.pop().expect("an event");
    assert_eq!((metadata.actor, metadata.causation_id), (caller().actor, tick.id.to_string()));
    // As a trigger does, it lets the last execution be.
    let first = world.execution(ExecutionId::of_tick(id, at("10:05:00"))).await;
    assert!(matches!(first, Execution::Pending(_)), "{first:?}");
}

#[tokio::test]
async fn what_is_submitted_late_takes_the_place_of_the_last_execution_all_the_same() {
    let mut world = World::new(1).await;
    let id = world.schedule(Overlap::CancelPrevious, CatchUp::One).await;
    world.decide_at(at("10:05:00")).await;
    let fired = on_time(id, "10:10:00");
    world.fire(id, fired, scheduler(&caller().actor.user)).await;

    world.restart().await;
    world.decide_at(at("10:10:30")).await;
    let first = world.execution(ExecutionId::of_tick(id, at("10:05:00"))).await;
    assert!(matches!(first, Execution::Ended { .. }), "{first:?}");
    assert!(matches!(world.execution(fired.execution_id).await, Execution::Pending(_)));
}
