//! How times, durations, money and states are put for people.

use chrono::DateTime;
use maud::{Markup, PreEscaped, html};

use crate::answers::Execution;

/// Places of an amount in dollars, at most: costs are counted in nano-dollars.
const DOLLAR_PLACES_MAX: usize = 9;

/// A time: exact where scripts don't run, relative where they do.
pub(crate) fn time(at: &str) -> Markup {
    let exact = exact(at);
    html! { time datetime=(at) title=(exact) { (exact) } }
}

/// A time in full, in UTC.
pub(crate) fn exact(at: &str) -> String {
    DateTime::parse_from_rfc3339(at).map_or_else(
        |_| at.to_owned(),
        |at| at.to_utc().format("%Y-%m-%d %H:%M:%S UTC").to_string(),
    )
}

/// A duration in milliseconds, as short as is still clear.
pub(crate) fn duration(ms: u64) -> String {
    let seconds = ms / 1_000;
    match seconds {
        _ if ms < 1_000 => format!("{ms} ms"),
        0..60 => format!("{seconds}.{} s", ms % 1_000 / 100),
        60..3_600 => format!("{} min {:02} s", seconds / 60, seconds % 60),
        3_600..86_400 => format!("{} h {:02} min", seconds / 3_600, seconds % 3_600 / 60),
        _ => format!("{} d {:02} h", seconds / 86_400, seconds % 86_400 / 3_600),
    }
}

/// Dollars with as many places as they need, two at least: never a rounded zero.
pub(crate) fn dollars(usd: f64) -> String {
    let places = match usd.abs() {
        0.0 => 2,
        size if size >= 1.0 => 2,
        size if size >= 0.01 => 4,
        _ => DOLLAR_PLACES_MAX,
    };
    let text = format!("{:.places$}", usd.abs());
    let shown = if places == DOLLAR_PLACES_MAX { text.trim_end_matches('0') } else { &text };
    let sign = if usd < 0.0 { "−" } else { "" };
    format!("{sign}${shown}")
}

/// Amounts that stand together on an axis: all with as many places as the finest of them needs, two at least.
pub(crate) fn dollars_alike<const N: usize>(amounts: [f64; N]) -> [String; N] {
    // Binary fractions are a little beside what they stand for.
    let is_whole = |scaled: f64| (scaled - scaled.round()).abs() <= scaled.abs() * 1e-9;
    let fits = |places: &usize| {
        let factor = 10_f64.powf(*places as f64);
        amounts.iter().all(|usd| is_whole(usd * factor))
    };
    let places = (2..DOLLAR_PLACES_MAX).find(fits).unwrap_or(DOLLAR_PLACES_MAX);
    amounts.map(|usd| format!("${usd:.places$}"))
}

/// What runs cost together as far as is known: where nobody knows it of any, that, and never zero.
pub(crate) fn sum(usd: f64, runs: u64, unknown: u64) -> String {
    if unknown > 0 && unknown >= runs && usd == 0.0 { "unknown".to_owned() } else { dollars(usd) }
}

/// What an execution cost: what is not known is said to be unknown, never zero.
pub(crate) fn cost(execution: &Execution) -> Markup {
    let simulated = execution.cost_basis.as_deref() == Some("simulated");
    match execution.cost_usd {
        Some(usd) => html! {
            (dollars(usd))
            @if simulated { " " span .quiet title="A simulated run: no money was spent" { "sim." } }
        },
        None if execution.is_open() => html! { span .quiet { "–" } },
        None => html! { span .quiet title="Nobody knows what it cost" { "unknown" } },
    }
}

/// An amount where it is known, and else that it is not.
pub(crate) fn known(usd: Option<f64>) -> Markup {
    html! {
        @match usd { Some(usd) => (dollars(usd)), None => span .quiet { "cost unknown" } }
    }
}

/// A whole number with its thousands apart.
pub(crate) fn number(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            grouped.push('\u{202f}');
        }
        grouped.push(digit);
    }
    grouped
}

/// Decimal digits with their thousands apart, however many there are.
pub(crate) fn grouped(digits: &str) -> String {
    let mut text = String::with_capacity(digits.len() + digits.len() / 3 * 3);
    let count = digits.chars().count();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (count - index).is_multiple_of(3) {
            text.push('\u{202f}');
        }
        text.push(digit);
    }
    text
}

