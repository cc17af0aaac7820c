//! The file that says what is sold: read and checked once.

use std::collections::BTreeMap;

use execution_ledger_domain::AgentName;
use serde::Deserialize;

use super::selling::{Asset, ForSale, Price, Selling};

/// Tokens that may be paid in: most.
const ASSETS_MAX: usize = 32;
/// Agents that may be sold: most.
const AGENTS_MAX: usize = 1_000;
/// Decimal places of a token: most.
const DECIMALS_MAX: u8 = 36;
/// Digits of an amount: most, so that it fits 128 bits.
const AMOUNT_DIGITS_MAX: usize = 38;
/// Longest text of the file, in bytes: a name, a description, an address.
const TEXT_MAX_BYTES: usize = 1_000;
/// How long a signature of a payer is asked to be valid, in seconds, where the file says nothing.
const VALID_FOR_DEFAULT_S: u64 = 300;
/// The same: least. Verifying and settling must fit into it.
const VALID_FOR_MIN_S: u64 = 30;
/// The same: most. As long may a payment stay open of which nobody knows whether it was made.
const VALID_FOR_MAX_S: u64 = 3_600;
/// How many blocks must stand on the one that says what became of a payment, where the file says nothing.
const CONFIRMATIONS_DEFAULT: u32 = 2;
/// The same: most.
const CONFIRMATIONS_MAX: u32 = 1_000;
/// How long the facilitator may take to settle, in seconds, where the file says nothing.
const SETTLE_TIMEOUT_DEFAULT_S: u64 = 60;
/// The same: most.
const SETTLE_TIMEOUT_MAX_S: u64 = 600;
/// Requests of one address in a minute, where the file says nothing.
const REQUESTS_PER_MIN_DEFAULT: u32 = 60;

/// The file as it is written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PaidFile {
    /// The facilitator's address.
    facilitator: String,
    /// Where what it wants to see as `Authorization` is found.
    #[serde(default)]
    facilitator_authorization: Option<Secret>,
    #[serde(default)]
    settle_timeout_s: Option<u64>,
    #[serde(default)]
    requests_per_min: Option<u32>,
    assets: BTreeMap<String, AssetFile>,
    agents: BTreeMap<String, AgentFile>,
}

