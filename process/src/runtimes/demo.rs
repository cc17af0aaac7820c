//! The simulated agent: shows what a run looks like without a model, and says in every line that it
//! is simulated. What it "costs" grows as it streams, so that a run can be stopped at its limit.
//!
//! Its output is `stream-json` as Claude Code's and is read by [`super::stream_json`]; what it says
//! it cost is recorded as simulated. It takes the message on standard input and obeys these words of the message, in this order, each at most once:
//! - `sleep N` works for N seconds, a line each, at most [`SLEEP_MAX_S`];
//! - `lines N` prints N lines of plain text, at most [`LINES_MAX`];
//! - `exit N` exits with the code N without a result;
//! - `fail` (or `fails`) ends as a failure.
//!
//! SIGINT ends it at once, as aborted, with what it has "cost" until then.

use std::io::{self, Read, StdoutLock, Write};
use std::os::fd::AsFd;
use std::process::ExitCode;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use execution_ledger_domain::NanoUsd;
use execution_ledger_domain::execution::CostBasis;
use execution_ledger_domain::limits::MESSAGE_MAX_BYTES;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use serde_json::{Value, json};

use super::counted::Pricing;
use super::plan::{Plan, RunRequest};
use super::reading::{Ended, Reading};
use super::stream_json;
use crate::manager::told::without_note;
use crate::orders::MARKER_VARIABLE;
use crate::pricing::PriceBook;
use crate::transcript::Line;

/// The model that it says it is.
pub const MODEL: &str = "demo-simulated";
/// Seconds that `sleep N` takes at most.
pub const SLEEP_MAX_S: u64 = 3600;
/// Lines that `lines N` prints at most.
pub const LINES_MAX: u64 = 1_000_000;

/// The binary's hidden subcommand that is this agent.
const SUBCOMMAND: &str = "demo-agent";
/// The program that is running, also where its file was replaced or moved since: the supervisor
/// that executes it is the same binary.
const OWN_PROGRAM: &str = "/proc/self/exe";
/// Names the simulated session that the run continues.
const RESUME_VARIABLE: &str = "EXECUTION_LEDGER_DEMO_RESUME";

const STEPS: [&str; 4] = [
    "reading the task",
    "looking at three files that do not exist",
    "making a change that changes nothing",
    "checking the result",
];
const STEP_PAUSE: Duration = Duration::from_millis(150);
const STEP_INPUT_TOKENS: u64 = 400;
const STEP_OUTPUT_TOKENS: u64 = 60;
/// Made up: 3 dollars for a million tokens read, 15 for a million written.
const PRICES: &str = r#"version = "simulated"
[[prices]]
model = "demo-simulated"
from = 1970-01-01
input = 3
output = 15
"#;
/// The same for one step.
const STEP_COST_NANO_USD: i64 = 400 * 3_000 + 60 * 15_000;

/// How this agent is started: the ledger's own binary, with the message on standard input, so that
/// it may be as long as any.
pub(super) fn plan(run: &RunRequest<'_>) -> Plan {
    let mut plan = Plan {
        argv: vec![OWN_PROGRAM.to_owned(), SUBCOMMAND.to_owned()],
        stdin: Some(run.message.to_owned()),
        ..Plan::default()
    };
    if let Some(session) = run.resume_session_id {
        plan.env.insert(RESUME_VARIABLE.to_owned(), session.to_owned());
    }
    plan
}

/// What its output says. No cost of a run without a model is a real one, so no real book prices it.
pub(super) fn read(
    lines: impl IntoIterator<Item = Line>,
    ended: &Ended,
    pricing: &Pricing<'_>,
) -> Reading {
    let prices = prices();
    let mut reading = stream_json::read(lines, ended, &Pricing { book: &prices, ..*pricing });
    if reading.cost.is_some() {
        reading.cost_basis = CostBasis::Simulated;
    }
    reading.price_book = None;
    reading
}

/// The made-up prices.
pub(super) fn prices() -> Arc<PriceBook> {
    static BOOK: OnceLock<Arc<PriceBook>> = OnceLock::new();
    let parsed = || match PriceBook::parse(PRICES) {
        Ok(book) => Arc::new(book),
        Err(problem) => unreachable!("a fixed, valid book: {problem}"),
    };
    Arc::clone(BOOK.get_or_init(parsed))
}

