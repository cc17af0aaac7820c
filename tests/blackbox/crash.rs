//! Killed at any moment: no run, no line and no ending is lost, and nothing runs twice.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{Dice, PATIENCE, Server, is_ended, processes_of, state_of, supervised};

/// Rounds of killing the server while runs go on.
const ROUNDS: u64 = 50;
/// Runs that go on at once.
const RUNS: usize = 20;

/// An agent that notes each of its starts in a file named by its execution, and counts to the number
/// in its message.
const COUNTER: &str = r#"echo start >> "$STARTS/$EXECUTION_LEDGER_EXECUTION_ID"
i=0; while [ $i -lt "$1" ]; do i=$((i+1)); echo "line $i"; sleep 0.02; done"#;

fn counter(server: &Server) -> Value {
    let starts = server.work_dir().join("starts");
    std::fs::create_dir_all(&starts).expect("a directory");
    json!({
        "name": "counter", "runtime": "command", "command": ["/bin/sh", "-c", COUNTER, "sh"],
        "env": {"STARTS": starts}, "max_parallel_tasks": 20, "queue_limit": 1000,
    })
}

/// Every execution has one ending that tells the truth, each line once, and was started once at most.
async fn assert_truthful(server: &Server, agent: &str, id: &str, lines: u64) {
    let record = server.await_end(agent, id).await;
    assert_eq!(record["status"], "completed", "{record}\n{}", server.log());
    let events = record["events"].as_array().expect("events");
    let endings = events.iter().filter(|event| {
        let name = event["type"].as_str().unwrap_or_default();
        matches!(name, "execution.completed" | "execution.failed" | "execution.cancelled")
    });
    assert_eq!(endings.count(), 1, "{record}");
    let transcript = server.transcript(agent, id).await;
    let said: Vec<_> = transcript.iter().filter_map(|line| line["line"].as_str()).collect();
    let expected: Vec<_> = (1..=lines).map(|number| format!("line {number}")).collect();
    assert_eq!(said, expected, "{id}");
    let starts = std::fs::read_to_string(server.work_dir().join("starts").join(id));
    assert_eq!(starts.expect("it was started"), "start\n", "{id} was started more than once");
    assert_eq!(processes_of(id), Vec::<i32>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_kills_while_twenty_runs_go_on_lose_nothing() {
    let mut server = Server::start(&[("EXECUTION_LEDGER_MAX_PARALLEL_TOTAL", "21")]).await;
    let (status, answer) = server.post("/api/agents", counter(&server)).await;
    assert!(status.is_success(), "{answer}");
    let mut dice = Dice(0x9e37_79b9_7f4a_7c15);
    let mut submitted: Vec<(String, u64)> = Vec::new();
    for round in 0..ROUNDS {
        let mut open = 0;
        for (id, _) in submitted.iter().rev().take(RUNS * 2) {
            open += usize::from(!is_ended(&server.execution("counter", id).await));
        }
        for _ in open..RUNS {
            let lines = 1 + dice.below(40);
            // Acknowledged, or not there: a key makes the difference known after the kill.
            let id = server.submit("counter", &lines.to_string()).await;
            submitted.push((id, lines));
        }
        tokio::time::sleep(Duration::from_millis(dice.below(120))).await;
        server.kill();
        server.start_again().await;
        if round % 10 == 0 {
            let (_, list) = server.get("/api/executions?limit=200").await;
            assert!(list["executions"].is_array(), "{list}");
        }
    }
    for (id, lines) in &submitted {
        assert_truthful(&server, "counter", id, *lines).await;
    }
    let ids: BTreeSet<_> = submitted.iter().map(|(id, _)| id).collect();
    assert_eq!(ids.len(), submitted.len());
    server.stop().await;
    let output = server.command(&["rebuild", "--check"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// The steps between which a process is killed: of the ledger, and of the supervisor.
const STEPS: [&str; 11] = [
    "manager.claimed",
    "manager.started",
    "manager.before_ending",
    "manager.ended",
    "manager.archived",
    "supervisor.locked",
    "supervisor.before_exec",
    "supervisor.spawned",
    "supervisor.first_line",
    "supervisor.exited",
    "supervisor.status_written",
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kill_between_each_two_steps_gives_one_truthful_ending() {
    for step in STEPS {
        let mut server = Server::start(&[]).await;
        let (status, answer) = server.post("/api/agents", counter(&server)).await;
        assert!(status.is_success(), "{answer}");
        server.stop().await;
        server.start_again_with(&[("EXECUTION_LEDGER_FAIL_AT", step)]).await;
        let body = json!({"message": "3", "async_mode": true});
        let (status, answer) = server.post("/api/agents/counter/task", body).await;
        assert!(status.is_success(), "{step}: {answer}");
        let id = answer["execution_id"].as_str().expect("an id").to_owned();
        if step.starts_with("manager.") {
            server.await_exit().await;
            server.start_again_with(&[]).await;
            assert_truthful(&server, "counter", &id, 3).await;
        } else if step == "supervisor.status_written" {
            // It had said everything before it died.
            assert_truthful(&server, "counter", &id, 3).await;
        } else {
            // The supervisor died, the ledger lives: it says what was seen, and never more.
            let record = server.await_end("counter", &id).await;
            let code = record["error"]["code"].as_str().unwrap_or_default().to_owned();
            assert_eq!(record["status"], "failed", "{step}: {record}");
            assert!(
                matches!(code.as_str(), "supervisor_lost" | "spawn_failed"),
                "{step}: {record}"
            );
            assert_eq!(processes_of(&id), Vec::<i32>::new(), "{step}");
        }
    }
}

#[tokio::test]
async fn a_cancel_that_was_acknowledged_before_a_kill_is_carried_out_after_it() {
    let mut server = Server::start(&[]).await;
    server.register("slow", &["/bin/sleep"], json!({})).await;
    let id = server.submit("slow", "600").await;
    server.await_running("slow", &id).await;
    let path = format!("/api/agents/slow/executions/{id}/terminate");
    let (status, _) = server.post(&path, json!({})).await;
    assert_eq!(status.as_u16(), 202);
    server.kill();
    server.start_again().await;
    assert_eq!(server.await_end("slow", &id).await["status"], "cancelled");
    assert_eq!(processes_of(&id), Vec::<i32>::new());
}

#[tokio::test]
async fn a_run_that_ends_while_the_ledger_is_down_is_recorded_as_it_ended() {
    let mut server = Server::start(&[]).await;
    server
        .register("sh", &["/bin/sh", "-c", "echo up; sleep 1; echo down; exit 3", "sh"], json!({}))
        .await;
    let id = server.submit("sh", "x").await;
    server.await_output("sh", &id, "up").await;
    server.kill();
    let began = std::time::Instant::now();
    while !processes_of(&id).is_empty() {
        assert!(began.elapsed() < PATIENCE);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    server.start_again().await;
    let record = server.await_end("sh", &id).await;
    assert_eq!((&record["status"], &record["exit"]), (&json!("failed"), &json!({"code": 3})));
    assert_eq!(server.transcript("sh", &id).await.len(), 2);
}

async fn until(what: &str, mut happened: impl FnMut() -> bool) {
    let began = std::time::Instant::now();
    while !happened() {
        assert!(began.elapsed() < PATIENCE, "never: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// A server whose supervisor has its orders and stands still before it takes its claim: its process,
/// and its execution.
async fn with_a_late_supervisor(variables: &[(&str, &str)]) -> (Server, i32, String) {
    let pause = ("EXECUTION_LEDGER_PAUSE_AT", "supervisor.ordered");
    let server = Server::start(&[&[pause], variables].concat()).await;
    let (status, answer) = server.post("/api/agents", counter(&server)).await;
    assert!(status.is_success(), "{answer}");
    let id = server.submit("counter", "3").await;
    let mut late = None;
    until("a supervisor stands still", || {
        let ours = supervised(server.data_dir()).into_iter().find(|(_, run)| *run == id);
        late = ours.map(|(pid, _)| pid).filter(|pid| state_of(*pid) == Some('T'));
        late.is_some()
    })
    .await;
    (server, late.expect("it was found"), id)
}

/// It goes on, and does nothing.
async fn assert_comes_too_late(server: &Server, late: i32, id: &str) {
    let before = server.execution("counter", id).await;
    let pid = nix::unistd::Pid::from_raw(late);
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGCONT).expect("it stands still");
    until("it is gone", || matches!(state_of(late), None | Some('Z'))).await;
    assert!(!server.work_dir().join("starts").join(id).exists(), "it was started");
    assert_eq!(processes_of(id), Vec::<i32>::new());
    assert_eq!(server.execution("counter", id).await["events"], before["events"]);
}

#[tokio::test]
async fn a_supervisor_that_comes_late_does_not_begin_what_was_cancelled_before_it_began() {
    for kill_again in [false, true] {
        let fail = ("EXECUTION_LEDGER_FAIL_AT", "manager.before_signal");
        let (mut server, late, id) = with_a_late_supervisor(&[fail]).await;
        // The wish is in the log when the ledger dies, and its supervisor has not heard of it.
        server.post(&format!("/api/agents/counter/executions/{id}/terminate"), json!({})).await;
        server.await_exit().await;
        if kill_again {
            // Between giving the claim up and recording it.
            server.start_again_unready(&[("EXECUTION_LEDGER_FAIL_AT", "manager.sealed")]);
            server.await_exit().await;
        }
        server.start_again_with(&[]).await;
        assert_eq!(server.await_end("counter", &id).await["status"], "cancelled");
        assert_comes_too_late(&server, late, &id).await;
    }
}

#[tokio::test]
async fn a_supervisor_that_comes_late_does_not_begin_what_could_not_be_started_again() {
    let (mut server, late, id) = with_a_late_supervisor(&[]).await;
    let settings = json!({"name": "counter", "runtime": "codex"});
    let request = server.request(reqwest::Method::PUT, "/api/agents/counter").json(&settings);
    let answer = request.send().await.expect("an answer");
    assert!(answer.status().is_success(), "{}", answer.text().await.unwrap_or_default());
    server.kill();
    server.start_again_with(&[]).await;
    let record = server.await_end("counter", &id).await;
    assert_eq!(record["error"]["code"], "spawn_failed", "{record}");
    assert_comes_too_late(&server, late, &id).await;
}
