//! Correcting what an ended execution cost.

use execution_ledger_domain::agent::Runtime;
use execution_ledger_domain::execution::{
    Command, CostBasis, Execution, ExecutionEvent, Rejection, RunReport, Usage,
};
use execution_ledger_domain::{Caller, Content, Event, ExecutionId, NanoUsd, StreamName, limits};
use execution_ledger_store::{EventStore, ExecuteError, Position, StoreError, With};

use super::{Request, Tasks, context, ownership};
use crate::pricing::PriceBook;
use crate::redact::Redactor;
use crate::salt;

/// The longest reason, in bytes.
pub const COST_REASON_MAX_BYTES: usize = 1_000;
/// Events of an execution that are read from its beginning, so that its ending is among them: moves in
/// its queue are the most that can come before.
const EVENTS_MAX: usize = 2 * limits::QUEUE_MOVES_MAX as usize;

/// What a cost is corrected by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Correction {
    /// By an amount that somebody knows.
    Stated {
        /// What it cost.
        cost: NanoUsd,
        /// Where that comes from: for example an invoice of the provider's.
        basis: CostBasis,
    },
    /// By the price book in use and the tokens that were recorded.
    Repriced,
}

/// What became of a correction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Corrected {
    /// Position of the correction, or of the execution's last event where it was so already.
    pub position: Position,
    /// Whether anything was recorded: what is known already is not recorded again.
    pub changed: bool,
    /// The cost before; none where nobody knew it.
    pub before: Option<NanoUsd>,
    /// The cost that holds now.
    pub cost: NanoUsd,
    /// Where it comes from.
    pub basis: CostBasis,
    /// The version of the price book that it was computed with, where one was.
    pub price_book: Option<String>,
}

