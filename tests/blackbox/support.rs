//! Starting the real binary and speaking to it.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::{Value, json};
use tempfile::TempDir;

/// Longest that anything is waited for: far above what it takes on a busy machine.
pub const PATIENCE: Duration = Duration::from_mins(1);
/// How long a run has to end when it is asked to, after a test.
const OBEDIENCE: Duration = Duration::from_millis(200);
/// Between two looks at something that is waited for.
const LOOK: Duration = Duration::from_millis(20);

/// The program under test.
pub const PROGRAM: &str = env!("CARGO_BIN_EXE_execution-ledger");

/// A small generator of numbers that look random; the same in every run of the test.
pub struct Dice(pub u64);

impl Dice {
    pub fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}

/// A running server with a data directory of its own.
pub struct Server {
    child: Child,
    data_dir: PathBuf,
    work: TempDir,
    environment: Vec<(String, String)>,
    pub url: String,
    pub key: String,
    client: reqwest::Client,
}

/// A file of this repository.
pub fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

pub fn install_crypto() {
    // An error means that another test of this process was first.
    drop(rustls::crypto::ring::default_provider().install_default());
}

impl Server {
    /// On an empty data directory, with these variables set.
    pub async fn start(environment: &[(&str, &str)]) -> Self {
        install_crypto();
        let client = reqwest::Client::builder().no_proxy().build().expect("a client");
        Self::spawn(environment, client).await
    }

    /// As [`Server::start`], spoken to by TLS: this authority vouches for its certificate.
    pub async fn start_secured(environment: &[(&str, &str)], authority: &Path) -> Self {
        install_crypto();
        let pem = std::fs::read(authority).expect("a certificate");
        let root = reqwest::Certificate::from_pem(&pem).expect("a certificate");
        let client = reqwest::Client::builder().no_proxy().tls_certs_only([root]);
        Self::spawn(environment, client.build().expect("a client")).await
    }

    /// As [`Server::start`], without waiting until it answers.
    pub fn start_unready(environment: &[(&str, &str)]) -> Self {
        install_crypto();
        let work = tempfile::tempdir().expect("a temporary directory");
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        let environment: Vec<_> = environment.iter().map(owned).collect();
        let data_dir = work.path().join("data");
        let child = launch(work.path(), &data_dir, &environment);
        let client = reqwest::Client::new();
        let (url, key) = (String::new(), String::new());
        Self { child, data_dir, work, environment, url, key, client }
    }

    /// The address that the server wrote down, once it has.
    pub async fn await_url(&self) -> String {
        let began = Instant::now();
        loop {
            let text = std::fs::read_to_string(self.data_dir.join("server.json"));
            let file = text.ok().and_then(|text| serde_json::from_str::<Value>(&text).ok());
            if let Some(url) = file.as_ref().and_then(|file| file["url"].as_str()) {
                return url.to_owned();
            }
            assert!(began.elapsed() < PATIENCE, "no address\n{}", self.log());
            tokio::time::sleep(LOOK).await;
        }
    }

    async fn spawn(environment: &[(&str, &str)], client: reqwest::Client) -> Self {
        let work = tempfile::tempdir().expect("a temporary directory");
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        let environment: Vec<_> = environment.iter().map(owned).collect();
        let data_dir = work.path().join("data");
        let child = launch(work.path(), &data_dir, &environment);
        let mut server = Self {
            child,
            data_dir,
            work,
            environment,
            url: String::new(),
            key: String::new(),
            client,
        };
        server.await_ready().await;
        server
    }

    /// Starts it again on the same data directory; it must have been killed or stopped.
    pub async fn start_again(&mut self) {
        self.child = launch(self.work.path(), &self.data_dir, &self.environment);
        self.await_ready().await;
    }

    /// As [`Server::start_again`], at the address that it had.
    pub async fn start_again_in_place(&mut self) {
        let listen = self.url.trim_start_matches("http://").to_owned();
        self.child = launch_at(&listen, self.work.path(), &self.data_dir, &self.environment);
        self.await_ready().await;
    }

    /// Starts it again with other variables.
    pub async fn start_again_with(&mut self, environment: &[(&str, &str)]) {
        self.start_again_unready(environment);
        self.await_ready().await;
    }

    /// As [`Server::start_again_with`], without waiting until it answers.
    pub fn start_again_unready(&mut self, environment: &[(&str, &str)]) {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        self.environment = environment.iter().map(owned).collect();
        self.child = launch(self.work.path(), &self.data_dir, &self.environment);
    }

