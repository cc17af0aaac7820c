//! The billing feed: each fact about money once, in the order of the log, from any position on.

mod format;

use std::time::Duration;

use axum::extract::State;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, LINK};
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use axum::response::{IntoResponse, Response};
use execution_ledger_projections::{At, BILLING_PAGE_MAX, BillingPage, Seen};
use execution_ledger_store::Position;
use tokio::time::Instant;
use utoipa::ToSchema;

use crate::auth::{May, ReadFeed};
use crate::extract::{FromQuery, Params, Query};
use crate::position::{Moment, MomentParams, with_position};
use crate::problem::{Code, Problem, ProblemSchema};
use crate::state::App;
use format::{FORMATS, Format};

/// Rows of a page where nobody asks for a number.
const LIMIT_DEFAULT: u32 = 1_000;
/// How long an answer waits for a first row, at most, in seconds: below the idle limits of usual proxies.
const WAIT_MAX_S: u64 = 30;

/// Where to go on: the position after which the next row would stand.
static RESUME_AFTER: HeaderName = HeaderName::from_static("ledger-resume-after");

/// Which rows are meant, and how they are written.
pub(super) struct FeedQuery {
    after: Option<(&'static str, Position)>,
    limit: u32,
    format: Option<Format>,
    wait: Duration,
}

impl FromQuery for FeedQuery {
    fn from_query(query: &mut Query, app: &App) -> Result<Self, Problem> {
        let (after, cursor) = (query.text("after"), query.text("cursor"));
        let after = match (after, cursor) {
            (Some(_), Some(_)) => {
                let detail = "give a cursor or after, not both";
                return Err(Problem::invalid_parameter("after", detail));
            }
            (Some(after), None) => Some(("after", after)),
            (None, Some(cursor)) => Some(("cursor", cursor)),
            (None, None) => None,
        };
        let after = match after {
            Some((name, text)) => Some((name, app.parse_position(name, &text)?)),
            None => None,
        };
        let limit = query.number("limit", (1, BILLING_PAGE_MAX.into()), LIMIT_DEFAULT.into())?;
        Ok(Self {
            after,
            limit: u32::try_from(limit).unwrap_or(BILLING_PAGE_MAX),
            format: query.one_of("format", &FORMATS)?,
            wait: Duration::from_secs(query.number("wait", (0, WAIT_MAX_S), 0)?),
        })
    }
}

/// A page of the feed.
#[derive(ToSchema)]
#[expect(dead_code, reason = "only describes what is written by hand")]
struct FeedList {
    /// In the order of the log.
    rows: Vec<FeedRow>,
    /// The position after which the next page begins; null where nothing more stands there yet.
    next_cursor: Option<String>,
    /// The position to go on after, now or later: nothing is left out and nothing comes twice.
    resume_after: String,
}

/// A fact about money. None is ever changed or taken back: what was wrong is put right by another row.
#[derive(ToSchema)]
#[expect(dead_code, reason = "only describes what is written by hand")]
struct FeedRow {
    /// Where it stands in the log.
    position: String,
    /// The id of its event: the same however often it is read.
    #[schema(format = Uuid)]
    event_id: String,
    /// run_cost, cost_corrected, payment_settled or refund_owed.
    kind: String,
    /// The execution that it is about.
    #[schema(format = Uuid)]
    execution_id: String,
    /// The payment that it is about; null where it is about none.
    payment_id: Option<String>,
    /// The execution's agent.
    agent: String,
    /// The user that the execution belongs to.
    user: String,
    /// The model that answered, or else was asked for.
    model: Option<String>,
    /// How the execution came to be.
    triggered_by: String,
    /// How much. Dollars are a number with at most nine decimal places, of a correction the signed
    /// difference; tokens are decimal digits as a text. Null: nobody knows.
    #[schema(value_type = Object)]
    amount: Option<f64>,
    /// `USD`, or a token as CAIP-19 names it: `eip155:8453/erc20:0x…`.
    unit: String,
    /// Where a cost comes from: provider_reported, derived_from_partials, priced_locally, simulated or
    /// unknown; null for payments.
    basis: Option<String>,
    /// 1: a run of unknown cost; -1: the correction that makes it known; else 0.
    unknown: i8,
    /// The address that paid.
    payer: Option<String>,
    /// The hash of the payment's transaction.
    transaction: Option<String>,
    /// When it was recorded.
    #[schema(format = DateTime)]
    at: String,
}

/// What runs cost and earned, each exactly once.
///
/// Rows in the order of the log: `run_cost` for each run that ended, also where nobody knows what it cost;
/// `cost_corrected`, the difference; `payment_settled`; `refund_owed`. Keep `resume_after` (or the header
/// `Ledger-Resume-After`) together with what was made of the rows and go on there. Sums of rows are what
/// `/api/costs` says. With `Accept: text/csv`, `application/x-ndjson` or
/// `application/cloudevents-batch+json`, or `format`, in another form.
#[utoipa::path(
    get, path = "/api/costs/feed", operation_id = "get_billing_feed", tag = "costs",
    params(
        ("after" = Option<String>, Query, description = "Begin after this position; without it with the first row of all"),
        ("cursor" = Option<String>, Query, description = "The same: `next_cursor` of the page before"),
        ("limit" = Option<u32>, Query, description = "Rows of a page, 1 to 10000; 1000 by default"),
        ("format" = Option<String>, Query, description = "json (default), ndjson, csv or cloudevents; stronger than Accept"),
        ("wait" = Option<u32>, Query, description = "Where no row is there yet, wait so many seconds for the first, at most 30"),
        MomentParams,
    ),
    responses(
        (status = 200, description = "A page", body = FeedList),
        (status = 403, description = "The key does not allow it", body = ProblemSchema),
        (status = 409, description = "The position is of another log", body = ProblemSchema),
        (status = 422, description = "A parameter can't be as it is, or a position lies beyond the end of the log", body = ProblemSchema),
    ),
)]
pub(super) async fn feed(
    may: May<ReadFeed>,
    State(app): State<App>,
    Params((query, moment)): Params<(FeedQuery, Moment)>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let at = moment.reach(&app).await?;
    if at != At::Now && !query.wait.is_zero() {
        let detail = "nothing is added to the past: wait is for answers of now";
        return Err(Problem::invalid_parameter("wait", detail));
    }
    let after = match query.after {
        Some((name, position)) => app.within_log(name, position).await?,
        None => Position::START,
    };
    let format = query.format.unwrap_or_else(|| Format::accepted(&headers));
    let seen = rows(&may, &app, at, after, &query).await?;
    answer(&app, seen, format, query.limit).await
}

