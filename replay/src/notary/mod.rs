//! The notary: a Merkle tree over all events, and signed statements about it.
//!
//! Each event is a leaf of an RFC 6962 tree, laid out as C2SP tlog-tiles; checkpoints are C2SP signed
//! notes. Whoever kept a checkpoint can tell whether anything that it covers was changed since.

mod audit;
mod chain;
mod checkpoints;
mod entry;
mod follow;
mod key;
mod note;
mod rotate;
mod tile;
mod tiles;
mod tree;
mod witness;

#[cfg(test)]
mod tests;

pub use chain::{KeyChain, ROTATIONS_MAX, Rotation};
pub use checkpoints::{CHECKPOINTS_FILE, COSIGNED_FILE, Checkpoints, Kept};
pub use entry::{encode, leaf};
pub use follow::{Notary, State};
pub use key::read_verifier;
pub use note::{Checkpoint, NoteError, SignedCheckpoint, Signer, Verifier, VerifierError};
pub use rotate::{Rotated, Step, finish, rotate};
pub use tile::{Asked, ENTRY_MAX_BYTES, TILE_WIDTH, TileId};
pub use tiles::{LogTree, TileDir};
pub use tree::{Levels, is_consistent, leaf_hash, node_hash, root_from_path};
pub use witness::{Answer, Post, WITNESSES_MAX, Witness, WitnessKey};

use std::io;
use std::path::{Path, PathBuf};

use execution_ledger_store::StoreError;

/// The file that holds the signing key's seed, for its owner only.
pub const KEY_FILE: &str = "key";
/// The file that holds the seed of the next key, while the key is being changed.
pub const NEXT_KEY_FILE: &str = "key.next";
/// The file that holds the public key, as the text that verifiers take.
pub const VERIFIER_FILE: &str = "verifier";

/// Why the notary can't do something. That a tree disagrees is no such fault, see [`State`].
#[derive(Debug, thiserror::Error)]
pub enum NotaryError {
    /// A file can't be read or written.
    #[error("{}: {source}", path.display())]
    File {
        /// Which file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// A file is not as the notary left it.
    #[error("{}: {problem}", path.display())]
    Damaged {
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// The log can't be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// What was asked for lies beyond the tree, or its tiles are not there.
    #[error("{0}")]
    Missing(String),
}

impl NotaryError {
    pub(crate) fn file(path: &Path, source: io::Error) -> Self {
        Self::File { path: path.to_owned(), source }
    }

    pub(crate) fn damaged(path: &Path, problem: impl Into<String>) -> Self {
        Self::Damaged { path: path.to_owned(), problem: problem.into() }
    }
}
