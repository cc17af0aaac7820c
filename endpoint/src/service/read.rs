//! Reading pages, forwards and backwards, until the count or the end is reached.

use tonic::Status;

use super::encode;
use super::filter::Filter;
use super::out::{Gone, Out};
use super::plan::{Plan, Source};
use super::status::{of_log, stream_deleted};
use crate::log::{AllFrom, Log, LogEvent, StreamFrom, StreamPage};
use crate::wire::streams::ReadResp;

/// Events of a page at most.
pub(super) const PAGE_MAX_EVENTS: usize = 1_000;
/// Events of the first page of a filtered read that wants few.
const FIRST_PAGE_EVENTS: usize = 32;
/// Events after which matching lets others work: an expression may take milliseconds for each.
const MATCHES_AT_ONCE: usize = 16;

/// Why a read ended before its end.
pub(super) enum Ended {
    Gone,
    With(Status),
}

impl From<Gone> for Ended {
    fn from(Gone: Gone) -> Self {
        Self::Gone
    }
}

impl From<Status> for Ended {
    fn from(status: Status) -> Self {
        Self::With(status)
    }
}

/// Answers a read. `count` events at most.
pub(super) async fn read(log: &dyn Log, plan: Plan, count: u64, out: &Out) {
    if let Err(refused) = plan.check_place(log).await {
        return out.end(refused).await;
    }
    let Plan { source, ids_as_text, .. } = plan;
    let done = match source {
        Source::All { from, filter, .. } => {
            read_all(log, from, filter.as_ref(), count, ids_as_text, out).await
        }
        Source::Stream { name, from, .. } => {
            read_stream(log, &name, from, count, ids_as_text, out).await
        }
    };
    if let Err(Ended::With(status)) = done {
        out.end(status).await;
    }
}

async fn read_all(
    log: &dyn Log,
    mut from: AllFrom,
    filter: Option<&Filter>,
    count: u64,
    ids_as_text: bool,
    out: &Out,
) -> Result<(), Ended> {
    let mut left = usize::try_from(count).unwrap_or(usize::MAX);
    let mut limit = match filter {
        Some(_) if left < FIRST_PAGE_EVENTS => FIRST_PAGE_EVENTS,
        _ => PAGE_MAX_EVENTS,
    };
    while left > 0 {
        let wanted = if filter.is_some() { limit } else { limit.min(left) };
        let page = log.read_all(from, wanted).await.map_err(|error| of_log(&error))?;
        let Some(last) = page.events.last().map(|event| event.position) else { break };
        let mut events = matching(page.events, filter).await?;
        events.truncate(left);
        left -= events.len();
        out.send(encoded(events, ids_as_text)).await?;
        if page.last {
            break;
        }
        from = match from {
            AllFrom::After(_) => AllFrom::After(last),
            AllFrom::Before(_) => AllFrom::Before(last),
        };
        limit = PAGE_MAX_EVENTS;
    }
    Ok(())
}

async fn read_stream(
    log: &dyn Log,
    name: &str,
    from: StreamFrom,
    count: u64,
    ids_as_text: bool,
    out: &Out,
) -> Result<(), Ended> {
    let mut left = usize::try_from(count).unwrap_or(usize::MAX);
    let mut at = Some(from);
    while let Some(from) = at
        && left > 0
    {
        let limit = PAGE_MAX_EVENTS.min(left);
        match log.read_stream(name, from, limit).await.map_err(|error| of_log(&error))? {
            StreamPage::Missing => {
                out.send(vec![encode::stream_not_found(name)]).await?;
                return Ok(());
            }
            StreamPage::Tombstoned => return Err(stream_deleted(name).into()),
            StreamPage::Found { events, next } => {
                left -= events.len().min(left);
                out.send(encoded(events, ids_as_text)).await?;
                at = next;
            }
        }
    }
    Ok(())
}

/// The events that a filter lets through.
pub(super) async fn matching(
    events: Vec<LogEvent>,
    filter: Option<&Filter>,
) -> Result<Vec<LogEvent>, Status> {
    let Some(filter) = filter else { return Ok(events) };
    let mut wanted = Vec::new();
    for (ordinal, event) in events.into_iter().enumerate() {
        if filter.wants(&event)? {
            wanted.push(event);
        }
        if ordinal % MATCHES_AT_ONCE == MATCHES_AT_ONCE - 1 {
            tokio::task::yield_now().await;
        }
    }
    Ok(wanted)
}

pub(super) fn encoded(events: Vec<LogEvent>, ids_as_text: bool) -> Vec<ReadResp> {
    events.into_iter().map(|event| encode::event(event, ids_as_text)).collect()
}
