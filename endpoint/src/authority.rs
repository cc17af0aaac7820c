//! Who may do what: asked before each call, answered by whoever composes the server.

use std::fmt;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// Length of an `authorization` header that is looked at, in bytes.
const HEADER_MAX_BYTES: usize = 1_024;

/// Name and password of basic authentication.
#[derive(Clone, PartialEq, Eq)]
pub struct Basic {
    /// The name; nobody's right depends on it.
    pub name: String,
    /// The password: a key.
    pub password: String,
}

impl Basic {
    /// From the header's value; `None` where it is something else.
    pub fn from_header(value: &str) -> Option<Self> {
        if value.len() > HEADER_MAX_BYTES {
            return None;
        }
        let (scheme, encoded) = value.split_once(' ')?;
        if !scheme.eq_ignore_ascii_case("basic") {
            return None;
        }
        let decoded = String::from_utf8(STANDARD.decode(encoded.trim()).ok()?).ok()?;
        let (name, password) = decoded.split_once(':')?;
        Some(Self { name: name.to_owned(), password: password.to_owned() })
    }
}

impl fmt::Debug for Basic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Basic").field("name", &self.name).finish_non_exhaustive()
    }
}

/// Where a call comes from.
#[derive(Clone, Copy, Debug)]
pub struct Peer {
    /// Its address.
    pub address: SocketAddr,
    /// Whether the connection is encrypted.
    pub tls: bool,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Call {
    /// Read or follow the whole log.
    ReadAll,
    /// Read or follow a stream.
    ReadStream(String),
    /// Append to a stream.
    Append(String),
    /// Delete a stream, or bury it.
    Remove(String),
    /// Ask what there is: nodes, methods, subscriptions.
    Discover,
}

/// Why somebody may not. The texts are for people and say what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It is not known who asks.
    Unauthenticated(String),
    /// Who asks may not.
    Denied(String),
    /// It can't be found out now.
    Unavailable(String),
}

/// Resolves when a right ends, with what to tell.
pub type Until = Pin<Box<dyn Future<Output = String> + Send>>;

/// The right to go on with a call.
pub struct Admitted {
    /// Resolves when the right ends, while a subscription runs; `None` where it never does.
    pub until: Option<Until>,
}

/// Decides who may do what.
#[async_trait]
pub trait Authority: Send + Sync + 'static {
    /// Whether this caller may do this.
    async fn admit(
        &self,
        credentials: Option<&Basic>,
        peer: Peer,
        call: &Call,
    ) -> Result<Admitted, Refusal>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_is_read_and_a_password_is_never_shown() {
        let header = format!("Basic {}", STANDARD.encode("auditor:elk_secret:with:colons"));
        let basic = Basic::from_header(&header).unwrap();
        assert_eq!(basic.name, "auditor");
        assert_eq!(basic.password, "elk_secret:with:colons");
        assert!(!format!("{basic:?}").contains("secret"));
        for other in ["", "Basic", "Basic !!!", "Bearer abc", "basic YWJj"] {
            assert_eq!(Basic::from_header(other), None, "{other}");
        }
    }
}
