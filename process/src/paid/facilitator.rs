//! The facilitator: finds payments good, and brings the money.

use std::time::Duration;

use execution_ledger_domain::payment::{Evidence, Settled, SettlementFailed, SettlementUnknown};
use reqwest::header::{AUTHORIZATION, HeaderValue};
use reqwest::{Client, Url};
use serde_json::{Value, json};

use super::http::{self, Answer, NoAnswer};
use super::x402::{Presented, VERSION, plain_code};

/// How long it may take to find a payment good, or not.
const VERIFY_TIMEOUT: Duration = Duration::from_secs(20);
/// How long it may take to say what it supports.
const SUPPORTED_TIMEOUT: Duration = Duration::from_secs(10);
/// Longest hash of a transaction, in characters.
const TRANSACTION_MAX_CHARS: usize = 128;

/// What the facilitator says of a payment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It can be settled.
    Good,
    /// It can't, by this code.
    Bad(String),
    /// It was not said.
    Unanswered(String),
}

/// What came of asking for the money.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It came.
    Settled(Settled),
    /// It did not come and will not.
    Failed(SettlementFailed),
    /// Nobody can say.
    Unknown(SettlementUnknown),
}

/// The facilitator, asked over HTTP.
#[derive(Clone, Debug)]
pub(super) struct Facilitator {
    client: Client,
    url: Url,
    authorization: Option<HeaderValue>,
    settle_timeout: Duration,
}

impl Facilitator {
    pub fn new(
        url: Url,
        authorization: Option<HeaderValue>,
        settle_timeout: Duration,
    ) -> Result<Self, reqwest::Error> {
        Ok(Self { client: http::client(&url)?, url, authorization, settle_timeout })
    }

    /// Its address, as events tell it: without a query, which may hold a key.
    pub fn name(&self) -> String {
        let mut name = self.url.clone();
        name.set_query(None);
        name.as_str().trim_end_matches('/').to_owned()
    }

    /// Asks whether a payment can be settled. Nothing is charged by that.
    pub async fn verify(&self, presented: &Presented) -> Verdict {
        let request = self.request("verify", presented);
        let Answer { status, json } = match http::ask(request, VERIFY_TIMEOUT).await {
            Ok(answer) => answer,
            Err(none) => return Verdict::Unanswered(none.to_string()),
        };
        let Some(json) = json else { return Verdict::Unanswered(format!("status {status}")) };
        match json["isValid"].as_bool() {
            Some(true) if (200..300).contains(&status) && is_payer(&json, presented) => {
                Verdict::Good
            }
            Some(true) => Verdict::Unanswered("it speaks of another payer".to_owned()),
            Some(false) => Verdict::Bad(code(&json, "invalidReason")),
            None => Verdict::Unanswered(format!("status {status}")),
        }
    }

    /// Asks for the money.
    pub async fn settle(&self, presented: &Presented) -> Outcome {
        let request = self.request("settle", presented);
        judge(http::ask(request, self.settle_timeout).await, presented)
    }

    /// What it supports: schemes and networks of this version.
    pub async fn supported(&self) -> Result<Vec<(String, String)>, String> {
        let request = self.with_authorization(self.client.get(self.at("supported")));
        let answer =
            http::ask(request, SUPPORTED_TIMEOUT).await.map_err(|none| none.to_string())?;
        let json = answer.json.ok_or_else(|| format!("status {}, no JSON", answer.status))?;
        let kinds = json["kinds"].as_array().ok_or_else(|| format!("status {}", answer.status))?;
        let ours = kinds.iter().filter(|kind| kind["x402Version"] == VERSION);
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        Ok(ours.map(|kind| (text(&kind["scheme"]), text(&kind["network"]))).collect())
    }

    fn request(&self, path: &str, presented: &Presented) -> reqwest::RequestBuilder {
        let body = json!({
            "x402Version": VERSION,
            "paymentPayload": presented.whole,
            "paymentRequirements": presented.accepted,
        });
        self.with_authorization(self.client.post(self.at(path)).json(&body))
    }

    fn with_authorization(&self, request: reqwest::RequestBuilder) -> reqwest::RequestBuilder {
        match &self.authorization {
            Some(value) => request.header(AUTHORIZATION, value.clone()),
            None => request,
        }
    }

    fn at(&self, path: &str) -> Url {
        let mut url = self.url.clone();
        let base = url.path().trim_end_matches('/').to_owned();
        url.set_path(&format!("{base}/{path}"));
        url
    }
}