    /// Waits until it answers that it is ready.
    pub async fn await_ready(&mut self) {
        let began = Instant::now();
        loop {
            if let Ok(Some(status)) = self.child.try_wait() {
                panic!("the server ended instead of starting: {status}\n{}", self.log());
            }
            if self.is_ready().await {
                return;
            }
            assert!(began.elapsed() < PATIENCE, "the server is not ready\n{}", self.log());
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Whether it is ready by now.
    pub async fn is_ready(&mut self) -> bool {
        let Ok(text) = std::fs::read_to_string(self.data_dir.join("server.json")) else {
            return false;
        };
        let Ok(file) = serde_json::from_str::<Value>(&text) else { return false };
        if file["pid"].as_u64() != Some(u64::from(self.child.id())) {
            return false;
        }
        file["url"].as_str().unwrap_or_default().clone_into(&mut self.url);
        let Ok(key) = std::fs::read_to_string(self.data_dir.join("admin.key")) else {
            return false;
        };
        key.trim().clone_into(&mut self.key);
        let answer = self.client.get(format!("{}/readyz", self.url)).send().await;
        answer.is_ok_and(|answer| answer.status() == StatusCode::OK)
    }

    /// What it logged.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.work.path().join("server.log")).unwrap_or_default()
    }

    /// Whether the process has ended, waiting for it.
    pub async fn await_exit(&mut self) {
        let began = Instant::now();
        while self.child.try_wait().expect("a child").is_none() {
            assert!(began.elapsed() < PATIENCE, "the server does not end\n{}", self.log());
            tokio::time::sleep(LOOK).await;
        }
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        self.child.kill().expect("our child");
        self.child.wait().expect("our child");
    }

    /// SIGTERM, and waits for its end.
    pub async fn stop(&mut self) {
        let pid = nix::unistd::Pid::from_raw(i32::try_from(self.child.id()).expect("a pid"));
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).expect("our child");
        self.await_exit().await;
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn data_dir(&self) -> &Path {
        &self.data_dir
    }

    /// A directory that lives as long as the server.
    pub fn work_dir(&self) -> &Path {
        self.work.path()
    }

    /// A request with the admin key.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("{}{path}", self.url)).bearer_auth(&self.key)
    }

    pub async fn get(&self, path: &str) -> (StatusCode, Value) {
        answer(self.request(Method::GET, path)).await
    }

    pub async fn post(&self, path: &str, body: Value) -> (StatusCode, Value) {
        answer(self.request(Method::POST, path).json(&body)).await
    }

    /// Registers a `command` agent with these settings beside.
    pub async fn register(&self, name: &str, command: &[&str], settings: Value) {
        let mut body = json!({"name": name, "runtime": "command", "command": command});
        for (key, value) in settings.as_object().into_iter().flatten() {
            body[key] = value.clone();
        }
        let (status, answer) = self.post("/api/agents", body).await;
        assert_eq!(status, StatusCode::CREATED, "{answer}");
    }

    /// Submits a task and answers its execution id.
    pub async fn submit(&self, agent: &str, message: &str) -> String {
        let body = json!({"message": message, "async_mode": true});
        let (status, answer) = self.post(&format!("/api/agents/{agent}/task"), body).await;
        assert_eq!(status, StatusCode::ACCEPTED, "{answer}");
        answer["execution_id"].as_str().expect("an id").to_owned()
    }

    /// The record of an execution, with its events.
    pub async fn execution(&self, agent: &str, id: &str) -> Value {
        let (status, record) = self.get(&format!("/api/agents/{agent}/executions/{id}")).await;
        assert_eq!(status, StatusCode::OK, "{record}");
        record
    }

    /// Waits until the record satisfies the condition.
    pub async fn await_record(
        &self,
        agent: &str,
        id: &str,
        what: &str,
        condition: impl Fn(&Value) -> bool,
    ) -> Value {
        let began = Instant::now();
        loop {
            let path = format!("/api/agents/{agent}/executions/{id}");
            let (status, record) = self.get(&path).await;
            if status == StatusCode::OK && condition(&record) {
                return record;
            }
            assert!(began.elapsed() < PATIENCE, "not {what}: {record}\n{}", self.log());
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Waits until the execution has ended.
    pub async fn await_end(&self, agent: &str, id: &str) -> Value {
        self.await_record(agent, id, "ended", is_ended).await
    }

    /// Waits until the execution runs.
    pub async fn await_running(&self, agent: &str, id: &str) -> Value {
        self.await_record(agent, id, "running", |record| record["status"] == "running").await
    }

    /// Waits until its transcript holds this text.
    pub async fn await_output(&self, agent: &str, id: &str, text: &str) {
        let began = Instant::now();
        loop {
            let transcript = self.transcript(agent, id).await;
            if transcript.iter().any(|line| line["line"].as_str().is_some_and(|l| l.contains(text)))
            {
                return;
            }
            assert!(began.elapsed() < PATIENCE, "never printed {text}: {transcript:?}");
            tokio::time::sleep(LOOK).await;
        }
    }

    /// The lines of a transcript.
    pub async fn transcript(&self, agent: &str, id: &str) -> Vec<Value> {
        let path = format!("/api/agents/{agent}/executions/{id}/log");
        let request = self.request(Method::GET, &path).header("accept", "application/x-ndjson");
        let answer = request.send().await.expect("an answer");
        if answer.status() != StatusCode::OK {
            return Vec::new();
        }
        let text = answer.text().await.expect("text");
        text.lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect()
    }

    /// Runs the command line against this server.
    pub fn command(&self, arguments: &[&str]) -> std::process::Output {
        self.command_with(arguments, &[])
    }

    /// The same, with these variables.
    pub fn command_with(
        &self,
        arguments: &[&str],
        environment: &[(&str, &str)],
    ) -> std::process::Output {
        let mut command = Command::new(PROGRAM);
        clean(&mut command)
            .args(arguments)
            .env("EXECUTION_LEDGER_DATA_DIR", &self.data_dir)
            .envs(environment.iter().copied())
            .output()
            .expect("the program runs")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself; what matters is that nothing of it is left.
        drop(self.child.kill());
        drop(self.child.wait());
        end_supervisors(&self.data_dir);
        if std::thread::panicking() {
            eprintln!("--- log of the server\n{}", self.log());
        }
    }
}

/// Has every run of a data directory stopped, kills those with their whole tree that don't obey, and
/// waits for it.
fn end_supervisors(data_dir: &Path) {
    let began = Instant::now();
    let mut seen: Vec<(i32, String)> = Vec::new();
    loop {
        let alive = supervised(data_dir);
        seen.extend(alive.iter().filter(|run| !seen.contains(run)).cloned().collect::<Vec<_>>());
        if alive.is_empty() || began.elapsed() > PATIENCE {
            break;
        }
        let kindly = began.elapsed() < OBEDIENCE;
        for (pid, _) in alive {
            // It may just have ended.
            send(pid, if kindly { Signal::SIGUSR1 } else { Signal::SIGKILL });
        }
        std::thread::sleep(LOOK);
    }
    for (_, execution) in seen {
        for pid in processes_of(&execution) {
            send(pid, Signal::SIGKILL);
        }
    }
}

fn send(pid: i32, signal: Signal) {
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), signal).ok();
}

