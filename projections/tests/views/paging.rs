//! Pages: no gap, no row twice, and cursors that are good for nothing else.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use execution_ledger_domain::execution::Trigger;
use execution_ledger_domain::{NanoUsd, Scope, Timestamp};
use execution_ledger_projections::{
    ActivityQuery, At, ExecutionFilters, ExecutionQuery, PAGE_MAX, QueryError, Sort, Status,
};

use super::answers::{by_hand, is_meant, scopes};
use super::world::{AGENTS, MODELS, START, Step, Submission, TEXTS, USERS, World, agent};

async fn populated(executions: usize) -> World {
    let mut world = World::new();
    for number in 0..executions {
        world.submit(Submission::default()).await;
        world.step(&Step::Start(number)).await;
        let cost = Some(i64::try_from(number % 5).expect("small"));
        world.finish(number, 0, cost, "done").await;
    }
    world
}

#[tokio::test]
async fn pages_hold_each_row_once_while_others_come() {
    for sort in [Sort::NewestFirst, Sort::OldestFirst, Sort::DearestFirst] {
        for q in [None, Some("fix".to_owned())] {
            let mut world = populated(23).await;
            let running = world.run_views();
            running.caught_up(&world).await;
            let before: BTreeSet<_> = world.executions.iter().map(|(id, ..)| *id).collect();
            let filters = ExecutionFilters { q, ..ExecutionFilters::default() };
            let mut query = ExecutionQuery { filters, limit: 4, sort, ..ExecutionQuery::default() };
            let mut seen = Vec::new();
            loop {
                let page =
                    running.views.executions(&Scope::All, At::Now, &query).await.expect("a page");
                assert!(page.value.items.len() <= 4);
                seen.extend(page.value.items.iter().map(|record| record.execution_id));
                if world.executions.len() < 30 {
                    world.submit(Submission::default()).await;
                    running.caught_up(&world).await;
                }
                query.cursor = page.value.next_cursor;
                if query.cursor.is_none() {
                    break;
                }
            }
            let once: BTreeSet<_> = seen.iter().copied().collect();
            assert_eq!(once.len(), seen.len(), "{sort:?}: a row twice");
            assert!(once.is_superset(&before), "{sort:?}: a row is missing");
            running.stop().await;
        }
    }
}

#[tokio::test]
async fn activities_are_paged_too() {
    let world = populated(9).await;
    let running = world.run_views();
    running.caught_up(&world).await;
    let mut query = ActivityQuery { limit: 2, ..ActivityQuery::default() };
    let mut seen = Vec::new();
    loop {
        let page = running.views.activities(&Scope::All, At::Now, &query).await.expect("a page");
        seen.extend(page.value.items.into_iter().map(|activity| activity.activity_id));
        query.cursor = page.value.next_cursor;
        if query.cursor.is_none() {
            break;
        }
    }
    let newest_first: Vec<_> = world.executions.iter().rev().map(|(id, ..)| id.0).collect();
    assert_eq!(seen, newest_first);
    running.stop().await;
}

#[tokio::test]
async fn a_cursor_of_another_question_is_refused() {
    let world = populated(3).await;
    let running = world.run_views();
    running.caught_up(&world).await;
    let ask = |query: ExecutionQuery, scope: Scope, at| {
        let views = running.views.clone();
        async move { views.executions(&scope, at, &query).await }
    };
    let one = ExecutionQuery { limit: 1, ..ExecutionQuery::default() };
    let first = ask(one.clone(), Scope::All, At::Now).await.expect("a page").value;
    let next = ExecutionQuery { cursor: first.next_cursor.clone(), ..one.clone() };
    assert!(ask(next.clone(), Scope::All, At::Now).await.is_ok());
    assert!(ask(ExecutionQuery { limit: 9, ..next.clone() }, Scope::All, At::Now).await.is_ok());
    let failed = Some(Status::Failed);
    let filters = ExecutionFilters { status: failed, ..ExecutionFilters::default() };
    for (query, scope, at) in [
        (ExecutionQuery { filters, ..next.clone() }, Scope::All, At::Now),
        (ExecutionQuery { sort: Sort::OldestFirst, ..next.clone() }, Scope::All, At::Now),
        (next.clone(), Scope::User(super::world::user("max")), At::Now),
        (next.clone(), Scope::All, At::Position(world.head().await)),
        (ExecutionQuery { cursor: Some("AAAA".to_owned()), ..one.clone() }, Scope::All, At::Now),
    ] {
        let refused = ask(query, scope, at).await;
        assert!(matches!(refused, Err(QueryError::InvalidCursor)), "{refused:?}");
    }
    let elsewhere = populated(3).await;
    let others = elsewhere.run_views();
    others.caught_up(&elsewhere).await;
    let refused = others.views.executions(&Scope::All, At::Now, &next).await;
    assert!(matches!(refused, Err(QueryError::OtherLog { .. })), "{refused:?}");
    others.stop().await;
    running.stop().await;
}

