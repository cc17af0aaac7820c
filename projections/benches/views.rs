//! How fast the read models are made and asked: rebuild, catching up, and pages of a large table.
//!
//! `EXECUTIONS=1000000 cargo bench -p execution-ledger-projections` for the full size.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use execution_ledger_domain::agent::Runtime;
use execution_ledger_domain::execution::{
    Completed, CostBasis, ExecutionEvent, Pending, RunReport, Running, Trigger,
};
use execution_ledger_domain::{
    Actor, AgentName, ClaimId, Content, Event, EventId, ExecutionId, NanoUsd, Scope, StreamName,
    Timestamp, UserName,
};
use execution_ledger_projections::{
    ActivityQuery, At, Bucket, CostsBy, CostsQuery, ExecutionFilters, ExecutionQuery, Sort, Status,
    Views, ViewsOptions, rebuild,
};
use execution_ledger_store::sqlite::{SqliteOptions, SqliteStore};
use execution_ledger_store::{EventStore, ExpectedRevision, Metadata, NewEvent};
use futures::StreamExt;
use uuid::Uuid;

const AGENTS: u64 = 20;
const ROUNDS: u32 = 200;

fn main() {
    let executions: u64 =
        std::env::var("EXECUTIONS").ok().and_then(|n| n.parse().ok()).unwrap_or(100_000);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(run(executions));
}

async fn run(executions: u64) {
    let folder = tempfile::tempdir_in(std::env::var("BENCH_DIR").unwrap_or_else(|_| "/tmp".into()))
        .expect("a folder");
    let store = SqliteStore::open(&folder.path().join("events.db"), SqliteOptions::default())
        .expect("a log");
    let started = Instant::now();
    fill(&store, 0..executions, true).await;
    println!("filled {} events in {:.1?}", executions * 3, started.elapsed());

    let store: Arc<dyn EventStore> = store;
    let path = folder.path().join("views.db");
    let started = Instant::now();
    let rebuilt = rebuild(&path, &store, |_| {}).await.expect("a rebuild");
    let took = started.elapsed();
    println!(
        "rebuild: {} events in {took:.1?}: {:.0}/s, {} MB",
        rebuilt.events,
        rebuilt.events as f64 / took.as_secs_f64(),
        size(&path) / 1_000_000,
    );
    questions(&path, &store).await;

    let more = 100_000;
    fill(&store, executions..executions + more, false).await;
    let views = Views::open(&path, Arc::clone(&store), ViewsOptions::default()).expect("views");
    let head = store.head().await.expect("head");
    let started = Instant::now();
    let running = views.clone();
    let task = tokio::spawn(async move { running.run(std::future::pending()).await });
    views.wait_for(head, Duration::from_mins(10)).await.expect("caught up");
    let took = started.elapsed();
    println!("live: {more} submissions in {took:.1?}: {:.0}/s", more as f64 / took.as_secs_f64());
    task.abort();
}

async fn questions(path: &Path, store: &Arc<dyn EventStore>) {
    let views = Views::open(path, Arc::clone(store), ViewsOptions::default()).expect("views");
    let running = views.clone();
    let task = tokio::spawn(async move { running.run(std::future::pending()).await });
    let head = store.head().await.expect("head");
    views.wait_for(head, Duration::from_mins(1)).await.expect("caught up");
    let none = ExecutionFilters::default;
    let agent = |n: u64| Some(AgentName::new(&format!("agent-{n}")).expect("a name"));
    let completed = Some(Status::Completed);
    let manual = Some(Trigger::Manual);
    let from = Some(Timestamp::from_micros(1));
    let cases = [
        ("no filter", none()),
        ("agent", ExecutionFilters { agent: agent(3), ..none() }),
        ("trigger", ExecutionFilters { triggered_by: manual, ..none() }),
        (
            "agent status trigger",
            ExecutionFilters { agent: agent(3), status: completed, triggered_by: manual, ..none() },
        ),
        (
            "agent status (none)",
            ExecutionFilters { agent: agent(3), status: Some(Status::Failed), ..none() },
        ),
        (
            "status trigger from",
            ExecutionFilters { status: completed, triggered_by: manual, from, ..none() },
        ),
        (
            "agent status model",
            ExecutionFilters {
                agent: agent(3),
                status: completed,
                model: Some("model-1".to_owned()),
                ..none()
            },
        ),
        (
            "agent status min_cost",
            ExecutionFilters {
                agent: agent(3),
                status: completed,
                min_cost: Some(NanoUsd::from_nanos(9_999_900).expect("an amount")),
                ..none()
            },
        ),
        (
            "agent status q common",
            ExecutionFilters {
                agent: agent(3),
                status: completed,
                q: Some("report".to_owned()),
                ..none()
            },
        ),
        (
            "agent status q rare",
            ExecutionFilters {
                agent: agent(3),
                status: completed,
                q: Some("number4003".to_owned()),
                ..none()
            },
        ),
    ];
    let sorted = [
        (
            "dearest agent trigger from",
            Sort::DearestFirst,
            ExecutionFilters { agent: agent(3), triggered_by: manual, from, ..none() },
        ),
        (
            "dearest status trigger from",
            Sort::DearestFirst,
            ExecutionFilters { status: completed, triggered_by: manual, from, ..none() },
        ),
        (
            "dearest agent status q common",
            Sort::DearestFirst,
            ExecutionFilters {
                agent: agent(3),
                status: completed,
                q: Some("report".to_owned()),
                ..none()
            },
        ),
        (
            "oldest agent status from",
            Sort::OldestFirst,
            ExecutionFilters { agent: agent(3), status: completed, from, ..none() },
        ),
    ];
    let cases = cases.map(|(name, filters)| (name, Sort::NewestFirst, filters));
    for (name, sort, filters) in cases.into_iter().chain(sorted) {
        let query = ExecutionQuery { filters, sort, ..ExecutionQuery::default() };
        let mut took = Vec::new();
        let mut rows = 0;
        for _ in 0..ROUNDS {
            let started = Instant::now();
            let page = views.executions(&Scope::All, At::Now, &query).await.expect("a page");
            took.push(started.elapsed());
            rows = page.value.items.len();
        }
        report(name, rows, &mut took);
    }
    let started = Instant::now();
    views.stats(&Scope::All, At::Now, &none()).await.expect("stats");
    println!("stats of all: {:.1?}", started.elapsed());
    let started = Instant::now();
    views.timeline(&Scope::All, At::Now, &none(), Bucket::Day).await.expect("a timeline");
    println!("timeline of all: {:.1?}", started.elapsed());
    let started = Instant::now();
    let query = CostsQuery { by: CostsBy::Day, from: None, to: None };
    views.costs(&Scope::All, At::Now, &query).await.expect("costs");
    println!("costs of all: {:.1?}", started.elapsed());
    let started = Instant::now();
    views.activities(&Scope::All, At::Now, &ActivityQuery::default()).await.expect("activities");
    println!("activities: {:.1?}", started.elapsed());
    let started = Instant::now();
    views.open_work().await.expect("open work");
    println!("open work: {:.1?}", started.elapsed());
    task.abort();
}

