//! A payment is taken once and buys one run, however often it is shown.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::shop::{PRICE, PURSE, Shop, payment_in};
use super::stage::{Stage, client};
use crate::support::Server;

#[tokio::test]
async fn the_official_client_pays_and_is_answered_with_what_it_paid_for() {
    let shop = Shop::open().await;
    let payer = shop.payer().await;
    let seller = shop.stage.told("pay_to").to_owned();
    let before = shop.stage.balance(&seller).await;

    let body = json!({"message": "Say hello"});
    let asked = json!({"key": payer.key, "url": shop.url(), "body": body});
    let answer = shop.stage.ask("pay", asked).await;
    assert_eq!(answer["status"], 200, "it waited for the end: {answer}");
    let payment = payment_in(&answer);
    let execution = shop.assert_sold_once(&payer, &payment).await;
    assert_eq!(shop.stage.balance(&payer.address).await, PURSE - PRICE);
    // Other tests are paid at the same address.
    assert!(shop.stage.balance(&seller).await >= before + PRICE);

    let record = shop.record(&payment).await.expect("a record");
    let (receipt, told) = (&answer["receipt"], &answer["body"]);
    assert_eq!(receipt["success"], true, "{receipt}");
    assert_eq!(receipt["network"], shop.stage.chain["network"]);
    for said in [&receipt["transaction"], &told["payment"]["transaction"]] {
        assert_eq!(*said, record["transaction"], "{answer}");
    }
    assert_eq!(told["execution_id"], execution["execution_id"], "{answer}");
    assert_eq!(told["execution"]["response"], execution["response"], "{answer}");
    assert_eq!(told["payment"]["payment_id"], record["payment_id"], "{answer}");
    assert_eq!(execution["message"], "Say hello");
    assert_eq!(execution["payment"]["payment_id"], record["payment_id"], "{execution}");
    assert_eq!(execution["requested_by"]["kind"], "payer", "{execution}");
    let facts = shop.facts_of(&record).await;
    assert_eq!(facts, ["verified", "settlement_requested", "settled"]);

    // The position that the payer is told is where the log says that the money came.
    let id = record["payment_id"].as_str().expect("an id");
    let settled = format!("/api/events?stream=payment-{id}&type=payment.settled");
    let (_, page) = shop.server.get(&settled).await;
    assert_eq!(page["events"][0]["position"], told["payment"]["position"], "{page}");
    assert_eq!(page["events"][0]["actor"]["kind"], "payer", "{page}");
}

#[tokio::test]
async fn whoever_paid_may_look_at_what_he_paid_for_and_at_nothing_else() {
    let shop = Shop::open().await;
    let payer = shop.payer().await;
    let answer = shop.pay(&payer, "Say hello").await;
    assert_eq!(answer["status"], 202, "{answer}");
    let execution = shop.assert_sold_once(&payer, &payment_in(&answer)).await;
    let id = execution["execution_id"].as_str().expect("an id");
    let token = answer["body"]["result_token"].as_str().expect("a token");
    let own = answer["body"]["links"]["status"].as_str().expect("a link");
    let other = shop.server.submit("demo", "Say hello").await;
    let other = format!("/api/paid/executions/{other}");
    let full = format!("/api/agents/demo/executions/{id}");
    for (path, expected) in [(own, 200), (&other, 401), (&full, 401), ("/api/executions", 401)] {
        let url = format!("{}{path}", shop.server.url);
        let answer = client().get(url).bearer_auth(token).send().await.expect("an answer");
        assert_eq!(answer.status().as_u16(), expected, "{path}");
        let told: Value = answer.json().await.expect("JSON");
        assert!(expected != 200 || told["response"] == execution["response"], "{told}");
    }
}

#[tokio::test]
async fn the_billing_feed_tells_each_payment_once() {
    let shop = Shop::open().await;
    let payer = shop.payer().await;
    let mut expected = Vec::new();
    for message in ["one", "two"] {
        let payment = payment_in(&shop.pay(&payer, message).await);
        shop.assert_sold_once(&payer, &payment).await;
        shop.show(&payment, message).await;
        let record = shop.record(&payment).await.expect("a record");
        expected.push(record["payment_id"].clone());
    }
    let (status, feed) = shop.server.get("/api/costs/feed").await;
    assert_eq!(status, StatusCode::OK, "{feed}");
    let rows = feed["rows"].as_array().expect("rows");
    let settled = rows.iter().filter(|row| row["kind"] == "payment_settled");
    let settled: Vec<&Value> = settled.collect();
    let payments: Vec<Value> = settled.iter().map(|row| row["payment_id"].clone()).collect();
    assert_eq!(payments, expected, "{feed}");
    for row in settled {
        assert_eq!(row["amount"], PRICE.to_string(), "{row}");
        let unit = row["unit"].as_str().expect("a unit").to_lowercase();
        assert!(unit.contains(&shop.stage.told("asset").to_lowercase()), "{row}");
    }
}

