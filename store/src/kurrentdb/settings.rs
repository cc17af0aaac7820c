//! Where the server is, who we are to it, and how long we wait for it.

use std::fmt;
use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use eventstore::{ClientSettings, Credentials, NodePreference};

use super::form::Prefix;
use crate::clock::{Clock, SystemClock};

/// Longest connection string, in bytes.
const CONNECTION_MAX_BYTES: usize = 4_096;
/// Largest file of credentials, in bytes.
const CREDENTIALS_MAX_BYTES: u64 = 4_096;
/// What the crate sleeps before each try to connect, in milliseconds: we have pauses of our own.
const CRATE_PAUSE_MS: u32 = 5;
/// How often the crate tries to connect before it says that it can't: the first counts as two.
const CRATE_TRIES: u32 = 3;
/// A file of certificates that holds none. The crate loads the system's even where TLS is off, and
/// panics where it can't; of a file that is named it takes what it finds.
const NO_CERTIFICATES: &str = "/dev/null";

/// How the log on a KurrentDB is opened.
#[derive(Clone)]
pub struct KurrentOptions {
    /// Where the server or cluster is.
    pub connection: ConnectionString,
    /// Who we are to it, where that is not said by the connection string.
    pub credentials: Option<UserPassword>,
    /// What the names of our streams begin with.
    pub prefix: Prefix,
    /// Where the times of events come from.
    pub clock: Arc<dyn Clock>,
    /// How long it is waited for the server.
    pub waits: Waits,
}

impl KurrentOptions {
    /// With the defaults for everything but the place.
    pub fn at(connection: ConnectionString) -> Self {
        Self {
            connection,
            credentials: None,
            prefix: Prefix::default(),
            clock: Arc::new(SystemClock),
            waits: Waits::default(),
        }
    }
}

/// How long it is waited for the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Waits {
    /// For a connection.
    pub connect: Duration,
    /// For one answer; then the connection is taken for dead.
    pub attempt: Duration,
    /// For an append or a read with all its repetitions.
    pub answer: Duration,
}

impl Default for Waits {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            attempt: Duration::from_secs(10),
            answer: Duration::from_secs(30),
        }
    }
}

/// Why the place or the credentials can't be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConnectionError {
    /// The connection string says nothing that we understand.
    #[error(
        "not a connection string of KurrentDB: {0} (for example esdb://host:2113?tls=true, esdb+discover://cluster:2113, esdb://one:2113,two:2113)"
    )]
    Malformed(String),
    /// A file that it names, or that of the credentials, can't be used.
    #[error("{what} {path}: {problem}")]
    File {
        /// What it is.
        what: &'static str,
        /// Where it lies.
        path: String,
        /// Why.
        problem: String,
    },
}

/// A user of the server.
#[derive(Clone, PartialEq, Eq)]
pub struct UserPassword {
    user: String,
    password: String,
}

impl fmt::Debug for UserPassword {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UserPassword").field("user", &self.user).finish_non_exhaustive()
    }
}

impl UserPassword {
    /// A user and its password.
    ///
    /// # Errors
    /// Where they can't be sent: a colon in the user's name, control characters, nothing at all.
    pub fn new(user: &str, password: &str) -> Result<Self, ConnectionError> {
        let odd = |text: &str| text.is_empty() || text.chars().any(char::is_control);
        if odd(user) || odd(password) || user.contains(':') {
            let problem = "a user and a password are not empty, hold no control characters, and the user no colon";
            return Err(ConnectionError::Malformed(problem.to_owned()));
        }
        Ok(Self { user: user.to_owned(), password: password.to_owned() })
    }

    /// From a file that holds `user:password` and that nobody but its owner can read.
    pub fn from_file(path: &Path) -> Result<Self, ConnectionError> {
        use std::os::unix::fs::PermissionsExt as _;
        let refused = |problem: String| ConnectionError::File {
            what: "the file of credentials",
            path: path.display().to_string(),
            problem,
        };
        let about = std::fs::metadata(path).map_err(|error| refused(error.to_string()))?;
        if about.permissions().mode() & 0o077 != 0 {
            return Err(refused("others can read it; chmod 600 it".to_owned()));
        }
        if about.len() > CREDENTIALS_MAX_BYTES {
            return Err(refused(format!("it is larger than {CREDENTIALS_MAX_BYTES} bytes")));
        }
        let text = std::fs::read_to_string(path).map_err(|error| refused(error.to_string()))?;
        let (user, password) = text
            .trim_end_matches(['\r', '\n'])
            .split_once(':')
            .ok_or_else(|| refused("it holds one line, user:password".to_owned()))?;
        Self::new(user, password).map_err(|error| refused(error.to_string()))
    }

    pub(super) fn credentials(&self) -> Credentials {
        Credentials::new(self.user.clone(), self.password.clone())
    }
}

