//! Until when what a caller opened may stay open.

use std::time::Duration;

use execution_ledger_domain::{ExecutionId, Timestamp};
use execution_ledger_process::tasks::{Tasks, Waited};
use tokio_util::sync::CancellationToken;

use crate::sign_in::SignedIn;

/// How long an ending is waited for before it is looked for again.
const RUN_WAIT: Duration = Duration::from_hours(1);
/// Rest before a run is looked for again where waiting for its end was not possible.
const RUN_LOOK: Duration = Duration::from_secs(5);
/// Longest that the clock is not looked at: it may jump.
const CLOCK_LOOK: Duration = Duration::from_mins(1);

/// Why what a caller opened must end, although there may be more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Over {
    /// The key was revoked.
    KeyRevoked,
    /// The browser signed out.
    SignedOut,
    /// The browser's session lasted as long as it may.
    SessionExpired,
    /// The run whose token it is has ended.
    RunEnded,
}

impl Over {
    /// A stable word for programs.
    pub fn reason(self) -> &'static str {
        match self {
            Self::KeyRevoked => "key_revoked",
            Self::SignedOut => "signed_out",
            Self::SessionExpired => "session_expired",
            Self::RunEnded => "run_ended",
        }
    }

    /// The same for people.
    pub fn detail(self) -> &'static str {
        match self {
            Self::KeyRevoked => "the key was revoked",
            Self::SignedOut => "this browser signed out",
            Self::SessionExpired => "sign in again",
            Self::RunEnded => "the run that this token belongs to has ended",
        }
    }
}

/// Until when what a caller opened may stay open. By default for ever.
#[derive(Clone, Default)]
pub(crate) struct Until {
    key: Option<CancellationToken>,
    run: Option<(Tasks, ExecutionId)>,
    browser: Option<SignedIn>,
}

impl Until {
    /// Until a key is revoked.
    pub(super) fn revoked(key: CancellationToken) -> Self {
        Self { key: Some(key), ..Self::default() }
    }

    /// Until a run ends.
    pub(super) fn run_ends(tasks: Tasks, execution: ExecutionId) -> Self {
        Self { run: Some((tasks, execution)), ..Self::default() }
    }

    /// Also until a browser's session is over.
    #[must_use]
    pub(super) fn and_signed_in(self, browser: SignedIn) -> Self {
        Self { browser: Some(browser), ..self }
    }

    /// When the browser's session ends by itself, where one is calling.
    pub fn session_expires_at(&self) -> Option<Timestamp> {
        self.browser.as_ref().map(SignedIn::expires_at)
    }

    /// The browser's session that is calling, where one is.
    pub fn browser(&self) -> Option<&SignedIn> {
        self.browser.as_ref()
    }

    /// Waits until it is over; for ever where it never is.
    pub async fn over(&self) -> Over {
        tokio::select! {
            () = key_revoked(self.key.as_ref()) => Over::KeyRevoked,
            () = run_ended(self.run.as_ref()) => Over::RunEnded,
            over = browser_gone(self.browser.as_ref()) => over,
        }
    }
}

async fn key_revoked(key: Option<&CancellationToken>) {
    match key {
        Some(key) => key.cancelled().await,
        None => std::future::pending().await,
    }
}

async fn run_ended(run: Option<&(Tasks, ExecutionId)>) {
    let Some((tasks, execution)) = run else { return std::future::pending().await };
    loop {
        match tasks.wait_for_end(*execution, RUN_WAIT).await {
            Ok(Waited::Ended(_)) => return,
            Ok(Waited::StillOpen) => {}
            Ok(Waited::TooManyWait) | Err(_) => tokio::time::sleep(RUN_LOOK).await,
        }
    }
}

async fn browser_gone(browser: Option<&SignedIn>) -> Over {
    let Some(browser) = browser else { return std::future::pending().await };
    loop {
        let left = browser.left();
        if left.is_zero() {
            return Over::SessionExpired;
        }
        tokio::select! {
            () = browser.signed_out() => return Over::SignedOut,
            () = tokio::time::sleep(left.min(CLOCK_LOOK)) => {}
        }
    }
}
