//! What the form of a schedule holds, and how the interface is told it.

use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::answers::Schedule;
use crate::interface::Problem;

/// What the form holds.
#[derive(Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Wanted {
    /// What was pressed: preview or save.
    pub r#do: String,
    /// An execution that is to be repeated.
    pub execution_id: String,
    pub agent_name: String,
    pub name: String,
    pub message: String,
    /// When.
    pub cron: String,
    /// In which zone.
    pub timezone: String,
    pub overlap: String,
    pub catch_up: String,
    pub enabled: String,
    pub model: String,
    pub timeout_s: String,
    pub max_cost_usd: String,
    pub max_turns: String,
}

impl Wanted {
    /// A new one.
    pub fn new(agent: &str, execution_id: &str, message: Option<&str>) -> Self {
        Self {
            execution_id: execution_id.to_owned(),
            agent_name: agent.to_owned(),
            message: message.unwrap_or_default().to_owned(),
            timezone: "UTC".to_owned(),
            enabled: "true".to_owned(),
            ..Self::default()
        }
    }

    /// As a schedule is now.
    pub fn of(schedule: &Schedule) -> Self {
        let text = |value: Option<String>| value.unwrap_or_default();
        Self {
            agent_name: schedule.agent_name.clone(),
            name: schedule.name.clone(),
            message: text(schedule.message.clone()),
            cron: schedule.cron.clone(),
            timezone: schedule.timezone.clone(),
            overlap: schedule.overlap.clone(),
            catch_up: schedule.catch_up.clone(),
            enabled: if schedule.enabled { "true".to_owned() } else { String::new() },
            model: text(schedule.model.clone()),
            timeout_s: text(schedule.timeout_s.map(|number| number.to_string())),
            max_cost_usd: text(schedule.max_cost_usd.map(|usd| usd.to_string())),
            max_turns: text(schedule.max_turns.map(|number| number.to_string())),
            ..Self::default()
        }
    }

    /// As the interface is told it. Of a new one, what is empty is left out; of one that is changed, it
    /// goes back to its default. A text that is empty stays as it is.
    pub fn body(&self, is_new: bool) -> Result<Value, Problem> {
        let mut body = Map::new();
        let texts = [
            ("name", &self.name, !is_new),
            ("model", &self.model, !is_new),
            ("agent_name", &self.agent_name, false),
            ("cron", &self.cron, false),
            ("timezone", &self.timezone, !is_new),
            ("overlap", &self.overlap, false),
            ("catch_up", &self.catch_up, false),
        ];
        for (name, text, clears) in texts {
            match text.trim() {
                "" if clears => body.insert(name.to_owned(), Value::Null),
                "" => None,
                text => body.insert(name.to_owned(), text.into()),
            };
        }
        if !self.message.trim().is_empty() {
            // Browsers send line ends as CR LF; a message has no control characters but tab and newline.
            body.insert("message".to_owned(), self.message.replace("\r\n", "\n").into());
        }
        if is_new && !self.execution_id.trim().is_empty() {
            body.insert("execution_id".to_owned(), self.execution_id.trim().into());
        }
        let numbers = [
            ("timeout_s", &self.timeout_s),
            ("max_cost_usd", &self.max_cost_usd),
            ("max_turns", &self.max_turns),
        ];
        for (name, text) in numbers {
            match text.trim() {
                "" if is_new => {}
                "" => {
                    body.insert(name.to_owned(), Value::Null);
                }
                text => {
                    body.insert(name.to_owned(), amount(name, text)?);
                }
            }
        }
        body.insert("enabled".to_owned(), json!(self.enabled == "true"));
        Ok(Value::Object(body))
    }
}

fn amount(name: &str, text: &str) -> Result<Value, Problem> {
    let whole = text.parse::<u64>().ok().map(Value::from);
    let number =
        whole.or_else(|| text.parse::<f64>().ok().filter(|n| n.is_finite()).map(Value::from));
    number.ok_or_else(|| {
        let detail = format!("“{text}” is no number");
        let mut problem = Problem::of(StatusCode::UNPROCESSABLE_ENTITY, detail);
        problem.field = Some(name.to_owned());
        problem
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_new_one_what_is_empty_is_left_out_and_of_an_old_one_it_is_cleared() {
        let wanted = Wanted {
            cron: " 0 9 * * * ".to_owned(),
            message: "one\r\ntwo".to_owned(),
            max_cost_usd: "0.5".to_owned(),
            ..Wanted::default()
        };
        let new = json!({"cron": "0 9 * * *", "message": "one\ntwo", "max_cost_usd": 0.5, "enabled": false});
        assert_eq!(wanted.body(true).unwrap(), new);
        let changed = wanted.body(false).unwrap();
        assert!(changed["name"].is_null() && changed.get("timeout_s").is_some_and(Value::is_null));
        assert!(changed.get("agent_name").is_none());
    }

    #[test]
    fn what_is_no_number_is_told_by_its_field() {
        let wanted = Wanted { max_turns: "many".to_owned(), ..Wanted::default() };
        assert_eq!(wanted.body(true).unwrap_err().field.as_deref(), Some("max_turns"));
    }
}
