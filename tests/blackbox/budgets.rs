//! Budgets: refusing, telling, and through a kill. What the simulated agent says that it costs counts
//! here as it does in all sums of costs.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::support::{PATIENCE, Server};

/// What the simulated agent says that a run without wishes costs.
const DEMO_USD: f64 = 0.0084;

async fn events(server: &Server, type_name: &str) -> Vec<Value> {
    let (_, page) = server.get(&format!("/api/events?type={type_name}&limit=200")).await;
    let events = page["events"].as_array().expect("events").clone();
    events.into_iter().map(|event| event["data"].clone()).collect()
}

/// The facts of a type, once there are so many.
async fn recorded(server: &Server, type_name: &str, count: usize) -> Vec<Value> {
    let all = async {
        loop {
            let facts = events(server, type_name).await;
            if facts.len() >= count {
                return facts;
            }
        }
    };
    tokio::time::timeout(PATIENCE, all).await.expect("recorded in time")
}

async fn ask(server: &Server, agent: &str, body: Value) -> (StatusCode, Value) {
    server.post(&format!("/api/agents/{agent}/task"), body).await
}

fn set(server: &Server, arguments: &[&str]) -> Value {
    let done = server.command(&[&["budgets", "set"], arguments, &["--json"]].concat());
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    serde_json::from_slice(&done.stdout).expect("JSON")
}

fn shown(server: &Server, arguments: &[&str]) -> Value {
    let done = server.command(&[&["budgets"], arguments, &["--json"]].concat());
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    serde_json::from_slice(&done.stdout).expect("JSON")
}

#[tokio::test]
async fn a_day_is_spent_told_and_over_and_the_budget_is_raised_and_lifted() {
    let server = Server::start(&[]).await;
    let budget = set(&server, &["global", "--day", "0.012", "--execution", "1"]);
    assert_eq!(
        (&budget["day"]["limit_usd"], &budget["day"]["percent"]),
        (&json!(0.012), &json!(0))
    );
    server.command(&["budgets", "lift", "global"]);
    set(&server, &["global", "--day", "0.012"]);
    // Nobody says what these may cost, so they keep nothing and all of them start.
    let runs = [server.submit("demo", "one").await, server.submit("demo", "two").await];
    for id in &runs {
        let ended = server.await_end("demo", id).await;
        assert_eq!(ended["cost_usd"], json!(DEMO_USD), "{ended}");
    }
    // What an ending told of costs is known to admission a moment after it is answered.
    let (status, refused) = loop {
        let answer = ask(&server, "demo", json!({"message": "three", "async_mode": true})).await;
        if answer.0 != StatusCode::ACCEPTED {
            break answer;
        }
        server.await_end("demo", answer.1["execution_id"].as_str().expect("an id")).await;
    };
    assert_eq!((status, &refused["code"]), (StatusCode::FORBIDDEN, &json!("budget_exceeded")));
    assert_eq!((&refused["budget"], &refused["period"]), (&json!("global"), &json!("day")));
    let hint = refused["hint"].as_str().expect("a hint");
    assert!(hint.contains("raise the budget"), "{hint}");
    let told = server.command(&["run", "demo", "four"]);
    let told = String::from_utf8_lossy(&told.stderr).into_owned();
    assert!(told.contains("budget global") && told.contains("raise the budget"), "{told}");
    let first = recorded(&server, "budget.refused", 1).await.remove(0);
    assert_eq!((&first["count"], &first["agent"]), (&json!(1), &json!("demo")), "{first}");

    let table = server.command(&["budgets", "--table"]);
    let table = String::from_utf8_lossy(&table.stdout).into_owned();
    assert!(table.contains("global") && table.contains("██████████"), "{table}");
    let parts = recorded(&server, "budget.threshold_reached", 3).await;
    let mut parts: Vec<_> = parts.iter().map(|part| part["percent"].as_u64()).collect();
    parts.sort_unstable();
    assert_eq!(parts, [Some(50), Some(80), Some(100)], "each once");

    set(&server, &["global", "--day", "5"]);
    let id = server.submit("demo", "five").await;
    server.await_end("demo", &id).await;
    let lifted = server.command(&["budgets", "lift", "global", "--table"]);
    assert_eq!(String::from_utf8_lossy(&lifted.stdout).trim(), "global is lifted");
    assert_eq!(shown(&server, &[])["budgets"], json!([]));
    let again = server.command(&["budgets", "lift", "global"]);
    assert_eq!(again.status.code(), Some(4), "{}", String::from_utf8_lossy(&again.stderr));
}

