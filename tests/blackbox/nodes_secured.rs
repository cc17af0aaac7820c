//! Nodes that ask each other by https, with certificates of an authority that only they know.

use std::path::{Path, PathBuf};
use std::process::Command;

use reqwest::StatusCode;
use serde_json::json;

use crate::nodes::{Cluster, await_leads};
use crate::support::Server;

/// The authority's certificate, and a node's with its key.
struct Certificates {
    authority: PathBuf,
    certificate: PathBuf,
    key: PathBuf,
}

impl Certificates {
    fn make(folder: &Path) -> Self {
        let file = |name: &str| folder.join(name);
        let (authority, authority_key) = (file("authority.pem"), file("authority.key"));
        let (certificate, key) = (file("node.pem"), file("node.key"));
        openssl(
            &["-subj", "/CN=authority", "-addext", "basicConstraints=critical,CA:TRUE"],
            (&authority, &authority_key),
            None,
        );
        openssl(
            &[
                "-subj",
                "/CN=node",
                "-addext",
                "subjectAltName=IP:127.0.0.1",
                "-addext",
                "basicConstraints=critical,CA:FALSE",
            ],
            (&certificate, &key),
            Some((&authority, &authority_key)),
        );
        Self { authority, certificate, key }
    }
}

fn openssl(about: &[&str], (certificate, key): (&Path, &Path), by: Option<(&Path, &Path)>) {
    let mut command = Command::new("openssl");
    command
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"])
        .args(["-nodes", "-days", "2"])
        .args(about);
    command.arg("-keyout").arg(key).arg("-out").arg(certificate);
    if let Some((authority, authority_key)) = by {
        command.arg("-CA").arg(authority).arg("-CAkey").arg(authority_key);
    }
    let made = command.output().expect("openssl");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
}

#[tokio::test]
async fn nodes_ask_each_other_by_https_where_they_know_who_vouches_for_them() {
    let mut cluster = Cluster::new();
    let made = Certificates::make(cluster.folder.path());
    let text = |path: &Path| path.display().to_string();
    let (certificate, key, authority) =
        (text(&made.certificate), text(&made.key), text(&made.authority));
    let secured = [
        ("EXECUTION_LEDGER_TLS_CERTIFICATE", certificate.as_str()),
        ("EXECUTION_LEDGER_TLS_KEY", key.as_str()),
    ];
    let knowing = [&secured[..], &[("EXECUTION_LEDGER_NODE_CA_FILE", authority.as_str())]].concat();
    for beside in [&knowing[..], &knowing[..], &secured[..]] {
        let environment = cluster.environment(beside);
        let node = Server::start_secured(&environment, &made.authority).await;
        cluster.nodes.push(node);
        await_leads(&cluster.nodes[0]).await;
    }
    let [leader, knows, does_not] = &cluster.nodes[..] else { panic!("three nodes") };
    assert!(leader.url.starts_with("https://"), "{}", leader.url);

    let settings = json!({"max_parallel_tasks": 1});
    knows.register("ada", &["/bin/echo", "hello"], settings).await;
    let id = knows.submit("ada", "work").await;
    for node in [leader, knows] {
        let record = node.await_end("ada", &id).await;
        assert_eq!(record["status"], "completed", "{record}");
        let lines = node.transcript("ada", &id).await;
        assert!(lines.iter().any(|line| line["line"] == "hello work"), "{lines:?}");
    }

    // Nobody is asked whose certificate nobody known vouches for: nothing is sent to him.
    assert_asks_nobody(does_not).await;
}

#[tokio::test]
async fn a_node_that_knows_who_vouches_for_the_others_asks_nobody_without_tls() {
    let mut cluster = Cluster::new();
    let made = Certificates::make(cluster.folder.path());
    cluster.add(&[]).await;
    await_leads(&cluster.nodes[0]).await;
    let authority = made.authority.display().to_string();
    cluster.add(&[("EXECUTION_LEDGER_NODE_CA_FILE", &authority)]).await;
    assert_asks_nobody(&cluster.nodes[1]).await;
}

async fn assert_asks_nobody(node: &Server) {
    let (status, told) = node.post("/api/agents/ada/task", json!({"message": "work"})).await;
    assert_eq!(
        (status, &told["code"]),
        (StatusCode::SERVICE_UNAVAILABLE, &json!("node_unreachable")),
        "{told}"
    );
}
