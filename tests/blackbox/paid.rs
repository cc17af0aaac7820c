//! Paid runs, with real parts: a local chain and an EIP-3009 token on it, a facilitator and a client of
//! the official packages, and the real binary. `make test-tools` installs what is not ours.

mod admission;
mod charges;
mod kills;
mod people;
mod refusals;
pub mod shop;
pub mod stage;
mod unknown;
