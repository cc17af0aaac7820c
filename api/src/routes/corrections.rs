//! Correcting what an execution cost, and the prices that costs are computed with.

use axum::extract::State;
use axum::response::Response;
use execution_ledger_domain::execution::CostBasis;
use execution_ledger_domain::{ExecutionId, NanoUsd};
use execution_ledger_process::pricing::{Entry, Price, PriceBook};
use execution_ledger_process::tasks::Correction;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::tasks::dollars;
use crate::auth::{CorrectCosts, May, ReadCosts};
use crate::extract::{ExecutionPath, Json, Params};
use crate::position::with_position;
use crate::problem::{Code, Problem, ProblemSchema};
use crate::state::{App, cause};

/// What a cost is corrected to, and why.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewCost {
    /// What it cost, in dollars with at most nine decimal places, 0 or more.
    cost_usd: Option<f64>,
    /// Where that comes from: provider_reported (default; for example an invoice),
    /// derived_from_partials or priced_locally.
    #[schema(value_type = Option<String>)]
    cost_basis: Option<CostBasis>,
    /// Instead of `cost_usd`: what the recorded tokens cost by the price book in use, at the prices of
    /// the day of the run.
    #[serde(default)]
    reprice: bool,
    /// Why, in 1 to 1000 bytes.
    reason: String,
}

impl NewCost {
    fn correction(&self) -> Result<Correction, Problem> {
        let cost = dollars("cost_usd", self.cost_usd)?;
        match (cost, self.reprice) {
            (Some(cost), false) => {
                let basis = self.cost_basis.unwrap_or(CostBasis::ProviderReported);
                Ok(Correction::Stated { cost, basis })
            }
            (None, true) if self.cost_basis.is_none() => Ok(Correction::Repriced),
            (None, true) => {
                Err(Problem::invalid_field("cost_basis", "where it is repriced, that says it"))
            }
            (Some(_), true) => {
                Err(Problem::invalid_field("reprice", "give either cost_usd or reprice"))
            }
            (None, false) => {
                let detail = "say what it cost (cost_usd), or have it priced again (reprice)";
                Err(Problem::new(Code::MissingField, detail).field("cost_usd"))
            }
        }
    }
}

/// What became of a correction.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct CostAnswer {
    /// Which execution.
    #[schema(value_type = String, format = Uuid)]
    execution_id: ExecutionId,
    /// The cost before, in dollars; null where nobody knew it.
    cost_before_usd: Option<f64>,
    /// The cost that holds now, in dollars.
    cost_usd: f64,
    /// Where it comes from.
    #[schema(value_type = String)]
    cost_basis: CostBasis,
    /// The price book that it was computed with; null where none was.
    price_book: Option<String>,
    /// Whether anything was recorded: what is known already is not recorded again.
    changed: bool,
    /// Position of the correction, or of the execution's last event where nothing was recorded.
    position: String,
}

/// Corrects what an ended execution cost.
///
/// The event that recorded its ending stays as it is; the correction stands behind it, with its reason
/// and who made it, and holds from then on in the record, in sums and in the feed.
#[utoipa::path(
    post, path = "/api/agents/{name}/executions/{id}/cost", operation_id = "correct_cost", tag = "costs",
    params(
        ("name" = String, Path, description = "The agent"),
        ("id" = String, Path, description = "The execution"),
    ),
    request_body = NewCost,
    responses(
        (status = 200, description = "What became of it", body = CostAnswer),
        (status = 404, description = "No such execution", body = ProblemSchema),
        (status = 409, description = "It has not ended, or can't be priced again", body = ProblemSchema),
        (status = 422, description = "A field breaks a rule", body = ProblemSchema),
    ),
)]
pub(super) async fn correct(
    may: May<CorrectCosts>,
    State(app): State<App>,
    path: ExecutionPath,
    Params(()): Params<()>,
    Json(body): Json<NewCost>,
) -> Result<Response, Problem> {
    let correction = body.correction()?;
    app.execution_now(&may.caller.scope, &path.agent, path.id).await?;
    let request = cause(&may.request);
    let tasks = app.tasks();
    let done = tasks.correct_cost(&may.caller, path.id, correction, &body.reason, &request).await?;
    let answer = CostAnswer {
        execution_id: path.id,
        cost_before_usd: done.before.map(NanoUsd::to_usd),
        cost_usd: done.cost.to_usd(),
        cost_basis: done.basis,
        price_book: done.price_book,
        changed: done.changed,
        position: app.position_text(done.position),
    };
    Ok(with_position(&app, done.position, axum::Json(answer)))
}

/// The price book in use.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Book {
    /// By which it is recorded where it was used.
    version: String,
    /// Prices in dollars for a million tokens, by model and day.
    prices: Vec<BookEntry>,
}

/// The prices of a model, or of models, from a day on. A class of tokens whose price is null has none
/// that is known: it is not free.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct BookEntry {
    /// Which model: this name, also with a date behind it; or all that begin so, where it ends in `*`.
    model: String,
    /// The first day, in UTC.
    from: String,
    /// Tokens read, not from a cache.
    input: Option<f64>,
    /// Tokens written.
    output: Option<f64>,
    /// Tokens read from a cache.
    cache_read: Option<f64>,
    /// Tokens written to a cache that lives for five minutes.
    cache_write_5m: Option<f64>,
    /// Tokens written to a cache that lives for an hour.
    cache_write_1h: Option<f64>,
    /// The longest prompt that has these prices, in tokens; null: any.
    prompt_tokens_max: Option<u64>,
}

impl From<&PriceBook> for Book {
    fn from(book: &PriceBook) -> Self {
        let entry = |entry: &Entry| {
            let usd = |price: Option<Price>| price.map(Price::to_usd);
            BookEntry {
                model: entry.model.clone(),
                from: entry.from.to_string(),
                input: usd(entry.prices.input),
                output: usd(entry.prices.output),
                cache_read: usd(entry.prices.cache_read),
                cache_write_5m: usd(entry.prices.cache_write_5m),
                cache_write_1h: usd(entry.prices.cache_write_1h),
                prompt_tokens_max: entry.prompt_tokens_max,
            }
        };
        let prices = book.entries().iter().map(entry).collect();
        Self { version: book.version().to_owned(), prices }
    }
}

/// The price book in use: by it tokens are priced that come without dollars.
#[utoipa::path(
    get, path = "/api/costs/prices", operation_id = "get_price_book", tag = "costs",
    responses((status = 200, description = "The book", body = Book)),
)]
pub(super) async fn prices(
    _may: May<ReadCosts>,
    State(app): State<App>,
    Params(()): Params<()>,
) -> axum::Json<Book> {
    axum::Json(app.tasks().price_book().into())
}
