//! Who is calling: the holder of a key, a browser that was let in with one, or a run by its token.

mod holder;
mod until;

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
use crate::sign_in::{cookie, origin};
use crate::state::App;

pub use holder::KeyHolder;
pub(crate) use until::{Over, Until};

/// Longest key that is looked at, in bytes.
const KEY_MAX_BYTES: usize = 512;
/// The header by which an agent's program says which agent it is.
const SOURCE_AGENT: &str = "x-source-agent";

/// The SHA-256 of a key: what is kept of it, and what it is compared by.
#[derive(Clone, Copy)]
pub struct KeyDigest(pub(crate) Digest);

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
    /// [`Right::ReadFeed`]
    ReadFeed;
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
    /// [`Right::CorrectCosts`]
    CorrectCosts;
    /// [`Right::ManageWebhooks`]
    ManageWebhooks;
    /// [`Right::ReadWebhooks`]
    ReadWebhooks;
    /// [`Right::ManagePayments`]
    ManagePayments;
    /// [`Right::Erase`]
    Erase;
    /// [`Right::ReadPayments`]
    ReadPayments;
    /// [`Right::ManageBudgets`]
    ManageBudgets;
    /// [`Right::ReadBudgets`]
    ReadBudgets;
}

/// A caller that was recognised, the request that they make, and until when both hold.
#[derive(Clone)]
pub(crate) struct Access {
    /// Who.
    pub caller: Caller,
    /// The request that they make.
    pub request: RequestInfo,
    /// Until when what they open may stay open.
    pub until: Until,
}

impl Access {
    /// Lets pass whoever has the right.
    pub fn need(&self, right: Right) -> Result<(), Problem> {
        need(&self.caller, right)
    }
}

fn need(caller: &Caller, right: Right) -> Result<(), Problem> {
    if caller.role.has(right) {
        return Ok(());
    }
    let detail = format!("a key of role {} does not allow it", caller.role);
    Err(Problem::new(Code::Forbidden, detail))
}

/// A caller that was recognised and has the right `R`. Must be the first argument of a handler, so
/// that nothing else of a stranger's request is looked at.
pub struct May<R> {
    /// Who.
    pub caller: Caller,
    /// The request that they make.
    pub request: RequestInfo,
    /// Until when what they open may stay open.
    pub(crate) until: Until,
    right: PhantomData<R>,
}

impl<R> May<R> {
    /// The same without the right, which was looked at.
    pub(crate) fn into_access(self) -> Access {
        Access { caller: self.caller, request: self.request, until: self.until }
    }
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
        let access = access(parts, &app).await?;
        access.need(R::RIGHT)?;
        let Access { caller, request, until } = access;
        Ok(Self { caller, request, until, right: PhantomData })
    }
}

/// A caller that was recognised, whatever their rights.
pub struct Recognised(pub(crate) Access);

impl<S> FromRequestParts<S> for Recognised
where
    S: Send + Sync,
    App: FromRef<S>,
{
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        access(parts, &App::from_ref(state)).await.map(Self)
    }
}

/// Lets pass whoever holds a key with that right, by the head of their request.
pub(crate) async fn recognise_head(parts: &Parts, app: &App, right: Right) -> Result<(), Problem> {
    access(parts, app).await?.need(right)
}

/// Who makes a request, by its head.
pub(crate) async fn access(parts: &Parts, app: &App) -> Result<Access, Problem> {
    let info = parts.extensions.get::<RequestInfo>().cloned();
    let request = info.ok_or_else(|| Problem::internal(&"a request came past the gate"))?;
    let known = if parts.headers.contains_key(AUTHORIZATION) {
        match bearer(&parts.headers) {
            Some(key) => by_key(key, app).await?,
            None => None,
        }
    } else {
        by_cookie(parts, app)?
    };
    let Some((caller, until)) = known else {
        return Err(turned_away(app, &request));
    };
    app.gate().check_rate(&caller.actor.id)?;
    check_source_agent(&parts.headers, &caller)?;
    Ok(Access { caller, request, until })
}

/// Says what to answer to a request that showed no key that holds.
pub(crate) fn turned_away(app: &App, request: &RequestInfo) -> Problem {
    app.gate().failed_attempt(request.source)
}

/// What a request shows as its key, whatever that is.
pub(crate) fn bearer_of(headers: &HeaderMap) -> Option<&str> {
    bearer(headers)
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

async fn by_key(key: &str, app: &App) -> Result<Option<(Caller, Until)>, Problem> {
    if key.starts_with(run_token::PREFIX) {
        let caller = app.tasks().caller_by_run_token(key).await?;
        return Ok(caller.map(|caller| {
            let run = caller.run.as_ref().map(|run| run.execution_id);
            let until = run.map(|run| Until::run_ends(app.tasks().clone(), run));
            (caller, until.unwrap_or_default())
        }));
    }
    if let Some(held) = app.keys().ring().find(key) {
        return Ok(Some((held.caller.clone(), Until::revoked(held.revoked.clone()))));
    }
    let is_admin = app.admin_key().matches(&KeyDigest::of(key));
    Ok(is_admin.then(|| (admin(), Until::default())))
}

/// Whoever a browser's cookie stands for. What a page of another site makes a browser send is refused
/// whoever it is.
fn by_cookie(parts: &Parts, app: &App) -> Result<Option<(Caller, Until)>, Problem> {
    let Some(value) = cookie::value(&parts.headers) else { return Ok(None) };
    let mut held = None;
    let session = app.sign_in().session(value, |key| match key {
        None => Some(app.admin_key().0),
        Some(id) => {
            held = app.keys().ring().by_id(id);
            held.as_ref().map(|held| *held.secret_sha256())
        }
    });
    let Some((_, browser)) = session else { return Ok(None) };
    origin::check(parts, &app.gate().options)?;
    let (caller, until) = match held {
        Some(held) => (held.caller.clone(), Until::revoked(held.revoked.clone())),
        None => (admin(), Until::default()),
    };
    Ok(Some((caller, until.and_signed_in(browser))))
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
