//! How a budget was used up over its day or month: what was left of it, from moment to moment.

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use maud::{Markup, html};

use super::answers::{Budget, Costs, Period};
use super::budgets::title;
use super::burn_line;
use super::past::{Known, Past};
use crate::interface::{Interface, Problem, Visitor, quoted};

/// Moments that the interface is asked about for one line: most.
const POINTS_MAX: i64 = 32;
/// A moment so long ago has nothing still under way.
const SETTLED_AFTER: TimeDelta = TimeDelta::minutes(1);
/// Budgets that can be chosen: most. The way to the others is their own card.
const CHOICE_MAX: usize = 8;
/// What can be between two moments, in minutes.
const STEPS_MIN: [i64; 9] = [5, 15, 30, 60, 120, 240, 480, 720, 1_440];

/// Which limit of a budget.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Per {
    /// That of the day.
    Day,
    /// That of the month.
    Month,
}

impl Per {
    const ALL: [Self; 2] = [Self::Day, Self::Month];

    fn as_str(self) -> &'static str {
        match self {
            Self::Day => "day",
            Self::Month => "month",
        }
    }

    /// In words.
    pub fn words(self) -> &'static str {
        match self {
            Self::Day => "Today",
            Self::Month => "This month",
        }
    }

    fn of(self, budget: &Budget) -> Option<&Period> {
        match self {
            Self::Day => budget.day.as_ref(),
            Self::Month => budget.month.as_ref(),
        }
    }
}

/// What was spent and kept of a limit at one moment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Point {
    /// When.
    pub at: DateTime<Utc>,
    /// What was spent.
    pub spent: f64,
    /// What was kept for executions of unknown cost; nobody can ask it of a time without the limit.
    pub kept: Option<f64>,
    /// The limit, if there was one then.
    pub limit: Option<f64>,
}

impl Point {
    fn of(at: DateTime<Utc>, period: &Period) -> Self {
        let (kept, limit) = (Some(period.reserved_usd), Some(period.limit_usd));
        Self { at, spent: period.committed_usd, kept, limit }
    }

    /// What was spent and kept, as far as it is known.
    pub fn used(&self) -> f64 {
        self.spent + self.kept.unwrap_or(0.0)
    }
}

/// The line of one limit.
pub(super) struct BurnDown {
    /// When the day or month began.
    pub since: DateTime<Utc>,
    /// When it ends.
    pub end: DateTime<Utc>,
    /// Which of the two it is.
    pub per: Per,
    /// The limit, as it is now.
    pub limit: f64,
    /// The moments at which it held, in order; the last is now.
    pub points: Vec<Point>,
    /// Runs of unknown cost, where that can be asked.
    pub unknown: Option<u64>,
}

/// The line of the budget and limit that an address names, or of the first that there is.
pub(super) async fn part(
    (interface, visitor): (&Interface, &Visitor),
    past: &Past,
    budgets: &[Budget],
    pairs: &[(String, String)],
    now: DateTime<Utc>,
) -> Markup {
    let value = |name: &str| pairs.iter().find(|(own, _)| own == name).map(|(_, value)| value);
    let has_line = |budget: &&Budget| budget.day.is_some() || budget.month.is_some();
    let named = value("burn").and_then(|scope| budgets.iter().find(|own| own.budget == *scope));
    let Some(budget) = named.filter(has_line).or_else(|| budgets.iter().find(has_line)) else {
        return html! {};
    };
    let asked =
        Per::ALL.into_iter().find(|per| value("per").is_some_and(|own| own == per.as_str()));
    let per = asked.filter(|per| per.of(budget).is_some());
    let per = per.unwrap_or(if budget.month.is_some() { Per::Month } else { Per::Day });
    let line = gathered((interface, visitor), past, budget, per, now).await;
    html! {
        section #burn-down .card.burn-down {
            div .section-head {
                h3 { "Burn-down of " (title(&budget.budget)) }
                span .spacer {}
                (choice(budgets, budget, per, pairs))
            }
            div #burn-line data-follows {
                @match &line {
                    Ok(Some(line)) => (burn_line::drawn(line)),
                    Ok(None) => p .quiet { "The time of this limit can't be read." },
                    Err(problem) => p .quiet { (problem.detail) },
                }
            }
        }
    }
}

fn choice(budgets: &[Budget], shown: &Budget, per: Per, pairs: &[(String, String)]) -> Markup {
    let way = |scope: &str, per: Per| address(pairs, scope, per);
    let others = budgets.iter().filter(|own| own.day.is_some() || own.month.is_some());
    let others: Vec<&Budget> = others.take(CHOICE_MAX).collect();
    html! {
        @if others.len() > 1 {
            nav .segments.is-many aria-label="Budget" {
                @for own in others {
                    a href=(way(&own.budget, per)) aria-current=[(own.budget == shown.budget).then_some("true")] { (title(&own.budget)) }
                }
            }
        }
        @if shown.day.is_some() && shown.month.is_some() {
            nav .segments aria-label="Time" {
                @for own in Per::ALL {
                    a href=(way(&shown.budget, own)) aria-current=[(own == per).then_some("true")] { (own.words()) }
                }
            }
        }
    }
}

