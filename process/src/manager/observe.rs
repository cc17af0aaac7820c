//! From what a run left behind to the command that records its ending.

use std::fs;
use std::sync::Arc;
use std::time::Duration;

use execution_ledger_domain::agent::Runtime;
use execution_ledger_domain::execution::{
    Command, Evidence, Execution, FailureCode, Observation, Pending, Running, TranscriptRef,
};
use execution_ledger_domain::{
    ClaimId, Content, ContentRef, ExecutionId, StreamName, Timestamp, limits,
};
use execution_ledger_store::StoreError;

use super::{Shared, trace};
use crate::orders::RunFiles;
use crate::pricing::PriceBook;
use crate::redact::Redactor;
use crate::runtimes::{self, Ended, Pricing, ReadEvidence, Reading};
use crate::salt;
use crate::status::Status;
use crate::supervisor;
use crate::transcript;

/// Rest before something is read again that could not be read.
const REST: Duration = Duration::from_secs(1);

/// What was seen of a run, ready to be recorded.
pub(super) struct Seen {
    pub command: Command,
    pub contents: Vec<Content>,
}

/// What a run's program was: by this its output is read.
#[derive(Clone, Debug)]
pub(super) struct StartedAs {
    /// Which program.
    pub runtime: Runtime,
    /// Whether it continued a session of its own.
    pub resumed: bool,
    /// The model that it was told to use.
    pub model_told: Option<String>,
}

impl StartedAs {
    /// By the events of its acceptance and its claim.
    pub fn of(running: &Running, pending: &Pending) -> Self {
        let resumed = pending.resume_session_id.is_some() || running.resumed_session_id.is_some();
        Self { runtime: running.runtime, resumed, model_told: pending.model_requested.clone() }
    }

    /// By what the run's tokens are priced.
    pub fn pricing<'a>(&'a self, book: &'a PriceBook, at: Timestamp) -> Pricing<'a> {
        Pricing { book, at, model_told: self.model_told.as_deref() }
    }
}

/// The texts that an ending refers to.
#[derive(Default)]
struct Texts(Vec<Content>);

impl Texts {
    /// Takes a text up, without its secrets and cut at `most` bytes; says whether it was cut.
    fn add(&mut self, text: &str, most: usize) -> Result<(ContentRef, bool), StoreError> {
        let (text, _) = Redactor::global().redact(text);
        let end = text.floor_char_boundary(most);
        let content = Content::new(salt()?, &text[..end]);
        let reference = content.reference();
        self.0.push(content);
        Ok((reference, end < text.len()))
    }
}

/// A run whose supervisor said how it ended.
pub(super) async fn finished(
    shared: &Arc<Shared>,
    execution: ExecutionId,
    files: &RunFiles,
    status: Status,
    program: Option<StartedAs>,
) -> Seen {
    if let Some(reason) = &status.spawn_error {
        let (claim, code) = (status.claim, FailureCode::SpawnFailed);
        return retried(execution, || losing(claim, code, reason, None)).await;
    }
    let program = match program {
        Some(program) => program,
        None => started_as(shared, execution).await,
    };
    let signalled = !status.signals.is_empty();
    let ended = Ended { exit: status.exit, signalled, resumed: program.resumed };
    let book = &shared.options.price_book;
    let reading = match status.lines {
        0 => {
            let pricing = program.pricing(book, status.started_at);
            runtimes::read(program.runtime, std::iter::empty(), &ended, &pricing)
        }
        _ => read(shared, execution, files, program.clone(), ended, status.started_at).await,
    };
    retried(execution, || {
        let mut texts = Texts::default();
        let observed = observation(&status, &reading, &mut texts)?;
        trace::observed(&observed, &program);
        Ok(Seen { command: Command::Finish(Box::new(observed)), contents: texts.0 })
    })
    .await
}

/// A run whose supervisor is gone without a word: what it left on the disk is all that was observed.
pub(super) async fn lost(
    shared: &Arc<Shared>,
    execution: ExecutionId,
    files: &RunFiles,
    code: FailureCode,
) -> Seen {
    let killed = tokio::task::spawn_blocking(move || supervisor::kill_leftovers(execution)).await;
    let killed = killed.unwrap_or(0);
    let program = started_as(shared, execution).await;
    let ended = Ended { exit: None, signalled: true, resumed: program.resumed };
    let (claim, spool) = (files.claim, files.clone());
    let status = tokio::task::spawn_blocking(move || status_of_lost(&spool, killed)).await;
    let status = status.ok().flatten();
    let started_at =
        status.as_ref().map_or_else(|| shared.ledger.now(), |status| status.started_at);
    let reading = read(shared, execution, files, program, ended, started_at).await;
    retried(execution, || {
        losing(claim, code, code.describe(), status.as_ref().map(|s| (s, &reading)))
    })
    .await
}

