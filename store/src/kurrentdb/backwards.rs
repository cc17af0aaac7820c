//! Reading everything backwards, and by that finding where the log ends.

use eventstore::{
    Client, Credentials, Position as Place, ReadAllOptions, RecordedEvent, StreamPosition,
};
use execution_ledger_domain::Digest;

use super::Shared;
use super::reading::{place, recorded};
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
        let facts = self.facts_before(None, known, 1).await?;
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
        let from_end = before > self.end_of_log().await?;
        let before = (!from_end).then(|| place(before));
        let facts = self.facts_before(before, Position::START, limit.min(BACK_MAX)).await?;
        self.with_texts(facts, with).await
    }

    /// Facts before a place, or before the end of all; down to a position that is not looked at any
    /// more. The server can't filter what it reads backwards, so everything is looked at that stands
    /// between.
    async fn facts_before(
        &self,
        mut before: Option<Place>,
        down_to: Position,
        limit: usize,
    ) -> Result<Vec<(Recorded, Vec<Digest>)>, StoreError> {
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
                if let Ok(Some(fact)) = recorded(&self.prefix, event) {
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
