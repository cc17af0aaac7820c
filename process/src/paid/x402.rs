//! x402 version 2 as it goes over the wire: what is offered, what payers send, what they are answered.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use execution_ledger_domain::PaymentId;
use execution_ledger_domain::content::Digest;
use serde::Serialize;
use serde_json::{Value, json};

use super::selling::{ForSale, Price};

/// The version that is spoken.
pub const VERSION: u32 = 2;
/// How it is paid: an authorization of exactly that much.
pub(super) const SCHEME: &str = "exact";
/// The extension by which a payer gives a payment an id of his own.
const IDENTIFIER: &str = "payment-identifier";
/// Longest payment, in bytes of its header.
const PAYMENT_MAX_BYTES: usize = 16 * 1024;
/// A payer's own id of a payment: shortest and longest, in characters.
const IDENTIFIER_CHARS: std::ops::RangeInclusive<usize> = 16..=128;
/// Longest code that somebody else gives, in characters.
const CODE_MAX_CHARS: usize = 100;

/// What is told to whoever has not paid.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PaymentRequired {
    x402_version: u32,
    error: String,
    resource: Value,
    accepts: Vec<Value>,
    extensions: Value,
}

impl PaymentRequired {
    /// The offers of an agent that is sold, at this address.
    pub(super) fn of(for_sale: &ForSale, resource: &str, error: &str) -> Self {
        let description = for_sale.description.as_deref().unwrap_or("One task for this agent");
        Self {
            x402_version: VERSION,
            error: error.to_owned(),
            resource: json!({
                "url": resource,
                "description": description,
                "mimeType": "application/json",
            }),
            accepts: for_sale.prices.iter().map(|price| requirement(for_sale, price)).collect(),
            extensions: json!({IDENTIFIER: {
                "info": {"required": false},
                "schema": {
                    "$schema": "https://json-schema.org/draft/2020-12/schema",
                    "type": "object",
                    "properties": {
                        "required": {"type": "boolean"},
                        "id": {
                            "type": "string",
                            "minLength": IDENTIFIER_CHARS.start(),
                            "maxLength": IDENTIFIER_CHARS.end(),
                            "pattern": "^[a-zA-Z0-9_-]+$",
                        },
                    },
                    "required": ["required"],
                },
            }}),
        }
    }

    /// As a header holds it.
    pub fn encoded(&self) -> String {
        encode(self)
    }
}

/// One offer, as the payer has to repeat it.
pub(super) fn requirement(for_sale: &ForSale, price: &Price) -> Value {
    let Price { asset, amount } = price;
    json!({
        "scheme": SCHEME,
        "network": asset.network,
        "asset": asset.asset,
        "amount": amount,
        "payTo": asset.pay_to,
        "maxTimeoutSeconds": for_sale.valid_for_s,
        "extra": {"name": asset.eip712_name, "version": asset.eip712_version},
    })
}

/// What a payer is answered about his money.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Receipt {
    /// Whether the money has come.
    pub success: bool,
    /// Why it has not, or why nobody knows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error_reason: Option<String>,
    /// Who pays.
    pub payer: String,
    /// The transaction's hash; empty where there is none, or nobody knows it.
    pub transaction: String,
    /// The chain.
    pub network: String,
    /// How much, in the token's smallest unit.
    pub amount: String,
}

impl Receipt {
    /// As a header holds it.
    pub fn encoded(&self) -> String {
        encode(self)
    }
}

fn encode(told: &impl Serialize) -> String {
    let json = serde_json::to_vec(told)
        .unwrap_or_else(|error| unreachable!("what is told is plain data: {error}"));
    STANDARD.encode(json)
}

/// A payment as a payer sent it: decoded, of the right form, nothing of it believed yet.
#[derive(Clone, PartialEq)]
pub struct Presented {
    /// All of it, for the facilitator alone: it holds the signature.
    pub(super) whole: Value,
    /// SHA-256 over the decoded bytes.
    pub(super) sha256: Digest,
    /// The offer that the payer says he accepted.
    pub(super) accepted: Value,
    /// Who pays, in lower case.
    pub(super) payer: String,
    /// Who is paid, in lower case.
    pub(super) pay_to: String,
    /// How much.
    pub(super) amount: String,
    /// The number, used once, in lower case.
    pub(super) nonce: String,
    /// Not valid before this, in seconds since 1970.
    pub(super) valid_after_s: u64,
    /// Not valid from this on, in seconds since 1970.
    pub(super) valid_before_s: u64,
    /// The payer's own id of the payment.
    pub(super) identifier: Option<String>,
    id: PaymentId,
}

