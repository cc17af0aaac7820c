//! The file that a run's output goes to.

use std::fs::File;
use std::io::{self, Write};

use execution_ledger_domain::Timestamp;
use execution_ledger_domain::content::Digest;
use execution_ledger_domain::execution::{StopCause, TranscriptRef};
use sha2::{Digest as _, Sha256};

use crate::transcript::OutputStream;

/// What is gathered before it is written, in bytes: about.
const BATCH_BYTES: usize = 256 * 1024;

/// One line that is to be written.
pub(super) struct NewLine<'t> {
    /// Where it was printed.
    pub stream: OutputStream,
    /// Its text, redacted.
    pub text: &'t str,
    /// It goes on in the next line.
    pub continued: bool,
    /// It was no UTF-8.
    pub invalid_utf8: bool,
}

/// Numbers, stamps and writes lines, counts them, and computes their digest on the way.
///
/// What it has refused once, for want of room, stays refused: a transcript has no holes.
pub(super) struct Spool {
    file: File,
    max_bytes: u64,
    batch: Vec<u8>,
    batch_lines: u64,
    hasher: Sha256,
    lines: u64,
    bytes: u64,
    refused: Option<StopCause>,
    stamp: String,
}

impl Spool {
    /// An empty one that never grows beyond `max_bytes`.
    pub fn new(file: File, max_bytes: u64) -> Self {
        Self {
            file,
            max_bytes,
            batch: Vec::new(),
            batch_lines: 0,
            hasher: Sha256::new(),
            lines: 0,
            bytes: 0,
            refused: None,
            stamp: String::new(),
        }
    }

    /// The time of the lines that follow.
    pub fn set_time(&mut self, now: Timestamp) {
        self.stamp = now.to_string();
    }

    /// Why nothing more is written: the run is to be stopped for it.
    pub fn refused(&self) -> Option<StopCause> {
        self.refused
    }

    /// Lines so far.
    pub fn lines(&self) -> u64 {
        self.lines + self.batch_lines
    }

    /// Adds a line; with the next [`Self::write`] at the latest it is in the file.
    pub fn add(&mut self, line: &NewLine<'_>) {
        if self.refused.is_some() {
            return;
        }
        let before = self.batch.len();
        let encoded = self.encode(line);
        if encoded.is_err() || self.bytes + self.batch.len() as u64 > self.max_bytes {
            self.batch.truncate(before);
            self.write();
            self.refused = self.refused.or(Some(StopCause::OutputLimit));
            return;
        }
        self.batch_lines += 1;
        if self.batch.len() >= BATCH_BYTES {
            self.write();
        }
    }

    fn encode(&mut self, line: &NewLine<'_>) -> io::Result<()> {
        let seq = self.lines() + 1;
        let stream = match line.stream {
            OutputStream::Stdout => "stdout",
            OutputStream::Stderr => "stderr",
        };
        let out = &mut self.batch;
        write!(out, r#"{{"seq":{seq},"at":"{}","stream":"{stream}","line":"#, self.stamp)?;
        serde_json::to_writer(&mut *out, line.text)?;
        if line.continued {
            out.extend_from_slice(br#","continued":true"#);
        }
        if line.invalid_utf8 {
            out.extend_from_slice(br#","invalid_utf8":true"#);
        }
        out.extend_from_slice(b"}\n");
        Ok(())
    }

    /// Writes what was gathered.
    pub fn write(&mut self) {
        if self.batch.is_empty() {
            return;
        }
        let written = self.write_what_fits();
        if written < self.batch.len() {
            self.keep_whole_lines(written);
        }
        self.hasher.update(&self.batch);
        self.bytes += self.batch.len() as u64;
        self.lines += self.batch_lines;
        self.batch.clear();
        self.batch_lines = 0;
    }

    fn write_what_fits(&mut self) -> usize {
        let mut written = 0;
        while written < self.batch.len() {
            match self.file.write(&self.batch[written..]) {
                Ok(0) => break,
                Ok(more) => written += more,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => break,
            }
        }
        written
    }

    /// No room for all of the batch: it ends after the last line that is whole in the file.
    fn keep_whole_lines(&mut self, written: usize) {
        self.refused = Some(StopCause::DiskFull);
        let whole = self.batch[..written].iter().rposition(|&b| b == b'\n').map_or(0, |at| at + 1);
        self.batch.truncate(whole);
        self.batch_lines = self.batch.iter().map(|&byte| u64::from(byte == b'\n')).sum();
        // Should this fail, readers leave an incomplete last line out as well.
        self.file.set_len(self.bytes + whole as u64).unwrap_or_default();
    }

    /// Makes it durable.
    ///
    /// # Errors
    /// Where the disk fails.
    pub fn sync(&mut self) -> io::Result<()> {
        self.write();
        if self.bytes > 0 { self.file.sync_data() } else { Ok(()) }
    }

    /// What has been written.
    pub fn measured(self) -> TranscriptRef {
        TranscriptRef {
            lines: self.lines,
            bytes: self.bytes,
            sha256: Digest(self.hasher.finalize().into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn line(text: &str) -> NewLine<'_> {
        NewLine { stream: OutputStream::Stdout, text, continued: false, invalid_utf8: false }
    }

    #[test]
    fn a_full_disk_is_a_reason_to_stop_and_leaves_no_half_line() {
        let full = fs::OpenOptions::new().write(true).open("/dev/full").expect("/dev/full");
        let mut spool = Spool::new(full, 1_000_000);
        spool.add(&line("one"));
        spool.write();
        assert_eq!(spool.refused(), Some(StopCause::DiskFull));
        assert_eq!(spool.lines(), 0);
        spool.add(&line("two"));
        assert_eq!(spool.lines(), 0, "what was refused once stays refused");
    }

    #[test]
    fn a_batch_that_fits_in_part_is_kept_to_its_last_whole_line() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        let mut spool = Spool::new(file.reopen().expect("opened"), 1_000_000);
        spool.set_time(Timestamp::EPOCH);
        for text in ["one", "two", "three"] {
            spool.add(&line(text));
        }
        let fits = spool.batch.len() - 5;
        spool.file.write_all(&spool.batch[..fits]).expect("written");
        spool.keep_whole_lines(fits);
        assert_eq!((spool.batch_lines, spool.refused()), (2, Some(StopCause::DiskFull)));
        let kept = fs::read_to_string(file.path()).expect("read");
        assert_eq!(kept.lines().count(), 2);
        assert!(kept.ends_with("\"two\"}\n"), "{kept}");
    }

    #[test]
    fn nothing_is_written_beyond_the_cap() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        let mut spool = Spool::new(file.reopen().expect("opened"), 200);
        for _ in 0..10 {
            spool.add(&line("some text"));
        }
        assert_eq!(spool.refused(), Some(StopCause::OutputLimit));
        spool.sync().expect("synced");
        let measured = spool.measured();
        let stored = fs::read(file.path()).expect("read");
        assert!(stored.len() <= 200);
        assert_eq!((measured.bytes, measured.sha256), (stored.len() as u64, Digest::of(&stored)));
        assert_eq!(crate::transcript::measure(file.path()).expect("measured"), measured);
    }
}
