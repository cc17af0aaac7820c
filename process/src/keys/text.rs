//! A key as its holder has it: the key's id and random bytes, so that it is found by its id.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use execution_ledger_domain::KeyId;
use execution_ledger_store::StoreError;
use uuid::Uuid;

use crate::random;

/// How every key begins, so that it is recognised wherever it turns up.
pub const PREFIX: &str = "elk_";
/// Bytes of a key's id.
const ID_BYTES: usize = 16;
/// Random bytes of a key.
const SECRET_BYTES: usize = 32;

/// A new key for that id.
///
/// # Errors
/// [`StoreError::Fault`] where the system gives no random bytes.
pub(super) fn draw(id: KeyId) -> Result<String, StoreError> {
    let mut bytes = [0; ID_BYTES + SECRET_BYTES];
    bytes[..ID_BYTES].copy_from_slice(id.0.as_bytes());
    bytes[ID_BYTES..].copy_from_slice(&random::<SECRET_BYTES>()?);
    Ok(format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(bytes)))
}

/// The id that a key names, if the text has a key's form. Whether it is that key is another
/// question.
pub(super) fn id_of(key: &str) -> Option<KeyId> {
    let bytes = URL_SAFE_NO_PAD.decode(key.strip_prefix(PREFIX)?).ok()?;
    let (id, secret) = bytes.split_at_checked(ID_BYTES)?;
    (secret.len() == SECRET_BYTES).then_some(KeyId(Uuid::from_slice(id).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_drawn_key_names_its_id_and_is_never_drawn_twice() {
        let id = KeyId(Uuid::from_u128(7));
        let key = draw(id).expect("random bytes");
        assert_eq!(id_of(&key), Some(id));
        assert_ne!(draw(id).expect("random bytes"), key);
        assert_eq!(key.len(), PREFIX.len() + 64);
        for other in ["", "elk_", "elk_AAAA", "elr_x", &key[1..], &key[..key.len() - 2]] {
            assert_eq!(id_of(other), None, "{other}");
        }
    }
}
