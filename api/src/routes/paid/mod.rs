//! Tasks that are paid for: asking, paying, and looking at what was paid for. No key is needed: whoever
//! pays may have done what he pays for, and nothing else.

mod answer;

use axum::extract::{FromRef, FromRequestParts, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use execution_ledger_domain::payment::Payment;
use execution_ledger_domain::{AgentName, ExecutionId, PaymentId};
use execution_ledger_process::paid::{Paid, PaidError};
use execution_ledger_process::tasks::PaidTask;
use serde::Deserialize;
use serde_json::Value;
use utoipa::ToSchema;

use crate::auth::{bearer_of, turned_away};
use crate::extract::{AgentPath, Json, PaidExecutionPath, Params};
use crate::faults::paid_refused;
use crate::gate::RequestInfo;
use crate::paid::{asking_for, presented, with_receipt};
use crate::position::with_position;
use crate::problem::{Code, Problem, ProblemSchema};
use crate::state::{App, cause, no_execution};
use answer::{PaidAnswer, PaidExecution};

/// What is said to whoever shows no payment.
const UNPAID: &str = "PAYMENT-SIGNATURE header is required";

/// A task that is paid for.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct PaidBody {
    /// What the agent is to do: 1 byte to 256 KiB of UTF-8, no control characters but tab and
    /// newline.
    #[serde(default)]
    #[schema(required = true, example = "Summarise README.md")]
    message: String,
    /// Answer once the payment is settled instead of waiting for the end.
    #[serde(default)]
    async_mode: bool,
    /// The model, of those that the price includes.
    #[serde(default)]
    model: Option<String>,
    /// How long the run may take, in seconds; at most the agent's own limit.
    #[serde(default)]
    timeout_s: Option<u64>,
}

/// Somebody without a key, whose address may ask once more. Must be the first argument of a handler.
pub(super) struct Somebody(RequestInfo);

impl<S> FromRequestParts<S> for Somebody
where
    S: Send + Sync,
    App: FromRef<S>,
{
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let info = parts.extensions.get::<RequestInfo>().cloned();
        let info = info.ok_or_else(|| Problem::internal(&"a request came past the gate"))?;
        App::from_ref(state).paid_gate().check(info.source)?;
        Ok(Self(info))
    }
}

