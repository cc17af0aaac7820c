//! What tokens cost, where nobody else says it: a price book.
//!
//! A book is a TOML file with a version and dated entries, one for each model and price:
//!
//! ```toml
//! version = "2026-11-21"
//!
//! [[prices]]
//! model = "claude-sonnet-4-5"
//! from = 2025-09-29
//! input = 3            # dollars for a million tokens
//! output = 15
//! cache_read = 0.30
//! cache_write_5m = 3.75
//! cache_write_1h = 6
//! prompt_tokens_max = 200_000
//! ```
//!
//! The rules, all of which end in "unknown" rather than in a guess:
//! - An entry fits a model by its whole name; or by its name with a date behind it (`-20250929`,
//!   `@20250929` or `-2025-09-29`); or, where its name ends in `*`, by what stands before the star. The
//!   first of these three that any entry fits decides, and of several stars the longest name.
//! - Of the entries that fit so, the latest counts whose `from` is not after the day (UTC) on which the
//!   run was started. Where there is none, there is no price.
//! - A class of tokens without a price has none: it isn't free. It matters only where such tokens were
//!   used.
//! - `prompt_tokens_max`: longer prompts have another price. Where only the tokens of a whole run are
//!   known, all that was read counts as one prompt.
//! - Sums are exact. A model's sum is rounded to a nano-dollar once, at its very end, half of one up.

mod amount;
mod parse;
#[cfg(test)]
mod tests;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use chrono::NaiveDate;
use execution_ledger_domain::execution::Usage;
use execution_ledger_domain::{NanoUsd, Timestamp};

pub use amount::Price;

/// The book that comes with the program.
const BUILT_IN: &str = include_str!("book.toml");
/// The largest file that is read as a book, in bytes.
pub const BOOK_MAX_BYTES: u64 = 1024 * 1024;
/// Entries of one book, at most.
pub const ENTRIES_MAX: usize = 4_096;
/// How much of a book's digest stands in its version, in hexadecimal digits.
const DIGEST_DIGITS: usize = 12;
/// What stands at the end of a name that fits all that begin with it.
const STAR: char = '*';

/// Why a file is no price book. Its text says where, and what would be right.
#[derive(Debug, thiserror::Error)]
pub enum BookError {
    /// It can't be read.
    #[error("the price book {path}: {source}")]
    Unreadable {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// What stands in it is no price book.
    #[error("the price book {path}: {problem}")]
    Invalid {
        /// Which file.
        path: PathBuf,
        /// What is wrong, with its line and field.
        problem: String,
    },
}

/// Prices of one model for a million tokens of each class; none where it is not known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Prices {
    /// Tokens read, not from a cache.
    pub input: Option<Price>,
    /// Tokens written.
    pub output: Option<Price>,
    /// Tokens read from a cache.
    pub cache_read: Option<Price>,
    /// Tokens written to a cache that lives for five minutes, or for a time of its provider's.
    pub cache_write_5m: Option<Price>,
    /// Tokens written to a cache that lives for an hour.
    pub cache_write_1h: Option<Price>,
}

impl Prices {
    /// What these tokens cost; none where a class of them has no price, or the sum is no amount.
    pub fn cost(&self, tokens: &Usage) -> Option<NanoUsd> {
        let classes = [
            (tokens.input, self.input),
            (tokens.output, self.output),
            (tokens.cache_read, self.cache_read),
            (tokens.cache_write_5m, self.cache_write_5m),
            (tokens.cache_write_1h, self.cache_write_1h),
        ];
        amount::sum(classes.into_iter().filter(|(count, _)| *count > 0))
    }
}

/// The prices of a model, or of models, from a day on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Which model; ends in `*` where it means all that begin so.
    pub model: String,
    /// The first day, in UTC.
    pub from: NaiveDate,
    /// The prices.
    pub prices: Prices,
    /// The longest prompt that has these prices, in tokens.
    pub prompt_tokens_max: Option<u64>,
}

/// A price book.
#[derive(Clone, PartialEq, Eq)]
pub struct PriceBook {
    version: String,
    entries: Vec<Entry>,
}

impl fmt::Debug for PriceBook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("PriceBook").field(&self.version).finish()
    }
}

