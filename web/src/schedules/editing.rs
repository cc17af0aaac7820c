//! Making and changing schedules.

use axum::extract::{Form, Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use maud::html;
use serde_json::json;

use super::answers::{Preview, Saved, ScheduleDetail};
use super::form::{Around, form};
use super::wanted::Wanted;
use crate::answers::{AgentList, Detail};
use crate::error_page::Instead;
use crate::interface::{Interface, Problem, Visitor, quoted};
use crate::layout::{self, Me, Place};
use crate::shown;

/// The empty form; of an execution that is to be repeated, with its text where the agent is named too.
pub(super) async fn new(
    State(interface): State<Interface>,
    visitor: Visitor,
    Query(pairs): Query<Vec<(String, String)>>,
) -> Response {
    let value = |name: &str| {
        pairs.iter().find(|(own, _)| own == name).map_or("", |(_, value)| value.as_str())
    };
    let (agent, execution) = (value("agent"), value("execution"));
    let mut message = None;
    if !agent.is_empty() && !execution.is_empty() {
        let address = format!("/api/agents/{}/executions/{}", quoted(agent), quoted(execution));
        let detail = interface.get::<Detail>(&visitor, &address).await;
        message = detail.ok().and_then(|detail| detail.record.message);
    }
    let wanted = Wanted::new(agent, execution, message.as_deref());
    shown(page(&interface, &visitor, None, &wanted, None).await)
}

/// Makes a schedule, or shows what it would be.
pub(super) async fn create(
    State(interface): State<Interface>,
    visitor: Visitor,
    Form(wanted): Form<Wanted>,
) -> Response {
    save(&interface, &visitor, None, &wanted).await
}

/// The form, filled in with a schedule as it is.
pub(super) async fn change(
    State(interface): State<Interface>,
    visitor: Visitor,
    Path(id): Path<String>,
) -> Response {
    let address = format!("/api/schedules/{}", quoted(&id));
    match interface.get::<ScheduleDetail>(&visitor, &address).await {
        Ok(detail) => {
            let wanted = Wanted::of(&detail.schedule);
            shown(page(&interface, &visitor, Some(&id), &wanted, None).await)
        }
        Err(problem) => {
            let me = Me::of(&interface, &visitor).await.ok();
            Instead::of(problem, &visitor, me.as_ref()).into_response()
        }
    }
}

/// Changes a schedule, or shows what it would be.
pub(super) async fn changed(
    State(interface): State<Interface>,
    visitor: Visitor,
    Path(id): Path<String>,
    Form(wanted): Form<Wanted>,
) -> Response {
    save(&interface, &visitor, Some(&id), &wanted).await
}

async fn save(
    interface: &Interface,
    visitor: &Visitor,
    id: Option<&str>,
    wanted: &Wanted,
) -> Response {
    if wanted.r#do == "preview" {
        return shown(page(interface, visitor, id, wanted, None).await);
    }
    let done = match (wanted.body(id.is_none()), id) {
        (Err(problem), _) => Err(problem),
        (Ok(body), None) => interface.post::<Saved>(visitor, "/api/schedules", &body).await,
        (Ok(body), Some(id)) => {
            let address = format!("/api/schedules/{}", quoted(id));
            interface.put::<Saved>(visitor, &address, &body).await
        }
    };
    let problem = match done {
        Ok(saved) => {
            return Redirect::to(&format!("/schedules/{}", quoted(&saved.schedule_id)))
                .into_response();
        }
        Err(problem) => problem,
    };
    let status = StatusCode::from_u16(problem.status).unwrap_or(StatusCode::BAD_GATEWAY);
    match page(interface, visitor, id, wanted, Some(&problem)).await {
        Ok(page) => (status, page).into_response(),
        Err(instead) => instead.into_response(),
    }
}

async fn page(
    interface: &Interface,
    visitor: &Visitor,
    id: Option<&str>,
    wanted: &Wanted,
    problem: Option<&Problem>,
) -> crate::Shown {
    let me = Me::expected(interface, visitor).await?;
    let agents = interface.get::<AgentList>(visitor, "/api/agents").await;
    let agents = agents.map(|list| list.agents).unwrap_or_default();
    let preview = meaning(interface, visitor, wanted).await;
    let own = id.map(|id| format!("/schedules/{}", quoted(id)));
    let back = own.clone().unwrap_or_else(|| "/schedules".to_owned());
    let address = own.map_or_else(|| "/schedules/new".to_owned(), |own| format!("{own}/change"));
    let title = if id.is_some() { "Change a schedule" } else { "New schedule" };
    let around = Around {
        address: &address,
        back: &back,
        is_new: id.is_none(),
        agents: &agents,
        problem,
        preview: preview.as_ref(),
    };
    let body = html! {
        nav .crumbs aria-label="Where this is" {
            a href="/schedules" { "Schedules" }
            @if id.is_some() { span aria-hidden="true" { "/" } a href=(back) { "This one" } }
        }
        header .page-head { h1 { (title) } }
        // Nothing of a form follows the ledger: what is typed stays.
        div #form-stays data-follows {}
        @if me.may("manage_schedules") { (form(wanted, &around)) }
        @else { p .card { "Your key may read schedules, not make or change them." } }
    };
    Ok(layout::page(Some(&me), Place::Schedules, title, &body))
}

/// What the expression means, where one was given.
async fn meaning(
    interface: &Interface,
    visitor: &Visitor,
    wanted: &Wanted,
) -> Option<Result<Preview, Problem>> {
    let cron = wanted.cron.trim();
    if cron.is_empty() {
        return None;
    }
    let zone = Some(wanted.timezone.trim()).filter(|zone| !zone.is_empty());
    let body = json!({"cron": cron, "timezone": zone.unwrap_or("UTC")});
    Some(interface.post::<Preview>(visitor, "/api/schedules/preview", &body).await)
}
