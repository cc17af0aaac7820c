//! The page of costs over an interface of the tests' own.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Json;
use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::http::StatusCode;
use axum::routing::get;
use chrono::{TimeDelta, Utc};
use http_body_util::BodyExt;
use serde_json::json;
use tower::ServiceExt;

use crate::around;

#[tokio::test]
async fn what_was_spent_and_kept_in_the_past_is_asked_for_once() {
    let now = Utc::now();
    let period = json!({"limit_usd": 10.0, "committed_usd": 2.0, "reserved_usd": 1.0, "remaining_usd": 7.0,
        "percent": 30, "told": [], "since": (now - TimeDelta::hours(8)).to_rfc3339(),
        "resets_at": (now + TimeDelta::hours(16)).to_rfc3339()});
    let budget =
        json!({"budget": "global", "per_execution_usd": null, "day": period, "month": null});
    let sum = json!({"key": null, "runs": 3, "cost_usd": 2.0, "unknown": 1, "earned": []});
    let costs = json!({"costs": [], "total": sum, "truncated": false});
    let me = json!({"role": "admin", "user": "ada", "rights": ["read_costs", "read_budgets"]});
    let asked = Arc::new(AtomicUsize::new(0));
    let (counted, list) = (Arc::clone(&asked), json!({"budgets": [budget.clone()]}));
    let interface = Router::new()
        .route("/api/me", get(|| async { Json(me) }))
        .route("/api/costs", get(|| async { Json(costs) }))
        .route("/api/budgets", get(|| async { Json(list) }))
        .route(
            "/api/budgets/global",
            get(|| async move {
                counted.fetch_add(1, Ordering::SeqCst);
                Json(budget)
            }),
        );
    let pages = around(interface);
    let mut before = 0;
    for _ in 0..2 {
        let request = Request::get("/costs").body(Body::empty()).unwrap();
        let response = pages.clone().oneshot(request).await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        let body = response.into_body().collect().await.unwrap().to_bytes();
        let body = String::from_utf8(body.to_vec()).unwrap();
        assert!(body.contains("$7.00 of $10.00 are left, $2.00 spent and $1.00 kept"), "{body}");
        assert!(body.contains("<b>1 run</b> of this time ended at an unknown cost"), "{body}");
        let times = asked.load(Ordering::SeqCst);
        assert!(times > 5 && (before == 0 || times - before <= 1), "{times} after {before}");
        before = times;
    }
}
