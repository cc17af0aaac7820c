//! Copying files so that they are on the disk when it is said.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use super::super::Failure;

/// How deep folders lie in one another: `runs/ID/` is the deepest.
const DEPTH_MAX: u32 = 8;

/// What was copied.
#[derive(Clone, Copy, Debug, Default)]
pub struct Copied {
    /// How many files.
    pub files: u64,
    /// Their sizes together.
    pub bytes: u64,
}

impl Copied {
    /// These and others.
    pub fn add(&mut self, others: Self) {
        self.files += others.files;
        self.bytes += others.bytes;
    }
}

fn failed(path: &Path, error: &io::Error) -> Failure {
    Failure::Fault(format!("{}: {error}", path.display()))
}

/// Makes a folder for its owner only.
pub fn make_folder(path: &Path) -> Result<(), Failure> {
    DirBuilder::new().mode(0o700).create(path).map_err(|error| failed(path, &error))
}

/// Waits until a file's content, or a folder's names, are on the disk.
pub fn sync(path: &Path) -> Result<(), Failure> {
    File::open(path).and_then(|file| file.sync_all()).map_err(|error| failed(path, &error))
}

/// Copies a file; one that is not there, or not any more, is none to copy.
pub fn copy_file(from: &Path, to: &Path, copied: &mut Copied) -> Result<(), Failure> {
    let mut source = match File::open(from) {
        Ok(source) => source,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(failed(from, &error)),
    };
    let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(to);
    let mut target = made.map_err(|error| failed(to, &error))?;
    let bytes = io::copy(&mut source, &mut target)
        .and_then(|bytes| target.sync_all().map(|()| bytes))
        .map_err(|error| failed(to, &error))?;
    copied.add(Copied { files: 1, bytes });
    Ok(())
}

/// Copies a folder with all files and folders in it. Links and the like are none of ours and are
/// left out; what vanishes meanwhile was moved by the server.
pub fn copy_folder(from: &Path, to: &Path, copied: &mut Copied) -> Result<(), Failure> {
    copy_level(from, to, copied, 0)
}

fn copy_level(from: &Path, to: &Path, copied: &mut Copied, depth: u32) -> Result<(), Failure> {
    if depth > DEPTH_MAX {
        return Err(Failure::Fault(format!("{}: folders lie too deep", from.display())));
    }
    make_folder(to)?;
    let entries = match fs::read_dir(from) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(failed(from, &error)),
    };
    for entry in entries {
        let entry = entry.map_err(|error| failed(from, &error))?;
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        let Ok(kind) = entry.file_type() else { continue };
        if kind.is_dir() {
            copy_level(&source, &target, copied, depth + 1)?;
        } else if kind.is_file() {
            copy_file(&source, &target, copied)?;
        }
    }
    sync(to)
}