/// Gives an agent a task that is paid for (x402 version 2).
///
/// Without `PAYMENT-SIGNATURE` the answer is 402 with what it costs in `PAYMENT-REQUIRED`. With it, the
/// payment is verified and settled before anything runs. The answer then says in `PAYMENT-RESPONSE` what
/// came of the money. The same payment sent again with the same body is charged once and answers with
/// what it led to.
#[utoipa::path(
    post, path = "/api/paid/{name}/task", operation_id = "submit_paid_task", tag = "paid", security(()),
    params(
        ("name" = String, Path, description = "The agent"),
        ("PAYMENT-SIGNATURE" = Option<String>, Header, description = "The payment: base64 of JSON, as x402 version 2 has it"),
    ),
    request_body = PaidBody,
    responses(
        (status = 200, description = "Paid, and ended", body = PaidAnswer),
        (status = 202, description = "Paid and accepted; or nobody can say yet whether it was paid: `payment.status` says which", body = PaidAnswer),
        (status = 402, description = "Not paid: `PAYMENT-REQUIRED` says what it costs, `reason` what was wrong", body = ProblemSchema),
        (status = 404, description = "The agent is not for sale", body = ProblemSchema),
        (status = 422, description = "A field can't be as it is, or the payment was sent with another request", body = ProblemSchema),
        (status = 429, description = "The queue is full, or the address asks too often", body = ProblemSchema),
        (status = 503, description = "The facilitator can't be asked; nobody was charged", body = ProblemSchema),
    ),
)]
pub(super) async fn submit(
    Somebody(info): Somebody,
    State(app): State<App>,
    AgentPath(agent): AgentPath,
    Params(()): Params<()>,
    headers: HeaderMap,
    Json(body): Json<PaidBody>,
) -> Result<Response, Problem> {
    let PaidBody { message, async_mode, model, timeout_s } = body;
    let task = PaidTask { message, model, timeout_s };
    let resource = resource(&app, &headers, &agent);
    let refused = |error| paid_refused(&agent, error);
    let presented = match presented(&headers) {
        Ok(Some(presented)) => presented,
        Ok(None) => {
            let request = cause(&info);
            let required = app.payments().price(&agent, &task, &resource, &request).await;
            let problem = Problem::new(Code::PaymentRequired, UNPAID)
                .member("reason", Value::from("no_payment"));
            return Ok(asking_for(problem, &required.map_err(refused)?));
        }
        Err(wrong) => {
            let required = app.payments().offers(&agent, &resource, wrong).map_err(refused)?;
            let problem =
                Problem::new(Code::PaymentRequired, format!("PAYMENT-SIGNATURE: {wrong}"))
                    .field("PAYMENT-SIGNATURE")
                    .member("reason", Value::from("malformed_payment"));
            return Ok(asking_for(problem, &required));
        }
    };
    // Before any money moves: whoever can't wait here is told so first.
    let room = if async_mode { None } else { Some(app.gate().stream()?) };
    let paying = app.paid_gate().paying()?;
    let paid = app.payments().pay(&agent, task, presented, &resource, &cause(&info)).await;
    drop(paying);
    let paid = match paid {
        Ok(paid) => paid,
        Err(PaidError::NotTaken { reason, required }) => {
            let problem = Problem::new(Code::PaymentRequired, "the payment is not taken")
                .field("PAYMENT-SIGNATURE")
                .member("reason", Value::from(reason));
            return Ok(asking_for(problem, &required));
        }
        Err(error) => return Err(refused(error)),
    };
    if let Payment::Failed { failed, .. } = &paid.payment {
        let problem = Problem::new(Code::SettlementFailed, "nothing was charged, and nothing runs")
            .member("reason", Value::from(failed.reason.clone()))
            .member("payment_id", Value::from(paid.id.to_string()))
            .hint("pay again with a new payment");
        let offers = app.payments().offers(&agent, &resource, &failed.reason);
        let response = match &offers {
            Ok(required) => asking_for(problem, required),
            Err(_) => problem.into_response(),
        };
        return Ok(receipted(response, &app, &paid));
    }
    let waits = room.is_some() && matches!(paid.payment, Payment::Settled { .. });
    let ended = if waits { answer::wait_for_end(&app, &paid).await? } else { false };
    let body = PaidAnswer::of(&app, &paid, &agent, ended).await?;
    let response = body.into_response();
    drop(room);
    Ok(receipted(response, &app, &paid))
}

/// The answer to a payment: its receipt, and its position.
fn receipted(response: Response, app: &App, paid: &Paid) -> Response {
    let response = match paid.receipt() {
        Some(receipt) => with_receipt(response, &receipt),
        None => response,
    };
    with_position(app, paid.position, response)
}

/// Where the task is asked for, as the payer sees it.
fn resource(app: &App, headers: &HeaderMap, agent: &AgentName) -> String {
    let options = &app.gate().options;
    let scheme = if options.tls { "https" } else { "http" };
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or("localhost");
    let own = format!("{scheme}://{host}");
    let origin = options.public_origin.as_ref().unwrap_or(&own);
    format!("{origin}/api/paid/{agent}/task")
}

/// What was paid for: as it is now, for whoever has the `result_token` of the answer to the payment.
#[utoipa::path(
    get, path = "/api/paid/executions/{id}", operation_id = "get_paid_execution", tag = "paid",
    params(
        ("id" = String, Path, description = "The execution"),
        ("Authorization" = String, Header, description = "`Bearer` and the result_token"),
    ),
    responses(
        (status = 200, description = "The execution, as far as its payer may see it", body = PaidExecution),
        (status = 401, description = "The token is not of this execution", body = ProblemSchema),
        (status = 404, description = "It is not there yet: the payment is not settled", body = ProblemSchema),
    ),
)]
pub(super) async fn execution(
    Somebody(info): Somebody,
    State(app): State<App>,
    PaidExecutionPath(id): PaidExecutionPath,
    Params(()): Params<()>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let token = bearer_of(&headers).and_then(|token| app.secret().verify_result_token(token));
    let token: Option<PaymentId> = token.filter(|payment| ExecutionId::paid_by(*payment) == id);
    if token.is_none() {
        return Err(turned_away(&app, &info));
    }
    let head = app.store().head().await?;
    let execution = answer::execution(&app, head, id).await?.ok_or_else(no_execution)?;
    Ok(with_position(&app, head, axum::Json(execution)))
}
