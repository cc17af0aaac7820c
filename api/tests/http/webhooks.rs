//! Webhooks: registered, looked at, changed, gone.

use axum::http::{Method, StatusCode};
use serde_json::{Value, json};

use crate::support::Server;

fn billing() -> Value {
    json!({"name": "Billing", "url": "https://billing.example.org/ledger",
        "kinds": ["run_cost", "execution.cancelled"]})
}

async fn registered(server: &Server) -> Value {
    let answer = server.post("/api/webhooks", &billing()).await;
    assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.text);
    let json = answer.json();
    let id = json["webhook_id"].as_str().expect("an id");
    assert_eq!(answer.header("location"), Some(format!("/api/webhooks/{id}").as_str()));
    json
}

fn path(webhook: &Value, part: &str) -> String {
    format!("/api/webhooks/{}{part}", webhook["webhook_id"].as_str().expect("an id"))
}

#[tokio::test]
async fn a_webhook_lives_from_its_registration_to_its_end() {
    let server = Server::start().await;
    let webhook = registered(&server).await;
    let secret = webhook["secret"].as_str().expect("a secret").to_owned();
    assert!(secret.starts_with("whsec_"), "{secret}");
    assert_eq!((&webhook["enabled"], &webhook["health"]["pending"]), (&json!(true), &json!(0)));
    let shown = server.get(&path(&webhook, "")).await;
    assert_eq!(shown.json()["secret"], Value::Null, "it is shown once");
    let list = server.get("/api/webhooks?enabled=true").await.json();
    assert_eq!(list["webhooks"][0]["webhook_id"], webhook["webhook_id"]);
    let before = shown.header("ledger-position").expect("a position").to_owned();

    let body = json!({"name": "B", "enabled": false}).to_string();
    let changed = server.call(Method::PUT, &path(&webhook, ""), body).await;
    assert_eq!(changed.status, StatusCode::OK, "{}", changed.text);
    let json = changed.json();
    assert_eq!((&json["name"], &json["enabled"]), (&json!("B"), &json!(false)));
    assert_eq!(json["kinds"], webhook["kinds"], "what is left out stays");
    let rotated = server.post(&path(&webhook, "/rotate"), &json!({})).await.json();
    assert_ne!(rotated["secret"], webhook["secret"]);
    assert_eq!(rotated["secret_generation"], 2);
    assert!(rotated["previous_secret_until"].is_string());

    let gone = server.call(Method::DELETE, &path(&webhook, ""), "").await;
    assert_eq!((gone.status, &gone.json()["status"]), (StatusCode::OK, &json!("deleted")));
    server.reached(&gone).await;
    let missing = (404, "webhook_not_found".to_owned(), Some("id".to_owned()));
    assert_eq!(server.get(&path(&webhook, "")).await.problem(), missing);
    assert_eq!(server.get(&path(&webhook, "/deliveries")).await.problem(), missing);
    for part in ["/rotate", "/test", "/redrive"] {
        let answer = server.post(&path(&webhook, part), &json!({})).await;
        assert_eq!(answer.problem(), missing, "{part}");
    }
    let then = server.get(&path(&webhook, &format!("?as_of={before}"))).await.json();
    assert_eq!((&then["name"], &then["health"]), (&json!("Billing"), &Value::Null));
    let log = server.get("/api/events?stream=webhook-").await;
    assert!(!log.text.contains(&secret), "no secret stands in the log");
}

