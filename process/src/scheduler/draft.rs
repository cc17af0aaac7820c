//! What a schedule is to be, as callers give it: with its texts.

use std::borrow::Cow;

use execution_ledger_domain::execution::Execution;
use execution_ledger_domain::schedule::{CatchUp, Overlap, Settings, SettingsError, tidy};
use execution_ledger_domain::scope::Ownership;
use execution_ledger_domain::{
    AgentName, Caller, Content, ExecutionId, NanoUsd, ScheduleId, StreamName,
};
use execution_ledger_store::{ExecuteError, StoreError, With};

use super::{ScheduleError, Schedules};
use crate::accepted::Accepted;
use crate::redact::{Redactor, SECRET_IN_NAME};
use crate::salt;

/// What a schedule is to be.
#[derive(Clone, Debug, PartialEq)]
pub struct Draft {
    /// What people call it, where they give it a name.
    pub name: Option<String>,
    /// The agent.
    pub agent: AgentName,
    /// What the agent is to do.
    pub message: String,
    /// The cron expression.
    pub cron: String,
    /// The IANA name of its time zone.
    pub timezone: String,
    /// What becomes of a tick while an earlier execution is still open.
    pub overlap: Overlap,
    /// What becomes of ticks that were missed.
    pub catch_up: CatchUp,
    /// Whether its ticks fire.
    pub enabled: bool,
    /// The model, from the agent's list.
    pub model: Option<String>,
    /// How long a run may take, in seconds.
    pub timeout_s: Option<u64>,
    /// What a run may cost.
    pub max_cost: Option<NanoUsd>,
    /// The tools that a run may use, of the agent's.
    pub allowed_tools: Option<Vec<String>>,
    /// A system prompt, where the agent permits it.
    pub system_prompt: Option<String>,
    /// How many turns a run may take.
    pub max_turns: Option<u32>,
}

/// Settings with the texts that belong beside their event.
pub(super) struct Written {
    pub settings: Settings,
    pub message: Content,
    pub system_prompt: Option<Content>,
}

impl Written {
    /// As an append takes them.
    pub fn contents(&self) -> Vec<Content> {
        std::iter::once(&self.message).chain(&self.system_prompt).cloned().collect()
    }
}

impl Draft {
    /// A draft of a task for an agent, with everything else by default.
    pub fn new(agent: AgentName, message: String) -> Self {
        Self {
            name: None,
            agent,
            message,
            cron: String::new(),
            timezone: "UTC".to_owned(),
            overlap: Overlap::default(),
            catch_up: CatchUp::default(),
            enabled: true,
            model: None,
            timeout_s: None,
            max_cost: None,
            allowed_tools: None,
            system_prompt: None,
            max_turns: None,
        }
    }

    /// As it is stored: redacted, with texts that are as they were before where they did not change.
    ///
    /// # Errors
    /// [`ScheduleError::Settings`] where a secret stands in its name.
    pub(super) fn write(self, before: Option<&Written>) -> Result<Written, ScheduleError> {
        if self.name.as_deref().is_some_and(|name| Redactor::global().finds_secret(name)) {
            let problem = SECRET_IN_NAME.to_owned();
            return Err(SettingsError { field: "name", problem }.into());
        }
        let (text, found) = redact(&self.message);
        let same = before.filter(|before| before.message.text == text);
        let (message, redactions) = match same {
            Some(before) => (before.message.clone(), before.settings.redactions),
            None => (Content::new(salt()?, text), found),
        };
        let system_prompt = match self.system_prompt {
            None => None,
            Some(text) => {
                let (text, _) = redact(&text);
                let same = before.and_then(|before| before.system_prompt.clone());
                let same = same.filter(|same| same.text == text);
                Some(match same {
                    Some(same) => same,
                    None => Content::new(salt()?, text),
                })
            }
        };
        let settings = Settings {
            name: self.name,
            agent: self.agent,
            message: message.reference(),
            redactions,
            cron: tidy(&self.cron),
            timezone: self.timezone,
            overlap: self.overlap,
            catch_up: self.catch_up,
            model: self.model,
            timeout_s: self.timeout_s,
            max_cost_nano_usd: self.max_cost,
            allowed_tools: self.allowed_tools,
            system_prompt: system_prompt.as_ref().map(Content::reference),
            max_turns: self.max_turns,
        };
        Ok(Written { settings, message, system_prompt })
    }
}

