//! Schedules through the command line, and a ledger that dies between a tick and its execution.

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::Server;

fn told(server: &Server, arguments: &[&str]) -> Value {
    let output = server.command(arguments);
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{arguments:?}: {}", text(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", text(&output.stdout)))
}

#[tokio::test]
async fn a_schedule_is_looked_after_from_the_command_line() {
    let server = Server::start(&[]).await;
    let preview =
        told(&server, &["schedules", "preview", "0 9 * * MON", "--timezone", "Asia/Tokyo"]);
    assert_eq!(preview["description"], "At 09:00, on Monday (Asia/Tokyo)");
    let made = told(
        &server,
        &["schedules", "create", "demo", "hello", "--cron", "0 9 * * MON", "--overlap", "queue"],
    );
    let id = made["schedule_id"].as_str().expect("an id");
    let changed =
        told(&server, &["schedules", "change", id, "--name", "Weekly", "--catch-up", "none"]);
    assert_eq!((&changed["name"], &changed["overlap"]), (&json!("Weekly"), &json!("queue")));
    assert_eq!(told(&server, &["schedules", "disable", id])["enabled"], false);
    let listed = told(&server, &["schedules", "list", "--disabled"]);
    assert_eq!(listed["schedules"][0]["schedule_id"], id);
    assert_eq!(told(&server, &["schedules", "enable", id])["enabled"], true);

    let triggered = told(&server, &["schedules", "trigger", id]);
    let execution = triggered["execution_id"].as_str().expect("an id");
    let record = server.await_end("demo", execution).await;
    assert_eq!(
        (&record["status"], &record["triggered_by"]),
        (&json!("completed"), &json!("schedule"))
    );
    let ticks = told(&server, &["schedules", "ticks", id]);
    assert_eq!(ticks["ticks"][0]["execution_id"], execution);
    let repeated =
        told(&server, &["schedules", "create", "--from", execution, "--cron", "0 8 * * *"]);
    assert_eq!((&repeated["message"], &repeated["agent_name"]), (&json!("hello"), &json!("demo")));

    let shown = server.command(&["schedules", "show", id, "--table"]);
    let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
    for part in ["Weekly", "At 09:00, on Monday (UTC)", "fired (triggered)", execution] {
        assert!(shown.contains(part), "{part} in {shown}");
    }
    assert_eq!(told(&server, &["schedules", "delete", id])["status"], "deleted");
    assert_eq!(server.command(&["schedules", "show", id]).status.code(), Some(4));
    let wrong = server.command(&["schedules", "preview", "0 0 30 2 *"]);
    let told = String::from_utf8_lossy(&wrong.stderr).into_owned();
    assert!(!wrong.status.success() && told.contains("this date never comes"), "{told}");
}

#[tokio::test]
async fn what_was_fired_when_the_ledger_died_is_run_once_after_it_starts_again() {
    let mut server = Server::start(&[("EXECUTION_LEDGER_FAIL_AT", "scheduler.fired")]).await;
    let body = json!({"agent_name": "demo", "message": "hello", "cron": "0 9 * * MON"});
    let (status, made) = server.post("/api/schedules", body).await;
    assert!(status.is_success(), "{made}");
    let id = made["schedule_id"].as_str().expect("an id").to_owned();
    let path = format!("/api/schedules/{id}/trigger");
    let trigger = |server: &Server| {
        server.request(Method::POST, &path).header("idempotency-key", "k").json(&json!({}))
    };
    assert!(trigger(&server).send().await.is_err(), "it died before it could answer");
    server.await_exit().await;

    server.start_again_with(&[]).await;
    let ticks = format!("/api/schedules/{id}/ticks");
    let (_, answer) = server.get(&ticks).await;
    let execution = answer["ticks"][0]["execution_id"].as_str().expect("an id").to_owned();
    // The same request again is answered with the same execution, whoever was first to submit it.
    let again: Value =
        trigger(&server).send().await.expect("an answer").json().await.expect("JSON");
    assert_eq!(again["execution_id"], execution.as_str(), "{again}");
    let record = server.await_end("demo", &execution).await;
    assert_eq!((&record["status"], &record["schedule_id"]), (&json!("completed"), &json!(id)));
    assert_eq!(server.get(&ticks).await.1["ticks"].as_array().map(Vec::len), Some(1));
    let (_, list) = server.get("/api/executions?triggered_by=schedule").await;
    assert_eq!(list["executions"].as_array().map(Vec::len), Some(1), "{list}");
    server.stop().await;
    let output = server.command(&["rebuild", "--check"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
