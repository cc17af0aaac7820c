//! Payments over an interface of the tests' own: all that one can come to.

use axum::Json;
use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use axum::routing::{get, post};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tower::ServiceExt;

use super::short;
use crate::around;

const ID: &str = "aa11";
const EXECUTION: &str = "0192f0c1-2d3e-7a4b-8c5d-6e7f80910a1b";
const EVIL: &str = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>";

fn payment(changed: &Value) -> Value {
    let mut payment = json!({
        "payment_id": ID, "status": "settlement_unknown", "scheme": EVIL, "network": EVIL, "asset": EVIL,
        "amount": "25000", "pay_to": EVIL, "payer": EVIL, "nonce": EVIL, "valid_after_s": 0,
        "valid_before_s": i64::MAX, "facilitator": EVIL, "resource": EVIL, "execution_id": EXECUTION,
        "agent_name": "demo", "settlement_requests": 1, "reason": EVIL, "note": EVIL,
        "payment_identifier": EVIL, "transaction": EVIL, "evidence": EVIL,
        "verified_at": "2026-11-21T09:30:00Z", "changed_at": "2026-11-21T09:30:00Z",
    });
    for (field, value) in changed.as_object().unwrap() {
        payment[field] = value.clone();
    }
    payment
}

async fn asked(rights: &[&str], changed: Value, request: Request) -> (StatusCode, String) {
    let me = json!({"role": "admin", "user": "ada", "rights": rights});
    let (own, listed) = (payment(&changed), payment(&changed));
    let refused = || async {
        let told = json!({"status": 409, "code": "payment_still_valid", "title": "A title", "detail": EVIL});
        (StatusCode::CONFLICT, Json(told)).into_response()
    };
    let event = json!({"position": "log-1", "revision": 0, "type": "payment.settlement_unknown", "event_id": EXECUTION,
        "recorded_at": "2026-11-21T09:30:00Z", "data": {"reason": EVIL},
        "actor": {"kind": "system", "id": EVIL, "user": "ledger"}});
    let interface = Router::new()
        .route("/api/me", get(|| async { Json(me) }))
        .route("/api/payments", get(move || async move { Json(json!({"payments": [listed]})) }))
        .route("/api/payments/{id}", get(|| async { Json(own) }))
        .route("/api/payments/{id}/resolve", post(refused))
        .route("/api/events", get(move || async move { Json(json!({"events": [event]})) }));
    let response = around(interface).oneshot(request).await.unwrap();
    let (parts, body) = response.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    (parts.status, String::from_utf8(body.to_vec()).unwrap())
}

fn page(address: &str) -> Request {
    Request::get(address).body(Body::empty()).unwrap()
}

const ALL: &[&str] = &["read_payments", "manage_payments", "read_log"];

#[tokio::test]
async fn what_others_wrote_into_a_payment_is_text() {
    for address in ["/payments", "/payments?payer=%22%3E%3Cimg", "/payments/aa11"] {
        let (status, body) = asked(ALL, json!({}), page(address)).await;
        assert_eq!(status, StatusCode::OK, "{body}");
        assert!(!body.contains("<script>alert") && !body.contains("<img"), "{address}");
    }
}

#[tokio::test]
async fn an_execution_is_named_only_where_there_is_one() {
    let way = format!("/agents/demo/executions/{EXECUTION}");
    let refund = |cause: &str| json!({"amount": "25000", "cause": cause});
    let settled = "2026-11-21T09:30:00Z";
    for (changed, leads) in [
        (json!({}), false),
        (json!({"status": "settled", "settled_at": settled}), true),
        (
            json!({"status": "refund_owed", "settled_at": settled, "refund": refund("execution_failed")}),
            true,
        ),
        (
            json!({"status": "refund_owed", "settled_at": settled, "refund": refund("not_accepted")}),
            false,
        ),
    ] {
        for address in ["/payments", "/payments/aa11"] {
            let (_, body) = asked(ALL, changed.clone(), page(address)).await;
            assert_eq!(body.contains(&way), leads, "{address} {changed}");
            assert_eq!(body.contains("owed back"), !changed["refund"].is_null(), "{changed}");
        }
    }
}

#[tokio::test]
async fn only_who_may_decide_is_asked_and_only_while_nobody_knows() {
    let decides = "What came of it";
    let (_, body) = asked(ALL, json!({}), page("/payments/aa11")).await;
    assert!(body.contains(decides), "{body}");
    let (_, body) = asked(&["read_payments"], json!({}), page("/payments/aa11")).await;
    assert!(!body.contains(decides) && body.contains("not yours to read"), "{body}");
    let known = json!({"status": "settled", "settled_at": "2026-11-21T09:30:00Z"});
    let (_, body) = asked(ALL, known, page("/payments/aa11")).await;
    assert!(!body.contains(decides), "{body}");

    let form = Request::post("/payments/aa11/resolve").header("origin", "http://127.0.0.1");
    let form = form.header("content-type", "application/x-www-form-urlencoded");
    let form = form.body(Body::from("outcome=failed&transaction=&reason=looked+at+it")).unwrap();
    let (status, body) = asked(ALL, json!({}), form).await;
    assert_eq!(status, StatusCode::CONFLICT);
    assert!(
        body.contains("looked at it") && !body.contains("<img"),
        "what was typed stays: {body}"
    );
}

#[test]
fn of_an_address_both_ends_are_shown_whatever_it_is() {
    assert_eq!(short("0x1234567890abcdef1234567890abcdef12345678"), "0x1234…5678");
    assert_eq!(short("ä€"), "ä€");
    assert_eq!(short("<script>alert(1)</script>"), "<scrip…ipt>");
}
