//! Styles and scripts, out of the binary.

use axum::extract::Path;
use axum::http::header::{
    ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, VARY, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};

struct Asset {
    name: &'static str,
    kind: &'static str,
    plain: &'static [u8],
    packed: &'static [u8],
}

include!(concat!(env!("OUT_DIR"), "/assets.rs"));

/// The address of an asset.
pub(crate) fn address(name: &str) -> String {
    format!("/assets/{VERSION}/{name}")
}

/// An asset. Its address changes with it, so a browser may keep it for ever.
pub(crate) async fn asset(
    Path((version, name)): Path<(String, String)>,
    headers: HeaderMap,
) -> Response {
    let found = ASSETS.iter().find(|asset| version == VERSION && asset.name == name);
    let Some(asset) = found else {
        return (StatusCode::NOT_FOUND, "no such file: reload the page").into_response();
    };
    let takes = headers.get(ACCEPT_ENCODING).and_then(|value| value.to_str().ok());
    let packed = takes.is_some_and(|kinds| kinds.contains("gzip"));
    let mut response = if packed { asset.packed } else { asset.plain }.into_response();
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(asset.kind));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(VARY, HeaderValue::from_static("accept-encoding"));
    let forever = HeaderValue::from_static("public, max-age=31536000, immutable");
    headers.insert(CACHE_CONTROL, forever);
    if packed {
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn styles_and_scripts_together_are_small() {
        let packed: usize = ASSETS.iter().map(|asset| asset.packed.len()).sum();
        assert!(packed < 120 * 1024, "{packed} bytes");
    }
}
