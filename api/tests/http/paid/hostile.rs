//! Payments that are none, and askers that never stop: nobody is asked anything for them.

use axum::http::StatusCode;
use serde_json::{Value, json};

use super::facilitator::Does;
use super::{PAY_TO, Shop};

/// Makes a payment another.
type Change<'a> = &'a dyn Fn(&mut Value);

#[tokio::test]
async fn what_is_no_payment_is_refused_before_anybody_is_asked() {
    let shop = Shop::open().await;
    for nonsense in ["", "!!!", "bm90IGpzb24=", "e30=", &"A".repeat(20_000)] {
        let answer = shop.pay(nonsense, "hello").await;
        assert_eq!(answer.status, StatusCode::PAYMENT_REQUIRED, "{nonsense}");
        assert_eq!(answer.json()["reason"], "malformed_payment");
        assert!(answer.header("payment-required").is_some());
    }
    let authorization = |it: &mut Value, name: &str, value: &str| {
        it["payload"]["authorization"][name] = value.into();
    };
    let other_address = format!("0x{}", "ee".repeat(20));
    let cases: [(&str, Change<'_>); 8] = [
        ("not_offered", &|it| it["accepted"]["amount"] = "1".into()),
        ("not_offered", &|it| it["accepted"]["payTo"] = other_address.clone().into()),
        ("not_offered", &|it| it["accepted"]["extra"]["more"] = 1.into()),
        ("wrong_recipient", &|it| authorization(it, "to", &other_address)),
        ("wrong_amount", &|it| authorization(it, "value", "9999")),
        ("wrong_amount", &|it| authorization(it, "value", "10001")),
        ("expired", &|it| authorization(it, "validBefore", "2")),
        ("not_valid_yet", &|it| authorization(it, "validAfter", "4000000000")),
    ];
    for (reason, change) in cases {
        let payment = shop.changed(1, |it| change(it)).await;
        let answer = shop.pay(&payment, "hello").await;
        assert_eq!(answer.code(), "payment_required", "{reason}");
        assert_eq!(answer.json()["reason"], reason, "{}", answer.text);
    }
    let valid_otherwise = shop.changed(1, |it| authorization(it, "to", PAY_TO)).await;
    let refused = shop.pay(&valid_otherwise, "").await;
    assert_eq!(refused.code(), "message_required", "the task is looked at before the payment");
    assert_eq!(shop.facilitator.asked(), (0, 0));
    assert_eq!(shop.facts().await, Vec::<String>::new());
}

#[tokio::test]
async fn a_payment_that_is_not_found_good_leaves_no_trace() {
    let shop = Shop::open().await;
    let payment = shop.payment(1).await;
    let head = shop.server.head().await;
    shop.facilitator.does(Does::Refuse, Does::Well);
    let answer = shop.pay(&payment, "hello").await;
    assert_eq!(
        (answer.code(), answer.json()["reason"].clone()),
        ("payment_required".to_owned(), json!("insufficient_funds"))
    );
    for fault in [Does::Fail, Does::Garble, Does::Flood, Does::Redirect] {
        shop.facilitator.does(fault, Does::Well);
        let answer = shop.pay(&payment, "hello").await;
        assert_eq!(answer.problem().0, 503, "{fault:?}: {}", answer.text);
        assert_eq!(answer.code(), "facilitator_unavailable");
    }
    assert_eq!(shop.server.head().await, head);
    assert_eq!(shop.facilitator.asked().1, 0);
    shop.facilitator.does(Does::Well, Does::Well);
    assert_eq!(shop.pay(&payment, "hello").await.status, StatusCode::ACCEPTED);
}

#[tokio::test]
async fn where_the_queue_is_full_nobody_is_asked_to_pay_nor_charged() {
    let shop = Shop::open().await;
    let settings = json!({"runtime": "command", "command": ["/bin/true"], "queue_limit": 1, "max_parallel_tasks": 1});
    let put =
        shop.server.call(axum::http::Method::PUT, "/api/agents/a", settings.to_string()).await;
    assert_eq!(put.status, StatusCode::OK, "{}", put.text);
    let payment = shop.payment(1).await;
    for _ in 0..2 {
        let task = json!({"message": "x", "async_mode": true});
        let accepted = shop.server.post("/api/agents/a/task", &task).await;
        if accepted.status == StatusCode::TOO_MANY_REQUESTS {
            break;
        }
    }
    let asked = shop.ask(None, &json!({"message": "hello"})).await;
    assert_eq!(asked.code(), "queue_full", "{}", asked.text);
    assert_eq!(shop.pay(&payment, "hello").await.code(), "queue_full");
    assert_eq!(shop.facilitator.asked(), (0, 0));
}

#[tokio::test]
async fn an_address_that_asks_too_often_is_told_to_wait() {
    let shop = Shop::with(3).await;
    for _ in 0..3 {
        let answer = shop.ask(None, &json!({"message": "x"})).await;
        assert_eq!(answer.status, StatusCode::PAYMENT_REQUIRED);
    }
    let answer = shop.ask(None, &json!({"message": "x"})).await;
    assert_eq!((answer.problem().0, answer.code()), (429, "rate_limited".to_owned()));
    assert!(answer.header("retry-after").is_some());
}
