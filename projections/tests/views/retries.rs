//! New attempts: which there are, and which may have to follow after a start.

use execution_ledger_domain::execution::Trigger;
use execution_ledger_domain::{ExecutionId, Scope};
use execution_ledger_projections::At;

use crate::world::{AGENTS, START, Step, Submission, World, user};

/// A world with an agent and four executions; the last one, of number 3, can fail so that it passes.
async fn world(max_retries: u32, trigger: Trigger) -> World {
    let mut world = World::new();
    world.step(&Step::Agent { which: 0, command: 0 }).await;
    for _ in 0..4 {
        let submission =
            Submission { agent: AGENTS[0], max_retries, trigger, ..Submission::default() };
        world.submit(submission).await;
    }
    world
}

/// Has it fail because its provider was overloaded.
async fn fail(world: &mut World, which: usize) {
    assert_eq!(which % 4, 3, "others fail for a reason that does not pass");
    world.step(&Step::Start(which)).await;
    world.step(&Step::Finish { which, outcome: 2, cost: None, text: 0 }).await;
}

async fn owed(world: &World) -> Vec<ExecutionId> {
    let running = world.run_views();
    running.caught_up(world).await;
    let since = execution_ledger_domain::Timestamp::from_micros(START);
    let owed = running.views.retries_owed(since).await.expect("an answer");
    let later = since.plus_s(1_000_000);
    assert_eq!(running.views.retries_owed(later).await.expect("an answer"), []);
    running.stop().await;
    owed
}

#[tokio::test]
async fn an_attempt_is_owed_where_it_could_pass_and_none_follows_yet() {
    let mut world = world(1, Trigger::Manual).await;
    assert_eq!(owed(&world).await, []);
    fail(&mut world, 3).await;
    let failed = world.executions[3].0;
    world.step(&Step::Start(0)).await;
    world.step(&Step::Finish { which: 0, outcome: 2, cost: None, text: 0 }).await;
    world.step(&Step::Cancel(1)).await;
    assert_eq!(owed(&world).await, [failed], "what failed for good and what was cancelled is not");
    let by_hand = Submission { retry_of: Some(failed), ..Submission::default() };
    world.submit(by_hand).await;
    assert_eq!(owed(&world).await, [failed], "whoever tried it by hand changes nothing of that");
    let follows = Submission { retry_of: Some(failed), by_itself: true, ..Submission::default() };
    assert_eq!(world.submit(follows).await, failed.next_attempt());
    assert_eq!(owed(&world).await, []);
}

#[tokio::test]
async fn nothing_is_owed_where_nobody_asked_for_it_and_for_a_turn_of_a_chat() {
    for (max_retries, trigger) in [(0, Trigger::Manual), (1, Trigger::Chat)] {
        let mut world = world(max_retries, trigger).await;
        fail(&mut world, 3).await;
        assert_eq!(owed(&world).await, [], "{max_retries} {trigger}");
    }
}

#[tokio::test]
async fn the_attempts_at_an_execution_are_named_in_order_as_of_any_moment_to_whom_they_belong() {
    let mut world = world(1, Trigger::Manual).await;
    let first = world.executions[3].0;
    fail(&mut world, 3).await;
    let again = |user| Submission { user, retry_of: Some(first), ..Submission::default() };
    let one = world.submit(again("max")).await;
    let then = world.head().await;
    let other = world.submit(again("zoe")).await;
    let running = world.run_views();
    running.caught_up(&world).await;
    let views = &running.views;
    let ask = async |scope: Scope, at, id| {
        views.retries_of(&scope, at, id).await.expect("an answer").value
    };
    assert_eq!(ask(Scope::All, At::Now, first).await, [one, other]);
    assert_eq!(ask(Scope::All, At::Position(then), first).await, [one]);
    assert_eq!(ask(Scope::User(user("zoe")), At::Now, first).await, [other]);
    assert_eq!(ask(Scope::All, At::Now, other).await, []);
    let record = views.execution(&Scope::All, At::Now, one).await.expect("an answer").value;
    let record = record.expect("a record");
    assert_eq!((record.retry_of, record.not_before), (Some(first), Some(record.created_at)));
    running.stop().await;
}
