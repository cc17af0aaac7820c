//! All that can be asked at one position, and the same worked out by hand from the events.

use execution_ledger_domain::execution::Trigger;
use execution_ledger_domain::{NanoUsd, Scope, Timestamp};
use execution_ledger_projections::{
    ActivityQuery, ActivityState, At, BILLING_PAGE_MAX, Bucket, CostsBy, CostsQuery,
    ExecutionFilters, ExecutionQuery, ExecutionRecord, PAGE_MAX, SessionQuery, SessionStatus, Sort,
    Stats, Status, Views,
};
use execution_ledger_store::{EventStore, Position, Recorded, With};

use super::world::{AGENTS, MODELS, START, USERS, World, agent, session, user};

/// Filters that between them use every way to a page.
pub fn filter_sets() -> Vec<ExecutionFilters> {
    let none = ExecutionFilters::default;
    let ada = Some(agent(AGENTS[0]));
    vec![
        none(),
        ExecutionFilters { agent: ada.clone(), ..none() },
        ExecutionFilters { status: Some(Status::Running), ..none() },
        ExecutionFilters { triggered_by: Some(Trigger::Manual), ..none() },
        ExecutionFilters { agent: ada.clone(), status: Some(Status::Completed), ..none() },
        ExecutionFilters { agent: ada.clone(), triggered_by: Some(Trigger::Chat), ..none() },
        ExecutionFilters {
            agent: ada,
            status: Some(Status::Failed),
            triggered_by: Some(Trigger::SelfTask),
            ..none()
        },
        ExecutionFilters { q: Some("fix".to_owned()), ..none() },
        ExecutionFilters {
            q: Some("TESTS pars*".to_owned()),
            status: Some(Status::Completed),
            ..none()
        },
        ExecutionFilters { q: Some("uberprufe".to_owned()), ..none() },
        ExecutionFilters { model: Some(MODELS[0].to_owned()), ..none() },
        ExecutionFilters { min_cost: Some(NanoUsd::from_nanos(500).expect("an amount")), ..none() },
        ExecutionFilters {
            from: Some(Timestamp::from_micros(START).plus_s(3_600)),
            to: Some(Timestamp::from_micros(START).plus_s(50_000)),
            ..none()
        },
    ]
}

pub fn scopes() -> Vec<Scope> {
    vec![
        Scope::All,
        Scope::User(user(USERS[0])),
        Scope::Agent(agent(AGENTS[1])),
        Scope::AgentFor { agent: agent(AGENTS[1]), user: user(USERS[0]) },
    ]
}

/// Every answer as of a position, as text.
pub async fn all_answers(views: &Views, at: At) -> Vec<String> {
    let mut answers = Vec::new();
    for scope in scopes() {
        for filters in filter_sets() {
            for sort in [Sort::NewestFirst, Sort::OldestFirst, Sort::DearestFirst] {
                let query = ExecutionQuery {
                    filters: filters.clone(),
                    limit: PAGE_MAX,
                    sort,
                    ..ExecutionQuery::default()
                };
                let seen = views.executions(&scope, at, &query).await.expect("a page");
                answers.push(format!("{scope:?} {filters:?} {sort:?} {seen:?}"));
            }
            let seen = views.stats(&scope, at, &filters).await.expect("stats");
            answers.push(format!("{scope:?} {filters:?} {seen:?}"));
            for bucket in [Bucket::Hour, Bucket::Agent, Bucket::Trigger, Bucket::Model] {
                let seen = views.timeline(&scope, at, &filters, bucket).await.expect("a timeline");
                answers.push(format!("{scope:?} {filters:?} {seen:?}"));
            }
        }
        for status in [None, Some(SessionStatus::Open), Some(SessionStatus::Closed)] {
            let query = SessionQuery { status, limit: PAGE_MAX, ..SessionQuery::default() };
            let seen = views.sessions(&scope, at, &query).await.expect("sessions");
            answers.push(format!("{scope:?} {query:?} {seen:?}"));
        }
        for which in 0..3 {
            let seen = views.session(&scope, at, session(which), PAGE_MAX, None).await;
            answers.push(format!("{scope:?} {which} {seen:?}"));
            let seen = views.session_tasks(at, session(which)).await;
            answers.push(format!("{which} {seen:?}"));
        }
        for state in [None, Some(ActivityState::Started), Some(ActivityState::Completed)] {
            for agent in [None, Some(agent(AGENTS[0]))] {
                let query =
                    ActivityQuery { agent, state, limit: PAGE_MAX, ..ActivityQuery::default() };
                let seen = views.activities(&scope, at, &query).await.expect("activities");
                answers.push(format!("{scope:?} {query:?} {seen:?}"));
            }
        }
        for by in [CostsBy::Day, CostsBy::Agent, CostsBy::Model, CostsBy::Trigger] {
            let query = CostsQuery { by, from: None, to: None };
            let seen = views.costs(&scope, at, &query).await.expect("costs");
            answers.push(format!("{scope:?} {by:?} {seen:?}"));
        }
        let seen =
            views.billing(&scope, at, Position::START, BILLING_PAGE_MAX).await.expect("rows");
        answers.push(format!("{scope:?} {seen:?}"));
        let seen = views.agents(&scope, at).await.expect("agents");
        answers.push(format!("{scope:?} {seen:?}"));
    }
    answers
}