#[tokio::test]
async fn limits_and_texts_beyond_what_is_allowed_are_refused_by_name() {
    let world = populated(1).await;
    let running = world.run_views();
    running.caught_up(&world).await;
    let none = ExecutionFilters::default;
    let with = |filters| ExecutionQuery { filters, ..ExecutionQuery::default() };
    for (field, query) in [
        ("limit", ExecutionQuery { limit: 0, ..ExecutionQuery::default() }),
        ("limit", ExecutionQuery { limit: 201, ..ExecutionQuery::default() }),
        ("q", with(ExecutionFilters { q: Some("a ".repeat(33)), ..none() })),
        ("model", with(ExecutionFilters { model: Some("m".repeat(1_001)), ..none() })),
    ] {
        match running.views.executions(&Scope::All, At::Now, &query).await {
            Err(QueryError::Invalid { field: named, .. }) => assert_eq!(named, field),
            other => panic!("{field}: {other:?}"),
        }
    }
    running.stop().await;
}

/// Every pair of filters and some more, for lists that are read in different ways.
fn filter_pairs() -> Vec<ExecutionFilters> {
    let none = ExecutionFilters::default;
    let cost = NanoUsd::from_nanos(60).expect("an amount");
    let from = Timestamp::from_micros(START).plus_s(20 * 60);
    let to = Timestamp::from_micros(START).plus_s(60 * 60);
    let single = [
        ExecutionFilters { agent: Some(agent(AGENTS[1])), ..none() },
        ExecutionFilters { status: Some(Status::Completed), ..none() },
        ExecutionFilters { triggered_by: Some(Trigger::Chat), ..none() },
        ExecutionFilters { model: Some(MODELS[1].to_owned()), ..none() },
        ExecutionFilters { min_cost: Some(cost), ..none() },
        ExecutionFilters { q: Some("tests".to_owned()), ..none() },
        ExecutionFilters { from: Some(from), to: Some(to), ..none() },
    ];
    let both = |one: &ExecutionFilters, other: &ExecutionFilters| ExecutionFilters {
        agent: one.agent.clone().or(other.agent.clone()),
        status: one.status.or(other.status),
        triggered_by: one.triggered_by.or(other.triggered_by),
        from: one.from.or(other.from),
        to: one.to.or(other.to),
        q: one.q.clone().or(other.q.clone()),
        min_cost: one.min_cost.or(other.min_cost),
        model: one.model.clone().or(other.model.clone()),
    };
    let pairs = single.iter().flat_map(|one| single.iter().map(move |other| both(one, other)));
    let mut pairs: Vec<_> = pairs.collect();
    let three = both(&single[0], &single[1]);
    pairs.extend(single.iter().map(|other| both(&three, other)));
    pairs
}

/// So many that for some filters far more rows than a page's are looked at, and for others not.
async fn varied(executions: usize) -> World {
    let mut world = World::new();
    for number in 0..executions {
        let mixed = (number * 2_654_435_761) >> 7;
        let submission = Submission {
            agent: AGENTS[(mixed % 7) % AGENTS.len()],
            user: USERS[usize::from(mixed % 11 == 0)],
            trigger: Trigger::ALL[(mixed / 3) % Trigger::ALL.len()],
            text: TEXTS[(mixed / 5) % TEXTS.len()],
            model: MODELS.get((mixed / 2) % 5).copied(),
            source: (mixed % 13 == 0).then(|| agent(AGENTS[1])),
            ..Submission::default()
        };
        world.submit(submission).await;
        world.step(&Step::Pass { seconds: 60 }).await;
        if mixed % 17 == 0 {
            continue;
        }
        world.step(&Step::Start(number)).await;
        let cost = (mixed % 5 != 0).then(|| i64::try_from(mixed % 70).expect("small"));
        world.finish(number, usize::from(mixed % 9 == 0), cost, TEXTS[mixed % TEXTS.len()]).await;
    }
    world
}

#[tokio::test]
async fn small_pages_of_all_filters_and_orders_hold_what_the_events_say() {
    let world = varied(120).await;
    let running = world.run_views();
    running.caught_up(&world).await;
    let records = by_hand(&world, world.head().await).await;
    for scope in scopes() {
        for filters in filter_pairs() {
            for sort in [Sort::NewestFirst, Sort::OldestFirst, Sort::DearestFirst] {
                let mut meant: Vec<_> =
                    records.iter().filter(|record| is_meant(record, &scope, &filters)).collect();
                match sort {
                    Sort::OldestFirst => meant.sort_by_key(|record| record.no),
                    Sort::NewestFirst => meant.sort_by_key(|record| Reverse(record.no)),
                    Sort::DearestFirst => {
                        meant.retain(|record| record.cost.is_some());
                        meant.sort_by_key(|record| Reverse((record.cost, record.no)));
                    }
                }
                let filters = filters.clone();
                let mut query =
                    ExecutionQuery { filters, limit: 2, sort, ..ExecutionQuery::default() };
                // Two small pages, and then the rest in one.
                let mut listed = Vec::new();
                for limit in [1, 2, PAGE_MAX] {
                    query.limit = limit;
                    let page = running.views.executions(&scope, At::Now, &query).await;
                    let page = page.expect("a page").value;
                    listed.extend(page.items);
                    query.cursor = page.next_cursor;
                    if query.cursor.is_none() {
                        break;
                    }
                }
                assert_eq!(listed.iter().collect::<Vec<_>>(), meant, "{scope:?} {query:?}");
            }
        }
    }
    running.stop().await;
}
