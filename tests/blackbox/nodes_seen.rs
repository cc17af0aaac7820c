//! Three nodes as their users see them: what is done or goes on at one of them is so at every other.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::nodes::{Cluster, await_leads};
use crate::pages;
use crate::sessions::Events;
use crate::support::{PATIENCE, Server};

/// The agents: enough that a node which does not lead hosts some.
const AGENTS: [&str; 6] = ["ada", "bob", "cyd", "dan", "eve", "fay"];
/// Slots of each of them.
const SLOTS: usize = 2;
/// Between two looks.
const LOOK: Duration = Duration::from_millis(50);

/// Three nodes; the first leads, so that nothing waits for a leader.
async fn cluster() -> Cluster {
    let mut cluster = Cluster::new();
    cluster.add(&[]).await;
    await_leads(&cluster.nodes[0]).await;
    cluster.add(&[]).await;
    cluster.add(&[]).await;
    cluster
}

/// Registers agents that say hello and go on until the gate is open, and waits until a node that does
/// not lead hosts one of them; answers which node, and which agent.
async fn hosted_elsewhere(cluster: &Cluster) -> (usize, String) {
    let gate = cluster.folder.path().join("gate");
    let script = format!("echo hello; until [ -e {} ]; do sleep 0.05; done", gate.display());
    let settings = json!({"max_parallel_tasks": SLOTS});
    for agent in AGENTS {
        cluster.nodes[1].register(agent, &["/bin/sh", "-c", &script], settings.clone()).await;
    }
    let began = Instant::now();
    loop {
        let (_, told) = cluster.nodes[0].get("/api/nodes").await;
        let nodes = told["nodes"].as_array().expect("nodes");
        let held = |node: &Value| node["agents"].as_array().map_or(0, Vec::len);
        let other = nodes.iter().find(|node| {
            let ours = node["agents"].to_string();
            node["leader"] == false && AGENTS.iter().any(|agent| ours.contains(agent))
        });
        // All agents have a host, the one of the first start as well.
        if let Some(other) = other
            && nodes.iter().map(held).sum::<usize>() > AGENTS.len()
        {
            let place = cluster.nodes.iter().position(|node| other["url"] == node.url);
            let ours = other["agents"].to_string();
            let agent = AGENTS.iter().find(|agent| ours.contains(*agent)).expect("one of ours");
            return (place.expect("a node of ours"), (*agent).to_owned());
        }
        assert!(began.elapsed() < PATIENCE, "{told}\n{}", cluster.nodes[0].log());
        tokio::time::sleep(LOOK).await;
    }
}

async fn until(what: &str, node: &Server, is: impl AsyncFn() -> bool) {
    let began = Instant::now();
    while !is().await {
        assert!(began.elapsed() < PATIENCE, "not {what}\n{}", node.log());
        tokio::time::sleep(LOOK).await;
    }
}

fn archive(node: &Server, execution: &str) -> PathBuf {
    node.data_dir().join("transcripts").join(format!("{execution}.ndjson.zst"))
}

/// Why a node does not answer a transcript.
async fn refused(node: &Server, agent: &str, id: &str) -> Value {
    node.get(&format!("/api/agents/{agent}/executions/{id}/log")).await.1["code"].clone()
}

async fn erase(node: &Server, id: &str) -> Value {
    let body = json!({"execution_id": id, "reason": "asked by its author"});
    let (status, answer) = node.post("/api/erase", body).await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    answer
}

#[tokio::test]
async fn what_is_erased_anywhere_is_gone_from_the_node_where_it_ran_also_if_that_is_down() {
    let mut cluster = cluster().await;
    let (host, agent) = hosted_elsewhere(&cluster).await;
    let third = 3 - host;
    std::fs::write(cluster.folder.path().join("gate"), "").expect("opened");
    let [first, second, kept] = [
        cluster.submit(third, &agent).await,
        cluster.submit(third, &agent).await,
        cluster.submit(third, &agent).await,
    ];
    for id in [&first, &second, &kept] {
        cluster.nodes[third].await_end(&agent, id).await;
        let there = archive(&cluster.nodes[host], id);
        until("packed", &cluster.nodes[host], async || there.exists()).await;
        assert!(!archive(&cluster.nodes[0], id).exists(), "it lies where it ran alone");
    }
    // The tools of agents read it from there as well.
    let call = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {
        "name": "get_execution_result", "arguments": {"execution_id": first, "include_log": true}}});
    let asked = cluster.nodes[third].request(Method::POST, "/mcp").json(&call);
    let asked = asked.header("accept", "application/json, text/event-stream");
    let asked = asked.header("mcp-protocol-version", "2025-11-25");
    let told: Value = asked.send().await.expect("an answer").json().await.expect("JSON");
    assert_eq!(told["result"]["structuredContent"]["log"]["lines"][0]["line"], "hello", "{told}");

    let done = erase(&cluster.nodes[third], &first).await;
    assert_eq!((&done["transcripts"], &done["transcripts_elsewhere"]), (&json!(1), &json!(1)));
    for node in &cluster.nodes {
        assert_eq!(refused(node, &agent, &first).await, "content_erased");
    }
    let there = archive(&cluster.nodes[host], &first);
    until("removed", &cluster.nodes[host], async || !there.exists()).await;

    // The node is down, and nobody is told anything but that it is erased.
    cluster.nodes[host].stop().await;
    // From the command line, in the folder of a node that is down as well.
    cluster.nodes[third].stop().await;
    let asked = ["erase", "--execution", &second, "--reason", "asked", "--yes", "--json"];
    let done = cluster.nodes[third].command_with(&asked, &cluster.environment(&[]));
    let said = String::from_utf8_lossy(&done.stderr);
    let done: Value = serde_json::from_slice(&done.stdout).unwrap_or_else(|_| panic!("{said}"));
    assert_eq!((&done["transcripts"], &done["transcripts_elsewhere"]), (&json!(1), &json!(1)));
    cluster.nodes[third].start_again().await;
    for node in [0, third] {
        assert_eq!(refused(&cluster.nodes[node], &agent, &second).await, "content_erased");
        let code = refused(&cluster.nodes[node], &agent, &kept).await;
        assert_eq!(code, "node_unreachable", "this one is only out of reach");
    }
    assert!(archive(&cluster.nodes[host], &second).exists(), "nobody could remove it");
    cluster.nodes[host].start_again().await;
    let there = archive(&cluster.nodes[host], &second);
    until("removed", &cluster.nodes[host], async || !there.exists()).await;
    assert_eq!(refused(&cluster.nodes[host], &agent, &second).await, "content_erased");
    let lines = cluster.nodes[host].transcript(&agent, &kept).await;
    assert_eq!(lines[0]["line"], "hello");

    cluster.nodes[host].stop().await;
    cluster.assert_verified(&cluster.nodes[host]);
}

