//! Setting and lifting budgets.

use axum::extract::{Form, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use maud::{Markup, html};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::answers::Budget;
use super::budgets::parts;
use crate::error_page::told;
use crate::interface::{Interface, Problem, Visitor, quoted};
use crate::words::icon;

/// What the form of a budget holds.
#[derive(Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Wanted {
    /// global, agent or user.
    pub kind: String,
    /// Of an agent or a user.
    pub name: String,
    per_execution_usd: String,
    per_day_usd: String,
    per_month_usd: String,
}

impl Wanted {
    /// As the budget is now.
    pub fn of(budget: &Budget) -> Self {
        let (kind, name) = parts(&budget.budget);
        let text = |limit: Option<f64>| limit.map(|usd| usd.to_string()).unwrap_or_default();
        Self {
            kind: kind.to_owned(),
            name: name.to_owned(),
            per_execution_usd: text(budget.per_execution_usd),
            per_day_usd: text(budget.day.as_ref().map(|day| day.limit_usd)),
            per_month_usd: text(budget.month.as_ref().map(|month| month.limit_usd)),
        }
    }

    fn scope(&self) -> String {
        if self.kind == "global" {
            self.kind.clone()
        } else {
            format!("{}-{}", self.kind, self.name.trim())
        }
    }

    fn limits(&self) -> Result<Value, Problem> {
        let given = [
            ("per_execution_usd", &self.per_execution_usd),
            ("per_day_usd", &self.per_day_usd),
            ("per_month_usd", &self.per_month_usd),
        ];
        let mut limits = Map::new();
        for (name, text) in given.into_iter().filter(|(_, text)| !text.trim().is_empty()) {
            let usd = text.trim().parse::<f64>().ok().filter(|usd| usd.is_finite());
            let usd = usd.ok_or_else(|| {
                let detail = format!("“{}” is no number of dollars", text.trim());
                Problem::of(StatusCode::UNPROCESSABLE_ENTITY, detail)
            })?;
            limits.insert(name.to_owned(), usd.into());
        }
        Ok(Value::Object(limits))
    }
}

/// Sets a budget. What can't be is told above the form, as it was filled in.
pub(super) async fn set(
    State(interface): State<Interface>,
    visitor: Visitor,
    Form(wanted): Form<Wanted>,
) -> Response {
    let done = match wanted.limits() {
        Ok(limits) => {
            let address = format!("/api/budgets/{}", quoted(&wanted.scope()));
            interface.put::<Value>(&visitor, &address, &limits).await
        }
        Err(problem) => Err(problem),
    };
    after(&interface, &visitor, done, wanted).await
}

/// Lifts a budget.
pub(super) async fn lift(
    State(interface): State<Interface>,
    visitor: Visitor,
    Form(wanted): Form<Wanted>,
) -> Response {
    let address = format!("/api/budgets/{}", quoted(&wanted.scope()));
    let done = interface.delete::<Value>(&visitor, &address).await;
    after(&interface, &visitor, done, wanted).await
}

async fn after(
    interface: &Interface,
    visitor: &Visitor,
    done: Result<Value, Problem>,
    wanted: Wanted,
) -> Response {
    match done {
        Ok(_) => Redirect::to("/costs#budgets").into_response(),
        Err(problem) => super::refused(interface, visitor, problem, wanted).await,
    }
}

/// The form that sets a budget: of the one that was chosen, as it was filled in, or a new one.
pub(super) fn form(wanted: Option<&Wanted>, exists: bool, problem: Option<&Problem>) -> Markup {
    let none = Wanted::default();
    let now = wanted.unwrap_or(&none);
    html! {
        @if let Some(problem) = problem { (told(problem)) }
        // Scripts leave what is there open or closed as it was: the form of a change is another.
        details id=(if exists { "change-budget" } else { "set-budget" }) .set-budget open[wanted.is_some()] {
            summary .button { (icon("plus")) @if exists { "Change a budget" } @else { "Set a budget" } }
            div .card {
                form .form-grid method="post" action="/costs/budgets" {
                    label { "What it limits"
                        select name="kind" {
                            @for (value, label) in [("global", "Everything"), ("agent", "One agent"), ("user", "One user")] {
                                option value=(value) selected[now.kind == value] { (label) }
                            }
                        }
                    }
                    label { "Name of the agent or user"
                        input name="name" value=(now.name) maxlength="100" autocomplete="off" placeholder="–";
                    }
                    (amount("per_day_usd", "A day, $", &now.per_day_usd))
                    (amount("per_month_usd", "A month, $", &now.per_month_usd))
                    (amount("per_execution_usd", "One execution, $", &now.per_execution_usd))
                    div .row-end.is-wide {
                        span .quiet { "What is left empty is not limited." }
                        @if wanted.is_some() { a .button.is-plain href="/costs" { "Cancel" } }
                        button .button.is-main { "Save" }
                    }
                }
                @if exists {
                    form .lift method="post" action="/costs/budgets/lift" {
                        input type="hidden" name="kind" value=(now.kind);
                        input type="hidden" name="name" value=(now.name);
                        span .quiet { "Or have it limit nothing any more:" }
                        button .button.is-danger { "Lift this budget" }
                    }
                }
            }
        }
    }
}

fn amount(name: &str, label: &str, value: &str) -> Markup {
    html! {
        label { (label)
            input type="number" name=(name) value=(value) min="0" step="any" inputmode="decimal" placeholder="no limit";
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_that_is_no_number_is_refused_and_an_empty_one_is_none() {
        let wanted = Wanted { per_day_usd: " 2.5 ".to_owned(), ..Wanted::default() };
        assert_eq!(wanted.limits().unwrap(), serde_json::json!({"per_day_usd": 2.5}));
        let wanted = Wanted { per_day_usd: "much".to_owned(), ..Wanted::default() };
        assert_eq!(wanted.limits().unwrap_err().status, 422);
    }
}
