//! What is shown instead of a page: the way to sign in, or what went wrong and what to do.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use maud::html;
use serde_json::Value;

use crate::interface::{Interface, Problem, Visitor, quoted, read};
use crate::layout::{self, Me, Place};

/// What is shown instead of a page.
pub(crate) enum Instead {
    /// Nobody is signed in.
    SignIn {
        /// Where to go on afterwards.
        then: String,
    },
    /// It did not work.
    Problem(Box<(Problem, Option<Me>)>),
}

impl Instead {
    /// What to show for a problem that the interface told.
    pub fn of(problem: Problem, visitor: &Visitor, me: Option<&Me>) -> Self {
        if problem.status == StatusCode::UNAUTHORIZED.as_u16() {
            let then = visitor.uri.path_and_query().map_or("/", |address| address.as_str());
            return Self::SignIn { then: then.to_owned() };
        }
        Self::Problem(Box::new((problem, me.cloned())))
    }
}

impl IntoResponse for Instead {
    fn into_response(self) -> Response {
        match self {
            Self::SignIn { then } => {
                let address = format!("/sign-in?then={}", quoted(&then));
                let mut response = StatusCode::SEE_OTHER.into_response();
                if let Ok(address) = HeaderValue::try_from(address) {
                    response.headers_mut().insert(header::LOCATION, address);
                }
                response
            }
            Self::Problem(told) => {
                let (problem, me) = *told;
                let status =
                    StatusCode::from_u16(problem.status).unwrap_or(StatusCode::BAD_GATEWAY);
                (status, page(&problem, me.as_ref())).into_response()
            }
        }
    }
}

fn page(problem: &Problem, me: Option<&Me>) -> maud::Markup {
    let body = html! {
        section .notice.is-bad role="alert" {
            h1 { (problem.title) }
            p { (problem.detail) }
            @if let Some(hint) = &problem.hint { p { (hint) } }
            p .quiet {
                code { (problem.code) }
                @if let Some(field) = &problem.field { " · " code { (field) } }
            }
            p { a .button href="/" { "To the executions" } }
        }
    };
    layout::page(me, Place::Elsewhere, &problem.title, &body)
}

/// A page instead of an answer that is not meant for people.
pub(crate) async fn instead_of(
    interface: &Interface,
    visitor: &Visitor,
    response: Response,
) -> Response {
    let status = response.status();
    let problem = match read::<Value>(response).await {
        Err(problem) => problem,
        Ok(_) => Problem::of(status, "no reason was given"),
    };
    let me = Me::of(interface, visitor).await.ok();
    Instead::of(problem, visitor, me.as_ref()).into_response()
}

/// What is the matter with a form, above it.
pub(crate) fn told(problem: &Problem) -> maud::Markup {
    html! {
        div .card.is-bad.told-problem role="alert" {
            p { strong { (problem.title) } ": " (problem.detail) }
            @if let Some(field) = &problem.field { p .quiet { "Field " code { (field) } } }
            @if let Some(hint) = &problem.hint { p { (hint) } }
        }
    }
}
