//! What a schedule is to do, in words: the texts beside the event that holds its settings.

use execution_ledger_domain::schedule::Active;
use execution_ledger_domain::{Content, ScheduleId, StreamName};
use execution_ledger_store::{Recorded, StoreError, With};

use super::Schedules;
use super::entry::Entry;
use crate::accepted::Texts;
use crate::salt;

/// The texts of a schedule's settings.
pub(super) struct Words {
    pub message: String,
    pub system_prompt: Option<String>,
}

impl Words {
    /// To be stored beside another event.
    pub fn texts(self) -> Result<Texts, StoreError> {
        let new = |text: String| Ok::<_, StoreError>(Content::new(salt()?, text));
        let system_prompt = self.system_prompt.map(new).transpose()?;
        Ok(Texts { message: new(self.message)?, system_prompt })
    }
}

impl Schedules {
    /// The texts of the schedule's settings; nothing where one was erased.
    pub(super) async fn words(
        &self,
        id: ScheduleId,
        entry: &Entry,
        active: &Active,
    ) -> Result<Option<Words>, StoreError> {
        let read = self.settings_event(id, entry).await?;
        let text = |reference| read.text(reference).map(str::to_owned);
        let settings = &active.settings;
        let system_prompt = match &settings.system_prompt {
            None => None,
            Some(reference) => match text(reference) {
                None => return Ok(None),
                prompt => prompt,
            },
        };
        Ok(text(&settings.message).map(|message| Words { message, system_prompt }))
    }

    /// The event that holds the schedule's settings, with their texts.
    pub(super) async fn settings_event(
        &self,
        id: ScheduleId,
        entry: &Entry,
    ) -> Result<Recorded, StoreError> {
        let stream = StreamName::schedule(id);
        let store = self.0.ledger.store();
        let read = store.read_stream(&stream, entry.settings_revision, 1, With::Contents).await?;
        read.into_iter().next().ok_or_else(|| {
            StoreError::Fault(format!("{stream} has no event {}", entry.settings_revision))
        })
    }
}
