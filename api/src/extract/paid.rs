//! What the paths of payments name.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use execution_ledger_domain::{ExecutionId, PaymentId};

use super::path::path_part;
use super::words::EXECUTION_ID;
use crate::problem::Problem;

/// What a payment's id looks like.
const PAYMENT_ID: &str = "a payment's id has 64 lower-case hexadecimal digits";

/// The payment that the path names.
pub struct PaymentPath(pub PaymentId);

impl<S: Send + Sync> FromRequestParts<S> for PaymentPath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let id = path_part(parts, state, "id").await;
        id.map(Self).map_err(|_| Problem::invalid_parameter("id", PAYMENT_ID))
    }
}

/// The execution that a path without an agent names.
pub struct PaidExecutionPath(pub ExecutionId);

impl<S: Send + Sync> FromRequestParts<S> for PaidExecutionPath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let id = path_part(parts, state, "id").await;
        id.map(Self).map_err(|_| Problem::invalid_parameter("id", EXECUTION_ID))
    }
}
