//! The raw log: pages and a live stream, from any position on.

use std::sync::Arc;

use axum::extract::State;
use axum::http::HeaderMap;
use axum::http::header::ACCEPT;
use axum::response::Response;
use execution_ledger_domain::Event;
use execution_ledger_domain::stream::STREAM_NAME_MAX_BYTES;
use execution_ledger_projections::At;
use execution_ledger_store::{Position, Recorded, Subscription, With};
use futures::Stream;
use serde::Serialize;
use utoipa::ToSchema;

use super::event_answer::EventAnswer;
use crate::auth::{May, ReadLog, Until};
use crate::extract::{FromQuery, Params, Query};
use crate::position::{Moment, MomentParams, with_position};
use crate::problem::{Problem, ProblemSchema};
use crate::sse::{self, Frames, Step, closing_text, last_event_id};
use crate::state::App;

/// Events of a page: most.
const LIMIT_MAX: u64 = 1_000;
/// Events of a page where nobody asks for a number.
const LIMIT_DEFAULT: usize = 100;
/// Events that are looked at for one page: a filter that few events pass gives a short page with a
/// cursor instead of a long wait.
const SCAN_MAX: usize = 20_000;
/// Data of a page: about at most so large, in bytes.
const PAGE_BYTES: usize = 8 * 1024 * 1024;
/// Events that are read from the log at a time.
const READ_AT_ONCE: usize = 1_000;

/// Which events are meant, and from where on.
#[derive(Clone)]
pub(super) struct EventQuery {
    after: Option<After>,
    limit: Option<usize>,
    filter: Arc<EventFilter>,
}

