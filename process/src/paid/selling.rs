//! What is sold, for how much, and who brings the money.

use std::collections::BTreeMap;

use execution_ledger_domain::AgentName;
use execution_ledger_domain::payment::Terms;

/// A token that is paid in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asset {
    /// The chain, as CAIP-2 names it.
    pub network: String,
    /// The token's contract, in lower case.
    pub asset: String,
    /// The address that is paid, in lower case.
    pub pay_to: String,
    /// The token's name, as it is signed.
    pub eip712_name: String,
    /// The token's version, as it is signed.
    pub eip712_version: String,
    /// Where the chain is asked what became of a payment.
    pub rpc_url: Option<reqwest::Url>,
    /// How many blocks must stand on the one that says it.
    pub confirmations: u32,
}

/// A price in one token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Price {
    /// The token.
    pub asset: Asset,
    /// How much, in its smallest unit.
    pub amount: String,
}

/// An agent that is sold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForSale {
    /// What it costs: one of these.
    pub prices: Vec<Price>,
    /// What it is, for whoever looks at the price.
    pub description: Option<String>,
    /// The models that whoever pays may choose from.
    pub models: Vec<String>,
    /// How long a signature is asked to be valid, in seconds.
    pub valid_for_s: u64,
}

/// What is sold, for how much, and who brings the money.
#[derive(Clone, Debug)]
pub struct Selling {
    /// The facilitator's address.
    pub facilitator: reqwest::Url,
    /// What it wants to see as `Authorization`.
    pub authorization: Option<reqwest::header::HeaderValue>,
    /// How long it may take to settle, in seconds.
    pub settle_timeout_s: u64,
    /// Requests of one address in a minute.
    pub requests_per_min: u32,
    /// The tokens.
    pub assets: Vec<Asset>,
    /// The agents.
    pub agents: BTreeMap<AgentName, ForSale>,
}

impl Asset {
    /// What is to be paid in this token, in the words of an event.
    pub(super) fn terms(&self, amount: &str) -> Terms {
        Terms {
            scheme: super::x402::SCHEME.to_owned(),
            network: self.network.clone(),
            asset: self.asset.clone(),
            amount: amount.to_owned(),
            pay_to: self.pay_to.clone(),
        }
    }
}
