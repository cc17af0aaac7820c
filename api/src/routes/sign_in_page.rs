//! The page at which a browser signs in: three files of this program, nothing from elsewhere.

use axum::Router;
use axum::http::HeaderValue;
use axum::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use crate::state::App;

const PAGE: &str = include_str!("sign_in_page/page.html");
const SCRIPT: &str = include_str!("sign_in_page/page.js");
const STYLE: &str = include_str!("sign_in_page/page.css");

/// What the page may load and reach: its own files, and this server.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
     base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// The page and its files. Needs no key: it is how one comes by a session.
pub(super) fn pages() -> Router<App> {
    Router::new()
        .route("/sign-in", get(|| async { file("text/html; charset=utf-8", PAGE) }))
        .route("/sign-in/page.js", get(|| async { file("text/javascript; charset=utf-8", SCRIPT) }))
        .route("/sign-in/page.css", get(|| async { file("text/css; charset=utf-8", STYLE) }))
}

fn file(kind: &'static str, text: &'static str) -> Response {
    let mut response = text.into_response();
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    response
}
