//! The texts of a stream, and whether they are still needed.

use std::sync::Arc;

use execution_ledger_domain::erasure::{Beside, TextPart};
use execution_ledger_domain::execution::{Execution, ExecutionEvent};
use execution_ledger_domain::payment::PaymentEvent;
use execution_ledger_domain::{Aggregate as _, ContentRef, Event, ExecutionId, NodeId, StreamName};
use execution_ledger_store::{EventStore, Recorded, With};

use super::EraseError;
use super::find::{Found, Part};

/// Events that are read at a time.
const READ_AT_ONCE: usize = 200;

/// A text, or a transcript.
#[derive(Clone, Debug)]
pub(super) struct Item {
    pub beside: Beside,
    pub content: ContentRef,
    /// Of a transcript: whose.
    pub execution: Option<ExecutionId>,
    /// Of a transcript: on which node its run ran; nothing where the ledger was alone.
    pub node: Option<NodeId>,
    /// Of a transcript: whether it lies with another node, if anywhere.
    pub elsewhere: bool,
}

/// What a stream holds.
#[derive(Debug, Default)]
pub(super) struct Looked {
    /// Texts that are there, and the transcript that was recorded.
    pub items: Vec<Item>,
    /// Places of texts that were erased before.
    pub erased: u64,
    /// The execution that has not ended and needs them.
    pub open: Option<ExecutionId>,
}

/// Looks at a stream.
pub(super) async fn of_stream(
    store: &Arc<dyn EventStore>,
    found: &Found,
) -> Result<Looked, EraseError> {
    let mut looked = Looked::default();
    let (mut execution, mut paid, mut revision) = (Execution::default(), None, 0);
    let mut node = None;
    loop {
        let page = store.read_stream(&found.stream, revision, READ_AT_ONCE, With::Contents).await?;
        for recorded in &page {
            revision = recorded.revision.saturating_add(1);
            let event = recorded.event().map_err(|error| {
                let place = format!("{}@{}", recorded.stream, recorded.revision);
                EraseError::Unreadable(format!("{place}: {error}"))
            })?;
            texts(recorded, &event, found.part, &mut looked);
            match event {
                Event::Execution(event) => {
                    if let ExecutionEvent::Running(running) = &event {
                        node = running.node;
                    }
                    transcript(recorded, &event, (found.part, node), &mut looked);
                    execution = execution.evolve(&event);
                }
                Event::Payment(PaymentEvent::Verified(verified)) => {
                    paid = Some(verified.asked.execution_id);
                }
                Event::Payment(PaymentEvent::SettlementFailed(_)) => paid = None,
                _ => {}
            }
        }
        if page.len() < READ_AT_ONCE {
            break;
        }
    }
    looked.open = match execution {
        Execution::Absent => match paid {
            // Its task is accepted from the payment's texts: they are needed until that has ended.
            Some(id) if !has_ended(store, id).await? => Some(id),
            _ => None,
        },
        Execution::Ended { .. } => None,
        Execution::Pending(_) | Execution::Running { .. } => found.stream.execution_id(),
    };
    Ok(looked)
}

async fn has_ended(store: &Arc<dyn EventStore>, id: ExecutionId) -> Result<bool, EraseError> {
    let stream = StreamName::execution(id);
    let (mut state, mut revision) = (Execution::default(), 0);
    loop {
        let page = store.read_stream(&stream, revision, READ_AT_ONCE, With::EventsOnly).await?;
        for recorded in &page {
            revision = recorded.revision.saturating_add(1);
            if let Ok(Event::Execution(event)) = recorded.event() {
                state = state.evolve(&event);
            }
        }
        if page.len() < READ_AT_ONCE {
            return Ok(matches!(state, Execution::Ended { .. }));
        }
    }
}

fn texts(recorded: &Recorded, event: &Event, part: Part, looked: &mut Looked) {
    for (index, (kind, content)) in event.texts().into_iter().enumerate() {
        let meant = match part {
            Part::Whole => true,
            Part::Asked => matches!(kind, TextPart::Message | TextPart::SystemPrompt),
            Part::Digest(digest) => content.sha256 == digest,
            Part::Transcript => false,
        };
        if !meant {
            continue;
        }
        match recorded.contents.get(index) {
            Some(stored) if stored.content.is_some() => {
                looked.items.push(Item {
                    beside: beside(recorded, kind),
                    content,
                    execution: None,
                    node: None,
                    elsewhere: false,
                });
            }
            _ => looked.erased += 1,
        }
    }
}

fn transcript(
    recorded: &Recorded,
    event: &ExecutionEvent,
    (part, node): (Part, Option<NodeId>),
    looked: &mut Looked,
) {
    let Some(printed) = event.report().and_then(|report| report.transcript) else { return };
    let meant = match part {
        Part::Whole | Part::Transcript => true,
        Part::Asked => false,
        Part::Digest(digest) => printed.sha256 == digest,
    };
    if meant && printed.bytes > 0 {
        looked.items.push(Item {
            beside: beside(recorded, TextPart::Transcript),
            content: ContentRef { sha256: printed.sha256, bytes: printed.bytes },
            execution: recorded.stream.execution_id(),
            node,
            elsewhere: false,
        });
    }
}

fn beside(recorded: &Recorded, part: TextPart) -> Beside {
    Beside { stream: recorded.stream.to_string(), event_id: recorded.id, part }
}
