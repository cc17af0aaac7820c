//! Which time a timeline shows.

use chrono::{DateTime, NaiveDateTime, SecondsFormat, TimeDelta, Utc};

use crate::interface::quoted;

/// The ranges that end now: their names in the address, and how long they are, in hours.
pub(super) const RANGES: [(&str, &str, i64); 4] =
    [("1h", "hour", 1), ("6h", "6 hours", 6), ("24h", "24 hours", 24), ("7d", "7 days", 7 * 24)];
/// The range that is shown where none is asked for.
const RANGE_DEFAULT: &str = "6h";
/// The shortest window.
const SPAN_MIN: TimeDelta = TimeDelta::minutes(1);
/// The longest window.
const SPAN_MAX: TimeDelta = TimeDelta::days(400);
/// How much of a window that ends now is left for what runs to grow into: one part of so many.
const GROWTH_PART: i32 = 50;
/// Marks of the axis at most.
const TICKS_MAX: i64 = 8;
/// What can be between two marks of the axis, in seconds.
const TICK_SECONDS: [i64; 20] = [
    10, 15, 20, 30, 60, 120, 300, 600, 900, 1_800, 3_600, 7_200, 10_800, 21_600, 43_200, 86_400,
    172_800, 604_800, 1_209_600, 5_184_000,
];

/// A time from one moment to another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Window {
    /// Its first moment.
    pub from: DateTime<Utc>,
    /// Its end.
    pub to: DateTime<Utc>,
    /// Now, by the server's clock.
    pub now: DateTime<Utc>,
    /// The range that it was asked for by, where it ends now.
    pub range: Option<&'static str>,
    /// Of this agent alone.
    pub agent: Option<String>,
}

impl Window {
    /// As the page's address says it. What can't be read is told, and the default window is shown.
    pub fn read(pairs: &[(String, String)], now: DateTime<Utc>) -> (Self, Option<&'static str>) {
        let value = |name: &str| {
            let found = pairs.iter().find(|(own, _)| own == name);
            found.map(|(_, value)| value.trim()).filter(|value| !value.is_empty())
        };
        let agent = value("agent").map(ToOwned::to_owned);
        let (from, to) = (value("from"), value("to"));
        if from.is_none() && to.is_none() {
            let name = value("range").unwrap_or(RANGE_DEFAULT);
            let known = RANGES.iter().any(|(own, ..)| *own == name);
            let wrong = (!known).then_some("There is no such range: the last 6 hours are shown.");
            return (Self::until_now(name, now, agent), wrong);
        }
        let read = (from.and_then(moment), to.map_or(Some(now), moment));
        match read {
            (Some(from), Some(to)) if to - from < SPAN_MIN => (
                Self::until_now(RANGE_DEFAULT, now, agent),
                Some("The end must be at least a minute after the beginning."),
            ),
            (Some(from), Some(to)) if to - from > SPAN_MAX => (
                Self::until_now(RANGE_DEFAULT, now, agent),
                Some("At most 400 days can be shown at once."),
            ),
            (Some(from), Some(to)) => (Self { from, to, now, range: None, agent }, None),
            _ => (
                Self::until_now(RANGE_DEFAULT, now, agent),
                Some("From and to must be times, as 2026-11-21T09:30, in UTC."),
            ),
        }
    }

    fn until_now(name: &str, now: DateTime<Utc>, agent: Option<String>) -> Self {
        let found = RANGES.iter().find(|(own, ..)| *own == name);
        let (range, hours) = found.map_or((RANGE_DEFAULT, 6), |(own, _, hours)| (*own, *hours));
        let span = TimeDelta::hours(hours);
        let to = now + span / GROWTH_PART;
        Self { from: to - span, to, now, range: Some(range), agent }
    }

    /// How long it is.
    pub fn span(&self) -> TimeDelta {
        self.to - self.from
    }

    /// Where a moment is in it, in hundredths of its width; outside of it: at its edge.
    pub fn place(&self, at: DateTime<Utc>) -> f64 {
        let part = |delta: TimeDelta| delta.num_milliseconds() as f64;
        (part(at - self.from) / part(self.span()) * 100.0).clamp(0.0, 100.0)
    }

    /// The address of the page with a range that ends now.
    pub fn with_range(&self, range: &str) -> String {
        format!("/timeline?range={range}{}", self.of_agent())
    }

    /// The address of the page with another window.
    pub fn with(&self, from: DateTime<Utc>, to: DateTime<Utc>) -> String {
        format!("/timeline?from={}&to={}{}", short(from), short(to), self.of_agent())
    }

    /// The address of the time before it.
    pub fn earlier(&self) -> String {
        let step = self.span() / 2;
        self.with(self.from - step, self.to - step)
    }

    /// The address of the time after it, where there is any yet.
    pub fn later(&self) -> Option<String> {
        let step = self.span() / 2;
        (self.range.is_none() && self.to < self.now)
            .then(|| self.with(self.from + step, self.to + step))
    }

