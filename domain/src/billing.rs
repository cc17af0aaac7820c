//! What billing is told: a row for each fact that is about money, and the same as a CloudEvent.
//!
//! Rows are facts: none is ever changed or taken back. What was wrong is put right by another row.
//! Sums of rows are what the summaries of costs say.

use std::borrow::Cow;

use serde::{Serialize, Serializer};

use crate::execution::{CostBasis, Trigger};
use crate::ids::{AgentName, EventId, ExecutionId, PaymentId, UserName};
use crate::money::NanoUsd;
use crate::payment::Terms;
use crate::time::Timestamp;

/// The unit of amounts in dollars.
pub const USD: &str = "USD";
/// The `source` of CloudEvents of rows. The same for each ledger: an event's id is its own anywhere and
/// stays the same when a ledger is restored or imported, so that nothing is counted twice after it.
pub const CLOUD_EVENT_SOURCE: &str = "/api/costs/feed";
/// The media type of one CloudEvent.
pub const CLOUD_EVENT: &str = "application/cloudevents+json";
/// The media type of several CloudEvents.
pub const CLOUD_EVENTS: &str = "application/cloudevents-batch+json";

/// What a row tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum BillingKind {
    /// A run ended: what it cost, if anybody knows.
    RunCost,
    /// What an ended execution cost is known better: the difference.
    CostCorrected,
    /// Somebody paid for an execution.
    PaymentSettled,
    /// What was paid for did not succeed: the payer is owed the money.
    RefundOwed,
}

impl BillingKind {
    /// All kinds.
    pub const ALL: [Self; 4] =
        [Self::RunCost, Self::CostCorrected, Self::PaymentSettled, Self::RefundOwed];

    /// Its name in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::RunCost => "run_cost",
            Self::CostCorrected => "cost_corrected",
            Self::PaymentSettled => "payment_settled",
            Self::RefundOwed => "refund_owed",
        }
    }

    /// The `type` of its CloudEvents.
    pub fn cloud_event_type(self) -> &'static str {
        match self {
            Self::RunCost => "execution-ledger.run_cost.v1",
            Self::CostCorrected => "execution-ledger.cost_corrected.v1",
            Self::PaymentSettled => "execution-ledger.payment_settled.v1",
            Self::RefundOwed => "execution-ledger.refund_owed.v1",
        }
    }
}

/// How much, exactly.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Amount {
    /// Dollars; below zero only in corrections. In JSON a decimal number with at most nine places.
    Usd(NanoUsd),
    /// A token's smallest units, which can be above 2^53: in JSON a text of decimal digits.
    Token(String),
}

impl Serialize for Amount {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Usd(amount) => serializer.serialize_f64(amount.to_usd()),
            Self::Token(units) => serializer.serialize_str(units),
        }
    }
}

/// A fact that is about money.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct BillingRow {
    /// Where it stands in the log, as callers are given positions.
    pub position: String,
    /// The id of the event that told it: the same whenever and however the row is read.
    pub event_id: EventId,
    /// What it tells.
    pub kind: BillingKind,
    /// The execution that it is about.
    pub execution_id: ExecutionId,
    /// The payment that it is about, where it is about one.
    pub payment_id: Option<PaymentId>,
    /// The execution's agent.
    pub agent: AgentName,
    /// The user that the execution belongs to.
    pub user: UserName,
    /// The model that answered, or else was asked for.
    pub model: Option<String>,
    /// How the execution came to be.
    pub triggered_by: Trigger,
    /// How much; absent where nobody knows. A correction's is what the cost is now less what it was
    /// known to be before.
    pub amount: Option<Amount>,
    /// What the amount is counted in: [`USD`], or a token as CAIP-19 names it ([`token_unit`]).
    pub unit: Cow<'static, str>,
    /// Where a cost comes from; absent for payments.
    pub basis: Option<CostBasis>,
    /// 1: a run whose cost nobody knows. -1: the correction that makes such a cost known. Else 0. So the
    /// sum of it is the number of runs whose cost nobody knows.
    pub unknown: i8,
    /// The address that paid.
    pub payer: Option<String>,
    /// The hash of the payment's transaction, where one is known.
    pub transaction: Option<String>,
    /// When it was recorded.
    pub at: Timestamp,
}

