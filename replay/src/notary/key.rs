//! The notary's key: its secret half is a seed that is handed in, its public half a file.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use execution_ledger_store::LogId;

use super::{NotaryError, Signer, VERIFIER_FILE, Verifier};

/// What the names of our keys begin with; the id of the log follows as it was when the key was made.
const NAME_PREFIX: &str = "execution-ledger/";

/// The public key that lies in a notary's folder; `None` where there is none yet.
///
/// # Errors
/// Where it can't be read.
pub fn read_verifier(folder: &Path) -> Result<Option<Verifier>, NotaryError> {
    let path = folder.join(VERIFIER_FILE);
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(NotaryError::file(&path, error)),
    };
    let verifier = text.trim_end_matches('\n').parse();
    verifier
        .map(Some)
        .map_err(|error: super::VerifierError| NotaryError::damaged(&path, error.to_string()))
}

/// The key of that seed, under the name that it was first used with. Its public half is on the disk
/// before anything can be signed.
pub(super) fn signer(folder: &Path, seed: &[u8; 32], log: &LogId) -> Result<Signer, NotaryError> {
    let path = folder.join(VERIFIER_FILE);
    let known = read_verifier(folder)?;
    let name = known
        .as_ref()
        .map_or_else(|| format!("{NAME_PREFIX}{log}"), |verifier| verifier.name().to_owned());
    let signer = Signer::of_seed(&name, seed)
        .map_err(|error| NotaryError::damaged(&path, error.to_string()))?;
    match known {
        Some(known) if known == *signer.verifier() => {}
        Some(_) => {
            let problem = "the signing key beside it is another one: restore the file `key` that \
                           belongs to it from a backup";
            return Err(NotaryError::damaged(&path, problem));
        }
        None => keep_verifier(folder, signer.verifier())?,
    }
    Ok(signer)
}

/// Makes a key the folder's. It is on the disk when this returns.
pub(super) fn keep_verifier(folder: &Path, verifier: &Verifier) -> Result<(), NotaryError> {
    let path = folder.join(VERIFIER_FILE);
    let draft = path.with_extension("new");
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600);
    options
        .open(&draft)
        .and_then(|mut file| {
            writeln!(file, "{verifier}")?;
            file.sync_all()
        })
        .and_then(|()| fs::rename(&draft, &path))
        .and_then(|()| File::open(folder)?.sync_all())
        .map_err(|error| NotaryError::file(&path, error))
}