fn redact(text: &str) -> (String, u32) {
    let (redacted, count): (Cow<'_, str>, u32) = Redactor::global().redact(text);
    (redacted.into_owned(), count)
}

impl Schedules {
    /// A schedule as it is, to be changed. A text that was erased is empty.
    ///
    /// # Errors
    /// [`ScheduleError::NotFound`] where there is none that the caller may see.
    pub async fn draft_of(&self, caller: &Caller, id: ScheduleId) -> Result<Draft, ScheduleError> {
        let (written, enabled) = self.written(caller, id).await?;
        let Written { settings, message, system_prompt } = written;
        Ok(Draft {
            name: settings.name,
            agent: settings.agent,
            message: message.text,
            cron: settings.cron,
            timezone: settings.timezone,
            overlap: settings.overlap,
            catch_up: settings.catch_up,
            enabled,
            model: settings.model,
            timeout_s: settings.timeout_s,
            max_cost: settings.max_cost_nano_usd,
            allowed_tools: settings.allowed_tools,
            system_prompt: system_prompt.map(|content| content.text),
            max_turns: settings.max_turns,
        })
    }

    /// The settings of a schedule with their texts, and whether it is enabled.
    pub(super) async fn written(
        &self,
        caller: &Caller,
        id: ScheduleId,
    ) -> Result<(Written, bool), ScheduleError> {
        let entry = self.entry_for(caller, id)?;
        let active = entry.state.active().ok_or(ScheduleError::NotFound)?;
        let read = self.settings_event(id, &entry).await?;
        let content = |reference: &execution_ledger_domain::ContentRef| {
            let stored = read.contents.iter().find(|stored| stored.sha256 == reference.sha256);
            let content = stored.and_then(|stored| stored.content.clone());
            content.unwrap_or_else(|| Content::new([0; 16], String::new()))
        };
        let settings = active.settings.clone();
        let message = content(&settings.message);
        let system_prompt = settings.system_prompt.as_ref().map(content);
        Ok((Written { settings, message, system_prompt }, active.enabled))
    }

    /// A schedule that would repeat an execution that has ended, with all of its settings.
    ///
    /// # Errors
    /// [`ScheduleError::ExecutionNotFound`], [`ScheduleError::ExecutionOpen`],
    /// [`ScheduleError::Erased`].
    pub async fn draft_from(
        &self,
        caller: &Caller,
        execution: ExecutionId,
    ) -> Result<Draft, ScheduleError> {
        let stream = StreamName::execution(execution);
        let store = self.0.ledger.store();
        let first = store.read_stream(&stream, 0, 1, With::Contents).await?;
        let accepted = Accepted::from_first(&first)?.ok_or(ScheduleError::ExecutionNotFound)?;
        let pending = &accepted.pending;
        let ownership = Ownership {
            agent: &pending.agent,
            user: &pending.user,
            source_agent: pending.source_agent.as_ref(),
        };
        if !caller.scope.covers(&ownership) {
            return Err(ScheduleError::ExecutionNotFound);
        }
        let state =
            self.0.ledger.load::<Execution>(&stream).await.map_err(|error| match error {
                ExecuteError::Store(fault) => fault,
                other => StoreError::Fault(other.to_string()),
            })?;
        if !matches!(state, Execution::Ended { .. }) {
            return Err(ScheduleError::ExecutionOpen);
        }
        let texts = accepted.texts()?.ok_or(ScheduleError::Erased)?;
        let pending = accepted.pending;
        Ok(Draft {
            model: pending.model_requested,
            timeout_s: Some(pending.timeout_s),
            max_cost: pending.max_cost_nano_usd,
            allowed_tools: pending.allowed_tools,
            system_prompt: texts.system_prompt.map(|content| content.text),
            max_turns: pending.max_turns,
            ..Draft::new(pending.agent, texts.message.text)
        })
    }
}
