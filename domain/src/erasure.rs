//! Texts that were erased: the facts that tell of it. The text and its salt are gone; its digest and
//! length stand in the event that it lay beside, so every proof stands too.

use std::collections::BTreeSet;
use std::convert::Infallible;

use serde::{Deserialize, Serialize};

use crate::Aggregate;
use crate::content::{ContentRef, Digest};
use crate::ids::EventId;

/// Why a text was erased: whose erasure it was part of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case", tag = "kind", content = "id")]
pub enum ErasureOf {
    /// This text alone.
    Content(Digest),
    /// All texts of an execution.
    Execution(String),
    /// All texts of a chat session.
    Session(String),
    /// All texts of a user.
    User(String),
}

/// What a text was to the event that it lay beside.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum TextPart {
    /// What an agent is to do.
    Message,
    /// What an agent is told before it.
    SystemPrompt,
    /// What an agent answered.
    Response,
    /// Why an execution failed, in words.
    Error,
    /// A person's reason for what was done.
    Reason,
    /// What a run printed: a file of its own, whose digest has no salt.
    Transcript,
}

impl TextPart {
    /// Its name in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Message => "message",
            Self::SystemPrompt => "system_prompt",
            Self::Response => "response",
            Self::Error => "error",
            Self::Reason => "reason",
            Self::Transcript => "transcript",
        }
    }
}

/// Where a text lay.
#[derive(
    Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, schemars::JsonSchema,
)]
pub struct Beside {
    /// The stream of the event.
    pub stream: String,
    /// The event: of a transcript the one that ended its run.
    pub event_id: EventId,
    /// What the text was to it.
    pub part: TextPart,
}

/// A text was erased, with its salt, at every place that is named. All of them hold the same digest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Erased {
    /// What these events hold of it: its digest and its length in bytes, which stay.
    pub content: ContentRef,
    /// Where it lay: 1 to 256 places.
    pub beside: Vec<Beside>,
    /// What was asked to be erased.
    pub of: ErasureOf,
    /// The reason, in a person's words.
    pub reason: ContentRef,
}

/// A fact of an erased text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ErasureEvent {
    /// `content.erased`
    Erased(Box<Erased>),
}

/// The places where one text was erased.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Erasure {
    gone: BTreeSet<Beside>,
}

impl Erasure {
    /// Whether the text was erased there.
    pub fn is_gone(&self, place: &Beside) -> bool {
        self.gone.contains(place)
    }
}

/// A wish about one text.
#[derive(Clone, Debug)]
pub enum Command {
    /// Erase it where it lies.
    Erase(Box<Erased>),
}

impl Aggregate for Erasure {
    type Event = ErasureEvent;
    type Command = Command;
    type Rejection = Infallible;

    fn evolve(mut self, event: &ErasureEvent) -> Self {
        let ErasureEvent::Erased(erased) = event;
        self.gone.extend(erased.beside.iter().cloned());
        self
    }

    fn decide(&self, command: Command) -> Result<Vec<ErasureEvent>, Infallible> {
        let Command::Erase(mut wish) = command;
        wish.beside.retain(|place| !self.is_gone(place));
        wish.beside.sort();
        wish.beside.dedup();
        Ok(if wish.beside.is_empty() { vec![] } else { vec![ErasureEvent::Erased(wish)] })
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::given::given;

    fn beside(event: u128) -> Beside {
        let (stream, event_id) = (format!("execution-{event}"), EventId(Uuid::from_u128(event)));
        Beside { stream, event_id, part: TextPart::Message }
    }

    fn erased(events: &[u128]) -> Box<Erased> {
        let digest = Digest([7; 32]);
        Box::new(Erased {
            content: ContentRef { sha256: digest, bytes: 5 },
            beside: events.iter().map(|event| beside(*event)).collect(),
            of: ErasureOf::Content(digest),
            reason: ContentRef { sha256: Digest([8; 32]), bytes: 9 },
        })
    }

    fn gone(events: &[u128]) -> ErasureEvent {
        ErasureEvent::Erased(erased(events))
    }

    #[test]
    fn a_text_is_erased_once_at_each_place() {
        let erase = |events| Command::Erase(erased(events));
        given::<Erasure>([]).when(erase(&[2, 1, 2])).then([gone(&[1, 2])]);
        given::<Erasure>([gone(&[1])]).when(erase(&[1, 2])).then([gone(&[2])]);
        given::<Erasure>([gone(&[1]), gone(&[2])]).when(erase(&[1, 2])).then([]);
    }
}
