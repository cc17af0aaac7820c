//! The log for KurrentDB clients, as other people's programs read it: the official clients for Python
//! and Node.js, and esdbcat. `make test-tools` installs them.

use std::io::{BufRead as _, BufReader, Lines};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use tempfile::TempDir;

use crate::support::{PROGRAM, repository};

/// Where `make test-tools` puts the clients.
const CLIENTS: &str = "target/test-tools/eventstore";
/// Events of a ledger that was started and ran one task, at least.
const FACTS: usize = 4;

fn client(path: &str) -> PathBuf {
    let path = repository(CLIENTS).join(path);
    assert!(path.exists(), "{} is missing: run `make test-tools`", path.display());
    path
}

fn python(script: &str) -> Command {
    let mut command = Command::new(client("kurrentdbclient/bin/python"));
    command.arg(repository(&format!("tests/eventstore/{script}")));
    command
}

fn output(mut command: Command) -> String {
    let output = command.output().expect("the program runs");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (told, errors) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{command:?}\n{told}\n{errors}");
    told
}

fn json(told: &str) -> Value {
    serde_json::from_str(told).unwrap_or_else(|error| panic!("{error}: {told}"))
}

/// A process of the program, which is told to stop at the end.
struct Started {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Started {
    fn with(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).spawn().expect("the program starts");
        let lines = BufReader::new(child.stdout.take().expect("its output")).lines();
        Self { child, lines }
    }

    /// What follows this word in what the program says, as soon as it says it.
    fn said(&mut self, word: &str) -> String {
        for line in self.lines.by_ref() {
            let line = line.expect("a line");
            if let Some((_, rest)) = line.split_once(word) {
                return rest.trim().to_owned();
            }
        }
        panic!("it ended and never said {word:?}")
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        // Errors would mean that it has ended already.
        if let Ok(pid) = i32::try_from(self.child.id()) {
            kill(Pid::from_raw(pid), Signal::SIGTERM).ok();
        }
        self.child.wait().ok();
    }
}

/// A ledger that serves its log, with one task that was run.
struct Ledger {
    /// Stopped when this is dropped, before its folder goes.
    _started: Started,
    folder: TempDir,
    /// Host and port for KurrentDB clients.
    address: String,
    certificate: Option<PathBuf>,
}

impl Ledger {
    fn start(tls: bool, flags: &[&str]) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let certificate = tls.then(|| certificate(folder.path()));
        let mut command = Command::new(PROGRAM);
        command.arg("serve").arg("--data-dir").arg(folder.path().join("data"));
        command.arg("--work-dir").arg(folder.path().join("work"));
        command.args(["--listen", "127.0.0.1:0", "--eventstore-listen", "127.0.0.1:0"]).args(flags);
        command.args(["--log-level", "warn"]);
        if let Some(certificate) = &certificate {
            command.arg("--tls-certificate").arg(certificate);
            command.arg("--tls-key").arg(folder.path().join("key.pem"));
        }
        let mut started = Started::with(command);
        let told = started.said("eventstore esdb://");
        let address = told.split('?').next().unwrap_or_default().to_owned();
        let ledger = Self { _started: started, folder, address, certificate };
        ledger.cli(&["run", "demo", "Say hello"]);
        ledger
    }

    fn cli(&self, arguments: &[&str]) -> String {
        let mut command = Command::new(PROGRAM);
        command
            .args(arguments)
            .arg("--json")
            .arg("--data-dir")
            .arg(self.folder.path().join("data"));
        if let Some(certificate) = &self.certificate {
            command.arg("--ca-file").arg(certificate);
        }
        output(command)
    }

    fn admin_key(&self) -> String {
        let file = self.folder.path().join("data/admin.key");
        std::fs::read_to_string(file).expect("the key").trim().to_owned()
    }

    /// What a client is given to connect.
    fn connection(&self, key: Option<&str>) -> String {
        let login = key.map_or_else(String::new, |key| format!("ledger:{key}@"));
        // A certificate is for a name.
        let address = self.address.replace("127.0.0.1", "localhost");
        match &self.certificate {
            Some(certificate) => {
                format!("esdb://{login}{address}?tlsCaFile={}", certificate.display())
            }
            None => format!("esdb://{login}{address}?tls=false"),
        }
    }

    fn key(&self, role: &str) -> (String, String) {
        let issued = json(&self.cli(&["keys", "issue", role, "--role", role]));
        let text = |name: &str| issued[name].as_str().expect("a text").to_owned();
        (text("key_id"), text("key"))
    }
}

fn certificate(folder: &Path) -> PathBuf {
    let certificate = folder.join("cert.pem");
    let mut command = Command::new("openssl");
    command
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"])
        .args(["-nodes", "-days", "2", "-subj", "/CN=localhost"])
        .args(["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"])
        .args(["-addext", "basicConstraints=critical,CA:FALSE", "-keyout"])
        .arg(folder.join("key.pem"))
        .arg("-out")
        .arg(&certificate)
        .stderr(Stdio::null());
    output(command);
    certificate
}

#[test]
fn the_python_client_finds_in_the_open_store_what_it_knows_of_a_kurrentdb() {
    let mut command = Command::new(PROGRAM);
    command.args(["eventstore-open", "--listen", "127.0.0.1:0"]);
    let mut store = Started::with(command);
    let address = store.said("listens on ");
    let mut tests = python("streams.py");
    tests.env("LEDGER_EVENTSTORE", address);
    output(tests);
}