#[tokio::test]
async fn who_follows_what_waits_is_sent_to_where_it_starts() {
    let cluster = cluster().await;
    let (host, agent) = hosted_elsewhere(&cluster).await;
    let third = 3 - host;
    let other = &cluster.nodes[third];
    let mut running = Vec::new();
    for _ in 0..SLOTS {
        let id = cluster.submit(third, &agent).await;
        other.await_running(&agent, &id).await;
        running.push(id);
    }
    let waiting = cluster.submit(third, &agent).await;
    let path = format!("/api/agents/{agent}/executions/{waiting}");
    let follow = async || {
        let answer = other.request(Method::GET, &format!("{path}/stream")).send().await;
        Events::of(answer.expect("an answer"))
    };
    let mut events = follow().await;
    let stop = format!("/api/agents/{agent}/executions/{}/terminate", running[0]);
    let (status, stopped) = other.post(&stop, json!({})).await;
    assert_eq!(status, StatusCode::ACCEPTED, "{stopped}");
    // It does not print here: who comes again is sent to where it does.
    events.next("close", |said| said["reason"] == "interrupted").await;
    follow().await.next("message", |line| line["line"] == "hello").await;
}

#[tokio::test]
async fn a_chat_is_followed_live_and_a_browser_is_signed_out_at_every_node() {
    let mut cluster = cluster().await;
    let (host, agent) = hosted_elsewhere(&cluster).await;
    let third = 3 - host;
    let other = &cluster.nodes[third];
    let (status, session) = other.post("/api/sessions", json!({"agent_name": agent})).await;
    assert_eq!(status, StatusCode::CREATED, "{session}");
    let session = session["session_id"].as_str().expect("an id").to_owned();
    let follow = async |node: usize| {
        let path = format!("/api/sessions/{session}/stream");
        let answer = cluster.nodes[node].request(Method::GET, &path).send().await;
        let answer = answer.expect("an answer");
        assert_eq!(answer.status(), StatusCode::OK);
        Events::of(answer)
    };
    let mut early = follow(third).await;
    let path = format!("/api/sessions/{session}/messages");
    let (status, turn) = other.post(&path, json!({"message": "hi", "async_mode": true})).await;
    assert_eq!(status, StatusCode::ACCEPTED, "{turn}");
    let turn = &turn["execution_id"];
    // It ends only once it was heard of everywhere, so what is heard is live.
    for (node, events) in
        [(third, &mut early), (0, &mut follow(0).await), (host, &mut follow(host).await)]
    {
        let said = events.next("output", |_| true).await;
        assert_eq!((&said["execution_id"], &said["text"]), (turn, &json!("hello")), "at {node}");
    }
    std::fs::write(cluster.folder.path().join("gate"), "").expect("opened");
    early.next("ended", |ended| &ended["execution"]["execution_id"] == turn).await;

    // A browser that goes by several nodes is let in by all, and by none once it has left.
    let client = reqwest::Client::builder().no_proxy().build().expect("a client");
    let in_by = client.post(format!("{}/api/sign-in", cluster.nodes[0].url));
    let answer = in_by.json(&json!({"key": cluster.nodes[0].key})).send().await.expect("an answer");
    let cookie = answer.headers()["set-cookie"].to_str().expect("text").to_owned();
    let cookie = cookie.split(';').next().expect("a cookie").to_owned();
    let me = async |node: &Server| {
        let asked = client.get(format!("{}/api/me", node.url)).header("cookie", &cookie);
        asked.send().await.expect("an answer").status()
    };
    for node in &cluster.nodes {
        assert_eq!(me(node).await, StatusCode::OK);
    }
    let url = &cluster.nodes[third].url;
    let out = client.post(format!("{url}/api/sign-out")).header("cookie", &cookie);
    let out = out.header("origin", url).send().await.expect("an answer");
    assert_eq!(out.status(), StatusCode::NO_CONTENT);
    assert_eq!(me(&cluster.nodes[third]).await, StatusCode::UNAUTHORIZED);
    for node in &cluster.nodes {
        until("out", node, async || me(node).await == StatusCode::UNAUTHORIZED).await;
    }
    let again = &mut cluster.nodes[third];
    again.kill();
    again.start_again().await;
    assert_eq!(me(again).await, StatusCode::UNAUTHORIZED, "it is known after a start as well");
}

#[tokio::test]
async fn a_browser_sees_the_nodes_and_what_goes_on_at_another() {
    let cluster = cluster().await;
    let (host, _) = hosted_elsewhere(&cluster).await;
    pages::told("nodes.mjs", &cluster.nodes[3 - host]).await;
}
