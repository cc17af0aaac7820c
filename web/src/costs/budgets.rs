//! Budgets: how much of each is left, and for how long that lasts.

use chrono::{DateTime, Utc};
use maud::{Markup, html};

use super::answers::{Budget, BudgetList, Period};
use crate::interface::{Problem, quoted};
use crate::words::{dollars, time};

/// The parts of a limit that are told when they are reached, in percent.
const THRESHOLDS: [u32; 3] = [50, 80, 100];
/// Of a period at least this part must be over before its pace says anything.
const PACE_FROM: f64 = 0.03;

/// What a budget is about: its kind, and the name of an agent or a user.
pub(super) fn parts(scope: &str) -> (&str, &str) {
    scope.split_once('-').unwrap_or((scope, ""))
}

/// The budgets, each with a line for the day and the month.
pub(super) fn lines(
    list: &Result<BudgetList, Problem>,
    may_manage: bool,
    now: DateTime<Utc>,
) -> Markup {
    html! {
        div #budget-lines .budgets data-follows {
            @match list {
                Ok(list) if list.budgets.is_empty() => p .quiet.card {
                    "No budget limits anything. A budget stops tasks before they cost more than a day, a month, or "
                    "one execution may, for everything, for an agent or for a user."
                },
                Ok(list) => {
                    @for budget in &list.budgets { (card(budget, may_manage, now)) }
                    @if list.next_cursor.is_some() {
                        p .quiet { "There are more: " code { "GET /api/budgets" } " has all of them." }
                    }
                },
                Err(problem) => p .quiet { (problem.detail) },
            }
        }
    }
}

/// A budget as people call it.
pub(super) fn title(scope: &str) -> Markup {
    let (kind, name) = parts(scope);
    html! {
        @if kind == "global" { "Everything" } @else { span .quiet { (kind) } " " (name) }
    }
}

fn card(budget: &Budget, may_manage: bool, now: DateTime<Utc>) -> Markup {
    html! {
        article .budget.card id={ "budget-" (budget.budget) } {
            header .section-head {
                h3 { (title(&budget.budget)) }
                @if let Some(usd) = budget.per_execution_usd {
                    span .quiet { "at most " (dollars(usd)) " each execution" }
                }
                @if budget.day.is_some() || budget.month.is_some() {
                    a .burn-way href={ "/costs?burn=" (quoted(&budget.budget)) "#burn-down" } {
                        "Burn-down" span .sr { " of the budget " (budget.budget) }
                    }
                }
                @if may_manage {
                    a .change href={ "/costs?budget=" (quoted(&budget.budget)) } {
                        "Change" span .sr { " the budget " (budget.budget) }
                    }
                }
            }
            @if let Some(day) = &budget.day { (line("Today", day, now)) }
            @if let Some(month) = &budget.month { (line("This month", month, now)) }
        }
    }
}