impl BillingRow {
    /// The row as a CloudEvent.
    pub fn cloud_event(&self) -> CloudEvent<'_, Self> {
        CloudEvent {
            specversion: "1.0",
            id: self.event_id,
            source: CLOUD_EVENT_SOURCE,
            type_name: self.kind.cloud_event_type(),
            subject: self.execution_id,
            time: self.at,
            datacontenttype: "application/json",
            data: self,
        }
    }
}

/// An event in the structured form of CloudEvents 1.0 ([`CLOUD_EVENT`]).
#[derive(Clone, Debug, Serialize)]
pub struct CloudEvent<'a, T> {
    /// The version of CloudEvents: 1.0.
    pub specversion: &'static str,
    /// The id of the ledger's event. The same again is the same event.
    pub id: EventId,
    /// Where it comes from.
    pub source: &'static str,
    /// What kind of fact it is, with the version of its data.
    #[serde(rename = "type")]
    pub type_name: &'static str,
    /// The execution that it is about.
    pub subject: ExecutionId,
    /// When it was recorded.
    pub time: Timestamp,
    /// The form of the data.
    pub datacontenttype: &'static str,
    /// What is told.
    pub data: &'a T,
}

/// What a token's amounts are counted in, as CAIP-19 names it: `eip155:8453/erc20:0x…`. The addresses of
/// EVM chains are the same in either case and are written in lower case.
pub fn token_unit(terms: &Terms) -> String {
    let network = &terms.network;
    let chain = network.split(':').next().unwrap_or_default();
    if chain.eq_ignore_ascii_case("eip155") {
        let asset = terms.asset.to_ascii_lowercase();
        return format!("{}/erc20:{asset}", network.to_ascii_lowercase());
    }
    format!("{network}/token:{}", terms.asset)
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use uuid::Uuid;

    use super::*;

    fn row() -> BillingRow {
        BillingRow {
            position: "log-7".to_owned(),
            event_id: EventId(Uuid::from_u128(1)),
            kind: BillingKind::CostCorrected,
            execution_id: ExecutionId(Uuid::from_u128(2)),
            payment_id: None,
            agent: AgentName::new("ada").expect("a name"),
            user: UserName::new("max").expect("a name"),
            model: Some("opus".to_owned()),
            triggered_by: Trigger::SelfTask,
            amount: Some(Amount::Usd(NanoUsd::from_nanos(-14_300_001).expect("an amount"))),
            unit: USD.into(),
            basis: Some(CostBasis::PricedLocally),
            unknown: 0,
            payer: None,
            transaction: None,
            at: Timestamp::EPOCH,
        }
    }

    fn terms(network: &str, asset: &str) -> Terms {
        Terms {
            scheme: "exact".to_owned(),
            network: network.to_owned(),
            asset: asset.to_owned(),
            amount: "1".to_owned(),
            pay_to: "0x1".to_owned(),
        }
    }

    #[test]
    fn a_cloud_event_has_the_events_id_and_the_row_as_its_data() {
        let row = row();
        let event = serde_json::to_value(row.cloud_event()).expect("JSON");
        let expected = json!({
            "specversion": "1.0",
            "id": "00000000-0000-0000-0000-000000000001",
            "source": "/api/costs/feed",
            "type": "execution-ledger.cost_corrected.v1",
            "subject": "00000000-0000-0000-0000-000000000002",
            "time": "1970-01-01T00:00:00.000000Z",
            "datacontenttype": "application/json",
            "data": serde_json::to_value(&row).expect("JSON"),
        });
        assert_eq!(event, expected);
        assert_eq!(event["data"]["amount"], json!(-0.014_300_001));
    }

    #[test]
    fn tokens_beyond_what_a_number_holds_stay_exact_and_unknown_is_null() {
        let mut row = row();
        row.amount = Some(Amount::Token("115792089237316195423570985008687907853".to_owned()));
        let json = serde_json::to_value(&row).expect("JSON");
        assert_eq!(json["amount"], "115792089237316195423570985008687907853");
        row.amount = None;
        assert!(serde_json::to_value(&row).expect("JSON")["amount"].is_null());
    }

    #[test]
    fn a_token_has_one_name_whatever_the_case_of_its_address() {
        let unit = token_unit(&terms("eip155:8453", "0xAbC"));
        assert_eq!(unit, "eip155:8453/erc20:0xabc");
        assert_eq!(unit, token_unit(&terms("EIP155:8453", "0xaBc")));
        let other = terms("solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp", "EPjF");
        assert_eq!(token_unit(&other), "solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp/token:EPjF");
    }
}
