//! A ledger that sells runs of its agents, and what is true of each sale.

use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use reqwest::StatusCode;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::stage::{Facilitator, Payer, Stage};
use crate::support::{PATIENCE, Server};

/// What a run of the agent costs: 0.025 of a token of six decimals.
pub const PRICE: u64 = 25_000;
/// What a payer of a test has.
pub const PURSE: u64 = 1_000_000;
/// How long the ledger waits for the facilitator's answer to a settlement, in seconds.
const SETTLE_TIMEOUT_S: u64 = 2;
/// Between two looks at something that is waited for.
const LOOK: Duration = Duration::from_millis(20);

/// A server with paid runs of the agent `demo`, and the facilitator that it asks.
pub struct Shop {
    pub stage: Arc<Stage>,
    pub facilitator: Facilitator,
    pub server: Server,
    configuration: TempDir,
}

impl Shop {
    /// On the chain that tests share.
    pub async fn open() -> Self {
        Self::open_on(Stage::shared().await).await
    }

    /// On this chain.
    pub async fn open_on(stage: Arc<Stage>) -> Self {
        let rpc = chain_of(&stage);
        Self::open_with(stage, &rpc).await
    }

    /// With a ledger that is not told where the chain can be asked.
    pub async fn open_without_chain(stage: Arc<Stage>) -> Self {
        Self::open_with(stage, "").await
    }

    async fn open_with(stage: Arc<Stage>, rpc: &str) -> Self {
        let facilitator = Facilitator::start(&stage).await;
        let text = configured(&stage, &facilitator, rpc, SETTLE_TIMEOUT_S);
        Self::over(stage, facilitator, &text, async |variable| Server::start(&[variable]).await)
            .await
    }

    /// Whose server is started by this, with a variable that says what is sold; it waits that long for
    /// the facilitator's answer to a settlement.
    pub async fn open_patient(
        settle_timeout_s: u64,
        start: impl AsyncFnOnce((&str, &str)) -> Server,
    ) -> Self {
        let stage = Stage::shared().await;
        let facilitator = Facilitator::start(&stage).await;
        let rpc = chain_of(&stage);
        let text = configured(&stage, &facilitator, &rpc, settle_timeout_s);
        Self::over(stage, facilitator, &text, start).await
    }

    async fn over(
        stage: Arc<Stage>,
        facilitator: Facilitator,
        text: &str,
        start: impl AsyncFnOnce((&str, &str)) -> Server,
    ) -> Self {
        let configuration = tempfile::tempdir().expect("a temporary directory");
        let path = configuration.path().join("paid.toml");
        std::fs::write(&path, text).expect("a configuration");
        let server = start((CONFIGURATION, &path.display().to_string())).await;
        Self { stage, facilitator, server, configuration }
    }

    /// Starts the ledger again, with these variables beside.
    pub async fn start_again_with(&mut self, variables: &[(&str, &str)]) {
        let path = self.configuration.path().join("paid.toml").display().to_string();
        let variables = [&[(CONFIGURATION, path.as_str())], variables].concat();
        self.server.start_again_with(&variables).await;
    }

    /// Stops the ledger and starts it again; it dies when it gets to this step.
    pub async fn start_again_to_die_at(&mut self, step: &str) {
        self.server.stop().await;
        self.start_again_with(&[("EXECUTION_LEDGER_FAIL_AT", step)]).await;
    }

    /// Somebody who can pay forty times.
    pub async fn payer(&self) -> Payer {
        self.stage.payer(PURSE).await
    }

    pub fn url(&self) -> String {
        format!("{}/api/paid/demo/task", self.server.url)
    }

    /// Pays by the official client for a run with this message; answers what the client was told, with
    /// the payment that it showed.
    pub async fn pay(&self, payer: &Payer, message: &str) -> Value {
        let asked = json!({"key": payer.key, "url": self.url(), "body": task(message)});
        self.stage.ask("pay", asked).await
    }

    /// Shows a payment again.
    pub async fn show(&self, payment: &str, message: &str) -> Value {
        self.show_at_once(payment, message, 1).await.remove(0)
    }

    /// Shows a payment so many times at the same instant.
    pub async fn show_at_once(&self, payment: &str, message: &str, times: u64) -> Vec<Value> {
        let body = task(message);
        let asked = json!({"payment": payment, "url": self.url(), "body": body, "times": times});
        let told = self.stage.ask("show", asked).await;
        told["answers"].as_array().expect("answers").clone()
    }

    /// What is offered to somebody who has not paid.
    pub async fn offer(&self) -> Value {
        let asked = json!({"payment": "", "url": self.url(), "body": task("hello")});
        let mut told = self.stage.ask("show", asked).await;
        let answer = told["answers"][0].take();
        assert_eq!(answer["status"], 402, "{answer}");
        answer["required"].clone()
    }

    /// The ledger's record of a payment, if it has one.
    pub async fn record(&self, payment: &str) -> Option<Value> {
        let nonce = nonce_of(payment);
        let (status, list) = self.server.get("/api/payments?limit=200").await;
        assert_eq!(status, StatusCode::OK, "{list}");
        let records = list["payments"].as_array().expect("payments");
        let ours = |record: &&Value| record["nonce"].as_str() == Some(nonce.as_str());
        records.iter().find(ours).cloned()
    }

