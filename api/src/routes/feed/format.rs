//! The forms of the feed.

use std::io::Write as _;

use axum::http::HeaderMap;
use axum::http::header::ACCEPT;
use execution_ledger_domain::billing::{Amount, BillingRow, CLOUD_EVENTS};
use execution_ledger_domain::execution::CostBasis;
use execution_ledger_projections::BillingPage;
use execution_ledger_replay::push_cell;
use serde::Serialize;

/// Bytes that a row is expected to take, so that a page is written into room that is there.
const ROW_BYTES: usize = 512;
/// The first row of a table (RFC 4180).
const CSV_HEAD: &str = "position,event_id,kind,execution_id,payment_id,agent,user,model,triggered_by,\
    amount,unit,basis,unknown,payer,transaction,at\r\n";

/// How rows are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    /// One JSON object.
    Json,
    /// A JSON object for each row, each on its own line.
    Ndjson,
    /// A table, of which no cell is a formula.
    Csv,
    /// CloudEvents 1.0, structured, as a batch.
    CloudEvents,
}

/// The forms by their names.
pub(super) const FORMATS: [(&str, Format); 4] = [
    ("json", Format::Json),
    ("ndjson", Format::Ndjson),
    ("csv", Format::Csv),
    ("cloudevents", Format::CloudEvents),
];

impl Format {
    /// The first form that a caller accepts; JSON for those who accept anything or nothing of this.
    pub fn accepted(headers: &HeaderMap) -> Self {
        let accepts = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
        let types = accepts.flat_map(|value| value.split(','));
        let mut types = types.map(|part| part.split(';').next().unwrap_or_default().trim());
        let known = |name: &str| match name.to_ascii_lowercase().as_str() {
            "application/json" | "application/*" | "*/*" => Some(Self::Json),
            "application/x-ndjson" => Some(Self::Ndjson),
            "text/csv" => Some(Self::Csv),
            CLOUD_EVENTS => Some(Self::CloudEvents),
            _ => None,
        };
        types.find_map(known).unwrap_or(Self::Json)
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        FORMATS.iter().find(|(_, format)| *format == self).map_or("json", |(name, _)| name)
    }

    /// Its media type.
    pub fn media_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Ndjson => "application/x-ndjson",
            Self::Csv => "text/csv; charset=utf-8; header=present",
            Self::CloudEvents => CLOUD_EVENTS,
        }
    }

    /// A page in this form.
    pub fn write(self, page: &BillingPage, resume_after: &str) -> serde_json::Result<Vec<u8>> {
        let mut out = Vec::with_capacity(page.rows.len() * ROW_BYTES);
        match self {
            Self::Json => {
                let next_cursor = page.more.then_some(resume_after);
                let list = List { rows: &page.rows, next_cursor, resume_after };
                serde_json::to_writer(&mut out, &list)?;
            }
            Self::Ndjson => {
                for row in &page.rows {
                    serde_json::to_writer(&mut out, row)?;
                    out.push(b'\n');
                }
            }
            Self::Csv => {
                out.extend_from_slice(CSV_HEAD.as_bytes());
                let mut line = String::with_capacity(ROW_BYTES);
                for row in &page.rows {
                    line.clear();
                    write_row(&mut line, row);
                    out.extend_from_slice(line.as_bytes());
                }
            }
            Self::CloudEvents => {
                out.push(b'[');
                for (index, row) in page.rows.iter().enumerate() {
                    if index > 0 {
                        out.push(b',');
                    }
                    serde_json::to_writer(&mut out, &row.cloud_event())?;
                }
                // Never fails: it only grows.
                out.write_all(b"]").map_err(serde_json::Error::io)?;
            }
        }
        Ok(out)
    }
}

/// What [`super::FeedList`] describes.
#[derive(Serialize)]
struct List<'a> {
    rows: &'a [BillingRow],
    next_cursor: Option<&'a str>,
    resume_after: &'a str,
}

fn write_row(line: &mut String, row: &BillingRow) {
    let optional = |text: &Option<String>| text.clone().unwrap_or_default();
    let basis = row.basis.map_or("", CostBasis::as_str);
    let texts = [
        row.position.clone(),
        row.event_id.to_string(),
        row.kind.as_str().to_owned(),
        row.execution_id.to_string(),
        row.payment_id.map(|id| id.to_string()).unwrap_or_default(),
        row.agent.to_string(),
        row.user.to_string(),
        optional(&row.model),
        row.triggered_by.to_string(),
    ];
    for text in texts {
        push_cell(line, &text);
        line.push(',');
    }
    // A number is no formula, also one below zero. What nobody knows is empty, never zero.
    match &row.amount {
        Some(Amount::Usd(amount)) => line.push_str(&amount.to_string()),
        Some(Amount::Token(units)) => push_cell(line, units),
        None => {}
    }
    line.push(',');
    push_cell(line, &row.unit);
    line.push(',');
    line.push_str(basis);
    line.push(',');
    line.push_str(&row.unknown.to_string());
    for text in [&row.payer, &row.transaction] {
        line.push(',');
        push_cell(line, text.as_deref().unwrap_or_default());
    }
    line.push(',');
    line.push_str(&row.at.to_string());
    line.push_str("\r\n");
}
