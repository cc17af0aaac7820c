//! The form of a webhook: its name, its address, and which messages it gets.

use maud::{Markup, html};
use serde_json::{Value, json};

use super::answers::Webhook;
use crate::error_page::told;
use crate::interface::Problem;
use crate::words::icon;

/// The kinds of messages, and what each tells.
pub(super) const KINDS: [(&str, &str); 8] = [
    ("run_cost", "what a run cost"),
    ("cost_corrected", "a cost was corrected"),
    ("payment_settled", "somebody paid"),
    ("refund_owed", "a payment is owed back"),
    ("budget.threshold_reached", "a part of a budget is used"),
    ("execution.completed", "a run succeeded"),
    ("execution.failed", "a run failed"),
    ("execution.cancelled", "a run was cancelled"),
];

/// A webhook as a person wants it.
#[derive(Default)]
pub(super) struct Draft {
    name: String,
    url: String,
    kinds: Vec<String>,
}

impl Draft {
    /// As a form was filled in.
    pub fn read(pairs: Vec<(String, String)>) -> Self {
        let mut draft = Self::default();
        for (field, value) in pairs {
            match field.as_str() {
                "name" => value.trim().clone_into(&mut draft.name),
                "url" => value.trim().clone_into(&mut draft.url),
                // The interface says of each whether there is such a kind.
                "kinds" if draft.kinds.len() <= KINDS.len() => draft.kinds.push(value),
                _ => {}
            }
        }
        draft
    }

    /// As it is.
    pub fn of(webhook: &Webhook) -> Self {
        Self { name: webhook.name.clone(), url: webhook.url.clone(), kinds: webhook.kinds.clone() }
    }

    /// As the interface takes it.
    pub fn body(&self) -> Value {
        json!({"name": self.name, "url": self.url, "kinds": self.kinds})
    }
}

/// The form for another webhook: closed until somebody opens it, or something was the matter with it.
pub(super) fn new(draft: &Draft, problem: Option<&Problem>) -> Markup {
    html! {
        details #new-webhook .new-task open[problem.is_some()] {
            summary .button.is-main { (icon("plus")) "New webhook" }
            form .card method="post" action="/webhooks/registered" {
                @if let Some(problem) = problem { (told(problem)) }
                (fields(draft))
                div .row-end { button .button.is-main { "Register" } }
            }
        }
    }
}

/// The form that changes one.
pub(super) fn change(webhook: &Webhook, draft: &Draft, problem: Option<&Problem>) -> Markup {
    html! {
        details #change-webhook .new-task open[problem.is_some()] {
            summary .button { "Change" }
            form .card method="post" action={ (webhook.address()) "/change" } {
                @if let Some(problem) = problem { (told(problem)) }
                (fields(draft))
                div .row-end { button .button.is-main { "Save" } }
            }
        }
    }
}

fn fields(draft: &Draft) -> Markup {
    html! {
        label { "Name"
            input name="name" required maxlength="100" value=(draft.name) placeholder="Billing" autocomplete="off";
        }
        label { "Address that is told"
            input name="url" type="url" required value=(draft.url) autocomplete="off"
                placeholder="https://billing.example.org/ledger";
        }
        fieldset .kind-choices {
            legend { "Messages" }
            @for (kind, about) in KINDS {
                label .choice {
                    input type="checkbox" name="kinds" value=(kind) checked[draft.kinds.iter().any(|own| own == kind)];
                    span { code { (kind) } small { (about) } }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_person_chose_becomes_a_webhook_however_many_kinds_there_are() {
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let draft = Draft::read(vec![
            pair("name", " Billing "),
            pair("url", "https://billing.example.org"),
            pair("kinds", "run_cost"),
            pair("kinds", "refund_owed"),
            pair("other", "x"),
        ]);
        let body = json!({"name": "Billing", "url": "https://billing.example.org",
            "kinds": ["run_cost", "refund_owed"]});
        assert_eq!(draft.body(), body);
        let many = vec![pair("kinds", "run_cost"); 1_000];
        assert!(Draft::read(many).kinds.len() <= KINDS.len() + 1);
    }
}