    /// Waits until the record of a payment has this status.
    pub async fn await_status(&self, payment: &str, status: &str) -> Value {
        let began = Instant::now();
        loop {
            let record = self.record(payment).await;
            if let Some(record) = &record
                && record["status"] == status
            {
                return record.clone();
            }
            let log = self.server.log();
            assert!(began.elapsed() < PATIENCE, "not {status}: {record:?}\n{log}");
            tokio::time::sleep(LOOK).await;
        }
    }

    /// The facts of a payment, in order: their types without the category.
    pub async fn facts(&self, payment_id: &str) -> Vec<String> {
        let path = format!("/api/events?stream=payment-{payment_id}&limit=100");
        let (_, page) = self.server.get(&path).await;
        let events = page["events"].as_array().expect("events");
        let fact = |event: &Value| {
            let name = event["type"].as_str().expect("a type");
            name.strip_prefix("payment.").expect("a payment's fact").to_owned()
        };
        events.iter().map(fact).collect()
    }

    /// Executions that were paid for.
    pub async fn sold(&self) -> Vec<Value> {
        let path = "/api/executions?triggered_by=paid&limit=200";
        let (status, list) = self.server.get(path).await;
        assert_eq!(status, StatusCode::OK, "{list}");
        list["executions"].as_array().expect("executions").clone()
    }

    /// The payment was taken once and its run ran once, and the record says just that: answers the
    /// record of the execution.
    pub async fn assert_sold_once(&self, payer: &Payer, payment: &str) -> Value {
        let record = self.await_status(payment, "settled").await;
        self.assert_charged_once(payer, payment, &record).await;
        let id = record["execution_id"].as_str().expect("an execution");
        let execution = self.server.await_end("demo", id).await;
        assert_eq!(execution["status"], "completed", "{execution}");
        assert_eq!(execution["triggered_by"], "paid", "{execution}");
        let sold = self.sold().await;
        let ours = sold.iter().filter(|sold| sold["execution_id"] == id);
        assert_eq!(ours.count(), 1, "{sold:?}");
        let runs = execution["events"].as_array().expect("events");
        let runs = runs.iter().filter(|event| event["type"] == "execution.running");
        assert_eq!(runs.count(), 1, "{execution}");
        execution
    }

    /// The chain moved the price once, from the payer to the shop, by the transaction that the record
    /// names.
    pub async fn assert_charged_once(&self, payer: &Payer, payment: &str, record: &Value) {
        let transactions = self.stage.transactions_of(payment).await;
        assert_eq!(transactions.len(), 1, "{record}");
        assert_eq!(record["transaction"], transactions[0].as_str(), "{record}");
        let on_chain = self.stage.ask("transaction", json!({"hash": transactions[0]})).await;
        assert_eq!(on_chain["status"], "success", "{on_chain}");
        let moved = json!([{
            "from": payer.address, "to": self.stage.told("pay_to"), "value": PRICE.to_string(),
        }]);
        assert_eq!(on_chain["moved"], moved);
        let settled = self.facts_of(record).await;
        let settled = settled.iter().filter(|fact| *fact == "settled").count();
        assert_eq!(settled, 1, "{record}");
    }

    pub async fn facts_of(&self, record: &Value) -> Vec<String> {
        self.facts(record["payment_id"].as_str().expect("an id")).await
    }

    /// Nothing was taken, and nothing ran.
    pub async fn assert_not_sold(&self, payer: &Payer, payment: &str) {
        assert_eq!(self.stage.balance(&payer.address).await, PURSE);
        assert_eq!(self.stage.transactions_of(payment).await, Vec::<String>::new());
        assert_eq!(self.sold().await, Vec::<Value>::new());
    }
}

/// The setting that names the configuration of paid runs.
const CONFIGURATION: &str = "EXECUTION_LEDGER_PAID_CONFIG";

/// Where the chain can be asked.
fn chain_of(stage: &Stage) -> String {
    // The chain of the tests makes a block for each transaction and none beside.
    format!("rpc_url = \"{}\"\nconfirmations = 0", stage.told("rpc_url"))
}

fn configured(
    stage: &Stage,
    facilitator: &Facilitator,
    rpc: &str,
    settle_timeout_s: u64,
) -> String {
    let told = |field| stage.told(field);
    format!(
        r#"
facilitator = "{}"
settle_timeout_s = {settle_timeout_s}
requests_per_min = 10000

[assets.test]
network = "{}"
asset = "{}"
pay_to = "{}"
eip712_name = "{}"
eip712_version = "{}"
decimals = 6
{rpc}

[agents.demo]
price = {{ test = "0.025" }}
"#,
        facilitator.url,
        told("network"),
        told("asset"),
        told("pay_to"),
        told("name"),
        told("version"),
    )
}

fn task(message: &str) -> Value {
    json!({"message": message, "async_mode": true})
}

/// What a payment says.
pub fn decoded(payment: &str) -> Value {
    let bytes = BASE64_STANDARD.decode(payment).expect("base64");
    serde_json::from_slice(&bytes).expect("JSON")
}

/// A payment that says this.
pub fn encoded(payment: &Value) -> String {
    BASE64_STANDARD.encode(payment.to_string())
}

fn nonce_of(payment: &str) -> String {
    let nonce = &decoded(payment)["payload"]["authorization"]["nonce"];
    nonce.as_str().expect("a number").to_lowercase()
}

/// The payment that a client showed.
pub fn payment_in(answer: &Value) -> String {
    answer["payment"].as_str().unwrap_or_else(|| panic!("no payment: {answer}")).to_owned()
}
