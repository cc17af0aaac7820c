//! The command line's HTTP client: finds the server, asks it, and explains its refusals.

mod answer;
mod error;
mod key;
mod sse;

use std::path::PathBuf;
use std::time::Duration;

use reqwest::header::{AUTHORIZATION, HeaderValue};
use reqwest::{Method, RequestBuilder, Response, Url};
use serde_json::Value;

pub use answer::{Answer, Ordered};
pub use error::{ClientError, Problem};
pub use sse::{Frame, Stream};

use crate::compose::server_file::ServerFile;
use crate::config::begins_as_http;

/// How long a connection may take to be made.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long an answer may take. A synchronous call takes longer, so the command line makes none.
const ANSWER_TIMEOUT: Duration = Duration::from_mins(1);
/// The largest answer that is read, in bytes: a page of records with all their texts fits.
const ANSWER_MAX_BYTES: usize = 256 * 1024 * 1024;
/// How often a request that can be repeated is sent in all.
const ATTEMPTS_MAX: u32 = 4;
/// The wait before the first repetition; it doubles.
const RETRY_WAIT: Duration = Duration::from_millis(250);

/// How the server is found.
#[derive(Clone, Debug, Default)]
pub struct Target {
    /// Its address, where one was given.
    pub url: Option<String>,
    /// The key, where one was given.
    pub key: Option<String>,
    /// The file of the key, where one was given.
    pub key_file: Option<PathBuf>,
    /// A certificate that is trusted beside the system's.
    pub ca_file: Option<PathBuf>,
    /// The data directory of a server on this machine.
    pub data_dir: Option<PathBuf>,
}

/// A server and the key for it.
pub struct Client {
    http: reqwest::Client,
    base: Url,
    authorization: HeaderValue,
}

/// A page of a feed.
pub struct Page {
    /// The rows as they were written.
    pub body: String,
    /// The position to go on after.
    pub resume_after: String,
    /// Whether more rows stand there already.
    pub more: bool,
}

impl Client {
    /// Finds the server and reads the key; sends nothing yet.
    pub fn connect(target: &Target) -> Result<Self, ClientError> {
        let base = base_url(target)?;
        let key = key::find(target, &base)?;
        let mut authorization = HeaderValue::from_str(&format!("Bearer {key}"))
            .map_err(|_| ClientError::Key("it has characters that no key has".to_owned()))?;
        authorization.set_sensitive(true);
        // A proxy of the environment must not see what is meant for this machine.
        let local = base.host_str().is_some_and(is_loopback);
        let mut builder = reqwest::Client::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .redirect(reqwest::redirect::Policy::none())
            .user_agent(concat!("execution-ledger/", env!("CARGO_PKG_VERSION")));
        if local {
            builder = builder.no_proxy();
        }
        if let Some(path) = &target.ca_file {
            let unusable = |why: String| ClientError::Certificate { path: path.clone(), why };
            let pem = std::fs::read(path).map_err(|error| unusable(error.to_string()))?;
            let certificates = reqwest::Certificate::from_pem_bundle(&pem)
                .map_err(|error| unusable(error.to_string()))?;
            builder = builder.tls_certs_merge(certificates);
        }
        let http = builder.build().map_err(|error| ClientError::Setup(error.to_string()))?;
        Ok(Self { http, base, authorization })
    }

    /// The address below which everything is asked.
    pub fn base(&self) -> &str {
        self.base.as_str().trim_end_matches('/')
    }

    /// Asks; a request without effect, so it is repeated where the connection fails.
    pub async fn get(
        &self,
        path: &[&str],
        query: &[(&str, String)],
    ) -> Result<Answer, ClientError> {
        let mut url = self.url(path)?;
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        let request = self.request(Method::GET, url).timeout(ANSWER_TIMEOUT);
        let response = self.send_repeatedly(request).await?;
        read_json(response).await
    }

    /// Asks for a page of a feed, as it is written.
    pub async fn page(&self, path: &[&str], query: &[(&str, String)]) -> Result<Page, ClientError> {
        let mut url = self.url(path)?;
        url.query_pairs_mut().extend_pairs(query);
        let request = self.request(Method::GET, url).timeout(ANSWER_TIMEOUT);
        let response = self.send_repeatedly(request).await?;
        let header =
            |name: &str| response.headers().get(name).and_then(|value| value.to_str().ok());
        let resume_after = header("ledger-resume-after").map(str::to_owned);
        let more = header("link").is_some_and(|link| link.contains("rel=\"next\""));
        let unexpected = |why: &str| ClientError::Unexpected(why.to_owned());
        let resume_after =
            resume_after.ok_or_else(|| unexpected("it does not say where to go on"))?;
        let body = String::from_utf8(read_body(response).await?)
            .map_err(|_| unexpected("its answer is no text"))?;
        Ok(Page { body, resume_after, more })
    }

    /// Asks for a change once.
    pub async fn change(
        &self,
        method: Method,
        path: &[&str],
        body: Option<&Value>,
    ) -> Result<Answer, ClientError> {
        let mut request = self.request(method, self.url(path)?).timeout(ANSWER_TIMEOUT);
        if let Some(body) = body {
            request = request.json(body);
        }
        let response = request.send().await.map_err(|error| self.unreachable(error))?;
        read_json(accepted(response).await?).await
    }

