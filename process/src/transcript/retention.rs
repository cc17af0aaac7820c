//! How long archives are kept.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// A day, in seconds.
const DAY_S: u64 = 24 * 3600;

/// What archives may take, in time and room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// All archives together, in bytes (`transcripts_max_bytes`); any number where absent.
    pub max_bytes: Option<u64>,
    /// How long an archive is kept, in days (`transcripts_keep_days`); for ever where absent.
    pub keep_days: Option<u32>,
}

/// What was removed, and what is left.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Removed {
    /// Archives that were removed.
    pub archives: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Bytes of the archives that are left.
    pub bytes_left: u64,
}

/// Removes the archives beyond what may be kept, oldest first, and answers how many that were.
///
/// # Errors
/// As [`Retention::enforce`].
pub fn forget_old(
    archives: &Path,
    max_bytes: Option<u64>,
    keep_days: Option<u32>,
) -> io::Result<u64> {
    let kept = Retention { max_bytes, keep_days };
    Ok(kept.enforce(archives, SystemTime::now())?.archives)
}

struct Archive {
    modified: SystemTime,
    path: PathBuf,
    bytes: u64,
}

impl Retention {
    /// Removes the archives that are too old, then the oldest ones beyond the room. The digests in
    /// the log stay: a removed transcript can be told from one that was never there.
    ///
    /// # Errors
    /// Where the directory can't be read or a file not removed; what was removed is removed.
    pub fn enforce(&self, archives: &Path, now: SystemTime) -> io::Result<Removed> {
        let mut kept = list(archives)?;
        kept.sort_by(|a, b| (a.modified, &a.path).cmp(&(b.modified, &b.path)));
        let mut removed = Removed {
            bytes_left: kept.iter().map(|archive| archive.bytes).sum(),
            ..Removed::default()
        };
        let horizon = self
            .keep_days
            .and_then(|days| now.checked_sub(Duration::from_secs(u64::from(days) * DAY_S)));
        for archive in kept {
            let too_old = horizon.is_some_and(|horizon| archive.modified < horizon);
            if !too_old && self.max_bytes.is_none_or(|most| removed.bytes_left <= most) {
                break;
            }
            match fs::remove_file(&archive.path) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
            removed.archives += 1;
            removed.bytes += archive.bytes;
            removed.bytes_left -= archive.bytes;
        }
        Ok(removed)
    }
}

fn list(archives: &Path) -> io::Result<Vec<Archive>> {
    let listing = match fs::read_dir(archives) {
        Ok(listing) => listing,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut found = Vec::new();
    for entry in listing {
        let entry = entry?;
        if !entry.file_name().to_string_lossy().ends_with(".ndjson.zst") {
            continue;
        }
        match entry.metadata() {
            Ok(metadata) => found.push(Archive {
                modified: metadata.modified()?,
                path: entry.path(),
                bytes: metadata.len(),
            }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(found)
}
