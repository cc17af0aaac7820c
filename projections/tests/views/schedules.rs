//! Schedules: as they are, as they were, what they decided, and from where the scheduler goes on.

use execution_ledger_domain::execution::{
    self, CancelCause, Execution, ExecutionEvent, Pending, Trigger,
};
use execution_ledger_domain::given::task;
use execution_ledger_domain::schedule::{
    CatchUp, Cause, Command, Created, Fired, Overlap, Schedule, Settings, Skip, Skipped,
};
use execution_ledger_domain::{Content, ExecutionId, ScheduleId, Scope, StreamName, Timestamp};
use execution_ledger_projections::{At, PageQuery, ScheduleQuery, ScheduleRow, digest};
use execution_ledger_store::{EventStore, Position, With};
use uuid::Uuid;

use super::world::{Running, START, World, agent, context, user};

fn id(number: u128) -> ScheduleId {
    ScheduleId(Uuid::from_u128(number))
}

fn tick(minutes: i64) -> Timestamp {
    Timestamp::from_micros(START + minutes * 60_000_000)
}

fn message(text: &str) -> Content {
    Content::new([9; 16], text)
}

fn settings(text: &Content, name: &str, of: &str) -> Settings {
    Settings {
        name: Some(name.to_owned()),
        agent: agent(of),
        message: text.reference(),
        redactions: 0,
        cron: "* * * * *".to_owned(),
        timezone: "UTC".to_owned(),
        overlap: Overlap::Queue,
        catch_up: CatchUp::One,
        model: None,
        timeout_s: None,
        max_cost_nano_usd: None,
        allowed_tools: None,
        system_prompt: None,
        max_turns: None,
    }
}

async fn give(world: &World, id: ScheduleId, command: Command, texts: &[Content]) -> Position {
    let stream = StreamName::schedule(id);
    let done = world.ledger.execute::<Schedule>(&stream, command, texts, &context()).await;
    done.expect("accepted").position
}

async fn create(world: &World, number: u128, of: &str, owner: &str) -> Position {
    let text = message("tidy up");
    let settings = settings(&text, "Nightly", of);
    let user = user(owner);
    let created = Created { settings, user, enabled: true, from: tick(0) };
    give(world, id(number), Command::Create(Box::new(created)), &[text]).await
}

/// Records that a schedule fired, and submits its execution where `submit` says so.
async fn fire(world: &World, number: u128, minutes: i64, submit: bool) -> ExecutionId {
    let tick = tick(minutes);
    let execution = ExecutionId::of_tick(id(number), tick);
    let fired = Fired { tick, execution_id: execution, cause: Cause::OnTime };
    give(world, id(number), Command::Fire(fired), &[]).await;
    if submit {
        self::submit(world, number, execution, None).await;
    }
    execution
}

async fn submit(world: &World, number: u128, execution: ExecutionId, of: Option<ExecutionId>) {
    let text = message("tidy up");
    let pending = Pending {
        message: text.reference(),
        triggered_by: if of.is_some() { Trigger::Retry } else { Trigger::Schedule },
        retry_of: of,
        schedule_id: Some(id(number)),
        ..task(agent("ada"), user("max"), Timestamp::MAX)
    };
    let command = execution::Command::Submit(Box::new(pending));
    let stream = StreamName::execution(execution);
    let done = world.ledger.execute::<Execution>(&stream, command, &[text], &context()).await;
    assert!(matches!(done.expect("accepted").events[0], ExecutionEvent::Pending(_)));
}

/// Submits another attempt at an execution of a schedule.
async fn try_again(world: &World, of: ExecutionId, number: u128) -> ExecutionId {
    let attempt = of.next_attempt();
    submit(world, number, attempt, Some(of)).await;
    attempt
}

async fn page(running: &Running, scope: &Scope, at: At, query: ScheduleQuery) -> Vec<ScheduleRow> {
    running.views.schedules(scope, at, &query).await.expect("a page").value.items
}

