//! How large, how fast, how much: what is beyond is refused in time.

use std::num::NonZeroU32;
use std::time::Duration;

use axum::body::Body;
use axum::http::{Method, Request, StatusCode};
use bytes::Bytes;
use execution_ledger_api::Options;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::{PATIENCE, Server};

fn task(body: Body) -> Request<Body> {
    Server::request(Method::POST, "/api/agents/a/task")
        .header("content-type", "application/json")
        .body(body)
        .expect("a request")
}

#[tokio::test]
async fn a_body_beyond_the_limit_is_refused_however_it_comes() {
    let server = Server::with(Options { body_max_bytes: 1_000, ..Options::default() }).await;
    server.paused_agent("a").await;
    let head = server.head().await;
    let large = json!({"message": "x".repeat(1_000)}).to_string();
    let whole = server.send(task(Body::from(large.clone()))).await;
    assert_eq!(whole.problem(), (413, "body_too_large".to_owned(), None));
    assert_eq!(whole.json()["limit"], 1_000);
    assert_eq!(whole.header("connection"), Some("close"), "the rest is not read");
    let parts = futures::stream::iter(
        large
            .into_bytes()
            .chunks(100)
            .map(|part| Ok::<_, std::io::Error>(Bytes::copy_from_slice(part)))
            .collect::<Vec<_>>(),
    );
    let chunked = server.send(task(Body::from_stream(parts))).await;
    assert_eq!(chunked.problem(), (413, "body_too_large".to_owned(), None));
    assert_eq!(server.head().await, head, "something was stored");
}

#[tokio::test]
async fn a_body_that_comes_too_slowly_is_given_up() {
    let server =
        Server::with(Options { body_timeout: Duration::from_millis(50), ..Options::default() })
            .await;
    server.paused_agent("a").await;
    let listening = server.listen().await;
    let mut socket = TcpStream::connect(listening.address).await.expect("a connection");
    let head = "POST /api/agents/a/task HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer elk_test\r\n\
                Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{\"message\"";
    socket.write_all(head.as_bytes()).await.expect("sent");
    let mut answer = vec![0_u8; 4096];
    let read = tokio::time::timeout(PATIENCE, socket.read(&mut answer)).await;
    let length = read.expect("an answer in time").expect("an answer");
    let text = String::from_utf8_lossy(&answer[..length]);
    assert!(text.starts_with("HTTP/1.1 408 "), "{text}");
    assert!(text.contains("request_timeout"), "{text}");
}

#[tokio::test]
async fn addresses_and_headers_beyond_the_limits_are_refused() {
    let server = Server::start().await;
    let long = format!("/api/executions?q={}", "x".repeat(9_000));
    assert_eq!(server.get(&long).await.problem().0, 414);
    let wide = Server::request(Method::GET, "/api/agents").header("x-wide", "x".repeat(33 * 1024));
    let answer = server.send(wide.body(Body::empty()).expect("a request")).await;
    assert_eq!(answer.problem(), (431, "headers_too_large".to_owned(), None));
    let mut many = Server::request(Method::GET, "/api/agents");
    for index in 0..100 {
        many = many.header(format!("x-{index}"), "x");
    }
    let answer = server.send(many.body(Body::empty()).expect("a request")).await;
    assert_eq!(answer.problem().0, 431);
}

#[tokio::test]
async fn heads_beyond_the_limits_are_answered_with_a_problem_on_a_real_connection_too() {
    let server = Server::start().await;
    let listening = server.listen().await;
    let many = (0..150).fold(String::new(), |text, index| format!("{text}X-{index}: x\r\n"));
    let long = "x".repeat(60_000);
    for (path, headers, status, code) in [
        ("/api/agents", many.as_str(), "431", "headers_too_large"),
        (&format!("/api/agents?q={long}"), "", "414", "uri_too_long"),
    ] {
        let head =
            format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{headers}\r\n");
        let mut socket = TcpStream::connect(listening.address).await.expect("a connection");
        socket.write_all(head.as_bytes()).await.expect("sent");
        let mut text = String::new();
        let read = tokio::time::timeout(PATIENCE, socket.read_to_string(&mut text)).await;
        read.expect("an answer in time").expect("an answer");
        assert!(text.starts_with(&format!("HTTP/1.1 {status} ")), "{text}");
        assert!(text.contains(code), "{text}");
    }
}

