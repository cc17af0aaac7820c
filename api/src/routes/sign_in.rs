//! Browsers: signing in, signing out, and who one is.

use std::collections::BTreeSet;

use axum::extract::State;
use axum::http::header::SET_COOKIE;
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use execution_ledger_domain::{Actor, AgentName, Digest, KeyId, Right, Timestamp, UserName};
use execution_ledger_process::run_token;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::auth::{Access, KeyDigest, Recognised, admin, turned_away};
use crate::extract::{Json, NoBody, Params};
use crate::gate::RequestInfo;
use crate::problem::{Code, Problem, ProblemSchema};
use crate::sign_in::{cookie, origin};
use crate::state::App;

/// What a browser signs in with: one of the two.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct SignInBody {
    /// The token of the link that the server printed at its start.
    #[serde(default)]
    token: Option<String>,
    /// A key.
    #[serde(default)]
    key: Option<String>,
}

/// A browser's session.
#[derive(Serialize, ToSchema)]
pub(super) struct SessionAnswer {
    /// When it ends by itself.
    #[schema(value_type = String, format = DateTime)]
    expires_at: Timestamp,
}

/// Lets a browser in: answers the cookie `execution_ledger`, which is good for twelve hours, as long
/// as the key holds that it was got with.
#[utoipa::path(
    post, path = "/api/sign-in", operation_id = "sign_in", tag = "sign-in", security(()),
    request_body = SignInBody,
    responses(
        (status = 200, description = "Signed in; the cookie is set", body = SessionAnswer),
        (status = 401, description = "Neither a good token nor a key that holds", body = ProblemSchema),
        (status = 403, description = "The request comes from another site", body = ProblemSchema),
        (status = 429, description = "The key asks too often, or too many keys did not hold", body = ProblemSchema),
    ),
)]
pub(super) async fn sign_in(
    State(app): State<App>,
    head: Parts,
    Params(()): Params<()>,
    Json(body): Json<SignInBody>,
) -> Result<Response, Problem> {
    let info = head.extensions.get::<RequestInfo>().cloned();
    let info = info.ok_or_else(|| Problem::internal(&"a request came past the gate"))?;
    // A page of another site must not sign a browser in as somebody else.
    origin::check_if_any(&head, &app.gate().options)?;
    let Some((key, holder)) = known(&app, &body)? else {
        return Err(turned_away(&app, &info));
    };
    if body.key.is_some() {
        // By the name that requests with the key itself are counted under.
        app.gate().check_rate(&key.map_or_else(|| admin().actor.id, |id| id.to_string()))?;
    }
    let (value, expires_at) = app.sign_in().begin(key, &holder)?;
    let response = axum::Json(SessionAnswer { expires_at }).into_response();
    with_cookie(&app, response, Some(&value))
}

/// Whom the token or key stands for: the key's id, none for the admin key, and its digest.
fn known(app: &App, body: &SignInBody) -> Result<Option<(Option<KeyId>, Digest)>, Problem> {
    match (&body.token, &body.key) {
        (Some(token), None) => {
            Ok(app.sign_in().take_link(token).then(|| (None, app.admin_key().0)))
        }
        (None, Some(key)) => Ok(known_key(app, key.trim())),
        (Some(_), Some(_)) | (None, None) => {
            Err(Problem::new(Code::MissingField, "send either a token or a key").field("key"))
        }
    }
}

fn known_key(app: &App, key: &str) -> Option<(Option<KeyId>, Digest)> {
    if key.starts_with(run_token::PREFIX) {
        return None;
    }
    if let Some(held) = app.keys().ring().find(key) {
        let id = held.caller.actor.id.parse().ok()?;
        return Some((Some(id), *held.secret_sha256()));
    }
    app.admin_key().matches(&KeyDigest::of(key)).then(|| (None, app.admin_key().0))
}

/// Signs this browser out: its cookie is worthless from here on, and what it follows ends. The log is
/// told, so that this holds on every node and after a restart.
#[utoipa::path(
    post, path = "/api/sign-out", operation_id = "sign_out", tag = "sign-in",
    responses(
        (status = 204, description = "Signed out; the cookie is removed"),
        (status = 401, description = "Nobody was signed in", body = ProblemSchema),
        (status = 503, description = "Signed out here and the cookie is removed, but the log could not be told", body = ProblemSchema),
    ),
)]
pub(super) async fn sign_out(
    Recognised(access): Recognised,
    State(app): State<App>,
    Params(()): Params<()>,
    NoBody: NoBody,
) -> Result<Response, Problem> {
    let mut response = StatusCode::NO_CONTENT.into_response();
    if let Some(browser) = access.until.browser() {
        // First of all here, whatever becomes of the log.
        browser.leave();
        if let Err(problem) = app.access_log().signed_out(&access, browser.signing_out()).await {
            response = problem.into_response();
        }
    }
    with_cookie(&app, response, None)
}

fn with_cookie(
    app: &App,
    mut response: Response,
    value: Option<&str>,
) -> Result<Response, Problem> {
    let header = cookie::header(value, app.gate().options.is_secure());
    let mut header = HeaderValue::try_from(header).map_err(|error| Problem::internal(&error))?;
    header.set_sensitive(true);
    response.headers_mut().insert(SET_COOKIE, header);
    Ok(response)
}

/// Who is calling.
#[derive(Serialize, ToSchema)]
pub(super) struct Me {
    /// As events name the caller: `{kind: key | run, id, user, agent}`.
    #[schema(value_type = Object)]
    actor: Actor,
    /// admin, operator, auditor, billing, user or agent.
    role: &'static str,
    /// The user that the key belongs to.
    #[schema(value_type = String)]
    user: UserName,
    /// The agent that the key belongs to, of an agent's key.
    #[schema(value_type = Option<String>)]
    agent: Option<AgentName>,
    /// The agents that the caller may give tasks to; null: all.
    #[schema(value_type = Option<Vec<String>>)]
    may_call: Option<BTreeSet<AgentName>>,
    /// What the caller may do, each within what it may see.
    rights: Vec<&'static str>,
    /// When a browser's session ends by itself; null with a key.
    #[schema(value_type = Option<String>, format = DateTime)]
    session_expires_at: Option<Timestamp>,
}

/// Who one is to the ledger, and what one may do.
#[utoipa::path(
    get, path = "/api/me", operation_id = "get_me", tag = "sign-in",
    responses(
        (status = 200, description = "Who is calling", body = Me),
        (status = 401, description = "No valid key", body = ProblemSchema),
    ),
)]
pub(super) async fn me(Recognised(access): Recognised, Params(()): Params<()>) -> axum::Json<Me> {
    let Access { caller, until, .. } = access;
    let rights = Right::ALL.into_iter().filter(|right| caller.role.has(*right));
    axum::Json(Me {
        role: caller.role.as_str(),
        user: caller.actor.user.clone(),
        agent: caller.actor.agent.clone(),
        may_call: caller.may_call,
        rights: rights.map(Right::as_str).collect(),
        session_expires_at: until.session_expires_at(),
        actor: caller.actor,
    })
}
