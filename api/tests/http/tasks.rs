//! Tasks and executions.

use std::time::Duration;

use axum::body::Body;
use axum::http::{Method, StatusCode};
use execution_ledger_api::Options;
use serde_json::json;

use crate::support::{PATIENCE, Server};

#[tokio::test]
async fn a_task_is_accepted_and_its_execution_read_at_once() {
    let server = Server::start().await;
    server.paused_agent("a").await;
    let body = json!({"message": "token ghp_012345678901234567890123456789abcdef please", "async_mode": true});
    let answer = server.post("/api/agents/a/task", &body).await;
    assert_eq!(answer.status, StatusCode::ACCEPTED);
    let accepted = answer.json();
    assert_eq!(accepted["status"], "pending");
    assert_eq!(accepted["redactions"], 1);
    let own = accepted["links"]["self"].as_str().expect("a link");

    let detail = server.get(own).await;
    assert_eq!(detail.status, StatusCode::OK, "{}", detail.text);
    assert!(detail.header("ledger-position").is_some());
    let record = detail.json();
    assert_eq!(record["execution_id"], accepted["execution_id"]);
    assert_eq!(record["triggered_by"], "manual");
    assert_eq!(record["waiting"]["reason"], "agent_paused");
    assert_eq!(record["waiting"]["place"], 1);
    assert_eq!(record["events"][0]["type"], "execution.pending");
    assert_eq!(record["events"][0]["position"], accepted["position"]);
    assert_eq!(record["events"][0]["actor"]["id"], "admin");
    assert!(!detail.text.contains("ghp_0123"), "a secret was answered: {}", detail.text);
}

#[tokio::test]
async fn the_same_idempotency_key_gives_the_same_execution_and_never_another() {
    let server = Server::start().await;
    server.paused_agent("a").await;
    let send = async |key: &str, message: &str| {
        let body = json!({"message": message, "async_mode": true}).to_string();
        let request = Server::request(Method::POST, "/api/agents/a/task")
            .header("content-type", "application/json")
            .header("idempotency-key", key)
            .body(Body::from(body));
        server.send(request.expect("a request")).await
    };
    let first = send("k-1", "x").await;
    assert_eq!(first.header("idempotent-replayed"), None);
    let again = send("k-1", "x").await;
    assert_eq!(again.header("idempotent-replayed"), Some("true"));
    assert_eq!(first.json(), again.json());
    let own = first.json()["links"]["terminate"].as_str().expect("a link").to_owned();
    assert_eq!(server.post(&own, &json!({})).await.status, StatusCode::ACCEPTED);
    assert_eq!(send("k-1", "x").await.json()["status"], "cancelled", "what has become of it");
    let reused = send("k-1", "y").await;
    let field = Some("Idempotency-Key".to_owned());
    assert_eq!(reused.problem(), (422, "idempotency_key_reused".to_owned(), field.clone()));
    assert_eq!(reused.json()["execution_id"], first.json()["execution_id"]);
    assert_ne!(send("k-2", "x").await.json()["execution_id"], first.json()["execution_id"]);
    for bad in ["", "with space", &"k".repeat(256)] {
        assert_eq!(
            send(bad, "x").await.problem(),
            (422, "invalid_header".to_owned(), field.clone())
        );
    }
}

#[tokio::test]
async fn a_full_queue_is_told_with_the_time_to_come_again() {
    let server = Server::start().await;
    let body = json!({"name": "a", "runtime": "demo", "max_parallel_tasks": 1, "queue_limit": 1});
    assert_eq!(server.post("/api/agents", &body).await.status, StatusCode::CREATED);
    assert_eq!(server.post("/api/agents/a/pause", &json!({})).await.status, StatusCode::OK);
    let task = json!({"message": "x", "async_mode": true});
    let mut accepted = 0;
    let refused = loop {
        let answer = server.post("/api/agents/a/task", &task).await;
        if answer.status != StatusCode::ACCEPTED {
            break answer;
        }
        accepted += 1;
        assert!(accepted <= 2, "the queue never fills");
    };
    assert_eq!(refused.problem(), (429, "queue_full".to_owned(), None));
    assert!(refused.header("retry-after").is_some());
    assert_eq!(refused.json()["limit"], 1);
}

#[tokio::test]
async fn a_waiting_execution_is_stopped_once_and_for_all() {
    let server = Server::start().await;
    server.paused_agent("a").await;
    server.paused_agent("b").await;
    let (id, _) = server.submit("a", "x").await;
    let foreign =
        server.post(&format!("/api/agents/b/executions/{id}/terminate"), &json!({})).await;
    assert_eq!(foreign.problem().1, "execution_not_found");
    let path = format!("/api/agents/a/executions/{id}/terminate");
    let stopped = server.call(Method::POST, &path, "").await;
    assert_eq!(stopped.status, StatusCode::ACCEPTED);
    assert_eq!(stopped.json()["status"], "cancelled");
    let again = server.post(&path, &json!({})).await;
    assert_eq!(again.json()["status"], "already_finished");
    let wait = stopped.json()["position"].as_str().expect("a position").to_owned();
    let list = server.get(&format!("/api/executions?status=cancelled&wait_for={wait}")).await;
    assert_eq!(list.json()["executions"][0]["execution_id"], id.as_str());
}

