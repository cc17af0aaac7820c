//! One attempt at a message: a request, and what came back of it.

use std::error::Error as _;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use execution_ledger_domain::billing::CLOUD_EVENT;
use reqwest::header::{CONTENT_TYPE, HeaderValue};
use reqwest::redirect::Policy;
use reqwest::{Client, Response, StatusCode, Url};

use super::address::{AddressRefused, Allowed, Resolver, is_refused};

/// How long a connection may take to be made.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long an attempt may take in all: what Standard Webhooks recommends.
pub(super) const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(15);
/// What is read of an answer's body, in bytes: nothing of it is kept.
const ANSWER_MAX_BYTES: usize = 16 * 1024;
/// Connections that are kept open to one host.
const IDLE_MAX: usize = 4;
/// How long they are kept.
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);

/// A message as it is sent.
pub(super) struct Letter<'a> {
    /// Where to.
    pub url: &'a str,
    /// Its id.
    pub id: &'a str,
    /// When it is sent, in seconds since 1970.
    pub at_s: i64,
    /// Its signatures, separated by spaces.
    pub signatures: String,
    /// What it says.
    pub body: Vec<u8>,
}

/// What became of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tried {
    /// It was taken: any status of 200 to 299.
    Taken(u16),
    /// Its receiver is gone for good: 410.
    Gone,
    /// It was not taken.
    Failed {
        /// The status, where one came.
        status: Option<u16>,
        /// What was wrong.
        reason: Fault,
    },
}

/// Why a message was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Another status than 200 to 299.
    Status,
    /// A status of 300 to 399: redirects are not followed.
    Redirect,
    /// Its receiver is gone for good: 410.
    Gone,
    /// No answer in time.
    Timeout,
    /// No connection could be made, for what reason ever.
    ConnectFailed,
    /// The name leads to an address that may not be spoken to.
    AddressRefused,
    /// The address can't be used any more as the settings are now.
    UrlRefused,
    /// The connection broke, or what came was no HTTP.
    Broken,
    /// The event that it tells of can't be told.
    Unreadable,
}

impl Fault {
    /// Its name in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Status => "status",
            Self::Redirect => "redirect",
            Self::Gone => "gone",
            Self::Timeout => "timeout",
            Self::ConnectFailed => "connect_failed",
            Self::AddressRefused => "address_refused",
            Self::UrlRefused => "url_refused",
            Self::Broken => "broken",
            Self::Unreadable => "unreadable",
        }
    }
}

/// Why an address can't be a webhook's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UrlRefused {
    /// It is none.
    #[error("it is no address: {0}")]
    Unreadable(String),
    /// Another scheme than https.
    #[error("it must begin with https://; http:// is for networks of webhooks_allow_private alone")]
    Scheme,
    /// A name or a password stands in it.
    #[error("a user name or a password can't stand in it: messages are signed instead")]
    UserInfo,
    /// Something after `#` stands in it.
    #[error("what stands after # is never sent: leave it out")]
    Fragment,
    /// It names an address that may not be spoken to.
    #[error(transparent)]
    Address(#[from] AddressRefused),
}

/// Sends messages. Cheap to clone.
#[derive(Clone)]
pub(super) struct Sender {
    allowed: Allowed,
    /// How long an attempt may take in all.
    patience: Duration,
    /// For https and for http, made when first needed.
    clients: Arc<[OnceLock<Result<Client, String>>; 2]>,
}

impl Sender {
    pub fn new(allowed: Allowed, patience: Duration) -> Self {
        Self { allowed, patience, clients: Arc::default() }
    }

