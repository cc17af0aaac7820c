//! Paid runs through the interface, with a facilitator that fails in every way.

mod facilitator;
mod hostile;
mod unknown;

use axum::body::Body;
use axum::http::header::{CONTENT_TYPE, HOST};
use axum::http::{Method, Request, StatusCode};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use execution_ledger_api::Options;
use execution_ledger_process::paid::config::PaidFile;
use serde_json::{Value, json};

use crate::support::{Answer, PATIENCE, Server};
use facilitator::{Does, Facilitator};

const ASSET: &str = "0xaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
const PAY_TO: &str = "0xbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";
const PAYER: &str = "0xcccccccccccccccccccccccccccccccccccccccc";
/// What no part of the log may hold.
const SIGNATURE: &str = "0x5160a7e5160a7e5160a7e5160a7e";

struct Shop {
    server: Server,
    facilitator: Facilitator,
}

impl Shop {
    /// Sells the paused agent `a`: what is paid for waits, and nothing starts.
    async fn open() -> Self {
        Self::with(600).await
    }

    async fn with(requests_per_min: u32) -> Self {
        let facilitator = Facilitator::start().await;
        let file = format!(
            r#"
facilitator = "http://{}"
requests_per_min = {requests_per_min}
[assets.usdc]
network = "eip155:8453"
asset = "{ASSET}"
pay_to = "{PAY_TO}"
eip712_name = "USD Coin"
eip712_version = "2"
decimals = 6
[agents.a]
price = {{ usdc = "0.01" }}
"#,
            facilitator.address
        );
        let file = PaidFile::parse(&file).expect("the file's form");
        let selling = file.checked(|_| Err("no secret".to_owned())).expect("a good file");
        let server = Server::selling(Options::default(), Some(selling)).await;
        server.paused_agent("a").await;
        Self { server, facilitator }
    }

    /// Asks without a key, with a payment if one is given.
    async fn ask(&self, payment: Option<&str>, body: &Value) -> Answer {
        let mut request = Request::builder()
            .method(Method::POST)
            .uri("/api/paid/a/task")
            .header(HOST, "localhost:7171")
            .header(CONTENT_TYPE, "application/json");
        if let Some(payment) = payment {
            request = request.header("PAYMENT-SIGNATURE", payment);
        }
        self.server.send(request.body(Body::from(body.to_string())).expect("a request")).await
    }

    async fn pay(&self, payment: &str, message: &str) -> Answer {
        self.ask(Some(payment), &json!({"message": message, "async_mode": true})).await
    }

    async fn offer(&self) -> Value {
        let answer = self.ask(None, &json!({"message": "x"})).await;
        decoded(&answer, "payment-required")
    }

    /// A payment with this number, as the offer wants it.
    async fn payment(&self, number: u8) -> String {
        self.changed(number, |_| {}).await
    }

    async fn changed(&self, number: u8, change: impl FnOnce(&mut Value)) -> String {
        let mut payment = json!({
            "x402Version": 2,
            "accepted": self.offer().await["accepts"][0],
            "payload": {"signature": SIGNATURE, "authorization": {
                "from": PAYER, "to": PAY_TO, "value": "10000", "validAfter": "1",
                "validBefore": "4000000000", "nonce": format!("0x{}", format!("{number:02x}").repeat(32)),
            }},
        });
        change(&mut payment);
        STANDARD.encode(payment.to_string())
    }

    /// The types of the events of the only payment there is.
    async fn facts(&self) -> Vec<String> {
        let page = self.server.get("/api/events?stream=payment-&limit=100").await.json();
        let events = page["events"].as_array().expect("events").clone();
        let name = |event: &Value| event["type"].as_str().expect("a type").replace("payment.", "");
        events.iter().map(name).collect()
    }

    async fn executions(&self) -> Vec<Value> {
        let head = self.server.head().await;
        let at = format!("{}-{}", self.server.store.log_id(), head.number());
        let list = self.server.get(&format!("/api/executions?wait_for={at}")).await.json();
        list["executions"].as_array().expect("executions").clone()
    }

