//! What a run sees: what its agent ran or started for the user whom it runs for, whichever way it asks.

use axum::http::Method;
use execution_ledger_api::serve;
use execution_ledger_domain::execution::{Command, Execution};
use execution_ledger_domain::{Actor, ClaimId, ExecutionId, StreamName};
use execution_ledger_store::Context;
use futures::StreamExt;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use uuid::Uuid;

use crate::keys::run_token;
use crate::mcp::{call, refusal};
use crate::support::{PATIENCE, Server};

/// An agent that works for two users: what it did for each, and a run for the first.
struct ForTwo {
    server: Server,
    /// The token of the run for ada.
    run: String,
    own: String,
    adas: String,
    bobs: String,
}

async fn for_two() -> ForTwo {
    let server = Server::start().await;
    server.paused_agent("a").await;
    let task = json!({"message": "x", "async_mode": true});
    let mut ended = Vec::new();
    for (number, user) in [(1, "bob"), (2, "ada")] {
        let (_, key) = server.issue(&json!({"name": user, "role": "user"})).await;
        let answer = server.call_as(&key, Method::POST, "/api/agents/a/task", &task).await;
        let id = answer.json()["execution_id"].as_str().expect("an id").to_owned();
        live(&server, &id, number).await;
        let next = server.call_as(&key, Method::POST, "/api/agents/a/task", &task).await;
        ended.push((id, next.json()["execution_id"].as_str().expect("an id").to_owned()));
    }
    let (adas, own) = ended.pop().expect("ada's");
    let (bobs, _) = ended.pop().expect("bob's");
    let run = run_token(&server, &own).await;
    ForTwo { server, run, own, adas, bobs }
}

/// A run from its start to its end.
async fn live(server: &Server, id: &str, number: u128) {
    let claim = ClaimId(Uuid::from_u128(number));
    let now = server.ledger.now();
    let observed = execution_ledger_domain::given::observed(claim, now);
    let context = Context {
        actor: Actor::system("test"),
        correlation_id: Some(id.to_owned()),
        causation_id: None,
        traceparent: None,
    };
    let stream = StreamName::execution(id.parse::<ExecutionId>().expect("an id"));
    for command in [crate::streams::start_of(claim, now), Command::Finish(Box::new(observed))] {
        let done = server.ledger.execute::<Execution>(&stream, command, &[], &context).await;
        let done = done.expect("a step");
        server.views.wait_for(done.position, PATIENCE).await.expect("in time");
    }
}

#[tokio::test]
async fn through_the_tools_a_run_sees_nothing_of_what_its_agent_does_for_another_user() {
    let ForTwo { server, run, own, adas, bobs } = for_two().await;
    for tool in ["get_execution_result", "get_execution_events", "cancel_execution"] {
        let asked = json!({"execution_id": bobs});
        let (code, field) = refusal(&server, &run, tool, asked).await;
        let refused = (code.as_str(), field);
        assert_eq!(refused, ("execution_not_found", json!("execution_id")), "{tool}");
    }
    for tool in ["get_execution_result", "get_execution_events"] {
        let found = call(&server, &run, tool, json!({"execution_id": adas})).await;
        assert_eq!(found["isError"], json!(false), "{tool}: {found}");
    }
    let list = call(&server, &run, "list_recent_executions", json!({"agent_name": "a"})).await;
    let rows = list["structuredContent"]["executions"].as_array().expect("rows").iter();
    let ids: Vec<_> = rows.map(|row| row["execution_id"].clone()).collect();
    assert_eq!(ids, [json!(own), json!(adas)]);
    let asked = json!({"agent_name": "a"});
    let summary = call(&server, &run, "get_agent_activity_summary", asked).await;
    assert!(!summary.to_string().contains(&bobs), "{summary}");
    assert_eq!(summary["structuredContent"]["total"], 2, "{summary}");
}

#[tokio::test]
async fn a_run_is_told_of_nothing_that_happens_for_another_user() {
    let ForTwo { server, run, own, adas, bobs } = for_two().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let app = server.app.clone();
    tokio::spawn(serve(listener, None, app, |interface| interface, std::future::pending()));
    let url = format!("ws://{address}/ws?last_event_id={}-0", server.store.log_id());
    let mut request = url.into_client_request().expect("a request");
    let value = format!("Bearer {run}").parse().expect("a value");
    request.headers_mut().insert("authorization", value);
    let (mut socket, _) = tokio_tungstenite::connect_async(request).await.expect("a WebSocket");
    let mut told: Vec<String> = Vec::new();
    // All of the past comes before what its own run began with, which was last.
    while told.last() != Some(&own) {
        let message = tokio::time::timeout(PATIENCE, socket.next()).await.expect("in time");
        let Message::Text(text) = message.expect("a message").expect("well-formed") else {
            continue;
        };
        let news: Value = serde_json::from_str(&text).expect("JSON");
        if let Some(id) = news["details"]["execution_id"].as_str() {
            told.push(id.to_owned());
        }
    }
    assert!(told.contains(&adas) && !told.contains(&bobs), "{told:?}");
}
