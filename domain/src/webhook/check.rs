//! What a webhook's settings may be.

use super::event::Settings;
use crate::limits::webhook as limit;

/// A setting of a webhook that breaks a rule.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {problem}")]
pub struct WebhookFieldError {
    /// The setting.
    pub field: &'static str,
    /// What is wrong with it and what it may be.
    pub problem: String,
}

impl Settings {
    /// Whether they could be a webhook's, as far as that can be told without a network.
    ///
    /// # Errors
    /// The first field that can't be as it is.
    pub fn check(&self) -> Result<(), WebhookFieldError> {
        let wrong = |field, problem: String| Err(WebhookFieldError { field, problem });
        let most = limit::NAME_MAX_CHARS;
        let characters = self.name.chars().count();
        if !(1..=most).contains(&characters) || self.name.chars().any(char::is_control) {
            let problem = format!("1 to {most} characters, none of them a control character");
            return wrong("name", problem);
        }
        if self.url.len() > limit::URL_MAX_BYTES {
            return wrong("url", format!("at most {} bytes", limit::URL_MAX_BYTES));
        }
        let printable = self.url.bytes().all(|byte| byte.is_ascii_graphic());
        if !printable || !(self.url.starts_with("https://") || self.url.starts_with("http://")) {
            let problem = "an address that begins with https://, in visible ASCII characters";
            return wrong("url", problem.to_owned());
        }
        if self.kinds.is_empty() {
            return wrong("kinds", "at least one kind of message".to_owned());
        }
        Ok(())
    }
}
