//! A chain with a token on it, facilitators, and payers with the official client: one process of node,
//! which `make test-tools` can install.

use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::Arc;

use serde_json::{Value, json};
use tokio::sync::OnceCell;

use crate::support::{install_crypto, repository};

/// What was installed says that it is.
const INSTALLED: &str = "target/test-tools/x402/node_modules/.installed";
const SCRIPT: &str = "tests/tools/x402/stage.mjs";
/// The chain of all tests that don't turn its clock.
static SHARED: OnceCell<Arc<Stage>> = OnceCell::const_new();

/// A running stage. It ends when its standard input does: with the test, or with the program of tests.
pub struct Stage {
    child: Child,
    input: Option<ChildStdin>,
    url: String,
    /// Where the chain is, and what is on it.
    pub chain: Value,
}

/// Somebody with money.
#[derive(Clone)]
pub struct Payer {
    pub address: String,
    pub key: String,
}

impl Stage {
    /// The chain that tests share; each has payers and a facilitator of its own.
    pub async fn shared() -> Arc<Self> {
        SHARED.get_or_init(|| async { Arc::new(Self::start().await) }).await.clone()
    }

    /// A chain of the test's own.
    pub async fn start() -> Self {
        install_crypto();
        let installed = repository(INSTALLED);
        assert!(installed.exists(), "{} is missing: run `make test-tools`", installed.display());
        let mut child = Command::new("node")
            .arg(repository(SCRIPT))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("node starts");
        let input = child.stdin.take();
        let output = child.stdout.take().expect("its output");
        let mut line = String::new();
        BufReader::new(output).read_line(&mut line).expect("its address");
        let url = line.trim().to_owned();
        let mut stage = Self { child, input, url, chain: Value::Null };
        stage.chain = stage.ask("chain", json!({})).await;
        stage
    }

    /// Has it do something.
    pub async fn ask(&self, what: &str, with: Value) -> Value {
        post(&format!("{}/{what}", self.url), &with).await
    }

    /// A new account with this much of the token.
    pub async fn payer(&self, amount: u64) -> Payer {
        let made = self.ask("payer", json!({"amount": amount})).await;
        let text = |field: &str| made[field].as_str().expect("text").to_owned();
        Payer { address: text("address"), key: text("key") }
    }

    /// What an address has of the token.
    pub async fn balance(&self, address: &str) -> u64 {
        let told = self.ask("balance", json!({"address": address})).await;
        told["amount"].as_str().and_then(|amount| amount.parse().ok()).expect("an amount")
    }

    /// The transactions that used the authorization of a payment.
    pub async fn transactions_of(&self, payment: &str) -> Vec<String> {
        let used = self.ask("used", json!({"payment": payment})).await;
        let transactions = used["transactions"].as_array().expect("transactions");
        let text = |hash: &Value| hash.as_str().expect("a hash").to_owned();
        transactions.iter().map(text).collect()
    }

    /// A field of the chain's description.
    pub fn told(&self, field: &str) -> &str {
        self.chain[field].as_str().expect("text")
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        drop(self.input.take());
        // It ends by itself; an error would only mean that it already has.
        drop(self.child.wait());
    }
}

/// A facilitator of one test.
pub struct Facilitator {
    pub url: String,
}

impl Facilitator {
    pub async fn start(stage: &Stage) -> Self {
        let made = stage.ask("facilitator", json!({})).await;
        Self { url: made["url"].as_str().expect("an address").to_owned() }
    }

    /// From now on it misbehaves so when it is asked to `verify` or `settle`. Whatever waits goes on.
    pub async fn misbehave(&self, step: &str, fault: &str) {
        post(&format!("{}/control", self.url), &json!({step: fault})).await;
    }

    /// What it did.
    pub async fn log(&self) -> Value {
        let answer = client().get(format!("{}/log", self.url)).send().await.expect("an answer");
        answer.json().await.expect("JSON")
    }
}

/// One for each question: a runtime of tests may end before another's connection does.
pub fn client() -> reqwest::Client {
    let builder = reqwest::Client::builder().no_proxy().pool_max_idle_per_host(0);
    builder.build().expect("a client")
}

async fn post(url: &str, body: &Value) -> Value {
    let answer = client().post(url).json(body).send().await.expect("an answer");
    let status = answer.status();
    let told: Value = answer.json().await.expect("JSON");
    assert!(status.is_success(), "{url} {body}: {told}");
    told
}
