//! What the page shows, as a file for spreadsheets.

use axum::extract::{Query, State};
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use chrono::Utc;

use super::answers::{Costs, Sum};
use super::range::Range;
use crate::error_page::Instead;
use crate::interface::{Interface, Visitor, quoted};
use crate::layout::Me;

/// Sums of costs as CSV (RFC 4180, with a head).
pub(super) async fn file(
    State(interface): State<Interface>,
    visitor: Visitor,
    Query(pairs): Query<Vec<(String, String)>>,
) -> Response {
    let range = Range::read(&pairs, Utc::now().date_naive());
    let by = pairs.iter().find(|(name, _)| name == "by").map_or("day", |(_, by)| by.as_str());
    let address = format!("/api/costs?by={}&{}", quoted(by), range.asked());
    match interface.get::<Costs>(&visitor, &address).await {
        Ok(costs) => {
            let name = format!(
                "attachment; filename=\"costs-by-{}-{}-{}.csv\"",
                quoted(by),
                range.from,
                range.to
            );
            let head =
                [(CONTENT_TYPE, "text/csv; charset=utf-8".to_owned()), (CONTENT_DISPOSITION, name)];
            (head, written(by, &costs.costs)).into_response()
        }
        Err(problem) => {
            let me = Me::of(&interface, &visitor).await.ok();
            Instead::of(problem, &visitor, me.as_ref()).into_response()
        }
    }
}

fn written(by: &str, sums: &[Sum]) -> String {
    let mut text = format!("{by},runs,cost_usd,runs_of_unknown_cost\r\n");
    for sum in sums {
        let key = cell(sum.key.as_deref().unwrap_or(""));
        let row = [key, sum.runs.to_string(), amount(sum.cost_usd), sum.unknown.to_string()];
        text.push_str(&row.join(","));
        text.push_str("\r\n");
    }
    text
}

/// Dollars, exact to nine places.
fn amount(usd: f64) -> String {
    let text = format!("{usd:.9}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// A text that no spreadsheet takes for a formula.
fn cell(text: &str) -> String {
    let is_formula = text.starts_with(['=', '+', '-', '@', '\t', '\r']);
    let text = if is_formula { format!("'{text}") } else { text.to_owned() };
    if text.contains([',', '"', '\r', '\n']) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_file_holds_is_neither_formula_nor_rounded() {
        let sum = |key: Option<&str>, cost_usd| Sum {
            key: key.map(str::to_owned),
            runs: 2,
            cost_usd,
            unknown: 1,
            earned: Vec::new(),
        };
        let sums = [sum(Some("=1+1"), 0.000_000_001), sum(Some("a,\"b\""), 10.0), sum(None, -0.5)];
        let rows = "model,runs,cost_usd,runs_of_unknown_cost\r\n'=1+1,2,0.000000001,1\r\n\
                    \"a,\"\"b\"\"\",2,10,1\r\n,2,-0.5,1\r\n";
        assert_eq!(written("model", &sums), rows);
    }
}
