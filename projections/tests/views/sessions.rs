//! Chat sessions: what stands in one, what goes on, what its agent was told, whose it is.

use execution_ledger_domain::execution::{
    self, ExecutionEvent, InjectionRefusal, Trigger, TurnContext,
};
use execution_ledger_domain::{AgentName, Event, ExecutionId, Scope, StreamName};
use execution_ledger_projections::{
    ActivityQuery, ActivityState, ActivityType, At, EntryKind, SessionDetail, SessionQuery,
    SessionStatus,
};
use execution_ledger_store::{EventStore, Position, With};

use super::world::{Running, Step, Submission, World, agent, context, session, user};

/// A world with an open session of max's, and an execution in it for each of these triggers.
async fn world_with(triggers: &[Trigger]) -> World {
    let mut world = World::new();
    world.open_session(session(0), user("max")).await;
    for trigger in triggers {
        let injects = *trigger != Trigger::Chat;
        world
            .submit_into(
                session(0),
                Submission { trigger: *trigger, injects, ..Submission::default() },
            )
            .await;
    }
    world
}

async fn detail(running: &Running, at: At) -> SessionDetail {
    let seen = running.views.session(&Scope::All, at, session(0), 50, None).await;
    seen.expect("an answer").value.expect("a session")
}

fn kinds(world: &World, detail: &SessionDetail) -> Vec<(EntryKind, usize)> {
    let number = |id| world.executions.iter().position(|(other, ..)| *other == id);
    let entries = detail.entries.iter().map(|entry| {
        let number = number(entry.execution.execution_id);
        (entry.kind, number.expect("an execution of this world"))
    });
    entries.collect()
}

#[tokio::test]
async fn turns_and_injected_results_stand_in_the_order_in_which_they_came() {
    let mut world = world_with(&[Trigger::Chat, Trigger::SelfTask, Trigger::Chat]).await;
    let running = world.run_views();
    for which in 0..2 {
        world.step(&Step::Start(which)).await;
        world.step(&Step::Finish { which, outcome: 0, cost: Some(5), text: which }).await;
    }
    running.caught_up(&world).await;
    let before = world.head().await;
    let now = detail(&running, At::Now).await;
    assert_eq!(kinds(&world, &now), [(EntryKind::Turn, 0), (EntryKind::Turn, 2)]);
    assert_eq!(now.background.len(), 1, "its result is on its way");
    assert_eq!(now.session.title.as_deref(), Some("fix the login bug"));
    world.step(&Step::Settle { which: 1, injected: true }).await;
    running.caught_up(&world).await;
    let after = detail(&running, At::Now).await;
    let expected = [(EntryKind::Turn, 0), (EntryKind::Turn, 2), (EntryKind::BackgroundResult, 1)];
    assert_eq!(kinds(&world, &after), expected);
    assert_eq!(after.background, []);
    let result = &after.entries[2];
    assert_eq!((result.told, result.execution.result_injected), (Some(false), true));
    assert!(result.execution.injected_at.is_some());
    assert_eq!(
        kinds(&world, &detail(&running, At::Position(before)).await),
        kinds(&world, &now),
        "as of then"
    );
    running.stop().await;
}