/// How much of a limit is spent, kept and left.
fn line(name: &str, period: &Period, now: DateTime<Utc>) -> Markup {
    let part = |usd: f64| {
        if period.limit_usd > 0.0 {
            (usd / period.limit_usd * 100.0).clamp(0.0, 100.0)
        } else {
            100.0
        }
    };
    let spent = part(period.committed_usd);
    let kept = part(period.committed_usd + period.reserved_usd) - spent;
    let level = match period.percent {
        Some(..80) => "is-fine",
        Some(80..100) => "is-near",
        _ => "is-spent",
    };
    let over = elapsed(period, now);
    let said = format!(
        "{name}: {} spent, {} kept, {} left of {}",
        dollars(period.committed_usd),
        dollars(period.reserved_usd),
        dollars(period.remaining_usd),
        dollars(period.limit_usd)
    );
    html! {
        div class={ "budget-line " (level) } {
            div .budget-line-head {
                strong { (name) }
                span { (dollars(period.remaining_usd)) " left" span .quiet { " of " (dollars(period.limit_usd)) } }
            }
            svg .meter role="img" aria-label=(said) viewBox="0 0 100 10" preserveAspectRatio="none" {
                rect .track width="100" height="10" {}
                rect .spent width=(format!("{spent:.2}")) height="10" {}
                rect .kept x=(format!("{spent:.2}")) width=(format!("{kept:.2}")) height="10" {}
                @for at in [50, 80] { line .threshold x1=(at) x2=(at) y1="0" y2="10" vector-effect="non-scaling-stroke" {} }
                @if let Some(over) = over {
                    @let x = format!("{:.2}", over * 100.0);
                    line .elapsed x1=(x) x2=(x) y1="0" y2="10" vector-effect="non-scaling-stroke" {
                        title { "So much of the time is over" }
                    }
                }
            }
            p .budget-facts {
                span { span .key-spent {} (dollars(period.committed_usd)) " spent" }
                @if period.reserved_usd > 0.0 {
                    span title="The most that executions of unknown cost may come to" {
                        span .key-kept {} (dollars(period.reserved_usd)) " kept"
                    }
                }
                @for percent in THRESHOLDS {
                    @let reached = period.told.contains(&percent);
                    span .told.is-reached[reached] title={ @if reached { "Reached" } @else { "Not reached" } } {
                        (percent) " %" span .sr { @if reached { " reached" } @else { " not reached" } }
                    }
                }
                span .quiet { "begins anew " (time(&period.resets_at)) }
                @if let Some(end) = over.and_then(|over| spent_at(period, over)) {
                    span .pace { "at this pace spent " (time(&end)) }
                }
            }
        }
    }
}

/// Which part of a period is over.
fn elapsed(period: &Period, now: DateTime<Utc>) -> Option<f64> {
    let since = DateTime::parse_from_rfc3339(&period.since).ok()?.to_utc();
    let end = DateTime::parse_from_rfc3339(&period.resets_at).ok()?.to_utc();
    let whole = (end - since).num_seconds();
    (whole > 0).then(|| ((now - since).num_seconds() as f64 / whole as f64).clamp(0.0, 1.0))
}

/// When all is spent, if it goes on as it did; only where that is before the period ends.
fn spent_at(period: &Period, over: f64) -> Option<String> {
    let projected = period.committed_usd / over;
    if over < PACE_FROM || period.remaining_usd <= 0.0 || projected <= period.limit_usd {
        return None;
    }
    let since = DateTime::parse_from_rfc3339(&period.since).ok()?.to_utc();
    let end = DateTime::parse_from_rfc3339(&period.resets_at).ok()?.to_utc();
    let whole = (end - since).num_seconds() as f64;
    let until = whole * period.limit_usd / projected;
    let until = std::time::Duration::try_from_secs_f64(until).ok()?;
    let at = since + chrono::TimeDelta::from_std(until).ok()?;
    Some(at.format("%Y-%m-%dT%H:%M:%SZ").to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn month(committed_usd: f64) -> Period {
        Period {
            limit_usd: 100.0,
            committed_usd,
            reserved_usd: 0.0,
            remaining_usd: 100.0 - committed_usd,
            percent: Some(0),
            told: Vec::new(),
            since: "2026-11-01T00:00:00Z".to_owned(),
            resets_at: "2026-12-01T00:00:00Z".to_owned(),
        }
    }

    #[test]
    fn the_pace_says_when_all_is_spent_only_where_that_comes_first() {
        let now = "2026-11-16T00:00:00Z".parse().unwrap();
        let over = elapsed(&month(0.0), now).unwrap();
        assert!((over - 0.5).abs() < 1e-9);
        assert_eq!(spent_at(&month(75.0), over).as_deref(), Some("2026-11-21T00:00:00Z"));
        for fine in [0.0, 40.0, 50.0] {
            assert_eq!(spent_at(&month(fine), over), None);
        }
    }
}
