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
