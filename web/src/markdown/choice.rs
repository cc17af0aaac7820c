//! How a reader wants texts to be shown: kept by their browser, as a choice of looks, no more.

use axum::extract::Request;
use axum::http::header::SET_COOKIE;
use axum::http::{HeaderValue, Method};
use axum::middleware::Next;
use axum::response::{IntoResponse, Redirect, Response};

use crate::interface::Visitor;

/// The cookie that keeps the choice.
const COOKIE: &str = "execution_ledger_texts";
/// How long a browser keeps it, in seconds: a year.
const KEPT_S: u32 = 31_536_000;
/// What of an address says the choice.
const PARAMETER: &str = "texts=";

/// How texts are to be shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Choice {
    /// As is usual for each.
    #[default]
    Usual,
    /// As Markdown.
    Formatted,
    /// Letter by letter.
    Plain,
}

impl Choice {
    /// As addresses and the cookie say it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Usual => "usual",
            Self::Formatted => "formatted",
            Self::Plain => "plain",
        }
    }

    fn read(word: &str) -> Option<Self> {
        [Self::Usual, Self::Formatted, Self::Plain].into_iter().find(|one| one.word() == word)
    }

    /// What whoever looks at a page has chosen.
    pub fn of(visitor: &Visitor) -> Self {
        visitor.cookie(COOKIE).and_then(Self::read).unwrap_or_default()
    }
}

/// Has the browser keep a choice that stands in a page's address, and shows the page without it there:
/// an address that is passed on chooses for nobody.
pub(crate) async fn kept(request: Request, next: Next) -> Response {
    match chosen(&request) {
        Some((choice, page)) => {
            let cookie = format!(
                "{COOKIE}={}; Path=/; Max-Age={KEPT_S}; HttpOnly; SameSite=Strict",
                choice.word()
            );
            let mut response = Redirect::to(&page).into_response();
            if let Ok(cookie) = HeaderValue::try_from(cookie) {
                response.headers_mut().append(SET_COOKIE, cookie);
            }
            response
        }
        None => next.run(request).await,
    }
}

/// The choice in a page's address, and the address without it.
fn chosen(request: &Request) -> Option<(Choice, String)> {
    let (path, query) = (request.uri().path(), request.uri().query()?);
    // Two slashes would lead to another host.
    if request.method() != Method::GET || path.starts_with("//") {
        return None;
    }
    let choice = query.split('&').find_map(|pair| Choice::read(pair.strip_prefix(PARAMETER)?))?;
    let others: Vec<&str> = query.split('&').filter(|pair| !pair.starts_with(PARAMETER)).collect();
    let page =
        if others.is_empty() { path.to_owned() } else { format!("{path}?{}", others.join("&")) };
    Some((choice, page))
}

#[cfg(test)]
mod tests {
    use axum::body::Body;

    use super::*;

    #[test]
    fn a_choice_is_taken_out_of_the_address_and_leads_nowhere_else() {
        let of = |address: &str| chosen(&Request::get(address).body(Body::empty()).unwrap());
        let plain = |page: &str| Some((Choice::Plain, page.to_owned()));
        assert_eq!(of("/a?texts=plain"), plain("/a"));
        assert_eq!(of("/a?b=1&texts=plain&c=2"), plain("/a?b=1&c=2"));
        assert_eq!(of("/a?texts=nonsense"), None);
        assert_eq!(of("//evil.example/a?texts=plain"), None);
        assert_eq!(of("/a"), None);
        let post = Request::post("/a?texts=plain").body(Body::empty()).unwrap();
        assert_eq!(chosen(&post), None);
    }
}
