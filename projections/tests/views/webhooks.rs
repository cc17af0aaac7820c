//! Webhooks as read models: what they are owed, what has become of it, the past, and equality with
//! what a rebuild makes.

use std::collections::BTreeSet;
use std::sync::Arc;

use execution_ledger_domain::webhook::{
    Command, DeadLettered, Delivered, Kind, Message, Webhook, WebhookSettings,
};
use execution_ledger_domain::{StreamName, WebhookId};
use execution_ledger_projections::{
    At, DeliveryQuery, DeliveryRow, DeliveryState, Views, WebhookQuery, digest, rebuild,
};
use execution_ledger_store::{EventStore, Position};
use uuid::Uuid;

use DeliveryState::{Dead, Delivered as Taken, Pending};

use super::world::{Step, Submission, World, context};

fn id(no: u128) -> WebhookId {
    WebhookId(Uuid::from_u128(no))
}

fn settings(kinds: &[Kind], enabled: bool) -> WebhookSettings {
    WebhookSettings {
        name: "Billing".to_owned(),
        url: "https://example.org/hook".to_owned(),
        kinds: kinds.iter().copied().collect::<BTreeSet<_>>(),
        enabled,
    }
}

async fn command(world: &World, no: u128, command: Command) -> Position {
    let stream = StreamName::webhook(id(no));
    let done = world.ledger.execute::<Webhook>(&stream, command, &[], &context()).await;
    done.expect("a webhook").position
}

/// Runs a task to its end.
async fn run(world: &mut World, outcome: usize) {
    world.submit(Submission::default()).await;
    let which = world.executions.len() - 1;
    world.step(&Step::Start(which)).await;
    world.finish(which, outcome, Some(5), "done").await;
}

async fn owed(views: &Views, no: u128) -> Vec<(Message, Position)> {
    let rows = views.webhook_owed(id(no), None, 100).await.expect("rows");
    rows.into_iter().map(|row| (row.message, row.position)).collect()
}

fn kinds(owed: &[(Message, Position)]) -> Vec<Kind> {
    owed.iter().map(|(message, _)| message.kind).collect()
}

async fn deliveries(views: &Views, at: At, state: Option<DeliveryState>) -> Vec<DeliveryRow> {
    let query = DeliveryQuery { state, limit: 200, cursor: None };
    let seen = views.webhook_deliveries(at, id(1), &query).await.expect("a page");
    seen.value.expect("a webhook").items
}

#[tokio::test]
async fn a_webhook_is_owed_what_happens_of_its_kinds_while_it_is_enabled() {
    let mut world = World::new();
    let running = world.run_views();
    let views = &running.views;
    run(&mut world, 0).await;
    let all = [Kind::RunCost, Kind::ExecutionCompleted];
    command(&world, 1, Command::Register(Box::new(settings(&all, true)))).await;
    command(&world, 2, Command::Register(Box::new(settings(&[Kind::ExecutionFailed], true)))).await;
    run(&mut world, 0).await;
    run(&mut world, 2).await;
    running.caught_up(&world).await;
    let first = owed(views, 1).await;
    assert_eq!(kinds(&first), [Kind::RunCost, Kind::ExecutionCompleted, Kind::RunCost]);
    assert_eq!(kinds(&owed(views, 2).await), [Kind::ExecutionFailed]);
    let after = Some((first[0].1, first[0].0.kind));
    let rest = views.webhook_owed(id(1), after, 1).await.expect("rows");
    assert_eq!(rest[0].message, first[1].0);

    command(&world, 1, Command::Change(Box::new(settings(&all, false)))).await;
    run(&mut world, 0).await;
    running.caught_up(&world).await;
    assert_eq!(owed(views, 1).await, first, "what happens meanwhile is never told");
    command(&world, 1, Command::Change(Box::new(settings(&[Kind::CostCorrected], true)))).await;
    world.step(&Step::Correct { which: 0, cost: 9 }).await;
    running.caught_up(&world).await;
    assert_eq!(kinds(&owed(views, 1).await)[3..], [Kind::CostCorrected]);

    command(&world, 1, Command::Delete).await;
    run(&mut world, 0).await;
    running.caught_up(&world).await;
    assert_eq!(owed(views, 1).await.len(), 4, "nothing is owed to what is gone");
    let gone = views.webhook(At::Now, id(1)).await.expect("an answer").value;
    assert_eq!(gone, None);
    let (_, work) = views.webhook_work().await.expect("work");
    assert_eq!(work.iter().map(|head| head.id).collect::<Vec<_>>(), [id(2)]);
    running.stop().await;
}

#[tokio::test]
async fn what_has_become_of_messages_is_told_of_any_moment_and_the_same_after_a_rebuild() {
    let mut world = World::new();
    let running = world.run_views();
    let views = &running.views;
    command(&world, 1, Command::Register(Box::new(settings(&[Kind::RunCost], true)))).await;
    for outcome in [0, 0, 0] {
        run(&mut world, outcome).await;
    }
    running.caught_up(&world).await;
    let messages = owed(views, 1).await;
    let before = views.position();
    let taken = Delivered { message: messages[0].0, attempts: 1, status: 204 };
    command(&world, 1, Command::Deliver(taken)).await;
    let reason = "status".to_owned();
    let dead = DeadLettered { message: messages[1].0, attempts: 10, status: Some(500), reason };
    let given_up = command(&world, 1, Command::GiveUp(dead)).await;
    command(&world, 1, Command::Redrive(None)).await;
    running.caught_up(&world).await;

    let states = |rows: Vec<DeliveryRow>| rows.iter().map(|row| row.state).collect::<Vec<_>>();
    let now = deliveries(views, At::Now, None).await;
    assert_eq!(states(now), [Pending, Pending, Taken]);
    let then = deliveries(views, At::Position(given_up), None).await;
    assert_eq!((then[1].attempts, then[1].status), (Some(10), Some(500)));
    assert_eq!(states(then), [Pending, Dead, Taken]);
    let first = deliveries(views, At::Position(before), None).await;
    assert_eq!(states(first), [Pending, Pending, Pending]);
    let dead = deliveries(views, At::Position(given_up), Some(Dead)).await;
    assert_eq!(dead[0].message, messages[1].0);
    assert_eq!(owed(views, 1).await, messages[1..], "what was redriven is owed again");
    let backlog = views.webhook_backlog(id(1)).await.expect("a backlog");
    assert_eq!((backlog.pending, backlog.dead, backlog.oldest.is_some()), (2, 0, true));

    let mut query = DeliveryQuery { state: None, limit: 2, cursor: None };
    let page = views.webhook_deliveries(At::Now, id(1), &query).await.expect("a page");
    query.cursor = page.value.expect("a webhook").next_cursor;
    let rest = views.webhook_deliveries(At::Now, id(1), &query).await.expect("a page");
    let rest = rest.value.expect("a webhook");
    assert_eq!((rest.items[0].message, rest.next_cursor), (messages[0].0, None));
    let list = WebhookQuery { enabled: Some(true), limit: 50, cursor: None };
    assert_eq!(views.webhooks(At::Now, &list).await.expect("a page").value.items.len(), 1);

    running.stop().await;
    let live = digest(&world.views_path()).expect("a digest");
    let anew = world.folder.path().join("anew.db");
    let store: Arc<dyn EventStore> = world.store.clone();
    rebuild(&anew, &store, |_| {}).await.expect("a rebuild");
    assert_eq!(digest(&anew).expect("a digest"), live);
}
