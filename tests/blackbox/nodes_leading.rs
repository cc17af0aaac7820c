//! What is done once, over a change of the node that does it: a leader is killed with a message on its way,
//! with money on its way, and before a time of schedules; or between two steps of one decision.

use std::collections::BTreeSet;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use execution_ledger_domain::Timestamp;
use nix::sys::signal::Signal;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::nodes::{Cluster, await_leads, signal};
use crate::paid::shop::{PRICE, PURSE, Shop, payment_in};
use crate::paid::stage::Payer;
use crate::support::{PATIENCE, Server, is_ended, state_of};
use crate::webhooks::{ALLOWED, Came, Receiver, SILENT, registered};

/// How long what is sold waits for the facilitator: longer than the leader lives.
const SETTLE_TIMEOUT_S: u64 = 300;
/// How long before a minute all is begun with which the leader dies.
const BEGUN_BEFORE: Duration = Duration::from_secs(12);
/// How long before a minute the leader dies: less than the others take to know.
const DEAD_BEFORE: Duration = Duration::from_secs(1);
/// Longest that it may take until another leads.
const TAKEN_OVER_WITHIN: Duration = Duration::from_secs(30);
/// Between two looks.
const LOOK: Duration = Duration::from_millis(50);

/// Waits until so long before the next minute to which there is as much time; answers that minute.
async fn before_a_minute(long: Duration) -> Timestamp {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    let minute = Duration::from_secs((now + long).as_secs() / 60 * 60 + 60);
    tokio::time::sleep(minute.saturating_sub(now + long)).await;
    Timestamp::from_micros(i64::try_from(minute.as_micros()).expect("a time"))
}

/// Waits for an answer that is as it should be.
async fn await_answer(node: &Server, path: &str, is: impl Fn(&Value) -> bool) -> Value {
    let began = Instant::now();
    loop {
        let (status, told) = node.get(path).await;
        if status == StatusCode::OK && is(&told) {
            return told;
        }
        assert!(began.elapsed() < PATIENCE, "{path}: {told}\n{}", node.log());
        tokio::time::sleep(LOOK).await;
    }
}

async fn every_minute(node: &Server, catch_up: &str) -> String {
    let body = json!({
        "agent_name": "demo", "message": "hello", "cron": "* * * * *", "catch_up": catch_up,
    });
    let (status, made) = node.post("/api/schedules", body).await;
    assert_eq!(status, StatusCode::CREATED, "{made}");
    made["schedule_id"].as_str().expect("an id").to_owned()
}

/// The ticks of a schedule by now; none is decided twice, and nothing runs that it did not fire, or
/// more than once.
async fn ticks_once(node: &Server, schedule: &str) -> Vec<Value> {
    let (_, list) = node.get("/api/executions?triggered_by=schedule&limit=200").await;
    let ran: Vec<Value> = list["executions"].as_array().expect("executions").clone();
    let (_, told) = node.get(&format!("/api/schedules/{schedule}/ticks?limit=100")).await;
    let ticks = told["ticks"].as_array().expect("ticks").clone();
    let mut decided = BTreeSet::new();
    for tick in &ticks {
        assert_eq!(tick["count"], 1, "the leader was not away for two minutes: {tick}");
        assert!(decided.insert(tick["tick"].to_string()), "twice: {ticks:?}");
    }
    for run in ran.iter().filter(|run| run["schedule_id"] == schedule) {
        let id = &run["execution_id"];
        assert_eq!(ticks.iter().filter(|tick| tick["execution_id"] == *id).count(), 1, "{run}");
        let record = node.execution("demo", id.as_str().expect("an id")).await;
        assert!(starts(&record) <= 1, "{record}");
    }
    ticks
}

fn starts(record: &Value) -> usize {
    let events = record["events"].as_array().expect("events");
    events.iter().filter(|event| event["type"] == "execution.running").count()
}

