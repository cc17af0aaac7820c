//! Secrets that the ledger makes for itself: random, for the owner only, made once.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::ServeError;
use super::data_dir::{OTHERS, file};

/// Random bytes of a secret.
pub const SECRET_BYTES: usize = 32;
/// The largest secret file that is read, in bytes.
const FILE_MAX_BYTES: u64 = 4 * 1024;

/// Random bytes from the system.
pub fn random() -> Result<[u8; SECRET_BYTES], ServeError> {
    let mut bytes = [0; SECRET_BYTES];
    getrandom::fill(&mut bytes).map_err(|error| ServeError::Random(error.to_string()))?;
    Ok(bytes)
}

/// Bytes as the text that stands in a file or key.
pub fn as_text(bytes: &[u8; SECRET_BYTES]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// The secret of that file, made where there is none yet.
pub fn load_or_make(path: &Path) -> Result<[u8; SECRET_BYTES], ServeError> {
    let text = match read(path)? {
        Some(text) => text,
        None => make(path, &as_text(&random()?))?,
    };
    let bytes = URL_SAFE_NO_PAD.decode(text.as_bytes()).ok();
    bytes.and_then(|bytes| bytes.try_into().ok()).ok_or_else(|| ServeError::Unsafe {
        path: path.to_owned(),
        problem: "it holds no secret of this program; restore it from a backup, or remove it to \
                  have a new one made"
            .to_owned(),
    })
}

/// The text of a secret file without the newline at its end; `None` where there is no such file.
/// A file that others can read is refused: what it holds may be known already.
pub fn read(path: &Path) -> Result<Option<String>, ServeError> {
    let failed = |source| file("the secret file", path, source);
    let opened = match File::open(path) {
        Ok(opened) => opened,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(error)),
    };
    let found = opened.metadata().map_err(failed)?;
    if found.mode() & OTHERS != 0 {
        return Err(ServeError::Unsafe {
            path: path.to_owned(),
            problem: format!(
                "others can read this secret (mode {:o}): remove the file to have a new one made, \
                 or, if nobody has read it, `chmod 600` it",
                found.mode() & 0o777
            ),
        });
    }
    let mut text = String::new();
    opened.take(FILE_MAX_BYTES).read_to_string(&mut text).map_err(failed)?;
    Ok(Some(text.trim_end_matches(['\n', '\r']).to_owned()))
}

/// Writes a secret that was not there before and answers it; if another process was quicker, its
/// secret.
///
/// Written under another name, synced and then linked: if we die before, there is no such file
/// and the next start makes one; nobody ever sees half of it.
pub fn make(path: &Path, text: &str) -> Result<String, ServeError> {
    let failed = |source| file("the secret file", path, source);
    let draft = path.with_extension(format!("new-{}", std::process::id()));
    remove_if_there(&draft).map_err(failed)?;
    let mut written =
        OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft).map_err(failed)?;
    written.write_all(format!("{text}\n").as_bytes()).map_err(failed)?;
    written.sync_all().map_err(failed)?;
    let linked = fs::hard_link(&draft, path);
    remove_if_there(&draft).map_err(failed)?;
    match linked {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            return read(path)?.ok_or_else(|| failed(io::ErrorKind::NotFound.into()));
        }
        Err(error) => return Err(failed(error)),
    }
    sync_folder(path).map_err(failed)?;
    Ok(text.to_owned())
}

fn remove_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Makes the names in a file's folder durable.
pub fn sync_folder(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(folder) => File::open(folder)?.sync_all(),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_secret_is_made_once_and_for_its_owner_only() {
        let temp = tempfile::tempdir().expect("a folder");
        let path = temp.path().join("ledger.secret");
        let first = load_or_make(&path).expect("made");
        assert_eq!(load_or_make(&path).expect("read"), first);
        assert_ne!(first, [0; SECRET_BYTES]);
        let mode = fs::metadata(&path).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(fs::read_dir(temp.path()).expect("read").count(), 1, "no draft is left");
    }

    #[test]
    fn the_secret_of_a_quicker_process_stays() {
        let temp = tempfile::tempdir().expect("a folder");
        let path = temp.path().join("x");
        let first = make(&path, "first").expect("made");
        assert_eq!(make(&path, "second").expect("read"), first);
    }

    #[test]
    fn a_secret_that_others_can_read_is_refused() {
        let temp = tempfile::tempdir().expect("a folder");
        let path = temp.path().join("x");
        load_or_make(&path).expect("made");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).expect("opened");
        let error = load_or_make(&path).expect_err("refused").to_string();
        assert!(error.contains("640") && error.contains("chmod 600"), "{error}");
    }

    #[test]
    fn a_damaged_secret_is_told_instead_of_replaced() {
        let temp = tempfile::tempdir().expect("a folder");
        let path = temp.path().join("x");
        make(&path, "not a secret").expect("made");
        assert!(load_or_make(&path).is_err());
        assert_eq!(fs::read_to_string(&path).expect("still there"), "not a secret\n");
    }
}
