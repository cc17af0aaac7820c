//! Which days costs are shown of, as the page's address says it. Days are those of UTC, as in budgets.

use chrono::{Datelike, Days, NaiveDate};
use maud::{Markup, html};

/// Days of a range: most. What is longer begins later.
const RANGE_MAX_DAYS: u64 = 3_660;
/// Days that are shown one by one: most. What is longer is shown by month.
pub(super) const SINGLE_DAYS_MAX: u64 = 92;

/// Which days are meant, both ends among them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Range {
    /// The first day.
    pub from: NaiveDate,
    /// The last day.
    pub to: NaiveDate,
    name: Name,
}

/// How people call a range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Name {
    Week,
    Days30,
    Month,
    Custom,
}

impl Name {
    const FIXED: [(Self, &str, &str); 3] = [
        (Self::Week, "7d", "7 days"),
        (Self::Days30, "30d", "30 days"),
        (Self::Month, "month", "This month"),
    ];
}

impl Range {
    /// As an address's query says it: 30 days where it says nothing that can be read.
    pub fn read(pairs: &[(String, String)], today: NaiveDate) -> Self {
        let value = |name: &str| pairs.iter().find(|(own, _)| own == name).map(|(_, value)| value);
        let day = |name: &str| value(name).and_then(|text| text.get(..10)?.parse().ok());
        let (from, to): (Option<NaiveDate>, Option<NaiveDate>) = (day("from"), day("to"));
        if from.is_some() || to.is_some() {
            let to = to.unwrap_or_else(|| today.max(from.unwrap_or(today)));
            let from = from.unwrap_or_else(|| before(to, 29));
            let (from, to) = (from.min(to), to.max(from));
            return Self { from: from.max(before(to, RANGE_MAX_DAYS - 1)), to, name: Name::Custom };
        }
        let named = value("range").and_then(|text| {
            Name::FIXED.iter().find(|(_, own, _)| own == text).map(|(name, _, _)| *name)
        });
        let name = named.unwrap_or(Name::Days30);
        let from = match name {
            Name::Week => before(today, 6),
            Name::Month => today.with_day(1).unwrap_or(today),
            Name::Days30 | Name::Custom => before(today, 29),
        };
        Self { from, to: today, name }
    }

    /// How many days.
    pub fn days(self) -> u64 {
        u64::try_from((self.to - self.from).num_days()).unwrap_or(0) + 1
    }

    /// As many days, right before.
    pub fn earlier(self) -> Self {
        let to = before(self.from, 1);
        Self { from: before(to, self.days() - 1), to, name: Name::Custom }
    }

    /// As the interface is asked for it.
    pub fn asked(self) -> String {
        let end = self.to.succ_opt().unwrap_or(self.to);
        format!("from={}T00:00:00Z&to={end}T00:00:00Z", self.from)
    }

    /// As addresses of pages say it.
    pub fn query(self) -> String {
        format!("from={}&to={}", self.from, self.to)
    }

    /// The days in words.
    pub fn words(self) -> String {
        if self.from == self.to {
            return self.from.format("%-d %B %Y").to_string();
        }
        let from = if self.from.year() == self.to.year() { "%-d %B" } else { "%-d %B %Y" };
        format!("{} to {}", self.from.format(from), self.to.format("%-d %B %Y"))
    }

    /// The ways to other ranges.
    pub fn choice(self) -> Markup {
        html! {
            div .range {
                nav .segments aria-label="Days" {
                    @for (name, value, label) in Name::FIXED {
                        a href={ "/costs?range=" (value) } aria-current=[(self.name == name).then_some("true")] {
                            (label)
                        }
                    }
                }
                form #filters .range-form .is-chosen[self.name == Name::Custom] method="get" action="/costs"
                    aria-label="Days of your choice" {
                    label { span .sr { "From day" }
                        input type="date" name="from" value=(self.from) max="9999-12-31";
                    }
                    span .quiet aria-hidden="true" { "–" }
                    label { span .sr { "To day" }
                        input type="date" name="to" value=(self.to) max="9999-12-31";
                    }
                    button .button { "Show" }
                }
            }
        }
    }
}

fn before(day: NaiveDate, days: u64) -> NaiveDate {
    day.checked_sub_days(Days::new(days)).unwrap_or(NaiveDate::MIN)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(query: &[(&str, &str)]) -> Range {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        let pairs: Vec<_> = query.iter().map(owned).collect();
        Range::read(&pairs, "2026-11-21".parse().unwrap())
    }

    #[test]
    fn a_range_has_both_of_its_ends() {
        let cases: [(&[(&str, &str)], &str); 6] = [
            (&[], "from=2026-10-23&to=2026-11-21"),
            (&[("range", "7d")], "from=2026-11-15&to=2026-11-21"),
            (&[("range", "month")], "from=2026-11-01&to=2026-11-21"),
            (&[("from", "2026-11-01"), ("to", "")], "from=2026-11-01&to=2026-11-21"),
            (&[("to", "2026-11-01"), ("from", "2026-11-03")], "from=2026-11-01&to=2026-11-03"),
            (&[("range", "<b>"), ("from", "never")], "from=2026-10-23&to=2026-11-21"),
        ];
        for (query, days) in cases {
            assert_eq!(read(query).query(), days);
        }
        assert_eq!(read(&[("range", "7d")]).earlier().query(), "from=2026-11-08&to=2026-11-14");
        assert_eq!(read(&[]).asked(), "from=2026-10-23T00:00:00Z&to=2026-11-22T00:00:00Z");
    }

    #[test]
    fn no_range_is_longer_than_may_be_shown() {
        let all = read(&[("from", "0001-01-01"), ("to", "9999-12-31")]);
        assert_eq!(all.days(), RANGE_MAX_DAYS);
    }
}
