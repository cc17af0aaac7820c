//! Saying what an execution really cost.

use axum::Router;
use axum::extract::{Form, Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::get;
use maud::{Markup, html};
use serde::Deserialize;
use serde_json::{Value, json};

use super::answers::Corrected;
use crate::answers::Detail;
use crate::error_page::{Instead, told};
use crate::executions::row_title;
use crate::interface::{Interface, Problem, Visitor, quoted};
use crate::layout::{self, Me, Place};
use crate::shown;
use crate::words::cost;

/// Where a cost can come from, as the interface and as people call it.
const BASES: [(&str, &str); 3] = [
    ("provider_reported", "The provider, by an invoice"),
    ("priced_locally", "Computed from tokens and prices"),
    ("derived_from_partials", "What is proven: at the least"),
];
/// A reason: longest, in characters, as the form lets it be typed.
const REASON_MAX_CHARS: u32 = 1_000;

/// The addresses of this part.
pub(super) fn routes() -> Router<Interface> {
    Router::new().route("/agents/{name}/executions/{id}/cost", get(page).post(correct))
}

/// Which execution, as its address says.
type Which = Path<(String, String)>;

/// What the form holds.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Correction {
    cost_usd: String,
    cost_basis: String,
    reason: String,
    /// How the new cost is found: stated, or by the price book.
    way: String,
}

impl Correction {
    fn body(&self) -> Result<Value, Problem> {
        let reason = self.reason.replace("\r\n", "\n");
        if self.way == "reprice" {
            return Ok(json!({"reprice": true, "reason": reason}));
        }
        let usd = self.cost_usd.trim().parse::<f64>().ok().filter(|usd| usd.is_finite());
        let usd = usd.ok_or_else(|| {
            let detail = "say what it cost, as a number of dollars, or have it priced again";
            Problem::of(StatusCode::UNPROCESSABLE_ENTITY, detail)
        })?;
        Ok(json!({"cost_usd": usd, "cost_basis": self.cost_basis, "reason": reason}))
    }
}

async fn page(
    State(interface): State<Interface>,
    visitor: Visitor,
    Path(which): Which,
) -> Response {
    shown(whole(&interface, &visitor, &which, &Correction::default(), None).await)
}

async fn correct(
    State(interface): State<Interface>,
    visitor: Visitor,
    Path(which): Which,
    Form(correction): Form<Correction>,
) -> Response {
    let address = format!("/api/agents/{}/executions/{}/cost", quoted(&which.0), quoted(&which.1));
    let done = match correction.body() {
        Ok(body) => interface.post::<Corrected>(&visitor, &address, &body).await,
        Err(problem) => Err(problem),
    };
    let problem = match done {
        Ok(corrected) => {
            let address = format!(
                "/agents/{}/executions/{}",
                quoted(&which.0),
                quoted(&corrected.execution_id)
            );
            return Redirect::to(&address).into_response();
        }
        Err(problem) => problem,
    };
    let status = StatusCode::from_u16(problem.status).unwrap_or(StatusCode::BAD_GATEWAY);
    match whole(&interface, &visitor, &which, &correction, Some(&problem)).await {
        Ok(page) => (status, page).into_response(),
        Err(instead) => instead.into_response(),
    }
}

async fn whole(
    interface: &Interface,
    visitor: &Visitor,
    which: &(String, String),
    correction: &Correction,
    problem: Option<&Problem>,
) -> crate::Shown {
    let me = Me::expected(interface, visitor).await?;
    let address = format!("/api/agents/{}/executions/{}", quoted(&which.0), quoted(&which.1));
    let detail = interface.get::<Detail>(visitor, &address).await;
    let detail = detail.map_err(|problem| Instead::of(problem, visitor, Some(&me)))?;
    let record = &detail.record;
    let body = html! {
        nav .crumbs aria-label="Where this is" {
            a href="/" { "Executions" } span aria-hidden="true" { "/" }
            a href=(record.address()) { (row_title(record)) }
        }
        header .page-head { h1 { "Correct the cost" } }
        section .form-page data-follows #cost-now {
            p { "Now it is said to have cost " strong { (cost(record)) } }
        }
        @if let Some(problem) = problem { (told(problem)) }
        @if record.is_open() { p .card { "It goes on. What it cost can be corrected once it has ended." } }
        @else if me.may("correct_costs") { (form(correction)) }
        @else { p .card { "Your key may not correct costs." } }
    };
    Ok(layout::page(Some(&me), Place::Executions, "Correct the cost", &body))
}

fn form(correction: &Correction) -> Markup {
    let reprice = correction.way == "reprice";
    html! {
        form .form-page.card method="post" {
            fieldset .choices {
                legend { "How it is known" }
                label .choice {
                    input type="radio" name="way" value="state" checked[!reprice];
                    span { "I know what it cost" }
                }
                div .form-grid {
                    label { "Cost, $"
                        input type="number" name="cost_usd" min="0" step="any" inputmode="decimal" value=(correction.cost_usd);
                    }
                    label { "Where that comes from"
                        select name="cost_basis" {
                            @for (value, label) in BASES {
                                option value=(value) selected[correction.cost_basis == value] { (label) }
                            }
                        }
                    }
                }
                label .choice {
                    input type="radio" name="way" value="reprice" checked[reprice];
                    span { "By its recorded tokens and the price book in use" }
                }
            }
            label { "Reason: it stays on record"
                textarea name="reason" rows="2" required maxlength=(REASON_MAX_CHARS)
                    placeholder="Invoice of November" { (correction.reason) }
            }
            p .quiet { "What was recorded before stays in the history; the correction stands behind it and holds from now on." }
            div .row-end { button .button.is-main { "Correct the cost" } }
        }
    }
}