#[tokio::test]
async fn what_runs_keeps_its_most_through_a_kill_and_gives_it_back_at_its_end() {
    let mut server = Server::start(&[]).await;
    set(&server, &["agent-demo", "--day", "1.5"]);
    let body = json!({"message": "sleep 600", "async_mode": true, "max_cost_usd": 1});
    let (_, first) = ask(&server, "demo", body.clone()).await;
    let id = first["execution_id"].as_str().expect("an id").to_owned();
    server.await_running("demo", &id).await;
    server.kill();
    server.start_again().await;
    assert_eq!(shown(&server, &["show", "agent-demo"])["day"]["reserved_usd"], json!(1.0));
    let (status, refused) = ask(&server, "demo", body).await;
    assert_eq!((status, &refused["code"]), (StatusCode::FORBIDDEN, &json!("budget_exceeded")));
    assert_eq!(refused["reserved_usd"], json!(1.0));
    let terminate = format!("/api/agents/demo/executions/{id}/terminate");
    server.post(&terminate, json!({})).await;
    let ended = server.await_end("demo", &id).await;
    let cost = ended["cost_usd"].as_f64().expect("the simulated agent says what it cost");
    let position = ended["events"].as_array().and_then(|events| events.last()).expect("an event");
    let at = position["position"].as_str().expect("a position");
    let (_, budget) = server.get(&format!("/api/budgets/agent-demo?wait_for={at}")).await;
    let day = &budget["day"];
    assert_eq!((day["committed_usd"].as_f64(), &day["reserved_usd"]), (Some(cost), &json!(0.0)));
    server.kill();
    server.start_again().await;
    assert_eq!(shown(&server, &["show", "agent-demo"])["day"], *day, "the same after a restart");
    let (status, _) =
        ask(&server, "demo", json!({"message": "x", "async_mode": true, "max_cost_usd": 1})).await;
    assert_eq!(status, StatusCode::ACCEPTED);
}

#[tokio::test]
async fn a_part_that_is_reached_is_told_once_although_the_ledger_dies_before_it_tells() {
    let mut server = Server::start(&[]).await;
    set(&server, &["agent-demo", "--day", "1"]);
    server.stop().await;
    server.start_again_with(&[("EXECUTION_LEDGER_FAIL_AT", "budgets.before_threshold")]).await;
    let body = json!({"message": "sleep 600", "async_mode": true, "max_cost_usd": 0.6});
    // It may die before it answers.
    ask(&server, "demo", body).await;
    server.await_exit().await;
    server.start_again_with(&[]).await;
    let told = recorded(&server, "budget.threshold_reached", 1).await;
    assert_eq!(
        (&told[0]["percent"], &told[0]["reserved_nano_usd"]),
        (&json!(50), &json!(600_000_000))
    );
    server.kill();
    server.start_again().await;
    // Whatever else is told, it comes after what would be told again.
    set(&server, &["agent-demo", "--day", "0.7"]);
    let told = recorded(&server, "budget.threshold_reached", 3).await;
    let parts: Vec<_> =
        told.iter().map(|part| (&part["percent"], &part["limit_nano_usd"])).collect();
    assert_eq!(parts[0], (&json!(50), &json!(1_000_000_000)));
    assert!(parts[1..].iter().all(|(_, limit)| *limit == &json!(700_000_000)), "{parts:?}");
}

#[tokio::test]
async fn an_attempt_that_would_follow_by_itself_is_refused_and_that_is_recorded() {
    let server = Server::start(&[]).await;
    let settings = json!({"max_retries": 1, "retry_backoff_s": 0});
    server.register("gone", &["/nonexistent/program"], settings).await;
    server.post("/api/agents/gone/pause", json!({})).await;
    let id = server.submit("gone", "x").await;
    set(&server, &["user-admin", "--month", "0"]);
    server.post("/api/agents/gone/resume", json!({})).await;
    assert_eq!(server.await_end("gone", &id).await["error"]["code"], "spawn_failed");
    let refused = recorded(&server, "budget.refused", 1).await.remove(0);
    assert_eq!(refused["requested_by"]["id"], json!("process_manager"), "{refused}");
    assert_eq!((&refused["period"], &refused["user"]), (&json!("month"), &json!("admin")));
    assert_eq!(server.execution("gone", &id).await["retries"], json!([]));
}

#[tokio::test]
async fn a_tick_that_a_budget_refuses_is_skipped_with_that_reason() {
    let server = Server::start(&[]).await;
    set(&server, &["agent-demo", "--day", "0"]);
    let every_minute = json!({"agent_name": "demo", "message": "x", "cron": "* * * * *"});
    let (status, made) = server.post("/api/schedules", every_minute).await;
    assert_eq!(status, StatusCode::CREATED, "{made}");
    let id = made["schedule_id"].as_str().expect("an id");
    let (status, refused) = server.post(&format!("/api/schedules/{id}/trigger"), json!({})).await;
    assert_eq!((status, &refused["code"]), (StatusCode::FORBIDDEN, &json!("budget_exceeded")));
    let path = format!("/api/schedules/{id}");
    let gone = server.request(Method::DELETE, &path).send().await.expect("an answer");
    assert_eq!(gone.status(), StatusCode::OK);
}
