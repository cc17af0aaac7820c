//! The events of an export's file, each as it was written, and at the end whether all of it was.

use std::io::BufRead;

use execution_ledger_domain::Digest;
use execution_ledger_domain::limits::APPEND_MAX_BYTES;
use execution_ledger_store::Recorded;

use super::ImportFileError;
use super::reader::Lines;
use crate::export::line::ReadLine;
use crate::export::{EXPORT_FORMAT, ExportHeader, ExportTrailer};

/// A file that is read.
pub(super) struct ExportFile<R> {
    lines: Lines<R>,
    /// What its first line says.
    pub header: ExportHeader,
    /// Events that were read.
    pub events: u64,
}

/// What comes next in a file.
pub(super) enum Next {
    /// An event, and the length of its line in bytes.
    Event(Box<Recorded>, usize),
    /// The end of a file that is what was written; SHA-256 of all bytes but those of the last line.
    End(Digest),
}

impl<R: BufRead> ExportFile<R> {
    /// Reads what the file says of itself.
    pub fn open(file: R) -> Result<Self, ImportFileError> {
        let mut lines = Lines::of(file);
        let header = header(&mut lines)?;
        Ok(Self { lines, header, events: 0 })
    }

    /// Lines that were read.
    pub fn line(&self) -> u64 {
        self.lines.number
    }

    /// Bytes that were read.
    pub fn bytes(&self) -> u64 {
        self.lines.bytes
    }

    /// The next event, or the end.
    pub fn next(&mut self) -> Result<Next, ImportFileError> {
        let before = self.lines.digest();
        let Some(line) = self.lines.next()? else {
            return Err(ImportFileError::CutOff(self.lines.number));
        };
        if let Ok(trailer) = serde_json::from_slice::<ExportTrailer>(line) {
            return self.end(&trailer, before.finish()).map(Next::End);
        }
        let bytes = line.len();
        let event = event(line)
            .map_err(|reason| ImportFileError::Line { number: self.lines.number, reason })?;
        self.events += 1;
        Ok(Next::Event(Box::new(event), bytes))
    }

    fn end(&mut self, trailer: &ExportTrailer, sha256: Digest) -> Result<Digest, ImportFileError> {
        if self.lines.next()?.is_some() {
            let reason = "something stands behind the last line".to_owned();
            return Err(ImportFileError::Line { number: self.lines.number, reason });
        }
        let found = ExportTrailer { events: self.events, sha256 };
        if *trailer != found {
            let said =
                |trailer: &ExportTrailer| format!("{} events, {}", trailer.events, trailer.sha256);
            let (expected, found) = (said(trailer), said(&found));
            return Err(ImportFileError::Changed { expected, found });
        }
        Ok(sha256)
    }
}

fn header(lines: &mut Lines<impl BufRead>) -> Result<ExportHeader, ImportFileError> {
    let line = lines.next()?.ok_or_else(|| ImportFileError::NoExport("it is empty".to_owned()))?;
    // A later version may write other fields, so its number is looked at first.
    let value: serde_json::Value = serde_json::from_slice(line)
        .map_err(|error| ImportFileError::NoExport(format!("its first line: {error}")))?;
    let format = value.get("execution_ledger_export").and_then(serde_json::Value::as_u64);
    if let Some(format) = format.and_then(|format| u32::try_from(format).ok())
        && format > EXPORT_FORMAT
    {
        return Err(ImportFileError::Newer(format));
    }
    let header: ExportHeader = serde_json::from_value(value)
        .map_err(|error| ImportFileError::NoExport(format!("its first line: {error}")))?;
    if !header.filter.is_everything() {
        return Err(ImportFileError::Filtered);
    }
    Ok(header)
}

/// The event of a line, which this version must understand as a whole.
fn event(line: &[u8]) -> Result<Recorded, String> {
    let read: ReadLine = serde_json::from_slice(line).map_err(|error| error.to_string())?;
    let recorded = read.into_event()?;
    let texts = recorded.contents.iter().filter_map(|stored| stored.content.as_ref());
    let bytes = recorded.data.len()
        + recorded.metadata.len()
        + texts.map(|content| content.text.len()).sum::<usize>();
    if bytes > APPEND_MAX_BYTES {
        return Err(format!("an event of {bytes} bytes is larger than {APPEND_MAX_BYTES}"));
    }
    let understood = recorded.event().map_err(|error| error.to_string())?;
    recorded.parsed_metadata().map_err(|error| format!("its metadata: {error}"))?;
    let stored: Vec<Digest> = recorded.contents.iter().map(|stored| stored.sha256).collect();
    let referred = understood.content_refs();
    let missing = referred.iter().find(|reference| !stored.contains(&reference.sha256));
    if let Some(missing) = missing {
        return Err(format!("the text {} is missing", missing.sha256));
    }
    Ok(recorded)
}
