//! Many executions stopped or tried again at once, after a preview of exactly these.

mod chosen;
mod pages;

use axum::Router;
use axum::extract::{RawForm, RawQuery, State};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::get;
use futures::{StreamExt as _, stream};
use serde_json::{Value, json};

use super::filters::Filters;
use crate::answers::{Accepted, Detail, Execution};
use crate::error_page::Instead;
use crate::interface::{Interface, Problem, Visitor, quoted};
use crate::layout::Me;
use crate::shown;
use chosen::{Which, refused};

/// Executions of one preview, and of one confirmation: most.
pub(super) const AT_ONCE_MAX: usize = 200;
/// Of these, how many the interface is asked about at the same moment.
const ASKED_AT_ONCE: usize = 8;
/// Where this part is.
pub(super) const ADDRESS: &str = "/executions/bulk";

/// The addresses of this part.
pub(super) fn routes() -> Router<Interface> {
    Router::new().route(ADDRESS, get(page).post(confirm))
}

/// What is done to many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Deed {
    /// What waits or runs is stopped.
    Stop,
    /// What failed or was cancelled is tried again.
    Retry,
}

impl Deed {
    fn read(word: Option<&str>) -> Result<Self, &'static str> {
        match word {
            Some("stop") => Ok(Self::Stop),
            Some("retry") => Ok(Self::Retry),
            _ => Err("“do” must be stop or retry"),
        }
    }

    /// As addresses say it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Stop => "stop",
            Self::Retry => "retry",
        }
    }

    /// Why it is not done to this one, where it is not.
    fn skips(self, execution: &Execution) -> Option<&'static str> {
        match (self, execution.status.as_str()) {
            (Self::Stop, "running") if execution.cancellation_requested_at.is_some() => {
                Some("is being stopped already")
            }
            (Self::Retry, _) if execution.triggered_by == "chat" => {
                Some("is a turn of a chat: say it there again")
            }
            (Self::Retry, "failed" | "cancelled") if execution.message.is_none() => {
                Some("its task was erased")
            }
            (Self::Stop, "pending" | "running") | (Self::Retry, "failed" | "cancelled") => None,
            (Self::Stop, _) => Some("has ended"),
            (Self::Retry, "completed") => Some("has succeeded"),
            (Self::Retry, _) => Some("has not ended"),
        }
    }
}

/// One of many, and what came of it where something was tried.
struct One {
    execution: Execution,
    problem: Option<Problem>,
}

/// The preview; or, with `done`, what has become of those that were meant.
async fn page(
    State(interface): State<Interface>,
    visitor: Visitor,
    RawQuery(query): RawQuery,
) -> Response {
    shown(previewed(&interface, &visitor, query.as_deref().unwrap_or("")).await)
}

async fn previewed(interface: &Interface, visitor: &Visitor, query: &str) -> crate::Shown {
    let me = Me::expected(interface, visitor).await?;
    let fail = |problem| Instead::of(problem, visitor, Some(&me));
    let query = Filters::read(query);
    let deed = Deed::read(query.value("do")).map_err(|what| fail(refused(what)))?;
    let found = chosen::found(interface, visitor, deed, &query).await.map_err(fail)?;
    Ok(match query.value("done") {
        Some(_) => pages::done(&me, deed, &found.all),
        None => pages::preview(&me, deed, &found, &query),
    })
}

/// Does it to those that the preview named.
async fn confirm(
    State(interface): State<Interface>,
    visitor: Visitor,
    RawForm(form): RawForm,
) -> Response {
    let form = Filters::read(&String::from_utf8_lossy(&form));
    match confirmed(&interface, &visitor, &form).await {
        Ok(response) => response,
        Err(problem) => {
            let me = Me::of(&interface, &visitor).await.ok();
            Instead::of(problem, &visitor, me.as_ref()).into_response()
        }
    }
}

async fn confirmed(
    interface: &Interface,
    visitor: &Visitor,
    form: &Filters,
) -> Result<Response, Problem> {
    let deed = Deed::read(form.value("do")).map_err(refused)?;
    let meant = chosen::named(form).map_err(refused)?;
    let tried: Vec<_> = stream::iter(meant)
        .map(|which| async move {
            let tried = tried(interface, visitor, deed, &which).await;
            (which, tried)
        })
        .buffered(ASKED_AT_ONCE)
        .collect()
        .await;
    let all_done = tried.iter().all(|(_, tried)| tried.is_ok());
    if all_done {
        let ids = tried.iter().filter_map(|(_, tried)| tried.as_ref().ok());
        let address = format!("{ADDRESS}?do={}&done=1", deed.word());
        let address = ids.fold(address, |address, which| address + "&id=" + &quoted(&which.text()));
        return Ok(Redirect::to(&address).into_response());
    }
    let me = Me::of(interface, visitor).await?;
    let mut ones = Vec::with_capacity(tried.len());
    for (before, tried) in tried {
        let (which, problem) = match &tried {
            Ok(which) => (which, None),
            Err(problem) => (&before, Some(problem.clone())),
        };
        let detail: Detail = interface.get(visitor, &which.address()).await?;
        ones.push(One { execution: detail.record, problem });
    }
    Ok(pages::done(&me, deed, &ones).into_response())
}

/// Does it to one; the execution that is to be looked at afterwards.
async fn tried(
    interface: &Interface,
    visitor: &Visitor,
    deed: Deed,
    which: &Which,
) -> Result<Which, Problem> {
    match deed {
        Deed::Stop => {
            let address = format!("{}/terminate", which.address());
            interface.post::<Value>(visitor, &address, &json!({})).await?;
            Ok(which.clone())
        }
        Deed::Retry => {
            let address = format!("{}/retry", which.address());
            let next = interface.post::<Accepted>(visitor, &address, &json!({})).await?;
            Ok(Which { agent: which.agent.clone(), id: next.execution_id })
        }
    }
}
