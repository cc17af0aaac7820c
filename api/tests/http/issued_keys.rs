//! Keys: issued, shown once, listed, revoked at once.

use axum::body::Body;
use axum::http::{Method, StatusCode};
use execution_ledger_domain::execution::{Command, Execution, FailureCode};
use execution_ledger_domain::{Actor, Content, StreamName};
use execution_ledger_store::Context;
use futures::StreamExt;
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::MaybeTlsStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tower::ServiceExt;

use crate::keys::run_token;
use crate::support::{PATIENCE, Server};

#[tokio::test]
async fn a_key_is_shown_once_and_kept_nowhere() {
    let server = Server::start().await;
    server.paused_agent("a").await;
    let body =
        json!({"name": "Nightly", "role": "agent", "user": "ada", "agent": "a", "may_call": []});
    let issued = server.post("/api/keys", &body).await;
    assert_eq!(issued.status, StatusCode::CREATED, "{}", issued.text);
    let json = issued.json();
    let (id, key) = (json["key_id"].as_str().expect("an id"), json["key"].as_str().expect("a key"));
    assert_eq!(issued.header("location"), Some(format!("/api/keys/{id}").as_str()));
    for (field, value) in body.as_object().expect("fields") {
        assert_eq!(json[field], *value, "{field}");
    }
    let me = server.call_as(key, Method::GET, "/api/me", &json!({})).await.json();
    assert_eq!((&me["actor"]["id"], &me["agent"]), (&json!(id), &json!("a")));

    let position = json["position"].as_str().expect("a position");
    for path in ["/api/keys".to_owned(), format!("/api/keys/{id}"), "/api/events".to_owned()] {
        let answer = server.get(&format!("{path}?wait_for={position}")).await;
        assert!(answer.text.contains("Nightly"), "{path}: {}", answer.text);
        assert!(!answer.text.contains(&key[20..]), "{path}");
    }
    for file in ["events.db", "events.db-wal", "views.db", "views.db-wal"] {
        let bytes = std::fs::read(server.folder.path().join(file)).unwrap_or_default();
        let found = bytes.windows(30).any(|window| window == &key.as_bytes()[20..50]);
        assert!(!found, "the key stands in {file}");
    }
}

