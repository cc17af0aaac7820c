//! A week of all schedules: days as columns, with what comes on each.

use axum::extract::{Query, State};
use axum::response::Response;
use chrono::{DateTime, Datelike, Days, NaiveDate, SecondsFormat, TimeDelta, Utc};
use maud::{Markup, html};

use super::answers::{Schedule, ScheduleList, Upcoming};
use super::list_or_week;
use crate::error_page::Instead;
use crate::interface::{Interface, Problem, Visitor, quoted};
use crate::layout::{self, Me, Place};
use crate::shown;
use crate::texts::visible;
use crate::words::icon;

/// Schedules of a week: most.
const SCHEDULES_MAX: u32 = 50;
/// Times of a schedule that the interface is asked for at once: as many as it gives.
const TIMES_ASKED: usize = 200;
/// Marks that stand in a day: most.
const MARKS_MAX: usize = 10;
/// Times that stand beside the name of a schedule: most.
const TIMES_SHOWN: usize = 3;
/// Weeks from now that can be looked at, before and after: most.
const WEEKS_MAX: i64 = 520;

/// Which week, as its address says it.
struct Week {
    monday: NaiveDate,
    agent: String,
    now: DateTime<Utc>,
}

impl Week {
    fn read(pairs: &[(String, String)], now: DateTime<Utc>) -> Self {
        let value = |name: &str| pairs.iter().find(|(own, _)| own == name).map(|(_, value)| value);
        let today = now.date_naive();
        let day = value("from").and_then(|text| text.parse::<NaiveDate>().ok()).unwrap_or(today);
        let is_near = (day - today).num_weeks().abs() <= WEEKS_MAX;
        let day = if is_near { day } else { today };
        let lead = u64::from(day.weekday().num_days_from_monday());
        let monday = day.checked_sub_days(Days::new(lead)).unwrap_or(day);
        Self { monday, agent: value("agent").cloned().unwrap_or_default(), now }
    }

    fn day(&self, number: u64) -> NaiveDate {
        self.monday.checked_add_days(Days::new(number)).unwrap_or(NaiveDate::MAX)
    }

    fn days(&self) -> [NaiveDate; 7] {
        std::array::from_fn(|number| self.day(number as u64))
    }

    /// The address of the week so many weeks after this one.
    fn other(&self, weeks: i64) -> String {
        let monday = self.monday.checked_add_signed(TimeDelta::weeks(weeks)).unwrap_or(self.monday);
        format!("/schedules/week?from={monday}{}", self.of_agent())
    }

    /// The address of the week that it is.
    fn of_now(&self) -> String {
        let agent = self.of_agent();
        let agent = agent.trim_start_matches('&');
        if agent.is_empty() {
            "/schedules/week".to_owned()
        } else {
            format!("/schedules/week?{agent}")
        }
    }

    fn of_agent(&self) -> String {
        if self.agent.is_empty() {
            String::new()
        } else {
            format!("&agent={}", quoted(&self.agent))
        }
    }
}

/// When a schedule comes on one day.
struct Mark<'a> {
    schedule: &'a Schedule,
    times: Vec<DateTime<Utc>>,
    /// There are more than these, and nobody counted them.
    more: bool,
}

/// The page of a week.
pub(super) async fn page(
    State(interface): State<Interface>,
    visitor: Visitor,
    Query(pairs): Query<Vec<(String, String)>>,
) -> Response {
    shown(whole(&interface, &visitor, &Week::read(&pairs, Utc::now())).await)
}

async fn whole(interface: &Interface, visitor: &Visitor, week: &Week) -> crate::Shown {
    let me = Me::expected(interface, visitor).await?;
    let fail = |problem| Instead::of(problem, visitor, Some(&me));
    let address = format!("/api/schedules?enabled=true&limit={SCHEDULES_MAX}{}", week.of_agent());
    let list = interface.get::<ScheduleList>(visitor, &address).await.map_err(fail)?;
    let asked = list.schedules.iter().map(|schedule| times(interface, visitor, schedule, week));
    let times = futures::future::try_join_all(asked).await.map_err(fail)?;
    let by_day = week.days().map(|day| marks(day, &list.schedules, &times));
    let body = html! {
        header .page-head {
            h1 { "Schedules" }
            @if me.may("manage_schedules") { a .button.is-main href="/schedules/new" { (icon("plus")) "New schedule" } }
        }
        (list_or_week(true, &week.agent))
        div .week-head {
            h2 { (week.monday.format("%-d %B")) " to " (week.day(6).format("%-d %B %Y")) }
            nav .segments aria-label="Week" {
                a href=(week.other(-1)) rel="prev" { "← Earlier" }
                a href=(week.of_now()) aria-current=[is_current(week).then_some("true")] { "This week" }
                a href=(week.other(1)) rel="next" { "Later →" }
            }
        }
        div #week data-follows {
            (columns(week, &by_day))
            p .quiet {
                "Days and times are those of UTC; each schedule has a zone of its own, which its page names. What is past is not drawn: each schedule's page says what it decided."
                @if list.next_cursor.is_some() { " Only the newest " (SCHEDULES_MAX) " schedules that are enabled are drawn." }
            }
        }
    };
    Ok(layout::page(Some(&me), Place::Schedules, "Schedules", &body))
}

fn is_current(week: &Week) -> bool {
    week.days().contains(&week.now.date_naive())
}

/// The times at which a schedule comes in a week, as far as they are still to come, and the days of
/// which there are more than were asked for.
struct Times {
    at: Vec<DateTime<Utc>>,
    more_on: Vec<NaiveDate>,
}

