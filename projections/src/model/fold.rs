//! How the record of an execution follows from the events of its stream.

use execution_ledger_domain::erasure::TextPart;
use execution_ledger_domain::execution::{ExecutionEvent, ModelUsage, Pending, RunReport};
use execution_ledger_domain::scope::Ownership;
use execution_ledger_domain::wire::WireError;
use execution_ledger_domain::{ContentRef, Event};
use execution_ledger_store::{Position, Recorded};

use super::record::UsageOfModel;
use super::record::{ErrorInfo, ExecutionRecord, PaidWith, Status};

impl ExecutionRecord {
    /// The record after the events of one stream, in their order, up to and including `until`.
    /// Nothing where the execution was not accepted by then.
    pub fn fold(events: &[Recorded], until: Position) -> Result<Option<Self>, WireError> {
        let mut record = None;
        for recorded in events.iter().filter(|recorded| recorded.position <= until) {
            if let Event::Execution(event) = recorded.event()? {
                record = Self::after(record, recorded, &event);
            }
        }
        Ok(record)
    }

    /// The record after one more event. An event that does not fit the status changes nothing, as
    /// in the rules of the domain.
    pub fn after(
        record: Option<Self>,
        recorded: &Recorded,
        event: &ExecutionEvent,
    ) -> Option<Self> {
        match (record, event) {
            (None, ExecutionEvent::Pending(pending)) => Self::accepted(recorded, pending),
            (None, _) => None,
            (Some(mut record), event) => {
                record.apply(recorded, event);
                Some(record)
            }
        }
    }

    /// Takes in one more event of its stream.
    pub fn apply(&mut self, recorded: &Recorded, event: &ExecutionEvent) {
        use ExecutionEvent as E;
        let ended = self.status.is_terminal();
        match event {
            E::Running(_) if self.status == Status::Pending => {
                self.status = Status::Running;
                self.started_at = Some(recorded.recorded_at);
                self.queue_ms = Some(recorded.recorded_at.ms_since(self.created_at));
            }
            E::CancellationRequested(_) if self.status == Status::Running => {
                self.cancellation_requested_at.get_or_insert(recorded.recorded_at);
            }
            E::Completed(completed) if !ended => {
                self.end(Status::Completed, recorded, Some(&completed.report));
            }
            E::Failed(failed) if !ended => {
                self.end(Status::Failed, recorded, failed.report.as_ref());
                self.note_erased(recorded, TextPart::Error, failed.message.as_ref());
                let message = failed.message.and_then(|text| owned_text(recorded, &text));
                // A text that was erased stays away; where there never was one, the code says it.
                let message = match failed.message {
                    Some(_) => message,
                    None => Some(failed.code.describe().to_owned()),
                };
                self.error = Some(ErrorInfo { code: failed.code, message });
            }
            E::Cancelled(cancelled) if !ended => {
                self.end(Status::Cancelled, recorded, cancelled.report.as_ref());
            }
            E::ResultInjected(_) if ended => {
                self.result_injected = true;
                self.injected_at.get_or_insert(recorded.recorded_at);
            }
            E::InjectionRefused(refused) if ended => self.injection_refused = Some(refused.reason),
            E::CostCorrected(corrected) if ended => {
                self.cost = Some(corrected.cost_nano_usd);
                self.cost_basis = Some(corrected.cost_basis);
                self.price_book.clone_from(&corrected.price_book);
            }
            E::Pending(_)
            | E::QueueMoved(_)
            | E::SignalSent(_)
            | E::Running(_)
            | E::CancellationRequested(_)
            | E::Completed(_)
            | E::Failed(_)
            | E::Cancelled(_)
            | E::ResultInjected(_)
            | E::InjectionRefused(_)
            | E::CostCorrected(_) => {}
        }
    }

