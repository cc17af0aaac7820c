//! The days on which a schedule comes next, month by month.

use chrono::{DateTime, Datelike, Days, FixedOffset, NaiveDate, Utc};
use maud::{Markup, html};

use super::answers::Moment;

/// Months that are drawn: most. Times beyond them stand in the list only.
const MONTHS_MAX: usize = 3;
/// Times that stand in a day: most.
const TIMES_MAX: usize = 3;
const WEEKDAYS: [(&str, &str); 7] = [
    ("Mon", "Monday"),
    ("Tue", "Tuesday"),
    ("Wed", "Wednesday"),
    ("Thu", "Thursday"),
    ("Fri", "Friday"),
    ("Sat", "Saturday"),
    ("Sun", "Sunday"),
];

/// The times as the schedule's own zone has them.
fn locals(upcoming: &[Moment]) -> Vec<DateTime<FixedOffset>> {
    upcoming.iter().filter_map(|moment| DateTime::parse_from_rfc3339(&moment.local).ok()).collect()
}

/// The months in which it comes next.
pub(super) fn calendar(upcoming: &[Moment], timezone: &str, now: DateTime<Utc>) -> Markup {
    let times = locals(upcoming);
    let mut months: Vec<NaiveDate> =
        times.iter().filter_map(|at| at.date_naive().with_day(1)).collect();
    months.dedup();
    let today = times.first().map(|at| now.with_timezone(at.offset()).date_naive());
    html! {
        div .months {
            @for first in months.iter().take(MONTHS_MAX) { (month(*first, &times, today)) }
        }
        p .quiet {
            "The next " (times.len()) " runs, in the zone " (timezone) "; what comes after them is not drawn."
        }
    }
}

fn month(first: NaiveDate, times: &[DateTime<FixedOffset>], today: Option<NaiveDate>) -> Markup {
    html! {
        div .table-wrap {
            table .month {
                caption { (first.format("%B %Y")) }
                thead { tr {
                    @for (short, long) in WEEKDAYS { th scope="col" abbr=(long) { (short) } }
                } }
                tbody {
                    @for week in weeks(first) {
                        tr { @for date in week { (day(date, first, times, today)) } }
                    }
                }
            }
        }
    }
}

/// The weeks of a month, each from its Monday on.
fn weeks(first: NaiveDate) -> Vec<[NaiveDate; 7]> {
    let lead = u64::from(first.weekday().num_days_from_monday());
    let monday = first.checked_sub_days(Days::new(lead)).unwrap_or(first);
    let mut weeks = Vec::with_capacity(6);
    for week in 0..6_u64 {
        let days = std::array::from_fn(|day| {
            let after = Days::new(week * 7 + day as u64);
            monday.checked_add_days(after).unwrap_or(NaiveDate::MAX)
        });
        if days[0] > first && days[0].month() != first.month() {
            break;
        }
        weeks.push(days);
    }
    weeks
}

fn day(
    date: NaiveDate,
    first: NaiveDate,
    times: &[DateTime<FixedOffset>],
    today: Option<NaiveDate>,
) -> Markup {
    if date.month() != first.month() {
        return html! { td .is-outside {} };
    }
    let own: Vec<_> = times.iter().filter(|at| at.date_naive() == date).collect();
    html! {
        td .has-runs[!own.is_empty()] .is-today[today == Some(date)] {
            span .day-number { (date.day()) @if today == Some(date) { span .sr { ", today" } } }
            @for at in own.iter().take(TIMES_MAX) { span .run-time { (at.format("%H:%M")) } }
            @if own.len() > TIMES_MAX { span .run-more { "+ " (own.len() - TIMES_MAX) } }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_month_is_whole_weeks_that_begin_on_monday() {
        for (first, count) in [("2026-11-01", 6), ("2027-02-01", 4), ("2026-12-01", 5)] {
            let weeks = weeks(first.parse().unwrap());
            assert_eq!(weeks.len(), count, "{first}");
            assert!(weeks.iter().all(|week| week[0].weekday() == chrono::Weekday::Mon));
        }
    }

    #[test]
    fn runs_stand_on_the_day_of_their_own_zone() {
        let moment = |at: &str, local: &str| Moment { at: at.to_owned(), local: local.to_owned() };
        let upcoming = [
            moment("2026-11-29T23:30:00Z", "2026-11-30T00:30:00+01:00"),
            moment("2026-11-30T23:30:00Z", "2026-12-01T00:30:00+01:00"),
        ];
        let now = "2026-11-29T23:10:00Z".parse().unwrap();
        let text = calendar(&upcoming, "Europe/Berlin", now).into_string();
        assert!(text.contains("November 2026") && text.contains("December 2026"));
        let today = "<td class=\"has-runs is-today\"><span class=\"day-number\">30";
        assert!(text.contains(today), "{text}");
    }
}
