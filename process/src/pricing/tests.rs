use execution_ledger_domain::NanoUsd;
use execution_ledger_domain::execution::Usage;
use proptest::prelude::*;

use super::*;

const BOOK: &str = r#"
version = "v1"

[[prices]]
model = "m-1"
from = 2026-01-01
input = 3
output = 15
cache_read = 0.30
cache_write_5m = 3.75
cache_write_1h = 6

[[prices]]
model = "m-1"
from = 2026-06-01
input = 2
output = 10

[[prices]]
model = "m-*"
from = 2026-01-01
input = 1

[[prices]]
model = "m-1-long*"
from = 2026-01-01
input = 7
prompt_tokens_max = 100
"#;

fn book() -> PriceBook {
    PriceBook::parse(BOOK).expect("a book")
}

fn on(text: &str) -> Timestamp {
    let at = format!("{text}T12:00:00Z").parse::<chrono::DateTime<chrono::Utc>>();
    at.expect("a time").into()
}

fn input(tokens: u64) -> Usage {
    Usage { input: tokens, ..Usage::default() }
}

fn nanos(amount: Option<NanoUsd>) -> Option<i64> {
    amount.map(NanoUsd::nanos)
}

#[test]
fn the_built_in_book_can_be_read_and_prices_what_claude_code_reported_itself() {
    let book = PriceBook::built_in();
    assert!(book.version().starts_with("2026-11-21+"), "{}", book.version());
    let tokens =
        Usage { input: 2400, output: 84, cache_read: 100, cache_write_5m: 600, cache_write_1h: 0 };
    let cost = book.cost("claude-opus-5-5", on("2026-11-21"), &tokens, None);
    assert_eq!(nanos(cost), Some(14_300_000));
}

#[test]
fn a_model_is_priced_by_its_name_then_by_its_name_with_a_date_then_by_the_longest_beginning() {
    let book = book();
    let model = |name| book.entry(name, on("2026-02-01")).map(|entry| entry.model.as_str());
    assert_eq!(model("m-1"), Some("m-1"));
    for dated in ["m-1-20260101", "m-1@20260101", "m-1-2026-01-01"] {
        assert_eq!(model(dated), Some("m-1"), "{dated}");
    }
    for other in ["m-10", "m-1-2026", "m-1-202601011", "m-1@2026-01-01", "m-1[1m]"] {
        assert_eq!(model(other), Some("m-*"), "{other}");
    }
    assert_eq!(model("m-1-longer"), Some("m-1-long*"));
    assert_eq!(model("n-1"), None);
}

#[test]
fn the_price_of_the_day_counts_and_before_the_first_there_is_none() {
    let book = book();
    let cost = |day| nanos(book.cost("m-1", on(day), &input(1_000), None));
    assert_eq!(cost("2025-12-31"), None);
    assert_eq!(cost("2026-01-01"), Some(3_000_000));
    assert_eq!(cost("2026-05-31"), Some(3_000_000));
    assert_eq!(cost("2026-06-01"), Some(2_000_000));
}

#[test]
fn a_class_without_a_price_is_not_free() {
    let book = book();
    let mut tokens = input(10);
    assert!(book.cost("m-1", on("2026-07-01"), &tokens, None).is_some());
    tokens.cache_read = 1;
    assert_eq!(book.cost("m-1", on("2026-07-01"), &tokens, None), None);
}

#[test]
fn a_price_for_short_prompts_is_none_for_longer_ones() {
    let book = book();
    let cost =
        |tokens, longest| nanos(book.cost("m-1-long", on("2026-02-01"), &input(tokens), longest));
    assert_eq!(cost(100, None), Some(700_000));
    assert_eq!(cost(101, None), None);
    assert_eq!(cost(1_000, Some(100)), Some(7_000_000));
    assert_eq!(cost(1_000, Some(101)), None);
}

#[test]
fn half_a_nano_dollar_is_rounded_up_once_at_the_end() {
    let price = |usd| Price::from_usd(usd).ok();
    let prices = Prices { input: price(0.0005), output: price(0.0004), ..Prices::default() };
    let cost = |input, output| nanos(prices.cost(&Usage { input, output, ..Usage::default() }));
    assert_eq!(cost(1, 0), Some(1));
    assert_eq!(cost(0, 1), Some(0));
    // 0.5 and 0.4 nano-dollars are 0.9, and not 1 and 0.
    assert_eq!(cost(1, 1), Some(1));
    assert_eq!(cost(2, 1), Some(1));
}

#[test]
fn two_books_never_have_the_same_version() {
    let other = PriceBook::parse(&BOOK.replace("input = 1\n", "input = 1.5\n")).expect("a book");
    assert_ne!(book().version(), other.version());
    assert!(other.version().starts_with("v1+"));
}

