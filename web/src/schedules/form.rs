//! The form by which people make and change schedules, with what an expression means before it is saved.

use maud::{Markup, html};

use super::answers::Preview;
use super::wanted::Wanted;
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
                    p { strong { (preview.description) } }
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
