//! Browsers: the link, the cookie, and where a request may come from.

use std::num::NonZeroU32;

use axum::body::Body;
use axum::http::{Method, Request, StatusCode};
use execution_ledger_api::Options;
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tower::ServiceExt;

use crate::support::{Answer, KEY, PATIENCE, Server};

const OWN: &str = "http://localhost:7171";

fn request(method: Method, path: &str) -> axum::http::request::Builder {
    Request::builder()
        .method(method)
        .uri(path)
        .header("host", "localhost:7171")
        .header("content-type", "application/json")
}

async fn sign_in(server: &Server, body: &Value, origin: Option<&str>) -> Answer {
    let mut request = request(Method::POST, "/api/sign-in");
    if let Some(origin) = origin {
        request = request.header("origin", origin);
    }
    server.send(request.body(Body::from(body.to_string())).expect("a request")).await
}

/// The cookie that an answer sets, as a browser sends it back.
fn cookie(answer: &Answer) -> String {
    let set = answer.header("set-cookie").expect("a cookie");
    set.split(';').next().expect("a pair").to_owned()
}

async fn with_cookie(
    server: &Server,
    cookie: &str,
    method: Method,
    path: &str,
    headers: &[(&str, &str)],
) -> Answer {
    let mut request = request(method, path).header("cookie", cookie);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    server.send(request.body(Body::empty()).expect("a request")).await
}

#[tokio::test]
async fn the_link_lets_one_browser_in_and_no_second_one() {
    let server = Server::start().await;
    let token = server.app.new_sign_in_token().expect("random bytes");
    let wrong = sign_in(&server, &json!({"token": "guess"}), Some(OWN)).await;
    assert_eq!(wrong.problem().1, "unauthorized");
    let answer = sign_in(&server, &json!({"token": token}), Some(OWN)).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
    let set = answer.header("set-cookie").expect("a cookie");
    for part in ["HttpOnly", "SameSite=Strict", "Path=/", "Max-Age=43200"] {
        assert!(set.contains(part), "{set}");
    }
    assert!(!set.contains("Secure"), "it would not be sent without TLS: {set}");
    let me = with_cookie(&server, &cookie(&answer), Method::GET, "/api/me", &[]).await.json();
    assert_eq!((&me["role"], &me["user"]), (&json!("admin"), &json!("admin")));
    assert_eq!(me["session_expires_at"], answer.json()["expires_at"]);
    let again = sign_in(&server, &json!({"token": token}), Some(OWN)).await;
    assert_eq!(again.problem().1, "unauthorized");
}

#[tokio::test]
async fn a_key_lets_its_browser_in_as_long_as_it_holds() {
    let server = Server::start().await;
    let (id, key) = server.issue(&json!({"name": "ada", "role": "user"})).await;
    let answer = sign_in(&server, &json!({"key": key}), Some(OWN)).await;
    let cookie = cookie(&answer);
    let me = with_cookie(&server, &cookie, Method::GET, "/api/me", &[]).await.json();
    assert_eq!((&me["role"], &me["actor"]["id"]), (&json!("user"), &json!(id)));
    server.call(Method::DELETE, &format!("/api/keys/{id}"), "").await;
    let me = with_cookie(&server, &cookie, Method::GET, "/api/me", &[]).await;
    assert_eq!(me.problem().1, "unauthorized");
    let again = sign_in(&server, &json!({"key": key}), Some(OWN)).await;
    assert_eq!(again.problem().1, "unauthorized");
    for body in [json!({}), json!({"key": KEY, "token": "t"}), json!({"key": 1})] {
        assert_eq!(sign_in(&server, &body, Some(OWN)).await.status, 422, "{body}");
    }
}

#[tokio::test]
async fn with_the_cookie_changes_and_sockets_come_from_our_own_pages_alone() {
    let server = Server::start().await;
    server.paused_agent("a").await;
    let cookie = cookie(&sign_in(&server, &json!({"key": KEY}), None).await);
    let head = server.head().await;
    let resume = "/api/agents/a/resume";
    for origin in ["http://evil.example", "null", "https://localhost:7171", "http://localhost:7172"]
    {
        let answer =
            with_cookie(&server, &cookie, Method::POST, resume, &[("origin", origin)]).await;
        assert_eq!(answer.problem().1, "origin_not_allowed", "{origin}");
        let foreign = sign_in(&server, &json!({"key": KEY}), Some(origin)).await;
        assert_eq!(foreign.problem().1, "origin_not_allowed", "{origin}");
    }
    let silent = with_cookie(&server, &cookie, Method::POST, resume, &[]).await;
    assert_eq!(silent.problem().1, "origin_not_allowed");
    let upgrade = [("upgrade", "websocket"), ("connection", "upgrade")];
    let socket = with_cookie(&server, &cookie, Method::GET, "/ws", &upgrade).await;
    assert_eq!(socket.problem().1, "origin_not_allowed");
    assert_eq!(server.head().await, head);

    let own = with_cookie(&server, &cookie, Method::POST, resume, &[("origin", OWN)]).await;
    assert_eq!(own.status, StatusCode::OK, "{}", own.text);
    // A key goes before the cookie, and needs no origin; one that does not hold is no cookie's.
    let headers = [("authorization", "Bearer elk_wrong")];
    let answer = with_cookie(&server, &cookie, Method::GET, "/api/me", &headers).await;
    assert_eq!(answer.problem().1, "unauthorized");
}

