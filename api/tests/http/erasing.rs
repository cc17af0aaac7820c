//! Erasing texts and taking exports, over HTTP.

use axum::http::{Method, StatusCode};
use execution_ledger_domain::Digest;
use execution_ledger_store::{Position, With};
use serde_json::{Value, json};

use crate::support::Server;

/// Accepts a task and cancels it, so that it has ended without ever having run.
async fn ended(server: &Server, message: &str) -> (String, String) {
    let (id, _) = server.submit("a", message).await;
    let path = format!("/api/agents/a/executions/{id}");
    let stopped = server.call(Method::POST, &format!("{path}/terminate"), "{}").await;
    assert_eq!(stopped.json()["status"], "cancelled", "{}", stopped.text);
    (id, path)
}

async fn erase(server: &Server, body: &Value) -> crate::support::Answer {
    server.call(Method::POST, "/api/erase", &body.to_string()).await
}

async fn message_digest(server: &Server, id: &str) -> Digest {
    let stream = format!("execution-{id}").parse().expect("a stream");
    let events = server.store.read_stream(&stream, 0, 1, With::EventsOnly).await.expect("read");
    events[0].event().expect("an event").content_refs()[0].sha256
}

#[tokio::test]
async fn a_text_is_erased_at_once_everywhere_and_as_of_every_moment_with_who_and_why() {
    let server = Server::start().await;
    server.paused_agent("a").await;
    let (id, path) = ended(&server, "meet Zanzibarette at noon").await;
    let before = server.get(&path).await;
    assert_eq!(before.json()["message"], "meet Zanzibarette at noon");
    let moment = before.header("ledger-position").expect("a position").to_owned();

    let body = json!({"execution_id": id, "reason": "asked by the user", "dry_run": true});
    let preview = erase(&server, &body).await;
    assert_eq!(preview.status, StatusCode::OK, "{}", preview.text);
    let preview = preview.json();
    assert_eq!((&preview["texts"], &preview["overwritten"]), (&json!(1), &Value::Null));
    assert_eq!(preview["places"][0]["stream"], format!("execution-{id}"));
    assert_eq!(preview["places"][0]["part"], "message");
    assert_eq!(server.get(&path).await.json()["message"], "meet Zanzibarette at noon");

    let body = json!({"execution_id": id, "reason": "asked by the user"});
    let done = erase(&server, &body).await;
    assert_eq!(done.status, StatusCode::OK, "{}", done.text);
    let done = done.json();
    assert_eq!((&done["texts"], &done["overwritten"]), (&json!(1), &json!(true)), "{done}");
    let position = done["position"].as_str().expect("a position");
    for query in [format!("wait_for={position}"), format!("as_of={moment}")] {
        let record = server.get(&format!("{path}?{query}")).await.json();
        assert_eq!((&record["message"], &record["erased"]), (&Value::Null, &json!(["message"])));
        let list = server.get(&format!("/api/executions?q=zanzibarette&{query}")).await.json();
        assert_eq!(list["executions"], json!([]));
    }
    let events = server.get("/api/events?type=content.erased").await.json();
    let event = &events["events"][0];
    assert_eq!(
        (&event["actor"]["id"], &event["data"]["of"]),
        (&json!("admin"), &json!({"kind": "execution", "id": id}))
    );
    let again = erase(&server, &body).await.json();
    assert_eq!((&again["texts"], &again["erased_before"]), (&json!(0), &json!(1)));
    let exported = server.get("/api/export?format=ndjson").await.text;
    assert!(!exported.contains("Zanzibarette") && exported.contains("\"erased\":true"));
    assert!(exported.contains("asked by the user"));
}

