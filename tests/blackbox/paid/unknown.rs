//! A facilitator that leaves it open whether the payer was charged: the chain decides, and nothing runs
//! before it has.

use std::sync::Arc;

use serde_json::json;

use super::shop::{PRICE, PURSE, Shop, payment_in};
use super::stage::Stage;

/// What a facilitator can do after the money moved, none of which says so.
const AFTER_THE_MONEY: [&str; 6] =
    ["then_hang", "then_cut", "then_500", "then_garbage", "then_pending", "then_failure"];

#[tokio::test]
async fn a_facilitator_that_settles_and_does_not_say_so_is_found_out_by_the_chain() {
    let shop = Shop::open().await;
    let payer = shop.payer().await;
    for (round, fault) in (1_u64..).zip(AFTER_THE_MONEY) {
        shop.facilitator.misbehave("settle", fault).await;
        let answer = shop.pay(&payer, fault).await;
        assert_eq!(answer["status"], 202, "{fault}: {answer}");
        let payment = payment_in(&answer);
        let execution = shop.assert_sold_once(&payer, &payment).await;
        assert_eq!(execution["execution_id"], answer["body"]["execution_id"], "{fault}: {answer}");
        let record = shop.record(&payment).await.expect("a record");
        let facts = shop.facts_of(&record).await;
        let expected = ["verified", "settlement_requested", "settlement_unknown", "settled"];
        assert_eq!(facts, expected, "{fault}");
        assert_eq!(shop.stage.balance(&payer.address).await, PURSE - round * PRICE, "{fault}");
    }
    let log = shop.facilitator.log().await;
    assert_eq!(log["settle"], AFTER_THE_MONEY.len(), "it was asked once for each: {log}");
}

#[tokio::test]
async fn while_nobody_knows_whether_the_money_came_the_answer_says_just_that() {
    let shop = Shop::open().await;
    let payer = shop.payer().await;
    // The connection ends before the money moves: the signature is good still, so that it may move yet.
    shop.facilitator.misbehave("settle", "cut").await;
    let answer = shop.pay(&payer, "Say hello").await;
    assert_eq!(answer["status"], 202, "{answer}");
    assert_eq!(answer["body"]["payment"]["status"], "settlement_unknown", "{answer}");
    let payment = payment_in(&answer);
    let again = shop.show(&payment, "Say hello").await;
    assert_eq!(again["status"], 202, "{again}");
    assert_eq!(again["body"]["payment"]["status"], "settlement_unknown", "{again}");
    shop.assert_not_sold(&payer, &payment).await;
}

#[tokio::test]
async fn a_payment_that_was_not_used_before_it_expired_has_failed_and_nothing_runs() {
    // This test turns the chain's clock.
    let shop = Shop::open_on(Arc::new(Stage::start().await)).await;
    let payer = shop.payer().await;
    shop.facilitator.misbehave("settle", "cut").await;
    let answer = shop.pay(&payer, "Say hello").await;
    let payment = payment_in(&answer);
    shop.await_status(&payment, "settlement_unknown").await;
    shop.stage.ask("pass", json!({"seconds": 3600})).await;
    let record = shop.await_status(&payment, "settlement_failed").await;
    let facts = shop.facts_of(&record).await;
    let expected = ["verified", "settlement_requested", "settlement_unknown", "settlement_failed"];
    assert_eq!(facts, expected);
    shop.assert_not_sold(&payer, &payment).await;
    let again = shop.show(&payment, "Say hello").await;
    assert_eq!(again["status"], 402, "{again}");
    shop.assert_not_sold(&payer, &payment).await;
}

#[tokio::test]
async fn a_payer_who_cancels_his_authorization_or_uses_it_elsewhere_gets_no_run() {
    for trick in ["cancel", "spend_elsewhere"] {
        let shop = Shop::open().await;
        let payer = shop.payer().await;
        shop.facilitator.misbehave("settle", "cut").await;
        let payment = payment_in(&shop.pay(&payer, "Say hello").await);
        shop.await_status(&payment, "settlement_unknown").await;
        shop.stage.ask(trick, json!({"key": payer.key, "payment": payment})).await;
        // To the token this authorization is used now. The seller has nothing of it.
        let record = shop.await_status(&payment, "settlement_failed").await;
        assert_eq!(shop.stage.balance(&payer.address).await, PURSE, "{trick}");
        assert!(shop.sold().await.is_empty(), "{trick}: {record}");
        let again = shop.show(&payment, "Say hello").await;
        assert_eq!(again["status"], 402, "{trick}: {again}");
    }
}

#[tokio::test]
async fn one_transfer_pays_for_one_run_also_where_two_payments_share_its_transaction() {
    let shop = Shop::open().await;
    let payer = shop.payer().await;
    shop.facilitator.misbehave("settle", "cut").await;
    let mut payments = Vec::new();
    for message in ["the first", "the second"] {
        let payment = payment_in(&shop.pay(&payer, message).await);
        shop.await_status(&payment, "settlement_unknown").await;
        payments.push(payment);
    }
    // The number of the first goes to the payer himself, beside the second, which is paid.
    let asked = json!({"key": payer.key, "payment": payments[0], "other": payments[1]});
    shop.stage.ask("spend_elsewhere_beside", asked).await;
    let record = shop.await_status(&payments[1], "settled").await;
    let id = record["execution_id"].as_str().expect("an execution");
    shop.server.await_end("demo", id).await;
    shop.await_status(&payments[0], "settlement_failed").await;
    assert_eq!(shop.stage.balance(&payer.address).await, PURSE - PRICE);
    assert_eq!(shop.sold().await.len(), 1);
}
