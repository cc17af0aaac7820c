//! What the interface can be set to.

use std::net::IpAddr;
use std::num::NonZeroU32;
use std::time::Duration;

use ipnet::IpNet;
use reqwest::Certificate;

/// Settings of the interface, each with its own limit's meaning. [`Default`] is what a server on
/// loopback needs; only the admin key has no default.
#[derive(Clone, Debug)]
pub struct Options {
    /// Hosts that the server answers for beside loopback's names: `name` (any port) or `name:port`.
    pub allowed_hosts: Vec<String>,
    /// Whether the server itself speaks TLS: then its pages come by https.
    pub tls: bool,
    /// Where browsers find the server if not by the address that they name as host, for example
    /// `https://ledger.example`.
    pub public_origin: Option<String>,
    /// Proxies whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<IpNet>,
    /// Who alone vouches for other nodes, which are asked by https then; where it is nobody, the authorities
    /// that the system knows.
    pub node_authorities: Vec<Certificate>,
    /// Largest request body, in bytes.
    pub body_max_bytes: usize,
    /// How long a request body may take.
    pub body_timeout: Duration,
    /// How long the head of a request may take, and how long a connection may be idle.
    pub head_timeout: Duration,
    /// How long an answer may make no progress because its reader does not read.
    pub write_timeout: Duration,
    /// Connections at once; more wait in the system's backlog.
    pub connections_max: usize,
    /// Requests that are worked on at once; more are refused.
    pub requests_max: usize,
    /// Streams (SSE, WebSocket) and callers that wait for a task at once; more are refused.
    pub streams_max: usize,
    /// How long a synchronous task is waited for, at most.
    pub sync_wait: Duration,
    /// Requests a second that one key may make.
    pub rate_per_s: NonZeroU32,
    /// Requests that one key may make at once beyond its rate.
    pub rate_burst: NonZeroU32,
    /// Requests a minute with a key that does not hold, from one address.
    pub failures_per_minute: NonZeroU32,
    /// Whether `/metrics` answers without a key.
    pub metrics_without_key: bool,
    /// How long answers and streams may go on once the server is to stop.
    pub shutdown_grace: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            allowed_hosts: Vec::new(),
            tls: false,
            public_origin: None,
            trusted_proxies: Vec::new(),
            node_authorities: Vec::new(),
            body_max_bytes: 2 * 1024 * 1024,
            body_timeout: Duration::from_secs(30),
            head_timeout: Duration::from_secs(10),
            write_timeout: Duration::from_secs(30),
            connections_max: 4_096,
            requests_max: 2_048,
            streams_max: 2_048,
            sync_wait: Duration::from_mins(15),
            rate_per_s: NonZeroU32::new(50_000).unwrap_or(NonZeroU32::MAX),
            rate_burst: NonZeroU32::new(50_000).unwrap_or(NonZeroU32::MAX),
            failures_per_minute: NonZeroU32::new(60).unwrap_or(NonZeroU32::MIN),
            metrics_without_key: false,
            shutdown_grace: Duration::from_secs(20),
        }
    }
}

impl Options {
    /// Whether the server answers for what a `Host` header says.
    pub fn allows_host(&self, host: &str) -> bool {
        let name = without_port(host);
        let loopback = name.eq_ignore_ascii_case("localhost")
            || name
                .trim_start_matches('[')
                .trim_end_matches(']')
                .parse::<IpAddr>()
                .is_ok_and(|address| address.is_loopback());
        loopback
            || self.allowed_hosts.iter().any(|allowed| {
                allowed.eq_ignore_ascii_case(host) || allowed.eq_ignore_ascii_case(name)
            })
    }

    /// Whether browsers reach the server by TLS, its own or a proxy's.
    pub(crate) fn is_secure(&self) -> bool {
        let by_proxy = self.public_origin.as_deref();
        self.tls || by_proxy.is_some_and(|origin| origin.starts_with("https://"))
    }

    /// Where a request comes from: the last hop that no trusted proxy vouches for.
    pub fn source(&self, peer: IpAddr, forwarded_for: Option<&str>) -> IpAddr {
        let trusted =
            |address: IpAddr| self.trusted_proxies.iter().any(|net| net.contains(&address));
        let mut source = peer.to_canonical();
        let Some(forwarded) = forwarded_for else { return source };
        for hop in forwarded.rsplit(',').take(HOPS_MAX) {
            if !trusted(source) {
                break;
            }
            let Ok(address) = hop.trim().parse::<IpAddr>() else { break };
            source = address.to_canonical();
        }
        source
    }
}

/// Hops of `X-Forwarded-For` that are looked at, from the last on.
const HOPS_MAX: usize = 16;

fn without_port(host: &str) -> &str {
    let port = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    match host.rsplit_once(':') {
        Some((name, digits)) if port(digits) && (!name.contains(':') || name.ends_with(']')) => {
            name
        }
        _ => host,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_loopback_and_configured_hosts_are_answered_for() {
        let options = Options {
            allowed_hosts: vec!["ledger.example".to_owned(), "other.example:8443".to_owned()],
            ..Options::default()
        };
        for good in [
            "localhost",
            "LOCALHOST:7171",
            "127.0.0.1:7171",
            "[::1]:7171",
            "[::1]",
            "127.8.9.1",
            "ledger.example",
            "ledger.example:99",
            "other.example:8443",
        ] {
            assert!(options.allows_host(good), "{good}");
        }
        for bad in ["", "evil.example", "127.0.0.1.evil.example", "localhost.", "other.example"] {
            assert!(!options.allows_host(bad), "{bad}");
        }
    }

    #[test]
    fn a_forwarded_address_counts_only_as_far_as_trusted_proxies_vouch_for_it() {
        let ip = |text: &str| text.parse::<IpAddr>().expect("an address");
        let options = Options {
            trusted_proxies: vec!["10.0.0.0/8".parse().expect("a net")],
            ..Options::default()
        };
        let chain = Some("6.6.6.6, 9.9.9.9, 10.1.1.1");
        assert_eq!(options.source(ip("10.0.0.1"), chain), ip("9.9.9.9"));
        assert_eq!(options.source(ip("8.8.8.8"), chain), ip("8.8.8.8"));
        assert_eq!(options.source(ip("10.0.0.1"), Some("nonsense")), ip("10.0.0.1"));
        assert_eq!(options.source(ip("::ffff:8.8.8.8"), None), ip("8.8.8.8"));
    }
}