#[tokio::test]
async fn a_result_is_told_by_a_turn_that_ran_and_not_by_one_that_never_did() {
    let mut world = world_with(&[Trigger::SelfTask, Trigger::Chat, Trigger::Chat]).await;
    world.step(&Step::Start(0)).await;
    world.step(&Step::Finish { which: 0, outcome: 0, cost: None, text: 0 }).await;
    world.step(&Step::Settle { which: 0, injected: true }).await;
    let running = world.run_views();
    running.caught_up(&world).await;
    let (result, ..) = world.executions[0];
    let untold = running.views.untold_results(session(0), 10).await.expect("an answer");
    assert_eq!(untold.value, [result]);
    // Ended before its agent was started.
    start_telling(&world, 1, result).await;
    world.step(&Step::Cancel(1)).await;
    let (turn, claim, _) = world.executions[1];
    let (stream, story) = (StreamName::execution(turn), context());
    let abandon = execution::Command::Abandon { claim };
    let ended = world.ledger.execute::<execution::Execution>(&stream, abandon, &[], &story);
    ended.await.expect("ended");
    running.caught_up(&world).await;
    let untold = running.views.untold_results(session(0), 10).await.expect("an answer");
    assert_eq!(untold.value, [result]);
    let before = world.head().await;
    start_telling(&world, 2, result).await;
    world.step(&Step::Finish { which: 2, outcome: 0, cost: None, text: 0 }).await;
    running.caught_up(&world).await;
    let untold = running.views.untold_results(session(0), 10).await.expect("an answer");
    assert_eq!(untold.value, []);
    let told = |detail: SessionDetail| {
        detail.entries.into_iter().filter_map(|entry| entry.told).collect::<Vec<_>>()
    };
    assert_eq!(told(detail(&running, At::Now).await), [true]);
    assert_eq!(told(detail(&running, At::Position(before)).await), [false]);
    running.stop().await;
}

#[tokio::test]
async fn a_result_is_not_told_by_a_turn_of_which_there_is_a_report_but_no_sign_of_its_agent() {
    let mut world = world_with(&[Trigger::SelfTask, Trigger::Chat, Trigger::Chat]).await;
    world.step(&Step::Start(0)).await;
    world.step(&Step::Finish { which: 0, outcome: 0, cost: None, text: 0 }).await;
    world.step(&Step::Settle { which: 0, injected: true }).await;
    let running = world.run_views();
    let (result, ..) = world.executions[0];
    // Cancelled after its claim and before its program was started: the supervisor reports that.
    start_telling(&world, 1, result).await;
    world.step(&Step::Cancel(1)).await;
    world.step(&Step::Finish { which: 1, outcome: 3, cost: None, text: 0 }).await;
    running.caught_up(&world).await;
    let untold = running.views.untold_results(session(0), 10).await.expect("an answer");
    assert_eq!(untold.value, [result]);
    // Failed, but in a session of the agent's own: its message was there.
    start_telling(&world, 2, result).await;
    let (turn, claim, _) = world.executions[2];
    let now = execution_ledger_store::Clock::now(&*world.clock);
    let failed = execution::Observation {
        exit: None,
        evidence: execution::Evidence::None,
        agent_session_id: Some("its-own".to_owned()),
        ..execution_ledger_domain::given::observed(claim, now)
    };
    let (stream, story) = (StreamName::execution(turn), context());
    let finish = execution::Command::Finish(Box::new(failed));
    let ended = world.ledger.execute::<execution::Execution>(&stream, finish, &[], &story);
    ended.await.expect("ended");
    running.caught_up(&world).await;
    let untold = running.views.untold_results(session(0), 10).await.expect("an answer");
    assert_eq!(untold.value, []);
    // To be gone on with by its own user, through this agent, and by nobody else.
    let (ada, bob) = (agent("ada"), agent("bob"));
    let for_user =
        |agent: &AgentName, name| Scope::AgentFor { agent: agent.clone(), user: user(name) };
    for (scope, known) in [
        (Scope::All, true),
        (Scope::Agent(ada.clone()), true),
        (Scope::Agent(bob.clone()), false),
        (for_user(&ada, "max"), true),
        (for_user(&ada, "zoe"), false),
        (for_user(&bob, "max"), false),
    ] {
        let found = running.views.has_agent_session(&ada, "its-own", &scope).await;
        assert_eq!(found.expect("an answer"), known, "{scope:?}");
    }
    running.stop().await;
}

/// Starts a turn whose agent is told of a result.
async fn start_telling(world: &World, which: usize, result: ExecutionId) {
    let (turn, claim, _) = world.executions[which];
    let start = execution::Command::Start {
        claim,
        now: execution_ledger_store::Clock::now(&*world.clock),
        runtime: execution_ledger_domain::agent::Runtime::Command,
        turn: TurnContext { resumed_session_id: None, told: vec![result] },
        node: None,
    };
    let (stream, story) = (StreamName::execution(turn), context());
    let started = world.ledger.execute::<execution::Execution>(&stream, start, &[], &story);
    started.await.expect("started");
}