/// Where a server or cluster is, in KurrentDB's own words: `esdb://host:port?option=value`.
///
/// The schemes `kurrentdb`, `kurrent` and `kdb` mean the same as `esdb`. A user and a password may
/// stand in it, with their special characters percent-encoded; neither is ever shown.
#[derive(Clone, PartialEq, Eq)]
pub struct ConnectionString {
    /// Without user and password.
    place: String,
    login: Option<UserPassword>,
}

impl fmt::Display for ConnectionString {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.place)
    }
}

impl fmt::Debug for ConnectionString {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.place)
    }
}

impl FromStr for ConnectionString {
    type Err = ConnectionError;

    fn from_str(text: &str) -> Result<Self, ConnectionError> {
        let malformed = |problem: &str| ConnectionError::Malformed(problem.to_owned());
        if text.len() > CONNECTION_MAX_BYTES || !text.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(malformed("it is too long, or holds spaces or signs that no URL has"));
        }
        let (scheme, rest) = text.split_once("://").ok_or_else(|| malformed("no scheme"))?;
        let (name, discover) =
            scheme.strip_suffix("+discover").map_or((scheme, ""), |name| (name, "+discover"));
        if !["esdb", "kurrentdb", "kurrent", "kdb"].contains(&name) {
            return Err(malformed("its scheme is none of esdb, kurrentdb, kurrent, kdb"));
        }
        let (authority, options) = rest.find(['/', '?']).map_or((rest, ""), |at| rest.split_at(at));
        let (login, hosts) = match authority.rsplit_once('@') {
            None => (None, authority),
            Some((login, hosts)) => {
                let (user, password) = login
                    .split_once(':')
                    .ok_or_else(|| malformed("a user stands in it, but no password"))?;
                let decoded = |text| decoded(text).ok_or_else(|| malformed("odd percent signs"));
                (Some(UserPassword::new(&decoded(user)?, &decoded(password)?)?), hosts)
            }
        };
        if hosts.is_empty() {
            return Err(malformed("it names no host"));
        }
        // Of a password with a sign that ends the hosts the rest would be taken for options, and shown.
        if options.contains('@') {
            return Err(malformed(
                "an @ after the hosts: special characters of a user and a password are percent-encoded",
            ));
        }
        let place = format!("esdb{discover}://{hosts}{options}");
        let parsed = Self { place, login };
        // What other nodes are judged by, and whether an append was stored, must not be read where it may
        // be old.
        if parsed.parsed("")?.node_preference() != NodePreference::Leader {
            return Err(malformed("nodePreference can be nothing but leader"));
        }
        Ok(parsed)
    }
}

/// A text without its percent-encoding.
fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, more)) = rest.split_first() {
        rest = more;
        if *first == b'%' {
            let (digits, more) = rest.split_at_checked(2)?;
            rest = more;
            bytes.push(u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?);
        } else {
            bytes.push(*first);
        }
    }
    String::from_utf8(bytes).ok()
}

impl ConnectionString {
    /// Whether a user and a password stand in it.
    pub fn has_login(&self) -> bool {
        self.login.is_some()
    }

    pub(super) fn login(&self) -> Option<&UserPassword> {
        self.login.as_ref()
    }

    /// What the crate makes of it, with further options. What the crate logs meanwhile is about
    /// options that we have chosen ourselves.
    fn parsed(&self, further: &str) -> Result<ClientSettings, ConnectionError> {
        let text = match (further, self.place.contains('?')) {
            ("", _) => self.place.clone(),
            (_, true) => format!("{}&{further}", self.place),
            (_, false) => format!("{}?{further}", self.place),
        };
        let quietly = tracing::subscriber::NoSubscriber::default();
        let parsed = tracing::subscriber::with_default(quietly, || text.parse::<ClientSettings>());
        parsed.map_err(|error| ConnectionError::Malformed(error.message().to_owned()))
    }

    /// The settings of a client, with what the crate would stumble over taken out of its way.
    pub(super) fn client_settings(&self) -> Result<ClientSettings, ConnectionError> {
        let given = self.parsed("")?;
        if let Some(path) = given.tls_ca_file().filter(|_| given.is_secure_mode_enabled()) {
            certificates("the certificates that are trusted, tlsCaFile", path)?;
        }
        if let Some((certificate, key)) = given.user_certificate() {
            certificates("the user's certificate, userCertFile", certificate)?;
            private_key("the user's key, userKeyFile", key)?;
        }
        let pace = format!("discoveryInterval={CRATE_PAUSE_MS}&maxDiscoverAttempts={CRATE_TRIES}");
        if given.is_secure_mode_enabled() {
            self.parsed(&pace)
        } else {
            self.parsed(&format!("{pace}&tlsCaFile={NO_CERTIFICATES}"))
        }
    }
}

