//! A burn-down as a picture, with the same as a table.

use chrono::{DateTime, TimeDelta, Utc};
use maud::{Markup, html};

use super::burn_down::{BurnDown, Per, Point};
use crate::words::{dollars, dollars_alike, number};

/// Width and height of the picture, in its own units.
const SIDE: f64 = 100.0;
/// The parts of a limit that are told when they are reached, in percent.
const THRESHOLDS: [f64; 3] = [50.0, 80.0, 100.0];

/// The picture of a line.
pub(super) fn drawn(line: &BurnDown) -> Markup {
    if line.limit <= 0.0 {
        return html! { p .quiet { "The limit is zero: nothing starts, and there is nothing to use up." } };
    }
    let last = line.points.last().copied();
    html! {
        figure .chart.burn {
            div .plot {
                div .scale aria-hidden="true" {
                    @for mark in dollars_alike([line.limit, line.limit / 2.0]) { span { (mark) } }
                    span { "$0" }
                }
                (picture(line))
            }
            div .days aria-hidden="true" { @for at in marks(line) { span { (at) } } }
            figcaption .legend.burn-legend {
                span { span .key-spent {} "Spent" } span { span .key-kept {} "Kept" }
                span { span .key-left {} "Left" } span { span .key-pace {} "Even pace" }
                span { span .key-part {} "50, 80 and 100 % used" }
            }
        }
        @if last.is_some_and(|now| now.used() > line.limit) {
            p .burn-over { "More is spent and kept than the limit: no new task is let in, while what runs may cost what it costs." }
        }
        (notes(line))
        (table(line))
    }
}

fn picture(line: &BurnDown) -> Markup {
    let edge = |of: fn(&Point) -> f64| -> Vec<(f64, f64)> {
        line.points.iter().map(|point| (across(line, point.at), down(line, of(point)))).collect()
    };
    let (spent, used) = (edge(|point| point.spent), edge(Point::used));
    let top: Vec<(f64, f64)> = spent.iter().map(|(x, _)| (*x, 0.0)).collect();
    let now = line.points.last().map_or(0.0, |point| across(line, point.at));
    html! {
        svg role="img" aria-label=(told(line)) viewBox={ "0 0 " (SIDE) " " (SIDE) } preserveAspectRatio="none" {
            polygon .spent points=(between(&top, &spent)) {}
            polygon .kept points=(between(&spent, &used)) {}
            @for percent in THRESHOLDS {
                line .part x1="0" x2=(SIDE) y1=(percent) y2=(percent) vector-effect="non-scaling-stroke" {}
            }
            line .pace x1="0" y1="0" x2=(SIDE) y2=(SIDE) vector-effect="non-scaling-stroke" {}
            polyline .left points=(joined(used.iter())) vector-effect="non-scaling-stroke" {}
            line .elapsed x1=(format!("{now:.2}")) x2=(format!("{now:.2}")) y1="0" y2=(SIDE) vector-effect="non-scaling-stroke" {}
        }
    }
}

/// How far along its time a moment is.
fn across(line: &BurnDown, at: DateTime<Utc>) -> f64 {
    let whole = (line.end - line.since).num_seconds().max(1) as f64;
    ((at - line.since).num_seconds() as f64 / whole * SIDE).clamp(0.0, SIDE)
}

/// How far down from the whole limit an amount is.
fn down(line: &BurnDown, used: f64) -> f64 {
    (used / line.limit * SIDE).clamp(0.0, SIDE)
}

/// What lies between two lines, as an attribute of SVG.
fn between(upper: &[(f64, f64)], lower: &[(f64, f64)]) -> String {
    joined(upper.iter().chain(lower.iter().rev()))
}

fn joined<'a>(points: impl Iterator<Item = &'a (f64, f64)>) -> String {
    points.map(|(x, y)| format!("{x:.2},{y:.2}")).collect::<Vec<_>>().join(" ")
}

/// The picture in words.
fn told(line: &BurnDown) -> String {
    let Some(now) = line.points.last() else { return String::new() };
    let left = (line.limit - now.used()).max(0.0);
    let even = line.limit * (1.0 - across(line, now.at) / SIDE);
    format!(
        "{}: {} of {} are left, {} spent and {} kept; at an even pace {} would be left",
        line.per.words(),
        dollars(left),
        dollars(line.limit),
        dollars(now.spent),
        dollars(now.kept.unwrap_or(0.0)),
        dollars(even)
    )
}

