//! Ending the runs of nodes that are not heard of any more.

use std::time::Duration;

use execution_ledger_domain::execution::Execution;
use execution_ledger_domain::execution::{Command, FailureCode};
use execution_ledger_domain::policy::RunElsewhere;
use execution_ledger_domain::{Actor, Content, StreamName, limits};
use execution_ledger_store::{Context, ExecuteError, Ledger, StoreError};

use super::membership::Membership;
use crate::desk::Desk;
use crate::salt;

/// What a run may take to be gone after its grace period, beyond it: SIGKILL, and what hangs in the
/// kernel for a moment.
const GONE_AFTER_GRACE: Duration = Duration::from_secs(5);

/// Whether a run that ran when the last look was begun has ended since by its node's silence: its
/// supervisor stops it when its node's term is over, and it is given its grace for that.
pub(super) fn is_over(run: &RunElsewhere, members: &Membership, desk: &Desk) -> bool {
    // A run that names no node ran before there were several.
    let Some(node) = run.node else { return false };
    let grace = desk.config(&run.agent).map_or(limits::agent::GRACE_DEFAULT_S, |c| c.grace_s);
    let stopped = Duration::from_secs(grace) + GONE_AFTER_GRACE;
    members.is_dead(node) && members.silence(node) > members.lease_of(node) + stopped
}

/// Records that a run ended with its node. Somebody's own record of its end, if it comes first, stays.
pub(super) async fn record(
    ledger: &Ledger,
    run: &RunElsewhere,
    name: &str,
    silence: Duration,
) -> Result<(), StoreError> {
    let silent_s = silence.as_secs();
    let text = format!(
        "its node {name} was not heard of for {silent_s} s, which is longer than its lease: the run \
         stops by itself then, if it had not ended before. Whether it had done its work, and what it \
         printed, only that node's files say"
    );
    let salt = salt()?;
    let message = Content::new(salt, &text);
    let context = Context {
        actor: Actor::system("nodes"),
        correlation_id: None,
        causation_id: None,
        traceparent: None,
    };
    let command = Command::Lose {
        claim: run.claim,
        code: FailureCode::NodeLost,
        message: message.reference(),
        observed: None,
    };
    let stream = StreamName::execution(run.execution);
    match ledger.execute::<Execution>(&stream, command, &[message], &context).await {
        Ok(_) | Err(ExecuteError::Refused(_)) => Ok(()),
        Err(ExecuteError::Store(fault)) => Err(fault),
        Err(other) => Err(StoreError::Fault(other.to_string())),
    }
}