/// The rows after a position; where there are none yet, those that come while the caller waits.
async fn rows(
    may: &May<ReadFeed>,
    app: &App,
    at: At,
    mut after: Position,
    query: &FeedQuery,
) -> Result<Seen<BillingPage>, Problem> {
    let scope = &may.caller.scope;
    let mut positions = app.views().positions();
    positions.mark_unchanged();
    let seen = app.views().billing(scope, at, after, query.limit).await?;
    if query.wait.is_zero() || !seen.value.rows.is_empty() {
        return Ok(seen);
    }
    let _room = app.gate().stream()?;
    let lent = app.gate().lend_place();
    let deadline = Instant::now() + query.wait;
    let stopping = app.gate().stopping().clone();
    let mut seen = seen;
    while seen.value.rows.is_empty() {
        after = seen.value.resume_after;
        tokio::select! {
            () = tokio::time::sleep_until(deadline) => break,
            () = stopping.cancelled() => break,
            over = may.until.over() => {
                return Err(Problem::new(Code::Unauthorized, over.detail()));
            }
            changed = positions.changed() => if changed.is_err() { break },
        }
        seen = app.views().billing(scope, at, after, query.limit).await?;
    }
    drop(lent);
    Ok(seen)
}

async fn answer(
    app: &App,
    seen: Seen<BillingPage>,
    format: Format,
    limit: u32,
) -> Result<Response, Problem> {
    let (position, page) = (seen.position, seen.value);
    let resume_after = app.position_text(page.resume_after);
    let next = page.more.then(|| {
        format!(
            "</api/costs/feed?after={resume_after}&limit={limit}&format={}>; rel=\"next\"",
            format.name()
        )
    });
    let resume = resume_after.clone();
    let written = tokio::task::spawn_blocking(move || format.write(&page, &resume)).await;
    let body = match written {
        Ok(Ok(body)) => body,
        Ok(Err(error)) => return Err(Problem::internal(&error)),
        Err(error) => return Err(Problem::internal(&error)),
    };
    let mut response = body.into_response();
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(format.media_type()));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Ok(value) = HeaderValue::try_from(resume_after) {
        headers.insert(&RESUME_AFTER, value);
    }
    if let Some(value) = next.and_then(|next| HeaderValue::try_from(next).ok()) {
        headers.insert(LINK, value);
    }
    Ok(with_position(app, position, response))
}
