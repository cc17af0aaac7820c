//! What people do about payments from the command line, and what the chain can't be asked about.

use serde_json::{Value, json};

use super::shop::{PRICE, PURSE, Shop, payment_in};
use super::stage::Stage;

fn told(shop: &Shop, arguments: &[&str]) -> Value {
    let output = shop.server.command(arguments);
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{arguments:?}: {}", text(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", text(&output.stdout)))
}

#[tokio::test]
async fn where_the_chain_can_not_be_asked_a_person_decides() {
    let shop = Shop::open_without_chain(Stage::shared().await).await;
    let payer = shop.payer().await;

    // The money came, and the facilitator did not say so.
    shop.facilitator.misbehave("settle", "then_cut").await;
    let payment = payment_in(&shop.pay(&payer, "Say hello").await);
    let record = shop.await_status(&payment, "settlement_unknown").await;
    let id = record["payment_id"].as_str().expect("an id");
    assert!(shop.sold().await.is_empty(), "nothing runs before it is known: {record}");
    let hash = shop.stage.transactions_of(&payment).await.remove(0);
    let found = ["--transaction", &hash, "--reason", "seen on the chain"];
    let resolve = [&["payments", "resolve", id, "settled"][..], &found].concat();
    let resolved = told(&shop, &resolve);
    assert_eq!(resolved["evidence"], "person", "{resolved}");
    let execution = shop.assert_sold_once(&payer, &payment).await;
    assert_eq!(told(&shop, &resolve)["status"], "settled", "said again, it is so already");
    let against = shop.server.command(&["payments", "resolve", id, "failed", "--reason", "no"]);
    assert!(!against.status.success(), "what is known is not decided again");

    // It did not come, which can't be said while it still can.
    shop.facilitator.misbehave("settle", "cut").await;
    let open = payment_in(&shop.pay(&payer, "Say hello again").await);
    let record = shop.await_status(&open, "settlement_unknown").await;
    let other = record["payment_id"].as_str().expect("an id");
    let early = ["payments", "resolve", other, "failed", "--reason", "unused"];
    let early = shop.server.command(&early);
    let said = String::from_utf8_lossy(&early.stderr).into_owned();
    assert!(!early.status.success() && said.contains("still valid"), "{said}");
    let record = shop.record(&open).await.expect("a record");
    assert_eq!(record["status"], "settlement_unknown", "{record}");
    assert_eq!(shop.stage.balance(&payer.address).await, PURSE - PRICE);
    assert_eq!(shop.sold().await.len(), 1);

    let shown = shop.server.command(&["payments", "list", "--table"]);
    let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
    let run = execution["execution_id"].as_str().expect("an id");
    for part in ["settled", "settlement_unknown", run] {
        assert!(shown.contains(part), "{part} in {shown}");
    }
    let unknown = told(&shop, &["payments", "list", "--status", "settlement_unknown"]);
    assert_eq!(unknown["payments"].as_array().map(Vec::len), Some(1), "{unknown}");
    assert_eq!(unknown["payments"][0]["payment_id"], other);
    let nobody = "0".repeat(64);
    assert_eq!(shop.server.command(&["payments", "show", &nobody]).status.code(), Some(4));
}

#[tokio::test]
async fn a_payment_is_answered_as_it_was_at_any_position() {
    let shop = Shop::open().await;
    let payer = shop.payer().await;
    let payment = payment_in(&shop.pay(&payer, "fail").await);
    let record = shop.await_status(&payment, "refund_owed").await;
    let id = record["payment_id"].as_str().expect("an id");
    let path = format!("/api/events?stream=payment-{id}");
    let (_, page) = shop.server.get(&path).await;
    let events = page["events"].as_array().expect("events");
    let statuses = ["verified", "settlement_requested", "settled", "refund_owed"];
    assert_eq!(events.len(), statuses.len(), "{page}");
    for (event, status) in events.iter().zip(statuses) {
        let position = event["position"].as_str().expect("a position");
        let then = told(&shop, &["payments", "show", id, "--as-of", position]);
        assert_eq!(then["status"], status, "{then}");
        let (_, list) = shop.server.get(&format!("/api/payments?as_of={position}")).await;
        assert_eq!(list["payments"][0]["status"], status, "{list}");
        let gone = list["payments"][0]["refund"].is_null();
        assert_eq!(gone, status != "refund_owed", "nothing of later is told: {list}");
    }
    assert_eq!(json!(record["agent_name"]), "demo");
}
