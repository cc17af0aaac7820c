//! The real binary as a server of its own, on a port and in a folder of its own.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};

use crate::Failure;
use crate::client::Client;

/// The program under test.
pub const PROGRAM: &str = env!("CARGO_BIN_EXE_execution-ledger");
/// Longest that a start or a stop is waited for: a first start may make the read models.
const PATIENCE: Duration = Duration::from_mins(5);
/// Between two looks at a server that starts or stops.
const LOOK: Duration = Duration::from_millis(2);

/// How long the notary may take for a log that it has not seen.
const NOTARY_MAX: Duration = Duration::from_mins(10);
/// How often it is asked whether it is done.
const NOTARY_LOOK: Duration = Duration::from_millis(100);

/// A running server. Dropping it kills it.
pub struct Server {
    child: Child,
    /// Where it listens.
    pub address: SocketAddr,
    key: String,
    /// From the start of its process until it answered that it is ready.
    pub ready_after: Duration,
}

impl Server {
    /// Starts it on `work/data` with these variables set, and waits until it is ready.
    pub async fn start(work: &Path, variables: &[(&str, &str)]) -> Result<Self, Failure> {
        let address = free_address()?;
        let log = std::fs::File::create(work.join("server.log"))?;
        let began = Instant::now();
        let child = clean(&mut Command::new(PROGRAM))
            .args(["serve", "--listen", &address.to_string()])
            .env("EXECUTION_LEDGER_DATA_DIR", work.join("data"))
            .env("EXECUTION_LEDGER_WORK_DIR", work.join("work"))
            .envs(variables.iter().copied())
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()?;
        let mut server = Self { child, address, key: String::new(), ready_after: Duration::ZERO };
        while !server.is_ready().await {
            if let Some(status) = server.child.try_wait()? {
                let log = std::fs::read_to_string(work.join("server.log"))?;
                return Err(format!("the server ended instead of starting: {status}\n{log}").into());
            }
            if began.elapsed() > PATIENCE {
                return Err("the server is not ready".into());
            }
            tokio::time::sleep(LOOK).await;
        }
        server.ready_after = began.elapsed();
        let key = std::fs::read_to_string(work.join("data/admin.key"))?;
        key.trim().clone_into(&mut server.key);
        Ok(server)
    }

    async fn is_ready(&self) -> bool {
        let Ok(mut client) = Client::connect(self.address).await else { return false };
        client.ask(&self.get("/readyz")).await.is_ok_and(|answer| answer.status == 200)
    }

    /// Waits until its notary has seen the whole log: at the very first start that takes a while, and
    /// a processor. Tells how long.
    pub async fn notary_is_live(&self) -> Result<Duration, Failure> {
        let began = Instant::now();
        let mut client = self.client().await?;
        loop {
            let ready = client.ask(&self.get("/readyz")).await?.json(200)?;
            if ready["notary"] == "live" {
                return Ok(began.elapsed());
            }
            if began.elapsed() > NOTARY_MAX {
                return Err(format!("the notary is not done: {ready}").into());
            }
            tokio::time::sleep(NOTARY_LOOK).await;
        }
    }

    /// Where it is.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Its admin's key.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// A connection to it.
    pub async fn client(&self) -> Result<Client, Failure> {
        Client::connect(self.address).await
    }

    /// The bytes of a request without a body.
    pub fn get(&self, path: &str) -> Vec<u8> {
        self.request("GET", path, "")
    }

    /// The bytes of a request with this body.
    pub fn post(&self, path: &str, body: &Value) -> Vec<u8> {
        self.request("POST", path, &body.to_string())
    }

    fn request(&self, method: &str, path: &str, body: &str) -> Vec<u8> {
        let (host, key, length) = (self.address, &self.key, body.len());
        let kind = if body.is_empty() { "" } else { "content-type: application/json\r\n" };
        format!(
            "{method} {path} HTTP/1.1\r\nhost: {host}\r\nauthorization: Bearer {key}\r\n{kind}\
             content-length: {length}\r\n\r\n{body}"
        )
        .into_bytes()
    }

    /// The bytes of a request that submits a task without waiting for its end.
    pub fn task(&self, agent: &str, message: &str) -> Vec<u8> {
        let body = json!({"message": message, "async_mode": true});
        self.post(&format!("/api/agents/{agent}/task"), &body)
    }

    /// Registers a `command` agent with these settings beside.
    pub async fn register(
        &self,
        name: &str,
        command: &[&str],
        settings: Value,
    ) -> Result<(), Failure> {
        let mut body = json!({"name": name, "runtime": "command", "command": command});
        if let (Some(body), Value::Object(settings)) = (body.as_object_mut(), settings) {
            body.extend(settings);
        }
        let mut client = self.client().await?;
        client.ask(&self.post("/api/agents", &body)).await?.json(201).map(drop)
    }

    /// What `/metrics` says of these names, in their order; 0 where it doesn't.
    pub async fn metrics<const N: usize>(
        &self,
        client: &mut Client,
        names: [&str; N],
    ) -> Result<[f64; N], Failure> {
        let request = self.get("/metrics");
        let answer = client.ask(&request).await?;
        if answer.status != 200 {
            return Err(format!("/metrics: {}", answer.status).into());
        }
        let text = answer.text();
        Ok(names.map(|name| {
            let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
            value.and_then(|value| value.trim().parse().ok()).unwrap_or(0.0)
        }))
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// SIGTERM, and waits for its end.
    pub async fn stop(mut self) -> Result<(), Failure> {
        kill(Pid::from_raw(i32::try_from(self.child.id())?), Signal::SIGTERM)?;
        let began = Instant::now();
        while self.child.try_wait()?.is_none() {
            if began.elapsed() > PATIENCE {
                return Err("the server does not stop".into());
            }
            tokio::time::sleep(LOOK).await;
        }
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It has ended already where all went well. What it started ends by its own timeout.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Without the variables of whoever runs the bench.
pub fn clean(command: &mut Command) -> &mut Command {
    for (name, _) in std::env::vars() {
        if name.starts_with("EXECUTION_LEDGER_") {
            command.env_remove(name);
        }
    }
    command
}

/// An address that nobody listens on at the moment.
pub fn free_address() -> Result<SocketAddr, Failure> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?)
}

/// The log of a server's folder.
pub fn log_of(work: &Path) -> PathBuf {
    work.join("data/events.db")
}
