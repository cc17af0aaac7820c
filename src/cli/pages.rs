//! Lists, which the server answers in pages.

use serde_json::Value;

use super::{Exit, Failure};
use crate::client::{Client, Ordered};
use crate::output::{Output, Sheet};

/// Rows of one request: most.
pub const PAGE_MAX: u32 = 200;
/// Rows in all: most. More are for the API and its cursors.
pub const ROWS_MAX: u32 = 100_000;

/// The rows of a list's pages, one after the other.
pub struct Rows {
    name: &'static str,
    /// For people.
    shown: Vec<Value>,
    /// For programs, as they were answered. Only one of the two is filled.
    printed: Vec<Ordered>,
    cursor: Option<String>,
    /// How many were asked for.
    most: u32,
}

impl Rows {
    /// At most so many rows of `/api/{name}`, of those that the filters find.
    ///
    /// # Errors
    /// What the server answers to one of the pages, where that is no page.
    pub async fn fetch(
        client: &Client,
        name: &'static str,
        filters: impl IntoIterator<Item = (&'static str, Option<String>)>,
        most: u32,
        output: &Output,
    ) -> Result<Self, Failure> {
        let filters: Vec<_> =
            filters.into_iter().filter_map(|(name, value)| Some((name, value?))).collect();
        let mut all = Self { name, shown: Vec::new(), printed: Vec::new(), cursor: None, most };
        let mut missing = most;
        // Ends: every page but the last has rows, and there are at most `most` rows.
        loop {
            let mut query = filters.clone();
            query.push(("limit", missing.min(PAGE_MAX).to_string()));
            query.extend(all.cursor.take().map(|cursor| ("cursor", cursor)));
            let page = client.get(&["api", name], &query).await?;
            let found = page.get(name).and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
            if !output.is_json() {
                all.shown.extend_from_slice(found);
            } else if let Some(Ordered::List(items)) = page.ordered()?.take(name) {
                all.printed.extend(items);
            }
            all.cursor = page.get("next_cursor").and_then(Value::as_str).map(str::to_owned);
            missing = missing.saturating_sub(u32::try_from(found.len()).unwrap_or(u32::MAX));
            if found.is_empty() || all.cursor.is_none() || missing == 0 {
                return Ok(all);
            }
        }
    }

    /// Writes them: as JSON, as this table, or as what is said where there are none.
    ///
    /// # Errors
    /// Nobody is left to be told.
    pub fn write(
        self,
        none: &str,
        table: impl FnOnce(&[Value]) -> Sheet,
        output: &Output,
    ) -> Result<Exit, Failure> {
        if output.is_json() {
            output.json(&Ordered::Fields(vec![
                (self.name.to_owned(), Ordered::List(self.printed)),
                ("next_cursor".to_owned(), Ordered::Scalar(self.cursor.into())),
            ]))?;
        } else if self.shown.is_empty() {
            output.remark(none);
        } else {
            output.sheet(&table(&self.shown))?;
            match self.cursor {
                Some(_) if self.most < ROWS_MAX => {
                    output.remark("there are more: raise --limit or narrow the filters");
                }
                Some(_) => output.remark("there are more: narrow the filters"),
                None => {}
            }
        }
        Ok(Exit::Success)
    }
}
