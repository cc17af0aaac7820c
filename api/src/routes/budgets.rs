//! Budgets: looking, setting, lifting.

use axum::extract::State;
use axum::response::Response;
use execution_ledger_domain::budget::{BudgetSet, Period};
use execution_ledger_domain::{BudgetScope, NanoUsd, Timestamp};
use execution_ledger_projections::{At, BudgetRow, BudgetSums, PageQuery};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::filters::PageParams;
use super::tasks::dollars;
use crate::auth::{ManageBudgets, May, ReadBudgets};
use crate::extract::{BudgetPath, Json, NoBody, Params};
use crate::faults::budget_refused;
use crate::position::{Moment, MomentParams, WAIT_FOR_MAX, with_position};
use crate::problem::{Code, Problem, ProblemSchema};
use crate::state::{App, cause};

/// The limits of a budget, in place of those before. At least one is given; what is left out is
/// unlimited. Dollars, at most nine decimal places; 0 lets nothing start.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(clippy::struct_field_names, reason = "the names that callers write")]
pub(super) struct BudgetBody {
    /// What one execution may cost.
    #[schema(example = 2.0)]
    per_execution_usd: Option<f64>,
    /// What may be spent in a day of UTC.
    #[schema(example = 20.0)]
    per_day_usd: Option<f64>,
    /// What may be spent in a month of UTC.
    #[schema(example = 300.0)]
    per_month_usd: Option<f64>,
}

impl BudgetBody {
    fn into_limits(self) -> Result<BudgetSet, Problem> {
        Ok(BudgetSet {
            per_execution_nano_usd: dollars("per_execution_usd", self.per_execution_usd)?,
            per_day_nano_usd: dollars("per_day_usd", self.per_day_usd)?,
            per_month_nano_usd: dollars("per_month_usd", self.per_month_usd)?,
        })
    }
}

/// A budget, and what is spent of it.
#[derive(Serialize, ToSchema)]
pub(super) struct BudgetAnswer {
    /// `global`, `agent-NAME` or `user-NAME`.
    #[schema(value_type = String, example = "agent-review")]
    budget: BudgetScope,
    /// What one execution may cost; null: not limited.
    per_execution_usd: Option<f64>,
    /// The day; null: not limited.
    day: Option<PeriodAnswer>,
    /// The month; null: not limited.
    month: Option<PeriodAnswer>,
    /// When its limits became these.
    #[schema(value_type = String, format = DateTime)]
    set_at: Timestamp,
    /// Position of its last change.
    position: String,
}

/// A limit of a day or a month, and what is spent of it.
#[derive(Serialize, ToSchema)]
pub(super) struct PeriodAnswer {
    /// The limit.
    limit_usd: f64,
    /// What is spent: costs count when they are recorded, as in `/api/costs`.
    committed_usd: f64,
    /// What is kept for executions whose cost is not known yet.
    reserved_usd: f64,
    /// What is left.
    remaining_usd: f64,
    /// Whole percents of the limit that are spent or kept; null where the limit is 0.
    percent: Option<u64>,
    /// The parts of the limit, in percent, that were told to be reached.
    #[schema(example = json!([50, 80]))]
    told: Vec<u32>,
    /// When the day or month began.
    #[schema(value_type = String, format = DateTime)]
    since: Timestamp,
    /// When the next one begins.
    #[schema(value_type = String, format = DateTime)]
    resets_at: Timestamp,
}

/// A budget that was lifted.
#[derive(Serialize, ToSchema)]
pub(super) struct LiftedAnswer {
    /// `global`, `agent-NAME` or `user-NAME`.
    #[schema(value_type = String, example = "global")]
    budget: BudgetScope,
    /// Position of the event.
    position: String,
}

/// A page of budgets.
#[derive(Serialize, ToSchema)]
pub(super) struct BudgetList {
    budgets: Vec<BudgetAnswer>,
    /// What to ask for the next page with; null on the last one.
    next_cursor: Option<String>,
}

impl BudgetAnswer {
    fn of(app: &App, moment: Timestamp, row: BudgetRow) -> Self {
        let of = |period, sums| PeriodAnswer::of(&row, period, moment, sums);
        Self {
            per_execution_usd: row.budget.limits.per_execution_nano_usd.map(NanoUsd::to_usd),
            day: of(Period::Day, row.day),
            month: of(Period::Month, row.month),
            set_at: row.set_at,
            position: app.position_text(row.position),
            budget: row.scope,
        }
    }
}

impl PeriodAnswer {
    fn of(row: &BudgetRow, period: Period, moment: Timestamp, sums: BudgetSums) -> Option<Self> {
        let limit = row.budget.limits.limit(period)?;
        let (since, resets_at) = (period.began(moment)?, period.ends(moment)?);
        let used = sums.committed.saturating_add(sums.reserved);
        let used_nanos = u128::from(used.max(NanoUsd::ZERO).nanos().unsigned_abs());
        let percent = (used_nanos * 100).checked_div(limit.nanos().unsigned_abs().into());
        Some(Self {
            limit_usd: limit.to_usd(),
            committed_usd: sums.committed.to_usd(),
            reserved_usd: sums.reserved.to_usd(),
            remaining_usd: limit.saturating_sub(used).max(NanoUsd::ZERO).to_usd(),
            percent: percent.map(|percent| u64::try_from(percent).unwrap_or(u64::MAX)),
            told: row.budget.told(period, since, limit).to_vec(),
            since,
            resets_at,
        })
    }
}

