//! Positions: what an answer has seen, waiting for one's own writes, and answers as of a moment.

use std::time::Duration;

use axum::http::{HeaderName, HeaderValue};
use axum::response::{IntoResponse, Response};
use execution_ledger_domain::Timestamp;
use execution_ledger_projections::At;
use execution_ledger_store::{LogPosition, Position, PositionError};
use serde_json::Value;

use crate::extract::{FromQuery, Query};
use crate::problem::{Code, Problem};
use crate::state::App;

/// How long an answer waits for `wait_for`, at most.
pub(crate) const WAIT_FOR_MAX: Duration = Duration::from_secs(5);
/// How long an answer about slots and queues waits for the process manager.
const DESK_WAIT: Duration = Duration::from_secs(1);
/// When it is worth trying again after the read models were behind, in seconds.
const BEHIND_RETRY_S: u64 = 1;

static LEDGER_POSITION: HeaderName = HeaderName::from_static("ledger-position");

/// As of when an answer is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum AsOf {
    Position(Position),
    Time(Timestamp),
}

/// The parameters that every list and detail takes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Moment {
    wait_for: Option<Position>,
    as_of: Option<AsOf>,
}

/// The parameters of [`Moment`], as the interface's description shows them.
#[derive(utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "only describes what is read by name")]
pub struct MomentParams {
    /// Answer only once this position has been seen; 504 `projection_behind` after 5 s.
    wait_for: Option<String>,
    /// Answer as it was at this position or time (RFC 3339).
    as_of: Option<String>,
}

impl FromQuery for Moment {
    fn from_query(query: &mut Query, app: &App) -> Result<Self, Problem> {
        let wait_for = query.text("wait_for");
        let wait_for = wait_for.map(|text| app.parse_position("wait_for", &text)).transpose()?;
        let as_of = query.text("as_of").map(|text| as_of(app, &text)).transpose()?;
        Ok(Self { wait_for, as_of })
    }
}

fn as_of(app: &App, text: &str) -> Result<AsOf, Problem> {
    match LogPosition::parse_for(app.log_id(), text) {
        Ok(position) => Ok(AsOf::Position(position)),
        Err(error @ PositionError::OtherLog { .. }) => Err(Problem::from(error).field("as_of")),
        Err(PositionError::Malformed) => text.parse().map(AsOf::Time).map_err(|_| {
            let detail = "it must be a position that this ledger gave out, or an RFC 3339 time";
            Problem::invalid_parameter("as_of", detail)
        }),
    }
}

impl Moment {
    /// Waits for what the caller wants to have been seen, and says as of when to answer. A moment
    /// that has not been seen yet is waited for as well.
    pub(crate) async fn reach(self, app: &App) -> Result<At, Problem> {
        let at = match self.as_of {
            None => At::Now,
            Some(AsOf::Position(position)) => {
                At::Position(app.within_log("as_of", position).await?)
            }
            Some(AsOf::Time(time)) => At::Position(app.views().position_at(time).await?),
        };
        let wanted = match at {
            At::Now => self.wait_for,
            At::Position(position) => self.wait_for.max(Some(position)),
        };
        if let Some(wanted) = wanted {
            app.wait_for(wanted, WAIT_FOR_MAX).await?;
        }
        Ok(at)
    }

    /// The moment that an answer is about, as far as the clock tells it: now, or the time that was asked
    /// for; of a position nothing but its events does.
    pub(crate) fn clock(self, app: &App) -> Option<Timestamp> {
        match self.as_of {
            None => Some(app.now()),
            Some(AsOf::Time(time)) => Some(time.min(app.now())),
            Some(AsOf::Position(_)) => None,
        }
    }

    /// Waits as [`Self::reach`] does, for what is only known of now; `why` says that to a caller who
    /// asks for another moment.
    pub(crate) async fn reach_now(self, app: &App, why: &'static str) -> Result<(), Problem> {
        if self.as_of.is_some() {
            return Err(Problem::invalid_parameter("as_of", why));
        }
        self.reach(app).await.map(drop)
    }
}

impl App {
    /// A position as callers are given it.
    pub(crate) fn position_text(&self, position: Position) -> String {
        LogPosition { log: self.log_id().clone(), position }.to_string()
    }

    /// The position that a caller's text stands for.
    pub(crate) fn parse_position(&self, name: &str, text: &str) -> Result<Position, Problem> {
        LogPosition::parse_for(self.log_id(), text)
            .map_err(|error| Problem::from(error).field(name))
    }

    /// A position that a caller wants to begin after or to look back to, if the log has come that far.
    pub(crate) async fn within_log(
        &self,
        name: &str,
        position: Position,
    ) -> Result<Position, Problem> {
        let head = self.store().head().await?;
        if position <= head {
            return Ok(position);
        }
        let detail = "the position lies beyond the end of this log";
        Err(Problem::invalid_parameter(name, detail)
            .member("head", Value::from(self.position_text(head))))
    }

    /// Waits until what is said of slots and queues has seen a position too. What is not there in
    /// time is left out of the answer.
    pub(crate) async fn desk_follows(&self, position: Position) {
        if !self.tasks().caught_up(position, DESK_WAIT).await {
            tracing::warn!("the process manager is behind the log");
        }
    }

    /// Waits until the read models have seen a position.
    pub(crate) async fn wait_for(&self, wanted: Position, most: Duration) -> Result<(), Problem> {
        self.views().wait_for(wanted, most).await.map_err(|behind| {
            Problem::new(Code::ProjectionBehind, behind.to_string())
                .member("seen", Value::from(self.position_text(behind.seen)))
                .member("wanted", Value::from(self.position_text(behind.wanted)))
                .retry_after(BEHIND_RETRY_S)
        })
    }
}

/// An answer that says what it has seen.
pub(crate) fn with_position(app: &App, seen: Position, answer: impl IntoResponse) -> Response {
    let mut response = answer.into_response();
    if let Ok(value) = HeaderValue::try_from(app.position_text(seen)) {
        response.headers_mut().insert(&LEDGER_POSITION, value);
    }
    response
}