/// The address of a line, with the days that the page shows beside it.
fn address(pairs: &[(String, String)], scope: &str, per: Per) -> String {
    let mut address = "/costs?".to_owned();
    for (name, value) in pairs {
        if matches!(name.as_str(), "from" | "to" | "range") {
            address.extend([name, "=", &quoted(value), "&"]);
        }
    }
    address.extend(["burn=", &quoted(scope), "&per=", per.as_str(), "#burn-down"]);
    address
}

async fn gathered(
    (interface, visitor): (&Interface, &Visitor),
    past: &Past,
    budget: &Budget,
    per: Per,
    now: DateTime<Utc>,
) -> Result<Option<BurnDown>, Problem> {
    let Some(period) = per.of(budget) else { return Ok(None) };
    let (Some(since), Some(end)) = (moment(&period.since), moment(&period.resets_at)) else {
        return Ok(None);
    };
    let asked = moments(since, now).into_iter().map(|at| async move {
        if let Some(known) = past.get(&budget.budget, per, at) {
            return Ok(known.point());
        }
        let point = then(interface, visitor, (budget, per), since, at).await?;
        if now - at > SETTLED_AFTER {
            past.keep(&budget.budget, per, at, Known::of(point));
        }
        Ok(point)
    });
    let (points, sum) = futures::join!(
        futures::future::try_join_all(asked),
        sum(interface, visitor, &budget.budget, since, None),
    );
    let mut points: Vec<Point> = points?.into_iter().flatten().collect();
    points.push(Point::of(now.clamp(since, end), period));
    let unknown = sum.map(|(_, unknown)| unknown);
    Ok(Some(BurnDown { since, end, per, limit: period.limit_usd, points, unknown }))
}

/// What was spent and kept at a moment.
async fn then(
    interface: &Interface,
    visitor: &Visitor,
    (budget, per): (&Budget, Per),
    since: DateTime<Utc>,
    at: DateTime<Utc>,
) -> Result<Option<Point>, Problem> {
    let as_of = at.to_rfc3339_opts(SecondsFormat::Secs, true);
    let address = format!("/api/budgets/{}?as_of={}", quoted(&budget.budget), quoted(&as_of));
    let before = match interface.get::<Budget>(visitor, &address).await {
        Ok(before) => Some(before),
        Err(problem) if &*problem.code == "budget_not_found" => None,
        Err(problem) => return Err(problem),
    };
    let same = |period: &&Period| per.of(budget).is_some_and(|now| now.since == period.since);
    if let Some(period) = before.as_ref().and_then(|before| per.of(before)).filter(same) {
        return Ok(Some(Point::of(at, period)));
    }
    // Before the limit was set, what was spent is known, but not what was kept.
    let sum = sum(interface, visitor, &budget.budget, since, Some(at)).await;
    Ok(sum.map(|(spent, _)| Point { at, spent, kept: None, limit: None }))
}

/// The moments before now of which the interface is asked, from the beginning on.
fn moments(since: DateTime<Utc>, now: DateTime<Utc>) -> Vec<DateTime<Utc>> {
    let over = (now - since).num_minutes().max(0);
    let step = STEPS_MIN.into_iter().find(|step| over / step < POINTS_MAX).unwrap_or(1_440);
    let times = (0..POINTS_MAX).map(|point| since + TimeDelta::minutes(point * step));
    times.take_while(|at| *at < now).collect()
}

/// What was spent since a moment, and how many runs of unknown cost there were; of users nobody can
/// ask that.
async fn sum(
    interface: &Interface,
    visitor: &Visitor,
    scope: &str,
    since: DateTime<Utc>,
    to: Option<DateTime<Utc>>,
) -> Option<(f64, u64)> {
    let text = |at: DateTime<Utc>| quoted(&at.to_rfc3339_opts(SecondsFormat::Secs, true));
    let (kind, name) = super::budgets::parts(scope);
    if kind == "user" {
        return None;
    }
    let mut address = format!("/api/costs?by=agent&from={}", text(since));
    if let Some(to) = to {
        address.extend(["&to=", &text(to)]);
    }
    let costs = interface.get::<Costs>(visitor, &address).await.ok()?;
    if kind == "global" {
        return Some((costs.total.cost_usd, costs.total.unknown));
    }
    let own = costs.costs.iter().find(|sum| sum.key.as_deref() == Some(name));
    Some(own.map_or((0.0, 0), |sum| (sum.cost_usd, sum.unknown)))
}

fn moment(text: &str) -> Option<DateTime<Utc>> {
    DateTime::parse_from_rfc3339(text).ok().map(|at| at.to_utc())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_a_bounded_number_of_moments_however_long_its_time() {
        let since = moment("2026-11-01T00:00:00Z").unwrap();
        for (minutes, count) in
            [(0, 0), (3, 1), (60, 12), (1_439, 24), (10 * 1_440, 30), (31 * 1_440, 31)]
        {
            let now = since + TimeDelta::minutes(minutes);
            let moments = moments(since, now);
            assert_eq!(moments.len(), count, "{minutes}");
            assert!(moments.iter().all(|at| *at >= since && *at < now));
        }
    }

    #[test]
    fn an_address_keeps_the_days_that_are_shown() {
        let pairs = [("range".to_owned(), "7d".to_owned()), ("burn".to_owned(), "x".to_owned())];
        let address = address(&pairs, "agent-a&b", Per::Day);
        assert_eq!(address, "/costs?range=7d&burn=agent-a%26b&per=day#burn-down");
    }
}
