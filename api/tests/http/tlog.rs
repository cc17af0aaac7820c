//! The notary's tree over HTTP.

use axum::body::Body;
use axum::http::{Method, StatusCode};
use execution_ledger_replay::notary::SignedCheckpoint;
use http_body_util::BodyExt;
use serde_json::json;
use tower::ServiceExt;

use crate::support::{PATIENCE, Server};

/// The latest checkpoint, once there is one.
async fn checkpoint(server: &Server) -> SignedCheckpoint {
    let asked = async {
        loop {
            let request = Server::request(Method::GET, "/tlog/checkpoint");
            let answer = server.send(request.body(Body::empty()).expect("a request")).await;
            if answer.status == StatusCode::OK {
                return SignedCheckpoint::parse(&answer.text).expect("a checkpoint");
            }
            assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{}", answer.text);
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, asked).await.expect("a checkpoint in time")
}

/// The status and the body of an answer that is no text.
async fn bytes(server: &Server, path: &str) -> (u16, Vec<u8>) {
    let request = Server::request(Method::GET, path).body(Body::empty()).expect("a request");
    let answer = server.router.clone().oneshot(request).await.expect("never an error");
    let (head, body) = answer.into_parts();
    let body = body.collect().await.expect("a body").to_bytes();
    (head.status.as_u16(), body.to_vec())
}

#[tokio::test]
async fn checkpoint_tiles_and_entries_are_answered_as_far_as_the_tree_reaches() {
    let server = Server::start().await;
    server.paused_agent("a").await;
    let size = checkpoint(&server).await.checkpoint.size;
    assert!(size > 0);
    let hashes = bytes(&server, &format!("/tlog/tile/0/000.p/{size}")).await;
    assert_eq!((hashes.0, hashes.1.len() as u64), (200, size * 32));
    let entries = bytes(&server, &format!("/tlog/tile/entries/000.p/{size}")).await;
    assert_eq!(entries.0, 200);
    assert!(entries.1.windows(7).any(|bytes| bytes == b"agent-a"));
    for nothing in [
        "/tlog/tile/0/000",
        "/tlog/tile/0/000.p/200",
        "/tlog/tile/0/001.p/1",
        "/tlog/tile/1/000.p/1",
        "/tlog/tile/7/000",
        "/tlog/tile/0/0",
        "/tlog/tile/entries/000",
        "/tlog/tile/entries/..%2f..%2fkey",
        "/tlog/tile/0/../../key",
    ] {
        assert_eq!(bytes(&server, nothing).await.0, 404, "{nothing}");
    }
}

#[tokio::test]
async fn readiness_says_what_the_notary_does() {
    let server = Server::start().await;
    server.paused_agent("a").await;
    checkpoint(&server).await;
    let request = Server::request(Method::GET, "/readyz");
    let answer = server.send(request.body(Body::empty()).expect("a request")).await;
    assert_eq!(answer.json(), json!({"status": "ready", "notary": "live"}));
}