async fn times(
    interface: &Interface,
    visitor: &Visitor,
    schedule: &Schedule,
    week: &Week,
) -> Result<Times, Problem> {
    let mut times = Times { at: Vec::new(), more_on: Vec::new() };
    let end = midnight(week.day(7));
    // Of what comes often each day is asked for by itself.
    let mut after = midnight(week.monday).max(week.now);
    for _ in 0..week.days().len() {
        let before = after - TimeDelta::microseconds(1);
        let found = upcoming(interface, visitor, schedule, before).await?;
        let is_whole = found.len() < TIMES_ASKED || found.last().is_some_and(|last| *last >= end);
        if is_whole {
            times.at.extend(found.into_iter().filter(|at| *at < end));
            break;
        }
        let Some(last) = found.last().copied() else { break };
        // The day of the last one may go on after it: the next question begins with the day after, or
        // with that day where this one had others.
        let day = last.date_naive();
        let next = if day == after.date_naive() {
            midnight(day + TimeDelta::days(1))
        } else {
            midnight(day)
        };
        if day == after.date_naive() {
            times.more_on.push(day);
        }
        times.at.extend(found.into_iter().filter(|at| *at < next));
        if next >= end {
            break;
        }
        after = next;
    }
    Ok(times)
}

async fn upcoming(
    interface: &Interface,
    visitor: &Visitor,
    schedule: &Schedule,
    after: DateTime<Utc>,
) -> Result<Vec<DateTime<Utc>>, Problem> {
    let after = after.to_rfc3339_opts(SecondsFormat::Micros, true);
    let id = quoted(&schedule.schedule_id);
    let after = quoted(&after);
    let address = format!("/api/schedules/{id}/upcoming?after={after}&limit={TIMES_ASKED}");
    let upcoming = interface.get::<Upcoming>(visitor, &address).await?.upcoming;
    let times = upcoming.iter().filter_map(|next| DateTime::parse_from_rfc3339(&next.at).ok());
    Ok(times.map(|at| at.to_utc()).collect())
}

fn midnight(day: NaiveDate) -> DateTime<Utc> {
    day.and_time(chrono::NaiveTime::MIN).and_utc()
}

/// What comes on a day, what comes first before the others.
fn marks<'a>(day: NaiveDate, schedules: &'a [Schedule], times: &[Times]) -> Vec<Mark<'a>> {
    let mut marks: Vec<Mark<'a>> = schedules
        .iter()
        .zip(times)
        .map(|(schedule, times)| Mark {
            schedule,
            times: times.at.iter().filter(|at| at.date_naive() == day).copied().collect(),
            more: times.more_on.contains(&day),
        })
        .filter(|mark| !mark.times.is_empty())
        .collect();
    marks.sort_by_key(|mark| mark.times.first().copied());
    marks
}

fn columns(week: &Week, by_day: &[Vec<Mark<'_>>; 7]) -> Markup {
    let today = week.now.date_naive();
    html! {
        div .table-wrap.week-wrap tabindex="0" role="region" aria-label="The week" {
            table .week {
                caption .sr { "What comes in this week" }
                thead { tr {
                    @for day in week.days() {
                        th scope="col" .is-today[day == today] {
                            (day.format("%a ")) span .day-number { (day.format("%-d")) }
                            @if day == today { span .sr { ", today" } }
                        }
                    }
                } }
                tbody { tr {
                    @for (day, marks) in week.days().iter().zip(by_day) { (column(*day, today, marks)) }
                } }
            }
        }
    }
}

fn column(day: NaiveDate, today: NaiveDate, marks: &[Mark<'_>]) -> Markup {
    html! {
        td .is-today[day == today] .is-past[day < today] data-day=(day.format("%A %-d %B")) {
            @if marks.is_empty() { span .sr { "nothing" } }
            @else {
                ul { @for one in marks.iter().take(MARKS_MAX) { li { (mark(one)) } } }
                @if marks.len() > MARKS_MAX {
                    details { summary { "and " (marks.len() - MARKS_MAX) " more" }
                        ul { @for one in &marks[MARKS_MAX..] { li { (mark(one)) } } }
                    }
                }
            }
        }
    }
}

fn mark(mark: &Mark<'_>) -> Markup {
    let clock = |at: &DateTime<Utc>| at.format("%H:%M").to_string();
    let first: Vec<String> = mark.times.iter().take(TIMES_SHOWN).map(clock).collect();
    let rest = mark.times.len().saturating_sub(TIMES_SHOWN);
    html! {
        a .week-mark href=(mark.schedule.address()) title={ (mark.schedule.description) " – " (mark.schedule.agent_name) } {
            span .week-times {
                (first.join(", "))
                @if rest > 0 { span .quiet { " and " (rest) @if mark.more { "+" } " more" } }
            }
            span .week-name { (visible(&mark.schedule.name)) }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn week(from: &str) -> Week {
        let pairs = [("from".to_owned(), from.to_owned()), ("agent".to_owned(), "a&b".to_owned())];
        Week::read(&pairs, "2026-11-21T12:00:00Z".parse().unwrap())
    }

    #[test]
    fn a_week_begins_on_its_monday_whatever_day_is_asked_for() {
        for (from, monday) in [
            ("2026-11-21", "2026-11-16"),
            ("2026-11-16", "2026-11-16"),
            ("2026-12-01", "2026-11-30"),
            ("never", "2026-11-16"),
            ("9999-12-31", "2026-11-16"),
            ("-0001-01-01", "2026-11-16"),
        ] {
            assert_eq!(week(from).monday.to_string(), monday, "{from}");
        }
        let later = "/schedules/week?from=2026-11-23&agent=a%26b";
        assert_eq!(week("2026-11-21").other(1), later);
    }
}
