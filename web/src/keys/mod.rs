//! Keys: who may come in, and as what; issuing, shown once, revoking.

mod answers;
mod list;

use axum::Router;
use axum::extract::{Form, Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::get;
use serde::Deserialize;
use serde_json::json;

use crate::error_page::Instead;
use crate::interface::{Interface, Problem, Visitor, quoted};
use crate::layout::Me;
use crate::shown;
use answers::{Changed, Issued};

/// The addresses of this part.
pub(crate) fn routes() -> Router<Interface> {
    Router::new()
        .route("/keys", get(page))
        // What is shown once has an address of its own: whoever comes to it again is led to the list.
        .route("/keys/issued", get(back).post(issue))
        .route("/keys/{id}/revoke", get(back_from).post(revoke))
}

/// Which keys are shown.
#[derive(Default, Deserialize)]
pub(super) struct Shown {
    revoked: Option<String>,
    cursor: Option<String>,
    /// A position that the list must have seen.
    seen: Option<String>,
}

/// What a person typed of a key.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Draft {
    name: String,
    role: String,
    user: String,
    agent: String,
    may_call: String,
}

/// What stands above the list: nothing, a key that was issued, or why none was.
#[derive(Default)]
pub(super) struct News {
    draft: Draft,
    issued: Option<Issued>,
    problem: Option<Problem>,
}

async fn page(
    State(interface): State<Interface>,
    visitor: Visitor,
    Query(which): Query<Shown>,
) -> Response {
    shown(list::whole(&interface, &visitor, &which, &News::default()).await)
}

async fn back() -> Redirect {
    Redirect::to("/keys")
}

async fn back_from(Path(_): Path<String>) -> Redirect {
    Redirect::to("/keys")
}

/// Issues a key and shows it: this answer is the only one that ever holds it.
async fn issue(
    State(interface): State<Interface>,
    visitor: Visitor,
    Form(draft): Form<Draft>,
) -> Response {
    let mut body = json!({"name": draft.name.trim(), "role": draft.role});
    for (field, value) in [("user", draft.user.trim()), ("agent", draft.agent.trim())] {
        if !value.is_empty() {
            body[field] = value.into();
        }
    }
    let names = draft.may_call.split([',', ' ', '\r', '\n', '\t']).filter(|name| !name.is_empty());
    let may_call: Vec<&str> = names.collect();
    if !may_call.is_empty() {
        body["may_call"] = may_call.into();
    }
    let (status, which, news) = match interface.post::<Issued>(&visitor, "/api/keys", &body).await {
        Ok(issued) => {
            let which = Shown { seen: Some(issued.position.clone()), ..Shown::default() };
            (StatusCode::CREATED, which, News { issued: Some(issued), ..News::default() })
        }
        Err(problem) if problem.status == StatusCode::UNAUTHORIZED.as_u16() => {
            return Instead::of(problem, &visitor, None).into_response();
        }
        Err(problem) => {
            let status = StatusCode::from_u16(problem.status).unwrap_or(StatusCode::BAD_GATEWAY);
            (status, Shown::default(), News { draft, problem: Some(problem), issued: None })
        }
    };
    match list::whole(&interface, &visitor, &which, &news).await {
        Ok(page) => (status, page).into_response(),
        // Better without the list than without the key.
        Err(_) if news.issued.is_some() => (status, list::alone(&news)).into_response(),
        Err(instead) => instead.into_response(),
    }
}

/// Revokes a key.
async fn revoke(
    State(interface): State<Interface>,
    visitor: Visitor,
    Path(id): Path<String>,
) -> Response {
    let address = format!("/api/keys/{}", quoted(&id));
    match interface.delete::<Changed>(&visitor, &address).await {
        Ok(done) => Redirect::to(&format!("/keys?seen={}", quoted(&done.position))).into_response(),
        Err(problem) => {
            let me = Me::of(&interface, &visitor).await.ok();
            Instead::of(problem, &visitor, me.as_ref()).into_response()
        }
    }
}
