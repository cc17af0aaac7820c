//! The end of a transcript, as much of it as a model can use.

use std::collections::VecDeque;
use std::io;

use execution_ledger_domain::ExecutionId;
use execution_ledger_process::transcript::{Entry, OutputStream, Transcripts};

use super::answers::{Log, LogLine, cut};
use crate::problem::Problem;

/// Lines that are shown, at most.
const LINES_MAX: usize = 100;
/// A line is shown up to here, in characters.
const LINE_MAX_CHARS: usize = 2_000;
/// All lines together, in characters, at most: what is before them is left out.
const LOG_MAX_CHARS: usize = 32_000;

/// The last lines of a transcript; nothing where there is none (any more).
pub(crate) async fn tail(
    transcripts: &Transcripts,
    id: ExecutionId,
) -> Result<Option<Log>, Problem> {
    let transcripts = transcripts.clone();
    let read = tokio::task::spawn_blocking(move || last_lines(&transcripts, id)).await;
    read.map_err(|error| Problem::internal(&error))?.map_err(|error| Problem::internal(&error))
}

fn last_lines(transcripts: &Transcripts, id: ExecutionId) -> io::Result<Option<Log>> {
    let Some(lines) = transcripts.open(id)? else { return Ok(None) };
    let mut last: VecDeque<Entry> = VecDeque::with_capacity(LINES_MAX + 1);
    // A transcript has an upper limit, and no index: the way to its end is through it.
    for entry in lines {
        last.push_back(entry?);
        if last.len() > LINES_MAX {
            last.pop_front();
        }
    }
    let mut shown = VecDeque::with_capacity(last.len());
    let mut chars = 0;
    for entry in last.iter().rev() {
        let line = entry.parse()?;
        let text = cut(line.line, LINE_MAX_CHARS);
        chars += text.chars().count();
        if chars > LOG_MAX_CHARS {
            break;
        }
        let stream = match line.stream {
            OutputStream::Stdout => "stdout",
            OutputStream::Stderr => "stderr",
        };
        let shown_line =
            LogLine { seq: line.seq, at: line.at, stream: stream.to_owned(), line: text };
        shown.push_front(shown_line);
    }
    let lines: Vec<LogLine> = shown.into();
    let lines_before = lines.first().map_or(0, |first| first.seq.saturating_sub(1));
    Ok(Some(Log { lines, lines_before }))
}
