//! Erasing texts: one, or all of an execution, a chat session or a user.
//!
//! The text and its salt go in the same transaction in which `content.erased` comes, so the log never
//! tells of an erasure that was not made, and no text is missing without an event. A transcript is a
//! file: it is put aside first, then the event is appended, then the file is removed; whoever dies
//! between finds it aside, and the log says whether it is to go or to come back. Of several nodes, the
//! one that erases tells of transcripts that lie on others, and these remove them ([`sweep`]).

mod files;
mod find;
pub mod sweep;
mod texts;

use std::collections::BTreeMap;

use execution_ledger_domain::erasure::{
    Beside, Command, Erased, Erasure, ErasureEvent, ErasureOf, TextPart,
};
use execution_ledger_domain::limits::erasure::{PLACES_MAX, REASON_MAX_BYTES};
use execution_ledger_domain::{
    Content, ContentRef, Digest, ExecutionId, NodeId, SessionId, StreamName, UserName,
};
use execution_ledger_store::{
    ContentPlace, Context, ExecuteError, Ledger, Position, StoreError, With,
};
use futures::{StreamExt as _, TryStreamExt as _, stream};

use crate::redact::Redactor;
use crate::salt;
use crate::transcript::Transcripts;
use find::{Found, Part};
use texts::{Item, Looked};

/// Streams whose texts one step erases: most, and as many as where nobody asks for a number.
pub const STEP_STREAMS_MAX: usize = 1_000;
/// Open executions that an answer names: most; others are counted.
pub const OPEN_TOLD_MAX: usize = 100;
/// Texts that an answer names: most; others are counted.
pub const TEXTS_TOLD_MAX: usize = 200;
/// Appends under way at once: they share the store's commits.
const AT_ONCE: usize = 64;

/// What is to be erased.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// One text, by the digest that its event holds, or one transcript by the digest in the ending.
    Content(Digest),
    /// All texts of an execution, with what other attempts and its payment hold of the same task.
    Execution(ExecutionId),
    /// All texts of a chat session: of its turns, and of the tasks that belong to it.
    Session(SessionId),
    /// All texts of a user: executions, schedules and payments.
    User(UserName),
}

impl Target {
    fn of(&self) -> ErasureOf {
        match self {
            Self::Content(digest) => ErasureOf::Content(*digest),
            Self::Execution(id) => ErasureOf::Execution(id.to_string()),
            Self::Session(id) => ErasureOf::Session(id.to_string()),
            Self::User(user) => ErasureOf::User(user.to_string()),
        }
    }
}

/// A wish to erase.
#[derive(Clone, Debug)]
pub struct Wish {
    /// What.
    pub target: Target,
    /// Why, in a person's words: 1 to [`REASON_MAX_BYTES`] bytes.
    pub reason: String,
    /// Change nothing, and say what would be erased.
    pub dry_run: bool,
    /// Where to go on: [`Step::next`] of the step before; at first the log's start.
    pub after: Position,
    /// Streams whose texts are erased at once: 1 to [`STEP_STREAMS_MAX`].
    pub most: usize,
}

/// A text that is erased, or would be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Text {
    /// Where it lies.
    pub place: Beside,
    /// Its digest, and its length in bytes.
    pub content: ContentRef,
}

/// What one step did, or would do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Step {
    /// Places of texts.
    pub texts: u64,
    /// Transcripts.
    pub transcripts: u64,
    /// Of these, how many lie on other nodes, which remove them when they read of it.
    pub elsewhere: u64,
    /// Bytes of both.
    pub bytes: u64,
    /// Places of texts that were erased before.
    pub erased_before: u64,
    /// The first of the places, at most [`TEXTS_TOLD_MAX`].
    pub named: Vec<Text>,
    /// Executions that have not ended: their texts are needed and stay; at most [`OPEN_TOLD_MAX`].
    pub open: Vec<ExecutionId>,
    /// How many they are.
    pub open_count: u64,
    /// Where to go on; nothing where all was looked at.
    pub next: Option<Position>,
    /// The position that the search looks up to.
    pub head: Position,
    /// Position of the last event that this appended.
    pub position: Position,
}

