//! What the path names.

use std::str::FromStr;

use axum::extract::{FromRequestParts, RawPathParams};
use axum::http::request::Parts;
use execution_ledger_domain::{
    AgentName, BudgetScope, ExecutionId, KeyId, ScheduleId, SessionId, WebhookId,
};

use super::words::{EXECUTION_ID, KEY_ID, SCHEDULE_ID, SESSION_ID, WEBHOOK_ID};
use crate::problem::Problem;

pub(super) async fn path_part<T: FromStr, S: Send + Sync>(
    parts: &mut Parts,
    state: &S,
    wanted: &str,
) -> Result<T, Problem>
where
    T::Err: std::fmt::Display,
{
    let unreadable =
        |error: &dyn std::fmt::Display| Problem::invalid_parameter(wanted, error.to_string());
    let params = RawPathParams::from_request_parts(parts, state).await;
    let params = params.map_err(|error| unreadable(&error.body_text()))?;
    let text = params.iter().find(|(name, _)| *name == wanted).map_or("", |(_, text)| text);
    text.parse().map_err(|error: T::Err| unreadable(&error))
}

/// The agent that the path names.
pub struct AgentPath(pub AgentName);

impl<S: Send + Sync> FromRequestParts<S> for AgentPath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        path_part(parts, state, "name").await.map(Self)
    }
}

/// The budget that the path names.
pub struct BudgetPath(pub BudgetScope);

impl<S: Send + Sync> FromRequestParts<S> for BudgetPath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        path_part(parts, state, "scope").await.map(Self)
    }
}

/// The key that the path names.
pub struct KeyPath(pub KeyId);

impl<S: Send + Sync> FromRequestParts<S> for KeyPath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let id = path_part(parts, state, "id").await;
        id.map(Self).map_err(|_| Problem::invalid_parameter("id", KEY_ID))
    }
}

/// The chat session that the path names.
pub struct SessionPath(pub SessionId);

impl<S: Send + Sync> FromRequestParts<S> for SessionPath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let id = path_part(parts, state, "id").await;
        id.map(Self).map_err(|_| Problem::invalid_parameter("id", SESSION_ID))
    }
}

/// The schedule that the path names.
pub struct SchedulePath(pub ScheduleId);

impl<S: Send + Sync> FromRequestParts<S> for SchedulePath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let id = path_part(parts, state, "id").await;
        id.map(Self).map_err(|_| Problem::invalid_parameter("id", SCHEDULE_ID))
    }
}

/// The webhook that the path names.
pub struct WebhookPath(pub WebhookId);

impl<S: Send + Sync> FromRequestParts<S> for WebhookPath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let id = path_part(parts, state, "id").await;
        id.map(Self).map_err(|_| Problem::invalid_parameter("id", WEBHOOK_ID))
    }
}

/// The execution, and its agent, that the path names.
pub struct ExecutionPath {
    /// The agent.
    pub agent: AgentName,
    /// The execution.
    pub id: ExecutionId,
}

impl<S: Send + Sync> FromRequestParts<S> for ExecutionPath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        Ok(Self {
            agent: path_part(parts, state, "name").await?,
            id: path_part(parts, state, "id")
                .await
                .map_err(|_| Problem::invalid_parameter("id", EXECUTION_ID))?,
        })
    }
}
