//! `erase`: takes texts away for ever, through the server or, where none runs, in the data directory.

mod place;

use std::io::{self, BufRead as _, IsTerminal as _, Write as _};

use clap::{ArgGroup, Args};
use execution_ledger_domain::{Digest, ExecutionId, SessionId, UserName};
use serde_json::{Map, Value, json};

use super::export::bar;
use super::task::{execution_id, text};
use super::{Exit, Failure, Global, block_on};
use crate::output::{Align, Output, Sheet, Tone, number, size};
use place::Place;

/// Of these exactly one is given.
const WHAT: [&str; 4] = ["content", "execution", "session", "user"];

const AFTER_HELP: &str = "\
The texts and their salts are deleted, and an event tells who did it and why.
Their digests and lengths stay in the history, so every proof stands. Whole
executions lose their transcripts too. Nothing brings a text back; backups,
exports and what agents keep of their own sessions are not reached.

First it says what would be erased, and asks; --yes leaves that out, --dry-run
stops there. What an execution that has not ended needs stays: stop it first,
and repeat the command. It can be repeated safely.

Where no server runs on the data directory, this is done there.

Examples:
  execution-ledger erase --execution 0193a1b2-... --reason 'holds a password'
  execution-ledger erase --user ada --reason 'asked by Ada, ticket 1234' --yes
  execution-ledger erase --content 5f2c... --reason 'an address' --dry-run
";

/// Delete texts for ever: one, or all of an execution, a session or a user.
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP, group = ArgGroup::new("what").required(true).args(WHAT))]
pub struct Erase {
    /// One text, by the SHA-256 that its event holds; or one transcript, by its SHA-256.
    #[arg(long, value_name = "SHA256")]
    content: Option<Digest>,
    /// All texts of an execution, its transcript, and the message where it was tried again.
    #[arg(long, value_name = "EXECUTION", value_parser = execution_id)]
    execution: Option<ExecutionId>,
    /// All texts of a chat session.
    #[arg(long, value_name = "SESSION")]
    session: Option<SessionId>,
    /// All texts of a user: executions, schedules, payments.
    #[arg(long, value_name = "NAME")]
    user: Option<UserName>,
    /// Why; it is kept with the event that tells of the erasure.
    #[arg(long, value_name = "TEXT")]
    reason: String,
    /// Change nothing; say what would be erased.
    #[arg(long)]
    dry_run: bool,
    /// Don't ask.
    #[arg(long, short, conflicts_with = "dry_run")]
    yes: bool,
}

/// What was, or would be, erased in all.
#[derive(Debug, Default)]
struct Total {
    counts: Map<String, Value>,
    open_executions: Vec<Value>,
    places: Vec<Value>,
    overwritten: Option<bool>,
    position: Value,
}

impl Erase {
    pub(super) fn execute(&self, global: &Global, output: &Output) -> Result<Exit, Failure> {
        let place = Place::find(global)?;
        if self.dry_run || !self.yes {
            let preview = self.all(&place, true)?;
            if self.dry_run {
                tell(&preview, true, output)?;
                return Ok(Exit::Success);
            }
            if preview.count("texts") + preview.count("transcripts") == 0 {
                output.remark("nothing of it is left to erase");
                return Ok(preview.exit());
            }
            if !confirmed(&preview, output)? {
                output.remark("nothing was erased");
                return Ok(Exit::Cancelled);
            }
        }
        let done = self.all(&place, false)?;
        tell(&done, false, output)?;
        Ok(done.exit())
    }

    /// Asks in parts until all was looked at.
    fn all(&self, place: &Place, dry_run: bool) -> Result<Total, Failure> {
        let bar = bar("{bar:32} {pos}/{len} events  {eta} left");
        let mut total = Total::default();
        let mut cursor = Value::Null;
        // Ends: each part begins behind the one before, and the log has an end.
        loop {
            let mut body = json!({
                "content": self.content, "execution_id": self.execution, "session_id": self.session,
                "user": self.user, "reason": self.reason, "dry_run": dry_run,
            });
            if !cursor.is_null() {
                body["cursor"] = cursor;
            }
            let part = block_on(place.step(&body))?;
            let at = |name: &str| {
                text(&part, name).rsplit('-').next().and_then(|n| n.parse().ok()).unwrap_or(0)
            };
            bar.set_length(at("head"));
            bar.set_position(at("next_cursor"));
            total.add(&part);
            cursor = part.get("next_cursor").cloned().unwrap_or_default();
            if cursor.is_null() {
                bar.finish_and_clear();
                return Ok(total);
            }
        }
    }
}

