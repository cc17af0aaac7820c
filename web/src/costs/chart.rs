//! What each day or month cost, as bars.

use std::collections::BTreeMap;

use chrono::{Datelike, NaiveDate};
use maud::{Markup, html};

use super::answers::Sum;
use super::range::{Range, SINGLE_DAYS_MAX};
use crate::words::{self, dollars, number};

/// Height of the highest bar, and the width that a bar has for itself, in the picture's own units.
const HEIGHT: f64 = 100.0;
const STEP: f64 = 10.0;

/// A day or a month.
pub(super) struct Bar {
    first: NaiveDate,
    last: NaiveDate,
    cost_usd: f64,
    runs: u64,
    unknown: u64,
}

impl Bar {
    fn name(&self) -> String {
        let pattern = if self.first == self.last { "%a %-d %b %Y" } else { "%B %Y" };
        self.first.format(pattern).to_string()
    }

    fn short(&self) -> String {
        self.first.format(if self.first == self.last { "%-d %b" } else { "%b %Y" }).to_string()
    }

    fn told(&self) -> String {
        let runs =
            if self.runs == 1 { "1 run".to_owned() } else { format!("{} runs", number(self.runs)) };
        let unknown = match self.unknown {
            0 => String::new(),
            unknown => format!(", {} of unknown cost", number(unknown)),
        };
        format!(
            "{}: {}, {runs}{unknown}",
            self.name(),
            words::sum(self.cost_usd, self.runs, self.unknown)
        )
    }
}

/// The days of a range, or its months where there are many; also those on which nothing ran.
pub(super) fn bars(days: &[Sum], range: Range) -> Vec<Bar> {
    let mut sums = BTreeMap::new();
    for day in days {
        if let Some(date) = day.key.as_deref().and_then(|key| key.parse::<NaiveDate>().ok()) {
            sums.insert(date, day);
        }
    }
    let by_month = range.days() > SINGLE_DAYS_MAX;
    let mut bars: Vec<Bar> = Vec::new();
    for date in range.from.iter_days().take_while(|date| *date <= range.to) {
        let same = |bar: &Bar| bar.first.year() == date.year() && bar.first.month() == date.month();
        if !(by_month && bars.last().is_some_and(same)) {
            bars.push(Bar { first: date, last: date, cost_usd: 0.0, runs: 0, unknown: 0 });
        }
        let Some(bar) = bars.last_mut() else { continue };
        bar.last = date;
        if let Some(sum) = sums.get(&date) {
            bar.cost_usd += sum.cost_usd;
            bar.runs += sum.runs;
            bar.unknown += sum.unknown;
        }
    }
    bars
}

/// A round amount that is not below another.
fn round_above(amount: f64) -> f64 {
    if amount <= 0.0 {
        return 0.0;
    }
    let size = 10_f64.powf(amount.log10().floor());
    let steps = [1.0, 2.0, 4.0, 5.0, 10.0];
    steps.iter().map(|step| step * size).find(|round| *round >= amount).unwrap_or(amount)
}

/// The picture, with the same as a table.
pub(super) fn chart(bars: &[Bar], range: Range) -> Markup {
    let most = bars.iter().map(|bar| bar.cost_usd).fold(0.0, f64::max);
    let top = round_above(most);
    let width = bars.len() as f64 * STEP;
    let whole = format!("Cost by day, {}; the highest is {}", range.words(), dollars(most));
    let marks: Vec<&Bar> = match bars {
        [] => Vec::new(),
        [one] => vec![one],
        [one, .., last] if bars.len() < 5 => vec![one, last],
        [one, .., last] => vec![one, &bars[bars.len() / 2], last],
    };
    html! {
        figure .chart {
            div .plot {
                div .scale aria-hidden="true" {
                    @if top > 0.0 { @for mark in words::dollars_alike([top, top / 2.0]) { span { (mark) } } }
                    span { "$0" }
                }
                svg role="img" aria-label=(whole) viewBox={ "0 0 " (width) " 108" } preserveAspectRatio="none" {
                    @for y in [0.0, 50.0, 100.0] {
                        line .grid x1="0" x2=(width) y1=(y) y2=(y) vector-effect="non-scaling-stroke" {}
                    }
                    @for (index, bar) in bars.iter().enumerate() { (column(index, bar, top)) }
                }
            }
            div .days aria-hidden="true" { @for mark in marks { span { (mark.short()) } } }
            @if bars.iter().any(|bar| bar.unknown > 0) {
                figcaption .legend { span .key-unknown {} "Runs among them whose cost nobody knows" }
            }
        }
    }
}

