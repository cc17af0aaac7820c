//! Whether a browser's request comes from a page of ours.

use axum::http::header::{HOST, ORIGIN, UPGRADE};
use axum::http::request::Parts;
use axum::http::{HeaderValue, Method};

use crate::options::Options;
use crate::problem::{Code, Problem};

/// Lets pass what a browser sends with its cookie: what changes nothing, and what comes from a page
/// of ours. A WebSocket is let pass only from such a page, because browsers ask nobody else.
pub(crate) fn check(parts: &Parts, options: &Options) -> Result<(), Problem> {
    let harmless = matches!(parts.method, Method::GET | Method::HEAD | Method::OPTIONS)
        && !parts.headers.contains_key(UPGRADE);
    if harmless || is_own(parts, options) {
        return Ok(());
    }
    Err(foreign())
}

/// Lets pass what no other site's page sent: our own pages, and programs, which send no origin.
pub(crate) fn check_if_any(parts: &Parts, options: &Options) -> Result<(), Problem> {
    if !parts.headers.contains_key(ORIGIN) || is_own(parts, options) {
        return Ok(());
    }
    Err(foreign())
}

fn foreign() -> Problem {
    Problem::new(
        Code::OriginNotAllowed,
        "with a cookie, changes and WebSockets are taken from the ledger's own pages alone",
    )
    .field("Origin")
    .hint("send a key as `Authorization: Bearer KEY`, or set public_url to the address that browsers use")
}

fn is_own(parts: &Parts, options: &Options) -> bool {
    let mut origins = parts.headers.get_all(ORIGIN).iter();
    let Some(origin) = origins.next().and_then(|origin| origin.to_str().ok()) else {
        return false;
    };
    if origins.next().is_some() {
        return false;
    }
    let public = options.public_origin.as_deref();
    if public.is_some_and(|own| own.eq_ignore_ascii_case(origin)) {
        return true;
    }
    let named = parts.headers.get(HOST).map(HeaderValue::to_str);
    let host = match (named, parts.uri.authority()) {
        (Some(Ok(host)), _) => host,
        (None, Some(authority)) => authority.as_str(),
        _ => return false,
    };
    let scheme = if options.tls { "https" } else { "http" };
    origin.split_once("://").is_some_and(|(given, rest)| {
        given.eq_ignore_ascii_case(scheme) && rest.eq_ignore_ascii_case(host)
    })
}

#[cfg(test)]
mod tests {
    use axum::http::Request;

    use super::*;

    fn is_let_pass(method: Method, headers: &[(&str, &str)], options: &Options) -> bool {
        let mut request = Request::builder().method(method).uri("/api/x").header("host", "l:7171");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let (parts, ()) = request.body(()).expect("a request").into_parts();
        check(&parts, options).is_ok()
    }

    #[test]
    fn a_cookie_changes_something_only_from_a_page_of_the_same_scheme_host_and_port() {
        let plain = Options::default();
        assert!(is_let_pass(Method::GET, &[], &plain));
        assert!(is_let_pass(Method::POST, &[("origin", "http://l:7171")], &plain));
        for origin in ["http://l:7172", "https://l:7171", "http://evil", "null", "l:7171", ""] {
            assert!(!is_let_pass(Method::POST, &[("origin", origin)], &plain), "{origin}");
        }
        assert!(!is_let_pass(Method::DELETE, &[], &plain), "no origin at all");
        let twice = [("origin", "http://l:7171"), ("origin", "http://evil")];
        assert!(!is_let_pass(Method::POST, &twice, &plain));
        assert!(!is_let_pass(Method::GET, &[("upgrade", "websocket")], &plain));
        let own = [("upgrade", "websocket"), ("origin", "http://l:7171")];
        assert!(is_let_pass(Method::GET, &own, &plain));
    }

    #[test]
    fn behind_a_proxy_the_public_address_is_our_own_too() {
        let options = Options {
            tls: true,
            public_origin: Some("https://ledger.example".to_owned()),
            ..Options::default()
        };
        for origin in ["https://ledger.example", "https://l:7171"] {
            assert!(is_let_pass(Method::PUT, &[("origin", origin)], &options), "{origin}");
        }
        assert!(!is_let_pass(Method::PUT, &[("origin", "http://ledger.example")], &options));
    }
}