#[tokio::test]
async fn signing_out_makes_the_cookie_worthless() {
    let server = Server::start().await;
    let first = cookie(&sign_in(&server, &json!({"key": KEY}), None).await);
    let second = cookie(&sign_in(&server, &json!({"key": KEY}), None).await);
    let origin = [("origin", OWN)];
    let out = with_cookie(&server, &first, Method::POST, "/api/sign-out", &origin).await;
    assert_eq!(out.status, StatusCode::NO_CONTENT);
    assert!(out.header("set-cookie").expect("a cookie").contains("Max-Age=0"));
    let gone = with_cookie(&server, &first, Method::GET, "/api/me", &[]).await;
    assert_eq!(gone.problem().1, "unauthorized");
    let other = with_cookie(&server, &second, Method::GET, "/api/me", &[]).await;
    assert_eq!(other.status, StatusCode::OK);

    // The log knows which session, and nothing that opens anything.
    let told = server.get("/api/events?type=access.signed_out").await;
    assert_eq!(told.json()["events"].as_array().map(Vec::len), Some(1), "{}", told.text);
    let event = &told.json()["events"][0];
    assert!(event["data"]["browser_id"].is_string() && event["actor"]["id"] == "admin", "{event}");
    assert!(!told.text.contains(first.split_once('=').expect("a cookie").1));
}

#[tokio::test]
async fn where_the_log_can_not_be_told_the_browser_is_out_all_the_same_and_the_answer_says_so() {
    let server = Server::start().await;
    let cookie = cookie(&sign_in(&server, &json!({"key": KEY}), None).await);
    server.store.close().await;
    let origin = [("origin", OWN)];
    let out = with_cookie(&server, &cookie, Method::POST, "/api/sign-out", &origin).await;
    assert_eq!(out.status, StatusCode::SERVICE_UNAVAILABLE, "{}", out.text);
    assert!(out.header("set-cookie").expect("a cookie").contains("Max-Age=0"));
    let gone = with_cookie(&server, &cookie, Method::GET, "/api/me", &[]).await;
    assert_eq!(gone.problem().1, "unauthorized");
}

#[tokio::test]
async fn signing_in_with_a_key_counts_as_one_of_its_requests() {
    let options =
        Options { rate_per_s: NonZeroU32::MIN, rate_burst: NonZeroU32::MIN, ..Options::default() };
    let server = Server::with(options).await;
    let token = server.app.new_sign_in_token().expect("random bytes");
    let first = sign_in(&server, &json!({"key": KEY}), Some(OWN)).await;
    assert_eq!(first.status, StatusCode::OK, "{}", first.text);
    let second = sign_in(&server, &json!({"key": KEY}), Some(OWN)).await;
    assert_eq!(second.problem(), (429, "rate_limited".to_owned(), None));
    assert!(second.header("retry-after").is_some() && second.header("set-cookie").is_none());
    assert_eq!(server.get("/api/me").await.problem().1, "rate_limited", "the same count");
    let link = sign_in(&server, &json!({"token": token}), Some(OWN)).await;
    assert_eq!(link.status, StatusCode::OK, "a link is good once anyhow: {}", link.text);
}

#[tokio::test]
async fn what_a_browser_follows_ends_when_it_signs_out() {
    let server = Server::start().await;
    let cookie = cookie(&sign_in(&server, &json!({"key": KEY}), None).await);
    let events = request(Method::GET, "/api/events?after=head")
        .header("cookie", &cookie)
        .header("accept", "text/event-stream")
        .body(Body::empty())
        .expect("a request");
    let events = server.router.clone().oneshot(events).await.expect("an answer");
    assert_eq!(events.status(), StatusCode::OK);
    let own = [("origin", OWN)];
    with_cookie(&server, &cookie, Method::POST, "/api/sign-out", &own).await;
    let rest = tokio::time::timeout(PATIENCE, events.into_body().collect()).await;
    let rest = rest.expect("an end in time").expect("a body").to_bytes();
    let said = String::from_utf8_lossy(&rest);
    assert!(said.contains("event: close") && said.contains("signed_out"), "{said}");
}

#[tokio::test]
async fn behind_a_public_address_the_cookie_is_kept_from_plain_connections() {
    let options = Options {
        public_origin: Some("https://ledger.example".to_owned()),
        allowed_hosts: vec!["ledger.example".to_owned()],
        ..Options::default()
    };
    let server = Server::with(options).await;
    let answer = sign_in(&server, &json!({"key": KEY}), Some("https://ledger.example")).await;
    assert!(answer.header("set-cookie").expect("a cookie").contains("; Secure"));
}

#[tokio::test]
async fn the_page_loads_its_own_files_alone_and_says_nothing_in_its_address() {
    let server = Server::start().await;
    let get = async |path: &str| {
        server.send(request(Method::GET, path).body(Body::empty()).expect("a request")).await
    };
    let page = get("/sign-in").await;
    assert_eq!(page.status, StatusCode::OK);
    let policy = page.header("content-security-policy").expect("a policy");
    assert!(policy.contains("default-src 'none'") && !policy.contains("unsafe"), "{policy}");
    assert!(!page.text.contains("://") && !page.text.contains("<script>"), "{}", page.text);
    for part in ["lang=\"en\"", "<label for=\"key\">", "role=\"status\"", "<main>"] {
        assert!(page.text.contains(part), "{part}");
    }
    let script = get("/sign-in/page.js").await;
    assert_eq!(script.header("content-type"), Some("text/javascript; charset=utf-8"));
    assert!(script.text.contains("history.replaceState") && !script.text.contains("://"));
    assert_eq!(get("/sign-in/page.css").await.status, StatusCode::OK);
}
