//! An event as a row of a table, of which no cell is a formula.

use std::io::Write;

use execution_ledger_store::{LogId, LogPosition, Recorded};

use super::ExportError;

/// The first row (RFC 4180).
pub(super) const HEAD: &str = "position,recorded_at,stream,revision,type,version,event_id,\
    actor_kind,actor,user,correlation_id,causation_id,data,texts\r\n";
/// What stands for a text that was erased.
const ERASED: &str = "[erased]";

/// Writes an event as a row.
pub(super) fn write(
    out: &mut impl Write,
    log: &LogId,
    event: &Recorded,
) -> Result<(), ExportError> {
    let metadata = event.parsed_metadata().map_err(|error| ExportError::Event {
        position: event.position.number(),
        reason: format!("its metadata can't be read: {error}"),
    })?;
    let kind = serde_json::to_value(metadata.actor.kind).unwrap_or_default();
    let texts: Vec<&str> = event
        .contents
        .iter()
        .map(|stored| stored.content.as_ref().map_or(ERASED, |content| content.text.as_str()))
        .collect();
    let cells = [
        LogPosition { log: log.clone(), position: event.position }.to_string(),
        event.recorded_at.to_string(),
        event.stream.to_string(),
        event.revision.to_string(),
        event.type_name.clone(),
        event.version.to_string(),
        event.id.to_string(),
        kind.as_str().unwrap_or_default().to_owned(),
        metadata.actor.id,
        metadata.actor.user.to_string(),
        metadata.correlation_id,
        metadata.causation_id,
        event.data.clone(),
        texts.join("\n\n"),
    ];
    let mut row = String::new();
    for (index, text) in cells.iter().enumerate() {
        if index > 0 {
            row.push(',');
        }
        push_cell(&mut row, text);
    }
    row.push_str("\r\n");
    Ok(out.write_all(row.as_bytes())?)
}

/// A cell that a spreadsheet shows as the text that it is: what it would take for a formula gets an
/// apostrophe before it.
pub fn push_cell(row: &mut String, text: &str) {
    let formula =
        text.trim_start_matches([' ', '\t', '\r', '\n']).starts_with(['=', '+', '-', '@'])
            || text.starts_with(['\t', '\r', '\n']);
    let quoted = formula || text.contains([',', '"', '\r', '\n']);
    if !quoted {
        row.push_str(text);
        return;
    }
    row.push('"');
    if formula {
        row.push('\'');
    }
    for c in text.chars() {
        if c == '"' {
            row.push('"');
        }
        row.push(c);
    }
    row.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_cell_is_a_formula_and_every_cell_stays_one() {
        let cell = |text: &str| {
            let mut row = String::new();
            push_cell(&mut row, text);
            row
        };
        assert_eq!(cell("plain"), "plain");
        assert_eq!(cell("a,b"), "\"a,b\"");
        assert_eq!(cell("say \"x\"\nnow"), "\"say \"\"x\"\"\nnow\"");
        for formula in ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", " =1", "\r=1", "\n@x"] {
            assert!(cell(formula).starts_with("\"'"), "{formula:?}");
        }
    }
}