impl std::fmt::Debug for Presented {
    /// Without the signature: whoever has it could show it to somebody else.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Presented")
            .field("id", &self.id)
            .field("payer", &self.payer)
            .finish_non_exhaustive()
    }
}

impl Presented {
    /// From the header.
    ///
    /// # Errors
    /// What is wrong with it, in words that quote nothing of it.
    pub fn decode(header: &[u8]) -> Result<Self, &'static str> {
        if header.len() > PAYMENT_MAX_BYTES {
            return Err("it is longer than 16 KiB");
        }
        let bytes = STANDARD.decode(header).map_err(|_| "it is no base64")?;
        let whole: Value = serde_json::from_slice(&bytes).map_err(|_| "it holds no JSON")?;
        if whole["x402Version"] != VERSION {
            return Err("its x402Version is not 2");
        }
        let accepted = whole["accepted"].clone();
        let part = |name: &str| accepted[name].as_str().map(str::to_owned);
        let (Some(network), Some(asset)) = (part("network"), part("asset")) else {
            return Err("accepted names no network or no asset");
        };
        let payload = &whole["payload"];
        if !payload["signature"].is_string() {
            return Err("payload.signature is missing");
        }
        let signed = &payload["authorization"];
        let address = |name: &str| signed[name].as_str().filter(|text| is_hex(text, 20));
        let (Some(payer), Some(pay_to)) = (address("from"), address("to")) else {
            return Err("payload.authorization.from and .to must be addresses");
        };
        let nonce = signed["nonce"].as_str().filter(|text| is_hex(text, 32));
        let nonce =
            nonce.ok_or("payload.authorization.nonce must be 32 bytes")?.to_ascii_lowercase();
        let number = |name: &str| signed[name].as_str().filter(|text| is_number(text));
        let amount =
            number("value").ok_or("payload.authorization.value must be a number as text")?;
        let seconds = |name: &str| number(name).and_then(|text| text.parse().ok());
        let (Some(valid_after_s), Some(valid_before_s)) =
            (seconds("validAfter"), seconds("validBefore"))
        else {
            return Err(
                "payload.authorization.validAfter and .validBefore must be seconds as text",
            );
        };
        let payer = payer.to_ascii_lowercase();
        Ok(Self {
            id: PaymentId::derived(&network, &asset, &payer, &nonce),
            sha256: Digest::of(&bytes),
            pay_to: pay_to.to_ascii_lowercase(),
            amount: amount.to_owned(),
            identifier: identifier(&whole)?,
            valid_after_s,
            valid_before_s,
            accepted,
            payer,
            nonce,
            whole,
        })
    }

    /// The payment's id: of its chain, its token, its payer and its number.
    pub fn id(&self) -> PaymentId {
        self.id
    }
}

fn identifier(whole: &Value) -> Result<Option<String>, &'static str> {
    let id = &whole["extensions"][IDENTIFIER]["info"]["id"];
    if id.is_null() {
        return Ok(None);
    }
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-');
    let fits = |text: &&str| IDENTIFIER_CHARS.contains(&text.len()) && text.bytes().all(plain);
    let id = id.as_str().filter(fits);
    let problem = "the id of payment-identifier is 16 to 128 letters, digits, '_' or '-'";
    id.map(|text| Some(text.to_owned())).ok_or(problem)
}

/// Whether a text is so many bytes in hexadecimal digits after `0x`.
pub(super) fn is_hex(text: &str, bytes: usize) -> bool {
    let digits = text.strip_prefix("0x").unwrap_or_default();
    digits.len() == bytes * 2 && digits.bytes().all(|b| b.is_ascii_hexdigit())
}

