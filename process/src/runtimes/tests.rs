//! Each recorded run of an agent gives exactly the reading that its numbers, added up by hand,
//! say; hostile output gives some reading; plans are exact.

mod codex;
mod gemini;
mod opencode;
mod plans;
mod readings;
mod recorded;

use execution_ledger_domain::Timestamp;
use execution_ledger_domain::execution::Exit;

use super::Ended;
use crate::transcript::{Line, OutputStream};

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
