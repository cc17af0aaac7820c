//! Keys: issuing, looking, revoking.

use std::collections::BTreeSet;

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use execution_ledger_domain::{AgentName, KeyId, Role, Timestamp, UserName};
use execution_ledger_process::keys::NewKey;
use execution_ledger_projections::{At, KeyQuery, KeyRow};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::answers::created;
use super::filters::{PageParams, limit};
use super::tasks::idempotency_key;
use crate::auth::{ManageKeys, May, ReadKeys};
use crate::extract::{FromQuery, Json, KeyPath, NoBody, Params, Query};
use crate::faults::key_refused;
use crate::position::{Moment, MomentParams, WAIT_FOR_MAX, with_position};
use crate::problem::{Code, Problem, ProblemSchema};
use crate::state::{App, cause};

/// A key to be issued.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct KeyBody {
    /// What people call it: 1 to 100 characters.
    #[serde(default)]
    #[schema(value_type = String, required = true, example = "nightly-checks")]
    name: Option<String>,
    /// admin, operator, auditor, billing, user or agent.
    #[serde(default)]
    #[schema(value_type = String, required = true, example = "user")]
    role: Option<Role>,
    /// The user that it belongs to: `[a-z0-9][a-z0-9_-]{0,62}`. Left out: the key's name, where that
    /// is such a name.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    user: Option<UserName>,
    /// The agent that it belongs to: of a key of role agent, and of such a key only.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    agent: Option<AgentName>,
    /// The agents that its holder may give tasks to, an agent's key always its own too. Left out:
    /// all; of an agent's key none but its own.
    #[serde(default)]
    #[schema(value_type = Option<Vec<String>>)]
    may_call: Option<BTreeSet<AgentName>>,
}

impl KeyBody {
    fn into_new(self) -> Result<NewKey, Problem> {
        let missing = |field, detail| Problem::new(Code::MissingField, detail).field(field);
        let name = self.name.ok_or_else(|| missing("name", "a key needs a name"))?;
        let roles = "say what its holder may do: admin, operator, auditor, billing, user or agent";
        let role = self.role.ok_or_else(|| missing("role", roles))?;
        let user = match self.user {
            Some(user) => user,
            None => UserName::new(&name).map_err(|error| {
                let detail = format!("say whose key it is: its name is no user's name ({error})");
                missing_user(detail)
            })?,
        };
        Ok(NewKey { name, role, user, agent: self.agent, may_call: self.may_call })
    }
}

fn missing_user(detail: String) -> Problem {
    Problem::new(Code::MissingField, detail).field("user")
}

/// A key, without its text.
#[derive(Serialize, ToSchema)]
pub(super) struct KeyAnswer {
    #[schema(value_type = String, format = Uuid)]
    key_id: KeyId,
    name: String,
    /// admin, operator, auditor, billing, user or agent.
    #[schema(value_type = String)]
    role: Role,
    /// The user that it belongs to.
    #[schema(value_type = String)]
    user: UserName,
    /// The agent that it belongs to, of an agent's key.
    #[schema(value_type = Option<String>)]
    agent: Option<AgentName>,
    /// The agents that its holder may give tasks to; null: all, of an agent's key none but its own.
    #[schema(value_type = Option<Vec<String>>)]
    may_call: Option<BTreeSet<AgentName>>,
    #[schema(value_type = String, format = DateTime)]
    issued_at: Timestamp,
    /// When it was revoked; null while it holds.
    #[schema(value_type = Option<String>, format = DateTime)]
    revoked_at: Option<Timestamp>,
    /// Position of its last change.
    position: String,
}

impl KeyAnswer {
    fn of(app: &App, row: KeyRow) -> Self {
        let issued = row.issued;
        Self {
            key_id: row.id,
            name: issued.name,
            role: issued.role,
            user: issued.user,
            agent: issued.agent,
            may_call: issued.may_call,
            issued_at: row.issued_at,
            revoked_at: row.revoked_at,
            position: app.position_text(row.position),
        }
    }
}

/// A key that was issued: the only answer that ever holds its text.
#[derive(Serialize, ToSchema)]
pub(super) struct IssuedAnswer {
    #[schema(value_type = String, format = Uuid)]
    key_id: KeyId,
    /// The key itself. It is kept nowhere and can't be shown again.
    key: String,
    name: String,
    /// admin, operator, auditor, billing, user or agent.
    #[schema(value_type = String)]
    role: Role,
    /// The user that it belongs to.
    #[schema(value_type = String)]
    user: UserName,
    /// The agent that it belongs to, of an agent's key.
    #[schema(value_type = Option<String>)]
    agent: Option<AgentName>,
    /// The agents that its holder may give tasks to; null: all, of an agent's key none but its own.
    #[schema(value_type = Option<Vec<String>>)]
    may_call: Option<BTreeSet<AgentName>>,
    #[schema(value_type = String, format = DateTime)]
    issued_at: Timestamp,
    /// Position of the event.
    position: String,
}

/// A page of keys.
#[derive(Serialize, ToSchema)]
pub(super) struct KeyList {
    keys: Vec<KeyAnswer>,
    /// What to ask for the next page with; null on the last one.
    next_cursor: Option<String>,
}

