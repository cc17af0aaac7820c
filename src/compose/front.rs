//! The HTTP side: where it listens, with which certificate and limits, and what it says at the start.

use std::io::Write as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use execution_ledger_api::Options;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::TcpListener;

use super::serve::part;
use super::server_file::ServerFile;
use super::{Foundation, ServeError, nodes};
use crate::config::{HttpUrl, Settings};

/// A place where the server listens.
pub struct Front {
    /// Where connections come.
    pub listener: TcpListener,
    /// Its certificate and key, where it has them.
    pub tls: Option<Arc<rustls::ServerConfig>>,
    /// By which address it is reached on this machine.
    pub local_url: String,
}

impl Front {
    /// Listens where the settings say.
    pub async fn listen(
        settings: &Settings,
        tls: Option<Arc<rustls::ServerConfig>>,
    ) -> Result<Self, ServeError> {
        let address = settings.listen.0;
        let listener = TcpListener::bind(address)
            .await
            .map_err(|source| ServeError::Listen { address, source })?;
        let listening = listener.local_addr().map_err(|error| part("the HTTP server", &error))?;
        let scheme = if tls.is_some() { "https" } else { "http" };
        Ok(Self { listener, tls, local_url: local_url(scheme, listening) })
    }
}

fn local_url(scheme: &str, listening: SocketAddr) -> String {
    let ip = match listening.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    format!("{scheme}://{}", SocketAddr::new(ip, listening.port()))
}

/// The certificate and its key; nothing where the settings name none.
pub fn tls(settings: &Settings) -> Result<Option<Arc<rustls::ServerConfig>>, ServeError> {
    let (Some(certificate), Some(key)) = (&settings.tls_certificate, &settings.tls_key) else {
        return Ok(None);
    };
    let unusable = |what: &std::path::Path, why: &dyn std::fmt::Display| {
        ServeError::Tls(format!("{}: {why}", what.display()))
    };
    let chain = CertificateDer::pem_file_iter(certificate)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| unusable(certificate, &error))?;
    let private = PrivateKeyDer::from_pem_file(key).map_err(|error| unusable(key, &error))?;
    let mut config = rustls::ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(chain, private)
        .map_err(|error| unusable(certificate, &error))?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Some(Arc::new(config)))
}

/// What the interface goes by. `url` is where callers reach it.
pub fn options(settings: &Settings, url: &str) -> Result<Options, ServeError> {
    let seconds = |s: u64| Duration::from_secs(s);
    let rate = |n: u32| NonZeroU32::new(n).unwrap_or(NonZeroU32::MIN);
    let mut allowed_hosts: Vec<String> =
        settings.allowed_hosts.entries().iter().map(|name| name.as_str().to_owned()).collect();
    if let Some(public) = &settings.public_url {
        allowed_hosts.push(public.host().to_owned());
    }
    if let Some(own) = &settings.node_url {
        allowed_hosts.push(own.host().to_owned());
    }
    if let Some(host) = url.split("//").nth(1) {
        allowed_hosts.push(host.to_owned());
    }
    Ok(Options {
        allowed_hosts,
        tls: settings.tls_certificate.is_some(),
        public_origin: settings.public_url.as_ref().map(HttpUrl::origin),
        trusted_proxies: settings.trusted_proxies.entries().iter().map(|net| net.0).collect(),
        node_authorities: nodes::authorities(settings)?,
        body_max_bytes: settings.body_max_bytes.narrow::<usize>(),
        body_timeout: seconds(settings.body_timeout_s.get()),
        head_timeout: seconds(settings.header_timeout_s.get()),
        write_timeout: seconds(settings.write_timeout_s.get()),
        connections_max: settings.connections_max.narrow::<usize>(),
        requests_max: settings.requests_max.narrow::<usize>(),
        streams_max: settings.streams_max.narrow::<usize>(),
        sync_wait: seconds(settings.sync_wait_s.get()),
        rate_per_s: rate(settings.rate_per_s.narrow::<u32>()),
        rate_burst: rate(settings.rate_burst.narrow::<u32>()),
        failures_per_minute: rate(settings.auth_failures_per_min.narrow::<u32>()),
        metrics_without_key: settings.metrics_public,
        shutdown_grace: seconds(settings.shutdown_timeout_s.get()),
    })
}

/// Says where the server is: for programs in a file, for people in words.
pub fn announce(
    foundation: &Foundation,
    server: &ServerFile,
    url: &str,
    sign_in: &str,
    eventstore: Option<SocketAddr>,
) -> Result<(), ServeError> {
    let data_dir = &foundation.data_dir;
    let eventstore = eventstore.map_or_else(String::new, |at| {
        let plain = if server.url.starts_with("https") { "" } else { "?tls=false" };
        format!("  eventstore esdb://{at}{plain}\n")
    });
    server.write(data_dir.path()).map_err(|error| part("server.json", &error))?;
    tracing::info!(url, "listening");
    let key = data_dir.admin_key();
    let text = format!(
        "execution-ledger {} listens on {url}\n  data       {}\n  admin key  {}\n  API        {url}/docs\n  sign in    {url}/sign-in#{sign_in} (once, within 10 minutes)\n{eventstore}\nTry in another terminal:\n  execution-ledger run demo \"Say hello\"\n",
        env!("CARGO_PKG_VERSION"),
        data_dir.path().display(),
        key.display(),
    );
    // Nobody may be there to read it: the server does not depend on that.
    drop(std::io::stdout().write_all(text.as_bytes()));
    Ok(())
}