    /// Waits until the only payment has this status.
    async fn await_status(&self, status: &str) -> Value {
        let waited = tokio::time::timeout(PATIENCE, async {
            loop {
                let list = self.server.get("/api/payments").await.json();
                if list["payments"][0]["status"] == status {
                    return list["payments"][0].clone();
                }
                tokio::task::yield_now().await;
            }
        });
        waited.await.expect("the status in time")
    }
}

fn decoded(answer: &Answer, header: &str) -> Value {
    let text = answer.header(header).unwrap_or_else(|| panic!("no {header}: {}", answer.text));
    let bytes = STANDARD.decode(text).expect("base64");
    serde_json::from_slice(&bytes).expect("JSON")
}

#[tokio::test]
async fn whoever_has_not_paid_is_told_the_price_and_only_of_what_would_be_accepted() {
    let shop = Shop::open().await;
    let answer = shop.ask(None, &json!({"message": "Say hello"})).await;
    assert_eq!(answer.problem().0, 402);
    assert_eq!(answer.code(), "payment_required");
    let required = decoded(&answer, "payment-required");
    assert_eq!(required["x402Version"], 2);
    assert_eq!(required["resource"]["url"], "http://localhost:7171/api/paid/a/task");
    let expected = json!([{
        "scheme": "exact", "network": "eip155:8453", "asset": ASSET, "amount": "10000",
        "payTo": PAY_TO, "maxTimeoutSeconds": 300, "extra": {"name": "USD Coin", "version": "2"},
    }]);
    assert_eq!(required["accepts"], expected);
    assert!(required["extensions"]["payment-identifier"].is_object());

    let refused = shop.ask(None, &json!({"message": ""})).await;
    assert_eq!(refused.problem(), (422, "message_required".to_owned(), Some("message".to_owned())));
    for (field, code) in [("model", "model_not_listed"), ("system_prompt", "unknown_field")] {
        let refused = shop.ask(None, &json!({"message": "x", (field): "y"})).await;
        assert_eq!(refused.code(), code);
    }
    assert_eq!(shop.facts().await, Vec::<String>::new());

    let nothing_sold = Server::start().await;
    let answer = nothing_sold.post("/api/paid/a/task", &json!({"message": "x"})).await;
    assert_eq!((answer.status, answer.code()), (StatusCode::NOT_FOUND, "not_for_sale".to_owned()));
}

#[tokio::test]
async fn a_payment_buys_one_execution_however_often_and_at_once_it_is_sent() {
    let shop = Shop::open().await;
    let payment = shop.payment(1).await;
    let (one, other) = tokio::join!(shop.pay(&payment, "hello"), shop.pay(&payment, "hello"));
    let again = shop.pay(&payment, "hello").await;
    let ids: Vec<Value> =
        [&one, &other, &again].map(|answer| answer.json()["execution_id"].clone()).to_vec();
    assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
    assert_eq!(shop.facts().await, ["verified", "settlement_requested", "settled"]);
    assert_eq!(shop.facilitator.asked(), (1, 1));
    assert_eq!(again.status, StatusCode::ACCEPTED, "{}", again.text);
    let told = again.json();
    assert_eq!((&told["status"], &told["replayed"]), (&json!("pending"), &json!(true)));
    let receipt = decoded(&again, "payment-response");
    assert_eq!((&receipt["success"], &receipt["transaction"]), (&json!(true), &json!("0xfeed")));
    assert_eq!(again.header("ledger-position"), told["payment"]["position"].as_str());

    let executions = shop.executions().await;
    assert_eq!(executions.len(), 1);
    let record = &executions[0];
    assert_eq!(record["execution_id"], ids[0]);
    assert_eq!((&record["triggered_by"], &record["message"]), (&json!("paid"), &json!("hello")));
    assert_eq!(record["requested_by"], json!({"kind": "payer", "id": PAYER}));
    assert_eq!(record["payment"]["payment_id"], told["payment"]["payment_id"]);

    let reused = shop.pay(&payment, "something else").await;
    assert_eq!(reused.problem().0, 422);
    assert_eq!(reused.code(), "payment_reused");
    let resigned = shop.changed(1, |it| it["payload"]["signature"] = "0x99".into()).await;
    assert_eq!(shop.pay(&resigned, "hello").await.code(), "payment_reused");
}

