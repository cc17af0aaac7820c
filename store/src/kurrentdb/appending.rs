//! What is appended: facts, and their texts before them.

use eventstore::EventData;
use execution_ledger_domain::{Content, EventId, StreamName, Timestamp};
use serde_json::value::RawValue;
use tokio::time::Instant;
use uuid::Uuid;

use super::Shared;
use super::delivery::Parcel;
use super::form::{CustomMetadata, TEXT_TYPE, TextMetadata};

use crate::port::{AppendError, Appended, ExpectedRevision, NewEvent, StoreError};

pub(super) fn wire(id: Uuid, type_name: &str, data: &str, custom: String) -> EventData {
    // JSON keeps its bytes; what is none is sent as what it is.
    let json = serde_json::from_str::<&RawValue>(data).ok().filter(|raw| raw.get() == data);
    let event = json.and_then(|raw| EventData::json(type_name, &raw).ok());
    let event =
        event.unwrap_or_else(|| EventData::binary(type_name, data.as_bytes().to_vec().into()));
    event.id(id).metadata(custom.into())
}

fn facts(events: &[NewEvent], at: Timestamp) -> Vec<EventData> {
    let one = |event: &NewEvent| {
        let custom = CustomMetadata {
            version: event.version,
            recorded_at: at,
            texts: event.contents.iter().map(|content| content.reference().sha256).collect(),
            stored: event.metadata.clone(),
        };
        wire(event.id.0, &event.type_name, &event.data, custom.to_json())
    };
    events.iter().map(one).collect()
}

impl Shared {
    /// Appends events to one stream, their texts first.
    pub(super) async fn append_events(
        &self,
        stream: &StreamName,
        expected: ExpectedRevision,
        events: &[NewEvent],
    ) -> Result<Appended, AppendError> {
        self.places.check(stream, expected, events)?;
        let began = Instant::now();
        let deadline = began + self.line().waits.answer;
        for event in events {
            for content in &event.contents {
                self.append_text(event.id, content, deadline).await?;
            }
        }
        let parcel = Parcel {
            name: self.prefix.stream(stream),
            expected,
            ids: events.iter().map(|event| event.id.0).collect(),
            events: &|at| facts(events, at),
        };
        let placed = match self.deliver(&parcel, deadline).await {
            Ok(placed) => placed,
            Err(error) => {
                self.take_back(stream, events, &error).await;
                return Err(error);
            }
        };
        metrics::histogram!("ledger_log_append_seconds").record(began.elapsed().as_secs_f64());
        self.places.stored(stream, placed.revision, events.iter().map(|event| event.id));
        self.saw(placed.position);
        let recorded_at = placed.recorded_at.unwrap_or_else(|| self.clock.now());
        Ok(Appended { position: placed.position, revision: placed.revision, recorded_at })
    }

    /// Puts a text beside an event that is not there yet. If we die between the two, a text is left
    /// that nothing refers to.
    pub(super) async fn append_text(
        &self,
        event: EventId,
        content: &Content,
        deadline: Instant,
    ) -> Result<(), AppendError> {
        let told = TextMetadata::of(event, content);
        let custom = serde_json::to_string(&told)
            .map_err(|error| StoreError::Fault(format!("a text's metadata: {error}")))?;
        let parcel = Parcel {
            name: self.prefix.text_stream(event, &told.sha256),
            expected: ExpectedRevision::NoStream,
            ids: vec![told.id()],
            events: &|_| {
                let text = content.text.as_bytes().to_vec();
                vec![
                    EventData::binary(TEXT_TYPE, text.into())
                        .id(told.id())
                        .metadata(custom.clone().into()),
                ]
            },
        };
        match self.deliver(&parcel, deadline).await {
            // A refusal: repeated after its text was erased, whose stream is deleted for ever.
            Ok(_) | Err(AppendError::WrongExpectedRevision { current: None }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Appends an event of the adapter's own.
    pub(super) async fn append_own(
        &self,
        name: String,
        id: Uuid,
        event: &(dyn Fn(Timestamp) -> Vec<EventData> + Sync),
        deadline: Instant,
    ) -> Result<(), AppendError> {
        let expected = ExpectedRevision::Any;
        let parcel = Parcel { name, expected, ids: vec![id], events: event };
        self.deliver(&parcel, deadline).await.map(drop)
    }

    /// Appends the first event of a stream of the adapter's own.
    pub(super) async fn append_first(
        &self,
        name: String,
        id: Uuid,
        event: &(dyn Fn(Timestamp) -> Vec<EventData> + Sync),
    ) -> Result<(), AppendError> {
        let deadline = Instant::now() + self.line().waits.answer;
        let expected = ExpectedRevision::NoStream;
        let parcel = Parcel { name, expected, ids: vec![id], events: event };
        self.deliver(&parcel, deadline).await.map(drop)
    }

    /// Deletes the texts of events that were refused for certain and stand nowhere: an append that is
    /// repeated with other company is refused too. Those of an append that nobody heard of may be
    /// needed.
    async fn take_back(&self, stream: &StreamName, events: &[NewEvent], error: &AppendError) {
        if matches!(error, AppendError::Store(_)) {
            return;
        }
        for event in events.iter().filter(|event| !event.contents.is_empty()) {
            let needed = self.places.knows(event.id)
                || self.stands_in(stream, event.id).await.unwrap_or(true);
            if needed {
                continue;
            }
            for content in &event.contents {
                let name = self.prefix.text_stream(event.id, &content.reference().sha256);
                // What is left of it is a text that nothing refers to, which harms nobody.
                drop(self.delete_for_ever(&name).await);
            }
        }
    }
}
