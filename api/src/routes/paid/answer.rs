//! What a payer is answered: of his payment all, of what he paid for what concerns him.

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use execution_ledger_domain::payment::Payment;
use execution_ledger_domain::{AgentName, ExecutionId, Scope, Timestamp};
use execution_ledger_process::paid::Paid;
use execution_ledger_process::tasks::Waited;
use execution_ledger_projections::{ErrorInfo, Status};
use execution_ledger_store::Position;
use serde::Serialize;
use utoipa::ToSchema;

use crate::problem::Problem;
use crate::state::App;

/// A payment, as its payer is told of it.
#[derive(Serialize, ToSchema)]
pub(super) struct PaymentTold {
    /// Its id: 64 hexadecimal digits.
    payment_id: String,
    /// settled, settlement_unknown (nobody can say yet whether it was charged), settlement_requested,
    /// verified, or refund_owed (it was charged, and what it paid for did not succeed).
    status: &'static str,
    /// The transaction that brought the money; null where there is none, or nobody knows it.
    transaction: Option<String>,
    /// The chain.
    network: String,
    /// The token.
    asset: String,
    /// How much, in the token's smallest unit.
    amount: String,
    /// Who pays.
    payer: String,
    /// Why nobody knows, where that is so.
    reason: Option<String>,
    /// Where it was recorded: position of its last event.
    position: String,
}

/// An execution, as its payer is told of it.
#[derive(Serialize, ToSchema)]
pub(super) struct PaidExecution {
    #[schema(value_type = String, format = Uuid)]
    execution_id: ExecutionId,
    #[schema(value_type = String)]
    agent_name: AgentName,
    status: Status,
    /// The agent's answer; null where there is none, or once it was erased.
    response: Option<String>,
    /// Whether the answer was cut at the limit.
    response_cut: bool,
    /// Why it failed.
    error: Option<ErrorInfo>,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    #[schema(value_type = Option<String>, format = DateTime)]
    started_at: Option<Timestamp>,
    #[schema(value_type = Option<String>, format = DateTime)]
    completed_at: Option<Timestamp>,
    duration_ms: Option<u64>,
}

/// Where to look after it.
#[derive(Serialize, ToSchema)]
pub(super) struct PaidLinks {
    /// The execution, for whoever sends `Authorization: Bearer` and the result_token.
    status: String,
}

/// What came of a payment, and of what it pays for.
#[derive(Serialize, ToSchema)]
pub(super) struct PaidAnswer {
    /// The execution that it pays for.
    #[schema(value_type = String, format = Uuid)]
    execution_id: ExecutionId,
    /// pending, running, completed, failed or cancelled; `unpaid` while the payment is not settled:
    /// nothing runs then.
    status: &'static str,
    /// The payment.
    payment: PaymentTold,
    /// Lets its holder look at the execution: keep it to yourself.
    result_token: String,
    /// How many secrets were redacted in the message.
    redactions: u32,
    /// Whether this payment had been sent before.
    replayed: bool,
    /// What was paid for, once it is there.
    execution: Option<PaidExecution>,
    links: PaidLinks,
    #[serde(skip)]
    ended: bool,
}

impl PaidAnswer {
    /// What a payer is answered; `ended` where its end was waited for.
    pub async fn of(
        app: &App,
        paid: &Paid,
        agent: &AgentName,
        ended: bool,
    ) -> Result<Self, Problem> {
        let verified = paid.payment.verified();
        let verified = verified.ok_or_else(|| Problem::internal(&"a payment that is not there"))?;
        let transaction = match &paid.payment {
            Payment::Settled { settled, .. } => settled.transaction.clone(),
            _ => None,
        };
        let reason = match &paid.payment {
            Payment::Unknown { reason, .. } => Some(reason.clone()),
            _ => None,
        };
        let head = app.store().head().await?;
        let execution = execution(app, head, paid.execution_id).await?;
        let ended =
            ended || execution.as_ref().is_some_and(|execution| execution.status.is_terminal());
        let settled = matches!(paid.payment, Payment::Settled { .. });
        let before = if settled { "pending" } else { "unpaid" };
        debug_assert_eq!(*agent, verified.asked.pending.agent);
        Ok(Self {
            execution_id: paid.execution_id,
            status: execution.as_ref().map_or(before, |execution| execution.status.as_str()),
            payment: PaymentTold {
                payment_id: paid.id.to_string(),
                status: paid.payment.status(),
                transaction,
                network: verified.terms.network.clone(),
                asset: verified.terms.asset.clone(),
                amount: verified.terms.amount.clone(),
                payer: verified.payer.clone(),
                reason,
                position: app.position_text(paid.position),
            },
            result_token: app.secret().result_token(paid.id),
            redactions: paid.redactions,
            replayed: paid.replayed,
            execution,
            links: PaidLinks { status: format!("/api/paid/executions/{}", paid.execution_id) },
            ended,
        })
    }
}

impl IntoResponse for PaidAnswer {
    fn into_response(self) -> Response {
        let status = if self.ended { StatusCode::OK } else { StatusCode::ACCEPTED };
        (status, axum::Json(self)).into_response()
    }
}

/// What was paid for, as far as its payer may see it; nothing while it is not there.
pub(super) async fn execution(
    app: &App,
    until: Position,
    id: ExecutionId,
) -> Result<Option<PaidExecution>, Problem> {
    let record = app.views().execution_by_log(&Scope::All, until, id).await?;
    Ok(record.map(|record| PaidExecution {
        execution_id: record.execution_id,
        agent_name: record.agent_name,
        status: record.status,
        response: record.response,
        response_cut: record.response_cut,
        error: record.error,
        created_at: record.created_at,
        started_at: record.started_at,
        completed_at: record.completed_at,
        duration_ms: record.duration_ms,
    }))
}

/// Waits for the end of what was paid for; whoever paid is answered also where it does not come in time.
pub(super) async fn wait_for_end(app: &App, paid: &Paid) -> Result<bool, Problem> {
    let most = app.gate().options.sync_wait;
    let stopping = app.gate().stopping().clone();
    let _lent = app.gate().lend_place();
    tokio::select! {
        waited = app.tasks().wait_for_end(paid.execution_id, most) => {
            Ok(matches!(waited?, Waited::Ended(_)))
        }
        () = stopping.cancelled() => Ok(false),
    }
}
