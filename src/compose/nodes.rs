//! One of several nodes on a KurrentDB: its id, the secret that all of them share, and whether it may
//! start beside those that live.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use execution_ledger_domain::{Digest, NodeId, Timestamp};
use execution_ledger_process::desk::Desk;
use execution_ledger_process::nodes::{Station, StationOptions};
use execution_ledger_process::run_token::derived;
use execution_ledger_replay::notary::KEY_FILE;
use execution_ledger_store::{Beat, Ledger, NodeBoard, StoreError};
use reqwest::Certificate;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use uuid::Uuid;

use super::data_dir::DataDir;
use super::{ServeError, admin_key, secret};
use crate::config::Settings;

/// Shortest secret that nodes may share, in bytes.
const SECRET_MIN_BYTES: usize = 32;
/// Beats in the time of a lease, of a node that is alone.
const BEATS_PER_LEASE: u32 = 4;
/// How long a node's leaving may take to be told.
const LEAVING: Duration = Duration::from_secs(5);
/// How long leases may take to be given up at the end.
const STATION_STOP: Duration = Duration::from_secs(8);
/// How often a node that starts looks whether another lives.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// The secret that all nodes share.
pub struct ClusterSecret(Vec<u8>);

impl ClusterSecret {
    /// Of the setting's file; none without the setting.
    pub fn load(settings: &Settings) -> Result<Option<Self>, ServeError> {
        let Some(path) = &settings.cluster_secret_file else { return Ok(None) };
        let wrong = |problem: &str| ServeError::Unsafe {
            path: path.clone(),
            problem: format!(
                "{problem}; make it on one machine with `head -c 32 /dev/urandom | base64 > FILE` \
                 and `chmod 600 FILE`, and copy it to the others"
            ),
        };
        let text = secret::read(path)?.ok_or_else(|| wrong("there is no such file"))?;
        if text.len() < SECRET_MIN_BYTES {
            return Err(wrong("it is shorter than 32 bytes"));
        }
        Ok(Some(Self(text.into_bytes())))
    }

    fn derive(&self, purpose: &str) -> [u8; secret::SECRET_BYTES] {
        derived(&self.0, purpose)
    }

    /// The ledger's secret.
    pub fn ledger_secret(&self) -> [u8; secret::SECRET_BYTES] {
        self.derive("ledger secret")
    }

    /// Puts what follows from the secret into the data directory: the administrator's key and the
    /// notary's. What stands there already must be the same.
    pub fn settle(&self, data_dir: &DataDir) -> Result<(), ServeError> {
        let key = format!(
            "{}{}",
            admin_key::PREFIX,
            secret::as_text(&self.derive("administrator's key"))
        );
        same(&data_dir.admin_key(), &key)?;
        same(&data_dir.notary().join(KEY_FILE), &secret::as_text(&self.derive("notary")))
    }
}

fn same(path: &Path, text: &str) -> Result<(), ServeError> {
    let problem = "it is not the one that follows from cluster_secret_file; this data directory was \
                   used by itself: take another, or move this file away if its log is not needed";
    let there = match secret::read(path)? {
        Some(there) => there,
        None => secret::make(path, text)?,
    };
    if there == text {
        return Ok(());
    }
    Err(ServeError::Unsafe { path: path.to_owned(), problem: problem.to_owned() })
}

/// Who alone vouches for other nodes; where it is nobody, the authorities that the system knows.
pub fn authorities(settings: &Settings) -> Result<Vec<Certificate>, ServeError> {
    let Some(path) = &settings.node_ca_file else { return Ok(Vec::new()) };
    let unusable = |why: &dyn std::fmt::Display| {
        ServeError::Tls(format!("setting node_ca_file: {}: {why}", path.display()))
    };
    let mut found = Vec::new();
    for certificate in CertificateDer::pem_file_iter(path).map_err(|error| unusable(&error))? {
        let certificate = certificate.map_err(|error| unusable(&error))?;
        found.push(Certificate::from_der(&certificate).map_err(|error| unusable(&error))?);
        // What can vouch for nobody is refused here, not when the first node is asked.
        let mut roots = rustls::RootCertStore::empty();
        roots.add(certificate).map_err(|error| unusable(&error))?;
    }
    if found.is_empty() {
        return Err(unusable(&"it holds no certificate (PEM)"));
    }
    Ok(found)
}

/// Which node this data directory is.
fn node_id(data_dir: &DataDir) -> Result<NodeId, ServeError> {
    let path = data_dir.node().join("node.id");
    let text = match secret::read(&path)? {
        Some(text) => text,
        None => secret::make(&path, &Uuid::now_v7().to_string())?,
    };
    let problem =
        || ServeError::Unsafe { path: path.clone(), problem: "it holds no id".to_owned() };
    text.parse().map_err(|_| problem())
}

