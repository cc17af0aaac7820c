//! Who looks at a page, as the interface is to know them.

use std::convert::Infallible;

use axum::extract::{FromRequestParts, Request};
use axum::http::header::{AUTHORIZATION, COOKIE, HOST, ORIGIN};
use axum::http::request::Parts;
use axum::http::{Extensions, HeaderMap, HeaderName, Uri};

/// What of a browser's request goes on to the interface: who is asking, and from where.
const PASSED_ON: [HeaderName; 6] = [
    AUTHORIZATION,
    COOKIE,
    HOST,
    ORIGIN,
    HeaderName::from_static("x-forwarded-for"),
    HeaderName::from_static("traceparent"),
];

/// Who looks at a page.
#[derive(Clone)]
pub(crate) struct Visitor {
    /// What goes on to the interface.
    pub(super) headers: HeaderMap,
    /// What the server knew of the request as it arrived.
    pub(super) extensions: Extensions,
    /// What they asked for.
    pub uri: Uri,
}

/// What was known of a request before its page was found: that page's parts of the address must not be
/// taken for those of what it asks.
#[derive(Clone)]
struct Arrived(Extensions);

/// Keeps what is known of a request as it arrives.
pub(crate) async fn arrived(mut request: Request) -> Request {
    let known = request.extensions().clone();
    request.extensions_mut().insert(Arrived(known));
    request
}

impl Visitor {
    /// Whoever makes this request.
    pub fn of(request: &Request) -> Self {
        Self::from_head(request.headers(), request.extensions(), request.uri())
    }

    /// A cookie of the browser.
    pub fn cookie(&self, name: &str) -> Option<&str> {
        let all = self.headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok());
        let mut pairs =
            all.flat_map(|value| value.split(';')).filter_map(|one| one.trim().split_once('='));
        pairs.find(|(own, _)| *own == name).map(|(_, value)| value)
    }

    fn from_head(headers: &HeaderMap, extensions: &Extensions, uri: &Uri) -> Self {
        let mut passed = HeaderMap::new();
        for name in PASSED_ON {
            for value in headers.get_all(&name) {
                passed.append(&name, value.clone());
            }
        }
        Self {
            headers: passed,
            extensions: extensions
                .get::<Arrived>()
                .map(|known| known.0.clone())
                .unwrap_or_default(),
            uri: uri.clone(),
        }
    }
}

impl<S: Sync> FromRequestParts<S> for Visitor {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Self::from_head(&parts.headers, &parts.extensions, &parts.uri))
    }
}
