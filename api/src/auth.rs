//! Who is calling: a key of the ledger's, or a run by its token.

use std::marker::PhantomData;

use axum::extract::{FromRef, FromRequestParts};
use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use execution_ledger_domain::content::Digest;
use execution_ledger_domain::{Actor, ActorKind, AgentName, Caller, Right, Role, Scope, UserName};
use execution_ledger_process::run_token;
use subtle::ConstantTimeEq;

use crate::gate::RequestInfo;
use crate::problem::{Code, Problem};
use crate::state::App;

/// Longest key that is looked at, in bytes.
const KEY_MAX_BYTES: usize = 512;
/// The header by which an agent's program says which agent it is.
const SOURCE_AGENT: &str = "x-source-agent";

/// The SHA-256 of a key: what is kept of it, and what it is compared by.
#[derive(Clone, Copy)]
pub struct KeyDigest(Digest);

impl KeyDigest {
    /// Of a key as callers send it.
    pub fn of(key: &str) -> Self {
        Self(Digest::of(key.as_bytes()))
    }

    /// Whether both are of the same key, in a time that says nothing of where they differ.
    pub fn matches(&self, other: &Self) -> bool {
        self.0.0.ct_eq(&other.0.0).into()
    }
}

/// The caller that holds the admin key.
pub fn admin() -> Caller {
    let user = UserName::new("admin").unwrap_or_else(|_| unreachable!("a fixed, valid name"));
    Caller {
        actor: Actor { kind: ActorKind::Key, id: "admin".to_owned(), user, agent: None },
        role: Role::Admin,
        scope: Scope::All,
        run: None,
        may_call: None,
    }
}

/// A right that a handler asks for by its type.
pub trait Needs: Send + Sync {
    /// The right.
    const RIGHT: Right;
}

macro_rules! rights {
    ($( $(#[$doc:meta])* $name:ident; )*) => {
        $( $(#[$doc])* pub enum $name {}
        impl Needs for $name {
            const RIGHT: Right = Right::$name;
        } )*
    };
}

rights! {
    /// [`Right::Operate`]
    Operate;
    /// [`Right::Read`]
    Read;
    /// [`Right::ReadCosts`]
    ReadCosts;
    /// [`Right::ReadLog`]
    ReadLog;
    /// [`Right::Chat`]
    Chat;
    /// [`Right::ReadSessions`]
    ReadSessions;
    /// [`Right::ManageQueues`]
    ManageQueues;
    /// [`Right::ManageSchedules`]
    ManageSchedules;
    /// [`Right::ReadSchedules`]
    ReadSchedules;
    /// [`Right::ManageAgents`]
    ManageAgents;
    /// [`Right::ManageKeys`]
    ManageKeys;
    /// [`Right::ReadKeys`]
    ReadKeys;
}

/// A caller that was recognised and has the right `R`. Must be the first argument of a handler, so
/// that nothing else of a stranger's request is looked at.
pub struct May<R> {
    /// Who.
    pub caller: Caller,
    /// The request that they make.
    pub request: RequestInfo,
    right: PhantomData<R>,
}

impl<S, R> FromRequestParts<S> for May<R>
where
    S: Send + Sync,
    App: FromRef<S>,
    R: Needs,
{
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let app = App::from_ref(state);
        let (caller, request) = recognise(parts, &app).await?;
        if !caller.role.has(R::RIGHT) {
            return Err(forbidden());
        }
        Ok(Self { caller, request, right: PhantomData })
    }
}

/// A caller that was recognised, whatever their rights.
pub struct Recognised;

impl<S> FromRequestParts<S> for Recognised
where
    S: Send + Sync,
    App: FromRef<S>,
{
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        recognise(parts, &App::from_ref(state)).await.map(|_| Self)
    }
}

/// Lets pass whoever holds a key with that right, by the head of their request.
pub(crate) async fn recognise_head(parts: &Parts, app: &App, right: Right) -> Result<(), Problem> {
    let (caller, _) = recognise(parts, app).await?;
    if caller.role.has(right) { Ok(()) } else { Err(forbidden()) }
}

fn forbidden() -> Problem {
    Problem::new(Code::Forbidden, "the role of this key does not allow it")
}

/// Who makes a request, by its head.
pub(crate) async fn recognise(parts: &Parts, app: &App) -> Result<(Caller, RequestInfo), Problem> {
    let info = parts.extensions.get::<RequestInfo>().cloned();
    let info = info.ok_or_else(|| Problem::internal(&"a request came past the gate"))?;
    let caller = match bearer(&parts.headers) {
        Some(key) => caller_of(key, app).await?,
        None => None,
    };
    let Some(caller) = caller else { return Err(app.gate().failed_attempt(info.source)) };
    app.gate().check_rate(&caller.actor.id)?;
    check_source_agent(&parts.headers, &caller)?;
    Ok((caller, info))
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let text = values.next()?.to_str().ok()?;
    // Two keys: nobody could say who is calling.
    if values.next().is_some() {
        return None;
    }
    let (scheme, key) = text.split_once(' ')?;
    let key = key.trim();
    let fits = scheme.eq_ignore_ascii_case("bearer") && (1..=KEY_MAX_BYTES).contains(&key.len());
    fits.then_some(key)
}

async fn caller_of(key: &str, app: &App) -> Result<Option<Caller>, Problem> {
    if key.starts_with(run_token::PREFIX) {
        return Ok(app.tasks().caller_by_run_token(key).await?);
    }
    Ok(app.admin_key().matches(&KeyDigest::of(key)).then(admin))
}

fn check_source_agent(headers: &HeaderMap, caller: &Caller) -> Result<(), Problem> {
    let Some(claimed) = headers.get(SOURCE_AGENT) else { return Ok(()) };
    let claimed = claimed.to_str().ok().and_then(|text| AgentName::new(text).ok());
    if claimed.is_some() && claimed == caller.actor.agent {
        return Ok(());
    }
    let detail = "the header must name the agent that the key belongs to, or be left out";
    Err(Problem::new(Code::SourceAgentMismatch, detail).field("X-Source-Agent"))
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn with(values: &[&'static str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(AUTHORIZATION, HeaderValue::from_static(value));
        }
        headers
    }

    #[test]
    fn exactly_one_bearer_key_is_read_from_the_headers() {
        assert_eq!(bearer(&with(&["Bearer k"])), Some("k"));
        assert_eq!(bearer(&with(&["bearer k"])), Some("k"));
        assert_eq!(bearer(&with(&["Basic k"])), None);
        assert_eq!(bearer(&with(&["Bearer "])), None);
        assert_eq!(bearer(&with(&["Bearer k", "Bearer l"])), None);
        assert_eq!(bearer(&with(&[])), None);
    }

    #[test]
    fn a_key_matches_its_own_digest_only() {
        assert!(KeyDigest::of("elk_a").matches(&KeyDigest::of("elk_a")));
        assert!(!KeyDigest::of("elk_a").matches(&KeyDigest::of("elk_b")));
    }
}
