//! What people do with webhooks.

use axum::extract::{Form, Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use serde::Deserialize;
use serde_json::{Value, json};

use super::answers::{Changed, Redriven, Secret, Tested};
use super::detail::{self, Which};
use super::form::Draft;
use super::{list, status_of};
use crate::error_page::Instead;
use crate::interface::{Interface, Problem, Visitor, quoted};
use crate::layout::Me;

/// Registers a webhook and shows its secret: this answer is the only one that ever holds it.
pub(super) async fn register(
    State(interface): State<Interface>,
    visitor: Visitor,
    Form(pairs): Form<Vec<(String, String)>>,
) -> Response {
    let draft = Draft::read(pairs);
    let registered = interface.post::<Secret>(&visitor, "/api/webhooks", &draft.body()).await;
    let (status, news) = match registered {
        Ok(secret) => {
            let news = list::News { secret: Some(secret), ..list::News::default() };
            (StatusCode::CREATED, news)
        }
        Err(problem) if problem.status == StatusCode::UNAUTHORIZED.as_u16() => {
            return Instead::of(problem, &visitor, None).into_response();
        }
        Err(problem) => {
            (status_of(&problem), list::News { draft, secret: None, problem: Some(problem) })
        }
    };
    match list::whole(&interface, &visitor, &list::Shown::default(), &news).await {
        Ok(page) => (status, page).into_response(),
        // Better without the list than without the secret.
        Err(_) if news.secret.is_some() => (status, list::alone(&news)).into_response(),
        Err(instead) => instead.into_response(),
    }
}

/// Gives it another secret and shows it, this once.
pub(super) async fn rotate(
    State(interface): State<Interface>,
    visitor: Visitor,
    Path(id): Path<String>,
) -> Response {
    match interface.post::<Secret>(&visitor, &at(&id, "/rotate"), &json!({})).await {
        Ok(secret) => {
            let news = |secret| detail::News { secret: Some(secret), ..detail::News::default() };
            let kept = Secret {
                secret: secret.secret.clone(),
                webhook_id: secret.webhook_id.clone(),
                name: secret.name.clone(),
            };
            match detail::whole(&interface, &visitor, &id, &Which::default(), news(secret)).await {
                Ok(page) => page.into_response(),
                Err(_) => detail::alone(&news(kept)).into_response(),
            }
        }
        Err(problem) => failed(&interface, &visitor, problem).await,
    }
}

/// Sends it a test message and shows what came of it.
pub(super) async fn test(
    State(interface): State<Interface>,
    visitor: Visitor,
    Path(id): Path<String>,
) -> Response {
    match interface.post::<Tested>(&visitor, &at(&id, "/test"), &json!({})).await {
        Ok(tested) => {
            let news = detail::News { tested: Some(tested), ..detail::News::default() };
            crate::shown(detail::whole(&interface, &visitor, &id, &Which::default(), news).await)
        }
        Err(problem) => failed(&interface, &visitor, problem).await,
    }
}

/// Changes its name, its address and which messages it gets.
pub(super) async fn change(
    State(interface): State<Interface>,
    visitor: Visitor,
    Path(id): Path<String>,
    Form(pairs): Form<Vec<(String, String)>>,
) -> Response {
    let draft = Draft::read(pairs);
    match interface.put::<Value>(&visitor, &at(&id, ""), &draft.body()).await {
        Ok(_) => detail::back(Path(id)).await.into_response(),
        Err(problem) if problem.status == StatusCode::UNPROCESSABLE_ENTITY.as_u16() => {
            let status = status_of(&problem);
            let news = detail::News { refused: Some((draft, problem)), ..detail::News::default() };
            match detail::whole(&interface, &visitor, &id, &Which::default(), news).await {
                Ok(page) => (status, page).into_response(),
                Err(instead) => instead.into_response(),
            }
        }
        Err(problem) => failed(&interface, &visitor, problem).await,
    }
}

/// Has it told of what happens from now on.
pub(super) async fn enable(
    State(interface): State<Interface>,
    visitor: Visitor,
    Path(id): Path<String>,
) -> Response {
    switch(&interface, &visitor, &id, true).await
}

/// Has it told nothing.
pub(super) async fn disable(
    State(interface): State<Interface>,
    visitor: Visitor,
    Path(id): Path<String>,
) -> Response {
    switch(&interface, &visitor, &id, false).await
}

async fn switch(interface: &Interface, visitor: &Visitor, id: &str, enabled: bool) -> Response {
    let done = interface.put::<Value>(visitor, &at(id, ""), &json!({"enabled": enabled})).await;
    match done {
        Ok(_) => detail::back(Path(id.to_owned())).await.into_response(),
        Err(problem) => failed(interface, visitor, problem).await,
    }
}

/// Which messages are tried again: one, or where none is named all that were given up.
#[derive(Deserialize)]
pub(super) struct Again {
    event_id: Option<String>,
    kind: Option<String>,
}

/// Has messages that were given up tried again.
pub(super) async fn redrive(
    State(interface): State<Interface>,
    visitor: Visitor,
    Path(id): Path<String>,
    Form(again): Form<Again>,
) -> Response {
    let body = match (again.event_id, again.kind) {
        (None, None) => json!({}),
        (event_id, kind) => json!({"event_id": event_id, "kind": kind}),
    };
    match interface.post::<Redriven>(&visitor, &at(&id, "/redrive"), &body).await {
        Ok(done) => {
            let which = Which::default();
            let news = detail::News { redriven: Some(done), ..detail::News::default() };
            crate::shown(detail::whole(&interface, &visitor, &id, &which, news).await)
        }
        Err(problem) => failed(&interface, &visitor, problem).await,
    }
}

/// Deletes it.
pub(super) async fn delete(
    State(interface): State<Interface>,
    visitor: Visitor,
    Path(id): Path<String>,
) -> Response {
    match interface.delete::<Changed>(&visitor, &at(&id, "")).await {
        Ok(done) => {
            Redirect::to(&format!("/webhooks?seen={}", quoted(&done.position))).into_response()
        }
        Err(problem) => failed(&interface, &visitor, problem).await,
    }
}

fn at(id: &str, what: &str) -> String {
    format!("/api/webhooks/{}{what}", quoted(id))
}

async fn failed(interface: &Interface, visitor: &Visitor, problem: Problem) -> Response {
    let me = Me::of(interface, visitor).await.ok();
    Instead::of(problem, visitor, me.as_ref()).into_response()
}
