//! Correcting what executions cost, and the price book.

use axum::http::StatusCode;
use serde_json::{Value, json};

use crate::support::{Answer, Server};

async fn correct(server: &Server, id: &str, body: &Value) -> Answer {
    server.post(&format!("/api/agents/a/executions/{id}/cost"), body).await
}

/// An execution that was cancelled before it began.
async fn ended(server: &Server) -> String {
    server.paused_agent("a").await;
    let (id, _) = server.submit("a", "hello").await;
    let stopped =
        server.post(&format!("/api/agents/a/executions/{id}/terminate"), &json!({})).await;
    assert_eq!(stopped.status, StatusCode::ACCEPTED, "{}", stopped.text);
    id
}

#[tokio::test]
async fn a_correction_holds_from_then_on_and_the_same_again_is_recorded_once() {
    let server = Server::start().await;
    let id = ended(&server).await;
    let path = format!("/api/agents/a/executions/{id}");
    let at = format!("{path}?wait_for={}", server.submit("a", "another").await.1);
    let events = server.get(&at).await.json()["events"].clone();
    let then = events.as_array().and_then(|events| events.last()).expect("an event")["position"]
        .as_str()
        .expect("a position")
        .to_owned();
    let body = json!({"cost_usd": 0.123_456_789, "reason": "the invoice of May"});
    let answer = correct(&server, &id, &body).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
    let done = answer.json();
    assert_eq!((&done["cost_before_usd"], &done["changed"]), (&Value::Null, &json!(true)));
    assert_eq!(done["cost_basis"], "provider_reported");
    let again = correct(&server, &id, &json!({"cost_usd": 0.123_456_789, "reason": "again"})).await;
    assert_eq!(
        (&again.json()["changed"], &again.json()["position"]),
        (&json!(false), &done["position"])
    );
    let at = done["position"].as_str().expect("a position");
    let record = server.get(&format!("{path}?wait_for={at}")).await.json();
    assert_eq!(record["cost_usd"], json!(0.123_456_789), "{record}");
    assert_eq!(
        (&record["cost_basis"], &record["price_book"]),
        (&json!("provider_reported"), &Value::Null)
    );
    let last = record["events"].as_array().expect("events").last().expect("one").clone();
    assert_eq!(
        (&last["type"], &last["actor"]["kind"]),
        (&json!("execution.cost_corrected"), &json!("key"))
    );
    let costs = server.get(&format!("/api/costs?wait_for={at}")).await.json();
    assert_eq!(costs["total"]["cost_usd"], json!(0.123_456_789));
    // As it was before.
    let past = server.get(&format!("{path}?as_of={then}")).await.json();
    assert_eq!(past["cost_usd"], Value::Null);
    let costs = server.get(&format!("/api/costs?as_of={then}")).await.json();
    assert_eq!(costs["total"]["cost_usd"], json!(0.0));
}

#[tokio::test]
async fn what_is_no_correction_is_refused_by_the_name_of_its_field() {
    let server = Server::start().await;
    let id = ended(&server).await;
    for (body, code, field) in [
        (json!({}), "missing_field", "reason"),
        (json!({"reason": "x"}), "missing_field", "cost_usd"),
        (json!({"reason": "", "cost_usd": 1}), "invalid_field", "reason"),
        (json!({"reason": "x".repeat(1_001), "cost_usd": 1}), "invalid_field", "reason"),
        (json!({"reason": "a\u{1b}[31m", "cost_usd": 1}), "invalid_field", "reason"),
        (json!({"reason": "x", "cost_usd": -0.5}), "invalid_field", "cost_usd"),
        (json!({"reason": "x", "cost_usd": 0.000_000_000_1}), "invalid_field", "cost_usd"),
        (json!({"reason": "x", "cost_usd": 1e12}), "invalid_field", "cost_usd"),
        (json!({"reason": "x", "cost_usd": "1"}), "invalid_field", "cost_usd"),
        (
            json!({"reason": "x", "cost_usd": 1, "cost_basis": "unknown"}),
            "invalid_field",
            "cost_basis",
        ),
        (
            json!({"reason": "x", "cost_usd": 1, "cost_basis": "guessed"}),
            "invalid_field",
            "cost_basis",
        ),
        (json!({"reason": "x", "cost_usd": 1, "reprice": true}), "invalid_field", "reprice"),
        (
            json!({"reason": "x", "reprice": true, "cost_basis": "priced_locally"}),
            "invalid_field",
            "cost_basis",
        ),
        (json!({"reason": "x", "cost_usd": 1, "currency": "EUR"}), "unknown_field", "currency"),
    ] {
        let problem = correct(&server, &id, &body).await.problem();
        assert_eq!(problem, (422, code.to_owned(), Some(field.to_owned())), "{body}");
    }
    let never_ran = correct(&server, &id, &json!({"reason": "x", "reprice": true})).await;
    assert_eq!(
        (never_ran.status, never_ran.code()),
        (StatusCode::CONFLICT, "not_priced".to_owned())
    );
    let (open, _) = server.submit("a", "waits").await;
    let early = correct(&server, &open, &json!({"reason": "x", "cost_usd": 1})).await;
    assert_eq!((early.status, early.code()), (StatusCode::CONFLICT, "not_ended".to_owned()));
    let nobody = uuid::Uuid::nil().to_string();
    let missing = correct(&server, &nobody, &json!({"reason": "x", "cost_usd": 1})).await;
    assert_eq!(missing.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn the_price_book_is_there_for_whoever_reads_costs() {
    let server = Server::start().await;
    let book = server.get("/api/costs/prices").await.json();
    assert!(book["version"].as_str().is_some_and(|version| version.contains('+')), "{book}");
    let prices = book["prices"].as_array().expect("prices");
    let sonnet = prices.iter().find(|entry| entry["model"] == "claude-sonnet-4-5");
    let sonnet = sonnet.expect("a price");
    assert_eq!((&sonnet["cache_write_5m"], &sonnet["from"]), (&json!(3.75), &json!("2025-09-29")));
    let codex = prices.iter().find(|entry| entry["model"] == "gpt-5-codex").expect("a price");
    assert_eq!(codex["cache_write_1h"], Value::Null, "unknown, and not nothing");
}