    /// Whose it is.
    pub fn ownership(&self) -> Ownership<'_> {
        Ownership {
            agent: &self.agent_name,
            user: &self.user,
            source_agent: self.source_agent.as_ref(),
        }
    }

    /// Shortens its texts to `characters_max` characters each, and says so.
    pub fn cut_texts(&mut self, characters_max: usize) {
        let error = self.error.as_mut().and_then(|error| error.message.as_mut());
        for text in [self.message.as_mut(), self.response.as_mut(), error].into_iter().flatten() {
            if let Some((end, _)) = text.char_indices().nth(characters_max) {
                text.truncate(end);
                self.texts_cut = true;
            }
        }
    }

    /// Remembers that a text was erased; only where texts were asked for, this is known.
    fn note_erased(&mut self, recorded: &Recorded, part: TextPart, text: Option<&ContentRef>) {
        let Some(text) = text else { return };
        let stored = recorded.contents.iter().find(|stored| stored.sha256 == text.sha256);
        if stored.is_some_and(|stored| stored.content.is_none()) && !self.erased.contains(&part) {
            self.erased.push(part);
        }
    }

    fn accepted(recorded: &Recorded, pending: &Pending) -> Option<Self> {
        let mut record = Self {
            execution_id: recorded.stream.execution_id()?,
            agent_name: pending.agent.clone(),
            status: Status::Pending,
            triggered_by: pending.triggered_by,
            message: owned_text(recorded, &pending.message),
            response: None,
            error: None,
            created_at: recorded.recorded_at,
            started_at: None,
            completed_at: None,
            duration_ms: None,
            queue_ms: None,
            cost: None,
            cost_basis: None,
            price_book: None,
            usage: None,
            usage_by_model: Vec::new(),
            model_requested: pending.model_requested.clone(),
            model_used: None,
            agent_session_id: None,
            claude_session_id: None,
            num_turns: None,
            exit: None,
            requested_by: pending.requested_by.clone(),
            source_agent: pending.source_agent.clone(),
            chat_session_id: pending.chat_session_id,
            inject_result: pending.inject_result,
            result_injected: false,
            injected_at: None,
            injection_refused: None,
            parent_execution_id: pending.parent_execution_id,
            retry_of: pending.retry_of,
            attempt: pending.attempt,
            not_before: pending.not_before,
            schedule_id: pending.schedule_id,
            payment: pending.payment_id.clone().map(|payment_id| PaidWith { payment_id }),
            timeout_s: pending.timeout_s,
            max_cost: pending.max_cost_nano_usd,
            transcript: None,
            cancellation_requested_at: None,
            redactions: pending.redactions,
            response_cut: false,
            killed_processes: 0,
            erased: Vec::new(),
            texts_cut: false,
            user: pending.user.clone(),
            no: recorded.position,
        };
        record.note_erased(recorded, TextPart::Message, Some(&pending.message));
        record.note_erased(recorded, TextPart::SystemPrompt, pending.system_prompt.as_ref());
        Some(record)
    }

    fn end(&mut self, status: Status, recorded: &Recorded, report: Option<&RunReport>) {
        self.status = status;
        self.completed_at = Some(recorded.recorded_at);
        if self.queue_ms.is_none() {
            self.queue_ms = Some(recorded.recorded_at.ms_since(self.created_at));
        }
        let Some(report) = report else { return };
        self.completed_at = Some(report.ended_at);
        self.duration_ms = Some(report.duration_ms);
        self.exit = report.exit;
        self.killed_processes = report.killed_processes;
        self.note_erased(recorded, TextPart::Response, report.response.as_ref());
        self.response = report.response.and_then(|text| owned_text(recorded, &text));
        self.response_cut = report.response_cut;
        self.cost = report.cost_nano_usd;
        self.cost_basis = Some(report.cost_basis);
        self.price_book.clone_from(&report.price_book);
        self.usage = report.usage;
        let of = |of: &ModelUsage| UsageOfModel {
            model: of.model.clone(),
            usage: of.usage,
            cost: of.cost_nano_usd,
        };
        self.usage_by_model = report.usage_by_model.iter().map(of).collect();
        self.model_used.clone_from(&report.model_used);
        self.agent_session_id.clone_from(&report.agent_session_id);
        self.claude_session_id.clone_from(&report.agent_session_id);
        self.num_turns = report.num_turns;
        self.transcript = report.transcript;
    }
}

fn owned_text(recorded: &Recorded, reference: &ContentRef) -> Option<String> {
    recorded.text(reference).map(str::to_owned)
}
