//! What goes on: transcripts, the log and activities, over streams.

use std::time::Duration;

use axum::body::Body;
use axum::http::{Method, StatusCode};
use execution_ledger_domain::agent::Runtime;
use execution_ledger_domain::execution::{Command, Execution, TurnContext};
use execution_ledger_domain::{Actor, ClaimId, ExecutionId, StreamName, Timestamp};
use execution_ledger_process::orders::RunFiles;
use execution_ledger_process::transcript::{Line, OutputStream};
use execution_ledger_store::Context;
use futures::{SinkExt, StreamExt};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::MaybeTlsStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{Error, Message};
use tower::ServiceExt;
use uuid::Uuid;

use crate::support::{KEY, PATIENCE, Server};

/// The command by which the process manager takes a slot.
pub fn start_of(claim: ClaimId, now: Timestamp) -> Command {
    let turn = TurnContext::default();
    Command::Start { claim, runtime: Runtime::Command, now, turn, node: None }
}

/// The events of a stream as they come.
struct Events {
    body: Body,
    text: String,
}

impl Events {
    async fn open(server: &Server, path: &str, last_event_id: Option<&str>) -> Self {
        let mut request = Server::request(Method::GET, path).header("accept", "text/event-stream");
        if let Some(id) = last_event_id {
            request = request.header("last-event-id", id);
        }
        let request = request.body(Body::empty()).expect("a request");
        let response = server.router.clone().oneshot(request).await.expect("an answer");
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        assert!(response.headers().contains_key("ledger-position"), "{path}");
        Self { body: response.into_body(), text: String::new() }
    }

    /// The next event's fields; nothing at the end of the stream.
    async fn next(&mut self) -> Option<Vec<(String, String)>> {
        loop {
            if let Some((event, rest)) = self.text.split_once("\n\n") {
                let fields = event.lines().filter_map(|line| line.split_once(": "));
                let fields: Vec<_> =
                    fields.map(|(name, text)| (name.to_owned(), text.to_owned())).collect();
                self.text = String::from(rest);
                if fields.iter().any(|(name, _)| name == "data") {
                    return Some(fields);
                }
                continue;
            }
            let frame = tokio::time::timeout(PATIENCE, self.body.frame()).await;
            let bytes = frame.expect("something in time")?.expect("a frame").into_data();
            self.text.push_str(std::str::from_utf8(&bytes.expect("data")).expect("UTF-8"));
        }
    }

    async fn field(&mut self, name: &str) -> Option<String> {
        let event = self.next().await?;
        event.into_iter().find(|(field, _)| field == name).map(|(_, text)| text)
    }
}

fn print(server: &Server, execution: &str, claim: ClaimId, numbers: std::ops::RangeInclusive<u64>) {
    use std::io::Write as _;
    let id: ExecutionId = execution.parse().expect("an id");
    let files = RunFiles::new(&server.folder.path().join("runs"), id, claim);
    std::fs::create_dir_all(&files.directory).expect("a folder");
    std::fs::write(files.lock(), "{}").expect("a lock");
    let spool = std::fs::OpenOptions::new().create(true).append(true).open(files.spool());
    let mut text = String::new();
    for seq in numbers {
        let line = Line {
            seq,
            at: Timestamp::from_micros(1),
            stream: OutputStream::Stdout,
            line: format!("line {seq}"),
            continued: false,
            invalid_utf8: false,
        };
        text.push_str(&serde_json::to_string(&line).expect("JSON"));
        text.push('\n');
    }
    spool.expect("a spool").write_all(text.as_bytes()).expect("written");
}

