//! Payments of which the facilitator leaves it open whether they were made: nothing runs before a person
//! has decided, where no chain can be asked.

use axum::http::StatusCode;
use execution_ledger_domain::payment::{Command, Evidence, Payment, SettlementFailed};
use execution_ledger_domain::{Actor, PaymentId, StreamName, Timestamp};
use execution_ledger_store::Context;
use serde_json::{Value, json};

use super::Shop;
use super::facilitator::Does;

/// What leaves it open.
const FAULTS: [Does; 5] = [Does::Fail, Does::Garble, Does::Flood, Does::Redirect, Does::Vague];

async fn unknown(shop: &Shop, number: u8) -> (String, String) {
    let payment = shop.payment(number).await;
    let answer = shop.pay(&payment, "hello").await;
    assert_eq!(answer.status, StatusCode::ACCEPTED, "{}", answer.text);
    let told = answer.json();
    assert_eq!(told["payment"]["status"], "settlement_unknown");
    assert_eq!((&told["status"], &told["execution"]), (&json!("unpaid"), &Value::Null));
    let id = told["payment"]["payment_id"].as_str().expect("an id").to_owned();
    (payment, format!("/api/payments/{id}/resolve"))
}

#[tokio::test]
async fn whatever_leaves_it_open_is_recorded_as_unknown_and_runs_nothing() {
    let shop = Shop::open().await;
    for (number, fault) in (1..).zip(FAULTS) {
        shop.facilitator.does(Does::Well, fault);
        unknown(&shop, number).await;
    }
    assert_eq!(shop.executions().await, Vec::<Value>::new());
    let facts = shop.facts().await;
    assert!(!facts.iter().any(|fact| fact == "settled" || fact == "settlement_failed"));
}

#[tokio::test]
async fn a_payment_sent_again_is_asked_for_again_and_a_refusal_then_says_nothing() {
    let shop = Shop::open().await;
    shop.facilitator.does(Does::Well, Does::Fail);
    let (payment, _) = unknown(&shop, 1).await;
    shop.facilitator.does(Does::Well, Does::Refuse);
    let again = shop.pay(&payment, "hello").await;
    assert_eq!(again.json()["payment"]["status"], "settlement_unknown", "{}", again.text);
    shop.facilitator.does(Does::Well, Does::Well);
    let settled = shop.pay(&payment, "hello").await;
    assert_eq!(settled.json()["payment"]["status"], "settled", "{}", settled.text);
    assert_eq!(settled.json()["status"], "pending");
    assert_eq!(shop.executions().await.len(), 1);
    shop.pay(&payment, "hello").await;
    assert_eq!(shop.facilitator.asked(), (1, 3));
}

#[tokio::test]
async fn the_money_of_one_payment_is_asked_for_a_few_times_at_most() {
    let shop = Shop::open().await;
    shop.facilitator.does(Does::Well, Does::Fail);
    let (payment, _) = unknown(&shop, 1).await;
    for _ in 0..4 {
        shop.pay(&payment, "hello").await;
    }
    assert_eq!(shop.facilitator.asked(), (1, 3));
}

#[tokio::test]
async fn a_person_decides_what_nobody_else_can_say() {
    let shop = Shop::open().await;
    shop.facilitator.does(Does::Well, Does::Fail);
    let (_, path) = unknown(&shop, 1).await;
    for (body, field) in [
        (json!({"outcome": "settled", "reason": ""}), "reason"),
        (json!({"outcome": "settled", "reason": "x\u{1b}"}), "reason"),
        (json!({"outcome": "settled", "reason": "x", "transaction": "0x ab"}), "transaction"),
        (json!({"outcome": "failed", "reason": "x", "transaction": "0xab"}), "transaction"),
        (json!({"outcome": "perhaps", "reason": "x"}), "outcome"),
    ] {
        let answer = shop.server.post(&path, &body).await;
        let (status, _, named) = answer.problem();
        assert_eq!((status, named.as_deref()), (422, Some(field)), "{}", answer.text);
    }
    let found = json!({"outcome": "settled", "transaction": "0xab", "reason": "on the explorer"});
    let resolved = shop.server.post(&path, &found).await;
    assert_eq!(resolved.status, StatusCode::OK, "{}", resolved.text);
    let json = resolved.json();
    assert_eq!((&json["status"], &json["evidence"]), (&json!("settled"), &json!("person")));
    assert_eq!((&json["transaction"], &json["note"]), (&json!("0xab"), &json!("on the explorer")));
    // Once more is so already, and the other way round is refused.
    assert_eq!(shop.server.post(&path, &found).await.status, StatusCode::OK);
    let other = json!({"outcome": "failed", "reason": "no"});
    let refused = shop.server.post(&path, &other).await;
    assert_eq!((refused.problem().0, refused.code()), (409, "payment_not_unknown".to_owned()));
    shop.await_status("settled").await;
    while shop.executions().await.is_empty() {
        tokio::task::yield_now().await;
    }
    let nobody = format!("/api/payments/{}/resolve", "ab".repeat(32));
    assert_eq!(shop.server.post(&nobody, &found).await.code(), "payment_not_found");
}

#[tokio::test]
async fn what_a_person_says_did_not_come_never_runs() {
    let shop = Shop::open().await;
    shop.facilitator.does(Does::Well, Does::Fail);
    let (payment, path) = unknown(&shop, 1).await;
    let body = json!({"outcome": "failed", "reason": "unused after its time"});
    let early = shop.server.post(&path, &body).await;
    assert_eq!((early.problem().0, early.code()), (409, "payment_still_valid".to_owned()));
    assert_eq!(early.json()["until"], "2096-10-02T07:07:40.000000Z", "{}", early.text);
    // After that time the same is recorded.
    let id: PaymentId = path.split('/').nth(3).expect("an id").parse().expect("an id");
    let failed = SettlementFailed {
        reason: "resolved_by_person".to_owned(),
        evidence: Evidence::Person,
        note: None,
    };
    let fail = Command::Fail { failed, now: Timestamp::MAX };
    let context = Context {
        actor: Actor::system("test"),
        correlation_id: None,
        causation_id: None,
        traceparent: None,
    };
    let stream = StreamName::payment(id);
    let done = shop.server.ledger.execute::<Payment>(&stream, fail, &[], &context).await;
    done.expect("recorded");
    shop.facilitator.does(Does::Well, Does::Well);
    assert_eq!(shop.pay(&payment, "hello").await.code(), "settlement_failed");
    assert_eq!(shop.executions().await, Vec::<Value>::new());
}

#[tokio::test]
async fn money_that_comes_for_an_agent_that_was_retired_meanwhile_is_owed_back() {
    let shop = Shop::open().await;
    shop.facilitator.does(Does::Well, Does::Fail);
    let (_, path) = unknown(&shop, 1).await;
    let retired = shop.server.call(axum::http::Method::DELETE, "/api/agents/a", "").await;
    assert_eq!(retired.status, StatusCode::OK, "{}", retired.text);
    let body = json!({"outcome": "settled", "reason": "on the explorer"});
    assert_eq!(shop.server.post(&path, &body).await.status, StatusCode::OK);
    let owed = shop.await_status("refund_owed").await;
    assert_eq!(owed["refund"]["cause"], "not_accepted");
    assert_eq!(shop.executions().await, Vec::<Value>::new());
}
