//! One of several nodes: whether it is ready, and when it answers what is done once.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::http::StatusCode;
use execution_ledger_store::MemoryBoard;
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::support::{AmongOthers, PATIENCE, Server};

/// The node's lease, in milliseconds.
const LEASE_MS: u64 = 400;

/// Waits until it is ready, or not.
async fn await_ready(server: &Server, status: StatusCode, is: impl Fn(&Value) -> bool) -> Value {
    let began = Instant::now();
    loop {
        let answer = server.get("/readyz").await;
        if answer.status == status && is(&answer.json()) {
            return answer.json();
        }
        assert!(began.elapsed() < PATIENCE, "{}", answer.text);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

async fn open_session(server: &Server) -> (u16, String) {
    let answer = server.post("/api/sessions", &json!({"agent_name": "nobody"})).await;
    (answer.status.as_u16(), answer.code())
}

#[tokio::test]
async fn a_node_is_ready_while_its_term_holds_and_changes_things_while_it_is_on_duty() {
    let board = Arc::new(MemoryBoard::default());
    let (server, station) = Server::among(AmongOthers { board, lease_ms: LEASE_MS }).await;
    let no_leader = || (503, "no_leader".to_owned());
    let unheard = server.get("/readyz").await;
    assert_eq!((unheard.status.as_u16(), unheard.code()), (503, "not_ready".to_owned()));
    assert!(unheard.text.contains("within its lease"), "{}", unheard.text);

    let (stop, stopped) = watch::channel(false);
    let running = tokio::spawn(station.clone().run(stopped));
    let began = Instant::now();
    while !station.leads() {
        assert!(began.elapsed() < PATIENCE, "it never leads");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    // It leads, and nothing that is done once is at work on it yet: it is read, and changes nothing.
    let told = await_ready(&server, StatusCode::OK, |_| true).await;
    assert_eq!(told["node"]["leader"], Value::Null, "{told}");
    assert_eq!(open_session(&server).await, no_leader());
    assert_eq!(server.get("/api/executions").await.status, StatusCode::OK);

    server.app.take_over(server.duties.clone());
    let told =
        await_ready(&server, StatusCode::OK, |told| told["node"]["leader"].is_string()).await;
    assert_eq!(told["node"]["leader"], told["node"]["node_id"], "{told}");
    let left = told["node"]["term_left_ms"].as_u64().expect("a number");
    assert!(left <= LEASE_MS, "{told}");
    assert!(told["node"]["looked_ms_ago"].is_u64(), "{told}");
    assert_eq!(open_session(&server).await, (404, "agent_not_found".to_owned()), "it was asked");

    server.app.hand_over();
    assert_eq!(open_session(&server).await, no_leader());
    server.app.take_over(server.duties.clone());

    // Nobody hears of it any more.
    stop.send_replace(true);
    running.await.expect("no panic");
    await_ready(&server, StatusCode::SERVICE_UNAVAILABLE, |told| told["code"] == "not_ready").await;
    assert_eq!(open_session(&server).await, no_leader());
}
