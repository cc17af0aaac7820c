//! Keys and browsers, by the command line and the real server.

use futures::StreamExt;
use reqwest::header::{COOKIE, ORIGIN, SET_COOKIE};
use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;

use crate::support::{PATIENCE, Server};

/// A key that the command line issues: its id and its text.
fn issue(server: &Server, arguments: &[&str]) -> (String, String) {
    let issued = server.command(&[&["keys", "issue"], arguments].concat());
    let said = String::from_utf8_lossy(&issued.stderr).into_owned();
    assert!(issued.status.success(), "{said}");
    assert!(said.contains("shown once"), "{said}");
    let key: Value = serde_json::from_slice(&issued.stdout).expect("JSON");
    let text = |name: &str| key[name].as_str().expect("a text").to_owned();
    (text("key_id"), text("key"))
}

/// A client that brings no key of its own.
fn client() -> reqwest::Client {
    reqwest::Client::builder().no_proxy().build().expect("a client")
}

fn as_key(server: &Server, key: &str, method: Method, path: &str) -> RequestBuilder {
    client().request(method, format!("{}{path}", server.url)).bearer_auth(key)
}

async fn status(request: RequestBuilder) -> StatusCode {
    request.send().await.expect("an answer").status()
}

#[tokio::test]
async fn a_key_is_issued_used_and_revoked_while_its_streams_are_open() {
    let mut server = Server::start(&[]).await;
    let (id, key) = issue(&server, &["ada", "--role", "user", "--may-call", "demo"]);
    let running = server.submit("demo", "sleep 600").await;
    let request = as_key(&server, &key, Method::POST, "/api/agents/demo/task");
    let task = request.json(&json!({"message": "sleep 600", "async_mode": true}));
    let task: Value = task.send().await.expect("an answer").json().await.expect("JSON");
    let own = task["execution_id"].as_str().expect("an id").to_owned();

    // It holds as well after a restart and over rebuilt read models.
    server.kill();
    server.start_again().await;
    let me = as_key(&server, &key, Method::GET, "/api/me").send().await.expect("an answer");
    let me: Value = me.json().await.expect("JSON");
    assert_eq!((&me["user"], &me["actor"]["id"]), (&json!("ada"), &json!(id)));
    let foreign = format!("/api/agents/demo/executions/{running}");
    assert_eq!(status(as_key(&server, &key, Method::GET, &foreign)).await, StatusCode::NOT_FOUND);

    let path = format!("/api/agents/demo/executions/{own}/stream");
    let stream = as_key(&server, &key, Method::GET, &path).send().await.expect("an answer");
    assert_eq!(stream.status(), StatusCode::OK);
    let url = format!("{}/ws", server.url.replacen("http", "ws", 1));
    let mut request = url.into_client_request().expect("a request");
    let value = format!("Bearer {key}").parse().expect("a value");
    request.headers_mut().insert("authorization", value);
    let (mut socket, _) = tokio_tungstenite::connect_async(request).await.expect("a socket");

    let revoked = server.command(&["keys", "revoke", &id]);
    assert!(revoked.status.success(), "{}", String::from_utf8_lossy(&revoked.stderr));
    let said = tokio::time::timeout(PATIENCE, stream.text()).await.expect("an end in time");
    let said = said.expect("a well-formed end");
    assert!(said.contains("event: close") && said.contains("key_revoked"), "{said}");
    let closed = loop {
        let message = tokio::time::timeout(PATIENCE, socket.next()).await.expect("in time");
        if let Message::Close(frame) = message.expect("a message").expect("well-formed") {
            break frame.expect("a reason");
        }
    };
    assert_eq!((u16::from(closed.code), closed.reason.as_str()), (1008, "the key was revoked"));
    let refused = status(as_key(&server, &key, Method::GET, "/api/me")).await;
    assert_eq!(refused, StatusCode::UNAUTHORIZED);
    let listed = server.command(&["keys", "list", "--revoked"]);
    assert!(String::from_utf8_lossy(&listed.stdout).contains(&id));

    // What it had started goes on: the run is the user's, not the key's.
    assert_eq!(server.await_running("demo", &own).await["status"], "running");
}

#[tokio::test]
async fn the_printed_link_signs_a_browser_in_and_its_session_outlives_a_restart() {
    let mut server = Server::start(&[]).await;
    let log = server.log();
    let link = log.split_whitespace().find(|word| word.contains("/sign-in#")).expect("a link");
    let (page, token) = link.split_once('#').expect("a token in the fragment");
    assert_eq!(status(client().get(page)).await, StatusCode::OK);
    let sign_in = |token: &str| {
        let request = client().post(format!("{}/api/sign-in", server.url));
        request.header(ORIGIN, &server.url).json(&json!({"token": token}))
    };
    let answer = sign_in(token).send().await.expect("an answer");
    assert_eq!(answer.status(), StatusCode::OK);
    let cookie = answer.headers()[SET_COOKIE].to_str().expect("text");
    let cookie = cookie.split(';').next().expect("a pair").to_owned();
    assert_eq!(status(sign_in(token)).await, StatusCode::UNAUTHORIZED, "only once");

    server.kill();
    server.start_again().await;
    let me = client().get(format!("{}/api/me", server.url)).header(COOKIE, &cookie);
    let me: Value = me.send().await.expect("an answer").json().await.expect("JSON");
    assert_eq!(me["role"], "admin");
    let pause = |origin: &str| {
        let request = client().post(format!("{}/api/agents/demo/pause", server.url));
        request.header(COOKIE, &cookie).header(ORIGIN, origin).json(&json!({}))
    };
    assert_eq!(status(pause("http://evil.example")).await, StatusCode::FORBIDDEN);
    assert_eq!(status(pause(&server.url)).await, StatusCode::OK);
}