fn all() -> ScheduleQuery {
    ScheduleQuery { agent: None, enabled: None, limit: 50, cursor: None }
}

#[tokio::test]
async fn a_schedule_without_a_name_is_called_as_its_message_begins_and_no_event_holds_it() {
    let world = World::new();
    let running = world.run_views();
    let nameless = |text: &Content| Settings { name: None, ..settings(text, "", "ada") };
    let long = format!("\n  {}\nand then all else", "call Ada Lovelace ".repeat(5));
    let (first, other) = (message(&long), message("call Grace"));
    let settings = nameless(&first);
    let created = Created { settings, user: user("max"), enabled: true, from: tick(0) };
    let made = give(&world, id(1), Command::Create(Box::new(created)), &[first]).await;
    let change =
        Command::Change { settings: Box::new(nameless(&other)), enabled: true, now: tick(0) };
    give(&world, id(1), change, &[other]).await;
    running.caught_up(&world).await;
    let now = page(&running, &Scope::All, At::Now, all()).await;
    assert_eq!(now[0].name, "call Grace");
    let then = page(&running, &Scope::All, At::Position(made), all()).await;
    assert_eq!(then[0].name, "call Ada Lovelace call Ada Lovelace call Ada Lovelace call A");
    let stream = StreamName::schedule(id(1));
    let events = world.store.read_stream(&stream, 0, 10, With::EventsOnly).await.expect("events");
    assert_eq!(events.len(), 2);
    for event in events {
        assert!(!event.data.contains("call"), "{}", event.data);
    }
    running.stop().await;
}

#[tokio::test]
async fn schedules_are_told_as_they_are_and_as_they_were() {
    let world = World::new();
    let running = world.run_views();
    let made = create(&world, 1, "ada", "max").await;
    create(&world, 2, "bob", "zoe").await;
    let other = message("tidy up well");
    let changed = Settings { cron: "0 * * * *".to_owned(), ..settings(&other, "Hourly", "ada") };
    let change = Command::Change { settings: Box::new(changed), enabled: true, now: tick(0) };
    give(&world, id(1), change, &[other]).await;
    let before_end = give(&world, id(2), Command::Disable { now: tick(0) }, &[]).await;
    give(&world, id(2), Command::Delete { now: tick(0) }, &[]).await;
    running.caught_up(&world).await;

    let now = page(&running, &Scope::All, At::Now, all()).await;
    assert_eq!(now.len(), 1);
    assert_eq!((now[0].id, now[0].name.as_str()), (id(1), "Hourly"));
    assert_eq!(now[0].message.as_deref(), Some("tidy up well"));
    let then = running.views.schedule(&Scope::All, At::Position(made), id(1)).await;
    let then = then.expect("an answer").value.expect("a schedule");
    assert_eq!((then.name.as_str(), then.message.as_deref()), ("Nightly", Some("tidy up")));

    let at = At::Position(before_end);
    assert_eq!(page(&running, &Scope::All, at, all()).await.len(), 2);
    let disabled = ScheduleQuery { enabled: Some(false), ..all() };
    assert_eq!(page(&running, &Scope::All, at, disabled).await[0].id, id(2));
    let of_agent = ScheduleQuery { agent: Some(agent("ada")), ..all() };
    assert_eq!(page(&running, &Scope::All, at, of_agent).await[0].id, id(1));
    let of_user = page(&running, &Scope::User(user("zoe")), at, all()).await;
    assert_eq!(of_user.iter().map(|row| row.id).collect::<Vec<_>>(), [id(2)]);
    assert!(page(&running, &Scope::Agent(agent("ada")), at, all()).await.is_empty());
    let gone = running.views.schedule(&Scope::All, At::Now, id(2)).await;
    assert!(gone.expect("an answer").value.is_none());
    let foreign = running.views.schedule(&Scope::User(user("zoe")), At::Now, id(1)).await;
    assert!(foreign.expect("an answer").value.is_none());
    running.stop().await;
}