/// The simulated agent itself: `execution-ledger demo-agent [MESSAGE]`; without an argument the
/// message is on standard input, of which no more is read than a message may be long.
///
/// Call it before any other thread is started: it takes SIGINT for the thread it is called on. It
/// answers the exit code: 0 after a success or when interrupted, 1 after a failure.
pub fn main(message: Option<&str>) -> ExitCode {
    let message = match message {
        Some(message) => Ok(message.to_owned()),
        None => message_of(io::stdin().lock()),
    };
    // Where its input can't be read or its output not written there is nobody to tell.
    message.and_then(|message| run(&message)).unwrap_or(ExitCode::FAILURE)
}

fn message_of(input: impl Read) -> io::Result<String> {
    let mut bytes = Vec::new();
    input.take(MESSAGE_MAX_BYTES as u64).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn run(message: &str) -> io::Result<ExitCode> {
    // What background tasks were asked and answered is told before the message; it is no wish.
    let message = without_note(message);
    let wishes = Wishes::of(message);
    let mut agent = Agent::start()?;
    agent.init()?;
    let mut undisturbed = true;
    for (index, step) in STEPS.iter().enumerate() {
        let said = format!("Simulated step {} of {}: {step}.", index + 1, STEPS.len());
        undisturbed = undisturbed && agent.say(&said)? && agent.pause(STEP_PAUSE)?;
    }
    for second in 1..=wishes.sleep_s {
        let said = format!("Simulated work: second {second} of {}.", wishes.sleep_s);
        undisturbed = undisturbed && agent.say(&said)? && agent.pause(Duration::from_secs(1))?;
        if !undisturbed {
            break;
        }
    }
    for line in 1..=wishes.lines {
        undisturbed = undisturbed && agent.print_line(line, wishes.lines)?;
        if !undisturbed {
            break;
        }
    }
    match (undisturbed, wishes) {
        (false, _) => agent.end(&json!({"subtype": "error_during_execution", "is_error": true,
            "terminal_reason": "aborted_streaming", "errors": ["the simulated run was interrupted"]})),
        (true, Wishes { exit: Some(code), .. }) => return Ok(ExitCode::from(code)),
        (true, Wishes { fail: true, .. }) => {
            agent.end(&json!({"subtype": "success", "is_error": true, "terminal_reason": "failed",
                "result": "This simulated run failed, because its message says so."}))?;
            return Ok(ExitCode::FAILURE);
        }
        (true, _) => agent.end(&json!({"subtype": "success", "is_error": false,
            "terminal_reason": "completed", "result": format!(
                "This answer is simulated: no model ran. The message was {} characters long.",
                message.chars().count())})),
    }?;
    Ok(ExitCode::SUCCESS)
}

/// What the words of a message ask for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Wishes {
    sleep_s: u64,
    lines: u64,
    exit: Option<u8>,
    fail: bool,
}

impl Wishes {
    fn of(message: &str) -> Self {
        let mut wishes = Self::default();
        let mut words = message
            .split_whitespace()
            .map(|word| word.trim_matches(|c: char| !c.is_alphanumeric()).to_ascii_lowercase())
            .peekable();
        while let Some(word) = words.next() {
            let number = words.peek().and_then(|next| next.parse::<u64>().ok());
            match (word.as_str(), number) {
                ("sleep", Some(seconds)) => wishes.sleep_s = seconds.min(SLEEP_MAX_S),
                ("lines", Some(lines)) => wishes.lines = lines.min(LINES_MAX),
                ("exit", Some(code)) => wishes.exit = u8::try_from(code).ok(),
                ("fail" | "fails", _) => wishes.fail = true,
                _ => {}
            }
        }
        wishes
    }
}

/// The agent at work.
struct Agent {
    out: StdoutLock<'static>,
    interrupts: SignalFd,
    session_id: String,
    turns: u32,
}

impl Agent {
    fn start() -> io::Result<Self> {
        let mut interrupt = SigSet::empty();
        interrupt.add(Signal::SIGINT);
        interrupt.thread_block()?;
        let own = || std::env::var(MARKER_VARIABLE).map(|id| format!("demo-{id}"));
        Ok(Self {
            out: io::stdout().lock(),
            interrupts: SignalFd::with_flags(&interrupt, SfdFlags::SFD_CLOEXEC)?,
            session_id: std::env::var(RESUME_VARIABLE)
                .or_else(|_| own())
                .unwrap_or_else(|_| "demo-simulated-session".to_owned()),
            turns: 0,
        })
    }