/// Settings that lead nowhere: no server is asked for anything by a client that has them.
pub(super) fn settings_for_nothing() -> Result<ClientSettings, ConnectionError> {
    let nowhere = ConnectionString { place: "esdb://127.0.0.1:1".to_owned(), login: None };
    nowhere.parsed(&format!(
        "tls=false&discoveryInterval=0&maxDiscoverAttempts=1&tlsCaFile={NO_CERTIFICATES}"
    ))
}

/// Reads certificates as the crate will, which would panic over what is wrong with them.
fn certificates(what: &'static str, path: &str) -> Result<(), ConnectionError> {
    use rustls::pki_types::CertificateDer;
    use rustls::pki_types::pem::PemObject as _;
    let refused = |problem: String| ConnectionError::File { what, path: path.to_owned(), problem };
    let mut roots = rustls::RootCertStore::empty();
    for certificate in
        CertificateDer::pem_file_iter(path).map_err(|error| refused(error.to_string()))?
    {
        let certificate = certificate.map_err(|error| refused(error.to_string()))?;
        roots.add(certificate).map_err(|error| refused(error.to_string()))?;
    }
    if roots.is_empty() {
        return Err(refused("it holds no certificate (PEM)".to_owned()));
    }
    Ok(())
}

fn private_key(what: &'static str, path: &str) -> Result<(), ConnectionError> {
    use rustls::pki_types::PrivateKeyDer;
    use rustls::pki_types::pem::PemObject as _;
    let refused = |problem: String| ConnectionError::File { what, path: path.to_owned(), problem };
    PrivateKeyDer::from_pem_file(path).map(drop).map_err(|error| refused(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_string_says_where_and_who_and_never_shows_the_password() {
        let text = "kurrentdb+discover://ad%6Din:p%40ss%3A@one:2113,two:2114?tls=false";
        let parsed: ConnectionString = text.parse().unwrap();
        assert_eq!(parsed.to_string(), "esdb+discover://one:2113,two:2114?tls=false");
        assert_eq!(format!("{parsed:?}"), parsed.to_string());
        assert_eq!(parsed.login, UserPassword::new("admin", "p@ss:").ok());
        assert!(!format!("{:?}", parsed.login).contains("p@ss"));
        let settings = parsed.client_settings().unwrap();
        assert_eq!(settings.hosts().len(), 2);
        assert!(settings.is_dns_discovery_enabled() && !settings.is_secure_mode_enabled());
        for plain in ["esdb://host", "kdb://host:1?tls=true", "esdb://a,b:1/?nodePreference=leader"]
        {
            assert!(plain.parse::<ConnectionString>().is_ok(), "{plain}");
        }
    }

    #[test]
    fn a_password_that_is_not_encoded_is_refused_and_not_shown() {
        for text in ["esdb://user:12/secret@host:2113", "esdb://user:34?secret@host?tls=false"] {
            let refused = text.parse::<ConnectionString>().unwrap_err().to_string();
            assert!(refused.contains("percent-encoded"), "{refused}");
            assert!(!refused.contains("secret"), "{refused}");
        }
    }

    #[test]
    fn what_is_no_connection_string_is_refused_with_what_one_looks_like() {
        let bad = [
            "",
            "host:2113",
            "http://host",
            "esdb://",
            "esdb://user@host",
            "esdb://u:%zz@host",
            "esdb://u:%@host",
            "esdb://ho st",
            "esdb://a:b:c,d",
            "esdb://host?nodePreference=x",
            "esdb://host?nodePreference=follower",
            "esdb://a,b?nodepreference=Random",
            "esdb://host?userCertFile=/a",
        ];
        for text in bad {
            let refused = text.parse::<ConnectionString>();
            assert!(matches!(refused, Err(ConnectionError::Malformed(_))), "{text}: {refused:?}");
        }
    }

    #[test]
    fn files_that_the_crate_would_panic_over_are_refused_before_it_sees_them() {
        let folder = tempfile::tempdir().unwrap();
        let empty = folder.path().join("empty.pem");
        std::fs::write(&empty, "nothing").unwrap();
        for path in [empty.to_str().unwrap(), "/nonexistent/ca.pem"] {
            for text in [
                format!("esdb://host?tlsCaFile={path}"),
                format!("esdb://host?userCertFile={path}&userKeyFile={path}"),
            ] {
                let parsed: ConnectionString = text.parse().unwrap();
                let refused = parsed.client_settings();
                assert!(matches!(refused, Err(ConnectionError::File { .. })), "{refused:?}");
            }
        }
    }

    #[test]
    fn credentials_come_from_a_file_that_nobody_else_can_read() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("credentials");
        std::fs::write(&path, "ledger:a:b \n").unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
        let refused = UserPassword::from_file(&path).unwrap_err().to_string();
        assert!(refused.contains("chmod 600"), "{refused}");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        assert_eq!(UserPassword::from_file(&path), UserPassword::new("ledger", "a:b "));
        std::fs::write(&path, "nothing").unwrap();
        assert!(UserPassword::from_file(&path).is_err());
    }
}