#[tokio::test]
async fn a_caller_that_waits_is_given_the_finished_record() {
    let server = Server::start().await;
    server.paused_agent("a").await;
    let task = json!({"message": "x"});
    // Asked before the submission: it may be stored before anything else is asked.
    let before = server.head().await;
    let (answer, ()) = tokio::join!(server.post("/api/agents/a/task", &task), async {
        let mut seen = server.views.positions();
        let more = seen.wait_for(|seen| *seen > before);
        drop(tokio::time::timeout(PATIENCE, more).await.expect("a submission"));
        let list = server.get("/api/executions").await.json();
        let id = list["executions"][0]["execution_id"].as_str().expect("an id").to_owned();
        let path = format!("/api/agents/a/executions/{id}/terminate");
        assert_eq!(server.post(&path, &json!({})).await.status, StatusCode::ACCEPTED);
    });
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
    assert_eq!(answer.json()["status"], "cancelled");
    assert!(answer.header("ledger-position").is_some());
}

#[tokio::test]
async fn a_wait_that_is_over_names_the_execution_that_goes_on() {
    let options = Options { sync_wait: Duration::from_millis(30), ..Options::default() };
    let server = Server::with(options).await;
    server.paused_agent("a").await;
    let answer = server.post("/api/agents/a/task", &json!({"message": "x"})).await;
    assert_eq!(answer.problem(), (504, "still_running".to_owned(), None));
    let link = answer.json()["links"]["self"].as_str().expect("a link").to_owned();
    let record = server.get(&link).await.json();
    assert_eq!(record["status"], "pending");
    assert_eq!(record["execution_id"], answer.json()["execution_id"]);
}

#[tokio::test]
async fn every_list_and_sum_says_what_it_has_seen() {
    let server = Server::start().await;
    server.paused_agent("a").await;
    let (_, position) = server.submit("a", "find the needle").await;
    for (path, key) in [
        ("/api/executions?q=needle&agent=a", "executions"),
        ("/api/agents/a/executions?sort=created_at", "executions"),
        ("/api/executions/stats?triggered_by=manual", "total"),
        ("/api/executions/timeline?bucket=hour", "buckets"),
        ("/api/activities?type=task", "activities"),
        ("/api/costs?by=agent", "costs"),
        ("/api/agents?", "agents"),
        ("/api/agents/a?", "name"),
        ("/api/agents/a/capacity?", "queue"),
        ("/api/events?limit=2", "events"),
    ] {
        let answer = server.get(&format!("{path}&wait_for={position}")).await;
        assert_eq!(answer.status, StatusCode::OK, "{path}: {}", answer.text);
        assert!(answer.header("ledger-position").is_some(), "{path}");
        assert!(!answer.json()[key].is_null(), "{path}: {}", answer.text);
    }
    let waiting = &server.get("/api/executions").await.json()["executions"][0]["waiting"];
    assert_eq!(*waiting, json!({"reason": "agent_paused", "place": 1, "until": null}));
    let past = server.get(&format!("/api/executions?as_of={position}")).await.json();
    assert_eq!(past["executions"][0]["waiting"], json!(null));
    let stats = server.get("/api/executions/stats").await.json();
    assert_eq!((&stats["total"], &stats["pending"]), (&json!(1), &json!(1)));
    assert_eq!(
        server.get("/api/executions?q=needle").await.json()["executions"][0]["agent_name"],
        "a"
    );
    assert_eq!(server.get("/api/agents/none/executions").await.problem().1, "agent_not_found");
}

#[tokio::test]
async fn a_list_is_paged_without_gap_or_duplicate() {
    let server = Server::start().await;
    server.paused_agent("a").await;
    let mut submitted = Vec::new();
    let mut last = String::new();
    for index in 0..7 {
        let (id, position) = server.submit("a", &format!("task {index}")).await;
        submitted.push(id);
        last = position;
    }
    let mut listed = Vec::new();
    let mut next = format!("/api/executions?limit=3&wait_for={last}");
    loop {
        let page = server.get(&next).await.json();
        let rows = page["executions"].as_array().expect("rows").clone();
        listed
            .extend(rows.iter().map(|row| row["execution_id"].as_str().expect("an id").to_owned()));
        let Some(cursor) = page["next_cursor"].as_str() else { break };
        next = format!("/api/executions?limit=3&cursor={cursor}");
    }
    listed.reverse();
    assert_eq!(listed, submitted);
}