    /// Waits; false as soon as there is a SIGINT.
    fn pause(&self, time: Duration) -> io::Result<bool> {
        let until = Instant::now() + time;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            // One more millisecond, so that a fraction of one is waited for and not spun away.
            let left_ms = i32::try_from(left.as_millis()).unwrap_or(i32::MAX).saturating_add(1);
            let timeout = PollTimeout::try_from(left_ms).unwrap_or(PollTimeout::MAX);
            let mut waiting = [PollFd::new(self.interrupts.as_fd(), PollFlags::POLLIN)];
            match poll(&mut waiting, timeout) {
                Ok(0) => return Ok(true),
                Ok(_) => return Ok(false),
                Err(nix::errno::Errno::EINTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Whether there was a SIGINT.
    fn interrupted(&self) -> io::Result<bool> {
        let mut waiting = [PollFd::new(self.interrupts.as_fd(), PollFlags::POLLIN)];
        match poll(&mut waiting, PollTimeout::ZERO) {
            Ok(ready) => Ok(ready > 0),
            Err(nix::errno::Errno::EINTR) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    fn print(&mut self, mut event: Value) -> io::Result<()> {
        event["session_id"] = Value::from(self.session_id.as_str());
        event["simulated"] = Value::from(true);
        serde_json::to_writer(&mut self.out, &event)?;
        self.out.write_all(b"\n")?;
        self.out.flush()
    }

    fn init(&mut self) -> io::Result<()> {
        self.print(json!({"type": "system", "subtype": "init", "model": MODEL, "tools": []}))
    }

    /// One turn with its tokens. True, so that it can stand in a chain with [`Self::pause`].
    fn say(&mut self, text: &str) -> io::Result<bool> {
        self.turns += 1;
        let id = format!("msg_simulated_{}", self.turns);
        let message = |usage: Value, content: Value| {
            json!({"id": &id, "type": "message", "role": "assistant", "model": MODEL,
                "content": content, "usage": usage})
        };
        let streamed = |event: Value| {
            json!({"type": "stream_event", "event": event,
                "parent_tool_use_id": null, "api_message_id": &id})
        };
        let begun = json!({"input_tokens": STEP_INPUT_TOKENS, "output_tokens": 1});
        let whole = json!({"input_tokens": STEP_INPUT_TOKENS, "output_tokens": STEP_OUTPUT_TOKENS});
        let content = json!([{"type": "text", "text": text}]);
        let start = json!({"type": "message_start", "message": message(begun.clone(), json!([]))});
        let delta = json!({"type": "message_delta", "usage": whole});
        self.print(streamed(start))?;
        self.print(json!({"type": "assistant", "message": message(begun, content),
            "parent_tool_use_id": null}))?;
        self.print(streamed(delta))?;
        self.print(streamed(json!({"type": "message_stop"})))?;
        Ok(true)
    }

    /// One line of plain text; false where there was a SIGINT before it.
    fn print_line(&mut self, line: u64, of: u64) -> io::Result<bool> {
        if self.interrupted()? {
            return Ok(false);
        }
        writeln!(self.out, "simulated line {line} of {of}")?;
        Ok(true)
    }

    /// The last line: how it ended, and what it would have cost.
    fn end(&mut self, outcome: &Value) -> io::Result<()> {
        let turns = u64::from(self.turns);
        let (input, output) = (turns * STEP_INPUT_TOKENS, turns * STEP_OUTPUT_TOKENS);
        let nanos = i64::from(self.turns) * STEP_COST_NANO_USD;
        let cost = NanoUsd::from_nanos(nanos).unwrap_or(NanoUsd::MAX).to_usd();
        let mut result = json!({"type": "result", "num_turns": turns, "total_cost_usd": cost,
            "usage": {"input_tokens": input, "output_tokens": output},
            "model_usage_since_last_result": {MODEL: {
                "inputTokens": input, "outputTokens": output, "costUSD": cost}}});
        if let (Some(result), Some(outcome)) = (result.as_object_mut(), outcome.as_object()) {
            result.extend(outcome.clone());
        }
        self.print(result)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_obeys_the_words_of_a_message_within_limits() {
        let wishes = Wishes::of("Please sleep 20, print lines 3 and then fail!");
        assert_eq!(wishes, Wishes { sleep_s: 20, lines: 3, exit: None, fail: true });
        assert_eq!(Wishes::of("sleep 99999").sleep_s, SLEEP_MAX_S);
        assert_eq!(Wishes::of("exit 7").exit, Some(7));
        assert_eq!(Wishes::of("exit 700").exit, None);
        assert_eq!(Wishes::of("how do people sleep?"), Wishes::default());
    }

    #[test]
    fn of_its_standard_input_it_reads_no_more_than_a_message() {
        let long = "x".repeat(MESSAGE_MAX_BYTES + 10);
        assert_eq!(message_of(long.as_bytes()).expect("read").len(), MESSAGE_MAX_BYTES);
    }
}
