//! Reading streams, and asking until it is answered.

use std::time::Duration;

use eventstore::{
    Client, Credentials, Error, Position as Place, ReadStreamOptions, RecordedEvent, StreamPosition,
};
use execution_ledger_domain::{Digest, EventId, StreamName};
use futures::{StreamExt, TryStreamExt};
use tokio::time::Instant;

use super::Shared;
use super::form::{CustomMetadata, Prefix};
use super::line::Failure;
use super::session::{PAUSE_MAX, PAUSE_MIN, Session};
use super::texts::Texts;
use crate::port::{Position, Recorded, StoreError, With};

/// Streams that are read at once.
const STREAMS_AT_ONCE: usize = 32;
/// No revision of a server is larger.
const REVISION_MAX: u64 = i64::MAX as u64;

/// From where a stream is read, and in which direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum From {
    /// Forwards from a revision.
    Revision(u64),
    /// Backwards from a revision.
    Down(u64),
    /// Backwards from the end.
    End,
}

/// The crate's two numbers of a position, which are the same for what is appended as we do.
pub(super) fn place(position: Position) -> Place {
    Place { commit: position.number(), prepare: position.number() }
}

/// An event of ours as it is stored, without its texts; none where it is not one of ours.
pub(super) fn recorded(
    prefix: &Prefix,
    event: RecordedEvent,
) -> Result<Option<(Recorded, Vec<Digest>)>, StoreError> {
    let Some(stream) = prefix.ledger_stream(&event.stream_id) else { return Ok(None) };
    let odd = |problem: &dyn std::fmt::Display| {
        StoreError::Fault(format!("the event {} of {stream} can't be read: {problem}", event.id))
    };
    let custom = CustomMetadata::parse(&event.custom_metadata).map_err(|error| odd(&error))?;
    let data = String::from_utf8(event.data.to_vec()).map_err(|error| odd(&error))?;
    let read = Recorded {
        position: Position::new(event.position.commit),
        revision: event.revision,
        id: EventId(event.id),
        type_name: event.event_type,
        version: custom.version,
        recorded_at: custom.recorded_at,
        metadata: custom.stored,
        data,
        contents: Vec::new(),
        stream,
    };
    Ok(Some((read, custom.texts)))
}

async fn stream_events(
    client: Client,
    name: String,
    from: From,
    limit: usize,
    credentials: Option<Credentials>,
) -> eventstore::Result<Vec<RecordedEvent>> {
    let options = ReadStreamOptions::default().max_count(limit);
    let options = match from {
        From::Revision(revision) => options.position(StreamPosition::Position(revision)).forwards(),
        From::Down(revision) => options.position(StreamPosition::Position(revision)).backwards(),
        From::End => options.position(StreamPosition::End),
    };
    let options = match credentials {
        Some(known) => options.authenticated(known),
        None => options,
    };
    let absent = |error| match error {
        Error::ResourceNotFound | Error::ResourceDeleted => Ok(Vec::new()),
        other => Err(other),
    };
    let mut read = match client.read_stream(name, &options).await {
        Ok(read) => read,
        Err(error) => return absent(error),
    };
    let mut events = Vec::new();
    loop {
        match read.next().await {
            Ok(Some(event)) => events.extend(event.event),
            Ok(None) => return Ok(events),
            Err(error) => return absent(error),
        }
    }
}