#[tokio::test]
async fn the_holder_of_the_result_token_sees_that_execution_and_nothing_else() {
    let shop = Shop::open().await;
    let paid = shop.pay(&shop.payment(1).await, "hello").await.json();
    let other = shop.pay(&shop.payment(2).await, "hello").await.json();
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    let (token, path) = (text(&paid["result_token"]), text(&paid["links"]["status"]));
    let look = async |token: &str, path: &str| {
        let request = Server::request_with(token, Method::GET, path);
        shop.server.send(request.body(Body::empty()).expect("a request")).await
    };
    let seen = look(&token, &path).await;
    assert_eq!(seen.json()["status"], "pending", "{}", seen.text);
    assert_eq!(seen.json().get("cost_usd"), None);
    for (token, path) in [
        (text(&other["result_token"]), path.clone()),
        (token.clone(), text(&other["links"]["status"])),
        (token.clone(), "/api/executions".to_owned()),
        (format!("{token}x"), path.clone()),
        ("elp_".to_owned(), path),
    ] {
        assert_eq!(look(&token, &path).await.status, StatusCode::UNAUTHORIZED, "{path}");
    }
}

#[tokio::test]
async fn a_refused_settlement_charges_nobody_and_runs_nothing() {
    let shop = Shop::open().await;
    shop.facilitator.does(Does::Well, Does::Refuse);
    let payment = shop.payment(1).await;
    for _ in 0..2 {
        let answer = shop.pay(&payment, "hello").await;
        assert_eq!(answer.problem().0, 402, "{}", answer.text);
        assert_eq!(answer.code(), "settlement_failed");
        assert_eq!(answer.json()["reason"], "insufficient_funds");
        assert_eq!(decoded(&answer, "payment-response")["success"], false);
    }
    assert_eq!(shop.facts().await, ["verified", "settlement_requested", "settlement_failed"]);
    assert_eq!(shop.executions().await, Vec::<Value>::new());
}

#[tokio::test]
async fn whoever_paid_for_what_was_cancelled_is_owed_the_money_once() {
    let shop = Shop::open().await;
    let payment = shop.payment(1).await;
    let id = shop.pay(&payment, "hello").await.json()["execution_id"].clone();
    let path = format!("/api/agents/a/executions/{}/terminate", id.as_str().expect("an id"));
    shop.server.post(&path, &json!({})).await;
    let owed = shop.await_status("refund_owed").await;
    assert_eq!(owed["refund"]["cause"], "execution_cancelled");
    assert_eq!(owed["refund"]["amount"], "10000");
    let again = shop.pay(&payment, "hello").await;
    assert_eq!(again.status, StatusCode::OK, "it has ended: {}", again.text);
    assert_eq!(again.json()["payment"]["status"], "refund_owed");
    let facts = shop.facts().await;
    assert_eq!(facts, ["verified", "settlement_requested", "settled", "refund_owed"]);
}

#[tokio::test]
async fn no_signature_of_a_payer_is_anywhere_in_the_data() {
    let shop = Shop::open().await;
    assert_eq!(shop.pay(&shop.payment(1).await, "hello").await.status, StatusCode::ACCEPTED);
    shop.executions().await;
    let mut looked = 0;
    for file in std::fs::read_dir(shop.server.folder.path()).expect("a folder") {
        let path = file.expect("a file").path();
        if path.is_file() {
            let bytes = std::fs::read(&path).expect("its bytes");
            let found = bytes.windows(SIGNATURE.len()).any(|part| part == SIGNATURE.as_bytes());
            assert!(!found, "{}", path.display());
            looked += 1;
        }
    }
    assert!(looked > 1);
}
