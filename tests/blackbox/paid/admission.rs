//! A task that would not be accepted is not sold; one that was sold is accepted, or its money is owed.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::shop::{PRICE, PURSE, Shop, payment_in};
use super::stage::Payer;

/// A payment of this payer that was never shown.
async fn signed(shop: &Shop, payer: &Payer, offer: &Value) -> String {
    let made = json!({"key": payer.key, "accepted": offer["accepts"][0]});
    payment_in(&shop.stage.ask("forge", made).await)
}

async fn configure(shop: &Shop, settings: Value) {
    let request = shop.server.request(Method::PUT, "/api/agents/demo").json(&settings);
    let answer = request.send().await.expect("an answer");
    assert!(answer.status().is_success(), "{}", answer.text().await.unwrap_or_default());
}

#[tokio::test]
async fn what_would_not_be_accepted_is_refused_before_anybody_is_asked_for_money() {
    let shop = Shop::open().await;
    let payer = shop.payer().await;
    let offer = shop.offer().await;
    let refused = async |what: &str, status: u64, code: &str| {
        let payment = signed(&shop, &payer, &offer).await;
        let answer = shop.show(&payment, "Say hello").await;
        assert_eq!(answer["status"], status, "{what}: {answer}");
        assert_eq!(answer["body"]["code"], code, "{what}: {answer}");
        assert_eq!(shop.record(&payment).await, None, "{what}");
    };
    let budget = shop.server.request(Method::PUT, "/api/budgets/agent-demo");
    let budget = budget.json(&json!({"per_day_usd": 0})).send().await.expect("an answer");
    assert!(budget.status().is_success());
    refused("a budget that is used up", 403, "budget_exceeded").await;
    let lifted = shop.server.request(Method::DELETE, "/api/budgets/agent-demo").send().await;
    assert!(lifted.expect("an answer").status().is_success());

    configure(&shop, json!({"max_parallel_tasks": 1, "queue_limit": 1})).await;
    let running = shop.server.submit("demo", "sleep 60").await;
    shop.server.await_running("demo", &running).await;
    shop.server.submit("demo", "sleep 60").await;
    refused("a full queue", 429, "queue_full").await;

    let (status, told) = {
        let request = shop.server.request(Method::DELETE, "/api/agents/demo");
        let answer = request.send().await.expect("an answer");
        (answer.status(), answer.text().await.unwrap_or_default())
    };
    assert!(status.is_success(), "{told}");
    refused("an agent that takes no more tasks", 409, "agent_retired").await;

    let log = shop.facilitator.log().await;
    assert_eq!((&log["verify"], &log["settle"]), (&json!(0), &json!(0)), "{log}");
    assert_eq!(shop.stage.balance(&payer.address).await, PURSE);
}

#[tokio::test]
async fn what_was_paid_is_accepted_also_where_the_queue_has_filled_meanwhile() {
    let shop = Shop::open().await;
    let payer = shop.payer().await;
    configure(&shop, json!({"max_parallel_tasks": 1, "queue_limit": 1})).await;
    // Nobody knows whether the first was paid while others take the places.
    shop.facilitator.misbehave("settle", "cut").await;
    let payment = payment_in(&shop.pay(&payer, "Say hello").await);
    shop.await_status(&payment, "settlement_unknown").await;
    let running = shop.server.submit("demo", "sleep 60").await;
    shop.server.await_running("demo", &running).await;
    shop.server.submit("demo", "Say hello as well").await;
    let (status, _) = shop.server.post("/api/agents/demo/task", json!({"message": "x"})).await;
    assert_eq!(status, StatusCode::TOO_MANY_REQUESTS, "the queue is full");

    shop.stage.ask("bring", json!({"payment": payment})).await;
    let record = shop.await_status(&payment, "settled").await;
    let id = record["execution_id"].as_str().expect("an execution");
    shop.server.await_record("demo", id, "waiting", |record| record["status"] == "pending").await;
    let stop = format!("/api/agents/demo/executions/{running}/terminate");
    shop.server.post(&stop, json!({})).await;
    shop.assert_sold_once(&payer, &payment).await;
}

#[tokio::test]
async fn money_that_comes_for_an_agent_that_takes_no_more_tasks_is_owed_back() {
    let shop = Shop::open().await;
    let payer = shop.payer().await;
    shop.facilitator.misbehave("settle", "cut").await;
    let payment = payment_in(&shop.pay(&payer, "Say hello").await);
    shop.await_status(&payment, "settlement_unknown").await;
    let retired = shop.server.request(Method::DELETE, "/api/agents/demo").send().await;
    assert!(retired.expect("an answer").status().is_success());

    shop.stage.ask("bring", json!({"payment": payment})).await;
    let record = shop.await_status(&payment, "refund_owed").await;
    shop.assert_charged_once(&payer, &payment, &record).await;
    assert_eq!(record["refund"]["cause"], "not_accepted", "{record}");
    assert_eq!(shop.sold().await, Vec::<Value>::new());
    assert_eq!(shop.stage.balance(&payer.address).await, PURSE - PRICE);
    let again = shop.show(&payment, "Say hello").await;
    assert_eq!(again["body"]["payment"]["status"], "refund_owed", "{again}");
}