/// What an answer to the request for the money says. Only what leaves no doubt is a failure: a
/// facilitator that waited for its transaction in vain says that it failed, too.
fn judge(answered: Result<Answer, NoAnswer>, presented: &Presented) -> Outcome {
    let unknown = |reason: &str| Outcome::Unknown(SettlementUnknown { reason: plain_code(reason) });
    let failed = |reason: String| {
        let evidence = Evidence::Facilitator;
        Outcome::Failed(SettlementFailed { reason, evidence, note: None })
    };
    let Answer { status, json } = match answered {
        Ok(answer) => answer,
        Err(NoAnswer::NotSent) => return failed("facilitator_unreachable".to_owned()),
        Err(NoAnswer::TimedOut) => return unknown("timeout"),
        Err(NoAnswer::Cut) => return unknown("connection_cut"),
        Err(NoAnswer::TooLarge) => return unknown("malformed_answer"),
    };
    let Some(json) = json else { return unknown(&format!("status_{status}")) };
    let transaction = json["transaction"].as_str().unwrap_or_default();
    match json["success"].as_bool() {
        Some(true) => {
            let plain = transaction.bytes().all(|b| b.is_ascii_graphic());
            let fits = (1..=TRANSACTION_MAX_CHARS).contains(&transaction.len()) && plain;
            let ours = json["network"] == presented.accepted["network"];
            if (200..300).contains(&status) && fits && ours && is_payer(&json, presented) {
                let transaction = Some(transaction.to_owned());
                let evidence = Evidence::Facilitator;
                return Outcome::Settled(Settled { transaction, evidence, note: None });
            }
            unknown("malformed_answer")
        }
        Some(false) => {
            let reason = code(&json, "errorReason");
            if transaction.is_empty() && was_refused_before(&reason) {
                return failed(reason);
            }
            unknown(&reason)
        }
        None => unknown(&format!("status_{status}")),
    }
}

/// Whether a reason says that the payment was looked at and refused before anything was sent to the
/// chain. A number that was used may have been used by an earlier request of ours.
fn was_refused_before(reason: &str) -> bool {
    let refused = ["invalid_", "insufficient_", "unsupported_"];
    let refused = refused.iter().any(|begin| reason.starts_with(begin));
    let doubtful = ["nonce", "transaction", "settle", "pending", "timeout"];
    refused && !doubtful.iter().any(|word| reason.contains(word))
}

/// Whether an answer is about the same payer, or names none.
fn is_payer(json: &Value, presented: &Presented) -> bool {
    json["payer"].as_str().is_none_or(|payer| payer.eq_ignore_ascii_case(&presented.payer))
}

fn code(json: &Value, name: &str) -> String {
    plain_code(json[name].as_str().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::super::x402::tests::payment;
    use super::*;

    fn of(status: u16, json: Value) -> Outcome {
        let presented = Presented::decode(payment(|_| {}).as_bytes()).expect("a payment");
        judge(Ok(Answer { status, json: Some(json) }), &presented)
    }

    fn is_unknown(outcome: &Outcome) -> bool {
        matches!(outcome, Outcome::Unknown(_))
    }

    #[test]
    fn money_came_only_where_the_answer_is_whole_and_about_this_payment() {
        let good = json!({"success": true, "transaction": "0xab", "network": "eip155:1"});
        let Outcome::Settled(settled) = of(200, good.clone()) else { panic!("not settled") };
        assert_eq!(settled.transaction.as_deref(), Some("0xab"));
        assert!(is_unknown(&of(500, good.clone())));
        for (name, value) in [
            ("transaction", json!("")),
            ("transaction", json!("a\nb")),
            ("transaction", json!("x".repeat(200))),
            ("network", json!("eip155:2")),
            ("payer", json!("0x12")),
            ("success", json!("yes")),
        ] {
            let mut other = good.clone();
            other[name] = value;
            assert!(is_unknown(&of(200, other.clone())), "{other}");
        }
    }

    #[test]
    fn only_a_refusal_before_anything_was_sent_is_a_failure() {
        let refusal = |reason: &str, transaction: &str| json!({"success": false, "errorReason": reason, "transaction": transaction});
        for reason in [
            "insufficient_funds",
            "invalid_exact_evm_insufficient_balance",
            "invalid_exact_evm_payload_authorization_valid_before",
            "unsupported_scheme",
        ] {
            for status in [200, 400, 402] {
                let Outcome::Failed(failed) = of(status, refusal(reason, "")) else {
                    panic!("{reason} is a failure")
                };
                assert_eq!(failed.reason, reason);
            }
            assert!(is_unknown(&of(200, refusal(reason, "0xab"))), "{reason}");
        }
        for reason in [
            "",
            "transaction_failed",
            "invalid_exact_evm_transaction_failed",
            "invalid_exact_evm_nonce_already_used",
            "invalid_transaction_state",
            "unexpected_settle_error",
            "settlement_pending",
            "who knows",
        ] {
            assert!(is_unknown(&of(200, refusal(reason, ""))), "{reason}");
        }
        for nothing in [json!(null), json!([]), json!("x"), json!({})] {
            assert!(is_unknown(&of(502, nothing.clone())) && is_unknown(&of(200, nothing)));
        }
    }

    #[test]
    fn only_a_request_that_was_never_sent_charges_nobody() {
        let presented = Presented::decode(payment(|_| {}).as_bytes()).expect("a payment");
        let failed = judge(Err(NoAnswer::NotSent), &presented);
        assert!(matches!(failed, Outcome::Failed(_)), "{failed:?}");
        for none in [NoAnswer::TimedOut, NoAnswer::Cut, NoAnswer::TooLarge] {
            assert!(is_unknown(&judge(Err(none), &presented)), "{none}");
        }
    }
}
