//! A node's terms, in files that its supervisors read: until when the present one lasts.
//!
//! Each term has a file of its own, which is written anew with each acknowledged beat. A term that was
//! over has a file that nobody writes any more, so that a run of it ends even where its node is back.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::membership::Standing;
use crate::supervisor::{boot_id, since_boot};

/// Files of terms that are kept; of those before no run is left.
const TERMS_KEPT: usize = 8;
/// Largest such file, in bytes.
const FILE_MAX_BYTES: u64 = 4 * 1024;

/// What stands in the file of a term.
#[derive(Debug, Serialize, Deserialize)]
struct Written {
    /// Which term.
    term: u64,
    /// The boot of the machine that the time is of.
    boot_id: String,
    /// Until when it lasts, in milliseconds since then.
    until_ms: u64,
}

/// The files of a node's terms.
#[derive(Clone, Debug)]
pub struct Terms {
    folder: PathBuf,
}

impl Terms {
    /// In this folder, which is there.
    pub fn new(folder: PathBuf) -> Self {
        Self { folder }
    }

    /// The file of a term.
    pub fn file(&self, term: u64) -> PathBuf {
        self.folder.join(format!("term-{term}.json"))
    }

    /// Says until when a term lasts. Whole or not at all; not synced, as it says nothing after a boot.
    pub fn write(&self, standing: Standing) -> io::Result<()> {
        let written = Written {
            term: standing.term,
            boot_id: boot_id()?,
            until_ms: u64::try_from(standing.until.as_millis()).unwrap_or(u64::MAX),
        };
        let draft = self.folder.join("term.new");
        fs::write(&draft, serde_json::to_vec(&written)?)?;
        fs::rename(&draft, self.file(standing.term))
    }

    /// The last term: its standing where it lasts, else its number. Older files are removed.
    pub fn last(&self) -> io::Result<Result<Standing, u64>> {
        let mut found = Vec::new();
        for entry in fs::read_dir(&self.folder)? {
            let name = entry?.file_name();
            let number = name.to_str().and_then(|name| name.strip_prefix("term-"));
            let number = number.and_then(|name| name.strip_suffix(".json"));
            found.extend(number.and_then(|number| number.parse::<u64>().ok()));
        }
        found.sort_unstable_by(|a, b| b.cmp(a));
        for old in found.iter().skip(TERMS_KEPT) {
            fs::remove_file(self.file(*old))?;
        }
        let Some(term) = found.first().copied() else { return Ok(Err(0)) };
        Ok(match lasts_until(&self.file(term)) {
            Some(until) => Ok(Standing { term, until }),
            None => Err(term),
        })
    }
}

/// Until when the term of a file lasts, in time since boot; none where it is over, or where that can't be
/// known.
pub fn lasts_until(file: &Path) -> Option<Duration> {
    let long = fs::metadata(file).ok()?.len() > FILE_MAX_BYTES;
    let written: Written = serde_json::from_slice(&fs::read(file).ok().filter(|_| !long)?).ok()?;
    let until = Duration::from_millis(written.until_ms);
    (written.boot_id == boot_id().ok()? && since_boot() < until).then_some(until)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_term_lasts_as_its_file_says_and_no_longer_than_the_boot() {
        let temp = tempfile::tempdir().expect("a folder");
        let terms = Terms::new(temp.path().to_owned());
        assert_eq!(terms.last().expect("read"), Err(0));
        let until = since_boot() + Duration::from_mins(1);
        let until = Duration::from_millis(u64::try_from(until.as_millis()).expect("fits"));
        let standing = Standing { term: 3, until };
        terms.write(standing).expect("written");
        assert_eq!(terms.last().expect("read"), Ok(standing));
        assert_eq!(lasts_until(&terms.file(3)), Some(until));
        assert_eq!(lasts_until(&terms.file(4)), None);

        terms.write(Standing { term: 4, until: since_boot() }).expect("written");
        assert_eq!(terms.last().expect("read"), Err(4));
        let other = r#"{"term":5,"boot_id":"another","until_ms":18446744073709551615}"#;
        fs::write(terms.file(5), other).expect("written");
        assert_eq!(terms.last().expect("read"), Err(5));
    }
}
