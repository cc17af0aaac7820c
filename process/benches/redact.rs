//! How fast texts are searched for secrets: `cargo bench -p execution-ledger-process --bench redact`.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use execution_ledger_process::redact::Redactor;

/// The largest message, in bytes.
const LARGE_BYTES: usize = 256 * 1024;

fn redacting(criterion: &mut Criterion) {
    let line = "2026-11-21T09:30:00Z INFO step 7 of 12: 3 tests passed, reading src/main.rs\n";
    let secret =
        "curl -H 'Authorization: Bearer sk-live-0123456789abcdefghij' https://u:pw@host/x\n";
    let mut group = criterion.benchmark_group("redact");
    for (name, text) in [
        ("a line of output", line.to_owned()),
        ("a line with secrets", secret.to_owned()),
        ("256 KiB of output", line.repeat(LARGE_BYTES / line.len())),
        ("256 KiB without a space", "a".repeat(LARGE_BYTES)),
    ] {
        group.throughput(Throughput::Bytes(text.len() as u64));
        group.bench_function(name, |bench| {
            bench.iter(|| Redactor::global().redact(black_box(&text)).1);
        });
    }
    group.finish();
}

criterion_group!(benches, redacting);
criterion_main!(benches);