#[test]
fn what_is_no_book_is_refused_by_line_and_field() {
    let row = "version = \"v\"\n[[prices]]\nmodel = \"m\"\nfrom = 2026-01-01\n";
    for (text, expected) in [
        ("version = \"v\"\nprice = 1", "line 2: unknown field `price`"),
        ("[[prices]]\nmodel = \"m\"\nfrom = 2026-01-01\ninput = 1", "missing field `version`"),
        ("version = \"\"", "line 1: version: 1 to 64"),
        (&format!("{row}input = -1"), "line 5: input: -1 is no price"),
        (&format!("{row}output = 0.0000001"), "more than six decimal places"),
        (&format!("{row}output = 1000000.5"), "at most 1000000"),
        (&format!("{row}output = nan"), "line 5: output"),
        (&format!("{row}output = \"3\""), "line 5"),
        (row, "line 3: model m has no price at all"),
        (
            &format!("{row}input = 1\n[[prices]]\nmodel = \"m\"\nfrom = 2026-01-01\ninput = 2"),
            "line 7: model m has two prices from 2026-01-01",
        ),
        (&row.replace("\"m\"", "\"*\""), "line 3: model"),
        (
            &format!("{}input = 1", row.replace("2026-01-01", "2026-01-01T00:00:00Z")),
            "line 4: from: a day is meant",
        ),
        (&format!("{}input = 1", row.replace("2026-01-01", "2026-02-30")), "line 4"),
        ("version = ", "line 1"),
    ] {
        let problem = PriceBook::parse(text).expect_err(text);
        assert!(problem.contains(expected), "{text}\n{problem}\n{expected}");
    }
}

#[test]
fn a_file_that_is_missing_or_too_large_is_refused_by_name() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("prices.toml");
    let missing = PriceBook::load(&path).expect_err("missing").to_string();
    assert!(missing.contains("prices.toml"), "{missing}");
    let too_large = usize::try_from(BOOK_MAX_BYTES).expect("a length") + 1;
    std::fs::write(&path, "#".repeat(too_large)).expect("written");
    assert!(matches!(PriceBook::load(&path), Err(BookError::Invalid { .. })));
    std::fs::write(&path, BOOK).expect("written");
    assert_eq!(PriceBook::load(&path).expect("a book"), book());
}

/// A decimal with six places, as it is written.
fn decimal() -> impl Strategy<Value = (u64, u64)> {
    (0..100_000_u64, 0..1_000_000_u64)
}

/// The sum of products by school arithmetic on decimal digits: slow, and another way.
fn by_digits(rows: &[(u64, (u64, u64))]) -> String {
    let mut digits = vec![0_u32; 60];
    for (count, (whole, places)) in rows {
        let price: Vec<u32> =
            format!("{whole}{places:06}").bytes().rev().map(|b| u32::from(b - b'0')).collect();
        let count: Vec<u32> =
            count.to_string().bytes().rev().map(|b| u32::from(b - b'0')).collect();
        for (i, a) in price.iter().enumerate() {
            for (j, b) in count.iter().enumerate() {
                digits[i + j] += a * b;
            }
        }
        for at in 0..digits.len() - 1 {
            digits[at + 1] += digits[at] / 10;
            digits[at] %= 10;
        }
    }
    // Pico-dollars: the last three digits are less than a nano-dollar.
    let up = u32::from(digits[2] >= 5);
    let mut nanos = digits.split_off(3);
    nanos[0] += up;
    for at in 0..nanos.len() - 1 {
        nanos[at + 1] += nanos[at] / 10;
        nanos[at] %= 10;
    }
    let text: String = nanos.iter().rev().filter_map(|d| char::from_digit(*d, 10)).collect();
    let text = text.trim_start_matches('0');
    if text.is_empty() { "0".to_owned() } else { text.to_owned() }
}

proptest! {
    #[test]
    fn a_sum_is_exact_to_the_last_digit(
        counts in prop::array::uniform5(0..10_000_000_u64),
        written in prop::array::uniform5(decimal()),
    ) {
        let price = |at: usize| -> Option<Price> {
            let (whole, places) = written[at];
            let usd: f64 = format!("{whole}.{places:06}").parse().expect("a number");
            let price = Price::from_usd(usd).expect("a price");
            assert_eq!(price.picos(), whole * 1_000_000 + places);
            Some(price)
        };
        let prices = Prices {
            input: price(0),
            output: price(1),
            cache_read: price(2),
            cache_write_5m: price(3),
            cache_write_1h: price(4),
        };
        let [input, output, cache_read, cache_write_5m, cache_write_1h] = counts;
        let tokens = Usage { input, output, cache_read, cache_write_5m, cache_write_1h };
        let rows: Vec<_> = counts.into_iter().zip(written).collect();
        let expected = by_digits(&rows);
        match prices.cost(&tokens) {
            Some(cost) => prop_assert_eq!(cost.nanos().to_string(), expected),
            None => prop_assert!(expected.parse::<i128>().expect("digits") > i128::from(NanoUsd::MAX.nanos())),
        }
    }
}
