//! The way out.

use axum::Router;
use axum::extract::{Request, State};
use axum::http::header::SET_COOKIE;
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::post;

use crate::error_page;
use crate::interface::{Interface, Visitor};

/// The addresses of this part.
pub(crate) fn routes() -> Router<Interface> {
    Router::new().route("/sign-out", post(sign_out))
}

/// Ends the browser's session and goes to where one signs in.
async fn sign_out(State(interface): State<Interface>, request: Request) -> Response {
    let visitor = Visitor::of(&request);
    let (mut parts, body) = request.into_parts();
    parts.uri = axum::http::Uri::from_static("/api/sign-out");
    let answer = interface.pass(Request::from_parts(parts, body)).await;
    // Also where something went wrong the browser forgets its cookie.
    let cookies: Vec<_> = answer.headers().get_all(SET_COOKIE).iter().cloned().collect();
    let mut response = if answer.status().is_success() {
        Redirect::to("/sign-in").into_response()
    } else {
        error_page::instead_of(&interface, &visitor, answer).await
    };
    for cookie in cookies {
        response.headers_mut().append(SET_COOKIE, cookie);
    }
    response
}
