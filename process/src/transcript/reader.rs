//! Reading a transcript, wherever it lies, in bounded memory.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use execution_ledger_domain::execution::TranscriptRef;
use execution_ledger_domain::{ClaimId, ExecutionId};

use super::archive::{archive_path, summary};
use super::line::{LINE_MAX_BYTES, Line};
use crate::orders::RunFiles;

/// One line of JSON is never longer, in bytes: a control character is written as six.
pub(super) const JSON_LINE_MAX_BYTES: usize = 8 * LINE_MAX_BYTES;
/// Starts of one execution that are looked at in its directory: there is more than one only where
/// a supervisor died before it took its claim.
const CLAIMS_MAX: usize = 1024;

/// One line of a transcript as it is stored, ready to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its number.
    pub seq: u64,
    /// The whole line as JSON, without the newline.
    pub json: Arc<str>,
}

impl Entry {
    /// From one stored line of JSON.
    ///
    /// # Errors
    /// `InvalidData` where it is none.
    pub fn from_json(json: &[u8]) -> io::Result<Self> {
        let text = std::str::from_utf8(json)
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        Ok(Self { seq: seq_of(text)?, json: text.into() })
    }

    /// What it says.
    ///
    /// # Errors
    /// `InvalidData` where a field is missing or of another type.
    pub fn parse(&self) -> io::Result<Line> {
        serde_json::from_str(&self.json)
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
    }
}

/// The number of a stored line. It stands first in what our supervisors write; any order is read.
fn seq_of(json: &str) -> io::Result<u64> {
    #[derive(serde::Deserialize)]
    struct Numbered {
        seq: u64,
    }
    let leading = json.strip_prefix("{\"seq\":").and_then(|rest| rest.split_once(','));
    if let Some(Ok(seq)) = leading.map(|(digits, _)| digits.parse()) {
        return Ok(seq);
    }
    serde_json::from_str::<Numbered>(json)
        .map(|numbered| numbered.seq)
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}

/// Some lines of a transcript.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// The lines, in order.
    pub entries: Vec<Entry>,
    /// Whether the page ended because it was full; there may be more.
    pub full: bool,
}

/// Where transcripts lie: live ones below the directory of all runs, others as archives.
#[derive(Clone, Debug)]
pub struct Transcripts {
    runs: PathBuf,
    archives: PathBuf,
}

impl Transcripts {
    /// In these two directories.
    pub fn new(runs: impl Into<PathBuf>, archives: impl Into<PathBuf>) -> Self {
        Self { runs: runs.into(), archives: archives.into() }
    }

    /// The directory of all runs.
    pub fn runs(&self) -> &Path {
        &self.runs
    }

    /// The directory of all archives.
    pub fn archives(&self) -> &Path {
        &self.archives
    }

    /// The transcript of an execution from its first line; `None` where nothing was printed (yet)
    /// or its archive was removed.
    ///
    /// # Errors
    /// Where a file is there and can't be opened.
    pub fn open(&self, execution: ExecutionId) -> io::Result<Option<Lines>> {
        let archive = archive_path(&self.archives, execution);
        if let Some(lines) = Lines::of_archive(&archive)? {
            return Ok(Some(lines));
        }
        if let Some(spool) = self.spool_of(execution)?
            && let Some(lines) = Lines::of_spool(&spool)?
        {
            return Ok(Some(lines));
        }
        // It may have been archived between the two looks.
        Lines::of_archive(&archive)
    }

    /// Lines after `after_seq`: at most `limit`, and about `max_bytes` at most.
    ///
    /// # Errors
    /// Where the transcript can't be read.
    pub fn page(
        &self,
        execution: ExecutionId,
        after_seq: u64,
        limit: usize,
        max_bytes: usize,
    ) -> io::Result<Page> {
        match self.open(execution)? {
            Some(mut lines) => lines.page(after_seq, limit, max_bytes),
            None => Ok(Page::default()),
        }
    }

    /// Lines after `after_seq` in which `words` stand, whatever their case: bounded as a page is.
    ///
    /// # Errors
    /// Where the transcript can't be read.
    pub fn find(
        &self,
        execution: ExecutionId,
        after_seq: u64,
        words: &str,
        limit: usize,
        max_bytes: usize,
    ) -> io::Result<Page> {
        match self.open(execution)? {
            Some(mut lines) => lines.find(after_seq, &words.to_lowercase(), limit, max_bytes),
            None => Ok(Page::default()),
        }
    }

