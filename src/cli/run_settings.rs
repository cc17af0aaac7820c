//! A run's settings, as flags: wherever a task is given.

use clap::Args;
use serde_json::{Map, Value, json};

/// What narrows a run, within what its agent may.
#[derive(Debug, Default, Args)]
pub struct RunSettings {
    /// The model, one of the agent's.
    #[arg(long, value_name = "MODEL")]
    model: Option<String>,
    /// How long a run may take, in seconds; at most what the agent may.
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

impl RunSettings {
    /// What was given, as the API takes it.
    pub fn body(&self) -> Map<String, Value> {
        given([
            ("model", json!(self.model)),
            ("timeout_s", json!(self.timeout_s)),
            ("max_cost_usd", json!(self.max_cost_usd)),
            ("max_turns", json!(self.max_turns)),
            ("allowed_tools", json!(self.allowed_tools)),
            ("system_prompt", json!(self.system_prompt)),
        ])
    }

    /// A task with these settings, whose end its caller follows by itself.
    pub fn task(&self, message: String) -> Map<String, Value> {
        let mut body = self.body();
        body.insert("message".to_owned(), Value::String(message));
        body.insert("async_mode".to_owned(), Value::Bool(true));
        body
    }
}

/// The fields that were given: those that are not null.
pub fn given<const N: usize>(fields: [(&str, Value); N]) -> Map<String, Value> {
    let given = fields.into_iter().filter(|(_, value)| !value.is_null());
    given.map(|(name, value)| (name.to_owned(), value)).collect()
}