/// Budgets that have limits, the newest first, with what is spent of them.
#[utoipa::path(
    get, path = "/api/budgets", operation_id = "list_budgets", tag = "budgets",
    params(PageParams, MomentParams),
    responses(
        (status = 200, description = "A page", body = BudgetList),
        (status = 422, description = "An unknown filter or value", body = ProblemSchema),
    ),
)]
pub(super) async fn list(
    _may: May<ReadBudgets>,
    State(app): State<App>,
    Params((query, moment)): Params<(PageQuery, Moment)>,
) -> Result<Response, Problem> {
    let at = moment.reach(&app).await?;
    let seen = app.views().budgets(at, moment.clock(&app), &query).await?;
    let moment = seen.value.moment;
    let budgets = seen.value.budgets.into_iter();
    let list = BudgetList {
        budgets: budgets.map(|row| BudgetAnswer::of(&app, moment, row)).collect(),
        next_cursor: seen.value.next_cursor,
    };
    Ok(with_position(&app, seen.position, axum::Json(list)))
}

/// One budget, with what is spent of it.
#[utoipa::path(
    get, path = "/api/budgets/{scope}", operation_id = "get_budget", tag = "budgets",
    params(("scope" = String, Path, description = "global, agent-NAME or user-NAME"), MomentParams),
    responses(
        (status = 200, description = "The budget", body = BudgetAnswer),
        (status = 404, description = "No such budget, or it was lifted", body = ProblemSchema),
    ),
)]
pub(super) async fn detail(
    _may: May<ReadBudgets>,
    State(app): State<App>,
    BudgetPath(scope): BudgetPath,
    Params(moment): Params<Moment>,
) -> Result<Response, Problem> {
    let at = moment.reach(&app).await?;
    answer(&app, at, moment.clock(&app), &scope).await
}

async fn answer(
    app: &App,
    at: At,
    moment: Option<Timestamp>,
    scope: &BudgetScope,
) -> Result<Response, Problem> {
    let seen = app.views().budget(at, moment, scope).await?;
    let (moment, row) = seen.value.ok_or_else(|| no_budget(scope))?;
    Ok(with_position(app, seen.position, axum::Json(BudgetAnswer::of(app, moment, row))))
}

/// There is no such budget.
pub(crate) fn no_budget(scope: &BudgetScope) -> Problem {
    let detail = format!("the budget {scope} has no limits");
    Problem::new(Code::BudgetNotFound, detail)
        .field("scope")
        .hint("PUT /api/budgets/{scope} sets them")
}

/// Sets the limits of a budget, in place of those before. They hold at once, also for what waits: what
/// was accepted before goes on, and counts.
#[utoipa::path(
    put, path = "/api/budgets/{scope}", operation_id = "set_budget", tag = "budgets",
    params(("scope" = String, Path, description = "global, agent-NAME or user-NAME")),
    request_body = BudgetBody,
    responses(
        (status = 200, description = "The budget; also where it was so before", body = BudgetAnswer),
        (status = 409, description = "There are as many budgets as may be", body = ProblemSchema),
        (status = 422, description = "A field can't be as it is", body = ProblemSchema),
    ),
)]
pub(super) async fn set(
    may: May<ManageBudgets>,
    State(app): State<App>,
    BudgetPath(scope): BudgetPath,
    Params(()): Params<()>,
    Json(body): Json<BudgetBody>,
) -> Result<Response, Problem> {
    let (limits, request) = (body.into_limits()?, cause(&may.request));
    let set = app.tasks().budgets().set(&may.caller, &scope, limits, &request).await;
    let position = set.map_err(budget_refused)?;
    app.wait_for(position, WAIT_FOR_MAX).await?;
    answer(&app, At::Now, Some(app.now()), &scope).await
}

/// Lifts a budget: it limits nothing any more.
#[utoipa::path(
    delete, path = "/api/budgets/{scope}", operation_id = "lift_budget", tag = "budgets",
    params(("scope" = String, Path, description = "global, agent-NAME or user-NAME")),
    responses(
        (status = 200, description = "It is lifted", body = LiftedAnswer),
        (status = 404, description = "No such budget", body = ProblemSchema),
    ),
)]
pub(super) async fn lift(
    may: May<ManageBudgets>,
    State(app): State<App>,
    BudgetPath(scope): BudgetPath,
    Params(()): Params<()>,
    NoBody: NoBody,
) -> Result<Response, Problem> {
    let request = cause(&may.request);
    let lifted = app.tasks().budgets().lift(&may.caller, &scope, &request).await;
    let position = lifted.map_err(budget_refused)?;
    app.wait_for(position, WAIT_FOR_MAX).await?;
    let answer = LiftedAnswer { budget: scope, position: app.position_text(position) };
    Ok(with_position(&app, position, axum::Json(answer)))
}
