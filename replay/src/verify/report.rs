//! What a check found.

use serde::Serialize;

/// Problems that are told one by one; further ones are counted.
const PROBLEMS_MAX: usize = 1_000;

/// What is checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Check {
    /// An event can't be read, is not what its place in the tree says, or its time goes backwards by more
    /// than the clocks of several nodes may be apart.
    Event,
    /// The revisions of a stream have gaps.
    Stream,
    /// Type, version, data or metadata of an event can't be understood.
    Schema,
    /// A text beside an event is not what the event says.
    Content,
    /// A tile of the tree is not what the log says, while the checkpoints agree with the log.
    Tile,
    /// A checkpoint that the ledger signed does not agree with the log.
    Checkpoint,
    /// A checkpoint that somebody kept does not agree with the log.
    KeptCheckpoint,
    /// A transcript is not what the ending of its run recorded.
    Transcript,
    /// A table of the read models is not what the log leads to.
    ReadModel,
}

impl Check {
    /// The name of the check.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Event => "event",
            Self::Stream => "stream",
            Self::Schema => "schema",
            Self::Content => "content",
            Self::Tile => "tile",
            Self::Checkpoint => "checkpoint",
            Self::KeptCheckpoint => "kept_checkpoint",
            Self::Transcript => "transcript",
            Self::ReadModel => "read_model",
        }
    }
}

/// Something that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// Which check found it.
    pub check: Check,
    /// Where it is.
    pub place: String,
    /// What is wrong.
    pub problem: String,
}

/// What was checked, and what is wrong.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Events.
    pub events: u64,
    /// Streams.
    pub streams: u64,
    /// Events of a log of several nodes that were recorded before the event before them, by a clock that
    /// goes a little behind another's.
    pub clocks_apart: u64,
    /// By how much at most, in milliseconds, rounded up.
    pub clocks_apart_ms: u64,
    /// Texts whose hash was compared.
    pub contents: u64,
    /// Texts that were erased, so that only their hash is left.
    pub contents_erased: u64,
    /// Full tiles that were compared.
    pub tiles: u64,
    /// Full tiles that are not there; the server makes them anew.
    pub tiles_missing: u64,
    /// Checkpoints of the ledger's own that were compared.
    pub checkpoints: u64,
    /// Events that are covered by the ledger's last checkpoint.
    pub signed_events: u64,
    /// Signatures of witnesses on checkpoints that were compared.
    pub cosignatures: u64,
    /// Events that are covered by the last checkpoint that enough witnesses have signed.
    pub witnessed_events: u64,
    /// Checkpoints of others that were compared.
    pub kept_checkpoints: u64,
    /// Transcripts that were compared.
    pub transcripts: u64,
    /// Transcripts that are not here: old ones are removed, and of several nodes each has its own.
    pub transcripts_absent: u64,
    /// Transcripts that were erased.
    pub transcripts_erased: u64,
    /// Rows of the read models that were compared; absent where they were not.
    pub rows: Option<u64>,
    /// The key that signs checkpoints.
    pub key: Option<String>,
    /// The keys before it that have signed earlier ones, the first one first.
    pub keys_before: Vec<String>,
    /// The hash of the tree over all events.
    pub root: String,
    /// What is wrong, in the order in which it was found.
    pub problems: Vec<Problem>,
    /// Problems beyond those that are told.
    pub problems_untold: u64,
}

impl Report {
    /// Whether nothing is wrong.
    pub fn is_sound(&self) -> bool {
        self.problems.is_empty()
    }

    /// Adds a problem.
    pub fn add(&mut self, check: Check, place: impl Into<String>, problem: impl Into<String>) {
        if self.problems.len() < PROBLEMS_MAX {
            self.problems.push(Problem { check, place: place.into(), problem: problem.into() });
        } else {
            self.problems_untold += 1;
        }
    }
}
