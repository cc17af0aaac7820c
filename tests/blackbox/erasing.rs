//! Erasing, and exports, by the real binary: what is left in the files, what the proofs say, who is told.

use std::fs;
use std::path::Path;

use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::support::Server;

/// Whether a text stands in any file of the data directory.
fn is_in(folder: &Path, text: &str) -> Option<String> {
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            if let Some(found) = is_in(&path, text) {
                return Some(found);
            }
            continue;
        }
        let mut bytes = fs::read(&path).unwrap_or_default();
        if path.extension().is_some_and(|extension| extension == "zst") {
            bytes = zstd::decode_all(&*bytes).expect("an archive");
        }
        if String::from_utf8_lossy(&bytes).contains(text) {
            return Some(path.display().to_string());
        }
    }
    None
}

fn succeeded(output: &std::process::Output) -> Value {
    let (out, err) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{out}{err}");
    serde_json::from_str(&out).unwrap_or_else(|_| panic!("no JSON: {out}"))
}

#[tokio::test]
async fn erased_texts_leave_every_file_and_every_proof_stands() {
    let mut server = Server::start(&[]).await;
    server.register("echo", &["/bin/echo"], json!({})).await;
    let secret = server.submit("echo", "the zanzibarette lives in quokkatown").await;
    server.await_end("echo", &secret).await;
    let other = server.submit("echo", "the plants are watered").await;
    server.await_end("echo", &other).await;
    let transcript = server.transcript("echo", &secret).await;
    assert!(format!("{transcript:?}").contains("zanzibarette"));
    assert!(is_in(server.data_dir(), "anzibaret").is_some());

    let asked = ["erase", "--execution", &secret, "--reason", "asked by the user"];
    let unasked = server.command(&asked);
    assert_eq!(unasked.status.code(), Some(2), "it asks first: {unasked:?}");
    assert!(String::from_utf8_lossy(&unasked.stderr).contains("--yes"));
    let done = succeeded(&server.command(&[&asked[..], &["--yes", "--json"]].concat()));
    assert_eq!((&done["texts"], &done["transcripts"]), (&json!(2), &json!(1)), "{done}");
    assert_eq!(done["overwritten"], true);
    assert_eq!(is_in(server.data_dir(), "anzibaret"), None);
    assert_eq!(is_in(server.data_dir(), "uokkatow"), None);

    let shown = server.command(&["show", &secret, "--table"]);
    assert!(String::from_utf8_lossy(&shown.stdout).contains("message, response"), "{shown:?}");
    let listed = server.command(&["list", "--table"]);
    let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
    let of = |id: &str| listed.lines().find(|line| line.contains(id)).expect("a row");
    assert!(of(&secret).contains("(erased)") && !of(&other).contains("(erased)"), "{listed}");

    let record = server.execution("echo", &secret).await;
    assert_eq!((&record["message"], &record["response"]), (&Value::Null, &Value::Null));
    assert_eq!(record["erased"], json!(["message", "response"]));
    let path = format!("/api/agents/echo/executions/{secret}/log");
    let (status, problem) = server.get(&path).await;
    assert_eq!((status, &problem["code"]), (StatusCode::GONE, &json!("content_erased")));

    server.stop().await;
    let verified = succeeded(&server.command(&["verify", "--json"]));
    assert_eq!(verified["problems"], json!([]), "{verified}");
    assert_eq!(
        (&verified["contents_erased"], &verified["transcripts_erased"]),
        (&json!(2), &json!(1))
    );
    let proof = server.work_dir().join("proof.json");
    let proof = proof.to_str().expect("text");
    succeeded(&server.command(&["prove", &secret, "--to", proof, "--json"]));
    assert!(!fs::read_to_string(proof).expect("a proof").contains("zanzibarette"));
    let checked = succeeded(&server.command(&["verify", "--proof", proof, "--json"]));
    assert_eq!(checked["sound"], true);

    // Nobody has the log now: the command does it there.
    let offline = ["erase", "--user", "admin", "--reason", "all of it", "--yes", "--json"];
    let done = succeeded(&server.command(&offline));
    assert_eq!((&done["texts"], &done["overwritten"]), (&json!(2), &json!(true)), "{done}");
    assert_eq!(is_in(server.data_dir(), "are watered"), None);
    let exported = server.work_dir().join("history.ndjson");
    succeeded(&server.command(&["export", "-o", exported.to_str().expect("text"), "--json"]));
    assert_eq!(is_in(server.work_dir(), "are watered"), None);
    let verified = succeeded(&server.command(&["verify", "--json"]));
    assert_eq!(verified["problems"], json!([]), "{verified}");
}

#[tokio::test]
async fn a_kill_in_the_middle_of_an_erasure_leaves_it_told_and_the_next_start_finishes_it() {
    let mut server = Server::start(&[]).await;
    server.register("echo", &["/bin/echo"], json!({})).await;
    let id = server.submit("echo", "the zanzibarette lives in quokkatown").await;
    server.await_end("echo", &id).await;
    server.transcript("echo", &id).await;
    server.stop().await;
    server.start_again_with(&[("EXECUTION_LEDGER_FAIL_AT", "eraser.transcript_told")]).await;
    let asked = ["erase", "--execution", &id, "--reason", "asked by the user", "--yes", "--json"];
    let cut = server.command(&asked);
    assert!(!cut.status.success(), "it died before it answered: {cut:?}");
    server.await_exit().await;
    server.start_again_with(&[]).await;

    // What was told is so, and asking once more erases nothing more.
    let record = server.execution("echo", &id).await;
    assert_eq!(record["erased"], json!(["message", "response"]), "{record}");
    let path = format!("/api/agents/echo/executions/{id}/log");
    assert_eq!(server.get(&path).await.0, StatusCode::GONE);
    let again = succeeded(&server.command(&asked));
    assert_eq!((&again["texts"], &again["transcripts"]), (&json!(0), &json!(0)), "{again}");
    assert_eq!(is_in(server.data_dir(), "anzibaret"), None);
    server.stop().await;
    let verified = succeeded(&server.command(&["verify", "--json"]));
    assert_eq!(verified["problems"], json!([]), "{verified}");
    assert_eq!(verified["transcripts_erased"], json!(1), "{verified}");
}

#[tokio::test]
async fn an_export_through_the_server_is_on_record_and_can_be_imported() {
    let mut server = Server::start(&[]).await;
    let id = server.submit("demo", "look around").await;
    server.await_end("demo", &id).await;
    let file = server.work_dir().join("history.ndjson");
    let file = file.to_str().expect("text");
    let exported = succeeded(&server.command(&["export", "-o", file, "--json"]));
    let (_, told) = server.get("/api/events?type=access.read").await;
    let told = told["events"].as_array().expect("events").clone();
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!(
        (&told[0]["data"]["kind"], &told[0]["actor"]["id"]),
        (&json!("export"), &json!("admin"))
    );
    succeeded(&server.command(&["export", "--offline", "-o", &format!("{file}.2"), "--json"]));
    let (_, again) = server.get("/api/events?type=access.read").await;
    assert_eq!(again["events"].as_array().map(Vec::len), Some(1));
    server.stop().await;
    let copy = server.work_dir().join("copy");
    let copy = copy.to_str().expect("text");
    let imported = succeeded(&server.command(&["import", file, "--data-dir", copy, "--json"]));
    assert_eq!(imported["events"], exported["events"]);
}
