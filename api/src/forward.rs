//! Among several nodes: what only another node can answer is asked of it, and answered as it answers.
//!
//! The request goes on as it came, with its key or cookie, so that whoever answers it checks both. It goes
//! on once: a header says that it did.

use std::net::IpAddr;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header::{CONNECTION, TE, TRAILER, TRANSFER_ENCODING, UPGRADE};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, Response};
use axum::middleware::Next;
use axum::response::IntoResponse;
use execution_ledger_domain::{ExecutionId, NodeId};
use execution_ledger_process::nodes::Station;
use reqwest::redirect::Policy;

use crate::gate::RequestInfo;
use crate::options::Options;
use crate::peers::Ran;
use crate::problem::{Code, Problem};
use crate::state::App;

/// Says which node a request was forwarded by.
static FORWARDED_BY: HeaderName = HeaderName::from_static("x-ledger-node");
/// Says from where a request came: whoever answers it believes that of a node that it trusts.
static FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
/// How long a connection to another node may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How much longer than the longest wait for a task another node's answer may make no progress.
const ANSWER_SLACK: Duration = Duration::from_secs(30);
/// When it is worth asking again where no node leads, in seconds: a part of a lease.
const NO_LEADER_RETRY_S: u64 = 5;
/// What belongs to one connection and not to a request.
static OF_CONNECTION: [HeaderName; 5] = [CONNECTION, TE, TRAILER, TRANSFER_ENCODING, UPGRADE];

/// By what other nodes are asked; nothing where it can't be set up.
pub(crate) fn client(options: &Options) -> Option<reqwest::Client> {
    let builder = reqwest::Client::builder()
        .connect_timeout(CONNECT_TIMEOUT)
        .read_timeout(options.sync_wait.saturating_add(ANSWER_SLACK))
        .redirect(Policy::none())
        .no_proxy();
    let builder = match options.node_authorities.clone() {
        none if none.is_empty() => builder,
        // What is sent on carries keys: nobody else has them, whatever address he is said to have.
        authorities => builder.tls_certs_only(authorities).https_only(true),
    };
    match builder.build() {
        Ok(client) => Some(client),
        Err(error) => {
            tracing::error!(%error, "other nodes can't be asked");
            None
        }
    }
}

/// Asks other nodes.
#[derive(Clone)]
pub(crate) struct Forwarder {
    app: App,
}

impl Forwarder {
    /// Over an application; it forwards nothing where that is alone.
    pub fn new(app: App) -> Self {
        Self { app }
    }
}

/// Lets pass what this node answers itself, and has the rest answered by another.
pub(crate) async fn forward(
    State(forwarder): State<Forwarder>,
    request: Request,
    next: Next,
) -> Response<Body> {
    let Some(station) = forwarder.app.station().cloned() else { return next.run(request).await };
    let came_on = request.headers().contains_key(&FORWARDED_BY);
    if is_done_once(&request) {
        if forwarder.app.is_on_duty() {
            return next.run(request).await;
        }
        return match station.leader().filter(|_| !came_on) {
            Some(leader) => forwarder.ask(&station, &leader.url, request).await,
            None => no_leader().into_response(),
        };
    }
    let Some(execution) = transcript_of(&request) else { return next.run(request).await };
    match forwarder.elsewhere(&station, execution).await {
        // Once forwarded it is not sent on again, nor taken for one that was removed.
        Some(node) => match station.node(node).filter(|_| !came_on) {
            Some(other) => forwarder.ask(&station, &other.url, request).await,
            None => node_gone(node).into_response(),
        },
        None => next.run(request).await,
    }
}

/// Whether only the node that does what is done once can answer: whatever changes something, MCP, the
/// notary's tree, and webhooks, as only who sends knows how they stand. A browser signs in and out where it
/// is: links are known to the node that printed them, cookies to all, and signing out is told by the log.
fn is_done_once(request: &Request) -> bool {
    let path = request.uri().path();
    if matches!(path, "/api/sign-in" | "/api/sign-out") {
        return false;
    }
    let changes = !matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS);
    let of = |whole: &str| {
        let rest = path.strip_prefix(whole);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    changes || of("/mcp") || of("/tlog") || of("/api/webhooks") || path.ends_with("/proof")
}

/// The execution whose transcript is asked for.
fn transcript_of(request: &Request) -> Option<ExecutionId> {
    let mut parts = request.uri().path().strip_prefix("/api/agents/")?.split('/');
    let (_, executions, id, what) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let is = executions == "executions" && matches!(what, "log" | "stream");
    (is && parts.next().is_none()).then(|| id.parse().ok()).flatten()
}

fn no_leader() -> Problem {
    Problem::new(Code::NoLeader, "no node leads at the moment; another takes over shortly")
        .retry_after(NO_LEADER_RETRY_S)
}

fn node_gone(node: NodeId) -> Problem {
    let detail = format!("the transcript lies on the node {node}, which can't be asked");
    Problem::new(Code::NodeUnreachable, detail).retry_after(NO_LEADER_RETRY_S)
}

