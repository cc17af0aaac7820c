//! What those who operate the service rely on.

use std::time::Duration;

use futures::{SinkExt as _, StreamExt as _};
use reqwest::StatusCode;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;

use crate::support::{PATIENCE, Server, processes_of};

#[tokio::test]
async fn nothing_starts_while_the_disk_is_nearly_full_and_everything_says_so() {
    let one_pebibyte = (1_u64 << 50).to_string();
    let mut server =
        Server::start(&[("EXECUTION_LEDGER_MIN_FREE_BYTES", one_pebibyte.as_str())]).await;
    let id = server.submit("demo", "hello").await;
    let why = |record: &Value| record.to_string().contains("disk_nearly_full");
    server.await_record("demo", &id, "told why it waits", why).await;
    let (_, answer) =
        server.post(&format!("/api/agents/demo/executions/{id}/terminate"), json!({})).await;
    assert_eq!(answer["status"], "cancelled", "what waits can be cancelled: {answer}");
    let id = server.submit("demo", "hello").await;
    server.stop().await;
    server.start_again_with(&[]).await;
    assert_eq!(server.await_end("demo", &id).await["status"], "completed");
}

#[tokio::test]
async fn an_agent_runs_as_the_user_that_it_is_given() {
    if !nix::unistd::geteuid().is_root() {
        eprintln!("only root can start processes of another user: not tried");
        return;
    }
    let server = Server::start(&[]).await;
    let settings = json!({"run_as": "nobody", "cwd": "/"});
    server.register("other", &["/bin/sh", "-c", "id -un; id -G", "sh"], settings).await;
    let (_, record) = server.post("/api/agents/other/task", json!({"message": "x"})).await;
    let response = record["response"].as_str().expect("a response");
    assert!(response.starts_with("nobody\n"), "{record}");
    assert!(!response.lines().nth(1).expect("groups").split(' ').any(|group| group == "0"));
    let unknown = json!({"name": "x", "runtime": "command", "command": ["/bin/true"],
        "run_as": "nobody-of-this-name"});
    let (status, problem) = server.post("/api/agents", unknown).await;
    assert_eq!((status, &problem["field"]), (StatusCode::UNPROCESSABLE_ENTITY, &json!("run_as")));
}

#[tokio::test]
async fn a_stop_leaves_runs_to_their_supervisors_and_a_drained_one_waits_for_them() {
    let mut server = Server::start(&[]).await;
    server.register("slow", &["/bin/sh", "-c", "sleep 1; echo done", "sh"], json!({})).await;
    let id = server.submit("slow", "x").await;
    server.await_running("slow", &id).await;
    server.stop().await;
    assert!(!processes_of(&id).is_empty(), "it goes on without the server");
    server.start_again_with(&[("EXECUTION_LEDGER_DRAIN", "true")]).await;
    assert_eq!(server.await_end("slow", &id).await["status"], "completed");
    let id = server.submit("slow", "x").await;
    server.await_running("slow", &id).await;
    server.stop().await;
    assert_eq!(processes_of(&id), Vec::<i32>::new(), "the server waited for it");
    server.start_again_with(&[]).await;
    assert_eq!(server.await_end("slow", &id).await["status"], "completed");
}

#[tokio::test]
async fn deleting_the_read_models_changes_no_answer() {
    let mut server = Server::start(&[]).await;
    server.register("echo", &["/bin/echo"], json!({})).await;
    for number in 0..5 {
        let id = server.submit("echo", &format!("number {number}")).await;
        server.await_end("echo", &id).await;
    }
    let paths = [
        "/api/executions",
        "/api/executions?q=number&status=completed",
        "/api/executions/stats",
        "/api/activities",
        "/api/costs?by=agent",
        "/api/agents",
    ];
    let mut before = Vec::new();
    for path in paths {
        before.push(server.get(path).await);
    }
    server.stop().await;
    for file in ["views.db", "views.db-wal", "views.db-shm"] {
        // Beside the first one, they are there only while they are needed.
        drop(std::fs::remove_file(server.data_dir().join(file)));
    }
    server.start_again().await;
    for (path, before) in paths.iter().zip(before) {
        assert_eq!(before.0, StatusCode::OK, "{path}: {}", before.1);
        assert_eq!(server.get(path).await, before, "{path}");
    }
}

