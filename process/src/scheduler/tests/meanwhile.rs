//! What somebody else appends while a tick is decided on an older state.

use execution_ledger_domain::ExecutionId;
use execution_ledger_domain::execution::Execution;
use execution_ledger_domain::schedule::{CatchUp, Overlap};

use crate::following::work_off;

use super::world::{World, at, caller, request};

#[tokio::test]
async fn a_tick_that_is_decided_behind_a_trigger_stands_once_and_cancels_itself_never() {
    for (overlap, triggered_ends) in [(Overlap::CancelPrevious, true), (Overlap::Queue, false)] {
        let mut world = World::new(50).await;
        let id = world.schedule(overlap, CatchUp::One).await;
        // Another part triggers it; the scheduler has not read that yet when the tick comes.
        let elsewhere = world.elsewhere().await;
        let fired = elsewhere.trigger(&caller(), id, None, &request()).await.expect("accepted");
        world.clock.set(at("10:05:00"));
        work_off(&world.schedules).await;
        assert_eq!(world.decided(id).await, ["triggered 10:00", "on_time 10:05"], "{overlap:?}");

        // Nor does it once the scheduler has read all of it.
        world.decide_at(at("10:05:10")).await;
        let tick = world.execution(ExecutionId::of_tick(id, at("10:05:00"))).await;
        assert!(matches!(tick, Execution::Pending(_)), "{overlap:?} {tick:?}");
        world.decide_at(at("10:10:00")).await;
        assert_eq!(world.decided(id).await.len(), 3, "{overlap:?}");
        let triggered = world.execution(fired.execution_id).await;
        let ended = matches!(triggered, Execution::Ended { .. });
        assert_eq!(ended, triggered_ends, "{overlap:?}");
    }
}