#[derive(Clone, Copy)]
enum After {
    /// A position, and the parameter that named it.
    Position(&'static str, Position),
    Head,
}

struct EventFilter {
    stream: Option<String>,
    type_name: Option<&'static str>,
}

impl EventFilter {
    fn fits(&self, recorded: &Recorded) -> bool {
        let stream = self.stream.as_ref();
        stream.is_none_or(|prefix| recorded.stream.as_str().starts_with(prefix.as_str()))
            && self.type_name.is_none_or(|wanted| recorded.type_name == wanted)
    }
}

impl FromQuery for EventQuery {
    fn from_query(query: &mut Query, app: &App) -> Result<Self, Problem> {
        let (cursor, after) = (query.text("cursor"), query.text("after"));
        let after = match (cursor, after) {
            (Some(_), Some(_)) => {
                return Err(Problem::invalid_parameter(
                    "after",
                    "give a cursor or after, not both",
                ));
            }
            (Some(cursor), None) => {
                Some(After::Position("cursor", app.parse_position("cursor", &cursor)?))
            }
            (None, Some(after)) if after == "head" => Some(After::Head),
            (None, Some(after)) => {
                Some(After::Position("after", app.parse_position("after", &after)?))
            }
            (None, None) => None,
        };
        let stream = query.text("stream");
        if let Some(prefix) = &stream
            && (prefix.len() > STREAM_NAME_MAX_BYTES
                || !prefix.bytes().all(|b| b.is_ascii_graphic()))
        {
            let detail = format!("at most {STREAM_NAME_MAX_BYTES} visible ASCII characters");
            return Err(Problem::invalid_parameter("stream", detail));
        }
        let types: Vec<_> = Event::TYPES.iter().map(|(name, _)| (*name, *name)).collect();
        let filter = EventFilter { stream, type_name: query.one_of("type", &types)? };
        // Zero stands for "nobody asked": it is no limit that can be asked for.
        let limit = match query.number("limit", (1, LIMIT_MAX), 0)? {
            0 => None,
            limit => Some(usize::try_from(limit).unwrap_or(READ_AT_ONCE)),
        };
        Ok(Self { after, limit, filter: Arc::new(filter) })
    }
}

/// A page of the log.
#[derive(Serialize, ToSchema)]
pub(super) struct EventList {
    events: Vec<EventAnswer>,
    /// The position after which the next page begins; null where the log ends here.
    next_cursor: Option<String>,
}

/// The log itself, in its order.
///
/// With `Accept: text/event-stream` the answer goes on with what is appended: `id` is the position,
/// and `Last-Event-ID` resumes after it. A filter that few events pass may give a page with fewer
/// events than `limit`, even none: go on while there is a `next_cursor`.
#[utoipa::path(
    get, path = "/api/events", operation_id = "list_events", tag = "events",
    params(
        ("after" = Option<String>, Query, description = "Begin after this position; `head`: with what comes from now on"),
        ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before"),
        ("limit" = Option<u32>, Query, description = "Events of a page, 1 to 1000; 100 by default. A stream takes none"),
        ("stream" = Option<String>, Query, description = "Only streams whose name begins so"),
        ("type" = Option<String>, Query, description = "Only events of this type"),
        ("Last-Event-ID" = Option<String>, Header, description = "Resume a stream after this position"),
        MomentParams,
    ),
    responses(
        (status = 200, description = "A page, or a stream of events", body = EventList),
        (status = 403, description = "The key does not allow it", body = ProblemSchema),
        (status = 409, description = "The position is of another log", body = ProblemSchema),
        (status = 422, description = "A parameter can't be as it is, or a position lies beyond the end of the log", body = ProblemSchema),
    ),
)]
pub(super) async fn events(
    may: May<ReadLog>,
    State(app): State<App>,
    Params((query, moment)): Params<(EventQuery, Moment)>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let at = moment.reach(&app).await?;
    let head = app.store().head().await?;
    let until = match at {
        At::Now => head,
        At::Position(position) => position,
    };
    let accepts = headers.get(ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if accepts.contains("text/event-stream") {
        if at != At::Now {
            let detail = "a stream goes on with what comes: it has no moment that it could end at";
            return Err(Problem::invalid_parameter("as_of", detail));
        }
        if query.limit.is_some() {
            let detail = "a stream has no pages: limit is for answers without text/event-stream";
            return Err(Problem::invalid_parameter("limit", detail));
        }
        let following = follow(&app, &query, last_event_id(&headers)?, head, may.until).await?;
        return Ok(with_position(&app, head, following));
    }
    let after = match query.after {
        None => Position::START,
        Some(After::Position(name, position)) => app.within_log(name, position).await?,
        Some(After::Head) => until,
    };
    let (events, next) = page(&app, &query, after, until).await?;
    let list = EventList { events, next_cursor: next.map(|next| app.position_text(next)) };
    Ok(with_position(&app, until, axum::Json(list)))
}

async fn page(
    app: &App,
    query: &EventQuery,
    after: Position,
    until: Position,
) -> Result<(Vec<EventAnswer>, Option<Position>), Problem> {
    let limit = query.limit.unwrap_or(LIMIT_DEFAULT);
    let mut answers = Vec::new();
    let (mut after, mut scanned, mut bytes) = (after, 0, 0);
    while after < until && scanned < SCAN_MAX {
        let read = app.store().read_all(after, READ_AT_ONCE, With::EventsOnly).await?;
        if read.is_empty() {
            return Ok((answers, None));
        }
        scanned += read.len();
        for recorded in read {
            if recorded.position > until {
                return Ok((answers, None));
            }
            after = recorded.position;
            if query.filter.fits(&recorded) {
                answers.push(EventAnswer::of(app, &recorded)?);
                bytes += recorded.data.len() + recorded.metadata.len();
                if answers.len() == limit || bytes >= PAGE_BYTES {
                    return Ok((answers, (after < until).then_some(after)));
                }
            }
        }
    }
    Ok((answers, (after < until).then_some(after)))
}

async fn follow(
    app: &App,
    query: &EventQuery,
    resumed: Option<&str>,
    head: Position,
    until: Until,
) -> Result<Response, Problem> {
    let after = match (resumed, query.after) {
        (Some(text), _) => {
            let resumed = app.parse_position("Last-Event-ID", text)?;
            app.within_log("Last-Event-ID", resumed).await?
        }
        (None, Some(After::Position(name, position))) => app.within_log(name, position).await?,
        (None, Some(After::Head)) => head,
        (None, None) => Position::START,
    };
    let subscription = app.store().subscribe(after).await?;
    sse::respond(app.gate(), until, frames(app.clone(), Arc::clone(&query.filter), subscription))
}

struct Following {
    app: App,
    filter: Arc<EventFilter>,
    subscription: Subscription,
}

fn frames(
    app: App,
    filter: Arc<EventFilter>,
    subscription: Subscription,
) -> impl Stream<Item = Step> + Send {
    let following = Some(Following { app, filter, subscription });
    futures::stream::unfold(following, |following| async move {
        let mut following = following?;
        let step = following.next().await;
        let more = matches!(step, Step::Frames(_)).then_some(following);
        Some((step, more))
    })
}

impl Following {
    async fn next(&mut self) -> Step {
        loop {
            let batch = match self.subscription.next().await {
                Some(Ok(batch)) => batch,
                Some(Err(error)) => {
                    tracing::warn!(%error, "the log can't be followed");
                    return last("log_failed", "the log can't be followed; come again");
                }
                None => return last("log_closed", "the server is being stopped; come again"),
            };
            let mut frames = Frames::new();
            for recorded in batch.iter().filter(|recorded| self.filter.fits(recorded)) {
                let text = match self.text(recorded) {
                    Ok(text) => text,
                    Err(problem) => {
                        tracing::error!(?problem, "an event can't be shown");
                        return last("unreadable_event", "an event of the log can't be read");
                    }
                };
                let id = self.app.position_text(recorded.position);
                frames.event(Some(&id), None, &text);
            }
            if !frames.is_empty() {
                return Step::Frames(frames);
            }
        }
    }

    fn text(&self, recorded: &Recorded) -> Result<String, Problem> {
        let event = EventAnswer::of(&self.app, recorded)?;
        serde_json::to_string(&event).map_err(|error| Problem::internal(&error))
    }
}

fn last(reason: &str, detail: &str) -> Step {
    let mut frames = Frames::new();
    frames.event(None, Some("close"), &closing_text(reason, detail));
    Step::Last(frames)
}