/// Why a cost was not corrected.
#[derive(Debug, thiserror::Error)]
pub enum CorrectError {
    /// There is none of that id that the caller may see.
    #[error("there is no such execution")]
    NotFound,
    /// The caller may see it, but it belongs to another user.
    #[error("this execution belongs to another user")]
    OtherUser,
    /// A field breaks a rule.
    #[error("{field}: {problem}")]
    Invalid {
        /// Which field.
        field: &'static str,
        /// What would be right.
        problem: String,
    },
    /// The price book can't price what was recorded.
    #[error("it can't be priced: {0}")]
    NotPriced(String),
    /// The write failed.
    #[error(transparent)]
    Write(#[from] ExecuteError<Rejection>),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Tasks {
    /// Records what an ended execution cost, as it is known better now.
    ///
    /// # Errors
    /// [`CorrectError`]; where it has not ended, [`Rejection::NotEnded`] in it.
    pub async fn correct_cost(
        &self,
        caller: &Caller,
        execution_id: ExecutionId,
        correction: Correction,
        reason: &str,
        request: &Request,
    ) -> Result<Corrected, CorrectError> {
        check(correction, reason)?;
        let stream = StreamName::execution(execution_id);
        let before = self.ledger.load::<Execution>(&stream).await?;
        let owned = ownership(before.pending().ok_or(CorrectError::NotFound)?);
        if !caller.sees(&owned) {
            return Err(CorrectError::NotFound);
        }
        if !caller.may_change(&owned) {
            return Err(CorrectError::OtherUser);
        }
        let Execution::Ended { cost: cost_before, .. } = before else {
            return Err(ExecuteError::Refused(Rejection::NotEnded).into());
        };
        let (cost, basis, price_book) = match correction {
            Correction::Stated { cost, basis } => (cost, basis, None),
            Correction::Repriced => {
                let (cost, basis) =
                    repriced(&**self.ledger.store(), &stream, &self.price_book).await?;
                (cost, basis, Some(self.price_book.version().to_owned()))
            }
        };
        let (reason, _) = Redactor::global().redact(reason);
        let reason = Content::new(salt()?, reason.as_ref());
        let command = Command::CorrectCost {
            cost,
            basis,
            price_book: price_book.clone(),
            reason: reason.reference(),
        };
        let context = context(caller, None, request);
        let done = self.ledger.execute::<Execution>(&stream, command, &[reason], &context).await?;
        let changed = !done.events.is_empty();
        Ok(Corrected {
            position: done.position,
            changed,
            before: cost_before,
            cost,
            basis,
            price_book,
        })
    }
}

fn check(correction: Correction, reason: &str) -> Result<(), CorrectError> {
    let invalid = |field, problem: String| Err(CorrectError::Invalid { field, problem });
    if reason.trim().is_empty() || reason.len() > COST_REASON_MAX_BYTES {
        return invalid("reason", format!("say why, in 1 to {COST_REASON_MAX_BYTES} bytes"));
    }
    if reason.chars().any(|c| c < ' ' && c != '\t' && c != '\n') {
        return invalid("reason", "no control characters but tab and newline".to_owned());
    }
    match correction {
        Correction::Stated { cost, .. } if cost < NanoUsd::ZERO => {
            invalid("cost_usd", "must be 0 or more".to_owned())
        }
        Correction::Stated { basis: CostBasis::Unknown | CostBasis::Simulated, .. } => {
            let bases = "provider_reported, derived_from_partials or priced_locally";
            invalid("cost_basis", format!("of a cost that somebody knows: {bases}"))
        }
        Correction::Stated { .. } | Correction::Repriced => Ok(()),
    }
}

/// What the recorded tokens of a run cost by this book.
async fn repriced(
    store: &dyn EventStore,
    stream: &StreamName,
    book: &PriceBook,
) -> Result<(NanoUsd, CostBasis), CorrectError> {
    let (mut runtime, mut report) = (None, None);
    for recorded in store.read_stream(stream, 0, EVENTS_MAX, With::EventsOnly).await? {
        let event = recorded.event();
        let event = event.map_err(|error| StoreError::Fault(format!("{stream}: {error}")))?;
        let Event::Execution(event) = event else { continue };
        if let ExecutionEvent::Running(running) = &event {
            runtime = Some(running.runtime);
        }
        report = report.or_else(|| event.report().cloned());
    }
    let not_priced = |why: &str| CorrectError::NotPriced(why.to_owned());
    let report = report.ok_or_else(|| not_priced("it never ran"))?;
    if report.cost_basis == CostBasis::Simulated {
        return Err(not_priced("the run was simulated, and no money was spent"));
    }
    let whole = report.usage.filter(|usage| *usage != Usage::default());
    let by_model = report.usage_by_model.iter().map(|of| of.usage);
    if whole.is_none_or(|whole| whole != by_model.fold(Usage::default(), plus)) {
        return Err(not_priced("not all of its tokens are recorded by model"));
    }
    let mut sum = NanoUsd::ZERO;
    for of in &report.usage_by_model {
        let cost = book.cost(&of.model, report.started_at, &of.usage, None).ok_or_else(|| {
            let (model, version) = (&of.model, book.version());
            CorrectError::NotPriced(format!(
                "the price book {version} has no price of that day for all tokens of {model}"
            ))
        })?;
        sum = sum.saturating_add(cost);
    }
    Ok((sum, basis_of_tokens(&report, runtime)))
}

/// Whether the recorded tokens are those of the whole run, or of what it had streamed when it was
/// stopped. Where its cost is unknown nobody wrote it down: then by what such a program says in the end.
fn basis_of_tokens(report: &RunReport, runtime: Option<Runtime>) -> CostBasis {
    match (report.cost_basis, runtime) {
        (CostBasis::ProviderReported | CostBasis::PricedLocally, _)
        | (CostBasis::Unknown, Some(Runtime::Codex | Runtime::Gemini)) => CostBasis::PricedLocally,
        (CostBasis::DerivedFromPartials | CostBasis::Unknown | CostBasis::Simulated, _) => {
            CostBasis::DerivedFromPartials
        }
    }
}

fn plus(a: Usage, b: Usage) -> Usage {
    Usage {
        input: a.input.saturating_add(b.input),
        output: a.output.saturating_add(b.output),
        cache_read: a.cache_read.saturating_add(b.cache_read),
        cache_write_5m: a.cache_write_5m.saturating_add(b.cache_write_5m),
        cache_write_1h: a.cache_write_1h.saturating_add(b.cache_write_1h),
    }
}
