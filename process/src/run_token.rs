//! Run tokens: keys that a run carries in its environment, valid while it lasts.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use execution_ledger_domain::content::Digest;
use execution_ledger_domain::{ClaimId, ExecutionId, PaymentId, WebhookId};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use subtle::ConstantTimeEq;
use uuid::Uuid;

/// How every run token begins.
pub const PREFIX: &str = "elr_";

/// How every result token begins.
pub const RESULT_PREFIX: &str = "elp_";

/// How every token of a node begins.
pub const NODE_PREFIX: &str = "eln_";

/// A secret that follows from a shared one, for one purpose: from it neither that nor another follows.
pub fn derived(shared: &[u8], purpose: &str) -> [u8; 32] {
    let mut mac = Hmac::<Sha256>::new_from_slice(shared)
        .unwrap_or_else(|_| unreachable!("HMAC takes a key of any length"));
    mac.update(b"execution-ledger\0");
    mac.update(purpose.as_bytes());
    mac.finalize().into_bytes().into()
}

/// The ledger's own secret: signs run tokens and marks requests. Thirty-two random bytes that live
/// as long as the data directory.
#[derive(Clone)]
pub struct LedgerSecret([u8; 32]);

impl LedgerSecret {
    /// From its bytes.
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The token of one start of one execution. The same start always has the same token, so a
    /// restarted ledger knows it without having stored it.
    pub fn token(&self, execution: ExecutionId, claim: ClaimId) -> String {
        let mut bytes = Vec::with_capacity(64);
        bytes.extend_from_slice(execution.0.as_bytes());
        bytes.extend_from_slice(claim.0.as_bytes());
        let signature = self.sign(b"run token", &bytes);
        bytes.extend_from_slice(&signature);
        format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(bytes))
    }

    /// The start that a token was made for, if this ledger made it. Whether that run still lasts is
    /// for the caller to ask.
    pub fn verify(&self, token: &str) -> Option<(ExecutionId, ClaimId)> {
        let bytes = URL_SAFE_NO_PAD.decode(token.strip_prefix(PREFIX)?).ok()?;
        let (named, signature) = bytes.split_at_checked(32)?;
        let genuine: bool = self.sign(b"run token", named).ct_eq(signature).into();
        let (execution, claim) = named.split_at_checked(16)?;
        let id = |bytes| Uuid::from_slice(bytes).ok();
        genuine.then_some((ExecutionId(id(execution)?), ClaimId(id(claim)?)))
    }

    /// The token by which whoever made a payment may look at what it pays for. The same payment always
    /// has the same token, so nothing of it is stored.
    pub fn result_token(&self, payment: PaymentId) -> String {
        let mut bytes = payment.0.0.to_vec();
        bytes.extend_from_slice(&self.sign(b"result token", &payment.0.0));
        format!("{RESULT_PREFIX}{}", URL_SAFE_NO_PAD.encode(bytes))
    }

    /// The payment that a result token was made for, if this ledger made it.
    pub fn verify_result_token(&self, token: &str) -> Option<PaymentId> {
        let bytes = URL_SAFE_NO_PAD.decode(token.strip_prefix(RESULT_PREFIX)?).ok()?;
        let (named, signature) = bytes.split_at_checked(32)?;
        let genuine: bool = self.sign(b"result token", named).ct_eq(signature).into();
        let payment = named.try_into().ok()?;
        genuine.then_some(PaymentId(Digest(payment)))
    }

    /// The token by which a node shows another one that it may read what an execution prints.
    pub fn node_token(&self, execution: ExecutionId) -> String {
        let signature = self.sign(b"node token", execution.0.as_bytes());
        format!("{NODE_PREFIX}{}", URL_SAFE_NO_PAD.encode(signature))
    }

    /// Whether this is the token of a node with the same secret, for that execution.
    pub fn is_node_token(&self, token: &str, execution: ExecutionId) -> bool {
        self.node_token(execution).as_bytes().ct_eq(token.as_bytes()).into()
    }

    /// A mark by which an equal request is known again, and which tells nobody else what it was.
    pub fn mark(&self, request: &[u8]) -> Digest {
        Digest(self.sign(b"request", request))
    }

    /// A seal on what a browser's cookie says, by which the ledger knows its own cookies again.
    pub fn vouch_for_browser(&self, bytes: &[u8]) -> [u8; 32] {
        self.sign(b"browser", bytes)
    }

    /// The secret of a generation of a webhook. The same one always has the same, so it is kept nowhere.
    pub(crate) fn webhook_secret(&self, webhook: WebhookId, generation: u32) -> [u8; 32] {
        let mut bytes = webhook.0.as_bytes().to_vec();
        bytes.extend_from_slice(&generation.to_be_bytes());
        self.sign(b"webhook", &bytes)
    }

    fn sign(&self, purpose: &[u8], bytes: &[u8]) -> [u8; 32] {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0)
            .unwrap_or_else(|_| unreachable!("HMAC takes a key of any length"));
        mac.update(purpose);
        mac.update(&[0]);
        mac.update(bytes);
        mac.finalize().into_bytes().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_names_its_start_and_no_other_secret_or_changed_byte_is_believed() {
        let secret = LedgerSecret::new([7; 32]);
        let (execution, claim) = (ExecutionId(Uuid::from_u128(1)), ClaimId(Uuid::from_u128(2)));
        let token = secret.token(execution, claim);
        assert_eq!(secret.verify(&token), Some((execution, claim)));
        assert_eq!(LedgerSecret::new([8; 32]).verify(&token), None);
        for index in PREFIX.len()..token.len() {
            let mut changed = token.clone().into_bytes();
            changed[index] = if changed[index] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(changed).expect("still ASCII");
            assert_eq!(secret.verify(&changed), None, "byte {index}");
        }
        let payment = PaymentId(Digest([3; 32]));
        let result = secret.result_token(payment);
        assert_eq!(secret.verify_result_token(&result), Some(payment));
        assert_eq!(LedgerSecret::new([8; 32]).verify_result_token(&result), None);
        assert_eq!(secret.verify_result_token(&token), None);
        let node = secret.node_token(execution);
        assert!(secret.is_node_token(&node, execution));
        assert!(!secret.is_node_token(&node, ExecutionId(Uuid::from_u128(3))), "of another run");
        assert!(!LedgerSecret::new([8; 32]).is_node_token(&node, execution));
        assert!(!secret.is_node_token("", execution) && !secret.is_node_token("eln_", execution));
        for nonsense in ["", "elr_", "elr_!!", "elk_abc"] {
            assert_eq!(secret.verify(nonsense), None);
        }
    }
}
