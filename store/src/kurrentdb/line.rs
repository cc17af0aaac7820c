//! What all connections to a server have in common, and what they fail with.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use eventstore::{ClientSettings, Credentials};

use super::settings::{KurrentOptions, Waits};
use crate::clock::Clock;
use crate::port::Unreachable;

/// Code of gRPC: what was asked for makes no sense, as a place in the log where no record begins.
const INVALID_ARGUMENT: i32 = 3;

/// What all connections of a store have in common.
pub(super) struct Line {
    pub(super) settings: ClientSettings,
    pub(super) credentials: Option<Credentials>,
    pub(super) waits: Waits,
    clock: Arc<dyn Clock>,
    trouble: Mutex<Option<Unreachable>>,
    reconnects: AtomicU64,
}

impl Line {
    pub(super) fn new(options: &KurrentOptions) -> Result<Self, super::ConnectionError> {
        let login = options.credentials.as_ref().or_else(|| options.connection.login());
        Ok(Self {
            settings: options.connection.client_settings()?,
            credentials: login.map(super::UserPassword::credentials),
            waits: options.waits,
            clock: Arc::clone(&options.clock),
            trouble: Mutex::default(),
            reconnects: AtomicU64::new(0),
        })
    }

    /// Since when the server can't be reached; none where it can.
    pub(super) fn trouble(&self) -> Option<Unreachable> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Connections that were made in the place of others.
    pub(super) fn reconnects(&self) -> u64 {
        self.reconnects.load(Ordering::Relaxed)
    }

    /// Something was answered.
    pub(super) fn is_well(&self) {
        let mut trouble = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(over) = trouble.take() {
            metrics::gauge!("ledger_log_unreachable").set(0.0);
            tracing::info!(since = %over.since, "the event log can be reached again");
        }
    }

    /// Something was not answered.
    pub(super) fn is_in_trouble(&self, problem: &str) {
        let mut trouble = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = &mut *trouble {
            problem.clone_into(&mut known.problem);
            return;
        }
        metrics::gauge!("ledger_log_unreachable").set(1.0);
        tracing::warn!(problem, "the event log can't be reached");
        let since = self.clock.now();
        *trouble = Some(Unreachable { since, problem: problem.to_owned() });
    }

    pub(super) fn reconnected(&self) {
        self.reconnects.fetch_add(1, Ordering::Relaxed);
        metrics::counter!("ledger_log_reconnects_total").increment(1);
    }
}

/// Why something that was asked of a connection was not answered with what it was asked for.
#[derive(Clone, Debug)]
pub(super) enum Failure {
    /// The server's own answer, through the crate.
    Told(eventstore::Error),
    /// No answer in time.
    Silent(Duration),
    /// The connection's thread is gone, or a task in it panicked.
    Broken(String),
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Told(error) => f.write_str(&in_short(&error.to_string())),
            Self::Silent(after) => write!(f, "no answer within {} ms", after.as_millis()),
            Self::Broken(why) => f.write_str(why),
        }
    }
}

/// What the crate says without the empty parts of a status.
fn in_short(said: &str) -> String {
    let said = said.split(", details:").next().unwrap_or(said);
    let said = said.rsplit("error: ").next().filter(|rest| !rest.is_empty()).unwrap_or(said);
    said.to_owned()
}

impl Failure {
    /// Whether the server refused us, or what we ask for, so that asking again is of no use.
    pub(super) fn is_final(&self) -> bool {
        match self {
            Self::Told(eventstore::Error::Grpc { code, .. }) => *code as i32 == INVALID_ARGUMENT,
            Self::Told(error) => matches!(
                error,
                eventstore::Error::AccessDenied | eventstore::Error::UnsupportedFeature
            ),
            Self::Silent(_) | Self::Broken(_) => false,
        }
    }
}
