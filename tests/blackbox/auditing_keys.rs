//! The key that signs is changed, also by a program that is killed, and auditors can follow.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::support::{PATIENCE, Server};

/// The latest checkpoint that covers more than so many events.
async fn checkpoint(server: &Server, events: u64) -> String {
    let asked = async {
        loop {
            let answer = server.request(Method::GET, "/tlog/checkpoint").send().await;
            let answer = answer.expect("an answer");
            if answer.status() == StatusCode::OK {
                let text = answer.text().await.expect("a checkpoint");
                let size = text.lines().nth(1).and_then(|line| line.parse::<u64>().ok());
                if size > Some(events) {
                    return text;
                }
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, asked).await.expect("a checkpoint in time")
}

/// What a command answers as JSON, and whether it succeeded.
fn told(server: &Server, arguments: &[&str]) -> (bool, Value) {
    let output = server.command(&[arguments, &["--json"]].concat());
    let answer = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| {
        panic!("{error}: {}", String::from_utf8_lossy(&output.stderr));
    });
    (output.status.success(), answer)
}

async fn task(server: &Server) -> String {
    let id = server.submit("demo", "one").await;
    server.await_end("demo", &id).await;
    id
}

#[tokio::test(flavor = "multi_thread")]
async fn an_auditor_with_the_key_and_a_checkpoint_of_before_follows_to_today() {
    let mut server = Server::start(&[]).await;
    let first_id = task(&server).await;
    let path = |name: &str| server.work_dir().join(name).to_str().expect("a path").to_owned();
    let (kept, proof, grown) = (path("kept.txt"), path("proof.json"), path("grown.json"));
    std::fs::write(&kept, checkpoint(&server, 0).await).expect("kept");
    let key = std::fs::read_to_string(server.data_dir().join("notary/verifier")).expect("a key");
    let key = key.trim();
    assert!(!server.command(&["notary", "rotate"]).status.success(), "while the server runs");
    server.stop().await;

    // Killed after each of its steps in turn; what is left is finished by the next that comes.
    for step in ["signed", "told", "endorsed", "moved", "known"] {
        let point = format!("notary.{step}");
        let killed =
            server.command_with(&["notary", "rotate"], &[("EXECUTION_LEDGER_FAIL_AT", &point)]);
        assert_eq!(killed.status.code(), None, "{step}");
        server.start_again().await;
        task(&server).await;
        server.stop().await;
        let (sound, report) = told(&server, &["verify", "--checkpoint", &kept, "--key", key]);
        assert!(sound, "{step}: {report}");
    }
    let (_, keys) = told(&server, &["notary"]);
    assert_eq!(keys["keys"].as_array().map(Vec::len), Some(5), "one was told of nobody: {keys}");
    assert_eq!(keys["keys"][0]["key"], json!(key));
    let (_, rotated) = told(&server, &["notary", "rotate"]);
    assert_ne!(rotated["key"], rotated["previous_key"]);

    for arguments in [
        &["prove", &first_id, "--to", &proof][..],
        &["prove", "--consistency", &kept, "--to", &grown],
    ] {
        let made = server.command(arguments);
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    }
    std::fs::remove_dir_all(server.data_dir()).expect("the ledger is gone");
    let (sound, proven) = told(&server, &["verify", "--proof", &proof, "--key", key]);
    assert!(sound && proven["rotations"] == 5 && proven["key"] == rotated["key"], "{proven}");
    let (sound, shown) =
        told(&server, &["verify", "--proof", &grown, "--key", key, "--checkpoint", &kept]);
    assert!(sound && shown["checkpoint_was_given"] == true, "{shown}");
    let other = checkpoint_of(&grown);
    std::fs::write(&kept, other).expect("another one");
    let (sound, refused) =
        told(&server, &["verify", "--proof", &grown, "--key", key, "--checkpoint", &kept]);
    assert!(!sound && refused["sound"] == false, "{refused}");
}

/// The later checkpoint of a proof of consistency.
fn checkpoint_of(path: &str) -> String {
    let proof: Value =
        serde_json::from_slice(&std::fs::read(path).expect("a file")).expect("a proof");
    proof["newer"].as_str().expect("a checkpoint").to_owned()
}
