//! Which streams hold texts of what is to be erased.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use execution_ledger_domain::execution::{ExecutionEvent, Pending};
use execution_ledger_domain::payment::PaymentEvent;
use execution_ledger_domain::schedule::ScheduleEvent;
use execution_ledger_domain::{Digest, Event, ExecutionId, PaymentId, StreamName};
use execution_ledger_store::{EventStore, Position, Recorded, With};

use super::{EraseError, Target, Wish};

/// Events that are read at a time.
const READ_AT_ONCE: usize = 2_000;
/// Events that one step looks at for a session or a user: most.
const STEP_EVENTS_MAX: usize = 500_000;
/// Attempts at one task that are followed: most.
const ATTEMPTS_MAX: usize = 10_000;

/// What of a stream is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// All of its texts.
    Whole,
    /// What was asked: messages and system prompts.
    Asked,
    /// What has this digest.
    Digest(Digest),
    /// The transcript alone, whether or not it is there.
    Transcript,
}

/// A stream that holds texts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Found {
    pub stream: StreamName,
    pub part: Part,
}

/// What a search found.
#[derive(Debug)]
pub(super) struct Search {
    pub found: Vec<Found>,
    /// Where to go on; nothing where all was looked at.
    pub next: Option<Position>,
}

/// Looks for streams up to `head`.
pub(super) async fn search(
    store: &Arc<dyn EventStore>,
    wish: &Wish,
    head: Position,
) -> Result<Search, EraseError> {
    match &wish.target {
        Target::Execution(id) => of_execution(store, *id, head).await,
        Target::Content(digest) => {
            let hex = digest.to_string();
            let fits = |recorded: &Recorded| {
                // An erasure names the digest too, but holds no text of it.
                recorded.data.contains(&hex) && recorded.type_name != "content.erased"
            };
            let all = walk(store, Position::START, head, usize::MAX, usize::MAX, fits).await?;
            let mut streams = all.0;
            streams.dedup();
            let found = streams.into_iter().collect::<BTreeSet<_>>().into_iter();
            let part = Part::Digest(*digest);
            Ok(Search { found: found.map(|stream| Found { stream, part }).collect(), next: None })
        }
        Target::Session(id) => {
            let text = id.to_string();
            let fits = |pending: &Pending| pending.chat_session_id == Some(*id);
            paged(store, wish, head, &text, fits, |_| false).await
        }
        Target::User(user) => {
            let fits = |pending: &Pending| pending.user == *user;
            let schedules = |event: &ScheduleEvent| matches!(event, ScheduleEvent::Created(created) if created.user == *user);
            paged(store, wish, head, user.as_str(), fits, schedules).await
        }
    }
}

/// The streams that begin so, a limited number at a time. `mark` stands in the data of each of them.
async fn paged(
    store: &Arc<dyn EventStore>,
    wish: &Wish,
    head: Position,
    mark: &str,
    pending: impl Fn(&Pending) -> bool,
    schedule: impl Fn(&ScheduleEvent) -> bool,
) -> Result<Search, EraseError> {
    let fits = |recorded: &Recorded| {
        let first = matches!(
            recorded.type_name.as_str(),
            "execution.pending" | "schedule.created" | "payment.verified"
        );
        first
            && recorded.data.contains(mark)
            && match recorded.event() {
                Ok(Event::Execution(ExecutionEvent::Pending(event))) => pending(&event),
                Ok(Event::Payment(PaymentEvent::Verified(event))) => pending(&event.asked.pending),
                Ok(Event::Schedule(event)) => schedule(&event),
                _ => false,
            }
    };
    let (streams, next) = walk(store, wish.after, head, wish.most, STEP_EVENTS_MAX, fits).await?;
    let part = Part::Whole;
    Ok(Search { found: streams.into_iter().map(|stream| Found { stream, part }).collect(), next })
}

/// The streams of the events that fit, in their order, and where to go on.
async fn walk(
    store: &Arc<dyn EventStore>,
    after: Position,
    head: Position,
    most: usize,
    looked_most: usize,
    mut fits: impl FnMut(&Recorded) -> bool,
) -> Result<(Vec<StreamName>, Option<Position>), EraseError> {
    let (mut streams, mut at, mut looked) = (Vec::new(), after, 0);
    while at < head && looked < looked_most {
        let page = store.read_all(at, READ_AT_ONCE, With::EventsOnly).await?;
        if page.is_empty() {
            return Ok((streams, None));
        }
        for recorded in page {
            if recorded.position > head {
                return Ok((streams, None));
            }
            at = recorded.position;
            looked += 1;
            if fits(&recorded) {
                streams.push(recorded.stream);
                if streams.len() >= most {
                    return Ok((streams, (at < head).then_some(at)));
                }
            }
        }
    }
    Ok((streams, (at < head).then_some(at)))
}

/// An execution, the other attempts at its task, which hold the same message, and its payment.
async fn of_execution(
    store: &Arc<dyn EventStore>,
    id: ExecutionId,
    head: Position,
) -> Result<Search, EraseError> {
    let (own, begun) = accepted(store, id).await?.ok_or(EraseError::NotFound)?;
    let mut found = vec![Found { stream: StreamName::execution(id), part: Part::Whole }];
    let mut attempts = HashSet::from([id]);
    let mut before = own.retry_of;
    let (mut payments, mut first) = (BTreeSet::from_iter(own.payment_id), begun);
    while let Some(earlier) = before
        && attempts.len() < ATTEMPTS_MAX
        && attempts.insert(earlier)
    {
        let Some((pending, at)) = accepted(store, earlier).await? else { break };
        (before, first) = (pending.retry_of, first.min(at));
        payments.extend(pending.payment_id);
        found.push(Found { stream: StreamName::execution(earlier), part: Part::Asked });
    }
    // Later attempts name an earlier one.
    let later = |recorded: &Recorded| {
        if recorded.type_name != "execution.pending"
            || !recorded.data.contains("\"retry_of\"")
            || attempts.len() >= ATTEMPTS_MAX
        {
            return false;
        }
        let (Ok(Event::Execution(ExecutionEvent::Pending(pending))), Some(id)) =
            (recorded.event(), recorded.stream.execution_id())
        else {
            return false;
        };
        pending.retry_of.is_some_and(|of| attempts.contains(&of)) && attempts.insert(id)
    };
    let (streams, _) = walk(store, first, head, usize::MAX, usize::MAX, later).await?;
    found.extend(streams.into_iter().map(|stream| Found { stream, part: Part::Asked }));
    for payment in payments {
        if let Ok(payment) = payment.parse::<PaymentId>() {
            found.push(Found { stream: StreamName::payment(payment), part: Part::Asked });
        }
    }
    Ok(Search { found, next: None })
}

/// What was accepted as an execution, and where.
async fn accepted(
    store: &Arc<dyn EventStore>,
    id: ExecutionId,
) -> Result<Option<(Pending, Position)>, EraseError> {
    let read = store.read_stream(&StreamName::execution(id), 0, 1, With::EventsOnly).await?;
    let Some(first) = read.first() else { return Ok(None) };
    let unreadable = |why: String| EraseError::Unreadable(format!("{}: {why}", first.stream));
    match first.event().map_err(|error| unreadable(error.to_string()))? {
        Event::Execution(ExecutionEvent::Pending(pending)) => Ok(Some((*pending, first.position))),
        _ => Err(unreadable("it does not begin with execution.pending".to_owned())),
    }
}
