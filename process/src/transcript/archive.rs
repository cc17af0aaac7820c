//! A transcript at rest.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use execution_ledger_domain::ExecutionId;
use execution_ledger_domain::content::Digest;
use execution_ledger_domain::execution::TranscriptRef;
use sha2::{Digest as _, Sha256};

use super::reader::Transcripts;

/// How hard archives are compressed: zstd's own default.
const COMPRESSION_LEVEL: i32 = 3;
/// Read at once when a transcript is measured, in bytes.
const CHUNK_BYTES: usize = 64 * 1024;

/// One is packed at a time, so that nobody packs again what somebody else has just taken away.
static PACKING: Mutex<()> = Mutex::new(());

/// Where an execution's transcript lies at rest.
pub fn archive_path(archives: &Path, execution: ExecutionId) -> PathBuf {
    archives.join(format!("{execution}.ndjson.zst"))
}

/// Packs the transcript of an ended execution into its archive and removes its run directory.
///
/// Repeatable: the directory goes only when the archive is on disk, so whoever dies in the middle
/// does it again. A run that printed nothing gets no archive. An incomplete last line, which a
/// supervisor left that was killed, is left out, as [`measure`] does.
///
/// # Errors
/// Where a file can't be read or written; then the run directory is still there.
pub fn archive(runs: &Path, archives: &Path, execution: ExecutionId) -> io::Result<()> {
    let _alone = PACKING.lock().unwrap_or_else(PoisonError::into_inner);
    let transcripts = Transcripts::new(runs, archives);
    if let Some(spool) = transcripts.spool_of(execution)? {
        pack(&spool, archives, execution)?;
    }
    match fs::remove_dir_all(runs.join(execution.to_string())) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn pack(spool: &Path, archives: &Path, execution: ExecutionId) -> io::Result<()> {
    let source = match File::open(spool) {
        Ok(source) => source,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    let bytes = complete_bytes(&source)?;
    if bytes == 0 {
        return Ok(());
    }
    fs::create_dir_all(archives)?;
    let target = archive_path(archives, execution);
    let temporary = target.with_extension("zst.new");
    compress(source.take(bytes), &temporary).inspect_err(|_| {
        // Best effort: the next attempt truncates what is left.
        fs::remove_file(&temporary).unwrap_or_default();
    })?;
    fs::rename(&temporary, &target)?;
    File::open(archives)?.sync_all()
}

fn compress(mut source: impl Read, temporary: &Path) -> io::Result<()> {
    let mut options = OpenOptions::new();
    let file = options.write(true).create(true).truncate(true).mode(0o600).open(temporary)?;
    let mut encoder = zstd::Encoder::new(file, COMPRESSION_LEVEL)?;
    encoder.include_checksum(true)?;
    io::copy(&mut source, &mut encoder)?;
    encoder.finish()?.sync_all()
}

/// How many lines a spool holds, how many bytes they are, and their SHA-256: what its archive will
/// hold. For runs whose supervisor died before it could say so.
///
/// # Errors
/// Where it can't be read.
pub fn measure(spool: &Path) -> io::Result<TranscriptRef> {
    let source = match File::open(spool) {
        Ok(source) => source,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return summary(io::empty()),
        Err(error) => return Err(error),
    };
    let bytes = complete_bytes(&source)?;
    summary(source.take(bytes))
}

/// Lines, bytes and digest of all that a reader gives.
pub(super) fn summary(mut source: impl Read) -> io::Result<TranscriptRef> {
    let mut hasher = Sha256::new();
    let (mut lines, mut bytes) = (0_u64, 0_u64);
    let mut chunk = vec![0_u8; CHUNK_BYTES];
    loop {
        let length = source.read(&mut chunk)?;
        if length == 0 {
            break;
        }
        let read = &chunk[..length];
        hasher.update(read);
        bytes += length as u64;
        lines += read.iter().map(|&byte| u64::from(byte == b'\n')).sum::<u64>();
    }
    Ok(TranscriptRef { lines, bytes, sha256: Digest(hasher.finalize().into()) })
}

/// Length of a file up to and with its last newline. The file's own position is not moved.
pub(super) fn complete_bytes(file: &File) -> io::Result<u64> {
    let mut end = file.metadata()?.len();
    let mut chunk = vec![0_u8; CHUNK_BYTES];
    while end > 0 {
        let start = end.saturating_sub(CHUNK_BYTES as u64);
        let length = usize::try_from(end - start).map_err(io::Error::other)?;
        file.read_exact_at(&mut chunk[..length], start)?;
        if let Some(newline) = chunk[..length].iter().rposition(|&byte| byte == b'\n') {
            return Ok(start + newline as u64 + 1);
        }
        end = start;
    }
    Ok(0)
}
