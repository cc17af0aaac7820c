//! Numbers, times and money in words.

use execution_ledger_domain::{NanoUsd, Timestamp};
use serde_json::Value;

/// How long ago a moment was.
pub fn ago(then: Timestamp, now: Timestamp) -> String {
    if then > now {
        return format!("in {}", duration(then.ms_since(now)));
    }
    let ms = now.ms_since(then);
    if ms < 1_000 { "just now".to_owned() } else { format!("{} ago", rough(ms / 1_000)) }
}

/// A moment to the second, in UTC.
pub fn exact(moment: Timestamp) -> String {
    moment.to_chrono().format("%Y-%m-%d %H:%M:%S UTC").to_string()
}

fn rough(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3_600 => format!("{} min", seconds / 60),
        3_600..172_800 => format!("{} h", seconds / 3_600),
        _ => format!("{} d", seconds / 86_400),
    }
}

/// A duration, with the precision that people care for at its size.
pub fn duration(ms: u64) -> String {
    let seconds = ms / 1_000;
    match seconds {
        0 => format!("{ms} ms"),
        1..60 => format!("{}.{} s", seconds, ms % 1_000 / 100),
        60..3_600 => format!("{} min {:02} s", seconds / 60, seconds % 60),
        _ => format!("{} h {:02} min", seconds / 3_600, seconds / 60 % 60),
    }
}

/// An amount in dollars, exact, with at least two places; `-` where it is not known.
pub fn amount(dollars: &Value) -> String {
    let known = dollars.as_f64().and_then(|usd| NanoUsd::nearest(usd).ok());
    known.map_or_else(|| "-".to_owned(), exact_amount)
}

fn exact_amount(amount: NanoUsd) -> String {
    let nanos = amount.nanos();
    let sign = if nanos < 0 { "-" } else { "" };
    let (whole, rest) =
        (nanos.unsigned_abs() / 1_000_000_000, nanos.unsigned_abs() % 1_000_000_000);
    let mut places = format!("{rest:09}");
    while places.len() > 2 && places.ends_with('0') {
        places.pop();
    }
    format!("{sign}${}.{places}", number(whole))
}

/// A whole number with its thousands set apart.
pub fn number(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// A size in bytes, in a unit that suits it.
pub fn size(bytes: u64) -> String {
    const UNITS: [(&str, u64); 4] =
        [("TiB", 1 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];
    match UNITS.iter().find(|(_, unit)| bytes >= *unit) {
        Some((name, unit)) => {
            let tenths = u128::from(bytes) * 10 / u128::from(*unit);
            format!("{}.{} {name}", tenths / 10, tenths % 10)
        }
        None => format!("{bytes} B"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn money_is_exact_and_never_less_than_cents() {
        for (usd, text) in [
            (serde_json::json!(0), "$0.00"),
            (serde_json::json!(1234.5), "$1,234.50"),
            (serde_json::json!(0.000_000_001), "$0.000000001"),
            (serde_json::json!(0.1), "$0.10"),
            (serde_json::json!(-0.25), "-$0.25"),
            (Value::Null, "-"),
        ] {
            assert_eq!(amount(&usd), text);
        }
    }

    #[test]
    fn durations_and_times_are_as_precise_as_people_care() {
        assert_eq!(duration(7), "7 ms");
        assert_eq!(duration(1_250), "1.2 s");
        assert_eq!(duration(61_000), "1 min 01 s");
        assert_eq!(duration(7_260_000), "2 h 01 min");
        let now = Timestamp::from_micros(10_000_000_000);
        assert_eq!(ago(Timestamp::from_micros(9_999_900_000), now), "just now");
        assert_eq!(ago(Timestamp::from_micros(9_910_000_000), now), "1 min ago");
        assert_eq!(ago(now.plus_s(5), now), "in 5.0 s");
    }

    #[test]
    fn numbers_and_sizes_are_readable() {
        assert_eq!(number(0), "0");
        assert_eq!(number(1_234_567), "1,234,567");
        assert_eq!(size(1_023), "1023 B");
        assert_eq!(size(1_536), "1.5 KiB");
        assert_eq!(size(u64::MAX), "16777215.9 TiB");
    }
}
