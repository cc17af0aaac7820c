//! The data directory: who may read it, and what lies where.

use std::fs;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use super::ServeError;

/// Rights of the data directory and of every folder in it: the owner's only.
const MODE: u32 = 0o700;
/// The bits of a mode that let others in.
pub const OTHERS: u32 = 0o077;

/// The data directory.
#[derive(Clone, Debug)]
pub struct DataDir(PathBuf);

impl DataDir {
    /// The names in the directory at `path`, which is left as it is.
    pub fn at(path: &Path) -> Self {
        Self(path.to_owned())
    }

    /// Makes it and its folders where they are missing, and closes them to others.
    pub fn open(path: &Path) -> Result<Self, ServeError> {
        let this = Self(path.to_owned());
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).map_err(|source| file("the folder", parent, source))?;
        }
        let folders = [this.0.clone(), this.transcripts(), this.runs(), this.notary(), this.node()];
        for folder in folders {
            closed_folder(&folder)?;
        }
        Ok(this)
    }

    /// The directory itself.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The log.
    pub fn events(&self) -> PathBuf {
        self.0.join("events.db")
    }

    /// The read models, which can be deleted while no server runs.
    pub fn views(&self) -> PathBuf {
        self.0.join("views.db")
    }

    /// The transcripts of ended runs.
    pub fn transcripts(&self) -> PathBuf {
        self.0.join("transcripts")
    }

    /// What supervisors write.
    pub fn runs(&self) -> PathBuf {
        self.0.join("runs")
    }

    /// The notary's checkpoints.
    pub fn notary(&self) -> PathBuf {
        self.0.join("notary")
    }

    /// What this node of several must remember: its id, and until when its runs believe in it.
    pub fn node(&self) -> PathBuf {
        self.0.join("node")
    }

    /// The administrator's key.
    pub fn admin_key(&self) -> PathBuf {
        self.0.join(super::admin_key::FILE_NAME)
    }

    /// The secret that signs run tokens.
    pub fn ledger_secret(&self) -> PathBuf {
        self.0.join("ledger.secret")
    }
}

fn closed_folder(path: &Path) -> Result<(), ServeError> {
    match fs::DirBuilder::new().mode(MODE).create(path) {
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
        made => made.map_err(|source| file("the folder", path, source))?,
    }
    let found = fs::metadata(path).map_err(|source| file("the folder", path, source))?;
    let problem = |problem: String| ServeError::Unsafe { path: path.to_owned(), problem };
    if !found.is_dir() {
        return Err(problem("it is no folder".to_owned()));
    }
    let own = nix::unistd::geteuid().as_raw();
    if found.uid() != own {
        return Err(problem(format!(
            "it belongs to the user with the id {}, and this process to {own}: start the server as \
             its owner, or choose another --data-dir",
            found.uid()
        )));
    }
    if found.mode() & OTHERS != 0 {
        fs::set_permissions(path, fs::Permissions::from_mode(MODE))
            .map_err(|source| file("the folder", path, source))?;
        tracing::warn!(path = %path.display(), "others could enter this folder; it is closed now");
    }
    Ok(())
}

/// A fault of a file or folder.
pub fn file(what: &'static str, path: &Path, source: std::io::Error) -> ServeError {
    ServeError::File { what, path: path.to_owned(), source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_made_with_its_folders_for_its_owner_only() {
        let temp = tempfile::tempdir().expect("a folder");
        let path = temp.path().join("a/b");
        let data_dir = DataDir::open(&path).expect("made");
        for folder in [path, data_dir.runs(), data_dir.transcripts(), data_dir.notary()] {
            let mode = fs::metadata(&folder).expect("there").permissions().mode();
            assert_eq!(mode & 0o777, MODE, "{}", folder.display());
        }
    }

    #[test]
    fn a_folder_that_is_open_to_others_is_closed() {
        let temp = tempfile::tempdir().expect("a folder");
        fs::set_permissions(temp.path(), fs::Permissions::from_mode(0o755)).expect("opened");
        DataDir::open(temp.path()).expect("opened");
        let mode = fs::metadata(temp.path()).expect("there").permissions().mode();
        assert_eq!(mode & OTHERS, 0);
    }

    #[test]
    fn a_file_in_its_place_is_told_and_left_alone() {
        let temp = tempfile::tempdir().expect("a folder");
        let path = temp.path().join("taken");
        fs::write(&path, "x").expect("written");
        let error = DataDir::open(&path).expect_err("refused").to_string();
        assert!(error.contains("taken") && error.contains("no folder"), "{error}");
    }
}