/// Why nothing, or not all, was erased.
#[derive(Debug, thiserror::Error)]
pub enum EraseError {
    /// There is no such text, execution, session or user.
    #[error("there is nothing of that in the log")]
    NotFound,
    /// It is needed by an execution that has not ended.
    #[error("the execution {0} has not ended and needs the text")]
    Open(ExecutionId),
    /// The reason can't be as it is.
    #[error("{0}")]
    Reason(String),
    /// An event can't be read.
    #[error("{0}")]
    Unreadable(String),
    /// A file can't be put aside or removed; it is still there.
    #[error("the transcript of {execution} can't be removed: {source}")]
    File {
        /// Whose.
        execution: ExecutionId,
        /// Why.
        source: std::io::Error,
    },
    /// The write failed.
    #[error(transparent)]
    Write(#[from] ExecuteError<std::convert::Infallible>),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Erases texts. Cheap to clone.
#[derive(Clone)]
pub struct Eraser {
    ledger: Ledger,
    transcripts: Transcripts,
    /// This node among others; nothing where it is alone.
    me: Option<NodeId>,
}

impl Eraser {
    /// Over the one write path and the stored transcripts.
    pub fn new(ledger: Ledger, transcripts: Transcripts) -> Self {
        Self { ledger, transcripts, me: None }
    }

    /// As one of several nodes: transcripts of others lie with them.
    #[must_use]
    pub fn among(self, me: NodeId) -> Self {
        Self { me: Some(me), ..self }
    }

    /// Erases, or says what would be erased, a limited number of streams at a time. Erasing again what
    /// is erased changes nothing, so a step that was cut off is just repeated.
    ///
    /// # Errors
    /// [`EraseError`]. Of a text or an execution nothing was changed where something of it is still
    /// needed; of sessions and users, what has ended is erased all the same.
    pub async fn step(&self, wish: &Wish, context: &Context) -> Result<Step, EraseError> {
        let reason = reason(&wish.reason)?;
        let head = self.ledger.store().head().await?;
        let search = find::search(self.ledger.store(), wish, head).await?;
        if search.found.is_empty() && search.next.is_none() && wish.after == Position::START {
            return Err(EraseError::NotFound);
        }
        let mut step = Step { head, next: search.next, ..Step::default() };
        let mut items = Vec::new();
        for found in &search.found {
            self.look(found, wish, &mut step, &mut items).await?;
        }
        for item in items.iter().take(TEXTS_TOLD_MAX) {
            let (place, content) = (item.beside.clone(), item.content);
            step.named.push(Text { place, content });
        }
        for item in &items {
            step.bytes += item.content.bytes;
            match item.beside.part {
                TextPart::Transcript => {
                    step.transcripts += 1;
                    step.elsewhere += u64::from(item.elsewhere);
                }
                _ => step.texts += 1,
            }
        }
        if !wish.dry_run {
            step.position = self.erase(&items, wish.target.of(), &reason, context).await?;
        }
        Ok(step)
    }

    /// Overwrites what is left of erased texts in the log's files; false where readers kept it from
    /// that, and the next start does it.
    ///
    /// # Errors
    /// The store fails.
    pub async fn scrub(&self) -> Result<bool, StoreError> {
        self.ledger.store().scrub().await
    }

    /// Ends what was begun and cut off: transcripts that were put aside go where the log tells of their
    /// erasure, and come back where it does not. Answers how many went.
    ///
    /// # Errors
    /// [`EraseError`]; what is still aside is looked at the next time.
    pub async fn recover(&self) -> Result<u64, EraseError> {
        let mut gone = 0;
        for execution in files::aside(self.transcripts.archives())? {
            let stream = StreamName::execution(execution);
            let found = Found { stream, part: Part::Transcript };
            let mut told = false;
            for item in texts::of_stream(self.ledger.store(), &found).await?.items {
                let content = StreamName::content(item.content.sha256);
                let state = self.ledger.load::<Erasure>(&content).await?;
                told |= state.is_gone(&item.beside);
            }
            if told {
                files::remove(self.transcripts.archives(), execution)?;
                gone += 1;
            } else {
                files::put_back(self.transcripts.archives(), execution)?;
            }
        }
        Ok(gone)
    }

    /// Whether the log tells that the transcript of an execution was erased, given its digest; or, where
    /// the ending knows of no transcript, that of a text that is erased only with all of the execution.
    ///
    /// # Errors
    /// The log can't be read.
    pub async fn is_transcript_erased(
        &self,
        execution: ExecutionId,
        digest: Digest,
    ) -> Result<bool, StoreError> {
        let stream = StreamName::content(digest);
        let events = self.ledger.store().read_stream(&stream, 0, PLACES_MAX, With::EventsOnly);
        Ok(events.await?.iter().any(|recorded| sweep::meant(recorded).contains(&execution)))
    }

    async fn look(
        &self,
        found: &Found,
        wish: &Wish,
        step: &mut Step,
        items: &mut Vec<Item>,
    ) -> Result<(), EraseError> {
        let Looked { items: texts, erased, open } =
            texts::of_stream(self.ledger.store(), found).await?;
        if let Some(execution) = open {
            return match wish.target {
                Target::Content(_) | Target::Execution(_) => Err(EraseError::Open(execution)),
                Target::Session(_) | Target::User(_) => {
                    step.open_count += 1;
                    if step.open.len() < OPEN_TOLD_MAX {
                        step.open.push(execution);
                    }
                    Ok(())
                }
            };
        }
        step.erased_before += erased;
        for mut item in texts {
            let there = item.beside.part != TextPart::Transcript || self.find(&mut item).await?;
            if there {
                items.push(item);
            }
        }
        Ok(())
    }

    /// Whether there is a transcript to be erased, and where. One that is not here any more was removed
    /// for its age, or erased before. What lies with another node is not known here: only whether the
    /// log tells of its erasure, which is true in any case once that node has read of it.
    async fn find(&self, item: &mut Item) -> Result<bool, EraseError> {
        let Some(execution) = item.execution else { return Ok(false) };
        if files::is_there(&self.transcripts, execution)? {
            return Ok(true);
        }
        if self.me.is_none() || item.node == self.me {
            return Ok(false);
        }
        item.elsewhere = true;
        let stream = StreamName::content(item.content.sha256);
        let erasure = self.ledger.load::<Erasure>(&stream).await?;
        Ok(!erasure.is_gone(&item.beside))
    }

    async fn erase(
        &self,
        items: &[Item],
        of: ErasureOf,
        reason: &Content,
        context: &Context,
    ) -> Result<Position, EraseError> {
        let mut texts: BTreeMap<Digest, (ContentRef, Vec<Beside>)> = BTreeMap::new();
        let mut files = Vec::new();
        for item in items {
            match (item.beside.part, item.execution) {
                (TextPart::Transcript, Some(execution)) => files.push((execution, item)),
                (TextPart::Transcript, None) => {}
                _ => {
                    let entry = texts.entry(item.content.sha256);
                    entry.or_insert((item.content, vec![])).1.push(item.beside.clone());
                }
            }
        }
        let wishes = texts.into_values().flat_map(|(content, places)| {
            let chunks: Vec<_> = places.chunks(PLACES_MAX).map(<[Beside]>::to_vec).collect();
            chunks.into_iter().map(move |beside| (content, beside))
        });
        let told = wishes.map(|(content, beside)| {
            let erased = Erased { content, beside, of: of.clone(), reason: reason.reference() };
            self.tell(erased, reason, context)
        });
        let last = stream::iter(told).buffer_unordered(AT_ONCE);
        let mut last =
            last.try_fold(Position::START, |last, at| async move { Ok(last.max(at)) }).await?;
        for (execution, item) in files {
            if !item.elsewhere && !self.put_aside(execution).await? {
                continue;
            }
            let (content, beside) = (item.content, vec![item.beside.clone()]);
            let erased = Erased { content, beside, of: of.clone(), reason: reason.reference() };
            // Where this fails it is not known whether the log tells of it: `recover` looks.
            last = last.max(self.tell(erased, reason, context).await?);
            crate::failpoint::reach("eraser.transcript_told");
            if !item.elsewhere {
                files::remove(self.transcripts.archives(), execution)?;
            }
        }
        Ok(last)
    }

    async fn put_aside(&self, execution: ExecutionId) -> Result<bool, EraseError> {
        let transcripts = self.transcripts.clone();
        let aside = move || files::put_aside(&transcripts, execution);
        tokio::task::spawn_blocking(aside)
            .await
            .map_err(|panic| StoreError::Fault(format!("putting a transcript aside: {panic}")))?
    }

    /// Appends the event, and takes the texts that it names away with it.
    async fn tell(
        &self,
        erased: Erased,
        reason: &Content,
        context: &Context,
    ) -> Result<Position, EraseError> {
        let digest = erased.content.sha256;
        let contents = std::slice::from_ref(reason);
        let place = |beside: &Beside| ContentPlace { event_id: beside.event_id, sha256: digest };
        let places = |events: &[ErasureEvent]| {
            let beside = events.iter().flat_map(|ErasureEvent::Erased(erased)| &erased.beside);
            beside.map(place).collect()
        };
        let command = Command::Erase(Box::new(erased));
        let stream = StreamName::content(digest);
        let done =
            self.ledger.execute_erasing::<Erasure>(&stream, command, contents, context, places);
        Ok(done.await?.position)
    }
}

/// The reason as it is stored.
fn reason(text: &str) -> Result<Content, EraseError> {
    if text.trim().is_empty() || text.len() > REASON_MAX_BYTES {
        let problem = format!("say why, in 1 to {REASON_MAX_BYTES} bytes");
        return Err(EraseError::Reason(problem));
    }
    if text.chars().any(|c| c.is_control() && c != '\t' && c != '\n') {
        let problem = "it holds a control character; only tab and newline are allowed".to_owned();
        return Err(EraseError::Reason(problem));
    }
    let (text, _) = Redactor::global().redact(text);
    Ok(Content::new(salt()?, text.into_owned()))
}

#[cfg(test)]
mod sweep_tests;
#[cfg(test)]
mod tests;
