//! A schedule's settings, as flags.

use clap::Args;
use clap::builder::PossibleValuesParser;
use execution_ledger_domain::schedule::{CatchUp, Overlap};
use serde_json::{Map, Value, json};

use super::run_settings::{RunSettings, given};

/// A schedule's settings. What is not given is as by default or stays as it is.
#[derive(Debug, Default, Args)]
pub struct ScheduleSettings {
    /// What people call it [default: the beginning of the message].
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// When it comes: minute, hour, day of the month, month, day of the week.
    #[arg(long, value_name = "EXPRESSION")]
    cron: Option<String>,
    /// The time zone in which that is meant, by its IANA name [default: UTC].
    #[arg(long, value_name = "ZONE")]
    timezone: Option<String>,
    /// What becomes of a tick while an earlier execution of it is open [default: skip].
    #[arg(long, value_name = "POLICY")]
    #[arg(value_parser = PossibleValuesParser::new(Overlap::ALL.map(Overlap::as_str)))]
    overlap: Option<String>,
    /// What becomes of ticks that were missed: the latest fires, all do, none does [default: one].
    #[arg(long, value_name = "POLICY")]
    #[arg(value_parser = PossibleValuesParser::new(CatchUp::ALL.map(CatchUp::as_str)))]
    catch_up: Option<String>,
    #[command(flatten)]
    run: RunSettings,
}

impl ScheduleSettings {
    /// What was given, as the API takes it.
    pub fn into_body(self) -> Map<String, Value> {
        let mut body = self.run.body();
        body.extend(given([
            ("name", json!(self.name)),
            ("cron", json!(self.cron)),
            ("timezone", json!(self.timezone)),
            ("overlap", json!(self.overlap)),
            ("catch_up", json!(self.catch_up)),
        ]));
        body
    }
}