#[tokio::test]
async fn keys_are_listed_by_filter_and_as_they_were() {
    let server = Server::start().await;
    let (first, _) = server.issue(&json!({"name": "first", "role": "auditor"})).await;
    let second = json!({"name": "second", "role": "billing", "user": "ada"});
    let second = server.post("/api/keys", &second).await.json();
    let before = second["position"].as_str().expect("a position").to_owned();
    let revoked = server.call(Method::DELETE, &format!("/api/keys/{first}"), "").await;
    assert_eq!(revoked.status, StatusCode::OK, "{}", revoked.text);
    assert!(revoked.json()["revoked_at"].is_string());
    let again = server.call(Method::DELETE, &format!("/api/keys/{first}"), "").await;
    assert_eq!((again.status, again.json()), (StatusCode::OK, revoked.json()));

    let names = async |query: &str| {
        let list = server.get(&format!("/api/keys?{query}")).await.json();
        let rows = list["keys"].as_array().expect("rows").clone();
        rows.iter().map(|row| row["name"].as_str().expect("a name").to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(names("").await, ["second", "first"]);
    assert_eq!(names("role=billing").await, ["second"]);
    assert_eq!(names("user=ada").await, ["second"]);
    assert_eq!(names("revoked=true").await, ["first"]);
    assert_eq!(names("revoked=false").await, ["second"]);
    let then = format!("revoked=false&as_of={before}");
    assert_eq!(names(&then).await, ["second", "first"]);
    let page = server.get("/api/keys?limit=1").await.json();
    let cursor = page["next_cursor"].as_str().expect("a cursor");
    assert_eq!(names(&format!("limit=1&cursor={cursor}")).await, ["first"]);

    for (path, code) in [
        ("/api/keys?role=king", "invalid_parameter"),
        ("/api/keys?colour=red", "unknown_parameter"),
        ("/api/keys/none", "invalid_parameter"),
        ("/api/keys/0192f0c1-7a3e-7c55-9d0b-3f1e8a2b4c6d", "key_not_found"),
    ] {
        assert_eq!(server.get(path).await.code(), code, "{path}");
    }
    let nobody = "/api/keys/0192f0c1-7a3e-7c55-9d0b-3f1e8a2b4c6d";
    assert_eq!(server.call(Method::DELETE, nobody, "").await.code(), "key_not_found");
}

#[tokio::test]
async fn a_key_that_can_not_be_is_refused_by_its_field_and_not_issued() {
    let server = Server::start().await;
    server.paused_agent("a").await;
    let (_, other) = server.issue(&json!({"name": "other", "role": "auditor"})).await;
    let head = server.head().await;
    for (body, code, field) in [
        (json!({"role": "user"}), "missing_field", "name"),
        (json!({"name": "x"}), "missing_field", "role"),
        (json!({"name": "x", "role": "king"}), "invalid_field", "role"),
        (json!({"name": "Two Words", "role": "user"}), "missing_field", "user"),
        (json!({"name": "x", "role": "user", "user": "../x"}), "invalid_field", "user"),
        (json!({"name": "", "role": "user", "user": "x"}), "invalid_field", "name"),
        (json!({"name": "x\u{7}", "role": "user", "user": "x"}), "invalid_field", "name"),
        (json!({"name": other, "role": "user", "user": "x"}), "invalid_field", "name"),
        (json!({"name": "x", "role": "agent"}), "invalid_field", "agent"),
        (json!({"name": "x", "role": "user", "agent": "a"}), "invalid_field", "agent"),
        (json!({"name": "x", "role": "agent", "agent": "b"}), "unknown_agent", "agent"),
        (json!({"name": "x", "role": "user", "may_call": ["b"]}), "unknown_agent", "may_call"),
        (json!({"name": "x", "role": "auditor", "may_call": ["a"]}), "invalid_field", "may_call"),
        (json!({"name": "x", "role": "user", "colour": 1}), "unknown_field", "colour"),
    ] {
        let answer = server.post("/api/keys", &body).await;
        let problem = answer.problem();
        assert_eq!((problem.1.as_str(), problem.2.as_deref()), (code, Some(field)), "{body}");
    }
    assert_eq!(server.head().await, head);
}

#[tokio::test]
async fn a_repeated_request_issues_no_second_key_and_shows_no_key_again() {
    let server = Server::start().await;
    let body = json!({"name": "x", "role": "user"}).to_string();
    let once = async |idempotency_key: &str| {
        let request = Server::request(Method::POST, "/api/keys")
            .header("content-type", "application/json")
            .header("idempotency-key", idempotency_key);
        server.send(request.body(Body::from(body.clone())).expect("a request")).await
    };
    let first = once("k1").await;
    assert_eq!(first.status, StatusCode::CREATED, "{}", first.text);
    let head = server.head().await;
    let second = once("k1").await;
    assert_eq!(second.problem().1, "key_already_issued");
    assert_eq!(second.json()["key_id"], first.json()["key_id"]);
    assert!(!second.text.contains("elk_"));
    assert_eq!(server.head().await, head);
    assert_eq!(once("k2").await.status, StatusCode::CREATED);
}

type Socket = tokio_tungstenite::WebSocketStream<MaybeTlsStream<TcpStream>>;

/// The code and the reason that the socket is closed with.
async fn closed(mut socket: Socket) -> (u16, String) {
    loop {
        let message = tokio::time::timeout(PATIENCE, socket.next()).await.expect("in time");
        if let Message::Close(Some(frame)) = message.expect("a message").expect("well-formed") {
            return (frame.code.into(), frame.reason.to_string());
        }
    }
}

/// All that a stream still says.
async fn rest(body: Body) -> String {
    let rest = tokio::time::timeout(PATIENCE, body.collect()).await.expect("an end in time");
    String::from_utf8(rest.expect("a body").to_bytes().to_vec()).expect("UTF-8")
}

async fn follow(server: &Server, key: &str, path: &str) -> Body {
    let request =
        Server::request_with(key, Method::GET, path).header("accept", "text/event-stream");
    let request = request.body(Body::empty()).expect("a request");
    let response = server.router.clone().oneshot(request).await.expect("an answer");
    assert_eq!(response.status(), StatusCode::OK);
    response.into_body()
}

#[tokio::test]
async fn revoking_a_key_ends_at_once_whatever_was_opened_with_it() {
    let server = Server::start().await;
    server.paused_agent("a").await;
    let (id, key) = server.issue(&json!({"name": "ada", "role": "operator"})).await;
    let (_, other) = server.issue(&json!({"name": "bob", "role": "operator"})).await;
    let (execution, _) = server.submit("a", "x").await;
    let log = follow(&server, &key, "/api/events?after=head").await;
    let path = format!("/api/agents/a/executions/{execution}/stream");
    let transcript = follow(&server, &key, &path).await;
    let mut spared = follow(&server, &other, "/api/events?after=head").await;
    let listening = server.listen().await;
    let url = format!("ws://{}/ws", listening.address);
    let mut request = url.into_client_request().expect("a request");
    request
        .headers_mut()
        .insert("authorization", format!("Bearer {key}").parse().expect("a value"));
    let (socket, _) = tokio_tungstenite::connect_async(request).await.expect("a socket");
    // A caller who waits for an execution that never starts here.
    let task = json!({"message": "x"});
    let waiting = server.call_as(&key, Method::POST, "/api/agents/a/task", &task);
    let revoking = async {
        // Only once the waiting caller's execution is there.
        let waiting = async || {
            let capacity = server.get("/api/agents/a/capacity").await.json();
            capacity["pending"].as_u64().unwrap_or_default()
        };
        while waiting().await < 2 {
            tokio::task::yield_now().await;
        }
        server.call(Method::DELETE, &format!("/api/keys/{id}"), "").await
    };
    let (waited, revoked) = tokio::join!(waiting, revoking);
    assert_eq!(revoked.status, StatusCode::OK, "{}", revoked.text);
    assert_eq!(waited.code(), "unauthorized", "{}", waited.text);
    assert!(waited.json()["execution_id"].is_string(), "the execution goes on");
    let refused = server.call_as(&key, Method::GET, "/api/me", &Value::Null).await;
    assert_eq!(refused.code(), "unauthorized");

    for body in [log, transcript] {
        let said = rest(body).await;
        assert!(said.contains("event: close") && said.contains("key_revoked"), "{said}");
    }
    assert_eq!(closed(socket).await, (1008, "the key was revoked".to_owned()));
    // Others go on: the stream of another key brings what comes.
    server.submit("a", "later").await;
    let mut said = String::new();
    while !said.contains("execution.pending") {
        let frame = tokio::time::timeout(PATIENCE, spared.frame()).await.expect("in time");
        let bytes = frame.expect("open").expect("a frame").into_data().expect("data");
        said.push_str(std::str::from_utf8(&bytes).expect("UTF-8"));
    }
    assert!(!said.contains("event: close"), "{said}");
}

/// Records that the run of this token is lost.
async fn lose(server: &Server, token: &str) {
    let (execution, claim) = server.secret.verify(token).expect("a token of this ledger");
    let message = Content::new([0; 16], "lost");
    let (code, reference) = (FailureCode::SupervisorLost, message.reference());
    let lose = Command::Lose { claim, code, message: reference, observed: None };
    let context = Context {
        actor: Actor::system("test"),
        correlation_id: None,
        causation_id: None,
        traceparent: None,
    };
    let stream = StreamName::execution(execution);
    server.ledger.execute::<Execution>(&stream, lose, &[message], &context).await.expect("an end");
}

#[tokio::test]
async fn what_a_run_opened_ends_with_the_run() {
    let server = Server::start().await;
    server.paused_agent("a").await;
    let (own, _) = server.submit("a", "mine").await;
    let (other, _) = server.submit("a", "later").await;
    let token = run_token(&server, &own).await;
    let path = format!("/api/agents/a/executions/{other}/stream");
    let stream = follow(&server, &token, &path).await;
    lose(&server, &token).await;
    let said = rest(stream).await;
    assert!(said.contains("event: close") && said.contains("run_ended"), "{said}");
}

#[tokio::test]
async fn readings_of_transcripts_and_refusals_are_recorded_in_sums() {
    let server = Server::start().await;
    server.paused_agent("a").await;
    let (execution, _) = server.submit("a", "x").await;
    let (id, key) = server.issue(&json!({"name": "ada", "role": "auditor"})).await;
    let token = run_token(&server, &execution).await;
    let path = format!("/api/agents/a/executions/{execution}/log");
    for _ in 0..3 {
        for whose in [&key, &token] {
            let read = server.call_as(whose, Method::GET, &path, &json!({})).await;
            assert_eq!(read.status, StatusCode::OK, "{}", read.text);
        }
        server.call_as("elk_wrong", Method::GET, "/api/me", &json!({})).await;
        server.call_as(&key, Method::POST, "/api/keys", &json!({})).await;
    }
    let events = async |kind: &str| {
        let events = server.get(&format!("/api/events?type={kind}")).await.json();
        events["events"].as_array().expect("events").clone()
    };
    let reads = events("access.read").await;
    assert_eq!(reads.len(), 1, "once for each key and execution, and not by the run itself");
    assert_eq!(reads[0]["data"], json!({"execution_id": execution, "kind": "transcript"}));
    assert_eq!(reads[0]["actor"]["id"], json!(id));
    assert!(events("access.refused").await.is_empty(), "only once the minute is over");

    let listening = server.listen().await;
    listening.stop.send(()).expect("a server");
    listening.task.await.expect("no panic").expect("an orderly end");
    let refused = events("access.refused").await;
    let mut sums: Vec<_> = refused
        .iter()
        .map(|event| (event["data"]["code"].to_string(), &event["data"]["count"]))
        .collect();
    sums.sort_by(|one, other| one.0.cmp(&other.0));
    let three = json!(3);
    assert_eq!(
        sums,
        [("\"forbidden\"".to_owned(), &three), ("\"unauthorized\"".to_owned(), &three)]
    );
    assert!(refused[0]["stream"].as_str().expect("a stream").starts_with("access-20"));
}

#[tokio::test]
async fn whoever_follows_a_transcript_live_is_on_record_like_whoever_reads_it() {
    let server = Server::start().await;
    server.paused_agent("a").await;
    let (execution, _) = server.submit("a", "x").await;
    let path = format!("/api/agents/a/executions/{execution}");
    let ended = server.post(&format!("{path}/terminate"), &json!({})).await;
    assert!(ended.status.is_success(), "{}", ended.text);
    let (id, key) = server.issue(&json!({"name": "ada", "role": "auditor"})).await;
    let (_, stranger) = server.issue(&json!({"name": "uma", "role": "user", "user": "uma"})).await;
    let stream = format!("{path}/stream");
    let followed = server.call_as(&key, Method::GET, &stream, &json!({})).await;
    assert_eq!(followed.status, StatusCode::OK, "{}", followed.text);
    let refused = server.call_as(&stranger, Method::GET, &stream, &json!({})).await;
    assert_eq!(refused.status, StatusCode::NOT_FOUND, "{}", refused.text);
    let told = server.get("/api/events?type=access.read").await.json();
    let told = told["events"].as_array().expect("events").clone();
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!(
        (&told[0]["data"]["execution_id"], &told[0]["actor"]["id"]),
        (&json!(execution), &json!(id))
    );
}