#[tokio::test]
async fn what_a_webhook_is_owed_is_listed() {
    let server = Server::start().await;
    server.paused_agent("a").await;
    let webhook = registered(&server).await;
    let (id, _) = server.submit("a", "x").await;
    let stop = format!("/api/agents/a/executions/{id}/terminate");
    assert_eq!(server.post(&stop, &json!({})).await.status, StatusCode::ACCEPTED);
    let head = format!("{}-{}", server.store.log_id(), server.head().await.number());
    let list = server.get(&path(&webhook, &format!("/deliveries?wait_for={head}"))).await;
    let json = list.json();
    let message = &json["deliveries"][0];
    assert_eq!(message["kind"], "execution.cancelled", "{}", list.text);
    assert_eq!((&message["state"], &message["attempts"]), (&json!("pending"), &Value::Null));
    assert!(message["message_id"].as_str().is_some_and(|id| id.starts_with("msg_")));
    assert_eq!(json["deliveries"].as_array().map(Vec::len), Some(1));
    let dead = server.get(&path(&webhook, "/deliveries?state=dead")).await.json();
    assert_eq!(dead["deliveries"], json!([]));
    assert_eq!(server.get(&path(&webhook, "")).await.json()["health"]["pending"], 1);

    let one = json!({"event_id": message["event_id"], "kind": message["kind"]});
    let refused = server.post(&path(&webhook, "/redrive"), &one).await;
    assert_eq!(refused.problem().1, "not_dead");
    let all = server.post(&path(&webhook, "/redrive"), &json!({})).await.json();
    assert_eq!(all["redriven"], 0);
    for (body, field) in
        [(json!({"kind": "run_cost"}), "event_id"), (json!({"event_id": id}), "kind")]
    {
        let refused = server.post(&path(&webhook, "/redrive"), &body).await;
        let missing = (422, "missing_field".to_owned(), Some(field.to_owned()));
        assert_eq!(refused.problem(), missing);
    }
}

#[tokio::test]
async fn what_can_not_be_is_refused_by_the_name_of_its_field() {
    let server = Server::start().await;
    let head = server.head().await;
    for (changes, code, field) in [
        (json!({"name": null}), "missing_field", "name"),
        (json!({"name": ""}), "invalid_field", "name"),
        (json!({"name": "ghp_012345678901234567890123456789abcdef"}), "invalid_field", "name"),
        (json!({"url": null}), "missing_field", "url"),
        (json!({"url": "http://example.org/"}), "invalid_field", "url"),
        (json!({"url": "https://127.0.0.1/"}), "invalid_field", "url"),
        (json!({"url": "https://[::ffff:7f00:1]/"}), "invalid_field", "url"),
        (json!({"url": "https://169.254.169.254/"}), "invalid_field", "url"),
        (json!({"url": "https://user:pass@example.org/"}), "invalid_field", "url"),
        (json!({"url": "file:///etc/passwd"}), "invalid_field", "url"),
        (json!({"url": "https://example.org/\r\nx"}), "invalid_field", "url"),
        (json!({"url": 7}), "invalid_field", "url"),
        (json!({"kinds": null}), "missing_field", "kinds"),
        (json!({"kinds": []}), "invalid_field", "kinds"),
        (json!({"kinds": ["run_costs"]}), "invalid_field", "kinds[0]"),
        (json!({"enabled": "yes"}), "invalid_field", "enabled"),
        (json!({"secret": "mine"}), "unknown_field", "secret"),
    ] {
        let mut body = billing();
        for (name, value) in changes.as_object().expect("fields") {
            body[name] = value.clone();
        }
        let (_, found, name) = server.post("/api/webhooks", &body).await.problem();
        assert_eq!((found.as_str(), name.as_deref()), (code, Some(field)), "{changes}");
    }
    for path in ["/api/webhooks?enabled=maybe", "/api/webhooks/x", "/api/webhooks?colour=1"] {
        assert_eq!(server.get(path).await.status, StatusCode::UNPROCESSABLE_ENTITY, "{path}");
    }
    assert_eq!(server.head().await, head, "nothing of it was recorded");
}

#[tokio::test]
async fn there_are_only_so_many_webhooks() {
    let server = Server::start().await;
    for _ in 0..execution_ledger_domain::limits::webhook::WEBHOOKS_MAX {
        registered(&server).await;
    }
    let refused = server.post("/api/webhooks", &billing()).await;
    assert_eq!(refused.problem().1, "too_many_webhooks");
    assert_eq!(refused.json()["limit"], 100);
}
