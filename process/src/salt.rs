//! Random bytes: salts for texts, secrets of keys.

use execution_ledger_store::StoreError;

/// Sixteen random bytes for one text.
///
/// # Errors
/// [`StoreError::Fault`] where the system gives no random bytes.
pub fn salt() -> Result<[u8; 16], StoreError> {
    random()
}

/// Random bytes from the system.
///
/// # Errors
/// [`StoreError::Fault`] where the system gives none.
pub fn random<const BYTES: usize>() -> Result<[u8; BYTES], StoreError> {
    let mut bytes = [0; BYTES];
    getrandom::fill(&mut bytes)
        .map_err(|error| StoreError::Fault(format!("the system gives no random bytes: {error}")))?;
    Ok(bytes)
}