#[tokio::test]
async fn a_result_that_is_owed_is_known_until_it_is_injected_or_refused() {
    let mut world = world_with(&[Trigger::SelfTask, Trigger::SelfTask, Trigger::Chat]).await;
    for which in 0..3 {
        world.step(&Step::Start(which)).await;
        world.step(&Step::Finish { which, outcome: 2, cost: None, text: 0 }).await;
    }
    world.step(&Step::Settle { which: 0, injected: false }).await;
    let running = world.run_views();
    running.caught_up(&world).await;
    let owed = running.views.injections_owed().await.expect("an answer");
    assert_eq!(owed, [(world.executions[1].0, session(0))]);
    world.step(&Step::Settle { which: 1, injected: true }).await;
    running.caught_up(&world).await;
    assert_eq!(running.views.injections_owed().await.expect("an answer"), []);
    let refused = running.views.execution(&Scope::All, At::Now, world.executions[0].0).await;
    let refused = refused.expect("an answer").value.expect("a record");
    assert_eq!(refused.injection_refused, Some(InjectionRefusal::SessionClosed));
    running.stop().await;
}

#[tokio::test]
async fn the_end_of_a_background_task_is_announced_once_it_says_whether_its_result_was_injected() {
    let mut world = world_with(&[Trigger::SelfTask]).await;
    let running = world.run_views();
    world.step(&Step::Start(0)).await;
    world.step(&Step::Finish { which: 0, outcome: 0, cost: Some(14_300_000), text: 0 }).await;
    running.caught_up(&world).await;
    let query = ActivityQuery::default();
    let shown = running.views.activities(&Scope::All, At::Now, &query).await.expect("a page");
    assert_eq!(shown.value.items[0].state, ActivityState::Started, "its result is on its way");
    world.step(&Step::Settle { which: 0, injected: true }).await;
    running.caught_up(&world).await;
    let shown = running.views.activities(&Scope::All, At::Now, &query).await.expect("a page");
    let row = shown.value.items[0].clone();
    assert_eq!(row.state, ActivityState::Completed);
    assert_eq!(row.details["result_injected"], true);
    assert_eq!(row.details["chat_session_id"], serde_json::json!(session(0)));
    let mut told = Vec::new();
    let events = world.store.read_all(Position::START, 100, With::EventsOnly).await.expect("all");
    for recorded in &events {
        let announced = running.views.announcement(recorded).await.expect("an answer");
        for message in announced.into_iter().flat_map(|announced| announced.events) {
            told.push((message, recorded.event().expect("one")));
        }
    }
    let states: Vec<_> =
        told.iter().map(|(told, _)| (told.activity_type, told.activity_state)).collect();
    let of = ActivityType::SelfTask;
    assert_eq!(states, [(of, ActivityState::Started), (of, ActivityState::Completed)]);
    assert_eq!(told[1].0.details, row.details);
    assert!(matches!(told[1].1, Event::Execution(ExecutionEvent::ResultInjected(_))));
    running.stop().await;
}

