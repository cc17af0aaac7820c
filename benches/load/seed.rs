//! A large log of runs that have ended, written through the store as the ledger writes it.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use execution_ledger_domain::agent::{AgentConfig, AgentEvent, Registered, Runtime};
use execution_ledger_domain::content::Digest;
use execution_ledger_domain::execution::{
    CancelCause, Cancelled, Completed, CostBasis, ExecutionEvent, Exit, Failed, FailureCode,
    Pending, Requester, RunReport, Running, TranscriptRef, Trigger, Usage,
};
use execution_ledger_domain::{
    Actor, ActorKind, AgentName, ClaimId, Content, Event, EventId, ExecutionId, NanoUsd,
    StreamName, Timestamp, UserName,
};
use execution_ledger_store::{
    Clock, EventStore, ExpectedRevision, ManualClock, Metadata, NewEvent, SqliteOptions,
    SqliteStore, SystemClock,
};
use futures::StreamExt;
use uuid::Uuid;

use crate::Failure;

/// Agents, the first much busier than the last.
pub const AGENTS: u64 = 40;
/// Models that answered.
pub const MODELS: [&str; 4] = ["opus-5", "sonnet-5", "haiku-5", "local-7b"];
/// How far back the log goes, in days.
pub const DAYS: i64 = 30;
/// Appends that are on their way at once.
const APPENDS_AT_ONCE: usize = 256;
/// One day, in microseconds.
const DAY_US: i64 = 24 * 3_600 * 1_000_000;
/// What people and agents talk about.
const WORDS: [&str; 48] = [
    "report",
    "build",
    "tests",
    "invoice",
    "customer",
    "summary",
    "deploy",
    "review",
    "branch",
    "error",
    "latency",
    "database",
    "schema",
    "index",
    "query",
    "release",
    "notes",
    "ticket",
    "search",
    "upload",
    "login",
    "token",
    "budget",
    "forecast",
    "meeting",
    "agenda",
    "contract",
    "supplier",
    "price",
    "delivery",
    "warranty",
    "translation",
    "draft",
    "email",
    "answer",
    "question",
    "dataset",
    "chart",
    "table",
    "column",
    "parser",
    "compiler",
    "cache",
    "queue",
    "worker",
    "session",
    "schedule",
    "payment",
];

/// Writes that many executions, three events each, all of them ended, spread over [`DAYS`].
pub async fn large_log(data_dir: &Path, executions: u64) -> Result<(), Failure> {
    let began = Instant::now();
    std::fs::create_dir_all(data_dir)?;
    let start = SystemClock.now().micros() - DAYS * DAY_US;
    let clock = Arc::new(ManualClock::at(Timestamp::from_micros(start)));
    let options =
        SqliteOptions { clock: Arc::clone(&clock) as Arc<dyn Clock>, ..SqliteOptions::default() };
    let store = SqliteStore::open(&data_dir.join("events.db"), options)?;
    for number in 0..AGENTS {
        let config = AgentConfig::of(Runtime::Command, vec!["/bin/true".to_owned()]);
        let event = Event::from(AgentEvent::Registered(Box::new(Registered { config })));
        let stream = StreamName::agent(&agent(number)?);
        store.append(&stream, ExpectedRevision::NoStream, vec![stored(&event, vec![])?]).await?;
    }
    let step = DAYS * DAY_US / i64::try_from(executions.max(1))?;
    let append = |number: u64| {
        let (store, clock) = (Arc::clone(&store), Arc::clone(&clock));
        async move {
            let now = Timestamp::from_micros(start + step * i64::try_from(number)?);
            clock.set(now);
            let stream = StreamName::execution(ExecutionId(Uuid::now_v7()));
            let events = life(number, now)?;
            store.append(&stream, ExpectedRevision::NoStream, events).await?;
            Ok::<(), Failure>(())
        }
    };
    let mut appends =
        futures::stream::iter(0..executions).map(append).buffer_unordered(APPENDS_AT_ONCE);
    while let Some(appended) = appends.next().await {
        appended?;
    }
    drop(appends);
    store.close().await;
    let took = began.elapsed();
    println!("seeded {executions} executions in {:.1} s\n", took.as_secs_f64());
    Ok(())
}

/// The agent of this number.
pub fn agent(number: u64) -> Result<AgentName, Failure> {
    Ok(AgentName::new(&format!("agent-{number:02}"))?)
}

/// The agent of the execution of this number.
pub fn agent_of(execution: u64) -> Result<AgentName, Failure> {
    agent_drawn(&mut Mixed::of(execution))
}

/// The smaller of two draws: the first agents are the busiest.
fn agent_drawn(mixed: &mut Mixed) -> Result<AgentName, Failure> {
    agent(mixed.below(AGENTS).min(mixed.below(AGENTS)))
}

/// Well mixed bits of a number: the log is the same in every run.
struct Mixed(u64);

impl Mixed {
    fn of(execution: u64) -> Self {
        Self(execution.wrapping_mul(0x2545_f491_4f6c_dd1d))
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (bits ^ (bits >> 31)) % bound.max(1)
    }

    fn text(&mut self, words: u64) -> String {
        let mut text = String::with_capacity(usize::try_from(words).unwrap_or(0) * 8);
        for _ in 0..words {
            let word = WORDS[usize::try_from(self.below(WORDS.len() as u64)).unwrap_or(0)];
            text.push_str(word);
            text.push(' ');
        }
        text
    }
}