/// Whether a text is a decimal number without needless zeros.
fn is_number(text: &str) -> bool {
    let fits = (1..=78).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
    fits && (text == "0" || !text.starts_with('0'))
}

/// A code that somebody else gave, as it can be stored and shown: short, and of plain characters.
pub(super) fn plain_code(text: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || "_-.:".contains(c) { c } else { '_' };
    let code: String = text.chars().take(CODE_MAX_CHARS).map(plain).collect();
    if code.is_empty() { "no_reason_given".to_owned() } else { code }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A payment in the form of a client, changed by hand.
    pub(crate) fn payment(change: impl FnOnce(&mut Value)) -> String {
        let mut whole = json!({
            "x402Version": 2,
            "accepted": {"network": "eip155:1", "asset": format!("0x{}", "aa".repeat(20))},
            "payload": {"signature": "0x01", "authorization": {
                "from": format!("0x{}", "Cc".repeat(20)), "to": format!("0x{}", "bb".repeat(20)),
                "value": "10000", "validAfter": "1", "validBefore": "2000000000",
                "nonce": format!("0x{}", "Dd".repeat(32)),
            }},
        });
        change(&mut whole);
        STANDARD.encode(whole.to_string())
    }

    #[test]
    fn a_payment_is_known_by_who_pays_with_which_number_and_shows_no_signature() {
        let one = Presented::decode(payment(|_| {}).as_bytes()).expect("a payment");
        assert_eq!(one.payer, format!("0x{}", "cc".repeat(20)));
        let other = |change: fn(&mut Value)| {
            Presented::decode(payment(change).as_bytes()).expect("a payment")
        };
        let resigned = other(|whole| whole["payload"]["signature"] = "0x02".into());
        assert_eq!(resigned.id(), one.id());
        assert_ne!(resigned.sha256, one.sha256);
        let renumbered = other(|whole| {
            whole["payload"]["authorization"]["nonce"] = format!("0x{}", "ee".repeat(32)).into();
        });
        assert_ne!(renumbered.id(), one.id());
        assert!(!format!("{one:?}").contains("0x01"));
    }

    #[test]
    fn what_is_no_payment_is_refused_with_a_reason() {
        for nonsense in ["", "!", "bm90IGpzb24=", "W10=", "bnVsbA=="] {
            assert!(Presented::decode(nonsense.as_bytes()).is_err(), "{nonsense}");
        }
        let deep = STANDARD.encode("[".repeat(8_000));
        assert!(Presented::decode(deep.as_bytes()).is_err());
        assert!(Presented::decode(&vec![b'A'; PAYMENT_MAX_BYTES + 4]).is_err());
        let refused = |change: &dyn Fn(&mut Value)| {
            Presented::decode(payment(|whole| change(whole)).as_bytes()).is_err()
        };
        assert!(refused(&|whole| whole["x402Version"] = 1.into()));
        assert!(refused(&|whole| whole["accepted"] = 7.into()));
        assert!(refused(&|whole| whole["payload"]["signature"] = Value::Null));
        for (name, value) in [
            ("from", "0x12"),
            ("to", ""),
            ("nonce", "0xdd"),
            ("value", "-1"),
            ("value", "007"),
            ("value", "1e3"),
            ("validAfter", "soon"),
            ("validBefore", "99999999999999999999999"),
        ] {
            assert!(refused(&|whole| whole["payload"]["authorization"][name] = value.into()));
        }
        let named = |id: &str| {
            refused(&|whole| whole["extensions"][IDENTIFIER] = json!({"info": {"id": id}}))
        };
        assert!(named("short") && named(&"x".repeat(129)) && named("has a space in it"));
        assert!(!named("pay_0123456789abcdef"));
    }

    #[test]
    fn codes_of_others_are_short_and_plain() {
        assert_eq!(plain_code("insufficient_funds"), "insufficient_funds");
        assert_eq!(plain_code("a b\u{1b}[31m\n"), "a_b__31m_");
        assert_eq!(plain_code(&"x".repeat(1_000)).len(), CODE_MAX_CHARS);
        assert_eq!(plain_code(""), "no_reason_given");
    }
}