#[tokio::test]
async fn what_a_schedule_decided_is_paged_with_the_latest_first() {
    let world = World::new();
    let running = world.run_views();
    create(&world, 1, "ada", "max").await;
    let first = fire(&world, 1, 1, true).await;
    let until = Some(tick(3));
    let skipped = Skipped { until, count: 2, ..Skipped::one(tick(2), Skip::Missed) };
    let position = give(&world, id(1), Command::Skip(skipped), &[]).await;
    fire(&world, 1, 4, true).await;
    running.caught_up(&world).await;

    let ticks = async |at, limit, cursor| {
        let page = PageQuery { limit, cursor };
        let seen = running.views.schedule_ticks(&Scope::All, at, id(1), &page).await;
        seen.expect("an answer").value.expect("a schedule")
    };
    let page = ticks(At::Now, 2, None).await;
    assert_eq!(page.items.len(), 2);
    assert_eq!((page.items[0].tick, page.items[0].fired), (tick(4), true));
    let missed = &page.items[1];
    assert_eq!((missed.tick, missed.until, missed.count), (tick(2), Some(tick(3)), 2));
    assert_eq!((missed.fired, missed.reason.as_str()), (false, "missed"));
    let rest = ticks(At::Now, 2, page.next_cursor).await;
    assert_eq!((rest.items.len(), rest.next_cursor), (1, None));
    assert_eq!(rest.items[0].execution_id, Some(first));
    let then = ticks(At::Position(position), 50, None).await;
    assert_eq!(then.items.len(), 2);
    let row = running.views.schedule(&Scope::All, At::Now, id(1)).await.expect("an answer");
    assert_eq!(row.value.expect("a schedule").last.map(|last| last.tick), Some(tick(4)));
    running.stop().await;
}

#[tokio::test]
async fn the_scheduler_goes_on_with_what_is_open_and_what_is_owed_also_after_a_rebuild() {
    let world = World::new();
    let running = world.run_views();
    create(&world, 1, "ada", "max").await;
    create(&world, 2, "ada", "max").await;
    create(&world, 3, "ada", "max").await;
    let ended = fire(&world, 1, 1, true).await;
    let open = fire(&world, 1, 2, true).await;
    let owed = fire(&world, 2, 1, false).await;
    let attempt = try_again(&world, ended, 1).await;
    let attempt_of_ended = try_again(&world, attempt, 1).await;
    for ended in [ended, attempt_of_ended] {
        let cancel = execution::Command::Cancel { cause: CancelCause::Superseded };
        let stream = StreamName::execution(ended);
        let done = world.ledger.execute::<Execution>(&stream, cancel, &[], &context()).await;
        done.expect("accepted");
    }
    for number in [2, 3] {
        give(&world, id(number), Command::Delete { now: tick(0) }, &[]).await;
    }
    running.caught_up(&world).await;
    let live = digest(&world.views_path()).expect("digests");

    let (position, mut heads, mut runs) = running.views.schedule_work().await.expect("an answer");
    assert_eq!(position, world.head().await);
    heads.sort_by_key(|head| head.id);
    let ids: Vec<_> = heads.iter().map(|head| head.id).collect();
    assert_eq!(ids, [id(1), id(2)], "the third is deleted and owes nothing");
    let state = heads[0].state.active().expect("active");
    assert_eq!((state.decided, heads[0].head.revision), (tick(2), 2));
    runs.sort_by_key(|run| (run.owed, run.execution_id != open));
    let runs: Vec<_> = runs.iter().map(|run| (run.execution_id, run.owed)).collect();
    assert_eq!(runs, [(open, None), (attempt, None), (owed, Some(1))]);
    running.stop().await;

    std::fs::remove_file(world.views_path()).expect("removed");
    let running = world.run_views();
    running.caught_up(&world).await;
    assert_eq!(digest(&world.views_path()).expect("digests"), live);
    running.stop().await;
}