    /// The address of half of it.
    pub fn closer(&self) -> Option<String> {
        let step = self.span() / 4;
        // What runs now is what one wants to see closer.
        let right = if self.range.is_some() { TimeDelta::zero() } else { step };
        let (from, to) = (self.to - right - step * 2, self.to - right);
        (to - from >= SPAN_MIN).then(|| self.with(from, to))
    }

    /// The address of twice as much.
    pub fn wider(&self) -> Option<String> {
        let step = self.span() / 2;
        let to = if self.to >= self.now { self.to } else { (self.to + step).min(self.now) };
        let from = to - self.span() * 2;
        (to - from <= SPAN_MAX).then(|| self.with(from, to))
    }

    fn of_agent(&self) -> String {
        let agent = self.agent.as_deref();
        agent.map(|agent| format!("&agent={}", quoted(agent))).unwrap_or_default()
    }

    /// The moments that the axis names, with their words.
    pub fn ticks(&self) -> Vec<(DateTime<Utc>, String)> {
        let wanted = self.span().num_seconds() / TICKS_MAX;
        let step = TICK_SECONDS.into_iter().find(|seconds| *seconds > wanted).unwrap_or(5_184_000);
        let first = self.from.timestamp().div_euclid(step) + 1;
        let moments = (first..).map_while(|n| {
            DateTime::from_timestamp(n * step, 0).filter(|moment| *moment < self.to)
        });
        let named = moments.take(usize::try_from(TICKS_MAX + 1).unwrap_or_default());
        named.map(|at| (at, tick(at, step))).collect()
    }
}

fn tick(at: DateTime<Utc>, step: i64) -> String {
    let is_midnight = at.timestamp() % 86_400 == 0;
    let pattern = match step {
        _ if step >= 86_400 || is_midnight => "%b %-d",
        60.. => "%H:%M",
        _ => "%H:%M:%S",
    };
    at.format(pattern).to_string()
}

/// A moment in an address.
pub(super) fn short(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Secs, true)
}

/// A moment as it was typed, or as it stands in an address.
fn moment(text: &str) -> Option<DateTime<Utc>> {
    if let Ok(at) = DateTime::parse_from_rfc3339(text) {
        return Some(at.to_utc());
    }
    let patterns = ["%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M:%S%.f"];
    patterns
        .iter()
        .find_map(|pattern| NaiveDateTime::parse_from_str(text, pattern).ok())
        .map(|at| at.and_utc())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(query: &[(&str, &str)]) -> (Window, Option<&'static str>) {
        let pairs: Vec<_> =
            query.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Window::read(&pairs, moment("2026-11-21T12:00").unwrap())
    }

    #[test]
    fn a_range_ends_now_with_a_little_place_to_grow_into() {
        let (window, wrong) = read(&[("range", "24h")]);
        assert_eq!((window.span(), wrong), (TimeDelta::hours(24), None));
        assert!((window.place(window.now) - 98.0).abs() < 0.01);
        assert_eq!(window.later(), None);
    }

    #[test]
    fn what_is_typed_is_a_window_in_utc_and_leads_to_those_around_it() {
        let (window, wrong) =
            read(&[("from", "2026-11-20T00:00"), ("to", "2026-11-20T04:00"), ("agent", "a&b")]);
        assert_eq!(wrong, None);
        assert_eq!(
            window.earlier(),
            "/timeline?from=2026-11-19T22:00:00Z&to=2026-11-20T02:00:00Z&agent=a%26b"
        );
        let closer = window.closer().unwrap();
        assert!(
            closer.starts_with("/timeline?from=2026-11-20T01:00:00Z&to=2026-11-20T03:00:00Z"),
            "{closer}"
        );
        let wider = window.wider().unwrap();
        assert!(
            wider.starts_with("/timeline?from=2026-11-19T22:00:00Z&to=2026-11-20T06:00:00Z"),
            "{wider}"
        );
    }

    #[test]
    fn what_makes_no_window_is_told_and_the_default_is_shown() {
        let far = [("from", "1900-01-01T00:00"), ("to", "2026-01-01T00:00")];
        let back = [("from", "2026-11-20T04:00"), ("to", "2026-11-20T00:00")];
        for query in [&far[..], &back[..], &[("from", "yesterday")], &[("range", "9w")]] {
            let (window, wrong) = read(query);
            assert!(wrong.is_some() && window.range == Some("6h"), "{query:?}");
        }
    }

    #[test]
    fn every_window_has_an_axis_of_a_few_marks() {
        for minutes in [1, 7, 59, 60, 61, 360, 1_440, 10_080, 44_000, 570_000] {
            let now = moment("2026-11-21T12:00").unwrap();
            let from = now - TimeDelta::minutes(minutes);
            let window = Window { from, to: now, now, range: None, agent: None };
            let ticks = window.ticks().len();
            assert!((2..=9).contains(&ticks), "{minutes}: {ticks}");
        }
    }
}
