//! Keys that are shown over another protocol than HTTP.

use std::net::IpAddr;

use execution_ledger_domain::{Caller, Right};

use super::{KEY_MAX_BYTES, Until, by_key};
use crate::gate::network;
use crate::problem::Problem;
use crate::state::App;

/// In whose name requests without a key are counted: no key's id has this form.
const NO_KEY: &str = "(no key)";

/// Who showed a key that holds.
pub struct KeyHolder {
    caller: Caller,
    source: IpAddr,
    until: Until,
    app: App,
}

impl KeyHolder {
    /// Who they are.
    pub fn caller(&self) -> &Caller {
        &self.caller
    }

    /// Lets pass whoever has the right; counts whoever has not, as a refused request is counted.
    pub fn need(&self, right: Right) -> Result<(), Problem> {
        let allowed = super::need(&self.caller, right);
        if allowed.is_err() {
            self.app.gate().forbade(self.source);
        }
        allowed
    }

    /// Waits until the key no longer holds; answers why, for people.
    pub async fn over(&self) -> &'static str {
        self.until.over().await.detail()
    }
}

impl App {
    /// Who holds a key that was shown by a network address. What limits requests with wrong keys, and
    /// requests of one key, counts this as one.
    pub async fn holder_of(&self, key: &str, source: IpAddr) -> Result<KeyHolder, Problem> {
        let source = network(source);
        let known = match key.len() {
            1..=KEY_MAX_BYTES => by_key(key, self).await?,
            _ => None,
        };
        let Some((caller, until)) = known else { return Err(self.gate().failed_attempt(source)) };
        self.gate().check_rate(&caller.actor.id)?;
        Ok(KeyHolder { caller, source, until, app: self.clone() })
    }
    /// Lets somebody read who shows no key, where the server was told that this may be. All of them
    /// together have the rate of one key.
    pub fn reader_without_key(&self) -> Result<(), Problem> {
        self.gate().check_rate(&NO_KEY.to_owned())
    }
}
