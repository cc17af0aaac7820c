//! Who may do and see what through the tools.

use axum::body::Body;
use axum::http::StatusCode;
use serde_json::{Value, json};

use super::{LEGACY, answer, call, message, post, refusal, send};
use crate::keys::run_token;
use crate::support::{KEY, Server};

/// A key of that role: its id and the key.
pub async fn key(server: &Server, role: &str, user: &str, may_call: Value) -> (String, String) {
    let body = json!({"name": "k", "role": role, "user": user, "may_call": may_call});
    let issued = server.post("/api/keys", &body).await;
    assert_eq!(issued.status, StatusCode::CREATED, "{}", issued.text);
    let issued = issued.json();
    let text = |name: &str| issued[name].as_str().expect("a text").to_owned();
    (text("key_id"), text("key"))
}

#[tokio::test]
async fn a_run_reaches_its_own_agent_and_its_own_executions_and_nothing_else() {
    let server = Server::start().await;
    server.paused_agent("a").await;
    server.paused_agent("b").await;
    let (own, _) = server.submit("a", "mine").await;
    let (foreign, _) = server.submit("b", "not mine").await;
    let key = run_token(&server, &own).await;

    let task = json!({"agent_name": "a", "message": "more", "async": true});
    let child = call(&server, &key, "chat_with_agent", task).await["structuredContent"].clone();
    let found = json!({"execution_id": child["execution_id"]});
    let found = call(&server, &key, "get_execution_result", found).await;
    let found = &found["structuredContent"];
    assert_eq!(found["triggered_by"], "self_task");
    assert_eq!(found["parent_execution_id"], json!(own));

    let task = json!({"agent_name": "b", "message": "more"});
    let (code, field) = refusal(&server, &key, "chat_with_agent", task).await;
    assert_eq!((code.as_str(), field), ("agent_not_callable", json!("agent_name")));
    for tool in ["get_execution_result", "get_execution_events", "cancel_execution"] {
        let asked = json!({"execution_id": foreign});
        let (code, field) = refusal(&server, &key, tool, asked).await;
        assert_eq!(
            (code.as_str(), field),
            ("execution_not_found", json!("execution_id")),
            "{tool}"
        );
    }
    for tool in ["list_recent_executions", "get_agent_activity_summary"] {
        let (code, _) = refusal(&server, &key, tool, json!({"agent_name": "b"})).await;
        assert_eq!(code, "agent_not_found", "{tool}");
    }
    let all = call(&server, &key, "list_recent_executions", json!({})).await;
    let all = all["structuredContent"]["executions"].as_array().expect("rows").clone();
    assert_eq!(all.len(), 2);
    assert!(all.iter().all(|row| row["agent_name"] == "a"), "{all:?}");
}

#[tokio::test]
async fn each_role_has_its_rights_through_the_tools_too() {
    let server = Server::start().await;
    server.paused_agent("a").await;
    server.paused_agent("b").await;
    let (foreign, _) = server.submit("a", "not theirs").await;
    let it = json!({"execution_id": foreign});
    let task = json!({"agent_name": "a", "message": "x", "async": true});

    let (_, auditor) = key(&server, "auditor", "ann", Value::Null).await;
    for (tool, arguments) in [("chat_with_agent", &task), ("cancel_execution", &it)] {
        let (code, _) = refusal(&server, &auditor, tool, arguments.clone()).await;
        assert_eq!(code, "forbidden", "{tool}");
    }
    let found = call(&server, &auditor, "get_execution_result", it.clone()).await;
    assert_eq!(found["structuredContent"]["status"], "pending");

    let (_, billing) = key(&server, "billing", "bea", Value::Null).await;
    let named = json!({"agent_name": "a"});
    for (tool, arguments) in [
        ("chat_with_agent", &task),
        ("cancel_execution", &it),
        ("get_execution_result", &it),
        ("get_execution_events", &it),
        ("list_recent_executions", &named),
        ("get_agent_activity_summary", &named),
    ] {
        let (code, _) = refusal(&server, &billing, tool, arguments.clone()).await;
        assert_eq!(code, "forbidden", "{tool}");
    }

    let (_, user) = key(&server, "user", "uma", json!(["a"])).await;
    let own = call(&server, &user, "chat_with_agent", task).await["structuredContent"].clone();
    for tool in ["get_execution_result", "get_execution_events", "cancel_execution"] {
        let (code, _) = refusal(&server, &user, tool, it.clone()).await;
        assert_eq!(code, "execution_not_found", "{tool}");
    }
    let task = json!({"agent_name": "b", "message": "x"});
    assert_eq!(refusal(&server, &user, "chat_with_agent", task).await.0, "agent_not_callable");
    let list = call(&server, &user, "list_recent_executions", json!({})).await;
    let rows = list["structuredContent"]["executions"].as_array().expect("rows").clone();
    assert_eq!(rows.len(), 1);
    assert_eq!(rows[0]["execution_id"], own["execution_id"]);
}

#[tokio::test]
async fn whoever_reads_a_transcript_stands_in_the_log() {
    let server = Server::start().await;
    server.paused_agent("a").await;
    let (id, _) = server.submit("a", "x").await;
    for _ in 0..2 {
        let look = json!({"execution_id": id, "include_log": true});
        answer(&server, "get_execution_result", look).await;
    }
    let events = server.get("/api/events?type=access.read").await.json();
    let events = events["events"].as_array().expect("events").clone();
    assert_eq!(events.len(), 1, "{events:?}");
    assert_eq!(events[0]["data"]["execution_id"], json!(id));
}

#[tokio::test]
async fn strangers_and_pages_of_other_hosts_are_not_answered() {
    let server = Server::start().await;
    let list = message("tools/list", &json!({}));
    let answer = send(&server, "elk_wrong", LEGACY, &list).await;
    assert_eq!(answer.problem(), (401, "unauthorized".to_owned(), None));
    for (origin, status) in [
        ("http://localhost:3000", StatusCode::OK),
        ("https://evil.example", StatusCode::FORBIDDEN),
        ("null", StatusCode::FORBIDDEN),
    ] {
        let request = post(KEY, LEGACY, &list).header("origin", origin);
        let answer = server.send(request.body(Body::from(list.to_string())).expect("it")).await;
        assert_eq!(answer.status, status, "{origin}");
    }
    assert_eq!(server.get("/mcp").await.status, StatusCode::METHOD_NOT_ALLOWED);
}
