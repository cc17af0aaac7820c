//! What was measured: figures with their baselines and targets, and how they are shown.

use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;

use crate::Failure;

/// The longest time that a histogram takes, in nanoseconds: an hour.
const LONGEST_NS: u64 = 3_600_000_000_000;

/// What a figure is to be.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Target {
    /// The figure itself, at least.
    AtLeast(f64),
    /// The figure itself, less.
    Below(f64),
    /// Divided by its baseline, at least.
    RatioAtLeast(f64),
}

/// What the bare machine does.
#[derive(Clone, Debug, Serialize)]
pub struct Baseline {
    /// What was done.
    pub what: String,
    /// In the figure's unit.
    pub value: f64,
}

/// One thing measured.
#[derive(Clone, Debug, Serialize)]
pub struct Figure {
    /// What was measured.
    pub what: String,
    /// How much.
    pub value: f64,
    /// Of what: `/s`, `ms`, `MB`, `%`.
    pub unit: &'static str,
    /// The bare machine's, where there is one.
    pub baseline: Option<Baseline>,
    /// What it is to be, where something is asked.
    pub target: Option<Target>,
    /// Whether it is so.
    pub met: Option<bool>,
}

impl Figure {
    /// Without baseline and target.
    pub fn new(what: impl Into<String>, value: f64, unit: &'static str) -> Self {
        Self { what: what.into(), value, unit, baseline: None, target: None, met: None }
    }

    /// Beside this baseline.
    pub fn beside(mut self, what: impl Into<String>, value: f64) -> Self {
        self.baseline = Some(Baseline { what: what.into(), value });
        self
    }

    /// With this target.
    pub fn target(mut self, target: Target) -> Self {
        self.met = match target {
            Target::AtLeast(least) => Some(self.value >= least),
            Target::Below(bound) => Some(self.value < bound),
            Target::RatioAtLeast(least) => self.ratio().map(|ratio| ratio >= least),
        };
        self.target = Some(target);
        self
    }

    /// The figure divided by its baseline.
    pub fn ratio(&self) -> Option<f64> {
        let baseline = self.baseline.as_ref()?;
        (baseline.value > 0.0).then(|| self.value / baseline.value)
    }

    fn row(&self) -> String {
        let baseline = self.baseline.as_ref().map_or_else(String::new, |baseline| {
            format!("{} ({})", amount(baseline.value, self.unit), baseline.what)
        });
        let ratio = self.ratio().map_or_else(String::new, |ratio| format!("{ratio:.2}"));
        let target = self.target.map_or_else(String::new, |target| match target {
            Target::AtLeast(least) => format!("at least {}", amount(least, self.unit)),
            Target::Below(bound) => format!("below {}", amount(bound, self.unit)),
            Target::RatioAtLeast(least) => format!("ratio at least {least}"),
        });
        let met = self.met.map_or("", |met| if met { "yes" } else { "no" });
        let value = amount(self.value, self.unit);
        format!("| {} | {value} | {baseline} | {ratio} | {target} | {met} |", self.what)
    }
}

fn amount(value: f64, unit: &str) -> String {
    let space = if unit.starts_with('/') { "" } else { " " };
    let digits = match value.abs() {
        large if large >= 100.0 => 0,
        middle if middle >= 10.0 => 1,
        small if small >= 1.0 => 2,
        _ => 3,
    };
    let text = format!("{value:.digits$}");
    let (whole, rest) = text.split_at(text.find('.').unwrap_or(text.len()));
    let mut grouped = String::new();
    for (index, digit) in whole.chars().enumerate() {
        if index > 0 && (whole.len() - index).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    format!("{grouped}{rest}{space}{unit}")
}

/// The figures of one question.
#[derive(Clone, Debug, Serialize)]
pub struct Section {
    /// `a` to `n`.
    pub letter: char,
    /// The question.
    pub title: &'static str,
    /// The answers.
    pub figures: Vec<Figure>,
    /// What must be known to read them.
    pub notes: Vec<String>,
}

impl Section {
    /// The table and the notes as Markdown.
    pub fn markdown(&self) -> String {
        let mut text = String::from(
            "| figure | measured | raw, same run | ratio | target | met |\n\
             |---|---:|---:|---:|---|---|\n",
        );
        for figure in &self.figures {
            text.push_str(&figure.row());
            text.push('\n');
        }
        for note in &self.notes {
            text.push_str("\n- ");
            text.push_str(note);
        }
        if !self.notes.is_empty() {
            text.push('\n');
        }
        text
    }

    /// On standard output.
    pub fn print(&self) {
        println!("({}) {}\n{}", self.letter, self.title, self.markdown());
    }
}

/// Latencies, as a histogram with three significant digits.
#[derive(Clone, Debug)]
pub struct Latencies(Histogram<u64>);

impl Latencies {
    /// None yet.
    pub fn new() -> Result<Self, Failure> {
        Ok(Self(Histogram::new_with_bounds(1, LONGEST_NS, 3)?))
    }

    /// One more.
    pub fn add(&mut self, took: Duration) {
        self.0.saturating_record(u64::try_from(took.as_nanos()).unwrap_or(LONGEST_NS));
    }

    /// All of the others too.
    pub fn merge(&mut self, others: &Self) -> Result<(), Failure> {
        Ok(self.0.add(&others.0)?)
    }

    /// How many.
    pub fn count(&self) -> u64 {
        self.0.len()
    }

    /// The latency that this share (of 1) does not exceed, in milliseconds.
    pub fn ms(&self, share: f64) -> f64 {
        self.0.value_at_quantile(share) as f64 / 1e6
    }
}
