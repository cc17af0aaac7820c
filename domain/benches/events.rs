//! What one event costs the processor: writing it down, reading it back, folding it, deciding on it.
//!
//! `cargo bench -p execution-ledger-domain`

use std::hint::black_box;

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use execution_ledger_domain::agent::Runtime;
use execution_ledger_domain::content::Digest;
use execution_ledger_domain::execution::{
    Command, CostBasis, Execution, ExecutionEvent, Observation, Pending, TurnContext,
};
use execution_ledger_domain::{
    AgentName, Aggregate, ClaimId, Content, Event, NanoUsd, Timestamp, UserName,
};
use uuid::Uuid;

const NOW: Timestamp = Timestamp::EPOCH;
const MESSAGE: &str = "Compare the three candidate suppliers by price, delivery time and warranty, \
    then write a short recommendation with the two strongest arguments for it.";

fn submitted() -> Command {
    let message = Content::new([7; 16], MESSAGE);
    Command::Submit(Box::new(Pending {
        message: message.reference(),
        request_sha256: Digest::of(MESSAGE.as_bytes()),
        timeout_s: 900,
        ..execution_ledger_domain::given::task(
            AgentName::new("researcher").expect("a name"),
            UserName::new("admin").expect("a name"),
            Timestamp::from_micros(1_000_000),
        )
    }))
}

fn started() -> Command {
    Command::Start {
        claim: ClaimId(Uuid::from_u128(1)),
        now: NOW,
        runtime: Runtime::Command,
        turn: TurnContext::default(),
        node: None,
    }
}

fn finished() -> Command {
    let response = Content::new([9; 16], MESSAGE);
    Command::Finish(Box::new(Observation {
        duration_ms: 1_234,
        response: Some(response.reference()),
        cost: NanoUsd::from_nanos(12_345_678).ok(),
        cost_basis: CostBasis::ProviderReported,
        model_used: Some("sonnet-5".to_owned()),
        num_turns: Some(3),
        ..execution_ledger_domain::given::observed(ClaimId(Uuid::from_u128(1)), NOW)
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
