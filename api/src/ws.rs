//! The WebSocket: activities as they happen, from any position on.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::extract::ws::{CloseFrame, Message as Frame, WebSocket, WebSocketUpgrade, close_code};
use axum::http::HeaderMap;
use axum::response::Response;
use execution_ledger_domain::Scope;
use execution_ledger_store::Position;
use futures::FutureExt as _;
use tokio::sync::{OwnedSemaphorePermit, broadcast};
use tokio::time::{Instant, MissedTickBehavior};

use crate::auth::{May, Over, Read, Until};
use crate::extract::{FromQuery, Params, Query};
use crate::feed::{BEHIND_MAX, FeedError, Message, Told};
use crate::problem::{Code, Problem, ProblemSchema};
use crate::sse::last_event_id;
use crate::state::App;

/// Largest message that a client may send, in bytes: it has nothing to say but pongs.
const INCOMING_MAX_BYTES: usize = 4 * 1024;
/// A silent connection is asked after this time whether it lives.
const PING_EVERY: Duration = Duration::from_secs(20);
/// A client that has not been heard of for this time is gone.
const SILENCE_MAX: Duration = Duration::from_secs(65);
/// How long one message may take to be written before the client counts as too slow.
const WRITE_MAX: Duration = Duration::from_secs(10);
/// How long a farewell may take.
const CLOSE_MAX: Duration = Duration::from_secs(2);

/// Where a watcher begins, and whether they are also told of what is no activity.
#[derive(Clone, Copy)]
pub(super) struct Wish {
    from: Option<Position>,
    changes: bool,
}

impl FromQuery for Wish {
    fn from_query(query: &mut Query, app: &App) -> Result<Self, Problem> {
        let text = query.text("last_event_id");
        let from = text.map(|text| app.parse_position("last_event_id", &text)).transpose()?;
        let changes = query.one_of("changes", &[("true", true), ("false", false)])?;
        Ok(Self { from, changes: changes.unwrap_or(false) })
    }
}

/// Activities as they happen (WebSocket).
///
/// Each message is an `ActivityEvent`; with `changes=true` there are others of the type `changed`, which
/// say that something else has changed, and what kind of thing: look again. `last_event_id` resumes after a message's `position` without a
/// gap. A client that reads too slowly is disconnected with code 1013 and a reason.
#[utoipa::path(
    get, path = "/ws", operation_id = "watch_activities", tag = "activities",
    params(
        ("last_event_id" = Option<String>, Query,
            description = "Resume after this position; without it, from now on"),
        ("changes" = Option<bool>, Query,
            description = "Also tell that something else has changed, agents or schedules for example"),
    ),
    responses(
        (status = 101, description = "Messages follow", body = execution_ledger_projections::ActivityEvent),
        (status = 409, description = "The position is of another log", body = ProblemSchema),
        (status = 422, description = "The position lies beyond the end of the log", body = ProblemSchema),
        (status = 426, description = "Not asked as WebSocket", body = ProblemSchema),
    ),
)]
pub(super) async fn watch(
    may: May<Read>,
    State(app): State<App>,
    Params(Wish { from, changes }): Params<Wish>,
    headers: HeaderMap,
    upgrade: Result<WebSocketUpgrade, axum::extract::ws::rejection::WebSocketUpgradeRejection>,
) -> Result<Response, Problem> {
    let from = match (from, last_event_id(&headers)?) {
        (Some(from), _) => Some(app.within_log("last_event_id", from).await?),
        (None, Some(text)) => {
            let from = app.parse_position("Last-Event-ID", text)?;
            Some(app.within_log("Last-Event-ID", from).await?)
        }
        (None, None) => None,
    };
    let upgrade = upgrade.map_err(|error| {
        Problem::new(Code::UpgradeRequired, error.body_text())
            .hint("connect with a WebSocket client")
    })?;
    let permit = app.gate().stream()?;
    let upgrade = upgrade
        .max_message_size(INCOMING_MAX_BYTES)
        .max_frame_size(INCOMING_MAX_BYTES)
        .on_failed_upgrade(|error| tracing::debug!(%error, "a WebSocket was not opened"));
    Ok(upgrade.on_upgrade(move |socket| async move {
        let (scope, until) = (may.caller.scope, may.until);
        let watcher = Watcher { app, socket, scope, changes, until, heard: Instant::now() };
        watcher.run(from, permit).await;
    }))
}

struct Watcher {
    app: App,
    socket: WebSocket,
    scope: Scope,
    changes: bool,
    until: Until,
    heard: Instant,
}

/// What happens from now on.
type Live = broadcast::Receiver<Arc<Message>>;

/// Why a connection ends.
enum End {
    /// The client went, or the connection broke.
    Gone,
    /// The client does not keep up.
    TooSlow,
    /// The client was not heard of for too long.
    Silent,
    /// The server is being stopped.
    Stopping,
    /// The client may not watch any more.
    Over(Over),
    /// The feed failed.
    Failed,
}

impl From<FeedError> for End {
    fn from(error: FeedError) -> Self {
        tracing::warn!(%error, "a watcher's feed failed");
        Self::Failed
    }
}

