//! `server.json`: by which the command line finds the server of a data directory.

use std::fs::{self, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::secret::sync_folder;

/// The file's name in the data directory.
const FILE_NAME: &str = "server.json";
/// The largest such file that is read, in bytes.
const FILE_MAX_BYTES: u64 = 64 * 1024;

/// What a running server says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerFile {
    /// The address by which it is reached on this machine.
    pub url: String,
    /// Its process id.
    pub pid: u32,
}

impl ServerFile {
    /// Where it lies.
    pub fn path(data_dir: &Path) -> PathBuf {
        data_dir.join(FILE_NAME)
    }

    /// Of the data directory; `None` where no server has run, or the last one ended in order.
    pub fn read(data_dir: &Path) -> io::Result<Option<Self>> {
        let path = Self::path(data_dir);
        let named = |error: &dyn std::fmt::Display| {
            io::Error::other(format!("{} can't be read: {error}", path.display()))
        };
        let file = match fs::File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(named(&error)),
        };
        let mut text = String::new();
        file.take(FILE_MAX_BYTES).read_to_string(&mut text).map_err(|error| named(&error))?;
        serde_json::from_str(&text).map(Some).map_err(|error| named(&error))
    }

    /// Puts it into the data directory, whole or not at all.
    pub fn write(&self, data_dir: &Path) -> io::Result<()> {
        let path = Self::path(data_dir);
        let draft = path.with_extension("json.new");
        let mut file =
            OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&draft)?;
        file.write_all(serde_json::to_string(self)?.as_bytes())?;
        file.sync_all()?;
        fs::rename(&draft, &path)?;
        sync_folder(&path)
    }

    /// Removes it where it is still this server's.
    pub fn remove(&self, data_dir: &Path) -> io::Result<()> {
        if Self::read(data_dir)?.as_ref() == Some(self) {
            fs::remove_file(Self::path(data_dir))?;
        }
        Ok(())
    }

    /// Whether a process with its id is alive.
    pub fn is_alive(&self) -> bool {
        let pid = i32::try_from(self.pid).unwrap_or(0);
        pid > 0 && Path::new("/proc").join(pid.to_string()).exists()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_found_until_it_ends_and_never_removes_its_successor() {
        let temp = tempfile::tempdir().expect("a folder");
        assert_eq!(ServerFile::read(temp.path()).expect("read"), None);
        let own = |pid| ServerFile { url: "http://127.0.0.1:7171".to_owned(), pid };
        own(1).write(temp.path()).expect("written");
        own(2).write(temp.path()).expect("written");
        own(1).remove(temp.path()).expect("left alone");
        assert_eq!(ServerFile::read(temp.path()).expect("read"), Some(own(2)));
        own(2).remove(temp.path()).expect("removed");
        assert_eq!(ServerFile::read(temp.path()).expect("read"), None);
    }

    #[test]
    fn a_damaged_file_is_told_by_its_name() {
        let temp = tempfile::tempdir().expect("a folder");
        fs::write(ServerFile::path(temp.path()), "{").expect("written");
        let error = ServerFile::read(temp.path()).expect_err("refused").to_string();
        assert!(error.contains("server.json"), "{error}");
    }
}