/// A size in bytes.
pub(crate) fn bytes(bytes: u64) -> String {
    match bytes {
        0..1_024 => format!("{bytes} B"),
        1_024..1_048_576 => format!("{:.1} KiB", bytes as f64 / 1_024.0),
        _ => format!("{:.1} MiB", bytes as f64 / 1_048_576.0),
    }
}

/// A status as a mark and a word.
pub(crate) fn status(status: &str) -> Markup {
    html! { span class={ "status is-" (status) } { span .mark {} (status) } }
}

/// How an execution came to be.
pub(crate) fn trigger(trigger: &str) -> Markup {
    html! { span class={ "trigger by-" (trigger) } { (trigger.replace('_', " ")) } }
}

/// The first line of a text, short.
pub(crate) fn first_line(text: &str, most: usize) -> String {
    let line = text.lines().find(|line| !line.trim().is_empty()).unwrap_or("").trim();
    let mut short: String = line.chars().take(most).collect();
    if short.len() < line.len() || text.trim().len() > line.len() {
        short.push('…');
    }
    short
}

/// A small picture; words stand beside it wherever it is.
pub(crate) fn icon(name: &str) -> Markup {
    let path = match name {
        "ledger" => {
            r#"<rect x="2" y="2" width="12" height="12" rx="3" fill="currentColor" stroke="none"/><path d="M5.2 5.6h5.6M5.2 8h5.6M5.2 10.4h3.4" stroke="var(--ground)"/>"#
        }
        "list" => {
            r#"<path d="M5.5 4h8M5.5 8h8M5.5 12h8"/><path d="M2.5 4h.01M2.5 8h.01M2.5 12h.01" stroke-width="2"/>"#
        }
        "agent" => {
            r#"<rect x="2.5" y="5" width="11" height="8" rx="2.5"/><path d="M8 2v3M6 8.5v1M10 8.5v1"/>"#
        }
        "pause" => r#"<path d="M5.5 3.5v9M10.5 3.5v9"/>"#,
        "play" => r#"<path d="M5 3.5v9l7.5-4.5z"/>"#,
        "up" => r#"<path d="M8 13V4M4 7.5 8 3.5 12 7.5"/>"#,
        "copy" => {
            r#"<rect x="5.5" y="5.5" width="8" height="8" rx="1.5"/><path d="M3.5 10.5h-1v-8h8v1"/>"#
        }
        "clock" => r#"<circle cx="8" cy="8" r="5.5"/><path d="M8 5v3.2l2 1.3"/>"#,
        "chat" => {
            r#"<path d="M3.5 3h9A1.5 1.5 0 0 1 14 4.5v5a1.5 1.5 0 0 1-1.5 1.5H7l-3.5 2.5V11A1.5 1.5 0 0 1 2 9.5v-5A1.5 1.5 0 0 1 3.5 3z"/>"#
        }
        "audit" => {
            r#"<path d="M8 2 3 4v4c0 3 2.2 5.2 5 6 2.8-.8 5-3 5-6V4z"/><path d="m5.8 8 1.6 1.6 2.9-3.1"/>"#
        }
        "key" => r#"<circle cx="5" cy="11" r="2.75"/><path d="m7 9 6-6M10.5 5.5l2 2"/>"#,
        "coins" => {
            r#"<ellipse cx="8" cy="4.5" rx="5" ry="2"/><path d="M3 4.5v7c0 1.1 2.2 2 5 2s5-.9 5-2v-7M3 8c0 1.1 2.2 2 5 2s5-.9 5-2"/>"#
        }
        "receipt" => {
            r#"<path d="M3.5 2.5v11l1.5-1 1.5 1 1.5-1 1.5 1 1.5-1 1.5 1v-11z"/><path d="M6 6h4M6 8.5h4"/>"#
        }
        "hook" => {
            r#"<circle cx="8" cy="4" r="1.75"/><circle cx="4" cy="11.5" r="1.75"/><circle cx="12" cy="11.5" r="1.75"/><path d="m7.2 5.6-2.3 4.3M8.8 5.6l2.3 4.3M5.8 11.5h4.4"/>"#
        }
        "calendar" => {
            r#"<rect x="2.5" y="3.5" width="11" height="10" rx="2"/><path d="M2.5 6.8h11M5.5 2v3M10.5 2v3"/>"#
        }
        "activity" => r#"<path d="M1.5 8.5h3L6.5 3l3 10 2-4.5h3"/>"#,
        "timeline" => r#"<path d="M2.5 4h6M5.5 8h8M4 12h5" stroke-width="2.5"/>"#,
        "people" => {
            r#"<circle cx="5.5" cy="6" r="2.2"/><circle cx="11" cy="6.5" r="1.7"/><path d="M1.8 13c.3-2.3 1.7-3.5 3.7-3.5S8.9 10.7 9.2 13M10.5 10c2 0 3.2 1 3.6 3"/>"#
        }
        "menu" => r#"<path d="M2.5 4.5h11M2.5 8h11M2.5 11.5h11"/>"#,
        "code" => r#"<path d="M5.5 4.5 2 8l3.5 3.5M10.5 4.5 14 8l-3.5 3.5"/>"#,
        "search" => r#"<circle cx="7" cy="7" r="4.5"/><path d="m10.5 10.5 3.5 3.5"/>"#,
        "contrast" => {
            r#"<circle cx="8" cy="8" r="5.5"/><path d="M8 2.5a5.5 5.5 0 0 1 0 11z" fill="currentColor"/>"#
        }
        "plus" => r#"<path d="M8 3v10M3 8h10"/>"#,
        "stop" => r#"<rect x="4" y="4" width="8" height="8" rx="1.5"/>"#,
        "again" => r#"<path d="M13 8a5 5 0 1 1-1.5-3.5M13 2.5v3h-3"/>"#,
        "down" => r#"<path d="M8 3v9M4 8.5 8 12.5 12 8.5"/>"#,
        "tool" => r#"<path d="m3 4 3.5 3.5L3 11M8.5 11.5H13"/>"#,
        _ => "",
    };
    html! {
        svg .icon viewBox="0 0 16 16" aria-hidden="true" focusable="false" { (PreEscaped(path)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn money_is_never_rounded_to_nothing() {
        let cases = [
            (0.0, "$0.00"),
            (0.000_000_001, "$0.000000001"),
            (0.0084, "$0.0084"),
            (0.0168, "$0.0168"),
            (12.345, "$12.35"),
            (-0.5, "−$0.5000"),
        ];
        for (usd, shown) in cases {
            assert_eq!(dollars(usd), shown);
        }
    }

    #[test]
    fn amounts_of_an_axis_have_the_same_places_and_none_is_rounded() {
        assert_eq!(dollars_alike([1.0, 0.5]), ["$1.00", "$0.50"]);
        assert_eq!(dollars_alike([0.05, 0.025]), ["$0.050", "$0.025"]);
        assert_eq!(dollars_alike([0.1, 0.05]), ["$0.10", "$0.05"]);
        assert_eq!(dollars_alike([12.345, 6.1725]), ["$12.3450", "$6.1725"]);
        assert_eq!(dollars_alike([4e-9, 2e-9]), ["$0.000000004", "$0.000000002"]);
    }

    #[test]
    fn a_sum_of_nothing_but_unknowns_is_unknown() {
        assert_eq!(sum(0.0, 3, 3), "unknown");
        assert_eq!(sum(0.0, 3, 0), "$0.00");
        assert_eq!(sum(0.0, 3, 2), "$0.00");
        assert_eq!(sum(0.5, 3, 3), "$0.5000");
    }

    #[test]
    fn durations_and_numbers_are_read_at_a_glance() {
        let cases =
            [(7, "7 ms"), (2_340, "2.3 s"), (61_000, "1 min 01 s"), (3_600_000, "1 h 00 min")];
        for (ms, shown) in cases {
            assert_eq!(duration(ms), shown);
        }
        assert_eq!(number(1_234_567), "1\u{202f}234\u{202f}567");
        assert_eq!(number(123), "123");
    }

    #[test]
    fn a_title_is_one_line_and_says_that_there_is_more() {
        assert_eq!(first_line("\n  one \ntwo", 80), "one…");
        assert_eq!(first_line("äöü", 2), "äö…");
        assert_eq!(first_line("one", 80), "one");
    }
}