fn life(number: u64, now: Timestamp) -> Result<Vec<NewEvent>, Failure> {
    let mut mixed = Mixed::of(number);
    let agent = agent_drawn(&mut mixed)?;
    let words = 8 + mixed.below(24);
    let message = format!("{}number{number}", mixed.text(words));
    let message = Content::new(salt(&mut mixed), message);
    let pending = pending(agent, &message, trigger(&mut mixed), now)?;
    let claim = ClaimId(Uuid::now_v7());
    let slot_until = Timestamp::from_micros(now.micros() + 1_200_000_000);
    let running = Running {
        claim,
        slot_until,
        runtime: Runtime::Command,
        resumed_session_id: None,
        told: Vec::new(),
        node: None,
    };
    let (ending, contents) = ending(&mut mixed, claim, now)?;
    Ok(vec![
        stored(&ExecutionEvent::Pending(Box::new(pending)).into(), vec![message])?,
        stored(&ExecutionEvent::Running(running).into(), vec![])?,
        stored(&ending.into(), contents)?,
    ])
}

fn salt(mixed: &mut Mixed) -> [u8; 16] {
    let (one, two) = (mixed.below(u64::MAX), mixed.below(u64::MAX));
    (u128::from(one) << 64 | u128::from(two)).to_be_bytes()
}

fn trigger(mixed: &mut Mixed) -> Trigger {
    match mixed.below(100) {
        0..40 => Trigger::Manual,
        40..65 => Trigger::Schedule,
        65..80 => Trigger::SelfTask,
        80..90 => Trigger::Mcp,
        90..96 => Trigger::Agent,
        96..99 => Trigger::Retry,
        _ => Trigger::Paid,
    }
}

fn pending(
    agent: AgentName,
    message: &Content,
    triggered_by: Trigger,
    now: Timestamp,
) -> Result<Pending, Failure> {
    Ok(Pending {
        agent,
        triggered_by,
        message: message.reference(),
        redactions: 0,
        requested_by: Requester { kind: ActorKind::Key, id: "admin".to_owned() },
        user: UserName::new("admin")?,
        expires_at: Timestamp::from_micros(now.micros() + DAY_US),
        request_sha256: Digest::of(message.text.as_bytes()),
        source_agent: None,
        parent_execution_id: None,
        depth: 0,
        chat_session_id: None,
        inject_result: false,
        retry_of: None,
        attempt: 1,
        max_retries: 0,
        not_before: None,
        schedule_id: None,
        payment_id: None,
        model_requested: None,
        timeout_s: 900,
        max_cost_nano_usd: None,
        allowed_tools: None,
        system_prompt: None,
        max_turns: None,
        resume_session_id: None,
    })
}

/// 91 of 100 completed, 7 failed, 2 cancelled.
fn ending(
    mixed: &mut Mixed,
    claim: ClaimId,
    now: Timestamp,
) -> Result<(ExecutionEvent, Vec<Content>), Failure> {
    let words = 10 + mixed.below(40);
    let response = Content::new(salt(mixed), mixed.text(words));
    // Mostly cents, rarely dollars.
    let cost = mixed.below(1_000).pow(2) * (1 + mixed.below(8_000));
    let duration_ms = 200 + mixed.below(400).pow(2);
    let report = RunReport {
        claim,
        started_at: now,
        ended_at: Timestamp::from_micros(now.micros() + i64::try_from(duration_ms)? * 1_000),
        duration_ms,
        exit: Some(Exit::Code(0)),
        killed_processes: 0,
        response: Some(response.reference()),
        response_cut: false,
        cost_nano_usd: Some(NanoUsd::from_nanos(i64::try_from(cost)?)?),
        cost_basis: CostBasis::ProviderReported,
        price_book: None,
        usage_by_model: Vec::new(),
        usage: Some(Usage {
            input: mixed.below(20_000),
            output: mixed.below(4_000),
            ..Usage::default()
        }),
        model_used: Some(MODELS[usize::try_from(mixed.below(MODELS.len() as u64))?].to_owned()),
        agent_session_id: None,
        num_turns: Some(1),
        transcript: Some(TranscriptRef {
            lines: 1 + mixed.below(100),
            bytes: 100 + mixed.below(100_000),
            sha256: Digest::of(&cost.to_be_bytes()),
        }),
    };
    Ok(match mixed.below(100) {
        0..91 => (ExecutionEvent::Completed(Box::new(Completed { report })), vec![response]),
        91..98 => {
            let why = Content::new(salt(mixed), "the agent's process exited with code 1");
            let failed = Failed {
                code: FailureCode::AgentFailed,
                message: Some(why.reference()),
                report: Some(RunReport { exit: Some(Exit::Code(1)), ..report }),
            };
            (ExecutionEvent::Failed(Box::new(failed)), vec![why, response])
        }
        _ => {
            let cancelled = Cancelled { cause: CancelCause::Requested, report: Some(report) };
            (ExecutionEvent::Cancelled(Box::new(cancelled)), vec![response])
        }
    })
}

fn stored(event: &Event, contents: Vec<Content>) -> Result<NewEvent, Failure> {
    let (type_name, version) = event.type_and_version();
    let metadata = Metadata {
        actor: Actor::system("bench"),
        correlation_id: Uuid::now_v7().to_string(),
        causation_id: Uuid::now_v7().to_string(),
        traceparent: None,
    };
    Ok(NewEvent {
        id: EventId(Uuid::now_v7()),
        type_name: type_name.to_owned(),
        version,
        metadata: serde_json::to_string(&metadata)?,
        data: event.to_json(),
        contents,
    })
}