/// The tick of that minute was decided by the rule for what was missed.
async fn assert_caught_up(node: &Server, (schedule, catch_up): (&str, &str), minute: Timestamp) {
    let path = format!("/api/schedules/{schedule}/ticks?limit=100");
    let of_minute = |told: &Value| {
        let ticks = told["ticks"].as_array()?;
        ticks.iter().find(|tick| tick["tick"] == json!(minute)).cloned()
    };
    let told = await_answer(node, &path, |told| of_minute(told).is_some()).await;
    let tick = of_minute(&told).expect("it was there");
    if catch_up == "none" {
        assert_eq!((&tick["decision"], &tick["reason"]), (&json!("skipped"), &json!("missed")));
    } else {
        assert_eq!((&tick["decision"], &tick["reason"]), (&json!("fired"), &json!("catch_up")));
        let execution = tick["execution_id"].as_str().expect("an execution");
        let record = node.await_end("demo", execution).await;
        assert_eq!(record["status"], "completed", "{record}");
    }
    let ticks = ticks_once(node, schedule).await;
    assert!(ticks.iter().any(|tick| tick["tick"] == json!(minute)), "{ticks:?}");
}

/// The next message that is such; others may come before it.
async fn next_that(receiver: &mut Receiver, is: impl Fn(&Came) -> bool) -> Came {
    let began = Instant::now();
    loop {
        let came = receiver.next().await;
        if is(&came) {
            return came;
        }
        assert!(began.elapsed() < PATIENCE, "it does not come, but {}", came.body);
    }
}

/// The message that was on its way comes again, the same, and is taken.
async fn assert_told_again(node: &Server, receiver: &mut Receiver, webhook: &str, held: &Came) {
    let id = held.headers["webhook-id"].clone();
    let again = next_that(receiver, |came| came.headers["webhook-id"] == id).await;
    assert_eq!(again.body, held.body);
    let path = format!("/api/webhooks/{webhook}/deliveries?state=delivered&limit=100");
    let of_message = |told: &Value| {
        let taken = told["deliveries"].as_array().expect("messages");
        taken.iter().filter(|message| message["message_id"] == id.as_str()).count()
    };
    let told = await_answer(node, &path, |told| of_message(told) > 0).await;
    assert_eq!(of_message(&told), 1, "{told}");
}

