//! The notary's tree, for whoever checks it: checkpoints, tiles and entries, as C2SP tlog-tiles.

use std::convert::Infallible;

use axum::extract::{FromRequestParts, OriginalUri, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::http::request::Parts;
use axum::http::{HeaderName, HeaderValue};
use axum::response::{IntoResponse, Response};
use execution_ledger_replay::notary::{Asked, Notary, NotaryError, State as NotaryState};

use crate::auth::{May, ReadLog};
use crate::problem::{Code, Problem, ProblemSchema};
use crate::state::App;

/// When it is worth asking again for what the notary does not know yet, in seconds.
const RETRY_S: u64 = 1;
/// What the paths of tiles begin with.
const TILES: &str = "/tlog/tile/";
/// A checkpoint changes with the log.
const CHANGES: HeaderValue = HeaderValue::from_static("no-cache");
/// A tile never changes.
const STAYS: HeaderValue = HeaderValue::from_static("private, max-age=31536000, immutable");

/// The latest signed checkpoint: a C2SP signed note that states how many events there are, and the
/// hash of the tree over them.
#[utoipa::path(
    get, path = "/tlog/checkpoint", operation_id = "get_checkpoint", tag = "notary",
    responses(
        (status = 200, description = "The checkpoint", content((String = "text/plain"))),
        (status = 404, description = "The ledger has no notary", body = ProblemSchema),
        (status = 503, description = "The notary is catching up with the log, or has raised its alarm", body = ProblemSchema),
    ),
)]
pub(super) async fn checkpoint(
    _: May<ReadLog>,
    State(app): State<App>,
) -> Result<Response, Problem> {
    let notary = notary(&app)?;
    let signed = notary.checkpoint().ok_or_else(|| not_ready(&notary))?;
    let text = HeaderValue::from_static("text/plain; charset=utf-8");
    Ok(answer(text, CHANGES, signed.as_str().to_owned().into_bytes()))
}

/// A tile of the tree: the hashes of up to 256 subtrees of a level. `.p/W` at its end asks for the first
/// W of one that is not full.
#[utoipa::path(
    get, path = "/tlog/tile/{level}/{*index}", operation_id = "get_tile", tag = "notary",
    params(
        ("level" = String, Path, description = "0 to 5; 0 holds the hashes of events"),
        ("index" = String, Path, description = "The tile's number as the specification writes it, for example x001/x234/067 or 003.p/17"),
    ),
    responses(
        (status = 200, description = "Hashes of 32 bytes each", content((Vec<u8> = "application/octet-stream"))),
        (status = 404, description = "The tree has no such tile (yet)", body = ProblemSchema),
        (status = 503, description = "The notary is catching up with the log, or has raised its alarm", body = ProblemSchema),
    ),
)]
pub(super) async fn tile(
    _: May<ReadLog>,
    State(app): State<App>,
    TilePath(path): TilePath,
) -> Result<Response, Problem> {
    stored(&app, &path).await
}

/// A bundle of up to 256 entries of the tree, each after its length in 16 bits.
#[utoipa::path(
    get, path = "/tlog/tile/entries/{*index}", operation_id = "get_entries", tag = "notary",
    params(("index" = String, Path, description = "The bundle's number, as that of a tile")),
    responses(
        (status = 200, description = "The entries", content((Vec<u8> = "application/octet-stream"))),
        (status = 404, description = "The tree has no such entries (yet)", body = ProblemSchema),
        (status = 503, description = "The notary is catching up with the log, or has raised its alarm", body = ProblemSchema),
    ),
)]
pub(super) async fn entries(
    _: May<ReadLog>,
    State(app): State<App>,
    TilePath(path): TilePath,
) -> Result<Response, Problem> {
    stored(&app, &path).await
}

/// What stands in the path after `/tlog/tile/`.
pub(super) struct TilePath(String);

impl<S: Send + Sync> FromRequestParts<S> for TilePath {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Infallible> {
        let OriginalUri(uri) = OriginalUri::from_request_parts(parts, state).await?;
        Ok(Self(uri.path().strip_prefix(TILES).unwrap_or_default().to_owned()))
    }
}

async fn stored(app: &App, path: &str) -> Result<Response, Problem> {
    let missing = || Problem::new(Code::NotFound, "the tree has no such tile");
    let notary = notary(app)?;
    let asked = Asked::parse(path).ok_or_else(missing)?;
    let bytes = notary.tile(asked).await.map_err(|error| match error {
        NotaryError::Store(fault) => fault.into(),
        other => Problem::internal(&other),
    })?;
    let Some(bytes) = bytes else {
        let ready = matches!(notary.state(), NotaryState::Live | NotaryState::Waiting(_));
        return Err(if ready { missing() } else { not_ready(&notary) });
    };
    Ok(answer(HeaderValue::from_static("application/octet-stream"), STAYS, bytes))
}

fn answer(kind: HeaderValue, cache: HeaderValue, bytes: Vec<u8>) -> Response {
    let headers: [(HeaderName, HeaderValue); 2] = [(CONTENT_TYPE, kind), (CACHE_CONTROL, cache)];
    (headers, bytes).into_response()
}

fn notary(app: &App) -> Result<Notary, Problem> {
    app.notary().ok_or_else(|| Problem::new(Code::NotFound, "this ledger has no notary"))
}

fn not_ready(notary: &Notary) -> Problem {
    match notary.state() {
        NotaryState::Alarm(reason) => Problem::new(
            Code::NotReady,
            format!("the notary has raised its alarm and signs nothing: {reason}"),
        ),
        _ => Problem::new(Code::NotReady, "the notary has not caught up with the log yet")
            .retry_after(RETRY_S),
    }
}
