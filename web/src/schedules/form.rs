//! The form by which people make and change schedules, with what an expression means before it is saved.

use axum::http::StatusCode;
use maud::{Markup, html};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::answers::{Preview, Schedule};
use crate::answers::Agent;
use crate::error_page::told;
use crate::interface::Problem;
use crate::words::{icon, time};

/// Expressions that people often want, with what they mean.
const OFTEN: [(&str, &str); 7] = [
    ("*/15 * * * *", "every 15 minutes"),
    ("0 * * * *", "every hour"),
    ("0 9 * * *", "every day at 9:00"),
    ("0 9 * * MON-FRI", "from Monday to Friday at 9:00"),
    ("0 9 * * MON", "every Monday at 9:00"),
    ("0 9 1 * *", "on the first of the month at 9:00"),
    ("0 9 * * MON#1", "on the first Monday of the month at 9:00"),
];
/// Zones that are offered; any other may be typed.
const ZONES: [&str; 12] = [
    "UTC",
    "America/Los_Angeles",
    "America/New_York",
    "America/Sao_Paulo",
    "Europe/London",
    "Europe/Berlin",
    "Europe/Kyiv",
    "Africa/Johannesburg",
    "Asia/Kolkata",
    "Asia/Shanghai",
    "Asia/Tokyo",
    "Australia/Sydney",
];
const OVERLAPS: [(&str, &str); 3] = [
    ("skip", "Leave the new one out"),
    ("queue", "Queue it behind"),
    ("cancel_previous", "Cancel what is open"),
];
const CATCH_UPS: [(&str, &str); 3] =
    [("one", "Run the latest one"), ("all", "Run each of them"), ("none", "Run none of them")];

/// What the form holds.
#[derive(Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Wanted {
    /// What was pressed: preview or save.
    pub r#do: String,
    /// An execution that is to be repeated.
    pub execution_id: String,
    agent_name: String,
    name: String,
    message: String,
    /// When.
    pub cron: String,
    /// In which zone.
    pub timezone: String,
    overlap: String,
    catch_up: String,
    enabled: String,
    model: String,
    timeout_s: String,
    max_cost_usd: String,
    max_turns: String,
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

/// What is around the fields.
pub(super) struct Around<'a> {
    /// Where the form goes.
    pub address: &'a str,
    /// Where one goes who changes nothing.
    pub back: &'a str,
    /// Whether a schedule is made, not changed.
    pub is_new: bool,
    /// The agents that there are.
    pub agents: &'a [Agent],
    /// Why it could not be saved.
    pub problem: Option<&'a Problem>,
    /// What the expression means, where one was given.
    pub preview: Option<&'a Result<Preview, Problem>>,
}

/// The form.
pub(super) fn form(wanted: &Wanted, around: &Around<'_>) -> Markup {
    html! {
        @if let Some(problem) = around.problem { (told(problem)) }
        form #schedule-form .schedule-form method="post" action=(around.address) {
            div .schedule-fields {
                (task(wanted, around))
                fieldset .card.fields {
                    legend { "When" }
                    div .form-grid {
                        label { "Cron expression"
                            input name="cron" required value=(wanted.cron) list="often" autocomplete="off" spellcheck="false"
                                placeholder="0 9 * * MON-FRI" maxlength="200" aria-describedby="cron-help" .mono;
                        }
                        label { "Time zone"
                            input name="timezone" value=(wanted.timezone) list="zones" autocomplete="off" spellcheck="false"
                                placeholder="UTC" maxlength="100";
                        }
                    }
                    p #cron-help .quiet { "Minute, hour, day of the month, month, day of the week. Type, or choose from the list." }
                    datalist #often { @for (cron, meaning) in OFTEN { option value=(cron) { (meaning) } } }
                    datalist #zones { @for zone in ZONES { option value=(zone) {} } }
                    div .form-grid {
                        (choice("overlap", "While an earlier run is still open", &OVERLAPS, &wanted.overlap))
                        (choice("catch_up", "Of times that were missed", &CATCH_UPS, &wanted.catch_up))
                    }
                    label .choice {
                        input type="checkbox" name="enabled" value="true" checked[wanted.enabled == "true"];
                        span { "Enabled: it runs by the clock" }
                    }
                }
                (limits(wanted))
            }
            aside .schedule-side {
                (preview(around.preview))
                div .row-end {
                    a .button.is-plain href=(around.back) { "Cancel" }
                    button .button name="do" value="preview" formnovalidate { "Preview" }
                    button .button.is-main name="do" value="save" { @if around.is_new { "Create" } @else { "Save" } }
                }
            }
        }
    }
}