async fn assert_sold_once(shop: &Shop, payer: &Payer, payment: &str) {
    let execution = shop.assert_sold_once(payer, payment).await;
    assert_eq!(shop.stage.balance(&payer.address).await, PURSE - PRICE);
    let record = shop.record(payment).await.expect("a record");
    let facts = shop.facts_of(&record).await;
    assert_eq!(facts, ["verified", "settlement_requested", "settlement_unknown", "settled"]);
    let again = shop.show(payment, "Say hello").await;
    assert_eq!(again["body"]["execution_id"], execution["execution_id"], "{again}");
    assert_eq!(shop.stage.balance(&payer.address).await, PURSE - PRICE, "nothing more is taken");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tick_a_payment_and_a_message_are_done_once_although_their_leader_is_killed() {
    let mut receiver = Receiver::listen().await;
    let mut cluster = Cluster::new();
    let mut shop = Shop::open_patient(SETTLE_TIMEOUT_S, async |sold| {
        cluster.add(&[sold, ALLOWED]).await;
        await_leads(&cluster.nodes[0]).await;
        cluster.add(&[sold, ALLOWED]).await;
        cluster.nodes.remove(1)
    })
    .await;
    let payer = shop.payer().await;
    let mut schedules = Vec::new();
    for catch_up in ["one", "all", "none"] {
        let id = every_minute(&shop.server, catch_up).await;
        // Its next times are told by a node that does not decide them as well.
        let path = format!("/api/schedules/{id}");
        await_answer(&shop.server, &path, |told| told["upcoming"][0]["at"].is_string()).await;
        schedules.push((id, catch_up));
    }
    let (webhook, _) = registered(&shop.server, &receiver.url, "execution.completed");

    before_a_minute(BEGUN_BEFORE).await;
    receiver.status.store(SILENT, std::sync::atomic::Ordering::SeqCst);
    let run = shop.server.submit("demo", "hello").await;
    let held = next_that(&mut receiver, |came| came.body.contains(&run)).await;
    shop.facilitator.misbehave("settle", "then_hang").await;
    let offer = shop.offer().await;
    let made = json!({"key": payer.key, "accepted": offer["accepts"][0]});
    let payment = payment_in(&shop.stage.ask("forge", made).await);
    let (asked, minute) = tokio::join!(shop.show(&payment, "Say hello"), async {
        let began = Instant::now();
        while shop.stage.transactions_of(&payment).await.is_empty() {
            assert!(began.elapsed() < PATIENCE, "the money never moves");
            tokio::time::sleep(LOOK).await;
        }
        let minute = before_a_minute(DEAD_BEFORE).await;
        cluster.nodes[0].kill();
        minute
    });
    let died = Instant::now();
    assert_eq!(asked["status"], 503, "it died before it answered: {asked}");
    receiver.status.store(204, std::sync::atomic::Ordering::SeqCst);
    shop.facilitator.misbehave("settle", "none").await;

    await_leads(&shop.server).await;
    assert!(died.elapsed() < TAKEN_OVER_WITHIN, "{:?}", died.elapsed());
    assert_told_again(&shop.server, &mut receiver, &webhook, &held).await;
    assert_sold_once(&shop, &payer, &payment).await;
    for (id, catch_up) in &schedules {
        assert_caught_up(&shop.server, (id, catch_up), minute).await;
    }

    // It comes back, and follows.
    cluster.nodes[0].start_again().await;
    let follows = |told: &Value| {
        let node = &told["node"];
        node["leader"].is_string() && node["leader"] != node["node_id"]
    };
    await_answer(&cluster.nodes[0], "/readyz", follows).await;
    for (node, leads) in [(&shop.server, "1"), (&cluster.nodes[0], "0")] {
        let metrics = node.request(Method::GET, "/metrics").send().await.expect("an answer");
        let metrics = metrics.text().await.expect("text");
        let leads = format!("ledger_node_leads {leads}\n");
        for line in [&leads, "ledger_node_term_holds 1\n", "ledger_node_leader_known 1\n"] {
            assert!(metrics.contains(line), "{line} in {metrics}");
        }
    }
    shop.server.stop().await;
    cluster.assert_verified(&shop.server);
}

#[tokio::test]
async fn what_a_leader_fired_and_did_not_submit_is_submitted_once_by_the_next() {
    let mut cluster = Cluster::new();
    cluster.add(&[("EXECUTION_LEDGER_FAIL_AT", "scheduler.fired")]).await;
    await_leads(&cluster.nodes[0]).await;
    cluster.add(&[]).await;
    let [leader, next] = &mut cluster.nodes[..] else { panic!("two nodes") };
    let body = json!({"agent_name": "demo", "message": "hello", "cron": "0 9 * * MON"});
    let (status, made) = next.post("/api/schedules", body).await;
    assert_eq!(status, StatusCode::CREATED, "{made}");
    let id = made["schedule_id"].as_str().expect("an id");
    let path = format!("/api/schedules/{id}/trigger");
    let trigger = async || {
        let asked = next.request(Method::POST, &path).header("idempotency-key", "k");
        let answer = asked.json(&json!({})).send().await.expect("an answer");
        (answer.status(), answer.json::<Value>().await.expect("JSON"))
    };
    let (status, told) = trigger().await;
    assert_eq!(
        (status, &told["code"]),
        (StatusCode::SERVICE_UNAVAILABLE, &json!("node_unreachable"))
    );
    leader.await_exit().await;

    await_leads(next).await;
    let [tick] = &ticks_once(next, id).await[..] else { panic!("one tick") };
    let execution = tick["execution_id"].as_str().expect("an execution");
    let record = next.await_end("demo", execution).await;
    assert_eq!((&record["status"], starts(&record)), (&json!("completed"), 1));
    let (status, again) = trigger().await;
    assert_eq!(status, StatusCode::ACCEPTED, "{again}");
    assert_eq!(again["execution_id"], execution, "the same request is answered the same");
    assert_eq!(ticks_once(next, id).await.len(), 1);
}

/// Registers an agent with one slot, whose runs say when they begin and end.
async fn register_telling(cluster: &Cluster, node: usize, agent: &str) {
    let log = cluster.folder.path().join("runs.log");
    let script = format!(
        "say() {{ echo \"$1 {agent} $EXECUTION_LEDGER_EXECUTION_ID\" >> {}; }}; \
         trap 'say end' EXIT; trap 'exit 1' INT TERM; say begin; sleep 0.5",
        log.display()
    );
    let settings = json!({"max_parallel_tasks": 1, "grace_s": 2});
    cluster.nodes[node].register(agent, &["/bin/sh", "-c", &script], settings).await;
}

#[tokio::test]
async fn a_claim_that_no_supervisor_had_begun_is_given_up_by_its_node_when_that_is_back() {
    let mut cluster = Cluster::new();
    cluster.add(&[("EXECUTION_LEDGER_FAIL_AT", "manager.claimed")]).await;
    await_leads(&cluster.nodes[0]).await;
    register_telling(&cluster, 0, "ada").await;
    let body = json!({"message": "work", "async_mode": true});
    // Whether it was answered before it died does not matter.
    cluster.nodes[0].post("/api/agents/ada/task", body).await;
    cluster.nodes[0].await_exit().await;

    let environment = cluster.environment(&[]);
    let node = &mut cluster.nodes[0];
    node.start_again_with(&environment).await;
    let ended = |told: &Value| is_ended(&told["executions"][0]);
    let told = await_answer(node, "/api/executions?agent=ada", ended).await;
    let id = told["executions"][0]["execution_id"].as_str().expect("an id");
    let record = node.execution("ada", id).await;
    assert_eq!(record["error"]["code"], "spawn_failed", "{record}");
    assert_eq!(starts(&record), 1, "{record}");
    assert!(!cluster.folder.path().join("runs.log").exists(), "nothing of it ran");
}

#[tokio::test]
async fn a_node_that_sleeps_between_its_slot_and_its_claim_runs_nothing_that_another_took_over() {
    let mut cluster = Cluster::new();
    cluster.add(&[("EXECUTION_LEDGER_PAUSE_AT", "manager.slot_taken")]).await;
    await_leads(&cluster.nodes[0]).await;
    register_telling(&cluster, 0, "ada").await;
    let hosts = |told: &Value| {
        // Its own, that of demo, and the leader's.
        told["nodes"][0]["leases"] == 3
    };
    await_answer(&cluster.nodes[0], "/api/nodes", hosts).await;
    cluster.add(&[]).await;
    let body = json!({"message": "work", "async_mode": true});
    let asked = cluster.nodes[0].request(Method::POST, "/api/agents/ada/task").json(&body);
    // It may sleep before it answers.
    let asked = tokio::spawn(asked.send());
    let pid = i32::try_from(cluster.nodes[0].pid()).expect("a pid");
    let began = Instant::now();
    while state_of(pid) != Some('T') {
        assert!(began.elapsed() < PATIENCE, "it never takes a slot");
        tokio::time::sleep(LOOK).await;
    }

    await_leads(&cluster.nodes[1]).await;
    let first = |told: &Value| is_ended(&told["executions"][0]);
    let told = await_answer(&cluster.nodes[1], "/api/executions?agent=ada", first).await;
    let id = told["executions"][0]["execution_id"].as_str().expect("an id");
    let second = cluster.submit(1, "ada").await;
    signal(&cluster.nodes[0], Signal::SIGCONT);
    asked.await.expect("a task").expect("an answer");
    for id in [id, &second] {
        let record = cluster.nodes[1].await_end("ada", id).await;
        assert_eq!((&record["status"], starts(&record)), (&json!("completed"), 1), "{record}");
    }
    cluster.check_runs();
}
