//! What the command line writes: tables for people, JSON for programs, and never a control
//! character of somebody else's text.

mod neutral;
mod table;
mod words;

use std::io::{self, IsTerminal, Write};

use serde::Serialize;
use serde_json::Value;

pub use neutral::{neutral_json, neutral_line, neutral_text};
pub use table::{Align, Sheet, Tone, paint};
pub use words::{ago, amount, duration, exact, number, size};

use crate::cli::Failure;

/// How results are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// For people.
    Table,
    /// For programs.
    Json,
}

/// Where results and remarks go, and how.
#[derive(Debug)]
pub struct Output {
    format: Format,
    colour: bool,
    colour_errors: bool,
    out: io::Stdout,
}

impl Output {
    /// Tables on a terminal and JSON elsewhere, unless chosen; colour on a terminal, unless chosen
    /// or `NO_COLOR` is set.
    pub fn new(format: Option<Format>, colour: Option<bool>) -> Self {
        let terminal = io::stdout().is_terminal();
        let wanted = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        let colour_on = |terminal: bool| colour.unwrap_or(terminal && wanted);
        Self {
            format: format.unwrap_or(if terminal { Format::Table } else { Format::Json }),
            colour: colour_on(terminal),
            colour_errors: colour_on(io::stderr().is_terminal()),
            out: io::stdout(),
        }
    }

    /// Whether results are for programs.
    pub fn is_json(&self) -> bool {
        self.format == Format::Json
    }

    /// Whether results may have colour.
    pub fn colour(&self) -> bool {
        self.colour
    }

    /// Writes a table.
    pub fn sheet(&self, sheet: &Sheet) -> Result<(), Failure> {
        self.line(&sheet.render(self.colour))
    }

    /// Writes a value as JSON, indented for a terminal.
    pub fn json(&self, value: &impl Serialize) -> Result<(), Failure> {
        let text = if io::stdout().is_terminal() {
            serde_json::to_string_pretty(value)
        } else {
            serde_json::to_string(value)
        };
        let text = text.map_err(|error| Failure::Fault(error.to_string()))?;
        self.line(&neutral_json(&text))
    }

    /// Writes a value as one line of JSON.
    pub fn json_line(&self, value: &Value) -> Result<(), Failure> {
        self.line(&neutral_json(&value.to_string()))
    }

    /// Writes one line, as it is: foreign text in it must be neutral already.
    pub fn line(&self, line: &str) -> Result<(), Failure> {
        let mut out = self.out.lock();
        finished(writeln!(out, "{line}").and_then(|()| out.flush()))
    }

    /// Writes a remark to standard error.
    pub fn remark(&self, text: &str) {
        let text = paint(&neutral_line(text), Tone::Quiet, self.colour_errors);
        // Nobody is left to be told that standard error can't be written to.
        drop(writeln!(io::stderr(), "{text}"));
    }

    /// Tells a failure and what to do next on standard error.
    pub fn explain(&self, failure: &Failure) {
        if let Failure::Usage(error) = failure {
            drop(error.print());
            return;
        }
        let error = paint("error:", Tone::Bad, self.colour_errors);
        let mut text = format!("{error} {}", neutral_text(&failure.to_string()));
        if let Some(hint) = failure.hint() {
            let next = paint("next:", Tone::Good, self.colour_errors);
            text = format!("{text}\n{next}  {}", neutral_text(&hint));
        }
        drop(writeln!(io::stderr(), "{text}"));
    }
}

/// A reader that went away (`| head`) is no failure: there is nothing left to do.
fn finished(written: io::Result<()>) -> Result<(), Failure> {
    match written {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => std::process::exit(0),
        Err(error) => Err(Failure::Fault(format!("the output can't be written: {error}"))),
    }
}
