//! The administrator's key, made at the first start.

use std::fmt;

use super::data_dir::DataDir;
use super::{ServeError, secret};

/// The file of the key in the data directory.
pub const FILE_NAME: &str = "admin.key";
/// How the key begins, so that it is recognised wherever it turns up.
pub const PREFIX: &str = "elk_";

/// The administrator's key.
#[derive(Clone)]
pub struct AdminKey(String);

impl AdminKey {
    /// The key of the data directory, made where there is none yet.
    pub fn load_or_make(data_dir: &DataDir) -> Result<Self, ServeError> {
        let path = data_dir.admin_key();
        if let Some(key) = secret::read(&path)? {
            let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-');
            let fits = key.len() >= PREFIX.len() + secret::SECRET_BYTES
                && key.starts_with(PREFIX)
                && key.bytes().all(plain);
            if !fits {
                return Err(ServeError::Unsafe {
                    path,
                    problem:
                        "it holds no administrator's key; restore it from a backup, or remove \
                              it to have a new one made"
                            .to_owned(),
                });
            }
            return Ok(Self(key));
        }
        let key = format!("{PREFIX}{}", secret::as_text(&secret::random()?));
        Ok(Self(secret::make(&path, &key)?))
    }

    /// The key itself.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for AdminKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AdminKey(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_is_made_at_the_first_start_and_kept() {
        let temp = tempfile::tempdir().expect("a folder");
        let data_dir = DataDir::open(temp.path()).expect("a data directory");
        let first = AdminKey::load_or_make(&data_dir).expect("made");
        assert!(first.reveal().starts_with(PREFIX));
        assert_eq!(first.reveal().len(), PREFIX.len() + 43);
        let second = AdminKey::load_or_make(&data_dir).expect("read");
        assert_eq!(first.reveal(), second.reveal());
        assert!(!format!("{first:?}").contains(first.reveal()));
    }

    #[test]
    fn a_short_or_foreign_key_is_refused() {
        for text in ["", "elk_short", "password-password-password-password-password"] {
            let temp = tempfile::tempdir().expect("a folder");
            let data_dir = DataDir::open(temp.path()).expect("a data directory");
            secret::make(&data_dir.admin_key(), text).expect("written");
            assert!(AdminKey::load_or_make(&data_dir).is_err(), "{text:?}");
        }
    }
}
