//! The pages over an interface of the tests' own.

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::http::header::{CONTENT_SECURITY_POLICY, LOCATION};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tower::ServiceExt;

use crate::around;

const ID: &str = "0192f0c1-2d3e-7a4b-8c5d-6e7f80910a1b";
const EVIL: &str = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>";

fn record() -> Value {
    json!({
        "execution_id": ID, "agent_name": "demo", "status": "failed", "triggered_by": "manual",
        "message": EVIL, "response": EVIL, "error": {"code": "agent_error", "message": EVIL},
        "created_at": "2026-11-21T09:30:00.000000Z", "cost_usd": null, "cost_basis": "unknown",
        "requested_by": {"kind": "key", "id": EVIL}, "attempt": 1, "timeout_s": 900,
        "model_used": EVIL, "redactions": 0, "response_cut": false, "killed_processes": 0,
        "events": [{
            "position": "p-1", "revision": 0, "type": "execution.failed", "event_id": ID,
            "recorded_at": "2026-11-21T09:30:00.000000Z", "data": {"code": EVIL},
            "actor": {"kind": "key", "id": "k", "user": EVIL},
        }],
    })
}

fn problem(status: StatusCode, code: &str) -> Response {
    let body = json!({"status": status.as_u16(), "code": code, "title": "A title", "detail": EVIL});
    (status, axum::Json(body)).into_response()
}

async fn known(headers: HeaderMap) -> Response {
    if headers.contains_key("cookie") {
        let me = json!({"role": "admin", "user": "ada", "rights": ["operate", "read"]});
        axum::Json(me).into_response()
    } else {
        problem(StatusCode::UNAUTHORIZED, "unauthorized")
    }
}

fn interface() -> Router {
    let list =
        || async { axum::Json(json!({"executions": [record()], "next_cursor": "next&one"})) };
    let stats = json!({"total": 1, "pending": 0, "running": 0, "cost_usd": 0.0, "cost_unknown": 1});
    let line = json!({"seq": 1, "at": "2026-11-21T09:30:00Z", "stream": "stdout", "line": EVIL});
    let lines = json!({"lines": [line], "next_after_seq": 1});
    let agents = json!({"agents": [{"name": "demo", "status": "active"}]});
    let own = "/api/agents/demo/executions/{id}";
    Router::new()
        .route("/api/me", get(known))
        .route("/api/executions", get(list))
        .route("/api/executions/stats", get(|| async { axum::Json(stats) }))
        .route("/api/agents", get(|| async { axum::Json(agents) }))
        .route(own, get(|| async { axum::Json(record()) }))
        .route(&format!("{own}/log"), get(|| async { axum::Json(lines) }))
        .route(
            "/api/agents/{name}/task",
            post(|headers: HeaderMap| async move {
                if headers.get("origin").is_none() {
                    return problem(StatusCode::FORBIDDEN, "origin_not_allowed");
                }
                axum::Json(json!({"execution_id": ID})).into_response()
            }),
        )
        .fallback(|| async { problem(StatusCode::NOT_FOUND, "not_found") })
}

async fn asked(request: Request) -> (StatusCode, HeaderMap, String) {
    let response = around(interface()).oneshot(request).await.unwrap();
    let (parts, body) = response.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    (parts.status, parts.headers, String::from_utf8(body.to_vec()).unwrap())
}

fn page(address: &str) -> Request {
    let builder = Request::get(address).header("accept", "text/html,*/*").header("cookie", "c=1");
    builder.body(Body::empty()).unwrap()
}

#[tokio::test]
async fn whoever_is_not_signed_in_is_asked_to_and_comes_back_to_where_they_wanted() {
    let request = Request::get("/?status=failed&q=a%20b").body(Body::empty()).unwrap();
    let (status, headers, _) = asked(request).await;
    assert_eq!(status, StatusCode::SEE_OTHER);
    assert_eq!(headers[LOCATION], "/sign-in?then=%2F%3Fstatus%3Dfailed%26q%3Da%2520b");
}

#[tokio::test]
async fn what_agents_and_people_wrote_is_text_on_every_page() {
    let own = format!("/agents/demo/executions/{ID}");
    let evil = "%3Cscript%3Ealert(1)%3C/script%3E%22%3E%3Cimg";
    for address in [
        "/",
        "/?q=%3Cscript%3E&agent=%22%3E%3Cimg",
        &own,
        &format!("{own}/transcript"),
        &format!("{own}/raw?q={evil}"),
        &format!("/executions/bulk?do=retry&id=demo/{ID}"),
        &format!("/executions/bulk?do=stop&id=demo/{ID}&q={evil}"),
        &format!("/executions/bulk?do={evil}&id={evil}"),
        "/none",
    ] {
        let (_, headers, body) = asked(page(address)).await;
        assert!(!body.contains("<script>alert") && !body.contains("<img"), "{address}");
        let policy = headers[CONTENT_SECURITY_POLICY].to_str().unwrap();
        assert!(policy.contains("script-src 'self'") && !policy.contains("unsafe"), "{policy}");
    }
}