/// Where a secret is found.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "snake_case")]
pub enum Secret {
    /// In a file, without the line's end.
    File(std::path::PathBuf),
    /// In a variable of the server's environment.
    Variable(String),
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct AssetFile {
    network: String,
    asset: String,
    pay_to: String,
    eip712_name: String,
    eip712_version: String,
    decimals: u8,
    #[serde(default)]
    rpc_url: Option<String>,
    #[serde(default)]
    confirmations: Option<u32>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct AgentFile {
    price: BTreeMap<String, String>,
    #[serde(default)]
    description: Option<String>,
    #[serde(default)]
    models: Vec<String>,
    #[serde(default)]
    valid_for_s: Option<u64>,
}

/// Why the file can't be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {problem}")]
pub struct ConfigError {
    /// Which part of the file.
    pub field: String,
    /// What is wrong with it and what it may be.
    pub problem: String,
}

impl PaidFile {
    /// From its text (TOML).
    ///
    /// # Errors
    /// Where it does not have the form of such a file, and what is wrong.
    pub fn parse(text: &str) -> Result<Self, toml::de::Error> {
        toml::from_str(text)
    }

    /// What the file says, if it goes together. `read` finds a secret.
    ///
    /// # Errors
    /// [`ConfigError`] names what can't be as it is.
    pub fn checked(
        self,
        read: impl FnOnce(&Secret) -> Result<String, String>,
    ) -> Result<Selling, ConfigError> {
        if self.assets.is_empty() || self.assets.len() > ASSETS_MAX {
            return wrong("assets", format!("1 to {ASSETS_MAX} tokens that are paid in"));
        }
        if self.agents.is_empty() || self.agents.len() > AGENTS_MAX {
            return wrong("agents", format!("1 to {AGENTS_MAX} agents that are sold"));
        }
        let facilitator = address("facilitator", &self.facilitator)?;
        let authorization = self.facilitator_authorization.as_ref().map(read).transpose();
        let authorization = authorization
            .and_then(|secret| secret.map(|text| header(text.trim())).transpose())
            .or_else(|problem| wrong("facilitator_authorization", problem))?;
        let settle_timeout_s = self.settle_timeout_s.unwrap_or(SETTLE_TIMEOUT_DEFAULT_S);
        within("settle_timeout_s", settle_timeout_s, 1, SETTLE_TIMEOUT_MAX_S)?;
        let requests_per_min = self.requests_per_min.unwrap_or(REQUESTS_PER_MIN_DEFAULT);
        within("requests_per_min", requests_per_min.into(), 1, 1_000_000)?;
        let mut assets = BTreeMap::new();
        for (name, file) in &self.assets {
            assets.insert(name.clone(), (file.decimals, asset(name, file)?));
        }
        let mut agents = BTreeMap::new();
        for (name, file) in self.agents {
            let field = format!("agents.{name}");
            let named = AgentName::new(&name).or_else(|error| wrong(&field, error.to_string()))?;
            agents.insert(named, for_sale(&field, file, &assets)?);
        }
        let assets = assets.into_values().map(|(_, asset)| asset).collect();
        Ok(Selling {
            facilitator,
            authorization,
            settle_timeout_s,
            requests_per_min,
            assets,
            agents,
        })
    }
}

fn wrong<T>(field: &str, problem: impl Into<String>) -> Result<T, ConfigError> {
    Err(ConfigError { field: field.to_owned(), problem: problem.into() })
}

fn within(field: &str, value: u64, least: u64, most: u64) -> Result<(), ConfigError> {
    if (least..=most).contains(&value) {
        return Ok(());
    }
    wrong(field, format!("{value} is not between {least} and {most}"))
}

fn header(text: &str) -> Result<reqwest::header::HeaderValue, String> {
    let mut value = reqwest::header::HeaderValue::from_str(text)
        .map_err(|_| "it has characters that no header has".to_owned())?;
    value.set_sensitive(true);
    Ok(value)
}

fn address(field: &str, text: &str) -> Result<reqwest::Url, ConfigError> {
    let url = reqwest::Url::parse(text).or_else(|error| wrong(field, error.to_string()))?;
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
        return wrong(field, "an address that begins with http:// or https://");
    }
    if !url.username().is_empty() || url.password().is_some() || url.fragment().is_some() {
        return wrong(field, "an address without a name, a password or a fragment in it");
    }
    Ok(url)
}

fn asset(name: &str, file: &AssetFile) -> Result<Asset, ConfigError> {
    let field = |part: &str| format!("assets.{name}.{part}");
    let chain = file.network.strip_prefix("eip155:").unwrap_or_default();
    if chain.is_empty() || chain.len() > 32 || !chain.bytes().all(|b| b.is_ascii_digit()) {
        return wrong(&field("network"), "a chain as CAIP-2 names it, for example eip155:8453");
    }
    for (part, text) in [("asset", &file.asset), ("pay_to", &file.pay_to)] {
        if !super::x402::is_hex(text, 20) {
            return wrong(&field(part), "an address: 0x and 40 hexadecimal digits");
        }
    }
    for (part, text) in
        [("eip712_name", &file.eip712_name), ("eip712_version", &file.eip712_version)]
    {
        if text.is_empty() || text.len() > TEXT_MAX_BYTES || text.chars().any(char::is_control) {
            return wrong(&field(part), "as the token's contract says it, for payers to sign");
        }
    }
    if file.decimals > DECIMALS_MAX {
        return wrong(&field("decimals"), format!("at most {DECIMALS_MAX}"));
    }
    let rpc_url =
        file.rpc_url.as_deref().map(|text| address(&field("rpc_url"), text)).transpose()?;
    let confirmations = file.confirmations.unwrap_or(CONFIRMATIONS_DEFAULT);
    within(&field("confirmations"), confirmations.into(), 0, CONFIRMATIONS_MAX.into())?;
    Ok(Asset {
        network: file.network.clone(),
        asset: file.asset.to_ascii_lowercase(),
        pay_to: file.pay_to.to_ascii_lowercase(),
        eip712_name: file.eip712_name.clone(),
        eip712_version: file.eip712_version.clone(),
        rpc_url,
        confirmations,
    })
}

fn for_sale(
    field: &str,
    file: AgentFile,
    assets: &BTreeMap<String, (u8, Asset)>,
) -> Result<ForSale, ConfigError> {
    let mut prices = Vec::new();
    for (name, text) in &file.price {
        let field = format!("{field}.price.{name}");
        let Some((decimals, asset)) = assets.get(name) else {
            let known: Vec<_> = assets.keys().map(String::as_str).collect();
            return wrong(&field, format!("no such token; [assets] has: {}", known.join(", ")));
        };
        let amount = smallest_units(text, *decimals).or_else(|problem| wrong(&field, problem))?;
        prices.push(Price { asset: asset.clone(), amount });
    }
    if prices.is_empty() {
        return wrong(&format!("{field}.price"), "at least one, for example { usdc = \"0.01\" }");
    }
    let description = file.description.as_deref().unwrap_or_default();
    if description.len() > TEXT_MAX_BYTES {
        return wrong(&format!("{field}.description"), format!("at most {TEXT_MAX_BYTES} bytes"));
    }
    let valid_for_s = file.valid_for_s.unwrap_or(VALID_FOR_DEFAULT_S);
    within(&format!("{field}.valid_for_s"), valid_for_s, VALID_FOR_MIN_S, VALID_FOR_MAX_S)?;
    Ok(ForSale { prices, description: file.description, models: file.models, valid_for_s })
}

/// A decimal number of a token as a number of its smallest unit.
fn smallest_units(text: &str, decimals: u8) -> Result<String, String> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
    if whole.is_empty() || !digits(whole) || !digits(fraction) || text.ends_with('.') {
        return Err("a decimal number as text, for example \"0.01\"".to_owned());
    }
    let places = usize::from(decimals);
    if fraction.len() > places {
        return Err(format!("at most {decimals} decimal places, as the token has"));
    }
    let units = format!("{whole}{fraction:0<places$}");
    let units = units.trim_start_matches('0');
    if units.is_empty() {
        return Err("more than 0".to_owned());
    }
    if units.len() > AMOUNT_DIGITS_MAX {
        return Err(format!("at most {AMOUNT_DIGITS_MAX} digits in the token's smallest unit"));
    }
    Ok(units.to_owned())
}

#[cfg(test)]
mod tests;