    /// Whether an address can be a webhook's; of a name its addresses are looked at only when a
    /// connection is made.
    pub fn check(&self, text: &str) -> Result<Url, UrlRefused> {
        let url = Url::parse(text).map_err(|error| UrlRefused::Unreadable(error.to_string()))?;
        let encrypted = match url.scheme() {
            "https" => true,
            "http" if !self.allowed.is_public_only() => false,
            _ => return Err(UrlRefused::Scheme),
        };
        if !url.username().is_empty() || url.password().is_some() {
            return Err(UrlRefused::UserInfo);
        }
        if url.fragment().is_some() {
            return Err(UrlRefused::Fragment);
        }
        let host = url.host_str().unwrap_or_default();
        let literal = host.trim_start_matches('[').trim_end_matches(']').parse();
        if let Ok(address) = literal {
            self.allowed.check(address, encrypted)?;
        }
        Ok(url)
    }

    /// Sends a message once.
    pub async fn send(&self, letter: Letter<'_>) -> Tried {
        let failed = |reason| Tried::Failed { status: None, reason };
        // An address that a connection is made to without asking for a name is checked here.
        let url = match self.check(letter.url) {
            Ok(url) => url,
            Err(UrlRefused::Address(_)) => return failed(Fault::AddressRefused),
            Err(_) => return failed(Fault::UrlRefused),
        };
        let client = match self.client(url.scheme() == "https") {
            Ok(client) => client,
            Err(error) => {
                tracing::error!(%error, "no HTTP client for webhooks could be made");
                return failed(Fault::ConnectFailed);
            }
        };
        let request = client
            .post(url)
            .header(CONTENT_TYPE, HeaderValue::from_static(CLOUD_EVENT))
            .header("webhook-id", letter.id)
            .header("webhook-timestamp", letter.at_s)
            .header("webhook-signature", letter.signatures)
            .body(letter.body);
        let sent = tokio::time::timeout(self.patience, async {
            let answer = request.send().await?;
            let status = answer.status();
            drain(answer).await;
            Ok::<_, reqwest::Error>(status)
        });
        match sent.await {
            Ok(Ok(status)) => told_by(status),
            Ok(Err(error)) => failed(fault(&error)),
            Err(_) => failed(Fault::Timeout),
        }
    }

    fn client(&self, encrypted: bool) -> Result<&Client, &String> {
        let [secure, plain] = &*self.clients;
        let place = if encrypted { secure } else { plain };
        let made = place.get_or_init(|| {
            let resolver = Resolver { allowed: self.allowed.clone(), encrypted };
            // Neither a proxy nor a redirect: both would lead to addresses that nobody looked at.
            Client::builder()
                .no_proxy()
                .redirect(Policy::none())
                .connect_timeout(CONNECT_TIMEOUT)
                .timeout(self.patience)
                .pool_max_idle_per_host(IDLE_MAX)
                .pool_idle_timeout(IDLE_TIMEOUT)
                .user_agent(concat!("execution-ledger/", env!("CARGO_PKG_VERSION")))
                .dns_resolver(Arc::new(resolver))
                .build()
                .map_err(|error| error.to_string())
        });
        made.as_ref()
    }
}

/// Reads a little of an answer, so that its connection can be used again.
async fn drain(mut answer: Response) {
    let mut read = 0;
    while read < ANSWER_MAX_BYTES {
        // The status has come, and that is what counts: what happens to the body does not.
        match answer.chunk().await {
            Ok(Some(chunk)) => read += chunk.len(),
            Ok(None) | Err(_) => return,
        }
    }
}

fn told_by(status: StatusCode) -> Tried {
    let failed = |reason| Tried::Failed { status: Some(status.as_u16()), reason };
    match status {
        status if status.is_success() => Tried::Taken(status.as_u16()),
        StatusCode::GONE => Tried::Gone,
        status if status.is_redirection() => failed(Fault::Redirect),
        _ => failed(Fault::Status),
    }
}

fn fault(error: &reqwest::Error) -> Fault {
    if error.source().is_some_and(is_refused) {
        Fault::AddressRefused
    } else if error.is_timeout() {
        Fault::Timeout
    } else if error.is_connect() {
        Fault::ConnectFailed
    } else {
        Fault::Broken
    }
}
