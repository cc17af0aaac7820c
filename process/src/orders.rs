//! What the ledger tells a supervisor, and where a run's files lie.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use execution_ledger_domain::agent::SecretSource;
use execution_ledger_domain::{AgentName, ClaimId, ExecutionId};
use serde::{Deserialize, Serialize};

/// The version of the formats of orders, status and spool. A supervisor may be older
/// than the ledger that reads what it left.
pub const FORMAT_VERSION: u32 = 1;

/// The files of one start of one execution: `runs/{execution}/{claim}.*`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunFiles {
    /// `runs/{execution}`.
    pub directory: PathBuf,
    /// Which start.
    pub claim: ClaimId,
}

impl RunFiles {
    /// Below the directory of all runs.
    pub fn new(runs: &Path, execution: ExecutionId, claim: ClaimId) -> Self {
        Self { directory: runs.join(execution.to_string()), claim }
    }

    fn file(&self, kind: &str) -> PathBuf {
        self.directory.join(format!("{}.{kind}", self.claim))
    }

    /// Linked, locked and synced before anything is executed; holds [`LockRecord`]. Where the ledger
    /// has given the claim up before, a [`SealRecord`] has its place.
    pub fn lock(&self) -> PathBuf {
        self.file("lock")
    }

    /// The output: NDJSON, one [`crate::transcript::Line`] each.
    pub fn spool(&self) -> PathBuf {
        self.file("spool")
    }

    /// How it ended: [`crate::status::Status`] as one line of JSON, padded with NUL bytes; all NUL
    /// while it runs.
    pub fn status(&self) -> PathBuf {
        self.file("status")
    }

    /// The message, where it is given on standard input (mode 0600).
    pub fn stdin(&self) -> PathBuf {
        self.file("stdin")
    }

    /// The MCP configuration of a run that is given one (mode 0600).
    pub fn mcp_config(&self) -> PathBuf {
        self.file("mcp.json")
    }
}

/// Who holds a run's lock, as far as a file can say: the lock itself says whether it lives.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LockRecord {
    /// [`FORMAT_VERSION`] of the supervisor.
    pub version: u32,
    /// Process id of the supervisor.
    pub pid: i32,
    /// `/proc/sys/kernel/random/boot_id` of the boot in which it was started.
    pub boot_id: String,
}

/// What lies in the place of a lock where a claim was given up before any supervisor had taken it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SealRecord {
    /// [`FORMAT_VERSION`] of the ledger.
    pub version: u32,
    /// By which it is told from a lock: always true.
    pub sealed: bool,
}

/// What a supervisor is to do. Holds the run token, so it goes from process to process and never to
/// a disk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Orders {
    /// [`FORMAT_VERSION`] of the ledger.
    pub version: u32,
    /// Which execution.
    pub execution_id: ExecutionId,
    /// Which start of it.
    pub claim: ClaimId,
    /// Which agent.
    pub agent: AgentName,
    /// The program, searched in the run's own PATH where it has no slash, and all its arguments.
    pub argv: Vec<String>,
    /// Variables that are set.
    pub env: BTreeMap<String, String>,
    /// Variables that are taken over from the supervisor's own environment where it has them.
    pub env_allow: Vec<String>,
    /// Variables whose values the supervisor reads just before it executes the program.
    pub env_from: BTreeMap<String, SecretSource>,
    /// Where the program runs; made (mode 0700) where `make_cwd` is set.
    pub cwd: PathBuf,
    /// Whether a missing `cwd` is made.
    pub make_cwd: bool,
    /// The system user that the program runs as.
    pub run_as: Option<String>,
    /// Whether standard input is the file [`RunFiles::stdin`]; else it is /dev/null.
    pub stdin_from_file: bool,
    /// How long the program may run, in milliseconds.
    pub timeout_ms: u64,
    /// How long the slot is held at most, in milliseconds: the tree is killed at its lapse.
    pub lease_ms: u64,
    /// Between SIGINT and SIGKILL, in milliseconds.
    pub grace_ms: u64,
    /// How long output is drained after the first process has ended, in milliseconds.
    pub drain_ms: u64,
    /// How large the spool may become, in bytes.
    pub output_max_bytes: u64,
    /// Address space of each process, in bytes.
    pub memory_max_bytes: Option<u64>,
    /// The file that says until when its node is heard of, where that is one of several: the run is
    /// stopped once it is over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node_term: Option<PathBuf>,
}

/// Signals by which a supervisor is told things. They go through a pidfd, never by number.
pub mod supervisor_signal {
    use nix::sys::signal::Signal;

    /// Somebody wants the run to stop: SIGINT to the group, the grace period, SIGKILL to the tree.
    pub const CANCEL: Signal = Signal::SIGUSR1;
    /// The slot has lapsed: SIGKILL to the tree at once, if it has by the supervisor's own clock,
    /// which stands still for nobody and is never set. Otherwise it is passed over: the sender's
    /// clock was set.
    pub const LEASE_LAPSED: Signal = Signal::SIGUSR2;
    /// The run has passed what it may cost: like a cancel, recorded as such. A supervisor that does not
    /// know this signal is not ended by it: what nobody takes of it is passed over.
    pub const MAX_COST: Signal = Signal::SIGURG;
    /// The host goes down: like a cancel, recorded as such.
    pub const HOST_SHUTDOWN: Signal = Signal::SIGTERM;
}

/// The variable that marks every process of a run with its execution.
pub const MARKER_VARIABLE: &str = "EXECUTION_LEDGER_EXECUTION_ID";