    /// The spool of the start that took its claim, while there is one.
    pub(super) fn spool_of(&self, execution: ExecutionId) -> io::Result<Option<PathBuf>> {
        let directory = self.runs.join(execution.to_string());
        let listing = match std::fs::read_dir(&directory) {
            Ok(listing) => listing,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        for entry in listing.take(CLAIMS_MAX) {
            let name = entry?.file_name();
            let claim = name.to_str().and_then(|name| name.strip_suffix(".lock"));
            if let Some(Ok(claim)) = claim.map(str::parse::<ClaimId>) {
                return Ok(Some(RunFiles::new(&self.runs, execution, claim).spool()));
            }
        }
        Ok(None)
    }

    /// Whether the stored transcript is what the ending of the execution recorded.
    ///
    /// # Errors
    /// Where it can't be read to its end, which for an archive means that it is damaged.
    pub fn verify(&self, execution: ExecutionId, expected: &TranscriptRef) -> io::Result<bool> {
        match self.open(execution)? {
            Some(lines) => Ok(lines.summary()? == *expected),
            None => Ok(expected.bytes == 0),
        }
    }
}

/// The lines of a spool, read into what they say; none where there is no such file.
///
/// # Errors
/// Where it can't be opened. Each line may be an error of its own.
pub fn lines(spool: &Path) -> io::Result<impl Iterator<Item = io::Result<Line>> + use<>> {
    let lines = Lines::of_spool(spool)?;
    Ok(lines.into_iter().flatten().map(|entry| entry?.parse()))
}

/// The lines of one transcript, in order, as far as they are complete.
pub struct Lines {
    from: Box<dyn BufRead + Send>,
    line: Vec<u8>,
}

impl std::fmt::Debug for Lines {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Lines").finish_non_exhaustive()
    }
}

impl Lines {
    /// Those of a spool; `None` where there is no such file.
    ///
    /// # Errors
    /// Where it can't be opened.
    pub fn of_spool(path: &Path) -> io::Result<Option<Self>> {
        Ok(existing(path)?.map(|file| Self::reading(BufReader::new(file))))
    }

    /// Those of an archive; `None` where there is no such file.
    ///
    /// # Errors
    /// Where it can't be opened.
    pub fn of_archive(path: &Path) -> io::Result<Option<Self>> {
        let Some(file) = existing(path)? else { return Ok(None) };
        Ok(Some(Self::reading(BufReader::new(zstd::Decoder::new(file)?))))
    }

    fn reading(from: impl BufRead + Send + 'static) -> Self {
        Self { from: Box::new(from), line: Vec::new() }
    }

    /// The next lines after `after_seq`: at most `limit`, and about `max_bytes` at most, but one
    /// where there is one.
    ///
    /// # Errors
    /// Where a line can't be read.
    pub fn page(&mut self, after_seq: u64, limit: usize, max_bytes: usize) -> io::Result<Page> {
        let mut page = Page::default();
        let mut bytes = 0;
        while page.entries.len() < limit && bytes < max_bytes {
            let Some(entry) = self.next_after(after_seq)? else { return Ok(page) };
            bytes += entry.json.len();
            page.entries.push(entry);
        }
        page.full = true;
        Ok(page)
    }

    /// As [`Self::page`], of those lines alone that hold these words (in lower case).
    fn find(
        &mut self,
        after_seq: u64,
        words: &str,
        limit: usize,
        max_bytes: usize,
    ) -> io::Result<Page> {
        let mut page = Page::default();
        let mut bytes = 0;
        while page.entries.len() < limit && bytes < max_bytes {
            let Some(entry) = self.next_after(after_seq)? else { return Ok(page) };
            if entry.parse()?.line.to_lowercase().contains(words) {
                bytes += entry.json.len();
                page.entries.push(entry);
            }
        }
        page.full = true;
        Ok(page)
    }

    /// The next line whose number is above `after_seq`; those before it are only skipped.
    fn next_after(&mut self, after_seq: u64) -> io::Result<Option<Entry>> {
        loop {
            if !self.read_line()? {
                return Ok(None);
            }
            let json = self.line.strip_suffix(b"\n").unwrap_or(&self.line);
            let entry = Entry::from_json(json)?;
            if entry.seq > after_seq {
                return Ok(Some(entry));
            }
        }
    }

    /// Reads one complete line; false at the end, or where the last line is not complete (yet).
    /// What was read of such a line is kept, so that reading can go on when there is more.
    fn read_line(&mut self) -> io::Result<bool> {
        if self.line.last().is_none_or(|&last| last == b'\n') {
            self.line.clear();
        }
        let room = JSON_LINE_MAX_BYTES.saturating_sub(self.line.len());
        (&mut *self.from).take(room as u64).read_until(b'\n', &mut self.line)?;
        if self.line.last() == Some(&b'\n') {
            return Ok(true);
        }
        if self.line.len() >= JSON_LINE_MAX_BYTES {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "a line is too long"));
        }
        Ok(false)
    }

    /// How many lines, how many bytes, and their SHA-256, of all that has not been read yet.
    ///
    /// # Errors
    /// Where it can't be read to its end.
    pub fn summary(mut self) -> io::Result<TranscriptRef> {
        summary(&mut *self.from)
    }
}

impl Iterator for Lines {
    type Item = io::Result<Entry>;

    fn next(&mut self) -> Option<Self::Item> {
        self.next_after(0).transpose()
    }
}

fn existing(path: &Path) -> io::Result<Option<File>> {
    match File::open(path) {
        Ok(file) => Ok(Some(file)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}
