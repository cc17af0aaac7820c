//! Every limit of the domain, with its name and its reason. Settings may narrow some of them;
//! nothing may widen them.

/// A message: longest, in bytes of UTF-8. Shortest is one byte.
pub const MESSAGE_MAX_BYTES: usize = 256 * 1024;
/// A message that is passed as a command-line argument: longest, in bytes. Linux refuses a single
/// argument of 131,072 bytes or more; the rest is kept for what a runtime puts around it.
pub const MESSAGE_AS_ARGUMENT_MAX_BYTES: usize = 128_000;
/// A response that is kept beside the log: longest, in bytes. What is longer is cut here, marked,
/// and whole in the transcript.
pub const RESPONSE_MAX_BYTES: usize = 256 * 1024;
/// A system prompt: longest, in bytes.
pub const SYSTEM_PROMPT_MAX_BYTES: usize = 64 * 1024;
/// An error text: longest, in bytes; longer ones are cut.
pub const ERROR_TEXT_MAX_BYTES: usize = 16 * 1024;
/// One append: longest, in bytes of data, metadata and contents. KurrentDB refuses 1 MiB.
pub const APPEND_MAX_BYTES: usize = 768 * 1024;
/// Calls of agents by agents: deepest chain. An execution without a parent has depth 0.
pub const CALL_DEPTH_MAX: u32 = 5;
/// How long an execution may wait for a slot, in seconds: then it fails as `queue_expired`.
pub const QUEUE_MAX_S: u64 = 24 * 3600;
/// Moves of one execution to the front of its queue: most. Each is an event, and an execution's
/// stream is read whole.
pub const QUEUE_MOVES_MAX: u32 = 100;
/// What a slot outlives a run's timeout by, in seconds, before its lease lapses.
pub const LEASE_MARGIN_S: u64 = 300;

/// Erasing texts.
pub mod erasure {
    /// A reason: longest, in bytes of UTF-8.
    pub const REASON_MAX_BYTES: usize = 1_000;
    /// Places that one `content.erased` names: most. A text that lies at more has several of them.
    pub const PLACES_MAX: usize = 256;
}

/// An agent's settings: ranges and defaults.
pub mod agent {
    /// Executions that run at once: default.
    pub const PARALLEL_DEFAULT: u32 = 3;
    /// Executions that run at once: most.
    pub const PARALLEL_MAX: u32 = 1_000;
    /// How long a run may take, in seconds: default.
    pub const TIMEOUT_DEFAULT_S: u64 = 900;
    /// How long a run may take, in seconds: most (a week).
    pub const TIMEOUT_MAX_S: u64 = 7 * 24 * 3600;
    /// Executions that may wait: default.
    pub const QUEUE_DEFAULT: u32 = 50;
    /// Executions that may wait: most.
    pub const QUEUE_MAX: u32 = 1_000_000;
    /// Between SIGINT and SIGKILL, in seconds: default.
    pub const GRACE_DEFAULT_S: u64 = 5;
    /// Between SIGINT and SIGKILL, in seconds: most.
    pub const GRACE_MAX_S: u64 = 300;
    /// New attempts at an execution that follow by themselves: most.
    pub const RETRIES_MAX: u32 = 10;
    /// Before the first new attempt, in seconds: default. It doubles with each further one.
    pub const RETRY_BACKOFF_DEFAULT_S: u64 = 5;
    /// Before a new attempt, in seconds: most (ten minutes).
    pub const RETRY_BACKOFF_MAX_S: u64 = 600;
    /// Words of a command: most.
    pub const COMMAND_MAX_WORDS: usize = 256;
    /// One word of a command, a path or an environment value: longest, in bytes.
    pub const WORD_MAX_BYTES: usize = 8 * 1024;
    /// Entries of `env`, `env_from`, `env_allow`, `models`, `allowed_tools` and `may_call`: most each.
    pub const LIST_MAX: usize = 256;
    /// Turns of one run: most.
    pub const TURNS_MAX: u32 = 10_000;
    /// Memory of a run, in bytes: least that can be asked for.
    pub const MEMORY_MIN_BYTES: u64 = 16 * 1024 * 1024;
    /// Memory of a run, in bytes: most that can be asked for.
    pub const MEMORY_MAX_BYTES: u64 = 1 << 50;
}

/// Keys.
pub mod key {
    /// What people call a key: longest, in characters.
    pub const NAME_MAX_CHARS: usize = 100;
    /// Agents that a key may be narrowed to: most.
    pub const MAY_CALL_MAX: usize = 256;
}

/// Budgets.
pub mod budget {
    /// Budgets that have limits: most.
    pub const BUDGETS_MAX: usize = 10_000;
}

/// Chat sessions.
pub mod session {
    /// Messages of one session: most. Then another session is to be opened.
    pub const MESSAGES_MAX: usize = 10_000;
}

/// Schedules.
pub mod schedule {
    /// Schedules that are not deleted: most.
    pub const SCHEDULES_MAX: usize = 10_000;
    /// What people call a schedule: longest, in characters.
    pub const NAME_MAX_CHARS: usize = 100;
    /// A cron expression: longest, in bytes.
    pub const CRON_MAX_BYTES: usize = 200;
    /// The name of a time zone: longest, in bytes.
    pub const TIMEZONE_MAX_BYTES: usize = 64;
    /// A tick that is decided later than this after it came was missed, in seconds, also where the
    /// scheduler was there when it came.
    pub const MISSED_AFTER_S: u64 = 60;
    /// Missed ticks that a schedule with the policy `all` catches up with: most; earlier ones are
    /// skipped.
    pub const CATCH_UP_MAX: usize = 100;
    /// Ticks that are looked at to decide once: most. A week has 10,080 minutes.
    pub const DUE_LOOKED_MAX: usize = 20_000;
    /// Executions that were asked for by hand and are remembered: most.
    pub const TRIGGERED_KEPT: usize = 32;
}

/// Webhooks.
pub mod webhook {
    /// Webhooks that are not deleted: most.
    pub const WEBHOOKS_MAX: usize = 100;
    /// What people call a webhook: longest, in characters.
    pub const NAME_MAX_CHARS: usize = 100;
    /// A webhook's address: longest, in bytes.
    pub const URL_MAX_BYTES: usize = 2_048;
    /// How long messages are signed with the secret before the current one too, in seconds: a day.
    pub const ROTATION_OVERLAP_S: u64 = 24 * 3600;
    /// Messages to one webhook that were given up and not redriven: most. While there are so many, no
    /// other is given up: it is tried on and on.
    pub const DEAD_MAX: usize = 1_000;
    /// Messages that a webhook took last and that are remembered: most.
    pub const TAKEN_KEPT: usize = 64;
}

/// Payments.
pub mod payment {
    /// How often the facilitator is asked for the money of one payment: most. Only whoever paid can have
    /// it asked again, by sending the payment again.
    pub const SETTLEMENTS_MAX: u32 = 3;
    /// By how much the end of a payment's validity must have passed before it counts as one that can't
    /// come any more, in seconds: the last blocks may still be exchanged for others, and clocks differ.
    pub const PAST_VALIDITY_S: u64 = 60;
}
