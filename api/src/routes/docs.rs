//! The interface's description and the pages that show it.

use axum::Router;
use axum::http::HeaderValue;
use axum::http::header::CONTENT_SECURITY_POLICY;
use axum::middleware::map_response;
use axum::response::Response;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{ComponentsBuilder, InfoBuilder, OpenApi, OpenApiBuilder};
use utoipa::openapi::{License, SecurityRequirement};
use utoipa_swagger_ui::{Config, SwaggerUi};

use crate::state::App;

/// What the pages may load: their own files, and pictures that stand inside them. They style
/// themselves, which needs `unsafe-inline` for styles; scripts come from files alone.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; \
     img-src 'self' data:; font-src 'self'; connect-src 'self'; base-uri 'none'; \
     form-action 'none'; frame-ancestors 'none'";

/// The description before the paths are added to it.
pub(super) fn preamble() -> OpenApi {
    let info = InfoBuilder::new()
        .title("Execution ledger")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some(
            "Tasks for agents, the record of every run, and the log that both stand on. Errors are \
             problem details (RFC 9457) with a stable `code`.",
        ))
        .license(Some(License::new("Apache-2.0")))
        .build();
    let bearer = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .description(Some(
            "A key of the ledger's, or the token that a run finds in its environment",
        ))
        .build();
    let components =
        ComponentsBuilder::new().security_scheme("key", SecurityScheme::Http(bearer)).build();
    OpenApiBuilder::new()
        .info(info)
        .components(Some(components))
        .security(Some([SecurityRequirement::new("key", Vec::<String>::new())]))
        .build()
}

/// The pages at `/docs`, served from this program alone.
pub(super) fn pages() -> Router<App> {
    let config = Config::new(["/openapi.json"]).validator_url("none");
    Router::from(SwaggerUi::new("/docs").config(config)).layer(map_response(with_policy))
}

async fn with_policy(mut response: Response) -> Response {
    response.headers_mut().insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    response
}