fn confirmed(preview: &Total, output: &Output) -> Result<bool, Failure> {
    if !(io::stdin().is_terminal() && io::stderr().is_terminal()) {
        let words = preview.words();
        return Err(Failure::Argument(format!(
            "{words} would be erased for ever: add --yes, or --dry-run to see them"
        )));
    }
    tell(preview, true, output)?;
    let failed = |error: io::Error| Failure::Fault(error.to_string());
    let mut asking = io::stderr();
    write!(asking, "Erase for ever? Type yes: ").map_err(failed)?;
    asking.flush().map_err(failed)?;
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer).map_err(failed)?;
    Ok(answer.trim() == "yes")
}

fn tell(total: &Total, dry_run: bool, output: &Output) -> Result<(), Failure> {
    if output.is_json() {
        let mut answer = Value::Object(total.counts.clone());
        answer["dry_run"] = json!(dry_run);
        answer["overwritten"] = json!(total.overwritten);
        answer["open_executions"] = json!(total.open_executions);
        answer["places"] = json!(total.places);
        answer["position"] = total.position.clone();
        return output.json(&answer);
    }
    let columns = [("STREAM", Align::Left), ("TEXT", Align::Left), ("SIZE", Align::Right)];
    let mut sheet = Sheet::new(&columns);
    for place in &total.places {
        let bytes = place.get("bytes").and_then(Value::as_u64).unwrap_or(0);
        sheet.row(vec![
            (text(place, "stream"), Tone::Plain),
            (text(place, "part").replace('_', " "), Tone::Plain),
            (size(bytes), Tone::Plain),
        ]);
    }
    if !sheet.is_empty() {
        output.sheet(&sheet)?;
    }
    let would = if dry_run { "would be erased" } else { "erased" };
    let before = match total.count("erased_before") {
        0 => String::new(),
        before => format!("; {} were erased before", number(before)),
    };
    output.line(&format!("{} {would}{before}", total.words()))?;
    if total.count("open") > 0 {
        output.remark(&format!(
            "{} executions have not ended and keep their texts: stop them, and repeat this",
            number(total.count("open"))
        ));
    }
    if total.count("transcripts_elsewhere") > 0 && !dry_run {
        output.remark(&format!(
            "{} of the transcripts lie on other nodes: nobody is answered them any more, and their \
             files go when these nodes read of it",
            number(total.count("transcripts_elsewhere"))
        ));
    }
    if total.overwritten == Some(false) {
        output.remark("what is left of the texts in free room of the files is overwritten soon");
    }
    Ok(())
}

impl Total {
    fn add(&mut self, part: &Value) {
        let counts =
            ["texts", "transcripts", "transcripts_elsewhere", "bytes", "erased_before", "open"];
        for name in counts {
            let more = part.get(name).and_then(Value::as_u64).unwrap_or(0);
            let all = self.count(name).saturating_add(more);
            self.counts.insert(name.to_owned(), json!(all));
        }
        let listed = |name: &str| part.get(name).and_then(Value::as_array).cloned();
        // Most that one answer names: more would fill the screen, and the memory.
        if self.places.len() < 200 {
            self.places.extend(listed("places").unwrap_or_default());
        }
        if self.open_executions.len() < 100 {
            self.open_executions.extend(listed("open_executions").unwrap_or_default());
        }
        self.overwritten = part.get("overwritten").and_then(Value::as_bool);
        self.position = part.get("position").cloned().unwrap_or_default();
    }

    fn count(&self, name: &str) -> u64 {
        self.counts.get(name).and_then(Value::as_u64).unwrap_or(0)
    }

    fn words(&self) -> String {
        let (texts, transcripts) = (self.count("texts"), self.count("transcripts"));
        let bytes = size(self.count("bytes"));
        format!("{} texts and {} transcripts ({bytes})", number(texts), number(transcripts))
    }

    /// Not all was done where something is still needed.
    fn exit(&self) -> Exit {
        if self.count("open") > 0 { Exit::Failed } else { Exit::Success }
    }
}