fn report(name: &str, rows: usize, took: &mut [Duration]) {
    took.sort_unstable();
    let at = |percent: usize| took[(took.len() - 1) * percent / 100];
    println!("page by {name}: {rows} rows, p50 {:.2?}, p99 {:.2?}", at(50), at(99));
}

fn size(path: &Path) -> u64 {
    std::fs::metadata(path).map_or(0, |file| file.len())
}

async fn fill(store: &Arc<impl EventStore + ?Sized>, numbers: std::ops::Range<u64>, ended: bool) {
    let append = |number| {
        let store = Arc::clone(store);
        async move {
            let (stream, events) = life(number, ended);
            store.append(&stream, ExpectedRevision::NoStream, events).await.expect("an append");
        }
    };
    futures::stream::iter(numbers).map(append).buffer_unordered(256).for_each(|()| async {}).await;
}

fn life(number: u64, ended: bool) -> (StreamName, Vec<NewEvent>) {
    let stream = StreamName::execution(ExecutionId(Uuid::now_v7()));
    let message = Content::new(
        [1; 16],
        format!(
            "please write a short report about the state of the build number{number} and its tests"
        ),
    );
    let response =
        Content::new([2; 16], format!("the report is written, all {number} tests pass now"));
    let now = Timestamp::from_micros(1_795_219_200_000_000);
    let claim = ClaimId(Uuid::now_v7());
    let pending = Pending {
        triggered_by: Trigger::ALL[(number / AGENTS) as usize % 8],
        message: message.reference(),
        timeout_s: 900,
        ..execution_ledger_domain::given::task(
            AgentName::new(&format!("agent-{}", number % AGENTS)).expect("a name"),
            UserName::new("admin").expect("a name"),
            now,
        )
    };
    let mut events = vec![stored(ExecutionEvent::Pending(Box::new(pending)), vec![message])];
    if ended {
        let running = Running {
            claim,
            slot_until: now,
            runtime: Runtime::Command,
            resumed_session_id: None,
            told: Vec::new(),
            node: None,
        };
        events.push(stored(ExecutionEvent::Running(running), Vec::new()));
        let report = RunReport {
            claim,
            started_at: now,
            ended_at: now,
            duration_ms: number % 10_000,
            exit: None,
            killed_processes: 0,
            response: Some(response.reference()),
            response_cut: false,
            cost_nano_usd: NanoUsd::from_nanos(((number * 7_919) % 10_000_000) as i64).ok(),
            cost_basis: CostBasis::ProviderReported,
            price_book: None,
            usage: None,
            usage_by_model: Vec::new(),
            model_used: Some(format!("model-{}", number % 3)),
            agent_session_id: None,
            num_turns: None,
            transcript: None,
        };
        let completed = ExecutionEvent::Completed(Box::new(Completed { report }));
        events.push(stored(completed, vec![response]));
    }
    (stream, events)
}

fn stored(event: ExecutionEvent, contents: Vec<Content>) -> NewEvent {
    let event = Event::from(event);
    let (type_name, version) = event.type_and_version();
    let metadata = Metadata {
        actor: Actor::system("bench"),
        correlation_id: "story".to_owned(),
        causation_id: "cause".to_owned(),
        traceparent: None,
    };
    NewEvent {
        id: EventId(Uuid::now_v7()),
        type_name: type_name.to_owned(),
        version,
        metadata: serde_json::to_string(&metadata).expect("json"),
        data: event.to_json(),
        contents,
    }
}