impl Forwarder {
    /// The other node on which the transcript lies that is asked for.
    async fn elsewhere(&self, station: &Station, execution: ExecutionId) -> Option<NodeId> {
        let ran = Ran::of(&self.app, execution).await;
        let ran = ran.inspect_err(|error| tracing::warn!(%error, "a run is not found")).ok()?;
        let node = ran.node.filter(|node| *node != station.me())?;
        // What was erased is answered by any node, also where that one is gone.
        let erased = ran.is_erased(&self.app).await;
        let erased = erased.inspect_err(|error| tracing::warn!(%error, "erasures can't be read"));
        (!erased.unwrap_or(false)).then_some(node)
    }

    async fn ask(&self, station: &Station, url: &str, request: Request) -> Response<Body> {
        let Some(client) = self.app.node_client() else { return no_leader().into_response() };
        let (parts, body) = request.into_parts();
        let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
        let source = parts.extensions.get::<RequestInfo>().map(|info| info.source);
        let headers = forwarded(parts.headers, station.me(), source);
        let asked = client
            .request(parts.method, format!("{}{path}", url.trim_end_matches('/')))
            .headers(headers)
            .body(reqwest::Body::wrap_stream(body.into_data_stream()));
        metrics::counter!("ledger_forwarded_total").increment(1);
        match asked.send().await {
            Ok(answer) => {
                let mut response = Response::new(Body::empty());
                *response.status_mut() = answer.status();
                *response.headers_mut() = without_connection(answer.headers().clone());
                *response.body_mut() = Body::from_stream(answer.bytes_stream());
                response
            }
            Err(error) => {
                // Whether it was done is not known where the connection was there: what is repeated
                // with its idempotency key is done once.
                tracing::warn!(%error, url, "another node did not answer");
                let detail = "the node that answers this could not be asked, or was cut off";
                Problem::new(Code::NodeUnreachable, detail)
                    .retry_after(NO_LEADER_RETRY_S)
                    .into_response()
            }
        }
    }
}

/// What is sent on of a request's headers. Where it came from is said by us alone: what the sender says of
/// that we may have no reason to believe, and the other node believes us.
fn forwarded(headers: HeaderMap, me: NodeId, source: Option<IpAddr>) -> HeaderMap {
    let mut headers = without_connection(headers);
    headers.remove(&FORWARDED_FOR);
    if let Ok(me) = HeaderValue::from_str(&me.to_string()) {
        headers.insert(&FORWARDED_BY, me);
    }
    if let Some(Ok(source)) = source.map(|source| HeaderValue::from_str(&source.to_string())) {
        headers.insert(&FORWARDED_FOR, source);
    }
    headers
}

fn without_connection(mut headers: HeaderMap) -> HeaderMap {
    for name in &OF_CONNECTION {
        headers.remove(name);
    }
    headers
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(method: Method, path: &str) -> Request {
        Request::builder().method(method).uri(path).body(Body::empty()).expect("a request")
    }

    #[test]
    fn what_changes_something_is_done_once_and_what_is_read_is_read_anywhere() {
        for (method, path) in [
            (Method::POST, "/api/agents/a/task"),
            (Method::DELETE, "/api/schedules/1"),
            (Method::GET, "/mcp"),
            (Method::GET, "/tlog/checkpoint"),
            (Method::GET, "/api/webhooks"),
            (Method::GET, "/api/webhooks/1/deliveries"),
        ] {
            assert!(is_done_once(&request(method, path)), "{path}");
        }
        for path in ["/api/sign-in", "/api/sign-out"] {
            assert!(!is_done_once(&request(Method::POST, path)), "{path}");
        }
        for path in
            ["/api/executions", "/ws", "/readyz", "/webhooks", "/api/agents/a/executions/1/stream"]
        {
            assert!(!is_done_once(&request(Method::GET, path)), "{path}");
        }
    }

    #[test]
    fn where_a_request_came_from_is_what_the_forwarding_node_found_and_not_what_its_sender_says() {
        let me = NodeId(uuid::Uuid::from_u128(7));
        let mut headers = HeaderMap::new();
        for forged in ["6.6.6.6", "10.0.0.9"] {
            headers.append(&FORWARDED_FOR, HeaderValue::from_static(forged));
        }
        headers.insert(&FORWARDED_BY, HeaderValue::from_static("forged"));
        headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert("authorization", HeaderValue::from_static("Bearer key"));
        let source = Some(IpAddr::from([192, 0, 2, 1]));
        let sent = forwarded(headers.clone(), me, source);
        let of = |name: &HeaderName| sent.get_all(name).iter().cloned().collect::<Vec<_>>();
        assert_eq!(of(&FORWARDED_FOR), ["192.0.2.1"]);
        assert_eq!(of(&FORWARDED_BY), [me.to_string().as_str()]);
        assert!(of(&CONNECTION).is_empty() && sent.contains_key("authorization"));
        assert!(!forwarded(headers, me, None).contains_key(&FORWARDED_FOR));
    }

    #[test]
    fn a_transcript_is_told_by_its_path() {
        let id = "0192f0c1-2d3e-7a4b-8c5d-6e7f80910a1b";
        let of = |path: String| transcript_of(&request(Method::GET, &path)).is_some();
        assert!(of(format!("/api/agents/a/executions/{id}/log?tail=3")));
        assert!(of(format!("/api/agents/a/executions/{id}/stream")));
        assert!(!of(format!("/api/agents/a/executions/{id}")));
        assert!(!of("/api/agents/a/executions/x/log".to_owned()));
    }
}