impl FromQuery for KeyQuery {
    fn from_query(query: &mut Query, _: &App) -> Result<Self, Problem> {
        Ok(Self {
            role: query.one_of("role", &Role::ALL.map(|role| (role.as_str(), role)))?,
            user: query.parsed("user")?,
            revoked: query.one_of("revoked", &[("true", true), ("false", false)])?,
            limit: limit(query)?,
            cursor: query.text("cursor"),
        })
    }
}

/// Issues a key. Its text is in this answer and nowhere else.
///
/// With an `Idempotency-Key` a repeated request is 409 `key_already_issued`: the text can't be shown
/// again. Revoke that key and issue another where the first answer was lost.
#[utoipa::path(
    post, path = "/api/keys", operation_id = "issue_key", tag = "keys",
    request_body = KeyBody,
    params(("Idempotency-Key" = Option<String>, Header, description = "Issues one key however often it is sent")),
    responses(
        (status = 201, description = "The key, with its text", body = IssuedAnswer),
        (status = 403, description = "The key does not allow it", body = ProblemSchema),
        (status = 409, description = "Issued before, or too many are in use", body = ProblemSchema),
        (status = 422, description = "A field can't be as it is", body = ProblemSchema),
    ),
)]
pub(super) async fn issue(
    may: May<ManageKeys>,
    State(app): State<App>,
    Params(()): Params<()>,
    headers: HeaderMap,
    Json(body): Json<KeyBody>,
) -> Result<Response, Problem> {
    let once = idempotency_key(&headers)?;
    let new = body.into_new()?;
    let request = cause(&may.request);
    let issued = app.keys().issue(&may.caller, new.clone(), once.as_deref(), &request).await;
    let issued = issued.map_err(key_refused)?;
    let position = issued.position;
    let answer = IssuedAnswer {
        key_id: issued.id,
        key: issued.key,
        name: new.name,
        role: new.role,
        user: new.user,
        agent: new.agent,
        may_call: new.may_call,
        issued_at: issued.issued_at,
        position: app.position_text(position),
    };
    let answer = with_position(&app, position, axum::Json(answer));
    Ok(created(answer, &format!("/api/keys/{}", issued.id)))
}

/// Keys that were issued, the newest first.
#[utoipa::path(
    get, path = "/api/keys", operation_id = "list_keys", tag = "keys",
    params(
        ("role" = Option<String>, Query, description = "Of this role"),
        ("user" = Option<String>, Query, description = "Of this user"),
        ("revoked" = Option<bool>, Query, description = "Revoked (true), or in use (false)"),
        PageParams, MomentParams,
    ),
    responses(
        (status = 200, description = "A page", body = KeyList),
        (status = 422, description = "An unknown filter or value", body = ProblemSchema),
    ),
)]
pub(super) async fn list(
    _may: May<ReadKeys>,
    State(app): State<App>,
    Params((query, moment)): Params<(KeyQuery, Moment)>,
) -> Result<Response, Problem> {
    let at = moment.reach(&app).await?;
    let seen = app.views().keys(at, &query).await?;
    let keys = seen.value.items.into_iter().map(|row| KeyAnswer::of(&app, row)).collect();
    let list = KeyList { keys, next_cursor: seen.value.next_cursor };
    Ok(with_position(&app, seen.position, axum::Json(list)))
}

/// One key.
#[utoipa::path(
    get, path = "/api/keys/{id}", operation_id = "get_key", tag = "keys",
    params(("id" = String, Path, description = "The key's id"), MomentParams),
    responses(
        (status = 200, description = "The key", body = KeyAnswer),
        (status = 404, description = "No such key", body = ProblemSchema),
    ),
)]
pub(super) async fn detail(
    _may: May<ReadKeys>,
    State(app): State<App>,
    KeyPath(id): KeyPath,
    Params(moment): Params<Moment>,
) -> Result<Response, Problem> {
    let at = moment.reach(&app).await?;
    answer(&app, at, id).await
}

async fn answer(app: &App, at: At, id: KeyId) -> Result<Response, Problem> {
    let seen = app.views().key(at, id).await?;
    let row = seen.value.ok_or_else(no_key)?;
    Ok(with_position(app, seen.position, axum::Json(KeyAnswer::of(app, row))))
}

/// There is no key of that id.
pub(crate) fn no_key() -> Problem {
    Problem::new(Code::KeyNotFound, "no key of that id was issued").field("id")
}

/// Revokes a key, at once: nobody is let in with it any more, and what was opened with it ends.
#[utoipa::path(
    delete, path = "/api/keys/{id}", operation_id = "revoke_key", tag = "keys",
    params(("id" = String, Path, description = "The key's id")),
    responses(
        (status = 200, description = "The key; also where it was revoked before", body = KeyAnswer),
        (status = 404, description = "No such key", body = ProblemSchema),
    ),
)]
pub(super) async fn revoke(
    may: May<ManageKeys>,
    State(app): State<App>,
    KeyPath(id): KeyPath,
    Params(()): Params<()>,
    NoBody: NoBody,
) -> Result<Response, Problem> {
    let revoked = app.keys().revoke(&may.caller, id, &cause(&may.request)).await;
    let position = revoked.map_err(key_refused)?;
    app.wait_for(position, WAIT_FOR_MAX).await?;
    answer(&app, At::Now, id).await
}
