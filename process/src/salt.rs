//! Random salts for texts.

use execution_ledger_store::StoreError;

/// Sixteen random bytes for one text.
///
/// # Errors
/// [`StoreError::Fault`] where the system gives no random bytes.
pub fn salt() -> Result<[u8; 16], StoreError> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes)
        .map_err(|error| StoreError::Fault(format!("the system gives no random bytes: {error}")))?;
    Ok(bytes)
}
