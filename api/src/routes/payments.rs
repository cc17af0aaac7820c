//! Payments: looking at them, and deciding those of which nobody else knows.

use axum::extract::State;
use axum::response::Response;
use execution_ledger_domain::payment::{Evidence, Payment, RefundOwed};
use execution_ledger_domain::{AgentName, ExecutionId, PaymentId, Timestamp};
use execution_ledger_process::paid::Resolution;
use execution_ledger_projections::{At, PaymentQuery, PaymentRow};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::filters::{PageParams, limit};
use crate::auth::{ManagePayments, May, ReadPayments};
use crate::extract::{FromQuery, Json, Params, PaymentPath, Query};
use crate::faults::resolution_refused;
use crate::position::{Moment, MomentParams, WAIT_FOR_MAX, with_position};
use crate::problem::{Code, Problem, ProblemSchema};
use crate::state::{App, cause};

/// A payment.
#[derive(Serialize, ToSchema)]
pub(super) struct PaymentAnswer {
    /// Its id: 64 hexadecimal digits.
    payment_id: String,
    /// verified, settlement_requested, settlement_unknown, settled, refund_owed or settlement_failed.
    status: String,
    /// How it is paid.
    scheme: String,
    /// The chain, as CAIP-2 names it.
    network: String,
    /// The token.
    asset: String,
    /// How much, in the token's smallest unit.
    amount: String,
    /// The address that is paid.
    pay_to: String,
    /// The address that pays.
    payer: String,
    /// The number, used once, of the payment.
    nonce: String,
    /// Not valid before this, in seconds since 1970.
    valid_after_s: u64,
    /// Not valid from this on, in seconds since 1970.
    valid_before_s: u64,
    /// The payer's own id of it.
    payment_identifier: Option<String>,
    /// The facilitator that verified it.
    facilitator: String,
    /// The address that was asked for.
    resource: String,
    /// The execution that it pays for: there once the money has come.
    #[schema(value_type = String, format = Uuid)]
    execution_id: ExecutionId,
    #[schema(value_type = String)]
    agent_name: AgentName,
    /// How often the facilitator was asked for the money.
    settlement_requests: u32,
    /// The transaction that brought the money.
    transaction: Option<String>,
    /// How the outcome is known: facilitator, chain, person or not_requested.
    #[schema(value_type = Option<String>)]
    evidence: Option<Evidence>,
    /// Why the money has not come, or why nobody knows.
    reason: Option<String>,
    /// A person's reason, where a person decided; null in lists, and once it was erased.
    note: Option<String>,
    /// What is owed of it.
    #[schema(value_type = Option<Object>)]
    refund: Option<RefundOwed>,
    #[schema(value_type = String, format = DateTime)]
    verified_at: Timestamp,
    #[schema(value_type = Option<String>, format = DateTime)]
    settled_at: Option<Timestamp>,
    #[schema(value_type = String, format = DateTime)]
    changed_at: Timestamp,
    /// Position of its last change.
    position: String,
}

impl PaymentAnswer {
    fn of(app: &App, row: PaymentRow) -> Self {
        Self {
            payment_id: row.id.to_string(),
            status: row.status,
            scheme: row.terms.scheme,
            network: row.terms.network,
            asset: row.terms.asset,
            amount: row.terms.amount,
            pay_to: row.terms.pay_to,
            payer: row.payer,
            nonce: row.nonce,
            valid_after_s: row.valid_after_s,
            valid_before_s: row.valid_before_s,
            payment_identifier: row.identifier,
            facilitator: row.facilitator,
            resource: row.resource,
            execution_id: row.execution_id,
            agent_name: row.agent,
            settlement_requests: row.asked,
            transaction: row.transaction,
            evidence: row.evidence,
            reason: row.reason,
            note: row.note,
            refund: row.refund,
            verified_at: row.verified_at,
            settled_at: row.settled_at,
            changed_at: row.changed_at,
            position: app.position_text(row.position),
        }
    }
}

/// A page of payments.
#[derive(Serialize, ToSchema)]
pub(super) struct PaymentList {
    payments: Vec<PaymentAnswer>,
    /// What to ask for the next page with; null on the last one.
    next_cursor: Option<String>,
}

/// What a person has found out about a payment of which nobody knew.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ResolutionBody {
    /// settled: the money came; failed: it did not and will not.
    outcome: OutcomeBody,
    /// The transaction that brought the money, where it is known.
    #[serde(default)]
    transaction: Option<String>,
    /// How it is known: 1 to 1000 bytes.
    reason: String,
}

/// An outcome.
#[derive(Clone, Copy, Debug, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum OutcomeBody {
    /// The money came.
    Settled,
    /// It did not and will not.
    Failed,
}

