//! What the chain says of a payment: whether its number was used, and what for.
//!
//! That a number was used says too little: its payer can use it up with a payment to himself, or cancel
//! it. So the transaction that used it is looked for, and what it moved.

use std::time::Duration;

use execution_ledger_domain::limits::payment::PAST_VALIDITY_S;
use execution_ledger_domain::payment::Verified;
use reqwest::{Client, Url};
use serde_json::{Value, json};

use super::http;

/// How long the chain may take to answer one question.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
/// Blocks that are searched at a time: fewer than any provider allows.
const BLOCKS_AT_ONCE: u64 = 1_000;
/// How often so many are searched: most.
const SEARCHES_MAX: u32 = 50;
/// How much before a payment was seen its transaction may stand, in seconds, by clocks that differ.
const CLOCKS_DIFFER_S: u64 = 600;

/// The first bytes of a call of `authorizationState(address,bytes32)`.
const AUTHORIZATION_STATE: &str = "0xe94a0102";
/// `AuthorizationUsed(address,bytes32)`.
const AUTHORIZATION_USED: &str =
    "0x98de503528ee59b575ef0c0a2576a82497bfc029a5685b209e9ec333479b10a5";
/// `AuthorizationCanceled(address,bytes32)`.
const AUTHORIZATION_CANCELED: &str =
    "0x1cdd46ff242716cdaa72d159d339a485b3438398348d68f09d7c8c0a59353d81";
/// `Transfer(address,address,uint256)`.
const TRANSFER: &str = "0xddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef";

/// What became of a payment, as the chain says it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// This transaction brought the money.
    Came(String),
    /// It did not come and can't any more: why.
    CanNotCome(&'static str),
    /// It can still come, or what used its number was not found.
    Open,
}

/// A chain, asked by JSON-RPC.
#[derive(Clone, Debug)]
pub(super) struct Chain {
    client: Client,
    url: Url,
    /// How many blocks must stand on the one that is believed.
    confirmations: u64,
}

struct Block {
    number: u64,
    time_s: u64,
}

impl Chain {
    pub fn new(url: Url, confirmations: u32) -> Result<Self, reqwest::Error> {
        Ok(Self { client: http::client(&url)?, url, confirmations: confirmations.into() })
    }

    /// What became of a payment that was seen at `seen_s`, in seconds since 1970.
    ///
    /// # Errors
    /// Where the chain does not answer, or not with what it should: in words.
    pub async fn look(&self, payment: &Verified, seen_s: u64) -> Result<Found, String> {
        let latest = self.believed().await?;
        if !self.was_used(payment, &latest).await? {
            let over = payment.valid_before_s.saturating_add(PAST_VALIDITY_S);
            let can_come = latest.time_s < over;
            return Ok(if can_come { Found::Open } else { Found::CanNotCome("expired_unused") });
        }
        self.use_of(payment, latest, seen_s).await
    }

    /// The last block on which so many others stand that it is believed: a younger one may still be
    /// exchanged for another, and what it says with it.
    async fn believed(&self) -> Result<Block, String> {
        let latest = self.block("latest").await?;
        match self.confirmations {
            0 => Ok(latest),
            below => self.block(&hex(latest.number.saturating_sub(below))).await,
        }
    }

    async fn was_used(&self, payment: &Verified, at: &Block) -> Result<bool, String> {
        let data = format!(
            "{AUTHORIZATION_STATE}{}{}",
            digits(&word_of_address(&payment.payer)),
            digits(&payment.nonce)
        );
        let call = json!({"to": payment.terms.asset, "data": data});
        let answer = self.ask("eth_call", &json!([call, hex(at.number)])).await?;
        let word = answer.as_str().filter(|text| text.len() == 66 && text.starts_with("0x"));
        let word = word.ok_or("authorizationState answered no word")?;
        Ok(digits(word).bytes().any(|digit| digit != b'0'))
    }

    /// Looks for the transaction that used the number, from the latest block backwards.
    async fn use_of(
        &self,
        payment: &Verified,
        latest: Block,
        seen_s: u64,
    ) -> Result<Found, String> {
        let mut to = latest.number;
        for _ in 0..SEARCHES_MAX {
            let from = to.saturating_sub(BLOCKS_AT_ONCE - 1);
            if let Some((event, transaction)) = self.event(payment, from, to).await? {
                if event == AUTHORIZATION_CANCELED {
                    return Ok(Found::CanNotCome("authorization_cancelled"));
                }
                return self.moved(payment, transaction).await;
            }
            if from == 0 {
                break;
            }
            let begun = self.block(&hex(from)).await?;
            if begun.time_s.saturating_add(CLOCKS_DIFFER_S) < seen_s {
                break;
            }
            to = from - 1;
        }
        Ok(Found::Open)
    }

