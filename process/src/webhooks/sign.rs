//! Secrets and signatures, as Standard Webhooks has them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use execution_ledger_domain::{Timestamp, WebhookId};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::run_token::LedgerSecret;

/// How every secret begins.
const PREFIX: &str = "whsec_";

/// A webhook's secret. It is derived from the ledger's own and kept nowhere.
pub(super) struct Secret([u8; 32]);

impl Secret {
    /// The secret of a generation of a webhook: always the same one.
    pub fn of(ledger: &LedgerSecret, webhook: WebhookId, generation: u32) -> Self {
        Self(ledger.webhook_secret(webhook, generation))
    }

    /// As its receiver is shown it.
    pub fn reveal(&self) -> String {
        format!("{PREFIX}{}", STANDARD.encode(self.0))
    }

    /// The signature of a message that is sent at a moment, in seconds since 1970.
    pub fn sign(&self, id: &str, at_s: i64, body: &[u8]) -> String {
        signature(&self.0, id, at_s, body)
    }
}

fn signature(key: &[u8], id: &str, at_s: i64, body: &[u8]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(key)
        .unwrap_or_else(|_| unreachable!("HMAC takes a key of any length"));
    mac.update(format!("{id}.{at_s}.").as_bytes());
    mac.update(body);
    format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
}

/// The value of `webhook-timestamp`.
pub(super) fn seconds(at: Timestamp) -> i64 {
    at.micros().div_euclid(1_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_the_one_that_the_reference_implementations_make() {
        let key = STANDARD.decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").expect("base64");
        let sign = |id, at_s| signature(&key, id, at_s, br#"{"test": 2432232314}"#);
        let id = "msg_p5jXN8AQM9LWM0D4loKWxJek";
        assert_eq!(sign(id, 1_614_265_330), "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
        assert_ne!(sign(id, 1_614_265_330), sign(id, 1_614_265_331));
        assert_ne!(sign(id, 1_614_265_330), sign("msg_1", 1_614_265_330));
    }

    #[test]
    fn each_webhook_and_generation_has_a_secret_of_its_own() {
        let ledger = LedgerSecret::new([7; 32]);
        let id = |no| WebhookId(uuid::Uuid::from_u128(no));
        let secret = |no, generation| Secret::of(&ledger, id(no), generation).reveal();
        assert!(secret(1, 1).starts_with("whsec_"));
        assert_eq!(secret(1, 1), secret(1, 1));
        assert_ne!(secret(1, 1), secret(1, 2));
        assert_ne!(secret(1, 1), secret(2, 1));
    }
}