/// What stands below the picture: its beginning, its middle and its end.
fn marks(line: &BurnDown) -> [String; 3] {
    let half = line.since + (line.end - line.since) / 2;
    let (pattern, end) = match line.per {
        Per::Day => ("%H:%M", line.end),
        // A month ends with its last day, not with the first of the next.
        Per::Month => ("%-d %b", line.end - TimeDelta::days(1)),
    };
    let last =
        if line.per == Per::Day { "24:00 UTC".to_owned() } else { end.format(pattern).to_string() };
    [line.since.format(pattern).to_string(), half.format(pattern).to_string(), last]
}

/// What is kept, and why a line can say no more than it does.
fn notes(line: &BurnDown) -> Markup {
    let other = |limit: f64| (limit - line.limit).abs() > f64::EPSILON;
    let changed = line.points.iter().any(|point| point.limit.is_some_and(other));
    let late = line.points.iter().any(|point| point.limit.is_none());
    let begins_late =
        line.points.first().is_some_and(|point| point.at - line.since > TimeDelta::minutes(1));
    html! {
        p .quiet.burn-notes {
            "Kept is the most that executions of unknown cost may come to, those that go on among them; where nobody says a most, nothing is kept."
            @if let Some(unknown) = line.unknown.filter(|unknown| *unknown > 0) {
                " " b { (number(unknown)) @if unknown == 1 { " run" } @else { " runs" } } " of this time ended at an unknown cost."
            }
            @if changed { " The limit was another one before: the line is drawn against that of now." }
            @if late { " Before the limit was set the line tells what was spent alone: what was kept then is not known." }
            @if begins_late { " Of the time before the line begins nothing is known." }
        }
    }
}

fn table(line: &BurnDown) -> Markup {
    html! {
        details #burn-table .as-table {
            summary { "As a table" }
            div .table-wrap tabindex="0" role="region" aria-label="Burn-down" {
                table {
                    thead { tr {
                        th scope="col" { "At, UTC" } th scope="col" .number { "Spent" } th scope="col" .number { "Kept" }
                        th scope="col" .number { "Left" } th scope="col" .number { "Limit then" }
                    } }
                    tbody {
                        @for point in line.points.iter().rev() {
                            tr {
                                td { (point.at.format("%Y-%m-%d %H:%M")) }
                                td .number { (dollars(point.spent)) }
                                td .number { (known(point.kept)) }
                                td .number { (known(point.limit.map(|limit| (limit - point.used()).max(0.0)))) }
                                td .number { (known(point.limit)) }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn known(usd: Option<f64>) -> Markup {
    html! { @match usd { Some(usd) => (dollars(usd)), None => span .quiet { "–" } } }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(limit: f64) -> BurnDown {
        let since: DateTime<Utc> = "2026-11-21T00:00:00Z".parse().unwrap();
        let point = |hour, spent, kept| {
            let (kept, limit) = (Some(kept), Some(10.0));
            Point { at: since + TimeDelta::hours(hour), spent, kept, limit }
        };
        BurnDown {
            since,
            end: since + TimeDelta::days(1),
            per: Per::Day,
            limit,
            points: vec![point(0, 0.0, 0.0), point(6, 2.0, 1.0), point(12, 4.0, 9.0)],
            unknown: Some(2),
        }
    }

    #[test]
    fn what_is_left_goes_down_and_never_below_nothing() {
        let text = drawn(&line(10.0)).into_string();
        assert!(
            text.contains("<polyline class=\"left\" points=\"0.00,0.00 25.00,30.00 50.00,100.00\""),
            "{text}"
        );
        assert!(
            text.contains(
                "points=\"0.00,0.00 25.00,0.00 50.00,0.00 50.00,40.00 25.00,20.00 0.00,0.00\""
            ),
            "{text}"
        );
        assert!(text.contains("at an even pace $5.00 would be left"), "{text}");
        assert!(text.contains("More is spent and kept") && text.contains("2 runs"), "{text}");
    }

    #[test]
    fn another_limit_than_before_and_none_at_all_are_said() {
        assert!(drawn(&line(20.0)).into_string().contains("another one before"));
        assert!(drawn(&line(0.0)).into_string().contains("The limit is zero"));
    }
}
