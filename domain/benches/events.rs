//! What one event costs the processor: writing it down, reading it back, folding it, deciding on it.
//!
//! `cargo bench -p execution-ledger-domain`

use std::hint::black_box;

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use execution_ledger_domain::agent::Runtime;
use execution_ledger_domain::content::Digest;
use execution_ledger_domain::execution::{
    Command, CostBasis, Evidence, Execution, ExecutionEvent, Exit, Observation, Pending, Requester,
    Trigger,
};
use execution_ledger_domain::{
    ActorKind, AgentName, Aggregate, ClaimId, Content, Event, NanoUsd, Timestamp, UserName,
};
use uuid::Uuid;

const NOW: Timestamp = Timestamp::EPOCH;
const MESSAGE: &str = "Compare the three candidate suppliers by price, delivery time and warranty, \
    then write a short recommendation with the two strongest arguments for it.";

fn submitted() -> Command {
    let message = Content::new([7; 16], MESSAGE);
    Command::Submit(Box::new(Pending {
        agent: AgentName::new("researcher").expect("a name"),
        triggered_by: Trigger::Manual,
        message: message.reference(),
        redactions: 0,
        requested_by: Requester { kind: ActorKind::Key, id: "admin".to_owned() },
        user: UserName::new("admin").expect("a name"),
        expires_at: NOW,
        request_sha256: Digest::of(MESSAGE.as_bytes()),
        source_agent: None,
        parent_execution_id: None,
        depth: 0,
        chat_session_id: None,
        inject_result: false,
        retry_of: None,
        attempt: 1,
        schedule_id: None,
        payment_id: None,
        model_requested: None,
        timeout_s: 900,
        max_cost_nano_usd: None,
        allowed_tools: None,
        system_prompt: None,
        max_turns: None,
        resume_session_id: None,
    }))
}

fn started() -> Command {
    Command::Start { claim: ClaimId(Uuid::from_u128(1)), now: NOW, runtime: Runtime::Command }
}

fn finished() -> Command {
    let response = Content::new([9; 16], MESSAGE);
    Command::Finish(Box::new(Observation {
        claim: ClaimId(Uuid::from_u128(1)),
        started_at: NOW,
        ended_at: NOW,
        duration_ms: 1_234,
        exit: Some(Exit::Code(0)),
        stopped: None,
        signals: Vec::new(),
        killed_processes: 0,
        evidence: Evidence::Success,
        response: Some(response.reference()),
        response_cut: false,
        cost: NanoUsd::from_nanos(12_345_678).ok(),
        cost_basis: CostBasis::ProviderReported,
        usage: None,
        model_used: Some("sonnet-5".to_owned()),
        agent_session_id: None,
        num_turns: Some(3),
        transcript: None,
    }))
}

/// The events of a whole life, each by its command.
fn life() -> Vec<ExecutionEvent> {
    let mut state = Execution::default();
    let mut events = Vec::new();
    for command in [submitted(), started(), finished()] {
        let decided = state.decide(command).expect("allowed");
        state = decided.iter().fold(state, Execution::evolve);
        events.extend(decided);
    }
    events
}

fn deciding(criterion: &mut Criterion) {
    let running = life()[..2].iter().fold(Execution::default(), Execution::evolve);
    criterion.bench_function("decide: submit", |bench| {
        let new = Execution::default();
        bench.iter_batched(submitted, |command| new.decide(command), BatchSize::SmallInput);
    });
    criterion.bench_function("decide: finish", |bench| {
        bench.iter_batched(finished, |command| running.decide(command), BatchSize::SmallInput);
    });
}

fn folding(criterion: &mut Criterion) {
    let events = life();
    criterion.bench_function("fold: a life of three events", |bench| {
        bench.iter(|| black_box(&events).iter().fold(Execution::default(), Execution::evolve));
    });
}

fn wire(criterion: &mut Criterion) {
    for event in life().into_iter().map(Event::from) {
        let (type_name, version) = event.type_and_version();
        criterion.bench_function(&format!("encode: {type_name}"), |bench| {
            bench.iter(|| black_box(&event).to_json());
        });
        let stored = event.to_json();
        criterion.bench_function(&format!("decode: {type_name}"), |bench| {
            bench.iter(|| Event::from_stored(type_name, version, black_box(&stored)));
        });
    }
    criterion.bench_function("digest of a message", |bench| {
        bench.iter(|| Content::new([7; 16], black_box(MESSAGE)).reference());
    });
}

criterion_group!(benches, deciding, folding, wire);
criterion_main!(benches);
