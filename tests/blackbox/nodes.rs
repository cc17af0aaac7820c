//! Nodes on one log, and three of them: one is killed, one is paused for longer than its lease, one is
//! cut off.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use crate::support::{PATIENCE, PROGRAM, Server};

/// The nodes' lease, in seconds: as short as a busy machine bears.
const LEASE_S: u64 = 4;
/// Slots of each agent.
const SLOTS: usize = 2;
/// The agents: enough that every node hosts some.
const AGENTS: [&str; 4] = ["ada", "bob", "cyd", "dan"];
/// Between two looks.
const LOOK: Duration = Duration::from_millis(100);

/// An open event store in a process of its own.
pub struct OpenStore(Child, String);

impl OpenStore {
    fn start() -> Self {
        let mut child = Command::new(PROGRAM)
            .args(["eventstore-open", "--listen", "127.0.0.1:0"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let mut told = String::new();
        let output = child.stdout.as_mut().expect("its output");
        BufReader::new(output).read_line(&mut told).expect("a line");
        let address = told.trim().rsplit(' ').next().expect("an address").to_owned();
        Self(child, address)
    }
}

impl Drop for OpenStore {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// Stands between a node and the log; cut, it lets nothing pass and nobody in.
struct Proxy {
    address: String,
    whole: watch::Sender<bool>,
}

impl Proxy {
    async fn to(upstream: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address").to_string();
        let (whole, state) = watch::channel(true);
        tokio::spawn(async move {
            while let Ok((mut client, _)) = listener.accept().await {
                let (mut state, upstream) = (state.clone(), upstream.clone());
                if !*state.borrow() {
                    continue;
                }
                tokio::spawn(async move {
                    let Ok(mut server) = TcpStream::connect(upstream).await else { return };
                    tokio::select! {
                        _ = tokio::io::copy_bidirectional(&mut client, &mut server) => {}
                        _ = state.wait_for(|whole| !whole) => {}
                    }
                });
            }
        });
        Self { address, whole }
    }
}

/// Nodes on one log.
pub struct Cluster {
    pub nodes: Vec<Server>,
    pub folder: tempfile::TempDir,
    store: OpenStore,
}

impl Cluster {
    /// Of no nodes yet.
    pub fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let secret = folder.path().join("cluster.secret");
        std::fs::write(&secret, "0123456789abcdef0123456789abcdef\n").expect("written");
        let owner = std::os::unix::fs::PermissionsExt::from_mode(0o600);
        std::fs::set_permissions(&secret, owner).expect("closed");
        Self { nodes: Vec::new(), folder, store: OpenStore::start() }
    }

    fn secret(&self) -> PathBuf {
        self.folder.path().join("cluster.secret")
    }

    /// The variables of a node that reaches the log itself, and these beside.
    pub fn environment<'a>(&self, beside: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
        [&environment(&self.store.1, &self.secret())[..], beside].concat()
    }

    /// One more node, with these variables beside.
    pub async fn add(&mut self, beside: &[(&str, &str)]) {
        self.nodes.push(Server::start(&self.environment(beside)).await);
    }

    /// Three that live; the last one reaches the log by the proxy.
    async fn of_three() -> (Self, Proxy) {
        let mut cluster = Self::new();
        let proxy = Proxy::to(cluster.store.1.clone()).await;
        for _ in 0..2 {
            cluster.add(&[]).await;
        }
        let behind = environment(&proxy.address, &cluster.secret());
        cluster.nodes.push(Server::start(&behind).await);
        cluster
            .await_nodes("all live", |nodes| nodes.iter().filter(|n| lives(n)).count() == 3)
            .await;
        (cluster, proxy)
    }

    /// What the nodes say of each other, by the first that answers.
    async fn told(&self) -> Vec<Value> {
        for node in &self.nodes {
            let asked = node.request(Method::GET, "/api/nodes").timeout(Duration::from_secs(1));
            let Ok(answer) = asked.send().await else { continue };
            let told: Value = answer.json().await.expect("JSON");
            return told["nodes"].as_array().expect("nodes").clone();
        }
        Vec::new()
    }

    async fn await_nodes(&self, what: &str, condition: impl Fn(&[Value]) -> bool) -> Vec<Value> {
        let began = Instant::now();
        loop {
            let told = self.told().await;
            if condition(&told) {
                return told;
            }
            let logs: Vec<_> = self.nodes.iter().map(Server::log).collect();
            assert!(began.elapsed() < PATIENCE, "not {what}: {told:#?}\n{}", logs.join("\n----\n"));
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Which node leads, once one does that is none of these.
    pub async fn leader(&self, but: Option<usize>) -> usize {
        let of = |told: &[Value]| {
            let leads = told.iter().find(|node| node["leader"] == true)?;
            let url = leads["url"].as_str()?;
            self.nodes.iter().position(|node| node.url == url).filter(|found| Some(*found) != but)
        };
        let told = self.await_nodes("led", |told| of(told).is_some()).await;
        of(&told).expect("a leader")
    }

    /// Submits through a node; again while nobody leads.
    pub async fn submit(&self, through: usize, agent: &str) -> String {
        let began = Instant::now();
        loop {
            let body = json!({"message": "work", "async_mode": true});
            let path = format!("/api/agents/{agent}/task");
            let (status, answer) = self.nodes[through].post(&path, body).await;
            if status == StatusCode::ACCEPTED {
                return answer["execution_id"].as_str().expect("an id").to_owned();
            }
            assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{answer}");
            assert!(began.elapsed() < PATIENCE, "{answer}");
            tokio::time::sleep(LOOK).await;
        }
    }

    async fn submit_to_all(&self, through: &[usize], each: usize) -> Vec<(String, String)> {
        let mut ids = Vec::new();
        for number in 0..each {
            for agent in AGENTS {
                let through = through[(number + ids.len()) % through.len()];
                ids.push((agent.to_owned(), self.submit(through, agent).await));
            }
        }
        ids
    }

    /// Waits until each has ended as it may.
    async fn await_ends(&self, through: usize, ids: &[(String, String)]) -> usize {
        let mut lost = 0;
        for (agent, id) in ids {
            let record = self.nodes[through].await_end(agent, id).await;
            if record["status"] != "completed" {
                let code = record["error"]["code"].as_str().unwrap_or_default();
                assert!(matches!(code, "node_lost" | "spawn_failed"), "{record}");
                lost += 1;
            }
        }
        lost
    }

    /// The log is whole, and so are the read models of this node, which must not run.
    pub fn assert_verified(&self, node: &Server) {
        let verified = node.command_with(&["verify"], &self.environment(&[]));
        let said = String::from_utf8_lossy(&verified.stderr).into_owned();
        let told = String::from_utf8_lossy(&verified.stdout).into_owned();
        let report: Value = serde_json::from_str(&told).unwrap_or_else(|_| panic!("{said}{told}"));
        assert_eq!(report["problems"], serde_json::json!([]), "{told}");
        assert_eq!(report["problems_untold"], 0, "{told}");
    }

    /// From what the runs themselves wrote: no agent ever had more of them than slots, and no execution
    /// ran twice.
    pub fn check_runs(&self) {
        let text = std::fs::read_to_string(self.folder.path().join("runs.log")).expect("written");
        let mut running: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        let mut begun = BTreeSet::new();
        for line in text.lines() {
            let words: Vec<&str> = line.split(' ').collect();
            let [what, agent, execution] = words[..] else { panic!("{line:?}") };
            let of_agent = running.entry(agent).or_default();
            if what == "begin" {
                assert!(begun.insert(execution), "{execution} ran twice\n{text}");
                of_agent.insert(execution);
                assert!(of_agent.len() <= SLOTS, "{agent} has {of_agent:?}\n{text}");
            } else {
                of_agent.remove(execution);
            }
        }
        assert!(running.values().all(BTreeSet::is_empty), "still running: {running:?}\n{text}");
    }
}

/// Waits until a node leads and answers what is done once.
pub async fn await_leads(node: &Server) {
    let began = Instant::now();
    loop {
        let (_, told) = node.get("/readyz").await;
        let standing = &told["node"];
        if standing["leader"].is_string() && standing["leader"] == standing["node_id"] {
            return;
        }
        assert!(began.elapsed() < PATIENCE, "it does not lead: {told}\n{}", node.log());
        tokio::time::sleep(LOOK).await;
    }
}

fn lives(node: &Value) -> bool {
    node["alive"] == true
}

fn environment(address: &str, secret: &Path) -> [(&'static str, &'static str); 6] {
    let place = format!("esdb://{address}?tls=false");
    let secret = secret.display().to_string();
    [
        ("EXECUTION_LEDGER_STORE", "kurrentdb"),
        ("EXECUTION_LEDGER_KURRENTDB", place.leak()),
        ("EXECUTION_LEDGER_CLUSTER_SECRET_FILE", secret.leak()),
        ("EXECUTION_LEDGER_NODE_LEASE_S", LEASE_S.to_string().leak()),
        ("EXECUTION_LEDGER_KURRENTDB_ATTEMPT_TIMEOUT_S", "1"),
        ("EXECUTION_LEDGER_KURRENTDB_TIMEOUT_S", "3"),
    ]
}

pub fn signal(server: &Server, signal: Signal) {
    let pid = Pid::from_raw(i32::try_from(server.pid()).expect("a pid"));
    kill(pid, signal).expect("our child");
}

#[tokio::test]
async fn three_nodes_lose_one_after_the_other_and_never_run_more_than_the_slots() {
    let (mut cluster, proxy) = Cluster::of_three().await;
    let log = cluster.folder.path().join("runs.log");
    let log = log.to_str().expect("UTF-8");
    for agent in AGENTS {
        // Whoever stops it stops it in order: it says when it ends, however that comes.
        let script = format!(
            "say() {{ echo \"$1 {agent} $EXECUTION_LEDGER_EXECUTION_ID\" >> {log}; }}; \
             trap 'say end' EXIT; trap 'exit 1' INT TERM; say begin; \
             echo hello; for i in 1 2 3 4 5 6 7 8; do sleep 0.2; done"
        );
        let settings = json!({"max_parallel_tasks": SLOTS, "grace_s": 2});
        cluster.nodes[1].register(agent, &["/bin/sh", "-c", &script], settings).await;
    }
    let first = cluster.submit_to_all(&[0, 1, 2], 3).await;
    assert_eq!(cluster.await_ends(0, &first).await, 0, "nothing went wrong yet");
    let hosts = cluster.told().await.iter().filter(|node| node["leases"] != 0).count();
    assert!(hosts > 1, "the agents are spread");

    // Any node has every transcript.
    for (agent, id) in &first {
        for node in &cluster.nodes {
            let lines = node.transcript(agent, id).await;
            assert!(lines.iter().any(|line| line["line"] == "hello"), "{id}: {lines:?}");
        }
    }

    // A result that is owed to a session while its leader dies.
    let leader = cluster.leader(None).await;
    let other = (leader + 1) % 3;
    let body = json!({"agent_name": "demo"});
    let (status, session) = cluster.nodes[other].post("/api/sessions", body).await;
    assert_eq!(status, StatusCode::CREATED, "{session}");
    let background = json!({
        "message": "sleep 1", "async_mode": true, "inject_result": true,
        "chat_session_id": session["session_id"],
    });
    let (status, task) = cluster.nodes[other].post("/api/agents/demo/task", background).await;
    assert_eq!(status, StatusCode::ACCEPTED, "{task}");
    let owed = task["execution_id"].as_str().expect("an id").to_owned();

    // The leader dies.
    let second = cluster.submit_to_all(&[other], 3).await;
    cluster.nodes[leader].kill();
    let died = Instant::now();
    let next = cluster.leader(Some(leader)).await;
    assert!(died.elapsed() < Duration::from_secs(30), "taken over within 30 s");
    let third = cluster.submit_to_all(&[next], 1).await;
    cluster.await_ends(next, &second).await;
    cluster.await_ends(next, &third).await;
    let record = cluster.nodes[next].await_end("demo", &owed).await;
    let injected = |record: &Value| record["result_injected"] == true;
    cluster.nodes[next].await_record("demo", &owed, "injected", injected).await;
    let injections = |record: &Value| {
        let events = record["events"].as_array().expect("events");
        events.iter().filter(|event| event["type"] == "execution.result_injected").count()
    };
    let record_again = cluster.nodes[next].execution("demo", &owed).await;
    assert_eq!(injections(&record_again), 1, "{record}");
    cluster.nodes[leader].start_again().await;

    // The leader is paused for longer than its lease, and comes back.
    let paused = cluster.leader(None).await;
    let other = (paused + 1) % 3;
    let fourth = cluster.submit_to_all(&[other], 2).await;
    signal(&cluster.nodes[paused], Signal::SIGSTOP);
    // Whoever is asked for the others must not be the one that sleeps: it does not answer.
    let next = cluster.leader(Some(paused)).await;
    let fifth = cluster.submit_to_all(&[next], 2).await;
    cluster.await_ends(next, &fourth).await;
    signal(&cluster.nodes[paused], Signal::SIGCONT);
    cluster.await_ends(next, &fifth).await;
    cluster
        .await_nodes("all live again", |told| told.iter().filter(|n| lives(n)).count() == 3)
        .await;

    // One is cut off from the log.
    let sixth = cluster.submit_to_all(&[next], 2).await;
    proxy.whole.send_replace(false);
    cluster.await_ends(0, &sixth).await;
    let began = Instant::now();
    while cluster.nodes[2].get("/readyz").await.0 != StatusCode::SERVICE_UNAVAILABLE {
        assert!(began.elapsed() < PATIENCE, "it is ready, and cut off: {}", cluster.nodes[2].log());
        tokio::time::sleep(LOOK).await;
    }
    proxy.whole.send_replace(true);
    cluster
        .await_nodes("all live again", |told| told.iter().filter(|n| lives(n)).count() == 3)
        .await;
    let seventh = cluster.submit_to_all(&[0, 1, 2], 1).await;
    assert_eq!(cluster.await_ends(0, &seventh).await, 0);

    cluster.check_runs();
    // Its read models are compared as well: they are its own, and only one process may use them.
    cluster.nodes[0].stop().await;
    cluster.assert_verified(&cluster.nodes[0]);
}