#[test]
fn clients_with_a_key_read_follow_and_write_beside_the_log() {
    let ledger = Ledger::start(true, &["--eventstore-client-streams"]);
    let connection = ledger.connection(Some(&ledger.admin_key()));

    let mut read = python("ledger.py");
    read.args(["read", &connection]);
    let read = json(&output(read));
    let events = read["events"].as_array().expect("events");
    assert!(events.len() >= FACTS, "{read}");
    let types: Vec<_> = events.iter().filter_map(|event| event["type"].as_str()).collect();
    for wanted in ["agent.registered", "execution.pending", "execution.completed"] {
        assert!(types.contains(&wanted), "{types:?}");
    }
    let texts: Vec<_> = read["texts"].as_object().expect("texts").values().collect();
    assert!(texts.iter().any(|text| *text == "Say hello"), "{texts:?}");
    let mut backwards: Vec<_> = read["backwards"].as_array().expect("ids").clone();
    backwards.reverse();
    assert!(events.iter().map(|event| &event["id"]).eq(&backwards[..events.len()]));
    assert_eq!(read["agents"][0], "ledger.agent-demo");

    let mut write = python("ledger.py");
    write.args(["write", &connection]);
    let written = json(&output(write));
    assert_eq!(written["read"], serde_json::json!([true]));
    assert_eq!(written["unchanged"], true, "a note is no fact");
    assert_eq!(written["refused"], serde_json::json!([true, true, true]));

    let mut node = Command::new("node");
    node.arg(repository("tests/eventstore/node.mjs"))
        .args([connection.as_str(), &FACTS.to_string()])
        .env("EVENTSTORE_TOOLS", client(".").canonicalize().expect("a folder"));
    let seen = json(&output(node));
    assert_eq!(seen["notes"], serde_json::json!([1, 2, 3]));
    assert_eq!((&seen["revision"], &seen["followed"]), (&2.into(), &FACTS.into()));
    assert_eq!(seen["filtered"], seen["story"]);
    assert_eq!(
        (&seen["wrong"], &seen["refused"]),
        (&"wrong-expected-version".into(), &"access-denied".into())
    );

    let mut cat = Command::new(client("esdbcat/bin/esdbcat"));
    cat.args(["--url", &connection, "--quiet", "--type", "execution.completed", "$all"]);
    let cat = output(cat);
    let line = json(cat.lines().next().expect("a line"));
    assert_eq!(line["metadata"]["type"], "execution.completed");
}

#[test]
fn roles_and_revoked_keys_count_as_they_do_everywhere() {
    let ledger = Ledger::start(true, &[]);
    let told = |key: Option<&str>| {
        let mut command = python("ledger.py");
        // The client insists on some login where there is TLS.
        command.args(["refused", &ledger.connection(Some(key.unwrap_or("none")))]);
        json(&output(command))
    };
    let nobody = told(None);
    assert_eq!(nobody["kind"], "UnauthenticatedError", "{nobody}");
    let billing = told(Some(&ledger.key("billing").1));
    assert_eq!(billing["kind"], "AccessDeniedError", "{billing}");
    assert!(billing["text"].as_str().is_some_and(|text| text.contains("/api/costs/feed")));
    let user = told(Some(&ledger.key("user").1));
    assert!(user["text"].as_str().is_some_and(|text| text.contains("/api/executions")), "{user}");

    let (id, auditor) = ledger.key("auditor");
    let mut follow = python("ledger.py");
    follow.args(["follow", &ledger.connection(Some(&auditor)), &FACTS.to_string()]);
    let mut follow = Started::with(follow);
    follow.said("\"seen\"");
    ledger.cli(&["keys", "revoke", &id]);
    let end = follow.said("UnauthenticatedError");
    assert!(end.contains("revoked"), "{end}");
}

#[test]
fn without_a_key_the_log_is_read_on_loopback_where_that_is_allowed() {
    let ledger = Ledger::start(false, &["--eventstore-anonymous-read"]);
    let mut cat = Command::new(client("esdbcat/bin/esdbcat"));
    cat.args(["--url", &ledger.connection(None), "--quiet", "--follow", "--count"]);
    cat.arg(FACTS.to_string()).arg("$all");
    assert_eq!(output(cat).lines().count(), FACTS);
    drop(ledger);
    let ledger = Ledger::start(false, &[]);
    let mut refused = python("ledger.py");
    refused.args(["refused", &ledger.connection(None)]);
    let refused = json(&output(refused));
    let text = refused["text"].as_str().unwrap_or_default();
    assert!(text.contains("--eventstore-anonymous-read"), "{refused}");
}

#[test]
fn readers_without_a_key_have_the_rate_of_one_key_together() {
    /// Of all readers without a key at once.
    const BURST: &str = "30";
    /// So many that the burst is over, however slowly they are sent.
    const READS: &str = "500";
    let flags = ["--eventstore-anonymous-read", "--rate-per-s", "1", "--rate-burst", BURST];
    let ledger = Ledger::start(false, &flags);
    let mut hurry = python("ledger.py");
    hurry.args(["hurry", &ledger.connection(None), READS]);
    let refused = json(&output(hurry));
    let text = refused["text"].as_str().unwrap_or_default();
    assert!(text.contains("requests a second"), "{refused}");
    // Somebody with a key is not held back by them.
    ledger.cli(&["list"]);
}
