//! Which key is sent to which server.

use std::path::Path;

use reqwest::Url;

use super::{ClientError, Target};
use crate::compose::{admin_key, server_file::ServerFile};

/// The largest key file that is read, in bytes.
const KEY_FILE_MAX_BYTES: u64 = 4 * 1024;

/// The key that was given, else that of the file that was given, else the data directory's own:
/// that one only for the server that runs on it, so that it is never sent elsewhere.
pub fn find(target: &Target, base: &Url) -> Result<String, ClientError> {
    if let Some(key) = &target.key {
        return Ok(key.trim().to_owned());
    }
    if let Some(path) = &target.key_file {
        return read(path);
    }
    let Some(dir) = &target.data_dir else {
        return Err(ClientError::Key("none was given".to_owned()));
    };
    let own = ServerFile::read(dir).ok().flatten();
    let is_own = own.is_some_and(|own| Url::parse(&own.url).is_ok_and(|own| same(&own, base)));
    if !is_own {
        return Err(ClientError::Key(format!(
            "none was given, and {base} is not the server of {}",
            dir.display()
        )));
    }
    read(&dir.join(admin_key::FILE_NAME))
}

fn same(one: &Url, other: &Url) -> bool {
    one.origin() == other.origin()
}

fn read(path: &Path) -> Result<String, ClientError> {
    let unusable = |why: String| ClientError::Key(format!("{}: {why}", path.display()));
    let length = std::fs::metadata(path).map_err(|error| unusable(error.to_string()))?.len();
    if length > KEY_FILE_MAX_BYTES {
        return Err(unusable(format!("it has {length} bytes and can't be a key")));
    }
    let text = std::fs::read_to_string(path).map_err(|error| unusable(error.to_string()))?;
    let key = text.trim();
    if key.is_empty() {
        return Err(unusable("it is empty".to_owned()));
    }
    Ok(key.to_owned())
}
