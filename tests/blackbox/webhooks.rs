//! Webhooks through the command line: messages that the official library verifies, a receiver that is
//! down, and a ledger that dies between an answer and its record. The receiver answers while commands run,
//! so these tests have threads of their own.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

use crate::support::{PATIENCE, Server, repository};

/// Where `make test-tools` puts the library.
const LIBRARY: &str = "target/test-tools/webhooks/node_modules/standardwebhooks";
/// Requests of a test that are not looked at yet: most.
const CAME_MAX: usize = 64;
pub const ALLOWED: (&str, &str) = ("EXECUTION_LEDGER_WEBHOOKS_ALLOW_PRIVATE", "127.0.0.0/8");

/// A request that came: its headers by their names in lower case, and its body.
pub struct Came {
    pub headers: BTreeMap<String, String>,
    pub body: String,
}

/// The status of a receiver that does not answer.
pub const SILENT: u16 = 0;

/// A receiver on loopback that answers with a status which can be set.
pub struct Receiver {
    pub url: String,
    pub status: Arc<AtomicU16>,
    came: mpsc::Receiver<Came>,
}

impl Receiver {
    pub async fn listen() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}/hook", listener.local_addr().expect("an address"));
        let status = Arc::new(AtomicU16::new(204));
        let (sender, came) = mpsc::channel(CAME_MAX);
        let answered = Arc::clone(&status);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, Arc::clone(&answered), sender.clone()));
            }
        });
        Self { url, status, came }
    }

    pub async fn next(&mut self) -> Came {
        let came = tokio::time::timeout(PATIENCE, self.came.recv()).await;
        came.expect("a message in time").expect("a message")
    }
}

async fn serve(mut stream: TcpStream, status: Arc<AtomicU16>, sender: mpsc::Sender<Came>) {
    let mut bytes = Vec::new();
    let came = loop {
        if let Some(came) = whole(&bytes) {
            break came;
        }
        match stream.read_buf(&mut bytes).await {
            Ok(read) if read > 0 => {}
            _ => return,
        }
    };
    let status = status.load(Ordering::SeqCst);
    if status == SILENT {
        drop(sender.send(came).await);
        // Until whoever sent it gives up, or is gone.
        drop(stream.read_to_end(&mut bytes).await);
        return;
    }
    let answer = format!("HTTP/1.1 {status} X\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    // The ledger or the test may have gone.
    drop(stream.write_all(answer.as_bytes()).await);
    drop(sender.send(came).await);
}

fn whole(bytes: &[u8]) -> Option<Came> {
    let text = String::from_utf8_lossy(bytes);
    let (head, body) = text.split_once("\r\n\r\n")?;
    let lines = head.lines().filter_map(|line| line.split_once(": "));
    let headers: BTreeMap<_, _> =
        lines.map(|(name, value)| (name.to_lowercase(), value.to_owned())).collect();
    let length: usize = headers.get("content-length")?.parse().ok()?;
    (body.len() >= length).then(|| Came { headers, body: body.to_owned() })
}

/// Whether the official library takes a message as signed by that secret.
fn is_verified(came: &Came, secret: &str) -> bool {
    let library = repository(LIBRARY);
    assert!(library.exists(), "{} is missing: run `make test-tools`", library.display());
    let mut node = Command::new("node")
        .arg(repository("tests/support/verify_webhook.mjs"))
        .arg(library)
        .stdin(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("node");
    let given = json!({"secret": secret, "headers": came.headers, "body": came.body});
    let mut input = node.stdin.take().expect("piped");
    input.write_all(given.to_string().as_bytes()).expect("written");
    drop(input);
    node.wait().expect("an end").success()
}

fn told(server: &Server, arguments: &[&str]) -> Value {
    let output = server.command(arguments);
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{arguments:?}: {}", text(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", text(&output.stdout)))
}

/// Registers a webhook: its id and its secret.
pub fn registered(server: &Server, url: &str, kinds: &str) -> (String, String) {
    let webhook = told(server, &["webhooks", "register", "Billing", url, "--kind", kinds]);
    let text = |name: &str| webhook[name].as_str().expect("a text").to_owned();
    (text("webhook_id"), text("secret"))
}