    async fn event(
        &self,
        payment: &Verified,
        from: u64,
        to: u64,
    ) -> Result<Option<(String, String)>, String> {
        let filter = json!({
            "address": payment.terms.asset,
            "fromBlock": hex(from),
            "toBlock": hex(to),
            "topics": [
                [AUTHORIZATION_USED, AUTHORIZATION_CANCELED],
                word_of_address(&payment.payer),
                payment.nonce,
            ],
        });
        let logs = self.ask("eth_getLogs", &json!([filter])).await?;
        let logs = logs.as_array().ok_or("eth_getLogs answered no list")?;
        let found = logs.iter().find_map(|log| {
            let event = log["topics"][0].as_str()?.to_ascii_lowercase();
            Some((event, log["transactionHash"].as_str()?.to_owned()))
        });
        Ok(found)
    }

    /// Whether the transaction that used the number moved what was to be paid, and by that use: others
    /// can stand beside it, for other payments. A token says that a number was used right before it says
    /// what was moved by it.
    async fn moved(&self, payment: &Verified, transaction: String) -> Result<Found, String> {
        let receipt = self.ask("eth_getTransactionReceipt", &json!([transaction])).await?;
        let logs = receipt["logs"].as_array().ok_or("a transaction has no receipt")?;
        let wanted = Wanted::of(payment)?;
        Ok(match wanted.judge(logs) {
            Use::Paid => Found::Came(transaction),
            Use::Elsewhere => Found::CanNotCome("authorization_used_elsewhere"),
            Use::Unclear => Found::Open,
        })
    }

    async fn block(&self, which: &str) -> Result<Block, String> {
        let block = self.ask("eth_getBlockByNumber", &json!([which, false])).await?;
        let number = number(&block["number"]);
        let time_s = number_of(&block, "timestamp");
        match (number, time_s) {
            (Some(number), Some(time_s)) => Ok(Block { number, time_s }),
            _ => Err(format!("there is no block {which}")),
        }
    }

    async fn ask(&self, method: &str, params: &Value) -> Result<Value, String> {
        let body = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
        let request = self.client.post(self.url.clone()).json(&body);
        let answer = http::ask(request, ANSWER_TIMEOUT).await;
        let answer = answer.map_err(|none| format!("{method}: {none}"))?;
        let json = answer.json.ok_or_else(|| format!("{method}: status {}", answer.status))?;
        match json.get("result") {
            Some(result) => Ok(result.clone()),
            None => {
                Err(format!("{method}: {}", super::x402::plain_code(&json["error"].to_string())))
            }
        }
    }
}

/// What a transaction says of the number of a payment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Use {
    Paid,
    Elsewhere,
    Unclear,
}

/// What the logs of a transaction must say of a payment.
struct Wanted {
    asset: String,
    payer: String,
    pay_to: String,
    nonce: String,
    amount: String,
}

impl Wanted {
    fn of(payment: &Verified) -> Result<Self, String> {
        let amount: u128 =
            payment.terms.amount.parse().map_err(|_| "the amount is no number".to_owned())?;
        Ok(Self {
            asset: payment.terms.asset.clone(),
            payer: word_of_address(&payment.payer),
            pay_to: word_of_address(&payment.terms.pay_to),
            nonce: payment.nonce.clone(),
            amount: format!("0x{amount:064x}"),
        })
    }

    fn judge(&self, logs: &[Value]) -> Use {
        let of_token = logs.iter().filter(|log| same(&log["address"], &self.asset));
        let of_token: Vec<&Value> = of_token.collect();
        let is_use = |log: &&Value| Self::says(log, [AUTHORIZATION_USED, &self.payer, &self.nonce]);
        let used = of_token.iter().position(is_use);
        let next = used.and_then(|index| of_token.get(index + 1)).copied();
        if next.is_some_and(|log| self.pays(log)) {
            return Use::Paid;
        }
        let moves_of_payer =
            |log: &Value| same(&log["topics"][0], TRANSFER) && same(&log["topics"][1], &self.payer);
        let by_payer = next.is_some_and(moves_of_payer);
        if by_payer || !of_token.iter().any(|log| self.pays(log)) {
            return Use::Elsewhere;
        }
        Use::Unclear
    }

    fn pays(&self, log: &Value) -> bool {
        Self::says(log, [TRANSFER, &self.payer, &self.pay_to]) && same(&log["data"], &self.amount)
    }

    fn says(log: &Value, topics: [&str; 3]) -> bool {
        topics.iter().enumerate().all(|(index, topic)| same(&log["topics"][index], topic))
    }
}

fn same(value: &Value, text: &str) -> bool {
    value.as_str().is_some_and(|value| value.eq_ignore_ascii_case(text))
}

fn number_of(block: &Value, name: &str) -> Option<u64> {
    number(&block[name])
}

fn number(value: &Value) -> Option<u64> {
    u64::from_str_radix(digits(value.as_str()?), 16).ok()
}

fn hex(number: u64) -> String {
    format!("{number:#x}")
}

fn digits(text: &str) -> &str {
    text.strip_prefix("0x").unwrap_or(text)
}

/// An address in 32 bytes, as calls and topics hold it.
fn word_of_address(address: &str) -> String {
    format!("0x{:0>64}", digits(address).to_ascii_lowercase())
}

#[cfg(test)]
mod tests;
