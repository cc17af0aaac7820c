//! The pages: rendered by the server, and a client of its own interface.
//!
//! A page asks the interface what any other client could ask it, as whoever the browser signed in as,
//! in the same process. So what a key may see, every limit and every error are decided in one place.

mod activity;
mod agents;
mod answers;
mod assets;
mod audit;
mod costs;
mod error_page;
mod execution;
mod executions;
mod interface;
mod keys;
mod layout;
mod markdown;
mod new_task;
mod once;
mod payments;
mod schedules;
mod sessions;
mod sign_out;
mod texts;
mod timeline;
mod webhooks;
mod words;

#[cfg(test)]
mod tests;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::header::{ACCEPT, CACHE_CONTROL, CONTENT_SECURITY_POLICY, REFERRER_POLICY};
use axum::http::{HeaderMap, HeaderValue, Method};
use axum::middleware::{from_fn, map_request, map_response};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use maud::Markup;
use tower::Layer;

use interface::{Interface, Visitor};

/// What a page may load and reach: this server's own files, and this server.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
     connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'";

/// The pages, around the interface that they ask. What is no page is answered by the interface.
pub fn around(interface: Router) -> Router {
    let interface = Interface::new(interface);
    let pages = Router::new()
        .merge(executions::routes())
        .merge(agents::routes())
        .merge(costs::routes())
        .merge(execution::routes())
        .merge(audit::routes())
        .merge(keys::routes())
        .merge(new_task::routes())
        .merge(payments::routes())
        .merge(schedules::routes())
        .merge(sessions::routes())
        .merge(activity::routes())
        .merge(timeline::routes())
        .merge(webhooks::routes())
        .merge(sign_out::routes())
        .layer(from_fn(markdown::kept))
        .layer(map_response(as_page));
    let all = Router::new()
        .merge(pages)
        .route("/assets/{version}/{name}", get(assets::asset))
        .fallback(other)
        .with_state(interface);
    // Around the choice of the page, not only around what it answers.
    Router::new().fallback_service(map_request(interface::arrived).layer(all))
}

/// What no page is: the interface answers. A person who came to nothing is told so on a page.
async fn other(State(interface): State<Interface>, request: Request) -> Response {
    let wants_page = request.method() == Method::GET && is_browser(request.headers());
    if !wants_page {
        return interface.pass(request).await;
    }
    let visitor = Visitor::of(&request);
    let response = interface.pass(request).await;
    if !response.status().is_client_error() && !response.status().is_server_error() {
        return response;
    }
    as_page(error_page::instead_of(&interface, &visitor, response).await).await
}

fn is_browser(headers: &HeaderMap) -> bool {
    let accepts = headers.get(ACCEPT).and_then(|value| value.to_str().ok());
    accepts.is_some_and(|kinds| kinds.starts_with("text/html"))
}

async fn as_page(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("same-origin"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// A page, or what is shown instead of it.
type Shown = Result<Markup, error_page::Instead>;

/// What is shown, as an answer.
fn shown(page: Shown) -> Response {
    match page {
        Ok(markup) => markup.into_response(),
        Err(instead) => instead.into_response(),
    }
}