fn losing(
    claim: ClaimId,
    code: FailureCode,
    reason: &str,
    seen: Option<(&Status, &Reading)>,
) -> Result<Seen, StoreError> {
    let mut texts = Texts::default();
    let observed = match seen {
        Some((status, reading)) => Some(Box::new(observation(status, reading, &mut texts)?)),
        None => None,
    };
    let (message, _) = texts.add(reason, limits::ERROR_TEXT_MAX_BYTES)?;
    Ok(Seen { command: Command::Lose { claim, code, message, observed }, contents: texts.0 })
}

/// What the files of a lost run still show: times by the file system, output by the spool.
fn status_of_lost(files: &RunFiles, killed_processes: u32) -> Option<Status> {
    let changed = |path| {
        let modified = fs::metadata(path).and_then(|meta| meta.modified()).ok()?;
        let micros = modified.duration_since(std::time::UNIX_EPOCH).ok()?.as_micros();
        i64::try_from(micros).ok().map(Timestamp::from_micros)
    };
    let started_at = changed(files.lock())?;
    let ended_at = changed(files.spool()).unwrap_or(started_at).max(started_at);
    let measured = transcript::measure(&files.spool()).ok()?;
    Some(Status {
        version: crate::orders::FORMAT_VERSION,
        claim: files.claim,
        spawn_error: None,
        started_at,
        ended_at,
        duration_ms: ended_at.ms_since(started_at),
        exit: None,
        stopped: None,
        signals: Vec::new(),
        killed_processes,
        lines: measured.lines,
        bytes: measured.bytes,
        sha256: measured.sha256,
        redactions: 0,
    })
}

/// What the run's own events say of its program.
pub(super) async fn started_as(shared: &Shared, execution: ExecutionId) -> StartedAs {
    let stream = StreamName::execution(execution);
    loop {
        match shared.ledger.load::<Execution>(&stream).await {
            Ok(Execution::Running { pending, running, .. }) => {
                return StartedAs::of(&running, &pending);
            }
            // Recorded before: what is read of it will be refused, so it does not matter how.
            Ok(_) => {
                let (runtime, resumed) = (Runtime::Command, false);
                return StartedAs { runtime, resumed, model_told: None };
            }
            Err(error) => {
                tracing::error!(%execution, %error, "an ending waits for the log");
                tokio::time::sleep(REST).await;
            }
        }
    }
}

async fn read(
    shared: &Shared,
    execution: ExecutionId,
    files: &RunFiles,
    program: StartedAs,
    ended: Ended,
    started_at: Timestamp,
) -> Reading {
    let (spool, book) = (files.spool(), Arc::clone(&shared.options.price_book));
    let reading = tokio::task::spawn_blocking(move || {
        let lines = transcript::lines(&spool)?.map_while(Result::ok);
        let pricing = program.pricing(&book, started_at);
        Ok::<_, std::io::Error>(runtimes::read(program.runtime, lines, &ended, &pricing))
    })
    .await;
    match reading {
        Ok(Ok(reading)) => reading,
        Ok(Err(error)) => {
            tracing::error!(%execution, %error, "a run's output can't be read");
            Reading::default()
        }
        Err(panic) => {
            tracing::error!(%execution, %panic, "reading a run's output panicked");
            Reading::default()
        }
    }
}

fn observation(
    status: &Status,
    reading: &Reading,
    texts: &mut Texts,
) -> Result<Observation, StoreError> {
    let evidence = match &reading.evidence {
        ReadEvidence::Success => Evidence::Success,
        ReadEvidence::None => Evidence::None,
        ReadEvidence::Failure { code, message } => {
            let message = match message {
                Some(text) => Some(texts.add(text, limits::ERROR_TEXT_MAX_BYTES)?.0),
                None => None,
            };
            Evidence::Failure { code: *code, message }
        }
    };
    let (response, cut) = match &reading.response {
        Some(text) => {
            let (reference, cut) = texts.add(text, limits::RESPONSE_MAX_BYTES)?;
            (Some(reference), cut)
        }
        None => (None, false),
    };
    let transcript =
        TranscriptRef { lines: status.lines, bytes: status.bytes, sha256: status.sha256 };
    Ok(Observation {
        claim: status.claim,
        started_at: status.started_at,
        ended_at: status.ended_at,
        duration_ms: status.duration_ms,
        exit: status.exit,
        stopped: status.stopped,
        signals: status.signals.clone(),
        killed_processes: status.killed_processes,
        evidence,
        response,
        response_cut: reading.response_cut || cut,
        cost: reading.cost,
        cost_basis: reading.cost_basis,
        price_book: reading.price_book.clone(),
        usage: reading.usage,
        usage_by_model: reading.usage_by_model.clone(),
        model_used: reading.model_used.clone(),
        agent_session_id: reading.agent_session_id.clone(),
        num_turns: reading.num_turns,
        transcript: Some(transcript),
    })
}

/// Makes what is to be recorded; only the system's random bytes can fail it.
async fn retried(execution: ExecutionId, make: impl Fn() -> Result<Seen, StoreError>) -> Seen {
    loop {
        match make() {
            Ok(seen) => return seen,
            Err(error) => {
                tracing::error!(%execution, %error, "an ending waits for random bytes");
                tokio::time::sleep(REST).await;
            }
        }
    }
}