impl PriceBook {
    /// The book that comes with the program.
    pub fn built_in() -> Arc<Self> {
        static BOOK: OnceLock<Arc<PriceBook>> = OnceLock::new();
        let parsed = || match Self::parse(BUILT_IN) {
            Ok(book) => Arc::new(book),
            Err(problem) => unreachable!("the built-in price book is tested: {problem}"),
        };
        Arc::clone(BOOK.get_or_init(parsed))
    }

    /// The text of the book that comes with the program: a file to begin with.
    pub fn built_in_text() -> &'static str {
        BUILT_IN
    }

    /// A book of somebody's own. It takes the place of the built-in one as a whole: what is recorded
    /// names one file, and a mixture of two would be named by none.
    ///
    /// # Errors
    /// [`BookError`] where it can't be read or is none.
    pub fn load(path: &Path) -> Result<Self, BookError> {
        let unreadable = |source| BookError::Unreadable { path: path.to_owned(), source };
        let invalid = |problem| BookError::Invalid { path: path.to_owned(), problem };
        let length = std::fs::metadata(path).map_err(unreadable)?.len();
        if length > BOOK_MAX_BYTES {
            return Err(invalid(format!("it has {length} bytes, more than {BOOK_MAX_BYTES}")));
        }
        Self::parse(&std::fs::read_to_string(path).map_err(unreadable)?).map_err(invalid)
    }

    /// A book from its text.
    ///
    /// # Errors
    /// What is wrong with it, in words, with its line.
    pub fn parse(text: &str) -> Result<Self, String> {
        parse::book(text)
    }

    /// By which it is recorded: the version that it gives itself, and the beginning of the SHA-256 of
    /// its text. So no two books have the same.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// All entries, by model and day.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// What these tokens of a model cost on that day.
    ///
    /// `longest_prompt` is that of the longest request, where it is known. None where there is no price
    /// for all of the tokens.
    pub fn cost(
        &self,
        model: &str,
        at: Timestamp,
        tokens: &Usage,
        longest_prompt: Option<u64>,
    ) -> Option<NanoUsd> {
        let entry = self.entry(model, at)?;
        let read = longest_prompt.unwrap_or_else(|| prompt_tokens(tokens));
        if entry.prompt_tokens_max.is_some_and(|most| read > most) {
            return None;
        }
        entry.prices.cost(tokens)
    }

    /// The entry that holds for a model on that day.
    pub fn entry(&self, model: &str, at: Timestamp) -> Option<&Entry> {
        let best = self.entries.iter().filter_map(|entry| fit(&entry.model, model)).max()?;
        let day = at.to_chrono().date_naive();
        self.entries
            .iter()
            .filter(|entry| fit(&entry.model, model) == Some(best) && entry.from <= day)
            .max_by_key(|entry| entry.from)
    }
}

/// How many tokens a model was given to read.
pub(crate) fn prompt_tokens(tokens: &Usage) -> u64 {
    [tokens.input, tokens.cache_read, tokens.cache_write_5m, tokens.cache_write_1h]
        .into_iter()
        .fold(0, u64::saturating_add)
}

/// How well an entry's name fits a model, the best being the greatest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Fit {
    /// By what stands before its star: so many bytes.
    Begins(usize),
    /// By its name, behind which the model has a date.
    Dated,
    /// By the whole name.
    Whole,
}

fn fit(entry: &str, model: &str) -> Option<Fit> {
    if let Some(beginning) = entry.strip_suffix(STAR) {
        return model.starts_with(beginning).then_some(Fit::Begins(beginning.len()));
    }
    let behind = model.strip_prefix(entry)?;
    match behind {
        "" => Some(Fit::Whole),
        _ if is_date(behind) => Some(Fit::Dated),
        _ => None,
    }
}

/// `-20250929`, `@20250929` or `-2025-09-29`.
fn is_date(behind: &str) -> bool {
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    match behind.split_at_checked(1) {
        Some(("-" | "@", date)) if date.len() == 8 => digits(date),
        Some(("-", date)) if date.len() == 10 => {
            date.bytes().enumerate().all(|(at, byte)| match at {
                4 | 7 => byte == b'-',
                _ => byte.is_ascii_digit(),
            })
        }
        _ => false,
    }
}
