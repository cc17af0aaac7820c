//! The readers of what agents print: any runtime, any output, on either stream, split or not. Nothing
//! in it makes the reading fail or grow beyond what an event may hold.

#![no_main]

use std::sync::LazyLock;

use execution_ledger_domain::Timestamp;
use execution_ledger_domain::agent::Runtime;
use execution_ledger_domain::execution::Exit;
use execution_ledger_domain::limits::{ERROR_TEXT_MAX_BYTES, RESPONSE_MAX_BYTES};
use execution_ledger_process::pricing::PriceBook;
use execution_ledger_process::runtimes::{Ended, Meter, Pricing, ReadEvidence, progress, read};
use execution_ledger_process::transcript::{Line, OutputStream};
use libfuzzer_sys::fuzz_target;

const RUNTIMES: [Runtime; 6] = [
    Runtime::ClaudeCode,
    Runtime::Codex,
    Runtime::Gemini,
    Runtime::Opencode,
    Runtime::Demo,
    Runtime::Command,
];

static BOOK: LazyLock<PriceBook> = LazyLock::new(|| {
    let prices = "version = \"fuzz\"\n[[prices]]\nmodel = \"m*\"\nfrom = 1970-01-01\ninput = 3\n\
        output = 15\ncache_read = 0.3\ncache_write_5m = 3.75\ncache_write_1h = 6\n";
    PriceBook::parse(prices).expect("a price book")
});

// The first byte says which runtime and how it ended, each line's first byte where it was printed.
fuzz_target!(|input: &[u8]| {
    let Some((first, output)) = input.split_first() else { return };
    let runtime = RUNTIMES[usize::from(first & 7) % RUNTIMES.len()];
    let exit = match first >> 5 & 3 {
        0 => Some(Exit::Code(0)),
        1 => Some(Exit::Code(1)),
        2 => Some(Exit::Signal(9)),
        _ => None,
    };
    let ended = Ended { exit, signalled: first & 8 != 0, resumed: first & 16 != 0 };
    let text = String::from_utf8_lossy(output);
    let lines: Vec<Line> = text.split('\n').zip(1..).map(|(text, seq)| line(text, seq)).collect();
    let pricing = Pricing { book: &BOOK, at: Timestamp::EPOCH, model_told: None };
    let mut meter = Meter::of(runtime, ended.resumed);
    for line in &lines {
        progress(runtime, line);
        if let Some(meter) = &mut meter {
            let before = meter.at_least(&pricing);
            meter.push(line.clone());
            meter.at_least(&pricing);
            std::hint::black_box(before);
        }
    }
    let reading = read(runtime, lines.clone(), &ended, &pricing);
    assert!(reading.response.as_ref().is_none_or(|text| text.len() <= RESPONSE_MAX_BYTES));
    if let ReadEvidence::Failure { message: Some(message), .. } = &reading.evidence {
        assert!(message.len() <= ERROR_TEXT_MAX_BYTES);
    }
    assert_eq!(read(runtime, lines, &ended, &pricing), reading, "the same output says the same");
});

fn line(text: &str, seq: u64) -> Line {
    let (stream, continued, line) = match text.as_bytes().first() {
        Some(b'!') => (OutputStream::Stderr, false, &text[1..]),
        Some(b'+') => (OutputStream::Stdout, true, &text[1..]),
        _ => (OutputStream::Stdout, false, text),
    };
    let at = Timestamp::EPOCH;
    Line { seq, at, stream, line: line.to_owned(), continued, invalid_utf8: false }
}
