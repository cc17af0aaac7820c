//! One run: from the orders to the status.

use std::io;

use execution_ledger_domain::Timestamp;
use execution_ledger_domain::content::Digest;
use execution_ledger_domain::execution::StopCause;
use nix::sys::signalfd::SignalFd;

use super::channel::Channel;
use super::child;
use super::claim::Claim;
use super::environment::Environment;
use super::watch::{Watch, cause_of, now};
use crate::failpoint::reach;
use crate::nodes::term::lasts_until;
use crate::orders::{FORMAT_VERSION, Orders};
use crate::redact::Redactor;
use crate::status::Status;

/// An explanation of why nothing was started is cut here, in bytes: it must fit into the status,
/// where a control character is written as six.
const SPAWN_ERROR_MAX_BYTES: usize = 2048;

/// Runs the agent to its end and says how that was.
///
/// # Errors
/// Where the system refuses what supervision itself needs.
pub(super) fn run(
    orders: &Orders,
    claim: &mut Claim,
    signals: &SignalFd,
    ledger: &Channel,
) -> io::Result<Status> {
    if let Some(cause) = wish_to_stop(signals) {
        // Cancelled before it began: nothing is started.
        return Ok(Status { stopped: Some(cause), ..not_started(orders, now()) });
    }
    if orders.node_term.as_deref().is_some_and(|term| lasts_until(term).is_none()) {
        // Others may have judged that nothing runs here any more.
        let stopped = Some(StopCause::NodeLapsed);
        return Ok(Status { stopped, ..not_started(orders, now()) });
    }
    let prepared = child::user_of(orders).and_then(|user| {
        child::make_cwd(orders, user.as_ref())?;
        let environment = Environment::of(orders, user.as_ref())?;
        reach("supervisor.before_exec");
        let started = child::start(orders, &claim.files, &environment, user.as_ref())?;
        Ok((started, environment))
    });
    match prepared {
        Ok((program, environment)) => {
            let started = now();
            reach("supervisor.spawned");
            let redactor = Redactor::with_secrets(&environment.secrets);
            let mut watch = Watch::new(orders, claim, program, (signals, ledger), &redactor)?;
            watch.until_first_exit_and_drained()?;
            reach("supervisor.exited");
            watch.finish(started)
        }
        Err(why) => {
            let (why, _) = Redactor::global().redact(&why);
            let why = why[..why.floor_char_boundary(SPAWN_ERROR_MAX_BYTES)].to_owned();
            Ok(Status { spawn_error: Some(why), ..not_started(orders, now()) })
        }
    }
}

fn not_started(orders: &Orders, at: Timestamp) -> Status {
    Status {
        version: FORMAT_VERSION,
        claim: orders.claim,
        spawn_error: None,
        started_at: at,
        ended_at: at,
        duration_ms: 0,
        exit: None,
        stopped: None,
        signals: Vec::new(),
        killed_processes: 0,
        lines: 0,
        bytes: 0,
        sha256: Digest::of(b""),
        redactions: 0,
    }
}

/// The first wish that has arrived, if any has.
fn wish_to_stop(signals: &SignalFd) -> Option<StopCause> {
    while let Ok(Some(signal)) = signals.read_signal() {
        match cause_of(signal.ssi_signo) {
            // The slot of what has not begun can't have lapsed by our own clock.
            None | Some(StopCause::LeaseExpired) => {}
            wish => return wish,
        }
    }
    None
}