#[tokio::test]
async fn another_host_another_path_and_another_method_are_told_apart() {
    let server = Server::start().await;
    let request = Request::builder().uri("/api/agents").header("host", "evil.example");
    let answer = server.send(request.body(Body::empty()).expect("a request")).await;
    assert_eq!(answer.problem(), (421, "host_not_allowed".to_owned(), Some("Host".to_owned())));
    assert_eq!(server.get("/api/nothing").await.problem(), (404, "not_found".to_owned(), None));
    let answer = server.call(Method::PATCH, "/api/agents/a", "{}").await;
    assert_eq!(answer.problem(), (405, "method_not_allowed".to_owned(), None));
    let allow = answer.header("allow").expect("the methods that it knows");
    for method in ["GET", "PUT", "DELETE"] {
        assert!(allow.contains(method), "{allow}");
    }
}

#[tokio::test]
async fn a_key_that_asks_too_often_is_told_when_to_come_again() {
    let options =
        Options { rate_per_s: NonZeroU32::MIN, rate_burst: NonZeroU32::MIN, ..Options::default() };
    let server = Server::with(options).await;
    assert_eq!(server.get("/api/agents").await.status, StatusCode::OK);
    let answer = server.get("/api/agents").await;
    assert_eq!(answer.problem(), (429, "rate_limited".to_owned(), None));
    assert!(answer.header("retry-after").is_some());
}

#[tokio::test]
async fn more_requests_or_streams_at_once_than_may_be_are_refused() {
    let server = Server::with(Options { requests_max: 0, ..Options::default() }).await;
    let answer = server.get("/api/agents").await;
    assert_eq!(answer.problem(), (503, "overloaded".to_owned(), None));
    assert_eq!(server.get("/healthz").await.status, StatusCode::OK, "a busy server is alive");
    let server = Server::with(Options { streams_max: 0, ..Options::default() }).await;
    let request = Server::request(Method::GET, "/api/events").header("accept", "text/event-stream");
    let answer = server.send(request.body(Body::empty()).expect("a request")).await;
    assert_eq!(answer.problem(), (503, "overloaded".to_owned(), None));
}

#[tokio::test]
async fn every_answer_carries_an_id_and_forbids_what_browsers_might_do_with_it() {
    let server = Server::start().await;
    for path in ["/api/agents", "/nothing", "/healthz"] {
        let answer = server.get(path).await;
        assert!(answer.header("x-request-id").is_some_and(|id| id.len() == 36));
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
        assert_eq!(answer.header("cache-control"), Some("no-store"));
        assert!(
            answer
                .header("content-security-policy")
                .is_some_and(|p| p.contains("default-src 'none'"))
        );
    }
}

#[tokio::test]
async fn a_trace_context_is_kept_with_what_a_request_leads_to() {
    let server = Server::start().await;
    server.paused_agent("a").await;
    let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let request = Server::request(Method::POST, "/api/agents/a/task")
        .header("content-type", "application/json")
        .header("traceparent", trace)
        .body(Body::from(r#"{"message":"x","async_mode":true}"#));
    let answer = server.send(request.expect("a request")).await;
    let id = answer.json()["execution_id"].as_str().expect("an id").parse().expect("an id");
    let stream = execution_ledger_domain::StreamName::execution(id);
    let with = execution_ledger_store::With::EventsOnly;
    let events = server.store.read_stream(&stream, 0, 1, with).await.expect("events");
    let metadata = events[0].parsed_metadata().expect("metadata");
    assert_eq!(metadata.traceparent.as_deref(), Some(trace));
    let events = server.get(&format!("/api/events?stream={}", stream.as_str())).await.json();
    assert_eq!(events["events"][0]["traceparent"], trace);
    assert_eq!(Some(metadata.causation_id.as_str()), answer.header("x-request-id"));
}
