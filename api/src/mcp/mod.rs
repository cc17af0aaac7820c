//! MCP at `/mcp`: the ledger's tools for agents and their clients, over streamable HTTP.
//!
//! There are no MCP sessions, in any revision of the protocol: every request carries its key and is
//! answered on its own, so nothing is lost when the ledger is killed and nobody can take over the
//! session of somebody else. What a request started is known by its execution id, from the log.

mod answers;
mod call;
mod cancellations;
mod chat;
mod look;
mod outcome;
mod refused;
mod schema;
mod server;
mod stop;
mod tasks;
mod tools;
mod transcript;
mod wait;

use std::sync::Arc;

use axum::Extension;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header::{AUTHORIZATION, COOKIE};
use axum::response::{IntoResponse as _, Response};
use http_body_util::Full;
use rmcp::transport::streamable_http_server::session::never::NeverSessionManager;
use rmcp::transport::streamable_http_server::{StreamableHttpServerConfig, StreamableHttpService};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::auth::access;
use crate::extract::read_body;
use crate::options::Options;
use crate::problem::{Problem, ProblemSchema};
use crate::routes::rights::any_key;
use crate::state::App;
pub(crate) use answers::Log;
use cancellations::Cancellations;
use server::Server;
pub(crate) use transcript::tail;

/// Origins of browsers on this machine.
const LOOPBACK_ORIGINS: [&str; 6] = [
    "http://localhost:*",
    "http://127.0.0.1:*",
    "http://[::1]:*",
    "https://localhost:*",
    "https://127.0.0.1:*",
    "https://[::1]:*",
];

/// What answers MCP. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Mcp {
    service: StreamableHttpService<Server, NeverSessionManager>,
    cancellations: Arc<Cancellations>,
}

impl Mcp {
    /// Over the same parts as all other paths.
    pub(crate) fn new(app: &App) -> Self {
        let cancellations = Arc::new(Cancellations::default());
        let server = Server::new(app.clone(), Arc::clone(&cancellations));
        let options = &app.gate().options;
        // The Host header was looked at by the gate. Origins are looked at here: no page of another
        // host may call, even with a key.
        let config = StreamableHttpServerConfig::default()
            .disable_allowed_hosts()
            .with_allowed_origins(origins(options))
            .with_max_request_body_bytes(options.body_max_bytes)
            .with_legacy_session_mode(false)
            .with_json_response(true);
        let sessions = Arc::new(NeverSessionManager::default());
        let service = StreamableHttpService::new(move || Ok(server.clone()), sessions, config);
        Self { service, cancellations }
    }
}

fn origins(options: &Options) -> Vec<String> {
    let loopback = LOOPBACK_ORIGINS.iter().map(|&origin| origin.to_owned());
    let hosts = options.allowed_hosts.iter().flat_map(|host| {
        let any_port = if has_port(host) { "" } else { ":*" };
        ["http", "https"].map(|scheme| format!("{scheme}://{host}{any_port}"))
    });
    loopback.chain(hosts).collect()
}

fn has_port(host: &str) -> bool {
    host.rsplit_once(':').is_some_and(|(name, port)| {
        port.bytes().all(|b| b.is_ascii_digit()) && (!name.contains(':') || name.ends_with(']'))
    })
}

/// The path, for the router and for the interface's description. Needs an [`Mcp`] as extension.
pub(crate) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(any_key(routes!(post)))
}

/// MCP (Model Context Protocol) over streamable HTTP.
///
/// One JSON-RPC message in the body. Answers are JSON, or SSE where progress comes before the answer.
/// There are no sessions: GET and DELETE answer 405.
#[utoipa::path(
    post, path = "/mcp", operation_id = "mcp", tag = "mcp",
    request_body(content = Object, description = "A JSON-RPC message"),
    responses(
        (status = 200, description = "The JSON-RPC answer, as JSON or as SSE"),
        (status = 202, description = "A notification was taken"),
        (status = 400, description = "No JSON-RPC message, or an unknown protocol version", body = ProblemSchema),
        (status = 401, description = "No valid key", body = ProblemSchema),
        (status = 403, description = "A page of another site asks", body = ProblemSchema),
        (status = 406, description = "Neither JSON nor SSE is accepted", body = ProblemSchema),
    ),
)]
async fn post(
    State(app): State<App>,
    Extension(mcp): Extension<Mcp>,
    request: Request,
) -> Result<Response, Problem> {
    let (mut parts, body) = request.into_parts();
    let access = access(&parts, &app).await?;
    let body = read_body(Request::from_parts(parts.clone(), body), &app).await?;
    refused::check_json(&body)?;
    mcp.cancellations.hear(&access.caller.actor.id, &body);
    // Who calls is settled: nothing below needs the key, so nothing below can tell it.
    parts.headers.remove(AUTHORIZATION);
    parts.headers.remove(COOKIE);
    parts.extensions.insert(access);
    refused::accept_both_forms(&mut parts.headers);
    // A call that waits must not keep others from being answered; each call takes a place of its
    // own while it works.
    let lent = app.gate().lend_place();
    let response = mcp.service.handle(Request::from_parts(parts, Full::new(body))).await;
    drop(lent);
    refused::as_problem(response.map(Body::new).into_response()).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_of_configured_hosts_are_allowed_with_any_port_where_none_is_named() {
        let options = Options {
            allowed_hosts: vec!["a.example".to_owned(), "b.example:8443".to_owned()],
            ..Options::default()
        };
        let origins = origins(&options);
        for wanted in ["http://localhost:*", "https://a.example:*", "http://b.example:8443"] {
            assert!(origins.iter().any(|origin| origin == wanted), "{wanted}");
        }
    }
}