#[tokio::test]
async fn what_can_not_be_done_to_an_execution_is_left_out_of_what_is_confirmed() {
    let preview = format!("/executions/bulk?do=stop&id=demo/{ID}");
    let (status, _, body) = asked(page(&preview)).await;
    assert_eq!(status, StatusCode::OK);
    assert!(body.contains("Nothing to stop") && body.contains("has ended"), "{body}");
    assert!(!body.contains("name=\"do\""), "{body}");
    let (_, _, body) = asked(page(&preview.replace("do=stop", "do=retry"))).await;
    assert!(body.contains("Retry 1"), "{body}");
    let none = "/executions/bulk?do=stop";
    let too_many = format!("{none}{}", format!("&id=demo/{ID}").repeat(201));
    for refused in [none, &too_many, "/executions/bulk?do=stop&id=demo", "/executions/bulk"] {
        assert_eq!(asked(page(refused)).await.0, StatusCode::UNPROCESSABLE_ENTITY, "{refused}");
    }
}

#[tokio::test]
async fn a_cost_that_nobody_knows_is_shown_as_unknown() {
    let (status, _, body) = asked(page(&format!("/agents/demo/executions/{ID}"))).await;
    assert_eq!(status, StatusCode::OK);
    assert!(body.contains("unknown") && !body.contains("$0"), "{body}");
}

#[tokio::test]
async fn the_list_is_small_and_leads_on() {
    let (status, _, body) = asked(page("/?status=failed")).await;
    assert_eq!(status, StatusCode::OK);
    assert!(body.contains("href=\"/?status=failed&amp;cursor=next%26one\""), "{body}");
}

#[tokio::test]
async fn people_who_come_to_nothing_see_a_page_and_programs_a_problem() {
    let (status, _, body) = asked(page("/none")).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    assert!(body.starts_with("<!DOCTYPE html>") && body.contains("A title"), "{body}");
    let request = Request::get("/none").body(Body::empty()).unwrap();
    let (status, _, body) = asked(request).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    assert!(body.starts_with('{'), "{body}");
}

#[tokio::test]
async fn a_form_goes_to_the_interface_with_the_origin_that_the_browser_named() {
    let form = || {
        Request::post("/tasks")
            .header("cookie", "c=1")
            .header("content-type", "application/x-www-form-urlencoded")
    };
    let body = || Body::from("agent=demo&message=one%0D%0Atwo");
    let ours = form().header("origin", "http://127.0.0.1").body(body()).unwrap();
    let (status, headers, _) = asked(ours).await;
    assert_eq!(status, StatusCode::SEE_OTHER);
    assert_eq!(headers[LOCATION], format!("/agents/demo/executions/{ID}"));
    let (status, _, body) = asked(form().body(body()).unwrap()).await;
    assert_eq!(status, StatusCode::FORBIDDEN);
    assert!(body.contains("origin_not_allowed"));
}

#[tokio::test]
async fn styles_and_scripts_are_kept_by_browsers_and_packed_where_they_take_it() {
    let address = crate::assets::address("app.css");
    let plain = Request::get(&address).body(Body::empty()).unwrap();
    let (status, headers, _) = asked(plain).await;
    assert_eq!(status, StatusCode::OK);
    assert!(headers["cache-control"].to_str().unwrap().contains("immutable"));
    assert!(!headers.contains_key("content-encoding"));
    let packed = Request::get(&address).header("accept-encoding", "br, gzip").body(Body::empty());
    let response = around(interface()).oneshot(packed.unwrap()).await.unwrap();
    assert_eq!(response.headers()["content-encoding"], "gzip");
    let (status, _, _) =
        asked(Request::get("/assets/0/app.css").body(Body::empty()).unwrap()).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn parts_of_a_pages_address_are_not_taken_for_those_of_what_it_asks() {
    let own = "/api/agents/{agent}/executions/{execution}";
    let told = |axum::extract::Path(parts): axum::extract::Path<Vec<(String, String)>>| async move {
        assert_eq!(
            parts,
            [("agent".to_owned(), "demo".to_owned()), ("execution".to_owned(), ID.to_owned())]
        );
        axum::Json(record())
    };
    let interface = Router::new()
        .route("/api/me", get(known))
        .route(own, get(told))
        .fallback(|| async { problem(StatusCode::NOT_FOUND, "not_found") });
    let asked = around(interface).oneshot(page(&format!("/agents/demo/executions/{ID}")));
    assert_eq!(asked.await.unwrap().status(), StatusCode::OK);
}
