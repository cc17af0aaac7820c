//! Reading everything backwards, and by that finding where the log ends.

use eventstore::{
    Client, Credentials, Position as Place, ReadAllOptions, RecordedEvent, StreamPosition,
};

use super::Shared;
use super::reading::{place, recorded};
use super::texts::{Facts, Texts};
use crate::port::{Position, Recorded, StoreError, With};

/// Events that are looked at, at first, to find the last one of ours.
const TAIL_PAGE: usize = 32;
/// Events that are looked at, at most at a time.
const TAIL_PAGE_MAX: usize = 4_096;
/// Facts that one read backwards answers, at most.
const BACK_MAX: usize = 4_096;

impl Shared {
    /// Position of the last fact, as the server has it, looked for backwards from the end of all that
    /// it holds, and no further than what is known already.
    pub(super) async fn end_of_log(&self) -> Result<Position, StoreError> {
        let known = self.known_head();
        let facts = self.facts_before(None, (Position::END, known), 1).await?;
        let Some((last, _)) = facts.first() else { return Ok(self.known_head()) };
        self.stamps.seen(last.recorded_at);
        Ok(self.saw(last.position))
    }

    /// Facts before a position, backwards.
    pub(super) async fn before(
        &self,
        before: Position,
        limit: usize,
        with: With,
    ) -> Result<Vec<Recorded>, StoreError> {
        if limit == 0 || before == Position::START {
            return Ok(Vec::new());
        }
        let is_beyond = before > self.end_of_log().await?;
        let from = if is_beyond { None } else { self.place_after(before).await? };
        let facts = self.facts_before(from, (before, Position::START), limit.min(BACK_MAX)).await?;
        self.with_texts(facts, Texts::new(), with).await
    }

    /// Facts before a position, from a place that is not before it, or from the end of all; down to a
    /// position that is not looked at any more. The server can't filter what it reads backwards, so
    /// everything is looked at that stands between.
    pub(super) async fn facts_before(
        &self,
        from: Option<Place>,
        (position, down_to): (Position, Position),
        limit: usize,
    ) -> Result<Facts, StoreError> {
        let mut before = from;
        let floor = down_to.max(self.birth).number();
        let mut page = TAIL_PAGE.max(limit).min(TAIL_PAGE_MAX);
        let mut facts = Vec::new();
        loop {
            let credentials = self.line().credentials.clone();
            let seen =
                self.ask(|client| all_backwards(client, before, page, credentials.clone())).await?;
            let new = |event: &RecordedEvent| {
                before.is_none_or(|before| event.position.commit < before.commit)
            };
            let mut lowest = None;
            for event in seen.into_iter().filter(new) {
                if event.position.commit <= floor {
                    return Ok(facts);
                }
                lowest = Some(event.position);
                let is_before = event.position.commit < position.number();
                if let Ok(Some(fact)) = recorded(&self.prefix, event)
                    && is_before
                {
                    self.known.read(place(fact.0.position));
                    facts.push(fact);
                    if facts.len() == limit {
                        return Ok(facts);
                    }
                }
            }
            let Some(lowest) = lowest else { return Ok(facts) };
            before = Some(lowest);
            page = (page * 4).min(TAIL_PAGE_MAX);
        }
    }
}

/// A page of everything, backwards.
async fn all_backwards(
    client: Client,
    before: Option<Place>,
    limit: usize,
    credentials: Option<Credentials>,
) -> eventstore::Result<Vec<RecordedEvent>> {
    let options = ReadAllOptions::default().max_count(limit);
    let options = match before {
        Some(before) => options.position(StreamPosition::Position(before)).backwards(),
        None => options.position(StreamPosition::End),
    };
    let options = match credentials {
        Some(known) => options.authenticated(known),
        None => options,
    };
    let mut read = client.read_all(&options).await?;
    let mut events = Vec::new();
    while let Some(resolved) = read.next().await? {
        events.extend(resolved.event);
    }
    Ok(events)
}