#[tokio::test]
async fn the_activity_panel_is_told_of_a_run_as_it_starts_and_ends() {
    let server = Server::start(&[]).await;
    let mut socket = activity(&server, "").await;
    let id = server.submit("demo", "Research the competitor").await;
    let started = next_activity(&mut socket).await;
    assert_eq!(started["type"], "agent_activity");
    assert_eq!(started["activity_state"], "started", "{started}");
    assert_eq!(started["activity_type"], "task");
    assert_eq!(started["agent_name"], "demo");
    assert_eq!(started["details"]["execution_id"], json!(id));
    let ended = next_activity(&mut socket).await;
    assert_eq!(ended["activity_state"], "completed", "{ended}");
    assert!(ended["details"]["cost_usd"].as_f64().expect("a cost") > 0.0);
    assert!(ended["details"]["execution_time_ms"].is_u64());
    assert!(ended["details"]["response_preview"].as_str().expect("text").contains("simulated"));

    let position = started["position"].as_str().expect("a position");
    let mut resumed = activity(&server, &format!("?last_event_id={position}")).await;
    assert_eq!(next_activity(&mut resumed).await, ended, "resumed without a gap");

    let (status, panel) = server.get("/api/activities?limit=5").await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(panel["activities"][0]["state"], "completed", "{panel}");
    let (_, then) = server.get(&format!("/api/activities?as_of={position}")).await;
    assert_eq!(then["activities"][0]["state"], "started", "{then}");
}

type Socket =
    tokio_tungstenite::WebSocketStream<tokio_tungstenite::MaybeTlsStream<tokio::net::TcpStream>>;

async fn activity(server: &Server, query: &str) -> Socket {
    let address = server.url.replace("http://", "ws://");
    let mut request =
        format!("{address}/ws{query}").into_client_request().expect("a WebSocket request");
    let key = format!("Bearer {}", server.key).parse().expect("a header");
    request.headers_mut().insert("Authorization", key);
    let (mut socket, _) = tokio_tungstenite::connect_async(request).await.expect("a WebSocket");
    socket.flush().await.expect("open");
    socket
}

async fn next_activity(socket: &mut Socket) -> Value {
    loop {
        let message = tokio::time::timeout(PATIENCE, socket.next()).await.expect("in time");
        let message = message.expect("open").expect("a message");
        if let Ok(text) = message.to_text()
            && let Ok(value) = serde_json::from_str::<Value>(text)
            && value["type"] == "agent_activity"
        {
            return value;
        }
    }
}

#[tokio::test]
async fn a_live_transcript_is_followed_to_its_end_and_resumed_where_it_was_cut() {
    let server = Server::start(&[]).await;
    let script = "for i in 1 2 3 4 5 6; do echo line $i; sleep 0.1; done";
    server.register("lines", &["/bin/sh", "-c", script, "sh"], json!({})).await;
    let id = server.submit("lines", "x").await;
    let path = format!("/api/agents/lines/executions/{id}/stream");
    let all = follow(&server, &path, None).await;
    let lines: Vec<_> = all.iter().filter(|(_, event, _)| event.is_empty()).collect();
    assert_eq!(lines.len(), 6, "{all:?}");
    assert!(lines[5].2.contains("line 6"));
    assert_eq!(all.last().expect("an end").1, "end");
    assert!(all.last().expect("an end").2.contains("completed"), "{all:?}");
    let rest = follow(&server, &path, Some("4")).await;
    let lines: Vec<_> = rest.iter().filter(|(_, event, _)| event.is_empty()).collect();
    assert_eq!(lines.iter().map(|(id, ..)| id.as_str()).collect::<Vec<_>>(), ["5", "6"]);
}

/// All events of a stream until the server ends it: id, event, data.
async fn follow(server: &Server, path: &str, after: Option<&str>) -> Vec<(String, String, String)> {
    let mut request = server.request(reqwest::Method::GET, path).timeout(PATIENCE);
    if let Some(after) = after {
        request = request.header("Last-Event-ID", after);
    }
    let text = request.send().await.expect("an answer").text().await.expect("text");
    let field = |frame: &str, name: &str| {
        let line = frame.lines().find_map(|line| line.strip_prefix(name));
        line.unwrap_or_default().trim().to_owned()
    };
    text.split("\n\n")
        .filter(|frame| frame.contains("data:"))
        .map(|frame| (field(frame, "id:"), field(frame, "event:"), field(frame, "data:")))
        .collect()
}

