//! The rules of a chat session.

use super::*;
use crate::given::given;
use crate::ids::{AgentName, ExecutionId, UserName};
use crate::limits::session::MESSAGES_MAX;

fn opened() -> Opened {
    Opened {
        agent: AgentName::new("a").expect("a name"),
        user: UserName::new("ada").expect("a name"),
        continues: None,
    }
}

fn open() -> SessionEvent {
    SessionEvent::Opened(Box::new(opened()))
}

fn posted(n: u128) -> SessionEvent {
    SessionEvent::MessagePosted(MessagePosted { execution_id: execution(n) })
}

fn execution(n: u128) -> ExecutionId {
    ExecutionId(uuid::Uuid::from_u128(n))
}

fn post(n: u128) -> Command {
    Command::Post { execution_id: execution(n) }
}

#[test]
fn a_session_is_opened_once_and_closed_for_ever() {
    let closed = SessionEvent::Closed(Closed {});
    given::<Session>([]).when(Command::Open(Box::new(opened()))).then([open()]);
    given::<Session>([open()]).when(Command::Close).then([closed.clone()]);
    given::<Session>([open(), closed.clone()]).when(Command::Close).then([]);
    given::<Session>([open(), closed])
        .when(Command::Open(Box::new(opened())))
        .then_refused(&Rejection::AlreadyOpened);
    given::<Session>([]).when(Command::Close).then_refused(&Rejection::NotFound);
}

#[test]
fn a_message_is_posted_once_also_where_its_answer_was_lost_and_it_comes_again() {
    given::<Session>([open()]).when(post(1)).then([posted(1)]);
    given::<Session>([open(), posted(1)]).when(post(2)).then([posted(2)]);
    given::<Session>([open(), posted(1), posted(2)]).when(post(1)).then([]);
    let closed = SessionEvent::Closed(Closed {});
    given::<Session>([open(), posted(1), closed.clone()]).when(post(1)).then([]);
    given::<Session>([open(), posted(1), closed]).when(post(2)).then_refused(&Rejection::Closed);
    given::<Session>([]).when(post(1)).then_refused(&Rejection::NotFound);
}

#[test]
fn a_session_holds_a_limited_number_of_messages() {
    let full = || std::iter::once(open()).chain((0..MESSAGES_MAX as u128).map(posted));
    given::<Session>(full()).when(post(u128::MAX)).then_refused(&Rejection::Full);
    given::<Session>(full()).when(post(0)).then([]);
}
