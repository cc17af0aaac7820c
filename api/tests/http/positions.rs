//! Reading one's own writes, and the past.

use axum::body::Body;
use axum::http::{Method, StatusCode};
use serde_json::json;

use crate::support::Server;

#[tokio::test]
async fn an_answer_as_of_a_position_is_what_was_known_then() {
    let server = Server::start().await;
    server.paused_agent("a").await;
    let (id, submitted) = server.submit("a", "x").await;
    let path = format!("/api/agents/a/executions/{id}");
    let stopped = server.post(&format!("{path}/terminate"), &json!({})).await.json();
    let ended = stopped["position"].as_str().expect("a position");

    let then = server.get(&format!("{path}?as_of={submitted}&wait_for={ended}")).await;
    assert_eq!(then.status, StatusCode::OK, "{}", then.text);
    assert_eq!(then.json()["status"], "pending");
    assert_eq!(then.json()["events"].as_array().map(Vec::len), Some(1));
    assert_eq!(then.header("ledger-position"), Some(submitted.as_str()));
    let now = server.get(&format!("{path}?as_of={ended}")).await.json();
    assert_eq!(
        (&now["status"], now["events"].as_array().map(Vec::len)),
        (&json!("cancelled"), Some(2))
    );
    let events = server.get(&format!("/api/events?as_of={submitted}")).await.json();
    let last = events["events"].as_array().and_then(|rows| rows.last()).expect("events");
    assert_eq!((&last["position"], &events["next_cursor"]), (&json!(submitted), &json!(null)));
    let early = server.get("/api/executions?as_of=2020-01-01T00:00:00Z").await;
    assert_eq!(early.json()["executions"], json!([]), "{}", early.text);
}

#[tokio::test]
async fn a_position_of_another_log_is_refused_and_one_that_never_comes_is_given_up() {
    let server = Server::start().await;
    for path in [
        "/api/executions?wait_for=other1-7",
        "/api/agents?as_of=other1-7",
        "/api/events?after=other1-7",
    ] {
        assert_eq!(server.get(path).await.problem().1, "other_log", "{path}");
    }
    let far = format!("{}-999999", server.store.log_id());
    let answer = server.get(&format!("/api/executions?wait_for={far}")).await;
    assert_eq!(answer.problem(), (504, "projection_behind".to_owned(), None));
    assert_eq!(answer.json()["wanted"], far);
}

#[tokio::test]
async fn the_log_is_read_by_pages_and_filters() {
    let server = Server::start().await;
    server.paused_agent("a").await;
    let (id, _) = server.submit("a", "x").await;
    let first = server.get("/api/events?limit=1").await.json();
    let event = &first["events"][0];
    for member in [
        "position",
        "stream",
        "revision",
        "type",
        "version",
        "event_id",
        "recorded_at",
        "actor",
        "correlation_id",
        "causation_id",
        "data",
    ] {
        assert!(!event[member].is_null(), "{member}");
    }
    let cursor = first["next_cursor"].as_str().expect("more");
    let rest = server.get(&format!("/api/events?cursor={cursor}")).await.json();
    let types: Vec<_> =
        rest["events"].as_array().expect("events").iter().map(|e| e["type"].clone()).collect();
    assert_eq!(types, ["agent.paused", "execution.pending"]);
    let own = server
        .get(&format!("/api/events?stream=execution-{id}&type=execution.pending"))
        .await
        .json();
    assert_eq!(own["events"].as_array().map(Vec::len), Some(1));
    assert_eq!(own["next_cursor"], json!(null));
}

#[tokio::test]
async fn a_position_beyond_the_end_of_the_log_is_refused_by_the_name_of_its_parameter() {
    let server = Server::start().await;
    server.paused_agent("a").await;
    let far = format!("{}-999999", server.store.log_id());
    let refused = |field: &str| (422, "invalid_parameter".to_owned(), Some(field.to_owned()));
    for (path, field) in [
        (format!("/api/events?after={far}"), "after"),
        (format!("/api/events?cursor={far}"), "cursor"),
        (format!("/api/events?as_of={far}"), "as_of"),
        (format!("/api/executions?as_of={far}"), "as_of"),
        (format!("/ws?last_event_id={far}"), "last_event_id"),
    ] {
        let answer = server.get(&path).await;
        assert_eq!(answer.problem(), refused(field), "{path}");
        assert!(answer.json()["detail"].as_str().is_some_and(|text| text.contains("beyond")));
    }
    for (path, last, field) in [
        ("/api/events", Some(far.as_str()), "Last-Event-ID"),
        (&format!("/api/events?after={far}"), None, "after"),
        ("/api/events?limit=3", None, "limit"),
    ] {
        let mut request = Server::request(Method::GET, path).header("accept", "text/event-stream");
        if let Some(last) = last {
            request = request.header("last-event-id", last);
        }
        let answer = server.send(request.body(Body::empty()).expect("a request")).await;
        assert_eq!(answer.problem(), refused(field), "{path}");
    }
}

#[tokio::test]
async fn a_transcript_says_what_it_has_seen_and_has_no_past() {
    let server = Server::start().await;
    server.paused_agent("a").await;
    let (id, position) = server.submit("a", "x").await;
    let path = format!("/api/agents/a/executions/{id}");
    for query in ["", "&limit=5"] {
        let answer = server.get(&format!("{path}/log?wait_for={position}{query}")).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
        let seen = answer.header("ledger-position").map(str::to_owned);
        // That it was read stands in the log too, behind what the first answer has seen.
        let expected = if query.is_empty() {
            position.clone()
        } else {
            format!("{}-{}", server.store.log_id(), server.head().await.number())
        };
        assert_eq!(seen, Some(expected));
    }
    for kind in ["log", "stream"] {
        let past = server.get(&format!("{path}/{kind}?as_of={position}")).await;
        let field = Some("as_of".to_owned());
        assert_eq!(past.problem(), (422, "invalid_parameter".to_owned(), field));
    }
    let far = format!("{}-999999", server.store.log_id());
    let late = server.get(&format!("{path}/log?wait_for={far}")).await;
    assert_eq!(late.problem().1, "projection_behind");
}