#[tokio::test]
async fn tls_is_spoken_where_a_certificate_is_given_and_other_addresses_need_it() {
    let server = Server::start(&[]).await;
    let refused = server.command(&["serve", "--listen", "0.0.0.0:0"]);
    assert_eq!(refused.status.code(), Some(2));
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(said.contains("TLS") || said.contains("tls"), "{said}");

    let directory = server.work_dir();
    let (certificate, key) = (directory.join("cert.pem"), directory.join("key.pem"));
    let made = std::process::Command::new("openssl")
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"])
        .args(["-nodes", "-days", "2", "-subj", "/CN=localhost"])
        .args(["-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost"])
        .args(["-addext", "basicConstraints=critical,CA:FALSE"])
        .arg("-keyout")
        .arg(&key)
        .arg("-out")
        .arg(&certificate)
        .output();
    let Ok(made) = made else {
        eprintln!("there is no openssl to make a certificate with: not tried");
        return;
    };
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let text = |path: &std::path::Path| path.display().to_string();
    let secured = Server::start_unready(&[
        ("EXECUTION_LEDGER_TLS_CERTIFICATE", &text(&certificate)),
        ("EXECUTION_LEDGER_TLS_KEY", &text(&key)),
    ]);
    let root = reqwest::Certificate::from_pem(&std::fs::read(&certificate).expect("a certificate"))
        .expect("a certificate");
    let client =
        reqwest::Client::builder().no_proxy().tls_certs_only([root]).build().expect("a client");
    let url = secured.await_url().await;
    assert!(url.starts_with("https://"), "{url}");
    let answer = client
        .get(format!("{url}/healthz"))
        .timeout(Duration::from_secs(20))
        .send()
        .await
        .expect("an answer over TLS");
    assert_eq!(answer.status(), StatusCode::OK);
}

#[tokio::test]
async fn traces_are_sent_to_a_collector_where_one_is_named() {
    let collector = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let endpoint = format!("http://{}/v1/traces", collector.local_addr().expect("an address"));
    let (tell, told) = tokio::sync::oneshot::channel();
    tokio::spawn(async move {
        // Everything that comes, over however many connections, until the span of a run is in it.
        let mut heard = Vec::new();
        while !String::from_utf8_lossy(&heard).contains("gen_ai.usage.output_tokens") {
            let (mut connection, _) = collector.accept().await.expect("a connection");
            let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
            heard.extend(whole_request(&mut connection).await);
            tokio::io::AsyncWriteExt::write_all(&mut connection, answer).await.ok();
        }
        tell.send(String::from_utf8_lossy(&heard).into_owned()).ok();
    });
    let mut server = Server::start(&[("EXECUTION_LEDGER_OTLP_ENDPOINT", endpoint.as_str())]).await;
    let id = server.submit("demo", "Say hello").await;
    server.await_end("demo", &id).await;
    server.stop().await;
    let told = tokio::time::timeout(PATIENCE, told).await.expect("in time").expect("requests");
    assert!(told.starts_with("POST /v1/traces HTTP/1.1"), "{told}");
    assert!(told.to_lowercase().contains("content-type: application/x-protobuf"), "{told}");
    for part in [&id, "invoke_agent", "gen_ai.response.model", "demo-simulated", "ledger.cost.usd"]
    {
        assert!(told.contains(part), "{part} is in what the collector was sent");
    }
}

/// A request with its body, as long as its head says.
async fn whole_request(connection: &mut tokio::net::TcpStream) -> Vec<u8> {
    let mut request = Vec::new();
    let mut part = vec![0_u8; 16 * 1024];
    loop {
        let read = tokio::io::AsyncReadExt::read(connection, &mut part).await.expect("a request");
        request.extend_from_slice(&part[..read]);
        let text = String::from_utf8_lossy(&request).to_lowercase();
        let Some(head) = request.windows(4).position(|four| four == b"\r\n\r\n") else {
            assert_ne!(read, 0, "a whole head");
            continue;
        };
        let length = text.split("content-length: ").nth(1).and_then(|rest| rest.lines().next());
        let length: usize = length.and_then(|length| length.trim().parse().ok()).unwrap_or(0);
        if read == 0 || request.len() >= head + 4 + length {
            return request;
        }
    }
}
