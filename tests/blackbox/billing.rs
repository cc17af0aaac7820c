//! Billing: a consumer that reads the feed while runs end and the server is killed and started again
//! has each fact exactly once.

use std::collections::BTreeMap;

use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::support::Server;

/// Kills of the server while the consumer reads.
const KILLS: usize = 5;
/// Tasks between two of them.
const TASKS: usize = 6;

/// Who reads the feed: it keeps the rows and where to go on, nothing else.
#[derive(Default)]
struct Consumer {
    rows: Vec<Value>,
    resume_after: Option<String>,
}

impl Consumer {
    /// Reads a few rows; whether more stand there already.
    async fn read(&mut self, server: &Server, more: &str) -> bool {
        let after = self.resume_after.as_ref();
        let after = after.map_or_else(String::new, |position| format!("&after={position}"));
        let (status, page) = server.get(&format!("/api/costs/feed?limit=2{after}{more}")).await;
        assert_eq!(status, StatusCode::OK, "{page}");
        self.rows.extend(page["rows"].as_array().expect("rows").iter().cloned());
        self.resume_after = page["resume_after"].as_str().map(str::to_owned);
        !page["next_cursor"].is_null()
    }
}

#[tokio::test]
async fn a_consumer_of_the_feed_gets_each_run_once_over_kills_of_the_server() {
    let mut server = Server::start(&[]).await;
    server.register("silent", &["/bin/true"], json!({"max_parallel_tasks": 4})).await;
    let mut consumer = Consumer::default();
    let mut submitted = BTreeMap::new();
    for _ in 0..KILLS {
        for task in 0..TASKS {
            let agent = if task % 2 == 0 { "demo" } else { "silent" };
            submitted.insert(server.submit(agent, "count").await, agent);
            consumer.read(&server, "").await;
        }
        server.kill();
        server.start_again().await;
    }
    let mut position = String::new();
    for (id, agent) in &submitted {
        let record = server.await_end(agent, id).await;
        let events = record["events"].as_array().expect("events");
        let last = events.last().expect("an ending")["position"].as_str().expect("a position");
        if number(last) > number(&position) {
            last.clone_into(&mut position);
        }
    }
    while consumer.read(&server, &format!("&wait_for={position}")).await {}

    let rows = &consumer.rows;
    assert!(rows.is_sorted_by_key(|row| number(row["position"].as_str().expect("a position"))));
    let mut told = BTreeMap::new();
    for row in rows {
        assert_eq!(row["kind"], "run_cost", "{row}");
        let id = row["execution_id"].as_str().expect("an id").to_owned();
        let agent = row["agent"].as_str().expect("a name").to_owned();
        assert_eq!(row["amount"].is_null(), agent == "silent", "{row}");
        assert!(told.insert(id, agent).is_none(), "twice: {row}");
    }
    let expected: BTreeMap<_, _> =
        submitted.iter().map(|(id, agent)| (id.clone(), (*agent).to_owned())).collect();
    assert_eq!(told, expected);

    let (_, again) = server.get("/api/costs/feed").await;
    assert_eq!(&again["rows"], &json!(rows), "the rows are facts");
    let (_, costs) = server.get("/api/costs").await;
    let cost: f64 = rows.iter().filter_map(|row| row["amount"].as_f64()).sum();
    assert!((costs["total"]["cost_usd"].as_f64().expect("a sum") - cost).abs() < 1e-9, "{costs}");
    assert_eq!(costs["total"]["unknown"], KILLS * TASKS / 2);

    from_the_command_line(&server, rows);
}

fn from_the_command_line(server: &Server, rows: &[Value]) {
    let said = |arguments: &[&str]| {
        let output = server.command(arguments);
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{arguments:?}: {error}");
        (String::from_utf8(output.stdout).expect("UTF-8"), error)
    };
    let (lines, told) = said(&["costs", "feed"]);
    let parsed: Vec<Value> =
        lines.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(parsed, rows);
    let resume = told.trim().rsplit(' ').next().expect("a position").to_owned();
    assert_eq!(said(&["costs", "feed", "--after", &resume]).0, "");
    let third = rows[2]["position"].as_str().expect("a position");
    let (table, _) = said(&["costs", "feed", "--after", third, "--format", "csv"]);
    assert_eq!(table.matches("\r\n").count(), rows.len() - 3 + 1, "with a head: {table}");
    let (events, _) = said(&["costs", "feed", "--format", "cloudevents"]);
    let first: Value = serde_json::from_str(events.lines().next().expect("a line")).expect("JSON");
    assert_eq!((&first["id"], &first["data"]), (&rows[0]["event_id"], &rows[0]));
    let output = server.command(&["costs", "feed", "--after", "another-7"]);
    assert!(!output.status.success());
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(error.contains("log"), "{error}");
}

fn number(position: &str) -> u64 {
    position.rsplit('-').next().and_then(|number| number.parse().ok()).unwrap_or(0)
}
