//! What was accepted: the first event of an execution, with its texts.

use execution_ledger_domain::execution::{ExecutionEvent, Pending};
use execution_ledger_domain::{Content, Event};
use execution_ledger_store::{Recorded, StoreError};

use crate::salt;

/// What was accepted, with its texts.
pub(crate) struct Accepted {
    /// As the event says.
    pub pending: Pending,
    /// The event's correlation id: the root of the story.
    pub correlation_id: String,
    message: Option<String>,
    system_prompt: Option<String>,
}

/// The texts of a task, to be stored once more.
pub(crate) struct Texts {
    pub message: Content,
    pub system_prompt: Option<Content>,
}

impl Accepted {
    /// From the first event of a stream, read with its contents; nothing where there is none.
    pub fn from_first(events: &[Recorded]) -> Result<Option<Self>, StoreError> {
        let Some(first) = events.first() else { return Ok(None) };
        let fault = |reason: &dyn std::fmt::Display| {
            StoreError::Fault(format!("the first event of {}: {reason}", first.stream))
        };
        let event = first.event().map_err(|error| fault(&error))?;
        let Event::Execution(ExecutionEvent::Pending(pending)) = event else {
            return Err(fault(&"it is no execution.pending"));
        };
        let metadata = first.parsed_metadata().map_err(|error| fault(&error))?;
        let text = |reference| first.text(reference).map(str::to_owned);
        Ok(Some(Self {
            message: text(&pending.message),
            system_prompt: pending.system_prompt.as_ref().and_then(text),
            correlation_id: metadata.correlation_id,
            pending: *pending,
        }))
    }

    /// Its texts with salts of their own; nothing where one was erased.
    pub fn texts(&self) -> Result<Option<Texts>, StoreError> {
        let Some(message) = &self.message else { return Ok(None) };
        if self.pending.system_prompt.is_some() && self.system_prompt.is_none() {
            return Ok(None);
        }
        let again = |text: &String| Ok::<_, StoreError>(Content::new(salt()?, text.as_str()));
        let system_prompt = self.system_prompt.as_ref().map(again).transpose()?;
        Ok(Some(Texts { message: again(message)?, system_prompt }))
    }
}

impl Texts {
    /// As an append takes them.
    pub fn into_contents(self) -> Vec<Content> {
        std::iter::once(self.message).chain(self.system_prompt).collect()
    }
}

#[cfg(test)]
mod tests {
    use execution_ledger_domain::{
        Actor, AgentName, EventId, ExecutionId, StreamName, Timestamp, UserName, given,
    };
    use execution_ledger_store::{Metadata, Position, StoredContent};
    use uuid::Uuid;

    use super::*;

    /// The first event of an execution, with these of its texts.
    fn first(texts: Vec<StoredContent>, pending: Pending) -> Recorded {
        let event = Event::Execution(ExecutionEvent::Pending(Box::new(pending)));
        let (type_name, version) = event.type_and_version();
        let metadata = Metadata {
            actor: Actor::system("test"),
            correlation_id: "story".to_owned(),
            causation_id: "request".to_owned(),
            traceparent: None,
        };
        Recorded {
            position: Position::new(1),
            stream: StreamName::execution(ExecutionId(Uuid::from_u128(1))),
            revision: 0,
            id: EventId(Uuid::from_u128(2)),
            type_name: type_name.to_owned(),
            version,
            recorded_at: Timestamp::from_micros(0),
            metadata: serde_json::to_string(&metadata).expect("JSON"),
            data: event.to_json(),
            contents: texts,
        }
    }

    fn stored(content: &Content, erased: bool) -> StoredContent {
        let sha256 = content.reference().sha256;
        StoredContent { sha256, content: (!erased).then(|| content.clone()) }
    }

    #[test]
    fn texts_are_stored_once_more_with_salts_of_their_own_unless_one_was_erased() {
        let (message, prompt) = (Content::new([1; 16], "do it"), Content::new([2; 16], "kindly"));
        let (agent, user) = (AgentName::new("a").expect("name"), UserName::new("u").expect("name"));
        let pending = Pending {
            message: message.reference(),
            system_prompt: Some(prompt.reference()),
            ..given::task(agent, user, Timestamp::from_micros(9))
        };
        let read = |message_erased, prompt_erased| {
            let texts = vec![stored(&message, message_erased), stored(&prompt, prompt_erased)];
            let events = [first(texts, pending.clone())];
            Accepted::from_first(&events).expect("readable").expect("accepted")
        };
        let whole = read(false, false);
        assert_eq!(whole.correlation_id, "story");
        let texts = whole.texts().expect("random bytes").expect("nothing was erased");
        assert_ne!(texts.message.salt, message.salt);
        let again: Vec<_> = texts.into_contents().into_iter().map(|it| it.text).collect();
        assert_eq!(again, ["do it", "kindly"]);
        for (message_erased, prompt_erased) in [(true, false), (false, true)] {
            let erased = read(message_erased, prompt_erased).texts().expect("random bytes");
            assert!(erased.is_none());
        }
    }
}
