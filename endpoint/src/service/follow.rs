//! Subscriptions: what is there, then what comes, at the client's speed.
//!
//! A subscription reads pages from the log whenever its client has taken the last one, so a slow
//! client costs no memory and misses nothing. It ends with an error or not at all.

use tokio::sync::watch;
use tonic::Status;

use super::encode::{self, Place};
use super::filter::Filter;
use super::out::Out;
use super::plan::{Plan, Source};
use super::read::{Ended, PAGE_MAX_EVENTS, encoded, matching};
use super::status::{of_log, stream_deleted};
use super::stopped;
use crate::authority::Until;
use crate::log::{AllFrom, Log, StreamFrom, StreamPage};
use crate::wire::streams::ReadResp;

/// What ends a subscription from outside.
pub(super) struct Ends {
    /// True once the server stops.
    pub stopping: watch::Receiver<bool>,
    /// Resolves when the caller's right ends.
    pub until: Option<Until>,
}

impl Ends {
    /// Resolves with why the subscription must end.
    async fn reached(&mut self) -> Status {
        let until = async {
            match &mut self.until {
                Some(until) => until.await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = stopped(&mut self.stopping) => {
                Status::unavailable("the server is stopping; go on from the last event that you have")
            }
            why = until => Status::unauthenticated(why),
        }
    }
}

/// Follows until the client goes, its right ends, or the log fails.
pub(super) async fn follow(log: &dyn Log, plan: Plan, mut ends: Ends, out: &Out) {
    let followed = async {
        out.send(vec![encode::confirmation()]).await?;
        plan.check_place(log).await?;
        match plan.source {
            Source::All { from, at_end, filter, .. } => {
                let after = match from {
                    AllFrom::After(_) | AllFrom::Before(_) if at_end => *log.head().borrow(),
                    AllFrom::After(after) | AllFrom::Before(after) => after,
                };
                follow_all(log, after, filter.as_ref(), plan.ids_as_text, out).await
            }
            Source::Stream { name, from, at_end } => {
                follow_stream(log, &name, from, at_end, plan.ids_as_text, out).await
            }
        }
    };
    let ended = tokio::select! {
        ended = followed => match ended { Ok(never) | Err(never) => never },
        why = ends.reached() => Ended::With(why),
        () = out.gone() => Ended::Gone,
    };
    if let Ended::With(status) = ended {
        out.end(status).await;
    }
}

async fn follow_all(
    log: &dyn Log,
    mut after: u64,
    filter: Option<&Filter>,
    ids_as_text: bool,
    out: &Out,
) -> Result<Ended, Ended> {
    let mut head = log.head();
    // How far the client was told that it is. Events that a filter keeps from it do not count until
    // a checkpoint tells of them.
    let mut told = after;
    let (mut live, mut unseen) = (false, 0_u64);
    loop {
        head.mark_unchanged();
        let page = log
            .read_all(AllFrom::After(after), PAGE_MAX_EVENTS)
            .await
            .map_err(|error| of_log(&error))?;
        let mut batch: Vec<ReadResp> = Vec::new();
        if live && !page.last {
            live = false;
            batch.push(encode::fell_behind(Place::All(told)));
        }
        if let Some(last) = page.events.last().map(|event| event.position) {
            let examined = page.events.len() as u64;
            let events = matching(page.events, filter).await?;
            let passed_last = events.last().is_some_and(|event| event.position == last);
            told = events.last().map_or(told, |event| event.position);
            batch.extend(encoded(events, ids_as_text));
            after = last;
            unseen = if passed_last { 0 } else { unseen + examined };
            if filter.is_some_and(|filter| unseen >= filter.checkpoint_after) {
                (told, unseen) = (after, 0);
                batch.push(encode::checkpoint(after));
            }
        }
        if page.last && !live {
            live = true;
            batch.push(encode::caught_up(Place::All(told)));
            if unseen > 0 {
                (told, unseen) = (after, 0);
                batch.push(encode::checkpoint(after));
            }
        }
        out.send(batch).await?;
        if page.last && head.wait_for(|head| *head > after).await.is_err() {
            return Err(closed());
        }
    }
}

async fn follow_stream(
    log: &dyn Log,
    name: &str,
    from: StreamFrom,
    at_end: bool,
    ids_as_text: bool,
    out: &Out,
) -> Result<Ended, Ended> {
    let mut changes = log.changes(name);
    let mut next = match from {
        StreamFrom::UpFrom(_) | StreamFrom::DownFrom(_) if at_end => end_of(log, name).await?,
        StreamFrom::UpFrom(revision) | StreamFrom::DownFrom(revision) => revision,
    };
    let mut live = false;
    loop {
        changes.mark_unchanged();
        let page = log
            .read_stream(name, StreamFrom::UpFrom(next), PAGE_MAX_EVENTS)
            .await
            .map_err(|error| of_log(&error))?;
        let (events, more) = match page {
            StreamPage::Missing => (Vec::new(), None),
            StreamPage::Tombstoned => return Err(stream_deleted(name).into()),
            StreamPage::Found { events, next } => (events, next),
        };
        let mut batch: Vec<ReadResp> = Vec::new();
        if live && more.is_some() {
            live = false;
            batch.push(encode::fell_behind(Place::Stream(next.checked_sub(1))));
        }
        if let Some(last) = events.last() {
            next = last.revision + 1;
        }
        batch.extend(encoded(events, ids_as_text));
        match more {
            Some(StreamFrom::UpFrom(revision) | StreamFrom::DownFrom(revision)) => next = revision,
            None if !live => {
                live = true;
                batch.push(encode::caught_up(Place::Stream(next.checked_sub(1))));
            }
            None => {}
        }
        out.send(batch).await?;
        if more.is_none() && changes.changed().await.is_err() {
            return Err(closed());
        }
    }
}

/// The revision that the next event of a stream will have, as far as readers can see.
async fn end_of(log: &dyn Log, name: &str) -> Result<u64, Status> {
    let page = log.read_stream(name, StreamFrom::DownFrom(u64::MAX), 1).await;
    match page.map_err(|error| of_log(&error))? {
        StreamPage::Missing => Ok(0),
        StreamPage::Tombstoned => Err(stream_deleted(name)),
        StreamPage::Found { events, .. } => Ok(events.last().map_or(0, |last| last.revision + 1)),
    }
}

fn closed() -> Ended {
    Ended::With(Status::unavailable("the log is closed; go on from the last event that you have"))
}
