//! How a run ended, as its supervisor saw it.

use execution_ledger_domain::content::Digest;
use execution_ledger_domain::execution::{Exit, SignalSent, StopCause};
use execution_ledger_domain::{ClaimId, Timestamp};
use serde::{Deserialize, Serialize};

/// Room that the status file takes from the start, in bytes, so that a full disk loses no ending.
pub const STATUS_FILE_BYTES: usize = 16 * 1024;
/// Signals that a status can hold; later ones are not listed.
pub const SIGNALS_MAX: usize = 16;

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// [`crate::orders::FORMAT_VERSION`] of the supervisor.
    pub version: u32,
    /// Which start.
    pub claim: ClaimId,
    /// Why the program could not be started; then nothing below is about a process.
    pub spawn_error: Option<String>,
    /// When the program was started.
    pub started_at: Timestamp,
    /// When its first process had ended.
    pub ended_at: Timestamp,
    /// Between the two by CLOCK_BOOTTIME, in milliseconds.
    pub duration_ms: u64,
    /// How the first process ended.
    pub exit: Option<Exit>,
    /// Why the supervisor stopped it, if it did: the first cause.
    pub stopped: Option<StopCause>,
    /// The signals that it was sent, in order.
    pub signals: Vec<SignalSent>,
    /// Processes that were still alive after it and were killed.
    pub killed_processes: u32,
    /// Lines of the spool.
    pub lines: u64,
    /// Bytes of the spool.
    pub bytes: u64,
    /// SHA-256 of the spool.
    pub sha256: Digest,
    /// Secrets that were redacted in the output.
    pub redactions: u64,
}
