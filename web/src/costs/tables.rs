//! What agents, models and triggers cost, and what was paid for runs.

use maud::{Markup, html};

use super::answers::{Costs, Earned, Sum};
use super::range::Range;
use crate::interface::{Problem, quoted};
use crate::words::{self, grouped, number, trigger};

/// Rows of a table: most. All of them stand in the file.
const ROWS_MAX: usize = 25;

/// What costs are put together by.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum By {
    /// Agents.
    Agent,
    /// Models.
    Model,
    /// Triggers.
    Trigger,
}

impl By {
    /// As the interface calls it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Agent => "agent",
            Self::Model => "model",
            Self::Trigger => "trigger",
        }
    }

    fn title(self) -> &'static str {
        match self {
            Self::Agent => "By agent",
            Self::Model => "By model",
            Self::Trigger => "By trigger",
        }
    }

    fn head(self) -> &'static str {
        match self {
            Self::Agent => "Agent",
            Self::Model => "Model",
            Self::Trigger => "Trigger",
        }
    }

    fn filter(self) -> &'static str {
        match self {
            Self::Agent => "agent",
            Self::Model => "model",
            Self::Trigger => "triggered_by",
        }
    }

    fn shown(self, key: &str) -> Markup {
        if self == Self::Trigger {
            trigger(key)
        } else {
            html! { (key) }
        }
    }
}

/// The table of one kind, the dearest first.
pub(super) fn table(by: By, costs: Result<Costs, Problem>, range: Range, may_read: bool) -> Markup {
    html! {
        section .cost-table id={ "by-" (by.name()) } {
            div .section-head {
                h2 { (by.title()) }
                a .quiet href={ "/costs.csv?by=" (by.name()) "&" (range.query()) } download { "CSV" span .sr { ": costs " (by.title().to_lowercase()) } }
            }
            @match costs {
                Ok(costs) => (rows(by, costs, range, may_read)),
                Err(problem) => p .quiet { (problem.detail) },
            }
        }
    }
}

fn rows(by: By, mut costs: Costs, range: Range, may_read: bool) -> Markup {
    costs.costs.retain(|sum| sum.runs > 0 || sum.cost_usd != 0.0);
    costs.costs.sort_by(|a, b| b.cost_usd.total_cmp(&a.cost_usd).then_with(|| b.runs.cmp(&a.runs)));
    if costs.costs.is_empty() {
        return html! { p .quiet.card { "Nothing ran." } };
    }
    let most = costs.costs.iter().map(|sum| sum.cost_usd).fold(0.0, f64::max);
    let (shown, more) = costs.costs.split_at(costs.costs.len().min(ROWS_MAX));
    html! {
        div .table-wrap {
            table {
                caption .sr { "Costs " (by.title().to_lowercase()) }
                thead { tr {
                    th scope="col" { (by.head()) }
                    th scope="col" .number { "Runs" }
                    th scope="col" .number { "Cost" }
                } }
                tbody { @for sum in shown { (row(by, sum, most, range, may_read)) } }
            }
        }
        @if !more.is_empty() || costs.truncated {
            p .quiet { "The " (shown.len()) " dearest are shown; all stand in the CSV." }
        }
    }
}

fn row(by: By, sum: &Sum, most: f64, range: Range, may_read: bool) -> Markup {
    let share = if most > 0.0 { (sum.cost_usd / most * 100.0).clamp(0.0, 100.0) } else { 0.0 };
    html! {
        tr {
            td .cost-name {
                @match &sum.key {
                    Some(key) if may_read => {
                        a href={ "/?" (by.filter()) "=" (quoted(key)) "&" (range.query()) } { (by.shown(key)) }
                    }
                    Some(key) => (by.shown(key)),
                    None => span .quiet { "no model named" },
                }
                svg .share viewBox="0 0 100 4" preserveAspectRatio="none" aria-hidden="true" {
                    rect .fill width=(format!("{share:.2}")) height="4" {}
                }
            }
            td .number { (number(sum.runs)) }
            td .number {
                (words::sum(sum.cost_usd, sum.runs, sum.unknown))
                @if sum.unknown > 0 && (sum.unknown < sum.runs || sum.cost_usd != 0.0) { small .unknown-count { "+ " (number(sum.unknown)) " unknown" } }
            }
        }
    }
}

/// What was paid, by token.
pub(super) fn earned(earned: &[Earned], may_see_payments: bool) -> Markup {
    html! {
        section #earned {
            div .section-head {
                h2 { "Paid earnings" }
                @if may_see_payments { a href="/payments" { "All payments" } }
            }
            @if earned.is_empty() {
                p .quiet.card {
                    "Nothing was paid for runs in these days. Agents can be sold by the task: the part “Paid runs” of the "
                    a href="/docs" data-plain { "interface’s guide" } " says how."
                }
            } @else {
                div .table-wrap tabindex="0" role="region" aria-label="Paid earnings" {
                    table {
                        thead { tr {
                            th scope="col" { "Token" }
                            th scope="col" .number { "Payments" }
                            th scope="col" .number { "Came to" }
                            th scope="col" .number { "To be paid back" }
                        } }
                        tbody { @for token in earned { (token_row(token)) } }
                    }
                }
                p .quiet { "In the smallest unit of each token." }
            }
        }
    }
}

fn token_row(token: &Earned) -> Markup {
    html! {
        tr {
            td { code .token { (token.unit) } }
            td .number { (number(token.payments)) }
            td .number { (grouped(&token.settled)) }
            td .number {
                @if token.refunds == 0 { span .quiet { "–" } }
                @else { (grouped(&token.refund_owed)) small .unknown-count { "of " (number(token.refunds)) " payments" } }
            }
        }
    }
}
