//! The history as a file.

use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderValue;
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use execution_ledger_domain::stream::STREAM_NAME_MAX_BYTES;
use execution_ledger_domain::{Event, Timestamp};
use execution_ledger_replay::{Export, ExportFilter, ExportFormat};

use crate::auth::{May, ReadLog, Until};
use crate::extract::{FromQuery, Params, Query};
use crate::position::with_position;
use crate::problem::{Problem, ProblemSchema};
use crate::state::App;

/// What is exported, and how.
pub(super) struct Asked {
    format: ExportFormat,
    filter: ExportFilter,
}

impl FromQuery for Asked {
    fn from_query(query: &mut Query, _: &App) -> Result<Self, Problem> {
        let formats = [("ndjson", ExportFormat::Ndjson), ("csv", ExportFormat::Csv)];
        let format = query
            .one_of("format", &formats)?
            .ok_or_else(|| Problem::invalid_parameter("format", "say which: ndjson or csv"))?;
        let stream = query.text("stream");
        let fits = |prefix: &String| {
            prefix.len() <= STREAM_NAME_MAX_BYTES && prefix.bytes().all(|b| b.is_ascii_graphic())
        };
        if !stream.as_ref().is_none_or(fits) {
            let detail = format!("at most {STREAM_NAME_MAX_BYTES} visible ASCII characters");
            return Err(Problem::invalid_parameter("stream", detail));
        }
        let types: Vec<_> = Event::TYPES.iter().map(|(name, _)| (*name, *name)).collect();
        let type_name = query.one_of("type", &types)?.map(str::to_owned);
        let (from, to) = (time(query, "from")?, time(query, "to")?);
        Ok(Self { format, filter: ExportFilter { stream, type_name, from, to } })
    }
}

fn time(query: &mut Query, name: &str) -> Result<Option<Timestamp>, Problem> {
    let parsed = query.text(name).map(|text| text.parse());
    parsed.transpose().map_err(|_| {
        Problem::invalid_parameter(name, "it must be an RFC 3339 time, as 2026-11-21T14:02:00Z")
    })
}

/// The history up to now, as a file.
///
/// NDJSON without a filter is what `execution-ledger import` takes: its last line holds the number of
/// events and the SHA-256 of all lines before, so a file that was cut off or changed is told from a
/// whole one. CSV is for people; no cell of it is a formula. The texts are in it, but for erased ones.
/// The log is told of each export (`access.read`) before anything of it is answered. An export that can't
/// come to its end breaks off without the end of the body.
#[utoipa::path(
    get, path = "/api/export", operation_id = "export_events", tag = "events",
    params(
        ("format" = String, Query, description = "ndjson or csv; must be given"),
        ("stream" = Option<String>, Query, description = "Only streams whose name begins so"),
        ("type" = Option<String>, Query, description = "Only events of this type"),
        ("from" = Option<String>, Query, description = "Only what was recorded at this time or later"),
        ("to" = Option<String>, Query, description = "Only what was recorded before this time"),
    ),
    responses(
        (status = 200, description = "The file", content(
            (String = "application/x-ndjson"), (String = "text/csv"))),
        (status = 403, description = "The key does not allow it", body = ProblemSchema),
        (status = 422, description = "A parameter can't be as it is", body = ProblemSchema),
    ),
)]
pub(super) async fn export(
    may: May<ReadLog>,
    State(app): State<App>,
    Params(asked): Params<Asked>,
) -> Result<Response, Problem> {
    let access = may.into_access();
    // Held until the whole file is sent, so that only so many are made at once.
    let permit = app.gate().stream()?;
    app.access_log().exported(&access).await?;
    let begun = Export::begin(app.store(), &asked.filter, asked.format, app.now()).await;
    let export = begun.map_err(|error| Problem::internal(&error))?;
    let until = export.until();
    let (kind, name) = match asked.format {
        ExportFormat::Ndjson => ("application/x-ndjson", "history.ndjson"),
        ExportFormat::Csv => ("text/csv; charset=utf-8", "history.csv"),
    };
    let parts = parts(export, access.until);
    let held = futures::stream::StreamExt::map(parts, move |part| {
        let _held = &permit;
        part
    });
    let mut response = Body::from_stream(held).into_response();
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    if let Ok(name) = HeaderValue::from_str(&format!("attachment; filename=\"{name}\"")) {
        headers.insert(CONTENT_DISPOSITION, name);
    }
    Ok(with_position(&app, until, response))
}

/// Its parts, each made when the one before was taken; an error ends the body without its end.
fn parts(
    export: Export,
    until: Until,
) -> impl futures::Stream<Item = Result<Bytes, std::io::Error>> + Send {
    let over = Box::pin(async move { until.over().await });
    futures::stream::unfold(Some((export, over)), |going| async move {
        let (mut export, mut over) = going?;
        let part = tokio::select! {
            biased;
            // The key was revoked, or the server is being stopped: what is cut off must not look whole.
            _ = &mut over => return Some((Err(std::io::Error::other("cut off")), None)),
            part = export.next() => part,
        };
        match part {
            Ok(None) => None,
            Ok(Some(part)) => Some((Ok(Bytes::from(part)), Some((export, over)))),
            Err(error) => {
                tracing::error!(%error, "an export breaks off");
                Some((Err(std::io::Error::other(error)), None))
            }
        }
    })
}