impl FromQuery for PaymentQuery {
    fn from_query(query: &mut Query, _: &App) -> Result<Self, Problem> {
        Ok(Self {
            agent: query.parsed("agent")?,
            status: query.one_of("status", &Payment::STATUSES.map(|status| (status, status)))?,
            payer: payer(query)?,
            limit: limit(query)?,
            cursor: query.text("cursor"),
        })
    }
}

fn payer(query: &mut Query) -> Result<Option<String>, Problem> {
    let Some(text) = query.text("payer") else { return Ok(None) };
    let digits = text.strip_prefix("0x").unwrap_or_default();
    if digits.len() == 40 && digits.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Ok(Some(text.to_ascii_lowercase()));
    }
    Err(Problem::invalid_parameter("payer", "an address: 0x and 40 hexadecimal digits"))
}

/// Payments, the newest first.
#[utoipa::path(
    get, path = "/api/payments", operation_id = "list_payments", tag = "paid",
    params(
        ("agent" = Option<String>, Query, description = "For this agent"),
        ("status" = Option<String>, Query, description = "Of this status"),
        ("payer" = Option<String>, Query, description = "Of this address"),
        PageParams, MomentParams,
    ),
    responses(
        (status = 200, description = "A page", body = PaymentList),
        (status = 422, description = "An unknown filter or value", body = ProblemSchema),
    ),
)]
pub(super) async fn list(
    _may: May<ReadPayments>,
    State(app): State<App>,
    Params((query, moment)): Params<(PaymentQuery, Moment)>,
) -> Result<Response, Problem> {
    let at = moment.reach(&app).await?;
    let seen = app.views().payments(at, &query).await?;
    let payments = seen.value.items.into_iter().map(|row| PaymentAnswer::of(&app, row)).collect();
    let list = PaymentList { payments, next_cursor: seen.value.next_cursor };
    Ok(with_position(&app, seen.position, axum::Json(list)))
}

/// One payment.
#[utoipa::path(
    get, path = "/api/payments/{id}", operation_id = "get_payment", tag = "paid",
    params(("id" = String, Path, description = "The payment's id"), MomentParams),
    responses(
        (status = 200, description = "The payment", body = PaymentAnswer),
        (status = 404, description = "No such payment", body = ProblemSchema),
    ),
)]
pub(super) async fn detail(
    _may: May<ReadPayments>,
    State(app): State<App>,
    PaymentPath(id): PaymentPath,
    Params(moment): Params<Moment>,
) -> Result<Response, Problem> {
    let at = moment.reach(&app).await?;
    answer(&app, at, id).await
}

async fn answer(app: &App, at: At, id: PaymentId) -> Result<Response, Problem> {
    let seen = app.views().payment(at, id).await?;
    let row = seen.value.ok_or_else(no_payment)?;
    Ok(with_position(app, seen.position, axum::Json(PaymentAnswer::of(app, row))))
}

/// There is no payment of that id.
pub(crate) fn no_payment() -> Problem {
    Problem::new(Code::PaymentNotFound, "no payment of that id was found good").field("id")
}

/// Decides a payment of which nobody can say whether it was made, by what a person has found out: what
/// was paid for runs if the money came, and never if it did not.
#[utoipa::path(
    post, path = "/api/payments/{id}/resolve", operation_id = "resolve_payment", tag = "paid",
    params(("id" = String, Path, description = "The payment's id")),
    request_body = ResolutionBody,
    responses(
        (status = 200, description = "The payment", body = PaymentAnswer),
        (status = 404, description = "No such payment", body = ProblemSchema),
        (status = 409, description = "Nobody doubts this payment", body = ProblemSchema),
        (status = 422, description = "A field can't be as it is", body = ProblemSchema),
    ),
)]
pub(super) async fn resolve(
    may: May<ManagePayments>,
    State(app): State<App>,
    PaymentPath(id): PaymentPath,
    Params(()): Params<()>,
    Json(body): Json<ResolutionBody>,
) -> Result<Response, Problem> {
    let resolution = match (body.outcome, body.transaction) {
        (OutcomeBody::Settled, transaction) => Resolution::Settled { transaction },
        (OutcomeBody::Failed, None) => Resolution::Failed,
        (OutcomeBody::Failed, Some(_)) => {
            let detail = "a payment that failed has no transaction";
            return Err(Problem::invalid_field("transaction", detail));
        }
    };
    let request = cause(&may.request);
    let resolved =
        app.payments().resolve(&may.caller, id, resolution, &body.reason, &request).await;
    let position = resolved.map_err(resolution_refused)?;
    app.wait_for(position, WAIT_FOR_MAX).await?;
    answer(&app, At::Now, id).await
}
