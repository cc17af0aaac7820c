//! A key by which somebody calls the ledger: issued once, perhaps revoked.

mod decide;
mod event;

pub use decide::{Command, Key, Rejection};
pub use event::{Issued, KeyEvent, Revoked};

#[cfg(test)]
mod tests;
