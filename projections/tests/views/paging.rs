//! Pages: no gap, no row twice, and cursors that are good for nothing else.

use std::collections::BTreeSet;

use execution_ledger_domain::Scope;
use execution_ledger_projections::{
    ActivityQuery, At, ExecutionFilters, ExecutionQuery, QueryError, Sort, Status,
};

use super::world::{Step, Submission, World};

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
