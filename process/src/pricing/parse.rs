//! From the text of a price book to the book.

use std::collections::HashSet;

use chrono::NaiveDate;
use execution_ledger_domain::content::Digest;
use serde::Deserialize;
use toml::Spanned;
use toml::value::Datetime;

use super::{DIGEST_DIGITS, ENTRIES_MAX, Entry, Price, PriceBook, Prices, STAR};

/// The longest version that a book may give itself, in bytes.
const VERSION_MAX_BYTES: usize = 64;
/// The longest name of a model, in bytes.
const MODEL_MAX_BYTES: usize = 256;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    version: Spanned<String>,
    #[serde(default)]
    prices: Vec<Spanned<Row>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    model: Spanned<String>,
    from: Spanned<Datetime>,
    input: Option<Spanned<Number>>,
    output: Option<Spanned<Number>>,
    cache_read: Option<Spanned<Number>>,
    cache_write_5m: Option<Spanned<Number>>,
    cache_write_1h: Option<Spanned<Number>>,
    prompt_tokens_max: Option<Spanned<u64>>,
}

/// TOML tells whole numbers from others; a price may be either.
#[derive(Deserialize)]
#[serde(untagged)]
enum Number {
    Whole(u32),
    Other(f64),
}

impl Number {
    fn usd(&self) -> f64 {
        match self {
            Self::Whole(number) => f64::from(*number),
            Self::Other(number) => *number,
        }
    }
}

/// Reads a book. Its errors name the line.
pub(super) fn book(text: &str) -> Result<PriceBook, String> {
    let file: File = toml::from_str(text).map_err(|error| in_words(text, &error))?;
    let version = file.version.get_ref();
    let plain = version.bytes().all(|byte| byte.is_ascii_graphic());
    if version.is_empty() || version.len() > VERSION_MAX_BYTES || !plain {
        let rule = format!("version: 1 to {VERSION_MAX_BYTES} visible ASCII characters");
        return Err(at(text, &file.version, &rule));
    }
    if file.prices.len() > ENTRIES_MAX {
        return Err(format!("it has {} prices, more than {ENTRIES_MAX}", file.prices.len()));
    }
    let mut entries = Vec::with_capacity(file.prices.len());
    let mut seen = HashSet::new();
    for row in &file.prices {
        let entry = entry(text, row)?;
        if !seen.insert((entry.model.clone(), entry.from)) {
            let twice = format!("model {} has two prices from {}", entry.model, entry.from);
            return Err(at(text, &row.get_ref().model, &twice));
        }
        entries.push(entry);
    }
    entries.sort_by(|one, other| (&one.model, one.from).cmp(&(&other.model, other.from)));
    let digest = Digest::of(text.as_bytes()).to_string();
    let digest = digest.get(..DIGEST_DIGITS).unwrap_or(&digest);
    Ok(PriceBook { version: format!("{version}+{digest}"), entries })
}

fn entry(text: &str, row: &Spanned<Row>) -> Result<Entry, String> {
    let given = row.get_ref();
    let model = given.model.get_ref();
    let stem = model.strip_suffix(STAR).unwrap_or(model);
    let plain = stem.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'*');
    if stem.is_empty() || model.len() > MODEL_MAX_BYTES || !plain {
        let rule = format!(
            "model: 1 to {MODEL_MAX_BYTES} visible ASCII characters, a * only at the end, and not alone"
        );
        return Err(at(text, &given.model, &rule));
    }
    let price = |name: &str, number: &Option<Spanned<Number>>| match number {
        None => Ok(None),
        Some(number) => Price::from_usd(number.get_ref().usd())
            .map(Some)
            .map_err(|problem| at(text, number, &format!("{name}: {problem}"))),
    };
    let prices = Prices {
        input: price("input", &given.input)?,
        output: price("output", &given.output)?,
        cache_read: price("cache_read", &given.cache_read)?,
        cache_write_5m: price("cache_write_5m", &given.cache_write_5m)?,
        cache_write_1h: price("cache_write_1h", &given.cache_write_1h)?,
    };
    if prices == Prices::default() {
        return Err(at(text, &given.model, &format!("model {model} has no price at all")));
    }
    let prompt_tokens_max = given.prompt_tokens_max.as_ref();
    Ok(Entry {
        model: model.clone(),
        from: day(given.from.get_ref())
            .ok_or_else(|| at(text, &given.from, "from: a day is meant, such as 2026-11-21"))?,
        prices,
        prompt_tokens_max: prompt_tokens_max.map(|most| *most.get_ref()),
    })
}

/// A date without a time.
fn day(given: &Datetime) -> Option<NaiveDate> {
    match given {
        Datetime { date: Some(date), time: None, offset: None } => NaiveDate::from_ymd_opt(
            i32::from(date.year),
            u32::from(date.month),
            u32::from(date.day),
        ),
        _ => None,
    }
}

fn at<T>(text: &str, place: &Spanned<T>, problem: &str) -> String {
    format!("line {}: {problem}", line_of(text, place.span().start))
}

fn in_words(text: &str, error: &toml::de::Error) -> String {
    let line = error.span().map(|span| format!("line {}: ", line_of(text, span.start)));
    format!("{}{}", line.unwrap_or_default(), error.message().replace('\n', " "))
}

fn line_of(text: &str, offset: usize) -> usize {
    text.get(..offset).unwrap_or_default().matches('\n').count() + 1
}