/// Waits until a message to a webhook is in that state.
async fn await_state(server: &Server, id: &str, state: &str) -> Value {
    let began = std::time::Instant::now();
    loop {
        let (_, list) = server.get(&format!("/api/webhooks/{id}/deliveries?state={state}")).await;
        if let Some(message) = list["deliveries"].get(0) {
            return message.clone();
        }
        assert!(began.elapsed() < PATIENCE, "{list}\n{}", server.log());
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_run_cost_is_told_and_the_official_library_verifies_it() {
    let mut receiver = Receiver::listen().await;
    let server = Server::start(&[ALLOWED]).await;
    let (id, secret) = registered(&server, &receiver.url, "run_cost,execution.completed");
    let run = server.submit("demo", "hello").await;
    let mut kinds = Vec::new();
    for _ in 0..2 {
        let came = receiver.next().await;
        assert!(is_verified(&came, &secret), "{:?}", came.headers);
        assert!(!is_verified(&came, "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="));
        let event: Value = serde_json::from_str(&came.body).expect("JSON");
        assert_eq!(
            (&event["specversion"], &event["data"]["execution_id"]),
            (&json!("1.0"), &json!(run))
        );
        kinds.push(event["data"]["kind"].as_str().expect("a kind").to_owned());
        if kinds.last().is_some_and(|kind| kind == "run_cost") {
            let (_, feed) = server.get("/api/costs/feed").await;
            assert_eq!(feed["rows"][0], event["data"], "the same as in the feed");
        }
    }
    kinds.sort();
    assert_eq!(kinds, ["execution.completed", "run_cost"]);

    let second = told(&server, &["webhooks", "rotate", &id])["secret"].clone();
    let tried = told(&server, &["webhooks", "test", &id]);
    assert_eq!((&tried["taken"], &tried["status"]), (&json!(true), &json!(204)));
    let came = receiver.next().await;
    assert!(is_verified(&came, &secret), "the secret before signs too");
    assert!(is_verified(&came, second.as_str().expect("a secret")));
    await_state(&server, &id, "delivered").await;
    let listed = server.command(&["webhooks", "--table"]);
    let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
    assert!(listed.contains("Billing") && listed.contains("204"), "{listed}");

    receiver.status.store(500, Ordering::SeqCst);
    let refused = server.command(&["webhooks", "test", &id]);
    assert_eq!(refused.status.code(), Some(1));
    let private =
        server.command(&["webhooks", "register", "x", "https://10.0.0.1/", "--kind", "run_cost"]);
    let said = String::from_utf8_lossy(&private.stderr).into_owned();
    assert!(!private.status.success() && said.contains("webhooks_allow_private"), "{said}");
    assert_eq!(told(&server, &["webhooks", "delete", &id])["status"], "deleted");
    assert_eq!(server.command(&["webhooks", "show", &id]).status.code(), Some(4));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ledger_that_dies_before_it_records_an_answer_sends_the_message_again_under_its_id() {
    let mut receiver = Receiver::listen().await;
    let mut server =
        Server::start(&[ALLOWED, ("EXECUTION_LEDGER_FAIL_AT", "webhooks.taken")]).await;
    let (id, secret) = registered(&server, &receiver.url, "run_cost");
    server.submit("demo", "hello").await;
    let first = receiver.next().await;
    server.await_exit().await;
    server.start_again_with(&[ALLOWED]).await;
    let again = receiver.next().await;
    assert_eq!(first.headers["webhook-id"], again.headers["webhook-id"]);
    assert_eq!(first.body, again.body);
    assert!(is_verified(&again, &secret));
    let message = await_state(&server, &id, "delivered").await;
    assert_eq!(message["message_id"], json!(again.headers["webhook-id"]));

    // What was recorded is not sent again, also where the read models are made anew.
    server.kill();
    std::fs::remove_file(server.data_dir().join("views.db")).expect("a file");
    server.start_again().await;
    assert_eq!(told(&server, &["webhooks", "test", &id])["taken"], true);
    let next = receiver.next().await;
    assert!(next.headers["webhook-id"].ends_with("_webhook_test"), "{:?}", next.headers);
    let (_, list) = server.get(&format!("/api/webhooks/{id}/deliveries?state=pending")).await;
    assert_eq!(list["deliveries"], json!([]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn parts_of_a_budget_that_are_reached_are_told_each_once() {
    let mut receiver = Receiver::listen().await;
    let server = Server::start(&[ALLOWED]).await;
    let (_, secret) = registered(&server, &receiver.url, "budget.threshold_reached");
    // A run without wishes costs 0.0084: the first is past a half, the second past all of it.
    told(&server, &["budgets", "set", "global", "--day", "0.012", "--json"]);
    let mut parts = Vec::new();
    for (message, reached) in [("one", 1), ("two", 2)] {
        let run = server.submit("demo", message).await;
        server.await_end("demo", &run).await;
        for _ in 0..reached {
            let came = receiver.next().await;
            assert!(is_verified(&came, &secret), "{:?}", came.headers);
            let event: Value = serde_json::from_str(&came.body).expect("JSON");
            assert_eq!(event["type"], "execution-ledger.budget_threshold_reached.v1", "{event}");
            let data = &event["data"];
            assert_eq!((&data["scope"], &data["period"]), (&json!("global"), &json!("day")));
            parts.push(data["percent"].as_u64().expect("a part"));
        }
    }
    parts.sort_unstable();
    assert_eq!(parts, [50, 80, 100]);
}