/// The records of all executions by hand: every stream folded from its events.
pub async fn by_hand(world: &World, until: Position) -> Vec<ExecutionRecord> {
    let mut streams: Vec<Vec<Recorded>> = Vec::new();
    let mut after = Position::START;
    loop {
        let page = world.store.read_all(after, 1_000, With::Contents).await.expect("events");
        let Some(last) = page.last() else { break };
        after = last.position;
        for recorded in page.into_iter().filter(|r| r.stream.execution_id().is_some()) {
            match streams.iter_mut().find(|stream| stream[0].stream == recorded.stream) {
                Some(stream) => stream.push(recorded),
                None => streams.push(vec![recorded]),
            }
        }
    }
    let fold = |events: &Vec<Recorded>| ExecutionRecord::fold(events, until).expect("events");
    streams.iter().filter_map(fold).collect()
}

/// Whether a record is covered and meant, by hand.
pub fn is_meant(record: &ExecutionRecord, scope: &Scope, filters: &ExecutionFilters) -> bool {
    let model = record.model_used.as_ref().or(record.model_requested.as_ref());
    scope.covers(&record.ownership())
        && filters.agent.as_ref().is_none_or(|agent| record.agent_name == *agent)
        && filters.status.is_none_or(|status| record.status == status)
        && filters.triggered_by.is_none_or(|trigger| record.triggered_by == trigger)
        && filters.from.is_none_or(|from| record.created_at >= from)
        && filters.to.is_none_or(|to| record.created_at < to)
        && filters.min_cost.is_none_or(|least| record.cost.is_some_and(|cost| cost >= least))
        && filters.model.as_ref().is_none_or(|wanted| model == Some(wanted))
        && filters.q.as_ref().is_none_or(|q| {
            let texts = [record.message.as_deref(), record.response.as_deref()];
            texts.into_iter().flatten().any(|text| has_words(text, q))
        })
}

fn has_words(text: &str, words: &str) -> bool {
    let plain = |text: &str| text.to_lowercase().replace('ü', "u");
    let text = plain(text);
    let found: Vec<&str> = text.split(|c: char| !c.is_alphanumeric()).collect();
    plain(words).split_whitespace().all(|word| match word.strip_suffix('*') {
        Some(stem) => found.iter().any(|found| found.starts_with(stem)),
        None => found.contains(&word),
    })
}

/// The sums by hand.
pub fn stats_by_hand(records: &[&ExecutionRecord]) -> Stats {
    let count = |status| records.iter().filter(|record| record.status == status).count() as u64;
    let finished = records.iter().filter(|record| record.status.is_terminal()).count();
    let completed = count(Status::Completed);
    let mut durations: Vec<u64> = records.iter().filter_map(|r| r.duration_ms).collect();
    durations.sort_unstable();
    let percentile = |percent: usize| {
        let rank = (durations.len() * percent).div_ceil(100).max(1);
        durations.get(rank - 1).copied()
    };
    Stats {
        total: records.len() as u64,
        pending: count(Status::Pending),
        running: count(Status::Running),
        completed,
        failed: count(Status::Failed),
        cancelled: count(Status::Cancelled),
        success_rate: (finished > 0).then(|| completed as f64 / finished as f64),
        cost: records.iter().filter_map(|record| record.cost).sum(),
        cost_unknown: records
            .iter()
            .filter(|record| record.cost.is_none() && record.duration_ms.is_some())
            .count() as u64,
        duration_ms_p50: percentile(50),
        duration_ms_p95: percentile(95),
    }
}