#[tokio::test]
async fn what_goes_on_keeps_its_texts_and_what_is_unknown_is_told() {
    let server = Server::start().await;
    server.paused_agent("a").await;
    let (waiting, position) = server.submit("a", "still to be done").await;
    let (_, ended) = ended(&server, "done").await;
    let digest = message_digest(&server, &waiting).await;
    for target in [json!({"execution_id": waiting}), json!({"content": digest})] {
        let mut body = target.clone();
        body["reason"] = json!("x");
        let refused = erase(&server, &body).await;
        assert_eq!(refused.problem(), (409, "not_ended".to_owned(), None), "{}", refused.text);
        assert_eq!(refused.json()["execution_id"], waiting);
    }
    let body = json!({"user": "admin", "reason": "x", "limit": 1});
    let mut answer = erase(&server, &body).await.json();
    let (mut texts, mut open) = (0, 0);
    loop {
        texts += answer["texts"].as_u64().expect("a count");
        open += answer["open"].as_u64().expect("a count");
        let Some(cursor) = answer["next_cursor"].as_str() else { break };
        let mut body = body.clone();
        body["cursor"] = json!(cursor);
        answer = erase(&server, &body).await.json();
    }
    assert_eq!((texts, open), (1, 1));
    assert_eq!(
        server.get(&format!("{ended}?wait_for={position}")).await.json()["message"],
        Value::Null
    );

    let nil = uuid::Uuid::nil();
    let long = "x".repeat(1_001);
    for (body, status, code, field) in [
        (json!({"execution_id": nil, "reason": "x"}), 404, "execution_not_found", "execution_id"),
        (json!({"session_id": nil, "reason": "x"}), 404, "session_not_found", "session_id"),
        (json!({"user": "nobody", "reason": "x"}), 404, "nothing_to_erase", "user"),
        (json!({"content": "0".repeat(64), "reason": "x"}), 404, "nothing_to_erase", "content"),
        (json!({"reason": "x"}), 422, "invalid_field", "content"),
        (json!({"user": "a", "execution_id": nil, "reason": "x"}), 422, "invalid_field", "content"),
        (json!({"user": "a"}), 422, "missing_field", "reason"),
        (json!({"user": "a", "reason": ""}), 422, "invalid_field", "reason"),
        (json!({"user": "a", "reason": long}), 422, "invalid_field", "reason"),
        (json!({"user": "a", "reason": "x", "limit": 0}), 422, "invalid_field", "limit"),
        (json!({"user": "a", "reason": "x", "limit": 1_001}), 422, "invalid_field", "limit"),
        (json!({"user": "a", "reason": "x", "cursor": "other-7"}), 409, "other_log", "cursor"),
        (json!({"user": "a", "reason": "x", "cursor": "?"}), 422, "invalid_parameter", "cursor"),
        (json!({"content": "xyz", "reason": "x"}), 422, "invalid_field", "content"),
        (json!({"everything": true, "reason": "x"}), 422, "unknown_field", "everything"),
    ] {
        let (is, found, named) = erase(&server, &body).await.problem();
        assert_eq!((is, &*found, named.as_deref()), (status, code, Some(field)), "{body}");
    }
}

#[tokio::test]
async fn an_export_is_whole_and_the_log_is_told_of_it_before_its_first_byte() {
    let server = Server::start().await;
    server.paused_agent("a").await;
    ended(&server, "do it").await;
    let before = server.store.head().await.expect("a head");
    let answer = server.get("/api/export?format=ndjson").await;
    assert_eq!(answer.header("content-type"), Some("application/x-ndjson"));
    let lines: Vec<&str> = answer.text.lines().collect();
    let read = |line: &str| serde_json::from_str::<Value>(line).expect("JSON");
    let trailer = read(lines.last().expect("lines"));
    assert_eq!(trailer["events"], json!(lines.len() - 2));
    let body_end = answer.text.trim_end().rfind('\n').expect("lines") + 1;
    assert_eq!(trailer["sha256"], json!(Digest::of(&answer.text.as_bytes()[..body_end])));
    let told = read(lines[lines.len() - 2]);
    assert_eq!(told["type"], "access.read", "the export tells of itself");
    assert_eq!(
        (&told["data"]["kind"], &told["metadata"]["actor"]["id"]),
        (&json!("export"), &json!("admin"))
    );
    let after = server.store.head().await.expect("a head");
    assert_eq!(after.number(), before.number() + 1);

    let csv = server.get("/api/export?format=csv&type=execution.pending").await.text;
    assert_eq!(csv.lines().count(), 2, "{csv}");
    let all = server.store.read_all(Position::START, 100, With::EventsOnly).await.expect("read");
    let told = all.iter().filter(|event| event.type_name == "access.read").count();
    assert_eq!(told, 2, "each export is told");
    for query in
        ["", "?format=xml", "?format=csv&type=no.such", "?format=csv&from=then", "?format=csv&x=1"]
    {
        let refused = server.get(&format!("/api/export{query}")).await;
        assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY, "{query}");
    }
    assert_eq!(server.store.head().await.expect("a head").number(), after.number() + 1);
}