    /// Asks for a change under an idempotency key, so that it can be repeated safely.
    pub async fn change_once(
        &self,
        path: &[&str],
        idempotency_key: &str,
        body: &Value,
    ) -> Result<Answer, ClientError> {
        let request = self
            .request(Method::POST, self.url(path)?)
            .timeout(ANSWER_TIMEOUT)
            .header("idempotency-key", idempotency_key)
            .json(body);
        let response = self.send_repeatedly(request).await?;
        read_json(response).await
    }

    /// Opens a stream of server-sent events behind the frame with id `after`.
    pub async fn stream(&self, path: &[&str], after: Option<&str>) -> Result<Stream, ClientError> {
        let mut request =
            self.request(Method::GET, self.url(path)?).header("accept", "text/event-stream");
        if let Some(id) = after {
            request = request.header("last-event-id", id);
        }
        let response = request.send().await.map_err(|error| self.unreachable(error))?;
        Ok(Stream::new(accepted(response).await?))
    }

    /// Opens a file of any length, which comes in parts.
    pub async fn download(
        &self,
        path: &[&str],
        query: &[(&str, String)],
    ) -> Result<Response, ClientError> {
        let mut url = self.url(path)?;
        url.query_pairs_mut().extend_pairs(query);
        let response = self.request(Method::GET, url).send().await;
        accepted(response.map_err(|error| self.unreachable(error))?).await
    }

    fn request(&self, method: Method, url: Url) -> RequestBuilder {
        self.http.request(method, url).header(AUTHORIZATION, self.authorization.clone())
    }

    fn url(&self, path: &[&str]) -> Result<Url, ClientError> {
        let mut url = self.base.clone();
        url.path_segments_mut()
            .map_err(|()| ClientError::Setup("the server's address has no path".to_owned()))?
            .pop_if_empty()
            .extend(path);
        Ok(url)
    }

    async fn send_repeatedly(&self, request: RequestBuilder) -> Result<Response, ClientError> {
        let mut wait = RETRY_WAIT;
        for _ in 1..ATTEMPTS_MAX {
            let Some(attempt) = request.try_clone() else { break };
            match attempt.send().await {
                Ok(response) => return accepted(response).await,
                // Nobody listens there: waiting does not help a person who forgot to start it.
                Err(error) if error.is_connect() => return Err(self.unreachable(error)),
                Err(_) => tokio::time::sleep(wait).await,
            }
            wait *= 2;
        }
        let response = request.send().await.map_err(|error| self.unreachable(error))?;
        accepted(response).await
    }

    fn unreachable(&self, error: reqwest::Error) -> ClientError {
        ClientError::Unreachable { url: self.base().to_owned(), why: deepest(&error.without_url()) }
    }
}

fn base_url(target: &Target) -> Result<Url, ClientError> {
    let (text, origin) = match (&target.url, &target.data_dir) {
        (Some(url), _) => (url.clone(), "--url or EXECUTION_LEDGER_URL"),
        (None, Some(dir)) => match ServerFile::read(dir) {
            Ok(Some(server)) => (server.url, "server.json"),
            Ok(None) => return Err(ClientError::NoServer { data_dir: dir.clone() }),
            Err(error) => return Err(ClientError::Setup(error.to_string())),
        },
        (None, None) => return Err(ClientError::NoPlace),
    };
    let refused = |why: &str| ClientError::Setup(format!("the address of {origin}: {why}"));
    if !begins_as_http(&text) {
        return Err(refused("it must begin with http:// or https://"));
    }
    let url = Url::parse(&text).map_err(|error| refused(&error.to_string()))?;
    let local = url.host_str().is_some_and(is_loopback);
    if url.scheme() == "http" && !local {
        return Err(refused(
            "a key is sent without encryption to this machine only: use https:// or a tunnel",
        ));
    }
    Ok(url)
}

fn is_loopback(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']');
    host.eq_ignore_ascii_case("localhost")
        || address.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// The response, if the server did what it was asked for.
async fn accepted(response: Response) -> Result<Response, ClientError> {
    if response.status().is_success() {
        return Ok(response);
    }
    let status = response.status().as_u16();
    let retry_after = response
        .headers()
        .get(reqwest::header::RETRY_AFTER)
        .and_then(|value| value.to_str().ok()?.parse().ok());
    let body = read_body(response).await.unwrap_or_default();
    Err(ClientError::Refused(Box::new(Problem::from_answer(status, retry_after, &body))))
}

async fn read_json(response: Response) -> Result<Answer, ClientError> {
    Answer::from_body(read_body(response).await?)
}

async fn read_body(mut response: Response) -> Result<Vec<u8>, ClientError> {
    let mut body = Vec::new();
    loop {
        let chunk = response.chunk().await;
        let chunk = chunk.map_err(|error| ClientError::Interrupted(deepest(&error)))?;
        let Some(chunk) = chunk else { return Ok(body) };
        if body.len() + chunk.len() > ANSWER_MAX_BYTES {
            return Err(ClientError::Unexpected(format!(
                "its answer is larger than {ANSWER_MAX_BYTES} bytes"
            )));
        }
        body.extend_from_slice(&chunk);
    }
}

/// The innermost cause: `connection refused` says more than `error sending request`.
fn deepest(error: &dyn std::error::Error) -> String {
    /// Causes that are followed.
    const DEPTH_MAX: usize = 16;
    let mut cause = error;
    for _ in 0..DEPTH_MAX {
        match cause.source() {
            Some(source) => cause = source,
            None => break,
        }
    }
    cause.to_string()
}