/// Which node the data directory is, where the settings make it one of several.
pub fn own_id(settings: &Settings, data_dir: &DataDir) -> Result<Option<NodeId>, ServeError> {
    settings.cluster_secret_file.as_ref().map(|_| node_id(data_dir)).transpose()
}

/// What this node tells of itself.
pub fn card(
    settings: &Settings,
    data_dir: &DataDir,
    secret: &[u8],
    url: &str,
) -> Result<Beat, ServeError> {
    let url = settings.node_url.as_ref().map_or(url, |own| own.as_str());
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").ok();
    let name = name.map(|name| name.trim().to_owned()).filter(|name| !name.is_empty());
    Ok(Beat {
        node: node_id(data_dir)?,
        name: name.unwrap_or_else(|| "unnamed".to_owned()),
        url: url.trim_end_matches('/').to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        lease_ms: settings.node_lease_s.get().saturating_mul(1_000),
        // Tells nobody what it is, and no two secrets have the same.
        secret: Digest::of(URL_SAFE_NO_PAD.encode(derived(secret, "fingerprint")).as_bytes()),
        leaving: false,
        agents: 0,
        running: 0,
        at: Timestamp::EPOCH,
    })
}

/// Refuses to start beside a node that lives and has another secret: it would not know this one's keys,
/// and neither would leave the other's runs alone.
pub async fn check_company(board: &Arc<dyn NodeBoard>, card: &Beat) -> Result<(), ServeError> {
    let unread = |error: StoreError| ServeError::Part(format!("the other nodes: {error}"));
    let strange = |last: &execution_ledger_store::LastBeat| {
        last.beat.node != card.node && last.beat.secret != card.secret && !last.beat.leaving
    };
    let first: Vec<_> = board.look().await.map_err(unread)?.into_iter().filter(strange).collect();
    let longest = first.iter().map(|last| last.beat.lease_ms).max().unwrap_or_default();
    let until = tokio::time::Instant::now() + Duration::from_millis(longest);
    if !first.is_empty() {
        tracing::info!("another node was heard of that has another secret; is it alive?");
    }
    while !first.is_empty() && tokio::time::Instant::now() < until {
        tokio::time::sleep(LOOK_EVERY).await;
        for now in board.look().await.map_err(unread)?.iter().filter(|last| strange(last)) {
            let before = first.iter().find(|before| before.beat.node == now.beat.node);
            if before.is_none_or(|before| before.number != now.number) {
                return Err(ServeError::Part(format!(
                    "another ledger is at work on this log: {} at {}, with another secret. Several \
                     nodes need the same cluster_secret_file; a ledger without one works alone: stop \
                     the other first",
                    now.beat.name, now.beat.url
                )));
            }
        }
    }
    Ok(())
}

/// This node at work among others, or telling that it lives where it is alone.
pub struct Member {
    /// Among others.
    pub station: Option<Station>,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Member {
    /// Joins the others, which have the same secret.
    pub async fn join(
        data_dir: &DataDir,
        card: Beat,
        board: Arc<dyn NodeBoard>,
        ledger: &Ledger,
        desk: &Arc<Desk>,
    ) -> Result<Self, ServeError> {
        let failed = |error: &dyn std::fmt::Display| ServeError::Part(format!("nodes: {error}"));
        let options = StationOptions { card, folder: data_dir.node() };
        let station = Station::new(options, board, ledger.clone(), Arc::clone(desk));
        let station = station.map_err(|error| failed(&error))?;
        station.load().await.map_err(|error| failed(&error))?;
        let (stop, stopped) = watch::channel(false);
        Ok(Self { task: tokio::spawn(station.clone().run(stopped)), station: Some(station), stop })
    }

    /// Only tells that it lives, so that no other starts beside it unawares.
    pub fn alone(card: Beat, board: Arc<dyn NodeBoard>, ledger: Ledger) -> Self {
        let (stop, mut stopped) = watch::channel(false);
        let every = Duration::from_millis(card.lease_ms) / BEATS_PER_LEASE;
        let task = tokio::spawn(async move {
            loop {
                let beat = Beat { at: ledger.now(), ..card.clone() };
                if let Err(error) = board.beat(&beat).await {
                    tracing::debug!(%error, "this ledger could not tell that it lives");
                }
                tokio::select! {
                    () = tokio::time::sleep(every) => {}
                    // An error means that nobody can stop it any more, which is a stop as well.
                    _ = stopped.changed() => break,
                }
            }
            let last = Beat { at: ledger.now(), leaving: true, ..card };
            drop(tokio::time::timeout(LEAVING, board.beat(&last)).await);
        });
        Self { station: None, stop, task }
    }

    /// Leaves: what it holds is given up.
    pub async fn leave(self) {
        self.stop.send_replace(true);
        if tokio::time::timeout(STATION_STOP, self.task).await.is_err() {
            tracing::warn!("this node could not tell in time that it leaves");
        }
    }
}

#[cfg(test)]
mod tests;
