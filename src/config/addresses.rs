//! Settings that are addresses: of hosts, networks and servers.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::str::FromStr;

use ipnet::IpNet;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::values::{Described, ValueError, as_text};

/// An address or a network of addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network(pub IpNet);

as_text!(Network);

impl Described for Network {
    fn range() -> String {
        "addresses or networks such as 10.0.0.0/8".to_owned()
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for Network {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        let address = || text.parse::<IpAddr>().map(IpNet::from);
        text.parse::<IpNet>()
            .or_else(|_| address())
            .map(|network| Self(network.trunc()))
            .map_err(|_| ValueError(format!("{text:?} is no address and no network")))
    }
}

/// A host's name or address, as in a Host header, without a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostName(String);

as_text!(HostName);

impl HostName {
    /// The name in lower case.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Described for HostName {
    fn range() -> String {
        "host names without port".to_owned()
    }
}

impl fmt::Display for HostName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for HostName {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_');
        let name = (1..=253).contains(&text.len()) && text.bytes().all(plain);
        let bracketed = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
        let address = bracketed.is_some_and(|inner| inner.parse::<std::net::Ipv6Addr>().is_ok());
        if name || address {
            Ok(Self(text.to_ascii_lowercase()))
        } else {
            Err(ValueError(format!("{text:?} is no host name (no port, no scheme)")))
        }
    }
}

/// Whether an address begins as one of HTTP does.
pub fn begins_as_http(text: &str) -> bool {
    let begins = |scheme: &str| {
        text.get(..scheme.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(scheme))
    };
    begins("http://") || begins("https://")
}

/// An address that begins with http:// or https://, without user, query or fragment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpUrl(reqwest::Url);

as_text!(HttpUrl);

impl HttpUrl {
    /// The address, without a slash at its end.
    pub fn as_str(&self) -> &str {
        self.0.as_str().trim_end_matches('/')
    }

    /// Its scheme, host and port, as browsers name where a page comes from.
    pub fn origin(&self) -> String {
        self.0.origin().ascii_serialization()
    }

    /// The host in it.
    pub fn host(&self) -> &str {
        self.0.host_str().unwrap_or_default()
    }
}

impl Described for HttpUrl {
    fn range() -> String {
        "http:// or https:// address".to_owned()
    }
}

impl fmt::Display for HttpUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for HttpUrl {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        // The text may hold a password, so it is not repeated.
        let refused = |why: &str| ValueError(format!("this is no usable address: {why}"));
        if !begins_as_http(text.trim()) {
            return Err(refused("it must begin with http:// or https://"));
        }
        let url = reqwest::Url::parse(text.trim()).map_err(|error| refused(&error.to_string()))?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err(refused("it must not hold a user or a password"));
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(refused("it must not hold a query or a fragment"));
        }
        Ok(Self(url))
    }
}

/// An address and a port to listen on. `localhost` stands for 127.0.0.1: no other name is looked
/// up, because what the server listens on must not depend on who answers for a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListenAddress(pub SocketAddr);

as_text!(ListenAddress);

impl Described for ListenAddress {
    fn range() -> String {
        "address:port".to_owned()
    }
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for ListenAddress {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        let refused =
            || ValueError(format!("{text:?} is no address:port, for example 127.0.0.1:7171"));
        let local = text.strip_prefix("localhost:").map(|port| {
            port.parse().map(|port| SocketAddr::from((Ipv4Addr::LOCALHOST, port))).ok()
        });
        local.unwrap_or_else(|| text.parse().ok()).map(Self).ok_or_else(refused)
    }
}
