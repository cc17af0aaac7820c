//! The paths and what answers at each of them.

mod agent_body;
mod agents;
mod answers;
mod budgets;
mod bulk;
mod capacity;
mod corrections;
mod docs;
mod erase;
mod event_answer;
mod events;
mod evidence;
mod executions;
mod export;
mod feed;
mod filters;
mod keys;
mod nodes;
mod paid;
mod panel;
mod payments;
mod queue;
pub(crate) mod rights;
mod schedule_body;
mod schedule_times;
mod schedule_wishes;
mod schedules;
mod session_stream;
mod sessions;
mod sign_in;
mod sign_in_page;
mod stopping;
mod system;
mod tasks;
mod tlog;
mod transcripts;
mod webhook_answer;
mod webhook_deliveries;
mod webhooks;

use std::sync::Arc;

use axum::middleware::from_fn_with_state;
use axum::routing::get;
use axum::{Extension, Router};
use bytes::Bytes;
use execution_ledger_domain::Right;
use utoipa::openapi::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::forward::{Forwarder, forward};
use crate::guard::guard;
use crate::mcp::{self, Mcp};
use crate::peers;
use crate::state::App;
use crate::ws;
pub(crate) use budgets::no_budget;
pub use evidence::transcript_state;
pub(crate) use keys::no_key;
pub(crate) use payments::no_payment;
use rights::{any_key, guarded, needing, open};

/// All paths, with what every request passes around them.
pub fn router(app: App) -> Router {
    let mcp = mcp::routes().layer(Extension(Mcp::new(&app)));
    let (router, description) = documented(mcp).split_for_parts();
    let json = serde_json::to_vec(&description)
        .unwrap_or_else(|error| unreachable!("the description is plain data: {error}"));
    let json = system::Description(Bytes::from(json));
    let gate = Arc::clone(app.gate());
    let forwarder = Forwarder::new(app.clone());
    router
        .route("/openapi.json", get(move || async move { system::description(json) }))
        .merge(docs::pages())
        .merge(sign_in_page::pages())
        .merge(app.station().map_or_else(Router::new, |_| peers::routes()))
        .fallback(system::nothing_there)
        .method_not_allowed_fallback(system::wrong_method)
        .layer(from_fn_with_state(forwarder, forward))
        .layer(from_fn_with_state(gate, guard))
        .with_state(app)
}

/// The interface's description (OpenAPI 3.1).
pub fn description() -> OpenApi {
    documented(mcp::routes()).into_openapi()
}

fn documented(mcp: OpenApiRouter<App>) -> OpenApiRouter<App> {
    OpenApiRouter::with_openapi(docs::preamble())
        .routes(guarded!(tasks::submit))
        .routes(guarded!(executions::list))
        .routes(guarded!(executions::list_of_agent))
        .routes(guarded!(executions::stats))
        .routes(guarded!(executions::timeline))
        .routes(guarded!(executions::detail))
        .routes(guarded!(transcripts::log))
        .routes(guarded!(transcripts::stream))
        .routes(guarded!(stopping::terminate))
        .routes(guarded!(bulk::terminate_all))
        .routes(guarded!(queue::move_to_front))
        .routes(guarded!(queue::retry))
        .routes(guarded!(panel::activities))
        .routes(guarded!(panel::costs))
        .routes(guarded!(corrections::correct))
        .routes(guarded!(corrections::prices))
        .routes(guarded!(feed::feed))
        .routes(guarded!(agents::list))
        .routes(guarded!(agents::register))
        .routes(guarded!(agents::detail))
        .routes(guarded!(agents::configure))
        .routes(guarded!(agents::retire))
        .routes(guarded!(agents::pause))
        .routes(guarded!(agents::resume))
        .routes(guarded!(capacity::capacity))
        .routes(guarded!(sessions::list))
        .routes(guarded!(sessions::open))
        .routes(guarded!(sessions::detail))
        .routes(guarded!(sessions::close))
        .routes(guarded!(sessions::post))
        .routes(guarded!(session_stream::stream))
        .routes(guarded!(schedules::list))
        .routes(guarded!(schedules::create))
        .routes(guarded!(schedules::preview))
        .routes(guarded!(schedules::detail))
        .routes(guarded!(schedules::ticks))
        .routes(guarded!(schedule_times::upcoming))
        .routes(guarded!(schedule_wishes::change))
        .routes(guarded!(schedule_wishes::delete))
        .routes(guarded!(schedule_wishes::enable))
        .routes(guarded!(schedule_wishes::disable))
        .routes(guarded!(schedule_wishes::trigger))
        .routes(guarded!(budgets::list))
        .routes(guarded!(budgets::detail))
        .routes(guarded!(budgets::set))
        .routes(guarded!(budgets::lift))
        .routes(open(routes!(paid::submit)))
        .routes(open(routes!(paid::execution)))
        .routes(guarded!(payments::list))
        .routes(guarded!(payments::detail))
        .routes(guarded!(payments::resolve))
        .routes(guarded!(webhooks::list))
        .routes(guarded!(webhooks::register))
        .routes(guarded!(webhooks::detail))
        .routes(guarded!(webhooks::change))
        .routes(guarded!(webhooks::delete))
        .routes(guarded!(webhooks::rotate))
        .routes(guarded!(webhook_deliveries::list))
        .routes(guarded!(webhook_deliveries::redrive))
        .routes(guarded!(webhook_deliveries::test))
        .routes(guarded!(keys::list))
        .routes(guarded!(keys::issue))
        .routes(guarded!(keys::detail))
        .routes(guarded!(keys::revoke))
        .routes(open(routes!(sign_in::sign_in)))
        .routes(any_key(routes!(sign_in::sign_out)))
        .routes(any_key(routes!(sign_in::me)))
        .routes(guarded!(events::events))
        .routes(guarded!(erase::erase))
        .routes(guarded!(export::export))
        .routes(guarded!(ws::watch))
        .routes(guarded!(tlog::checkpoint))
        .routes(guarded!(tlog::tile))
        .routes(guarded!(tlog::entries))
        .routes(guarded!(evidence::check))
        .routes(guarded!(evidence::proof))
        .routes(guarded!(nodes::list))
        .merge(mcp)
        .routes(needing(Right::ReadLog, routes!(system::metrics)))
        .routes(open(routes!(system::alive)))
        .routes(open(routes!(system::ready)))
}