/// The supervisors of a data directory that are alive, each with its execution.
pub fn supervised(data_dir: &Path) -> Vec<(i32, String)> {
    let wanted = data_dir.join("runs").display().to_string();
    let ours = |pid: i32| {
        let words = std::fs::read(format!("/proc/{pid}/cmdline")).ok()?;
        let words: Vec<_> = words.split(|byte| *byte == 0).map(String::from_utf8_lossy).collect();
        let is_ours = words.len() > 3 && words[1] == "supervise" && words[2] == wanted;
        is_ours.then(|| (pid, words[3].to_string()))
    };
    processes().filter_map(ours).collect()
}

/// Processes whose environment marks them as part of this execution.
pub fn processes_of(execution: &str) -> Vec<i32> {
    let marker = format!("EXECUTION_LEDGER_EXECUTION_ID={execution}");
    let is_marked = |pid: &i32| {
        let environment = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        environment.split(|byte| *byte == 0).any(|entry| entry == marker.as_bytes())
    };
    processes().filter(is_marked).collect()
}

/// The state of a process, as `/proc` writes it: `T` stands still, `Z` has ended and was not reaped.
pub fn state_of(pid: i32) -> Option<char> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(") ")?.1.chars().next()
}

fn processes() -> impl Iterator<Item = i32> {
    let entries = std::fs::read_dir("/proc").expect("/proc");
    entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
}

/// Whether a record has a final status.
pub fn is_ended(record: &Value) -> bool {
    matches!(record["status"].as_str(), Some("completed" | "failed" | "cancelled"))
}

async fn answer(request: RequestBuilder) -> (StatusCode, Value) {
    match request.send().await {
        Ok(answer) => {
            let status = answer.status();
            let text = answer.text().await.unwrap_or_default();
            let body = serde_json::from_str(&text).unwrap_or(Value::String(text));
            (status, body)
        }
        // The server was killed while it answered: the caller asks again.
        Err(error) => (StatusCode::SERVICE_UNAVAILABLE, Value::String(error.to_string())),
    }
}

/// Without the variables of whoever runs the tests.
fn clean(command: &mut Command) -> &mut Command {
    for (name, _) in std::env::vars() {
        if name.starts_with("EXECUTION_LEDGER_") || name.starts_with("ANTHROPIC_") {
            command.env_remove(name);
        }
    }
    command
}

fn launch(work: &Path, data_dir: &Path, environment: &[(String, String)]) -> Child {
    launch_at("127.0.0.1:0", work, data_dir, environment)
}

fn launch_at(
    listen: &str,
    work: &Path,
    data_dir: &Path,
    environment: &[(String, String)],
) -> Child {
    let log = std::fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(work.join("server.log"))
        .expect("a log file");
    let mut command = Command::new(PROGRAM);
    clean(&mut command)
        .args(["serve", "--listen", listen])
        .env("EXECUTION_LEDGER_DATA_DIR", data_dir)
        .env("EXECUTION_LEDGER_WORK_DIR", work.join("work"))
        .env("EXECUTION_LEDGER_MIN_FREE_BYTES", "1048576")
        .envs(environment.iter().map(|(name, value)| (name, value)))
        .stdin(Stdio::null())
        .stdout(log.try_clone().expect("a log file"))
        .stderr(log)
        .spawn()
        .expect("the program starts")
}