fn task(wanted: &Wanted, around: &Around<'_>) -> Markup {
    let repeats = !wanted.execution_id.is_empty();
    let known = |agent: &&Agent| agent.status != "retired";
    html! {
        fieldset .card.fields {
            legend { "Task" }
            @if repeats {
                p .quiet {
                    "It repeats the execution " code { (wanted.execution_id) }
                    ": what is left empty here is as that one had it."
                }
                input type="hidden" name="execution_id" value=(wanted.execution_id);
            }
            label { "Agent"
                select name="agent_name" required[!repeats] {
                    @if repeats { option value="" selected[wanted.agent_name.is_empty()] { "As that execution" } }
                    @for agent in around.agents.iter().filter(known) {
                        option value=(agent.name) selected[wanted.agent_name == agent.name] { (agent.name) }
                    }
                    @if !wanted.agent_name.is_empty() && !around.agents.iter().filter(known).any(|agent| agent.name == wanted.agent_name) {
                        option value=(wanted.agent_name) selected { (wanted.agent_name) }
                    }
                }
            }
            label { "What is it to do?"
                textarea name="message" rows="5" required[!repeats && around.is_new] maxlength="262144"
                    placeholder=(if repeats || !around.is_new { "As it was" } else { "Summarise what happened today" }) { (wanted.message) }
            }
            label { "Name"
                input name="name" value=(wanted.name) maxlength="100" autocomplete="off" placeholder="The beginning of the task";
            }
        }
    }
}

fn limits(wanted: &Wanted) -> Markup {
    let fields = [&wanted.model, &wanted.timeout_s, &wanted.max_cost_usd, &wanted.max_turns];
    let number = |name: &str, label: &str, value: &str, step: &str| {
        html! {
            label { (label)
                input type="number" name=(name) value=(value) min="0" step=(step) placeholder="as the agent's";
            }
        }
    };
    html! {
        details .card.fields open[fields.iter().any(|text| !text.is_empty())] {
            summary { "Model and limits" }
            div .form-grid {
                label { "Model" input name="model" value=(wanted.model) maxlength="200" autocomplete="off" placeholder="as the agent's"; }
                (number("timeout_s", "Timeout, seconds", &wanted.timeout_s, "1"))
                (number("max_cost_usd", "Cost at most, $", &wanted.max_cost_usd, "any"))
                (number("max_turns", "Turns at most", &wanted.max_turns, "1"))
            }
        }
    }
}

fn choice(name: &str, label: &str, values: &[(&str, &str)], chosen: &str) -> Markup {
    html! {
        label { (label)
            select name=(name) {
                @for (value, words) in values { option value=(value) selected[*value == chosen] { (words) } }
            }
        }
    }
}

/// What the expression means, and when it comes next.
fn preview(preview: Option<&Result<Preview, Problem>>) -> Markup {
    html! {
        section #preview .card aria-live="polite" {
            h2 { (icon("calendar")) "What that means" }
            @match preview {
                None => p .quiet { "Say when it is to run: its next runs are shown here before anything is saved." },
                Some(Err(problem)) => p .is-wrong-text { (problem.detail) },
                Some(Ok(preview)) => {
                    p { strong { (preview.description) } span .quiet { ", " (preview.timezone) } }
                    @if preview.next.is_empty() { p .quiet { "It never comes." } }
                    ol .next-runs {
                        @for moment in &preview.next {
                            li { span { (local(&moment.local)) } span .quiet { (time(&moment.at)) } }
                        }
                    }
                },
            }
        }
    }
}

/// A time as clocks of its own zone show it.
pub(super) fn local(text: &str) -> String {
    chrono::DateTime::parse_from_rfc3339(text)
        .map_or_else(|_| text.to_owned(), |at| at.format("%a %-d %b %Y, %H:%M").to_string())
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
