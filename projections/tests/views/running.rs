//! The runner: starts, restarts, damage, poison; and what the process manager and watchers are told.

use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use execution_ledger_domain::execution::Trigger;
use execution_ledger_domain::{EventId, NanoUsd, Scope, StreamName, Timestamp};
use execution_ledger_projections::{
    ActivityQuery, ActivityState, ActivityType, At, Bucket, CostsBy, CostsQuery, ExecutionFilters,
    ExecutionQuery, Health, OpenExecution, QueryError, Status, Views, ViewsOptions, digest,
};
use execution_ledger_store::{EventStore, ExpectedRevision, NewEvent, Position, With};
use uuid::Uuid;

use super::world::{START, Step, Submission, World, agent, user};

async fn lived() -> World {
    let mut world = World::new();
    world.step(&Step::Agent { which: 0, command: 0 }).await;
    for number in 0..6 {
        world.submit(Submission::default()).await;
        if number % 2 == 0 {
            world.step(&Step::Start(number)).await;
        }
    }
    world.step(&Step::Finish { which: 0, outcome: 0, cost: Some(9), text: 1 }).await;
    world
}

#[tokio::test]
async fn a_lost_damaged_or_foreign_file_is_made_anew_with_the_same_rows() {
    let world = lived().await;
    let running = world.run_views();
    running.caught_up(&world).await;
    running.stop().await;
    let path = world.views_path();
    let rows = digest(&path).expect("rows");
    let set = |sql: &str| rusqlite::Connection::open(&path).expect("a file").execute_batch(sql);
    let spoil: [&dyn Fn(); 5] = [
        &|| std::fs::remove_file(&path).expect("removed"),
        &|| std::fs::write(&path, "no database").expect("written"),
        &|| set("UPDATE projections SET version = 99 WHERE name = 'costs'").expect("set"),
        &|| set("UPDATE projections SET log_id = 'another'").expect("set"),
        &|| set("UPDATE projections SET position = 1000").expect("set"),
    ];
    for spoil in spoil {
        spoil();
        let running = world.run_views();
        running.caught_up(&world).await;
        running.stop().await;
        assert_eq!(digest(&path).expect("rows"), rows);
        let mode = std::fs::metadata(&path).expect("a file").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}

#[tokio::test]
async fn an_event_that_cannot_be_read_stops_the_read_models_before_it() {
    let mut world = lived().await;
    let running = world.run_views();
    running.caught_up(&world).await;
    let before = world.head().await;
    let id = EventId(Uuid::now_v7());
    let poison = NewEvent {
        id,
        type_name: "execution.pending".to_owned(),
        version: 99,
        metadata: "{}".to_owned(),
        data: "{}".to_owned(),
        contents: Vec::new(),
    };
    let stream = StreamName::execution(execution_ledger_domain::ExecutionId(Uuid::now_v7()));
    let appended = world.store.append(&stream, ExpectedRevision::NoStream, vec![poison]).await;
    let position = appended.expect("an append").position;
    world.submit(Submission::default()).await;
    let stopped = |health: &Health| matches!(health, Health::Stopped(_));
    for running in [running, world.run_views()] {
        let Health::Stopped(poison) = running.healthy(stopped).await else { unreachable!() };
        assert_eq!((poison.position, poison.event_id), (position, id));
        assert!(poison.reason.contains("no version 99"), "{}", poison.reason);
        assert_eq!(running.views.position(), before);
        let stats = running.views.stats(&Scope::All, At::Now, &ExecutionFilters::default()).await;
        assert_eq!(stats.expect("stats").value.total, 6);
        running.stop().await;
    }
    // A rebuild stops there too.
    std::fs::remove_file(world.views_path()).expect("removed");
    let running = world.run_views();
    running.healthy(stopped).await;
    assert_eq!(running.views.position(), before);
    let behind = running.views.wait_for(position, Duration::from_millis(1)).await;
    assert_eq!(behind.expect_err("behind").seen, before);
    running.stop().await;
}

#[tokio::test]
async fn the_process_manager_is_told_all_that_is_open() {
    let mut world = lived().await;
    world.step(&Step::MoveToFront(5)).await;
    world.step(&Step::Cancel(2)).await;
    world.submit(Submission { trigger: Trigger::Chat, user: "zoe", ..Submission::default() }).await;
    world.step(&Step::Start(6)).await;
    let running = world.run_views();
    running.caught_up(&world).await;
    let (position, open, agents) = running.views.open_work().await.expect("open work");
    assert_eq!(position, world.head().await);
    let ids: Vec<_> = open.iter().map(|open| open.id).collect();
    let expected: Vec<_> = [1, 2, 3, 4, 5, 6].map(|index: usize| world.executions[index].0).into();
    assert_eq!(ids, expected);
    let statuses: Vec<_> = open.iter().map(OpenExecution::status).collect();
    let (waits, runs) = (Status::Pending, Status::Running);
    assert_eq!(statuses, [waits, runs, waits, runs, waits, runs]);
    assert_eq!(open[1].claim, Some(world.executions[2].1));
    assert!(open[1].cancellation_requested_at.is_some() && open[1].slot_until.is_some());
    assert_eq!(open[4].rank, 1);
    assert_eq!(agents.len(), 1);
    assert_eq!((agents[0].running, agents[0].chatting, agents[0].pending), (2, 1, 3));

    let scope = Scope::User(user("zoe"));
    let capacity = running.views.capacity(&scope, &agent("ada")).await.expect("capacity");
    let capacity = capacity.value.expect("an agent");
    assert_eq!((capacity.slots.len(), capacity.chats.len(), capacity.pending), (2, 1, 3));
    assert!(capacity.slots.iter().all(|slot| slot.execution_id.is_none()));
    assert_eq!(capacity.chats[0].execution_id, Some(world.executions[6].0));
    let capacity = running.views.capacity(&Scope::All, &agent("ada")).await.expect("capacity");
    let queue = capacity.value.expect("an agent").queue;
    let places: Vec<_> =
        queue.iter().map(|waiting| (waiting.execution_id, waiting.place)).collect();
    let expected = [(5, 1), (1, 2), (3, 3)];
    assert_eq!(places, expected.map(|(index, place)| (Some(world.executions[index].0), place)));
    running.stop().await;
}

#[tokio::test]
async fn watchers_are_told_of_starts_ends_and_cancellations() {
    let mut world = World::new();
    let longer =
        "Research competitors and write a long report about everything that they do, please";
    world
        .submit(Submission { trigger: Trigger::SelfTask, text: longer, ..Submission::default() })
        .await;
    world.step(&Step::Start(0)).await;
    world.step(&Step::Cancel(0)).await;
    world.step(&Step::Finish { which: 0, outcome: 3, cost: Some(14_300_000), text: 0 }).await;
    world.submit(Submission::default()).await;
    world.step(&Step::Cancel(1)).await;
    let running = world.run_views();
    let mut told = Vec::new();
    for recorded in world.store.read_all(Position::START, 100, With::EventsOnly).await.expect("all")
    {
        if let Some(announcement) =
            running.views.announcement(&recorded).await.expect("an announcement")
        {
            assert_eq!(announcement.user, user("max"));
            told.extend(announcement.events);
        }
    }
    let kinds: Vec<_> = told.iter().map(|told| (told.activity_type, told.activity_state)).collect();
    assert_eq!(
        kinds,
        [
            (ActivityType::SelfTask, ActivityState::Started),
            (ActivityType::Cancellation, ActivityState::Started),
            (ActivityType::SelfTask, ActivityState::Cancelled),
            (ActivityType::Cancellation, ActivityState::Completed),
            (ActivityType::Task, ActivityState::Cancelled),
        ]
    );
    let numbers: Vec<_> = told.iter().map(|told| told.position.rsplit('-').next()).collect();
    assert_eq!(numbers[3..], [Some("5"), Some("6")], "who resumes between is told the second");
    assert_eq!(
        told[0].action,
        "Background task: Research competitors and write a long report about everything that they do, plea..."
    );
    let end = serde_json::to_value(&told[2]).expect("json");
    assert_eq!(end["type"], "agent_activity");
    assert_eq!(end["details"]["cost_usd"], 0.0143);
    assert_eq!(end["details"]["result_injected"], false);
    assert_eq!(end["details"]["response_preview"], "fix the login bug");
    assert_eq!(end["details"]["execution_id"], end["activity_id"]);
    running.stop().await;
}

#[tokio::test]
async fn a_failure_says_in_the_panel_and_to_watchers_what_went_wrong() {
    let mut world = World::new();
    world.submit(Submission::default()).await;
    world.step(&Step::Start(0)).await;
    world.step(&Step::Finish { which: 0, outcome: 2, cost: None, text: 0 }).await;
    let running = world.run_views();
    running.caught_up(&world).await;
    let query = ActivityQuery { limit: 10, ..ActivityQuery::default() };
    let seen = running.views.activities(&Scope::All, At::Now, &query).await.expect("activities");
    let shown = seen.value.items[0].details.clone();
    assert_eq!(
        shown["error"],
        serde_json::json!({"code": "agent_error", "message": "fix the login bug"})
    );
    let events = world.store.read_all(Position::START, 100, With::EventsOnly).await.expect("all");
    let last = events.last().expect("the end");
    let told = running.views.announcement(last).await.expect("an announcement").expect("one");
    assert_eq!(told.events[0].details, shown);
    running.stop().await;
}

#[tokio::test]
async fn a_time_means_the_last_event_recorded_by_then() {
    let mut world = World::new();
    for _ in 0..5 {
        world.submit(Submission::default()).await;
        world.submit(Submission::default()).await;
        world.step(&Step::Pass { seconds: 10 }).await;
    }
    let running = world.run_views();
    running.caught_up(&world).await;
    let start = Timestamp::from_micros(START);
    for (time, position) in [
        (Timestamp::EPOCH, 0),
        (start, 2),
        (start.plus_s(9), 2),
        (start.plus_s(10), 4),
        (start.plus_s(40), 10),
        (Timestamp::MAX, 10),
    ] {
        let found = running.views.position_at(time).await.expect("a position");
        assert_eq!(found, Position::new(position), "{time}");
    }
    running.stop().await;
}

#[tokio::test]
async fn hours_without_executions_are_shown_and_the_record_names_its_fields_as_promised() {
    let mut world = World::new();
    world.submit(Submission::default()).await;
    world.step(&Step::Pass { seconds: 3 * 3_600 }).await;
    let id = world.submit(Submission::default()).await;
    let running = world.run_views();
    running.caught_up(&world).await;
    let none = ExecutionFilters::default();
    let timeline = running.views.timeline(&Scope::All, At::Now, &none, Bucket::Hour).await;
    let buckets = timeline.expect("a timeline").value.buckets;
    assert_eq!(buckets.iter().map(|b| b.total).collect::<Vec<_>>(), [1, 0, 0, 1]);
    assert_eq!(buckets[1].bucket.as_deref(), Some("2026-11-21T01:00:00.000000Z"));

    let record = running.views.execution(&Scope::All, At::Now, id).await.expect("an answer");
    let record = serde_json::to_value(record.value.expect("a record")).expect("json");
    for field in [
        "execution_id",
        "agent_name",
        "status",
        "triggered_by",
        "message",
        "response",
        "error",
        "created_at",
        "started_at",
        "completed_at",
        "duration_ms",
        "queue_ms",
        "cost_usd",
        "cost_basis",
        "usage",
        "model_requested",
        "model_used",
        "agent_session_id",
        "claude_session_id",
        "num_turns",
        "exit",
        "requested_by",
        "source_agent",
        "chat_session_id",
        "inject_result",
        "result_injected",
        "parent_execution_id",
        "retry_of",
        "attempt",
        "schedule_id",
        "payment",
        "timeout_s",
        "max_cost_usd",
        "transcript",
        "cancellation_requested_at",
        "redactions",
        "response_cut",
        "killed_processes",
    ] {
        assert!(record.get(field).is_some(), "{field} is missing");
    }
    let hidden = Scope::User(user("zoe"));
    let hidden = running.views.execution(&hidden, At::Now, id).await.expect("an answer");
    assert_eq!(hidden.value, None);
    running.stop().await;
}

#[tokio::test]
async fn a_corrected_cost_is_told_as_it_was_known_then() {
    let mut world = World::new();
    world.submit(Submission::default()).await;
    world.step(&Step::Start(0)).await;
    let started = world.head().await;
    world.step(&Step::Finish { which: 0, outcome: 0, cost: None, text: 0 }).await;
    let ended = world.head().await;
    world.step(&Step::Pass { seconds: 86_400 }).await;
    world.step(&Step::Correct { which: 0, cost: 500 }).await;
    let corrected = world.head().await;
    world.step(&Step::Correct { which: 0, cost: 300 }).await;
    let running = world.run_views();
    running.caught_up(&world).await;
    let then = At::Position;
    for (at, status, cost, unknown, runs) in [
        (then(started), Status::Running, None, 0, 0),
        (then(ended), Status::Completed, None, 1, 1),
        (then(corrected), Status::Completed, Some(500), 0, 1),
        (At::Now, Status::Completed, Some(300), 0, 1),
    ] {
        let dear = ExecutionFilters {
            min_cost: NanoUsd::from_nanos(400).ok(),
            status: Some(status),
            ..ExecutionFilters::default()
        };
        let query = ExecutionQuery { filters: dear, ..ExecutionQuery::default() };
        let page = running.views.executions(&Scope::All, at, &query).await.expect("a page");
        assert_eq!(page.value.items.len(), usize::from(cost == Some(500)), "{at:?}");
        let id = world.executions[0].0;
        let record = running.views.execution(&Scope::All, at, id).await.expect("an answer");
        let record = record.value.expect("a record");
        assert_eq!((record.status, record.cost.map(NanoUsd::nanos)), (status, cost), "{at:?}");
        let none = ExecutionFilters::default();
        let stats = running.views.stats(&Scope::All, at, &none).await.expect("stats").value;
        assert_eq!((stats.cost.nanos(), stats.cost_unknown), (cost.unwrap_or(0), unknown));
        let by_day = CostsQuery { by: CostsBy::Day, from: None, to: None };
        let costs = running.views.costs(&Scope::All, at, &by_day).await.expect("costs").value;
        let total = &costs.total;
        assert_eq!(
            (total.cost.nanos(), total.unknown, total.runs),
            (cost.unwrap_or(0), unknown, runs)
        );
        let days: Vec<_> = costs.costs.iter().filter_map(|day| day.key.as_deref()).collect();
        let expected: &[&str] = match cost {
            None if runs == 0 => &[],
            None => &["2026-11-21"],
            Some(_) => &["2026-11-21", "2026-11-22"],
        };
        assert_eq!(days, expected);
    }
    running.stop().await;
}

#[tokio::test]
async fn before_the_rows_are_there_no_answer_is_given_as_if_there_were_nothing() {
    let world = lived().await;
    let store = world.store.clone();
    let views = Views::open(&world.views_path(), store, ViewsOptions::default()).expect("a folder");
    let id = world.executions[0].0;
    let one = views.execution(&Scope::All, At::Now, id).await;
    assert!(matches!(one, Err(QueryError::NotReady { .. })), "{one:?}");
    let page = views.executions(&Scope::All, At::Now, &ExecutionQuery::default()).await;
    assert!(matches!(page, Err(QueryError::NotReady { .. })), "{page:?}");
    assert!(!views.health().is_ready());
}