fn column(index: usize, bar: &Bar, top: f64) -> Markup {
    let x = index as f64 * STEP;
    let share = if top > 0.0 { (bar.cost_usd / top).clamp(0.0, 1.0) } else { 0.0 };
    // What cost something is seen, however little it is.
    let height = if share > 0.0 { (share * HEIGHT).max(1.0) } else { 0.0 };
    html! {
        g .day {
            title { (bar.told()) }
            rect .hit x=(x) y="0" width=(STEP) height="108" {}
            @if height > 0.0 {
                rect .fill x=(x + 1.5) y=(format!("{:.2}", HEIGHT - height)) width=(STEP - 3.0)
                    height=(format!("{height:.2}")) {}
            }
            @if bar.unknown > 0 { rect .unknown x=(x + 1.5) y="103" width=(STEP - 3.0) height="5" {} }
        }
    }
}

/// The bars as rows, the latest first: only those in which something ran.
pub(super) fn table(bars: &[Bar], may_read: bool) -> Markup {
    html! {
        details #as-table .as-table {
            summary { "As a table" }
            div .table-wrap tabindex="0" role="region" aria-label="Costs by day" {
                table {
                    thead { tr {
                        th scope="col" { "Day" }
                        th scope="col" .number { "Runs" }
                        th scope="col" .number { "Of unknown cost" }
                        th scope="col" .number { "Cost" }
                    } }
                    tbody {
                        @for bar in bars.iter().rev().filter(|bar| bar.runs > 0 || bar.cost_usd != 0.0) {
                            tr {
                                td {
                                    @if may_read {
                                        a href={ "/?from=" (bar.first) "&to=" (bar.last) } { (bar.name()) }
                                    } @else { (bar.name()) }
                                }
                                td .number { (number(bar.runs)) }
                                td .number { (number(bar.unknown)) }
                                td .number { (words::sum(bar.cost_usd, bar.runs, bar.unknown)) }
                            }
                        }
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sum(key: &str, cost_usd: f64) -> Sum {
        Sum { key: Some(key.to_owned()), runs: 1, cost_usd, unknown: 0, earned: Vec::new() }
    }

    fn range(from: &str, to: &str) -> Range {
        let pairs = [("from".to_owned(), from.to_owned()), ("to".to_owned(), to.to_owned())];
        Range::read(&pairs, "2026-11-21".parse().unwrap())
    }

    #[test]
    fn each_day_has_its_bar_also_where_nothing_ran() {
        let days = [sum("2026-11-20", 0.5), sum("2026-11-21", 0.25)];
        let bars = bars(&days, range("2026-11-18", "2026-11-21"));
        let costs: Vec<f64> = bars.iter().map(|bar| bar.cost_usd).collect();
        assert_eq!(costs, [0.0, 0.0, 0.5, 0.25]);
    }

    #[test]
    fn a_long_range_is_shown_by_month() {
        let days = [sum("2026-01-31", 0.5), sum("2026-01-01", 0.25), sum("2026-02-01", 1.0)];
        let bars = bars(&days, range("2026-01-01", "2026-06-30"));
        assert_eq!(bars.len(), 6);
        assert!((bars[0].cost_usd - 0.75).abs() < 1e-9);
        assert_eq!(bars[0].name(), "January 2026");
    }

    #[test]
    fn the_scale_ends_with_a_round_amount() {
        for (most, top) in [(0.0, 0.0), (0.013, 0.02), (3.2, 4.0), (100.0, 100.0), (7.0, 10.0)] {
            assert!((round_above(most) - top).abs() < 1e-9, "{most}");
        }
    }
}
