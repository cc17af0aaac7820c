//! How witnesses are reached: over HTTP, for a short time, and no further than they are.

use std::pin::Pin;
use std::time::Duration;

use execution_ledger_replay::notary::{Answer, Post, WITNESSES_MAX, Witness};

use super::ServeError;
use crate::config::Settings;

/// How long a witness may take for its answer.
const ANSWER_WAIT: Duration = Duration::from_secs(10);
/// The longest answer that is read, in bytes.
const ANSWER_MAX_BYTES: usize = 16 * 1024;

/// The witnesses that the settings name.
pub fn named(settings: &Settings) -> Result<Vec<Witness>, ServeError> {
    let entries = settings.notary_witnesses.entries();
    let quorum = settings.notary_quorum.narrow::<usize>();
    let refused = |problem: String| Err(ServeError::Part(problem));
    if entries.len() > WITNESSES_MAX {
        return refused(format!("setting notary_witnesses: at most {WITNESSES_MAX}"));
    }
    if !entries.is_empty() && quorum > entries.len() {
        let count = entries.len();
        return refused(format!("setting notary_quorum: {quorum} of {count} witnesses can't be"));
    }
    let named =
        entries.iter().map(|at| Witness { key: at.key.clone(), url: at.url.as_str().to_owned() });
    Ok(named.collect())
}

/// Over HTTP.
pub struct Http(reqwest::Client);

impl Http {
    /// A client of its own.
    pub fn new() -> Result<Self, ServeError> {
        reqwest::Client::builder()
            .timeout(ANSWER_WAIT)
            .redirect(reqwest::redirect::Policy::none())
            .user_agent(concat!("execution-ledger/", env!("CARGO_PKG_VERSION")))
            .build()
            .map(Self)
            .map_err(|error| ServeError::Part(format!("the client of witnesses: {error}")))
    }
}

impl Post for Http {
    fn post(&self, url: String, body: String) -> Pin<Box<dyn Future<Output = Answer> + Send>> {
        let request = self.0.post(url).body(body);
        Box::pin(async move {
            let failed = |error: reqwest::Error| format!("no answer: {}", error.without_url());
            let mut response = request.send().await.map_err(failed)?;
            let mut answer = Vec::new();
            while let Some(chunk) = response.chunk().await.map_err(failed)? {
                if answer.len() + chunk.len() > ANSWER_MAX_BYTES {
                    return Err("its answer is too long".to_owned());
                }
                answer.extend_from_slice(&chunk);
            }
            let answer = String::from_utf8(answer).map_err(|_| "its answer is no text")?;
            Ok((response.status().as_u16(), answer))
        })
    }
}
