//! Lines of a file, bounded, counted and hashed.

use std::io::{BufRead, Read as _};

use execution_ledger_domain::Digest;
use execution_ledger_domain::limits::APPEND_MAX_BYTES;
use sha2::{Digest as _, Sha256};

use super::ImportFileError;

/// The longest line, in bytes: an append of the largest size, every byte of it escaped.
const LINE_BYTES_MAX: usize = 8 * APPEND_MAX_BYTES;

/// The hash of what was read up to a place.
pub(super) struct Hashed(Sha256);

impl Hashed {
    /// The digest.
    pub(super) fn finish(self) -> Digest {
        Digest(self.0.finalize().into())
    }
}

/// The lines of a file.
pub(super) struct Lines<R> {
    file: R,
    line: Vec<u8>,
    sha256: Sha256,
    /// Lines that were read.
    pub(super) number: u64,
    /// Bytes that were read.
    pub(super) bytes: u64,
}

impl<R: BufRead> Lines<R> {
    /// Of this file.
    pub(super) fn of(file: R) -> Self {
        Self { file, line: Vec::new(), sha256: Sha256::new(), number: 0, bytes: 0 }
    }

    /// The hash of all that was read.
    pub(super) fn digest(&self) -> Hashed {
        Hashed(self.sha256.clone())
    }

    /// The next line without its end; nothing at the end of the file. A line without an end was cut
    /// off.
    pub(super) fn next(&mut self) -> Result<Option<&[u8]>, ImportFileError> {
        self.line.clear();
        let most = LINE_BYTES_MAX as u64 + 1;
        let read = self.file.by_ref().take(most).read_until(b'\n', &mut self.line)?;
        if read == 0 {
            return Ok(None);
        }
        self.number += 1;
        self.bytes += read as u64;
        self.sha256.update(&self.line);
        if self.line.pop() != Some(b'\n') {
            if read > LINE_BYTES_MAX {
                let reason = format!("it is longer than {LINE_BYTES_MAX} bytes");
                return Err(ImportFileError::Line { number: self.number, reason });
            }
            return Err(ImportFileError::CutOff(self.number));
        }
        Ok(Some(&self.line))
    }
}
