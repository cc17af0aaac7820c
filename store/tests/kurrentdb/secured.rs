//! TLS and credentials.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use execution_ledger_endpoint::{NodeKeyAuthority, OpenStore, Serve, Serving, serve};
use execution_ledger_store::kurrentdb::{
    KurrentOptions, KurrentStore, Prefix, UserPassword, Waits, claim_cryptography,
};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use tokio::net::TcpListener;

use crate::world::{Follower, all, append, impatient, numbers};

/// A certificate for this machine, and its key.
fn certificate(folder: &Path) -> (PathBuf, PathBuf) {
    named_certificate(folder, "cert")
}

fn named_certificate(folder: &Path, name: &str) -> (PathBuf, PathBuf) {
    let file = |kind: &str| folder.join(format!("{name}.{kind}.pem"));
    let (certificate, key) = (file("certificate"), file("key"));
    let made = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=here"])
        .args(["-addext", "subjectAltName=IP:127.0.0.1"])
        .args(["-addext", "basicConstraints=critical,CA:FALSE"])
        .arg("-keyout")
        .arg(&key)
        .arg("-out")
        .arg(&certificate)
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    (certificate, key)
}

fn chain(certificate: &Path) -> Vec<CertificateDer<'static>> {
    CertificateDer::pem_file_iter(certificate).unwrap().map(Result::unwrap).collect()
}

/// A server with TLS that lets only a node append to a ledger's streams; where a certificate of a user
/// is named, only whoever has it gets that far.
async fn secured(folder: &Path, node_key: &str, user: Option<&Path>) -> (Serving, PathBuf) {
    let (certificate, key) = certificate(folder);
    let asks = rustls::ServerConfig::builder();
    let asks = match user {
        None => asks.with_no_client_auth(),
        Some(user) => {
            let mut trusted = rustls::RootCertStore::empty();
            trusted.add(chain(user).remove(0)).unwrap();
            let verifier = WebPkiClientVerifier::builder(Arc::new(trusted)).build().unwrap();
            asks.with_client_cert_verifier(verifier)
        }
    };
    let key = PrivateKeyDer::from_pem_file(key).unwrap();
    let mut tls = asks.with_single_cert(chain(&certificate), key).unwrap();
    tls.alpn_protocols = vec![b"h2".to_vec()];
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let log = OpenStore::in_memory().unwrap();
    let authority = Arc::new(NodeKeyAuthority::new(Prefix::default(), Some(node_key)));
    (serve(listener, Serve { log, authority, tls: Some(Arc::new(tls)) }).unwrap(), certificate)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_is_reached_by_tls_with_the_credentials_of_a_file_and_not_without() {
    claim_cryptography().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let (serving, certificate) = secured(folder.path(), "s3cret:@/", None).await;
    let file = folder.path().join("credentials");
    std::fs::write(&file, "node:s3cret:@/\n").unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    let trusted = |options: &str| {
        let text = format!("esdb://{}?tls=true{options}", serving.address());
        KurrentOptions { waits: impatient(), ..KurrentOptions::at(text.parse().unwrap()) }
    };
    let ca = format!("&tlsCaFile={}", certificate.display());
    let credentials = Some(UserPassword::from_file(&file).unwrap());
    let store = KurrentStore::open(KurrentOptions { credentials, ..trusted(&ca) }).await.unwrap();
    let follower = Follower::of(&store).await;
    append(&store, 0).await.unwrap();
    assert_eq!(numbers(&follower.saw(1).await), [0]);
    assert_eq!(numbers(&all(&store).await), [0]);

    let wrong = UserPassword::new("node", "wrong").ok();
    for credentials in [None, wrong] {
        let began = Instant::now();
        // The log is there; appending is what takes a node's key.
        let store = KurrentStore::open(KurrentOptions { credentials, ..trusted(&ca) }).await;
        let refused = append(&store.unwrap(), 1).await.unwrap_err().to_string();
        assert!(refused.contains("credentials"), "{refused}");
        assert!(began.elapsed() < impatient().answer, "it is not tried again and again");
    }
    let another = tempfile::tempdir().unwrap();
    let (other, _) = self::certificate(another.path());
    let untrusted = trusted(&format!("&tlsCaFile={}", other.display()));
    let refused = KurrentStore::open(untrusted).await.err().unwrap().to_string();
    assert!(refused.contains("reached"), "{refused}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_asks_for_a_users_certificate_is_shown_the_one_that_is_named() {
    claim_cryptography().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let (user, user_key) = named_certificate(folder.path(), "user");
    let (stranger, stranger_key) = named_certificate(folder.path(), "stranger");
    let (serving, certificate) = secured(folder.path(), "key", Some(&user)).await;
    let shown = |options: String| {
        let (address, ca) = (serving.address(), certificate.display());
        let text = format!("esdb://node:key@{address}?tls=true&tlsCaFile={ca}{options}");
        KurrentOptions { waits: impatient(), ..KurrentOptions::at(text.parse().unwrap()) }
    };
    let of = |certificate: &Path, key: &Path| {
        format!("&userCertFile={}&userKeyFile={}", certificate.display(), key.display())
    };
    let store = KurrentStore::open(shown(of(&user, &user_key))).await.unwrap();
    let follower = Follower::of(&store).await;
    append(&store, 0).await.unwrap();
    assert_eq!(numbers(&follower.saw(1).await), [0]);
    assert_eq!(numbers(&all(&store).await), [0]);
    let second = Duration::from_secs(1);
    let waits = Waits { connect: second, attempt: second, answer: second };
    for options in [String::new(), of(&stranger, &stranger_key)] {
        let options = KurrentOptions { waits, ..shown(options) };
        let refused = KurrentStore::open(options).await.err().unwrap().to_string();
        assert!(refused.contains(&serving.address().to_string()), "{refused}");
    }
}