#[tokio::test]
async fn a_payment_shown_again_answers_the_execution_that_it_paid_for() {
    let shop = Shop::open().await;
    let payer = shop.payer().await;
    let first = shop.pay(&payer, "Say hello").await;
    let payment = payment_in(&first);
    let execution = shop.assert_sold_once(&payer, &payment).await;

    let again = shop.show(&payment, "Say hello").await;
    assert_eq!(again["status"], 200, "its run has ended: {again}");
    assert_eq!(again["body"]["replayed"], true, "{again}");
    assert_eq!(again["body"]["execution_id"], execution["execution_id"]);
    assert_eq!(again["body"]["status"], "completed", "{again}");
    let result = &again["body"]["execution"]["response"];
    assert_eq!(*result, execution["response"], "the payer reads his result: {again}");
    assert_eq!(again["receipt"]["transaction"], first["receipt"]["transaction"], "{again}");
    shop.assert_sold_once(&payer, &payment).await;

    // For something else it is no good, and was not taken again.
    let other = shop.show(&payment, "Say something else").await;
    assert_eq!(other["status"], 422, "{other}");
    assert_eq!(other["body"]["code"], "payment_reused", "{other}");
    shop.assert_sold_once(&payer, &payment).await;
    assert_eq!(shop.stage.balance(&payer.address).await, PURSE - PRICE);
    assert_eq!(shop.facilitator.log().await["settle"], 1);
}

#[tokio::test]
async fn a_payment_shown_twice_at_the_same_instant_buys_one_run() {
    let shop = Shop::open().await;
    let payer = shop.payer().await;
    let offer = shop.offer().await;
    for round in 0..3_u64 {
        let forged = json!({"key": payer.key, "accepted": offer["accepts"][0]});
        let made = shop.stage.ask("forge", forged).await;
        let payment = payment_in(&made);
        let message = format!("round {round}");
        let answers = shop.show_at_once(&payment, &message, 2).await;
        for answer in &answers {
            let status = answer["status"].as_u64().expect("an answer");
            assert!(status == 202 || status == 200, "{answer}");
            let same = &answers[0]["body"]["execution_id"];
            assert_eq!(&answer["body"]["execution_id"], same, "{answers:?}");
        }
        shop.assert_sold_once(&payer, &payment).await;
        assert_eq!(shop.stage.balance(&payer.address).await, PURSE - (round + 1) * PRICE);
    }
    let log = shop.facilitator.log().await;
    assert_eq!((&log["settle"], &log["refused"]), (&json!(3), &json!([])), "asked once for each");
}

#[tokio::test]
async fn whoever_paid_for_a_run_that_failed_is_owed_the_money_once() {
    let mut shop = Shop::open().await;
    let payer = shop.payer().await;
    let answer = shop.pay(&payer, "fail").await;
    let payment = payment_in(&answer);
    let owed = shop.await_status(&payment, "refund_owed").await;
    let id = owed["execution_id"].as_str().expect("an execution");
    assert_eq!(shop.server.await_end("demo", id).await["status"], "failed");
    shop.assert_charged_once(&payer, &payment, &owed).await;
    let facts = shop.facts_of(&owed).await;
    assert_eq!(facts, ["verified", "settlement_requested", "settled", "refund_owed"]);
    assert_eq!(owed["refund"]["amount"], PRICE.to_string(), "{owed}");
    assert_eq!(owed["refund"]["cause"], "execution_failed", "{owed}");

    // A run that somebody stops is as one that failed.
    let stopped = payment_in(&shop.pay(&payer, "sleep 60").await);
    let record = shop.await_status(&stopped, "settled").await;
    let id = record["execution_id"].as_str().expect("an execution").to_owned();
    shop.server.await_running("demo", &id).await;
    let path = format!("/api/agents/demo/executions/{id}/terminate");
    shop.server.post(&path, json!({})).await;
    let owed = shop.await_status(&stopped, "refund_owed").await;
    assert_eq!(owed["refund"]["cause"], "execution_cancelled", "{owed}");

    shop.server.kill();
    shop.start_again_with(&[]).await;
    for payment in [&payment, &stopped] {
        shop.show(payment, "anything").await;
        let record = shop.await_status(payment, "refund_owed").await;
        let facts = shop.facts_of(&record).await;
        assert_eq!(facts.iter().filter(|fact| *fact == "refund_owed").count(), 1, "{facts:?}");
    }
    assert_eq!(shop.stage.balance(&payer.address).await, PURSE - 2 * PRICE);
}

#[tokio::test]
async fn where_nothing_is_for_sale_there_is_nothing_to_pay_for() {
    let server = Server::start(&[]).await;
    let (status, problem) = server.post("/api/paid/demo/task", json!({"message": "hello"})).await;
    assert_eq!(status, StatusCode::NOT_FOUND, "{problem}");
    assert_eq!(problem["code"], "not_for_sale", "{problem}");
    let hint = problem["hint"].as_str().expect("what to do");
    assert!(hint.contains("paid_config"), "{problem}");

    // An agent without a price is none that can be paid for.
    let shop = Shop::open_on(Stage::shared().await).await;
    shop.server.register("echo", &["/bin/echo"], json!({})).await;
    let request = shop.server.request(Method::POST, "/api/paid/echo/task");
    let answer = request.json(&json!({"message": "hello"})).send().await.expect("an answer");
    assert_eq!(answer.status(), StatusCode::NOT_FOUND);
}