impl Watcher {
    async fn run(mut self, from: Option<Position>, permit: OwnedSemaphorePermit) {
        let end = match self.watch(from).await {
            Ok(()) => End::Stopping,
            Err(end) => end,
        };
        let (code, reason) = match end {
            End::Gone => return,
            End::TooSlow => {
                (close_code::AGAIN, "too slow: resume with last_event_id of the last message read")
            }
            End::Silent => (close_code::POLICY, "no pong came back"),
            End::Stopping => (close_code::AWAY, "the server is being stopped"),
            End::Over(over) => (close_code::POLICY, over.detail()),
            End::Failed => (close_code::ERROR, "the feed failed: resume with last_event_id"),
        };
        let farewell = Frame::Close(Some(CloseFrame { code, reason: reason.into() }));
        let said = tokio::time::timeout(CLOSE_MAX, self.say_farewell(farewell)).await;
        if !matches!(said, Ok(Ok(()))) {
            tracing::debug!(reason, "a watcher did not hear the farewell");
        }
        drop(permit);
    }

    async fn say_farewell(&mut self, farewell: Frame) -> Result<(), axum::Error> {
        self.socket.send(farewell).await?;
        // Until the client has answered the close, or is gone.
        while let Some(frame) = self.socket.recv().await {
            if matches!(frame?, Frame::Close(_)) {
                break;
            }
        }
        Ok(())
    }

    /// Ends well only once the server is being stopped. Whatever is being done then, or when the caller
    /// may not watch any more, is left.
    async fn watch(&mut self, from: Option<Position>) -> Result<(), End> {
        let (stopping, until) = (self.app.gate().stopping().clone(), self.until.clone());
        tokio::select! {
            biased;
            () = stopping.cancelled() => Ok(()),
            over = until.over() => Err(End::Over(over)),
            end = self.follow(from) => Err(end),
        }
    }

    async fn follow(&mut self, from: Option<Position>) -> End {
        let (last, live) = match self.catch_up(from).await {
            Ok(joined) => joined,
            Err(end) => return end,
        };
        match self.tell(last, live).await {
            Ok(never) => match never {},
            Err(end) => end,
        }
    }

    /// Says what lies between `from` and now: how far that was, and what comes after it.
    async fn catch_up(&mut self, from: Option<Position>) -> Result<(Position, Live), End> {
        let feed = Arc::clone(self.app.feed());
        let mut joined = feed.join().await?;
        let mut last = from.unwrap_or(joined.from);
        while last < joined.from {
            let Some((messages, read_to)) = feed.page(last, joined.from).await? else { break };
            for message in messages {
                self.send(&message).await?;
                if let Some(frame) = self.socket.recv().now_or_never() {
                    self.hear(frame.as_ref())?;
                }
            }
            last = read_to;
            if joined.live.len() > BEHIND_MAX / 2 {
                // Much was announced meanwhile: read that too, before it is too much.
                joined = feed.join().await?;
            }
        }
        // It was not asked whether it lives, and read what it was sent.
        self.heard = Instant::now();
        Ok((last, joined.live))
    }

    /// Says what happens, as it happens.
    async fn tell(&mut self, mut last: Position, mut live: Live) -> Result<Infallible, End> {
        let mut ping = tokio::time::interval(PING_EVERY);
        ping.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                frame = self.socket.recv() => self.hear(frame.as_ref())?,
                message = live.recv() => match message {
                    Ok(message) if message.position > last => {
                        last = message.position;
                        self.send(&message).await?;
                    }
                    Ok(_) => {}
                    Err(broadcast::error::RecvError::Lagged(_)) => return Err(End::TooSlow),
                    Err(broadcast::error::RecvError::Closed) => return Err(End::Failed),
                },
                _ = ping.tick() => {
                    if self.heard.elapsed() > SILENCE_MAX {
                        return Err(End::Silent);
                    }
                    self.write(Frame::Ping(bytes::Bytes::new())).await?;
                }
            }
        }
    }

    /// Whatever a client says, it lives, unless it says good-bye.
    fn hear(&mut self, frame: Option<&Result<Frame, axum::Error>>) -> Result<(), End> {
        match frame {
            Some(Ok(Frame::Close(_)) | Err(_)) | None => Err(End::Gone),
            Some(Ok(_)) => {
                self.heard = Instant::now();
                Ok(())
            }
        }
    }

    async fn send(&mut self, message: &Message) -> Result<(), End> {
        match &message.told {
            Told::Activity(announcement, told) if self.scope.covers(&announcement.ownership()) => {
                for json in told {
                    self.write(Frame::Text(json.as_str().into())).await?;
                }
                Ok(())
            }
            Told::Change { all, others } if self.changes => {
                let told = if self.scope == Scope::All { Some(all) } else { others.as_ref() };
                match told {
                    Some(json) => self.write(Frame::Text(json.as_str().into())).await,
                    None => Ok(()),
                }
            }
            Told::Activity(..) | Told::Change { .. } => Ok(()),
        }
    }

    async fn write(&mut self, frame: Frame) -> Result<(), End> {
        match tokio::time::timeout(WRITE_MAX, self.socket.send(frame)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(End::Gone),
            Err(_) => Err(End::TooSlow),
        }
    }
}