#[tokio::test]
async fn an_execution_that_is_cancelled_before_its_start_ends_in_the_panel_as_what_it_was() {
    let mut world = world_with(&[Trigger::SelfTask]).await;
    world.submit(Submission::default()).await;
    let running = world.run_views();
    world.step(&Step::Cancel(0)).await;
    world.step(&Step::Cancel(1)).await;
    let before = world.head().await;
    running.caught_up(&world).await;
    let shown = async |at| {
        let page = running.views.activities(&Scope::All, at, &ActivityQuery::default()).await;
        let rows = page.expect("a page").value.items.into_iter();
        rows.map(|row| (row.activity_type, row.state, row.started_at)).collect::<Vec<_>>()
    };
    let stopped = |of| (of, ActivityState::Cancelled, None);
    let (task, own) = (stopped(ActivityType::Task), stopped(ActivityType::SelfTask));
    let rows = shown(At::Now).await;
    assert_eq!(rows.len(), 3, "{rows:?}");
    assert_eq!(rows[0], task);
    assert!(!rows.contains(&own), "its result is on its way");
    world.step(&Step::Settle { which: 0, injected: true }).await;
    running.caught_up(&world).await;
    assert_eq!(shown(At::Now).await, [&[own], rows.as_slice()].concat());
    assert_eq!(shown(At::Position(before)).await, rows);

    // Page by page, each of the two that one event led to is there once.
    let (mut cursor, mut paged) = (None, Vec::new());
    loop {
        let query = ActivityQuery { limit: 1, cursor, ..ActivityQuery::default() };
        let page = running.views.activities(&Scope::All, At::Now, &query).await;
        let page = page.expect("a page").value;
        paged.extend(page.items.iter().map(|row| row.activity_id));
        cursor = page.next_cursor;
        if cursor.is_none() {
            break;
        }
    }
    let distinct: std::collections::BTreeSet<_> = paged.iter().collect();
    assert_eq!((paged.len(), distinct.len()), (4, 4));

    let events = world.store.read_all(Position::START, 100, With::EventsOnly).await.expect("all");
    let settled = events.last().expect("the settlement");
    let told = running.views.announcement(settled).await.expect("an answer").expect("told");
    assert_eq!(told.events.len(), 1);
    assert_eq!(told.events[0].activity_state, ActivityState::Cancelled);
    assert_eq!(told.events[0].details["result_injected"], true);
    running.stop().await;
}

#[tokio::test]
async fn sessions_are_listed_by_what_is_asked_for_and_to_their_own_user_alone() {
    let world = world_with(&[Trigger::Chat]).await;
    world.open_session(session(1), user("zoe")).await;
    world.open_session(session(2), user("max")).await;
    world.close_session(session(2)).await;
    let running = world.run_views();
    running.caught_up(&world).await;
    let views = &running.views;
    let list = async |scope: Scope, query: SessionQuery| {
        let page = views.sessions(&scope, At::Now, &query).await.expect("a page").value;
        page.items.into_iter().map(|found| found.session_id).collect::<Vec<_>>()
    };
    let any = SessionQuery::default;
    assert_eq!(list(Scope::All, any()).await, [session(2), session(1), session(0)]);
    assert_eq!(list(Scope::User(user("max")), any()).await, [session(2), session(0)]);
    let zoes = SessionQuery { user: Some(user("zoe")), ..any() };
    assert_eq!(list(Scope::All, zoes.clone()).await, [session(1)]);
    assert_eq!(list(Scope::User(user("max")), zoes).await, []);
    assert_eq!(list(Scope::Agent(agent("ada")), any()).await, []);
    let open = SessionQuery { status: Some(SessionStatus::Open), ..any() };
    assert_eq!(list(Scope::All, open).await, [session(1), session(0)]);
    for (scope, there) in [
        (Scope::User(user("max")), true),
        (Scope::User(user("zoe")), false),
        (Scope::Agent(agent("ada")), false),
    ] {
        let one = views.session(&scope, At::Now, session(0), 50, None).await.expect("an answer");
        assert_eq!(one.value.is_some(), there, "{scope:?}");
    }
    assert_eq!(views.closed_with_turns().await.expect("an answer"), []);
    world.close_session(session(0)).await;
    running.caught_up(&world).await;
    assert_eq!(views.closed_with_turns().await.expect("an answer"), [session(0)]);
    running.stop().await;
}

#[tokio::test]
async fn pages_of_a_session_go_back_from_its_newest_entries() {
    let world = world_with(&[Trigger::Chat; 5]).await;
    let running = world.run_views();
    running.caught_up(&world).await;
    let mut cursor: Option<String> = None;
    let mut pages = Vec::new();
    for _ in 0..3 {
        let one = running.views.session(&Scope::All, At::Now, session(0), 2, cursor.as_deref());
        let page = one.await.expect("an answer").value.expect("a session");
        cursor.clone_from(&page.next_cursor);
        pages.push(kinds(&world, &page).into_iter().map(|(_, number)| number).collect::<Vec<_>>());
    }
    assert_eq!((pages, cursor), (vec![vec![3, 4], vec![1, 2], vec![0]], None));
    running.stop().await;
}
