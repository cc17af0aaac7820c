//! An export that a server makes: written as it comes, and looked at whether it is whole.

use std::io::{self, Write};

use execution_ledger_domain::Digest;
use execution_ledger_replay::{ExportError, ExportHeader, ExportTrailer, Exported};
use sha2::{Digest as _, Sha256};

use crate::client::{Client, ClientError};

/// The longest line that an export holds, in bytes: an event with all its texts, in JSON.
const LINE_MAX_BYTES: usize = 16 * 1024 * 1024;

/// Takes an export of the server; `whole`: it is NDJSON, whose last line tells whether it is whole. A
/// table that is cut off is told by the connection alone.
pub(super) async fn history(
    client: &Client,
    query: &[(&str, String)],
    whole: bool,
    out: &mut (impl Write + Send),
) -> Result<Exported, ExportError> {
    let failed = |error: ClientError| ExportError::Write(io::Error::other(error.to_string()));
    let mut response = client.download(&["api", "export"], query).await.map_err(failed)?;
    let header = response.headers().get("ledger-position");
    let until = header.and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
    let mut lines = Lines::default();
    let broken = |why: &dyn std::fmt::Display| {
        ExportError::Write(io::Error::other(format!("the export broke off: {why}")))
    };
    while let Some(part) = response.chunk().await.map_err(|error| broken(&error))? {
        out.write_all(&part)?;
        lines.take_in(&part, whole)?;
    }
    out.flush()?;
    lines.exported(until, whole)
}

/// The lines that came.
#[derive(Default)]
struct Lines {
    bytes: u64,
    count: u64,
    first: Vec<u8>,
    /// The last whole line, which is not hashed yet: it may hold the digest.
    held: Vec<u8>,
    /// A line that is not whole yet.
    begun: Vec<u8>,
    sha256: Sha256,
}

impl Lines {
    fn take_in(&mut self, part: &[u8], whole: bool) -> io::Result<()> {
        self.bytes += part.len() as u64;
        if !whole {
            self.sha256.update(part);
            self.count += part.split(|byte| *byte == b'\n').skip(1).count() as u64;
            return Ok(());
        }
        for piece in part.split_inclusive(|byte| *byte == b'\n') {
            self.begun.extend_from_slice(piece);
            if self.begun.len() > LINE_MAX_BYTES {
                return Err(io::Error::other("a line of the export is too long"));
            }
            if self.begun.ends_with(b"\n") {
                self.sha256.update(&self.held);
                self.held = std::mem::take(&mut self.begun);
                if self.count == 0 {
                    self.first.clone_from(&self.held);
                }
                self.count += 1;
            }
        }
        Ok(())
    }

    fn exported(self, until: String, whole: bool) -> Result<Exported, ExportError> {
        let sha256 = Digest(self.sha256.finalize().into());
        if !whole {
            let (events, bytes) = (self.count.saturating_sub(1), self.bytes);
            return Ok(Exported { events, erased_texts: 0, bytes, until, sha256 });
        }
        let cut = |why: &str| ExportError::Write(io::Error::other(format!("the export is {why}")));
        let header: ExportHeader =
            serde_json::from_slice(&self.first).map_err(|_| cut("no export of this program"))?;
        let trailer: ExportTrailer = serde_json::from_slice(&self.held)
            .map_err(|_| cut("cut off: its last line is missing"))?;
        if !self.begun.is_empty() || trailer.sha256 != sha256 || trailer.events + 2 != self.count {
            return Err(cut("not what its last line says: it was changed on its way"));
        }
        let (events, bytes) = (trailer.events, self.bytes);
        Ok(Exported { events, erased_texts: 0, bytes, until: header.until, sha256 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file() -> Vec<u8> {
        let head = "{\"execution_ledger_export\":1,\"log_id\":\"a\",\"until\":\"a-1\",\
                    \"exported_at\":\"2026-11-21T09:30:00.000000Z\",\"filter\":{}}\n{\"event\":1}\n";
        let trailer = ExportTrailer { events: 1, sha256: Digest::of(head.as_bytes()) };
        let trailer = serde_json::to_string(&trailer).expect("JSON");
        format!("{head}{trailer}\n").into_bytes()
    }

    fn read(bytes: &[u8], at_once: usize) -> Result<Exported, ExportError> {
        let mut lines = Lines::default();
        for part in bytes.chunks(at_once) {
            lines.take_in(part, true)?;
        }
        lines.exported(String::new(), true)
    }

    #[test]
    fn a_whole_file_is_told_from_one_that_was_cut_off_or_changed() {
        let file = file();
        for at_once in [1, 7, 1_000] {
            let exported = read(&file, at_once).expect("whole");
            assert_eq!((exported.events, &*exported.until), (1, "a-1"));
            assert_eq!(exported.bytes, file.len() as u64);
        }
        for length in 0..file.len() {
            assert!(read(&file[..length], 50).is_err(), "{length} bytes of it");
        }
        let mut changed = file.clone();
        let at = changed.len() / 2;
        changed[at] ^= 1;
        assert!(read(&changed, 50).is_err());
    }
}
