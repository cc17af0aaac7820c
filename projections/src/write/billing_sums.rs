//! What billing's rows come to, by day and by what they can be grouped by.

use std::collections::HashMap;
use std::fmt;

use execution_ledger_domain::execution::Trigger;
use execution_ledger_domain::{NanoUsd, Timestamp};
use rusqlite::{Connection, params};

use crate::columns;
use crate::model::trigger_code;

/// One day, in microseconds.
pub(crate) const DAY_MICROS: i64 = 24 * 3_600_000_000;
/// Nano-dollars of a dollar.
pub(crate) const NANOS: i64 = 1_000_000_000;

/// Before the name of an agent, in the keys of sums.
pub(crate) const OF_AGENT: &str = "a";
/// Before the name of a model; nothing after it where there is no model.
pub(crate) const OF_MODEL: &str = "m";
/// Before the number of a trigger.
pub(crate) const OF_TRIGGER: &str = "t";
/// Between what a key is of and its name.
pub(crate) const NAMED: char = ':';

/// What a row is counted under.
#[derive(Clone, Copy)]
pub(super) struct Group<'a> {
    /// When it was recorded.
    pub at: Timestamp,
    /// The execution's agent.
    pub agent: &'a str,
    /// Its model.
    pub model: Option<&'a str>,
    /// Its trigger.
    pub triggered_by: Trigger,
    /// Whether it is a run's end.
    pub is_run: bool,
}

/// What rows come to. Dollars and the nano-dollars beyond them are summed apart: no number of rows
/// that a disk could hold overflows either.
#[derive(Clone, Copy, Default)]
struct Sum {
    runs: i64,
    dollars: i64,
    nanos: i64,
    unknown: i64,
}

impl Sum {
    fn add(&mut self, other: Self) {
        self.runs += other.runs;
        self.dollars += other.dollars;
        self.nanos += other.nanos;
        self.unknown += other.unknown;
    }
}

/// Sums since the last flush, by day; the days are few.
#[derive(Default)]
pub(super) struct Sums {
    days: Vec<Day>,
}

struct Day {
    number: i64,
    first: u64,
    all: Sum,
    agents: HashMap<String, Sum>,
    models: HashMap<String, Sum>,
    without_model: Option<Sum>,
    triggers: HashMap<i64, Sum>,
}

impl Sums {
    /// Takes in one row.
    pub fn add(&mut self, group: Group<'_>, position: u64, amount: Option<NanoUsd>, unknown: i64) {
        let nanos = amount.unwrap_or(NanoUsd::ZERO).nanos();
        let sum = Sum {
            runs: i64::from(group.is_run),
            dollars: nanos.div_euclid(NANOS),
            nanos: nanos.rem_euclid(NANOS),
            unknown,
        };
        let day = self.day(group.at.micros().div_euclid(DAY_MICROS), position);
        day.all.add(sum);
        add_named(&mut day.agents, group.agent, sum);
        match group.model {
            Some(model) => add_named(&mut day.models, model, sum),
            None => day.without_model.get_or_insert_default().add(sum),
        }
        day.triggers.entry(trigger_code(group.triggered_by)).or_default().add(sum);
    }

    /// The day's sums: nearly always those of the last one.
    fn day(&mut self, number: i64, first: u64) -> &mut Day {
        let place = self.days.iter().rposition(|other| other.number == number);
        let place = place.unwrap_or_else(|| {
            self.days.push(Day {
                number,
                first,
                all: Sum::default(),
                agents: HashMap::new(),
                models: HashMap::new(),
                without_model: None,
                triggers: HashMap::new(),
            });
            self.days.len() - 1
        });
        &mut self.days[place]
    }

    /// Adds them to what is written.
    pub fn flush(&mut self, connection: &Connection) -> rusqlite::Result<()> {
        if self.days.is_empty() {
            return Ok(());
        }
        let mut of_day = connection.prepare_cached(
            "INSERT INTO billing_days(day, first, runs, dollars, nanos, unknown) VALUES(?,?,?,?,?,?)
             ON CONFLICT(day) DO UPDATE SET runs = runs + excluded.runs,
               dollars = dollars + excluded.dollars, nanos = nanos + excluded.nanos,
               unknown = unknown + excluded.unknown",
        )?;
        let mut of_key = connection.prepare_cached(
            "INSERT INTO billing_sums(day, key, runs, dollars, nanos, unknown) VALUES(?,?,?,?,?,?)
             ON CONFLICT(day, key) DO UPDATE SET runs = runs + excluded.runs,
               dollars = dollars + excluded.dollars, nanos = nanos + excluded.nanos,
               unknown = unknown + excluded.unknown",
        )?;
        for day in self.days.drain(..) {
            let Sum { runs, dollars, nanos, unknown } = day.all;
            let first = columns::number(day.first);
            of_day.execute(params![day.number, first, runs, dollars, nanos, unknown])?;
            let agents = day.agents.iter().map(|(name, sum)| (key(OF_AGENT, name), *sum));
            let models = day.models.iter().map(|(name, sum)| (key(OF_MODEL, name), *sum));
            let without = day.without_model.map(|sum| (OF_MODEL.to_owned(), sum));
            let triggers = day.triggers.iter().map(|(code, sum)| (key(OF_TRIGGER, code), *sum));
            for (key, sum) in agents.chain(models).chain(without).chain(triggers) {
                let Sum { runs, dollars, nanos, unknown } = sum;
                of_key.execute(params![day.number, key, runs, dollars, nanos, unknown])?;
            }
        }
        Ok(())
    }
}

fn add_named(sums: &mut HashMap<String, Sum>, name: &str, sum: Sum) {
    match sums.get_mut(name) {
        Some(known) => known.add(sum),
        None => drop(sums.insert(name.to_owned(), sum)),
    }
}

fn key(of: &str, name: &impl fmt::Display) -> String {
    format!("{of}{NAMED}{name}")
}
