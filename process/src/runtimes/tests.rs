//! Each recorded run of an agent gives exactly the reading that its numbers, added up by hand,
//! say; hostile output gives some reading; plans are exact.

mod codex;
mod costs;
mod gemini;
mod opencode;
mod plans;
mod readings;
mod recorded;

use execution_ledger_domain::Timestamp;
use execution_ledger_domain::agent::Runtime;
use execution_ledger_domain::execution::Exit;

use super::{Ended, Pricing, Reading};
use crate::pricing::PriceBook;
use crate::transcript::{Line, OutputStream};

/// Prices that no real model has, so that they never change.
const PRICES: &str = r#"version = "test"
[[prices]]
model = "claude-opus-5-5"
from = 1970-01-01
input = 1000
output = 2000
cache_read = 100
cache_write_5m = 3000
[[prices]]
model = "gpt-fake"
from = 1970-01-01
input = 1
output = 10
cache_read = 0.1
[[prices]]
model = "gemini-fake"
from = 1970-01-01
input = 2
output = 20
cache_read = 0.2
"#;

fn book() -> PriceBook {
    PriceBook::parse(PRICES).expect("a price book")
}

/// The reading of a run that was told to use no model.
fn read(runtime: Runtime, lines: impl IntoIterator<Item = Line>, ended: &Ended) -> Reading {
    told(runtime, lines, ended, None)
}

/// The reading of a run that was told to use this model.
fn told(
    runtime: Runtime,
    lines: impl IntoIterator<Item = Line>,
    ended: &Ended,
    model_told: Option<&str>,
) -> Reading {
    let pricing = Pricing { book: &book(), at: Timestamp::EPOCH, model_told };
    super::read(runtime, lines, ended, &pricing)
}

fn line(stream: OutputStream, text: &str) -> Line {
    Line {
        seq: 1,
        at: Timestamp::EPOCH,
        stream,
        line: text.to_owned(),
        continued: false,
        invalid_utf8: false,
    }
}

fn stdout(text: &str) -> Vec<Line> {
    text.lines().map(|text| line(OutputStream::Stdout, text)).collect()
}

fn stderr(text: &str) -> Vec<Line> {
    text.lines().map(|text| line(OutputStream::Stderr, text)).collect()
}

fn exited(code: i32) -> Ended {
    Ended { exit: Some(Exit::Code(code)), signalled: false, resumed: false }
}

/// After a signal of the ledger's.
fn stopped(exit: Exit) -> Ended {
    Ended { exit: Some(exit), signalled: true, resumed: false }
}
