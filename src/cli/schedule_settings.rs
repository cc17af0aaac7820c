//! A schedule's settings, as flags.

use clap::Args;
use clap::builder::PossibleValuesParser;
use execution_ledger_domain::schedule::{CatchUp, Overlap};
use serde_json::{Map, Value, json};

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
    /// The model, one of the agent's.
    #[arg(long, value_name = "MODEL")]
    model: Option<String>,
    /// How long a run may take, in seconds.
    #[arg(long, value_name = "S")]
    timeout_s: Option<u64>,
    /// What a run may cost, in dollars.
    #[arg(long, value_name = "USD")]
    max_cost_usd: Option<f64>,
    /// How many turns a run may take.
    #[arg(long, value_name = "N")]
    max_turns: Option<u32>,
    /// The tools that a run may use, of the agent's; with commas between.
    #[arg(long, value_name = "TOOLS", value_delimiter = ',')]
    allowed_tools: Option<Vec<String>>,
    /// A system prompt, where the agent permits one.
    #[arg(long, value_name = "TEXT")]
    system_prompt: Option<String>,
}

impl ScheduleSettings {
    /// What was given, as the API takes it.
    pub fn into_body(self) -> Map<String, Value> {
        let given = json!({
            "name": self.name,
            "cron": self.cron,
            "timezone": self.timezone,
            "overlap": self.overlap,
            "catch_up": self.catch_up,
            "model": self.model,
            "timeout_s": self.timeout_s,
            "max_cost_usd": self.max_cost_usd,
            "max_turns": self.max_turns,
            "allowed_tools": self.allowed_tools,
            "system_prompt": self.system_prompt,
        });
        let Value::Object(given) = given else { return Map::new() };
        given.into_iter().filter(|(_, value)| !value.is_null()).collect()
    }
}