impl Shared {
    /// Asks until it is answered or the time is over: reading twice does no harm.
    pub(super) async fn ask<T, F>(
        &self,
        ask: impl Fn(Client) -> F + Send + Sync,
    ) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: Future<Output = eventstore::Result<T>> + Send + 'static,
    {
        let waits = self.line().waits;
        let deadline = Instant::now() + waits.answer;
        let mut pause = PAUSE_MIN;
        loop {
            let session = self.session(deadline).await?;
            let failure = match session.ask(waits.attempt, &ask).await {
                Ok(answer) => {
                    self.sessions.are_well();
                    return Ok(answer);
                }
                Err(failure) => failure,
            };
            self.failed(&session, &failure)?;
            if Instant::now() + pause >= deadline {
                return Err(StoreError::TimedOut(waits.answer.as_secs()));
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }

    pub(super) async fn session(
        &self,
        deadline: Instant,
    ) -> Result<std::sync::Arc<Session>, StoreError> {
        if self.is_closed() {
            return Err(crate::sqlite::queue::closed());
        }
        self.sessions.current(deadline).await.map_err(|failure| fault(&failure))
    }

    /// Takes note of a failure: the connection is given up, and where it was final, that is all.
    pub(super) fn failed(&self, session: &Session, failure: &Failure) -> Result<(), StoreError> {
        if failure.is_final() {
            return Err(fault(failure));
        }
        // The crate itself goes over to the leader that it is told of.
        if !matches!(failure, Failure::Told(Error::NotLeaderException(_))) {
            session.fail();
        }
        self.line().is_in_trouble(&failure.to_string());
        Ok(())
    }

    /// Events of a stream by its name on the server; none where it is not there, or no longer.
    pub(super) async fn events_of(
        &self,
        name: &str,
        from: From,
        limit: usize,
    ) -> Result<Vec<RecordedEvent>, StoreError> {
        let too_far = matches!(from, From::Revision(revision) if revision > REVISION_MAX);
        if limit == 0 || too_far {
            return Ok(Vec::new());
        }
        self.ask(|client| {
            let credentials = self.line().credentials.clone();
            stream_events(client, name.to_owned(), from, limit, credentials)
        })
        .await
    }

    /// Facts of a stream, in the direction that was asked for.
    pub(super) async fn facts_of(
        &self,
        stream: &StreamName,
        from: From,
        limit: usize,
        with: With,
    ) -> Result<Vec<Recorded>, StoreError> {
        let name = self.prefix.stream(stream);
        let events = self.events_of(&name, from, limit).await?;
        let events = events.into_iter().map(|event| recorded(&self.prefix, event));
        let events = events.filter_map(Result::transpose).collect::<Result<Vec<_>, _>>()?;
        self.with_texts(events, Texts::new(), with).await
    }

    /// Facts of a stream backwards from a revision, or from its end where that is beyond it.
    pub(super) async fn facts_back_from(
        &self,
        stream: &StreamName,
        revision: u64,
        limit: usize,
        with: With,
    ) -> Result<Vec<Recorded>, StoreError> {
        if revision <= REVISION_MAX {
            let facts = self.facts_of(stream, From::Down(revision), limit, with).await?;
            if !facts.is_empty() {
                return Ok(facts);
            }
        }
        // Nothing stands there: it is beyond the end, or there is no such stream.
        self.facts_of(stream, From::End, limit, with).await
    }

    /// The first facts of several streams, a bounded number of streams at once.
    pub(super) async fn firsts_of(
        &self,
        streams: &[StreamName],
        limit: usize,
        with: With,
    ) -> Result<Vec<Vec<Recorded>>, StoreError> {
        let reads: Vec<_> = streams
            .iter()
            .map(|stream| self.facts_of(stream, From::Revision(0), limit, with))
            .collect();
        futures::stream::iter(reads).buffered(STREAMS_AT_ONCE).try_collect().await
    }

    /// The last revision of a stream; none where it has no event.
    pub(super) async fn last_revision(&self, name: &str) -> Result<Option<u64>, StoreError> {
        let last = self.events_of(name, From::End, 1).await?;
        Ok(last.first().map(|event| event.revision))
    }
}

/// What a failure is to those who use the store.
pub(super) fn fault(failure: &Failure) -> StoreError {
    match failure {
        Failure::Told(Error::AccessDenied) => StoreError::Fault(
            "the server refuses the credentials, or what they are asked to do".to_owned(),
        ),
        refused @ Failure::Told(Error::Grpc { .. }) if refused.is_final() => StoreError::Fault(
            format!("the server refuses a read: {refused}; was it restored from an older backup?"),
        ),
        Failure::Told(Error::UnsupportedFeature) => {
            StoreError::Fault("the server is too old: it can't append in batches".to_owned())
        }
        other => StoreError::Unreachable(other.to_string()),
    }
}

/// How long a pause of a loop that never gives up may become.
pub(super) fn longer(pause: Duration) -> Duration {
    (pause * 2).min(PAUSE_MAX)
}