#[tokio::test]
async fn a_transcript_is_followed_from_any_line_to_the_end_of_the_run() {
    let server = Server::start().await;
    server.paused_agent("a").await;
    let (id, _) = server.submit("a", "x").await;
    let claim = ClaimId(Uuid::now_v7());
    print(&server, &id, claim, 1..=3);
    let path = format!("/api/agents/a/executions/{id}");

    let mut all = Events::open(&server, &format!("{path}/stream"), None).await;
    let mut resumed = Events::open(&server, &format!("{path}/stream?after_seq=1"), Some("2")).await;
    for seq in ["1", "2", "3"] {
        assert_eq!(all.field("id").await.as_deref(), Some(seq));
    }
    assert_eq!(resumed.field("id").await.as_deref(), Some("3"));
    print(&server, &id, claim, 4..=4);
    for stream in [&mut all, &mut resumed] {
        let event = stream.next().await.expect("a line");
        assert_eq!(event[0], ("id".to_owned(), "4".to_owned()));
        let line: Value = serde_json::from_str(&event[1].1).expect("JSON");
        assert_eq!((&line["seq"], &line["line"]), (&json!(4), &json!("line 4")));
    }
    server.post(&format!("{path}/terminate"), &json!({})).await;
    for stream in [&mut all, &mut resumed] {
        let event = stream.next().await.expect("the end");
        assert_eq!(event[0], ("event".to_owned(), "end".to_owned()));
        assert!(event[1].1.contains("\"status\":\"cancelled\""), "{event:?}");
        assert!(stream.next().await.is_none(), "something comes after the end");
    }

    let page = server.get(&format!("{path}/log?after_seq=1&limit=2")).await.json();
    assert_eq!((&page["lines"][0]["seq"], &page["next_after_seq"]), (&json!(2), &json!(3)));
    let rest = server.get(&format!("{path}/log?after_seq=3")).await.json();
    assert_eq!(
        (&rest["lines"][0]["line"], &rest["next_after_seq"]),
        (&json!("line 4"), &json!(null))
    );
    let whole = server.get(&format!("{path}/log")).await;
    assert_eq!(whole.header("content-type"), Some("application/x-ndjson"));
    assert_eq!(whole.text.lines().count(), 4);
    let bad = Server::request(Method::GET, &format!("{path}/stream")).header("last-event-id", "x");
    let answer = server.send(bad.body(Body::empty()).expect("a request")).await;
    assert_eq!(answer.problem().1, "invalid_header");
}

#[tokio::test]
async fn the_log_is_followed_from_any_position_without_gap_or_duplicate() {
    let server = Server::start().await;
    server.paused_agent("a").await;
    let mut all = Events::open(&server, "/api/events", None).await;
    let first = all.field("id").await.expect("an event");
    let mut new =
        Events::open(&server, "/api/events?after=head&type=execution.pending", None).await;
    let (_, position) = server.submit("a", "x").await;
    assert_eq!(new.field("id").await, Some(position.clone()));
    let mut resumed = Events::open(&server, "/api/events", Some(&first)).await;
    for stream in [&mut all, &mut resumed] {
        let paused = stream.next().await.expect("an event");
        assert!(paused[1].1.contains("agent.paused"), "{paused:?}");
        assert_eq!(stream.field("id").await, Some(position.clone()));
    }
}

type Socket = tokio_tungstenite::WebSocketStream<MaybeTlsStream<TcpStream>>;

async fn watch(address: std::net::SocketAddr, query: &str) -> Result<Socket, Error> {
    let url = format!("ws://{address}/ws{query}");
    let mut request = url.into_client_request().expect("a request");
    let key = format!("Bearer {KEY}").parse().expect("a header");
    request.headers_mut().insert("authorization", key);
    tokio_tungstenite::connect_async(request).await.map(|(socket, _)| socket)
}

async fn told(socket: &mut Socket) -> Value {
    loop {
        let message = tokio::time::timeout(PATIENCE, socket.next()).await.expect("in time");
        match message.expect("a message").expect("no error") {
            Message::Text(text) => return serde_json::from_str(&text).expect("JSON"),
            Message::Ping(_) | Message::Pong(_) => {}
            other => panic!("unexpected: {other:?}"),
        }
    }
}

/// Takes a slot for a waiting execution, as the process manager does.
async fn start(server: &Server, id: &str) {
    let context = Context {
        actor: Actor::system("test"),
        correlation_id: Some(id.to_owned()),
        causation_id: Some(id.to_owned()),
        traceparent: None,
    };
    let stream = StreamName::execution(id.parse().expect("an id"));
    let command = start_of(ClaimId(Uuid::now_v7()), server.ledger.now());
    server.ledger.execute::<Execution>(&stream, command, &[], &context).await.expect("a start");
}

#[tokio::test]
async fn activities_are_told_as_they_happen_and_from_any_position_on() {
    let server = Server::start().await;
    server.paused_agent("a").await;
    let listening = server.listen().await;
    let mut live = watch(listening.address, "").await.expect("a socket");
    let (first, _) = server.submit("a", "one").await;
    start(&server, &first).await;
    let started = told(&mut live).await;
    assert_eq!(started["type"], "agent_activity");
    assert_eq!(
        (&started["activity_type"], &started["activity_state"]),
        (&json!("task"), &json!("started"))
    );
    assert_eq!(started["details"]["execution_id"], first.as_str());
    let (second, _) = server.submit("a", "two").await;
    start(&server, &second).await;
    let next = told(&mut live).await;
    assert_eq!(next["details"]["execution_id"], second.as_str());

    let position = started["position"].as_str().expect("a position");
    let resume = format!("?last_event_id={position}");
    let mut resumed = watch(listening.address, &resume).await.expect("a socket");
    assert_eq!(told(&mut resumed).await, next);
    let from_start = format!("?last_event_id={}-0", server.store.log_id());
    let mut all = watch(listening.address, &from_start).await.expect("a socket");
    assert_eq!(told(&mut all).await, started);
    assert_eq!(told(&mut all).await, next);
    let (third, _) = server.submit("a", "three").await;
    start(&server, &third).await;
    for socket in [&mut live, &mut resumed, &mut all] {
        assert_eq!(told(socket).await["details"]["execution_id"], third.as_str());
    }

    let refused = watch(listening.address, "?last_event_id=other1-1").await;
    let Err(Error::Http(response)) = refused else { panic!("a cursor of another log was taken") };
    assert_eq!(response.status(), 409);
    assert_eq!(server.get("/ws").await.problem().1, "upgrade_required");
}

