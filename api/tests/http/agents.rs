//! Agents.

use axum::http::{Method, StatusCode};
use serde_json::json;

use crate::support::Server;

#[tokio::test]
async fn an_agent_lives_from_its_registration_to_its_retirement() {
    let server = Server::start().await;
    let body =
        json!({"name": "a", "runtime": "command", "command": ["/bin/true"], "max_cost_usd": 0.25});
    let made = server.post("/api/agents", &body).await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.text);
    assert_eq!(made.header("location"), Some("/api/agents/a"));
    let agent = made.json();
    assert_eq!((&agent["status"], &agent["max_cost_usd"]), (&json!("active"), &json!(0.25)));
    assert_eq!((&agent["queue_limit"], &agent["grace_s"]), (&json!(50), &json!(5)));

    let twice = server.post("/api/agents", &body).await;
    assert_eq!(twice.problem(), (409, "agent_exists".to_owned(), Some("name".to_owned())));

    let body = json!({"runtime": "command", "command": ["/bin/false"], "timeout_s": 60});
    let changed = server.call(Method::PUT, "/api/agents/a", body.to_string()).await;
    assert_eq!(changed.status, StatusCode::OK, "{}", changed.text);
    assert_eq!(changed.json()["timeout_s"], 60);
    assert_eq!(
        changed.json()["max_cost_usd"],
        json!(null),
        "a setting that is left out is as by default"
    );
    let other = json!({"name": "b", "runtime": "demo"}).to_string();
    let renamed = server.call(Method::PUT, "/api/agents/a", other).await;
    assert_eq!(renamed.problem(), (422, "invalid_field".to_owned(), Some("name".to_owned())));

    assert_eq!(server.post("/api/agents/a/pause", &json!({})).await.json()["status"], "paused");
    let (id, position) = server.submit("a", "x").await;
    let capacity = server.get(&format!("/api/agents/a/capacity?wait_for={position}")).await.json();
    assert_eq!(capacity["queue"][0]["execution_id"], id.as_str());
    assert_eq!(capacity["queue"][0]["reason"], "agent_paused");
    assert_eq!((&capacity["slots"], &capacity["pending"]), (&json!([]), &json!(1)));

    let retired = server.call(Method::DELETE, "/api/agents/a", "").await;
    assert_eq!(retired.json()["status"], "retired", "{}", retired.text);
    let task = json!({"message": "x", "async_mode": true});
    assert_eq!(server.post("/api/agents/a/task", &task).await.problem().1, "agent_retired");
    assert_eq!(server.post("/api/agents/a/resume", &json!({})).await.problem().1, "agent_retired");
    assert_eq!(
        server.post("/api/agents/none/pause", &json!({})).await.problem().1,
        "agent_not_found"
    );
    assert_eq!(server.get("/api/agents/none").await.problem().1, "agent_not_found");
}

#[tokio::test]
async fn an_agents_answer_never_shows_what_looks_like_a_secret() {
    let server = Server::start().await;
    let secret = "ghp_012345678901234567890123456789abcdef";
    let body = json!({
        "name": "a", "runtime": "command", "command": ["/bin/echo", format!("--token={secret}")],
        "env": {"COLOR": "red"},
        "env_from": {"API_KEY": {"file": "/run/secrets/key"}},
    });
    let made = server.post("/api/agents", &body).await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.text);
    assert!(!made.text.contains(secret), "{}", made.text);
    assert_eq!(made.json()["env"]["COLOR"], "red");
    assert_eq!(made.json()["env_from"]["API_KEY"]["file"], "/run/secrets/key");
    assert!(!server.get("/api/agents").await.text.contains(secret));
    let mut body = body;
    body["name"] = json!("b");
    body["env"] = json!({"GREETING": secret});
    let refused = server.post("/api/agents", &body).await;
    assert_eq!(refused.problem(), (422, "invalid_field".to_owned(), Some("env".to_owned())));
    assert!(!refused.text.contains(secret), "{}", refused.text);
}
