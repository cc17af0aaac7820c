//! Checking the history over HTTP, and proofs.

use std::time::Duration;

use axum::body::Body;
use axum::http::{Method, StatusCode};
use execution_ledger_replay::proof;
use tower::ServiceExt;

use crate::support::{PATIENCE, Server};

/// Between two looks at whether the last events are signed, which takes some ten seconds.
const LOOK: Duration = Duration::from_millis(100);

fn streamed() -> axum::http::Request<Body> {
    let request = Server::request(Method::GET, "/api/verify").header("accept", "text/event-stream");
    request.body(Body::empty()).expect("a request")
}

#[tokio::test]
async fn the_history_is_checked_and_the_report_says_what_was() {
    let server = Server::start().await;
    server.paused_agent("a").await;
    server.submit("a", "hello").await;
    let report = server.get("/api/verify").await;
    assert_eq!(report.status, StatusCode::OK, "{}", report.text);
    let report = report.json();
    assert_eq!((&report["sound"], &report["problems"]), (&true.into(), &serde_json::json!([])));
    assert!(report["events"].as_u64().is_some_and(|events| events >= 2), "{report}");
    let followed = server.send(streamed()).await;
    let report = followed.text.split("event: report\ndata: ").nth(1).expect("a report");
    assert!(report.contains("\"sound\":true"), "{report}");
}

#[tokio::test]
async fn one_check_goes_on_at_a_time_and_ends_with_whoever_asked_for_it() {
    let server = Server::start().await;
    let going = server.router.clone().oneshot(streamed()).await.expect("never an error");
    assert_eq!(going.status(), StatusCode::OK);
    let second = server.get("/api/verify").await;
    assert_eq!(second.problem().1, "overloaded");
    assert!(second.header("retry-after").is_some());
    drop(going);
    assert_eq!(server.get("/api/verify").await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_proof_can_be_checked_without_the_ledger() {
    let server = Server::start().await;
    server.paused_agent("a").await;
    let (id, _) = server.submit("a", "prove this").await;
    let path = format!("/api/agents/a/executions/{id}/proof");
    let made = async {
        loop {
            let answer = server.get(&path).await;
            if answer.status == StatusCode::OK {
                return answer;
            }
            assert_eq!(answer.problem().1, "not_ready", "{}", answer.text);
            tokio::time::sleep(LOOK).await;
        }
    };
    let answer = tokio::time::timeout(PATIENCE, made).await.expect("signed in time");
    let named = answer.header("content-disposition").expect("a file's name");
    assert!(named.contains(&id) && named.starts_with("attachment"), "{named}");
    let proven = proof::check(answer.text.as_bytes(), None).expect("it holds");
    assert_eq!((proven.execution_id.to_string(), proven.events), (id.clone(), 1));
    let other = server.get(&format!("/api/agents/b/executions/{id}/proof")).await;
    assert_eq!(other.problem().1, "execution_not_found");
}