#[tokio::test]
async fn whoever_wishes_it_is_told_that_something_else_changed_also_after_a_break() {
    let server = Server::start().await;
    let listening = server.listen().await;
    let begin = format!("{}-0", server.store.log_id());
    let mut all = watch(listening.address, "?changes=true").await.expect("a socket");
    let mut without = watch(listening.address, "").await.expect("a socket");
    server.paused_agent("a").await;
    let registered = told(&mut all).await;
    assert_eq!((&registered["type"], &registered["parts"]), (&json!("changed"), &json!(["agent"])));
    assert!(registered["position"].is_string(), "{registered}");
    let (id, _) = server.submit("a", "one").await;
    while told(&mut all).await["parts"] != json!(["execution"]) {}
    start(&server, &id).await;
    // Who did not wish it is told of activities alone.
    assert_eq!(told(&mut without).await["details"]["execution_id"], id.as_str());
    let resume = format!("?changes=true&last_event_id={begin}");
    let mut resumed = watch(listening.address, &resume).await.expect("a socket");
    let mut parts = Vec::new();
    loop {
        let one = told(&mut resumed).await;
        if one["type"] == "agent_activity" {
            continue;
        }
        parts.extend(one["parts"].as_array().expect("parts").clone());
        if parts.contains(&json!("execution")) && parts.contains(&json!("agent")) {
            break;
        }
    }
    assert!(watch(listening.address, "?changes=perhaps").await.is_err());
}

#[tokio::test]
async fn a_cancelled_wait_is_told_as_a_cancellation_and_as_an_end_and_none_is_lost_between() {
    let server = Server::start().await;
    server.paused_agent("a").await;
    let listening = server.listen().await;
    let mut live = watch(listening.address, "").await.expect("a socket");
    let (id, _) = server.submit("a", "one").await;
    let stop = format!("/api/agents/a/executions/{id}/terminate");
    assert_eq!(server.post(&stop, &json!({})).await.status, 202);
    let (cancellation, end) = (told(&mut live).await, told(&mut live).await);
    assert_eq!(cancellation["activity_type"], "cancellation");
    assert_eq!(
        (&end["activity_type"], &end["activity_state"]),
        (&json!("task"), &json!("cancelled"))
    );
    assert_eq!((&end["activity_id"], &end["details"]["execution_id"]), (&json!(id), &json!(id)));

    let position = cancellation["position"].as_str().expect("a position");
    let resume = format!("?last_event_id={position}");
    let mut resumed = watch(listening.address, &resume).await.expect("a socket");
    assert_eq!((told(&mut resumed).await, told(&mut resumed).await), (cancellation, end));
}

#[tokio::test]
async fn a_stopping_server_ends_every_stream_with_a_reason() {
    let server = Server::start().await;
    server.paused_agent("a").await;
    let (id, _) = server.submit("a", "x").await;
    let listening = server.listen().await;
    let mut socket = watch(listening.address, "").await.expect("a socket");
    let stream = format!("/api/agents/a/executions/{id}/stream");
    let mut lines = Events::open(&server, &stream, None).await;
    let mut log = Events::open(&server, "/api/events?after=head", None).await;
    listening.stop.send(()).expect("a server");
    for events in [&mut lines, &mut log] {
        let event = events.next().await.expect("a reason");
        assert_eq!(event[0], ("event".to_owned(), "close".to_owned()));
        assert!(event[1].1.contains("server_stopping"), "{event:?}");
        assert!(events.next().await.is_none());
    }
    let closed = loop {
        match tokio::time::timeout(PATIENCE, socket.next()).await.expect("in time") {
            Some(Ok(Message::Close(frame))) => break frame,
            Some(Ok(_)) => {}
            other => panic!("no farewell: {other:?}"),
        }
    };
    assert!(closed.is_some_and(|frame| frame.reason.contains("being stopped")));
    socket.flush().await.expect("the answer to the farewell");
    // What the test's own streams held is free once they are dropped.
    drop((lines, log));
    let ended = tokio::time::timeout(Duration::from_secs(15), listening.task).await;
    ended.expect("in time").expect("no panic").expect("no error");
    assert_eq!(server.get("/readyz").await.problem().1, "shutting_down");
}
