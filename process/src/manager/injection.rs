//! Putting the results of background tasks into their chat sessions.

use execution_ledger_domain::execution::{Command, Execution, InjectionRefusal, Rejection};
use execution_ledger_domain::session::Session;
use execution_ledger_domain::{ExecutionId, SessionId, StreamName, UserName};
use execution_ledger_store::ExecuteError;

use super::effects::command_on;
use super::{Shared, turns};
use crate::failpoint;

/// Settles whether the session gets the result. Done twice, it is settled once: the execution's own
/// stream decides.
pub(super) async fn settle(
    shared: &Shared,
    execution: ExecutionId,
    session_id: SessionId,
) -> Result<(), ExecuteError<Rejection>> {
    let stream = StreamName::execution(execution);
    let state = shared.ledger.load::<Execution>(&stream).await?;
    let Some(pending) = state.pending() else {
        return Err(ExecuteError::Refused(Rejection::NotFound));
    };
    let session = turns::load(shared, session_id).await?;
    let command = match refusal(&session, &pending.user) {
        None => Command::Inject { session_id },
        Some(reason) => Command::RefuseInjection { session_id, reason },
    };
    failpoint::reach("manager.before_injection");
    command_on(shared, execution, command, &[]).await?;
    failpoint::reach("manager.injected");
    Ok(())
}

fn refusal(session: &Session, user: &UserName) -> Option<InjectionRefusal> {
    match session {
        Session::Absent => Some(InjectionRefusal::SessionNotFound),
        Session::Open { opened, .. } | Session::Closed { opened, .. } if opened.user != *user => {
            Some(InjectionRefusal::SessionNotOwned)
        }
        Session::Closed { .. } => Some(InjectionRefusal::SessionClosed),
        Session::Open { .. } => None,
    }
}

#[cfg(test)]
mod tests {
    use execution_ledger_domain::AgentName;
    use execution_ledger_domain::session::Opened;

    use super::*;

    #[test]
    fn a_result_goes_into_an_open_session_of_its_own_user_and_into_no_other() {
        let user = |name| UserName::new(name).expect("a name");
        let opened = Box::new(Opened {
            agent: AgentName::new("a").expect("a name"),
            user: user("ada"),
            continues: None,
        });
        let open = Session::Open { opened: opened.clone(), turns: Vec::new() };
        let closed = Session::Closed { opened, turns: Vec::new() };
        assert_eq!(refusal(&open, &user("ada")), None);
        assert_eq!(refusal(&closed, &user("ada")), Some(InjectionRefusal::SessionClosed));
        for session in [&open, &closed] {
            let refused = refusal(session, &user("bob"));
            assert_eq!(refused, Some(InjectionRefusal::SessionNotOwned));
        }
        let absent = refusal(&Session::Absent, &user("ada"));
        assert_eq!(absent, Some(InjectionRefusal::SessionNotFound));
    }
}
