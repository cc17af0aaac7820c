//! The paths and what answers at each of them.

mod agent_body;
mod agents;
mod capacity;
mod docs;
mod event_answer;
mod events;
mod executions;
mod filters;
mod panel;
mod stopping;
mod system;
mod tasks;
mod transcripts;

use std::sync::Arc;

use axum::{Extension, Router};
use axum::middleware::from_fn_with_state;
use axum::routing::get;
use bytes::Bytes;
use utoipa::openapi::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::guard::guard;
use crate::mcp::{self, Mcp};
use crate::state::App;
use crate::ws;

/// All paths, with what every request passes around them.
pub fn router(app: App) -> Router {
    let mcp = mcp::routes().layer(Extension(Mcp::new(&app)));
    let (router, description) = documented(mcp).split_for_parts();
    let json = serde_json::to_vec(&description)
        .unwrap_or_else(|error| unreachable!("the description is plain data: {error}"));
    let json = system::Description(Bytes::from(json));
    let gate = Arc::clone(app.gate());
    router
        .route("/openapi.json", get(move || async move { system::description(json) }))
        .merge(docs::pages())
        .fallback(system::nothing_there)
        .method_not_allowed_fallback(system::wrong_method)
        .layer(from_fn_with_state(gate, guard))
        .with_state(app)
}

/// The interface's description (OpenAPI 3.1).
pub fn description() -> OpenApi {
    documented(mcp::routes()).into_openapi()
}

fn documented(mcp: OpenApiRouter<App>) -> OpenApiRouter<App> {
    OpenApiRouter::with_openapi(docs::preamble())
        .routes(routes!(tasks::submit))
        .routes(routes!(executions::list))
        .routes(routes!(executions::list_of_agent))
        .routes(routes!(executions::stats))
        .routes(routes!(executions::timeline))
        .routes(routes!(executions::detail))
        .routes(routes!(transcripts::log))
        .routes(routes!(transcripts::stream))
        .routes(routes!(stopping::terminate))
        .routes(routes!(panel::activities))
        .routes(routes!(panel::costs))
        .routes(routes!(agents::list, agents::register))
        .routes(routes!(agents::detail, agents::configure, agents::retire))
        .routes(routes!(agents::pause))
        .routes(routes!(agents::resume))
        .routes(routes!(capacity::capacity))
        .routes(routes!(events::events))
        .routes(routes!(ws::watch))
        .merge(mcp)
        .routes(routes!(system::metrics))
        .routes(routes!(system::alive))
        .routes(routes!(system::ready))
}
