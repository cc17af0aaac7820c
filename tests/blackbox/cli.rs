//! The command line, as its users meet it.

use std::io::{BufRead, BufReader, Read};
use std::process::{Command, Output, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use crate::support::{PROGRAM, Server};

fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}{}", text(&output.stdout), text(&output.stderr)))
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[tokio::test]
async fn run_ends_as_the_execution_ends_and_later_commands_tell_the_same() {
    let server = Server::start(&[]).await;
    let completed = server.command(&["run", "demo", "hello"]);
    assert_eq!(completed.status.code(), Some(0), "{}", text(&completed.stderr));
    let record = json(&completed);
    assert_eq!(record["status"], "completed");
    assert!(record.get("events").is_none(), "{record}");
    let failed = server.command(&["run", "demo", "please fail"]);
    assert_eq!(failed.status.code(), Some(1));
    assert_eq!(json(&failed)["status"], "failed");

    let id = record["execution_id"].as_str().expect("an id");
    assert_eq!(json(&server.command(&["show", id]))["response"], record["response"]);
    let listed = json(&server.command(&["list", "--status", "completed"]));
    assert_eq!(listed["executions"].as_array().map(Vec::len), Some(1), "{listed}");
    assert_eq!(listed["executions"][0]["execution_id"], id);
    let tail = server.command(&["tail", id, "--table"]);
    assert!(text(&tail.stdout).contains("Simulated step 1"), "{}", text(&tail.stdout));
    let lines = server.command(&["tail", id, "--json"]);
    let count = u64::try_from(text(&lines.stdout).lines().count()).expect("a count");
    assert_eq!(record["transcript"]["lines"], count);
    let costs = json(&server.command(&["costs", "--by", "agent"]));
    assert_eq!(costs["total"]["runs"], 2, "{costs}");
}

#[tokio::test]
async fn refusals_say_what_to_do_next_and_exit_by_their_kind() {
    let mut server = Server::start(&[]).await;
    let unknown = "01936b2e-7a3c-7000-8000-000000000001";
    for (arguments, code, told) in [
        (&["run", "nobody", "x"][..], 4, "agents list"),
        (&["show", unknown], 4, "execution_not_found"),
        (&["list", "--status", "odd"], 2, "completed"),
        (&["list", "--trigger", "odd"], 2, "self_task"),
        (&["list", "--from", "yesterday"], 2, "2026-11-01T00:00:00Z"),
        (&["show", "nope"], 2, "is a UUID such as"),
        (&["list", "--url", "nonsense"], 2, "must begin with http:// or https://"),
        (&["serve", "--listen", "foo"], 2, "127.0.0.1:7171"),
        (&["list", "--limit", "0"], 2, "--limit"),
        (&["agents", "register", "demo", "--runtime", "demo"], 1, "agents configure NAME"),
        (&["rebuild"], 1, "in use"),
        (&["serve", "--listen", "127.0.0.1:0"], 1, "in use"),
        (&["serve", "--listen", "0.0.0.0:0"], 2, "trusted_proxies"),
    ] {
        let output = server.command(arguments);
        let error = text(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {error}");
        assert!(error.contains(told), "{arguments:?}: {error}");
        assert!(output.stdout.is_empty(), "{arguments:?} wrote {}", text(&output.stdout));
    }
    let twice = text(&server.command(&["serve", "--listen", "localhost:0"]).stderr);
    assert_eq!(twice.matches("the event log").count(), 1, "{twice}");
    server.stop().await;
    let output = server.command(&["list"]);
    assert_eq!(output.status.code(), Some(3));
    assert!(text(&output.stderr).contains("execution-ledger serve"));
}

#[test]
fn without_a_command_the_first_steps_are_told() {
    let output = Command::new(PROGRAM).output().expect("the program runs");
    assert_eq!(output.status.code(), Some(2));
    let told = text(&output.stderr);
    for part in ["execution-ledger serve", "execution-ledger run demo", "--help"] {
        assert!(told.contains(part), "{told}");
    }
    assert!(told.lines().count() < 15, "{told}");
}

#[tokio::test]
async fn json_keeps_the_order_of_fields_of_the_api() {
    let server = Server::start(&[]).await;
    let shown = server.command(&["run", "demo", "hello", "--json"]);
    let id = json(&shown)["execution_id"].as_str().expect("an id").to_owned();
    let outputs = [
        shown,
        server.command(&["show", &id, "--json"]),
        server.command(&["agents", "show", "demo", "--json"]),
        server.command(&["list", "--json"]),
    ];
    let begins = [
        "{\"execution_id\":",
        "{\"execution_id\":",
        "{\"name\":\"demo\",\"status\":",
        "{\"executions\":[{\"execution_id\":",
    ];
    for (output, begin) in outputs.iter().zip(begins) {
        let printed = text(&output.stdout);
        assert!(printed.starts_with(begin), "{printed}");
    }
}

#[tokio::test]
async fn doctor_names_misspelt_variables_and_what_agents_lack() {
    let server = Server::start(&[]).await;
    server.register("lacking", &["/no/such/program"], serde_json::json!({})).await;
    let output = Command::new(PROGRAM)
        .args(["doctor", "--json"])
        .env("EXECUTION_LEDGER_DATA_DIR", server.data_dir())
        .env("EXECUTION_LEDGER_LISTN", "x")
        .env_remove("EXECUTION_LEDGER_URL")
        .output()
        .expect("the program runs");
    let report = json(&output);
    let finding = |name: &str| {
        let checks = report["checks"].as_array().expect("checks");
        let found = checks.iter().find(|check| check["check"] == name).expect(name);
        assert_eq!(found["result"], "warn", "{found}");
        found["found"].as_str().expect("a text").to_owned()
    };
    assert!(finding("variables").contains("EXECUTION_LEDGER_LISTN"));
    let settings = finding("agents' settings");
    assert!(settings.contains("lacking") && settings.contains("/no/such/program"), "{settings}");
}

#[tokio::test]
async fn the_first_ctrl_c_asks_the_server_to_stop_the_run() {
    let server = Server::start(&[]).await;
    let mut child = Command::new(PROGRAM)
        .args(["run", "demo", "sleep 600", "--table"])
        .env("EXECUTION_LEDGER_DATA_DIR", server.data_dir())
        .env_remove("EXECUTION_LEDGER_URL")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("the program runs");
    let mut lines = BufReader::new(child.stdout.take().expect("its output"));
    // A line of the run: it goes on, and is followed.
    let mut first = String::new();
    lines.read_line(&mut first).expect("a line");
    assert!(first.contains("Simulated"), "{first}");
    kill(Pid::from_raw(i32::try_from(child.id()).expect("a pid")), Signal::SIGINT).expect("sent");
    let mut rest = String::new();
    lines.read_to_string(&mut rest).expect("the rest");
    assert_eq!(child.wait().expect("our child").code(), Some(130), "{rest}");
    assert!(rest.contains("cancelled"), "{rest}");
}

#[tokio::test]
async fn what_agents_print_can_not_act_on_the_terminal() {
    let server = Server::start(&[]).await;
    let script = r"printf '\033[2J\033]0;gotcha\007 \342\200\256reversed\n'; exit 0 #";
    server.register("hostile", &["/bin/sh", "-c", script], serde_json::json!({})).await;
    for form in ["--table", "--json"] {
        let output = server.command(&["run", "hostile", "x", form]);
        let shown = text(&output.stdout);
        assert!(shown.contains("gotcha"), "{shown:?}");
        let acts = |c: char| (c.is_control() && c != '\n') || c == '\u{202e}';
        assert!(!shown.chars().any(acts), "{shown:?}");
    }
}

#[tokio::test]
async fn an_agent_is_registered_configured_paused_and_retired() {
    let server = Server::start(&[]).await;
    let agents = |arguments: &[&str]| {
        let output = server.command(&[&["agents"], arguments].concat());
        assert!(output.status.success(), "{arguments:?}: {}", text(&output.stderr));
        json(&output)
    };
    let command = ["--runtime", "command", "--env", "A=b", "--", "/bin/echo"];
    let agent = agents(&[&["register", "e", "--timeout-s", "60"], &command[..]].concat());
    assert_eq!(agent["timeout_s"], 60, "{agent}");
    let agent = agents(&["configure", "e", "--queue-limit", "7"]);
    assert_eq!(agent["queue_limit"], 7);
    assert_eq!((&agent["timeout_s"], &agent["env"]["A"]), (&60.into(), &"b".into()), "{agent}");
    assert_eq!(agents(&["pause", "e"])["status"], "paused");
    assert_eq!(agents(&["resume", "e"])["status"], "active");
    assert_eq!(agents(&["retire", "e"])["status"], "retired");
    assert_eq!(agents(&["show", "e"])["capacity"]["agent"], "e");
}

#[tokio::test]
async fn a_backup_of_a_running_server_is_restored_as_another_log() {
    let server = Server::start(&[]).await;
    let record = json(&server.command(&["run", "demo", "hello"]));
    let id = record["execution_id"].as_str().expect("an id");
    let folder = tempfile::tempdir().expect("a folder");
    let backup = folder.path().join("backup");
    let backup = backup.to_str().expect("text");
    let copied = server.command(&["backup", backup]);
    assert!(copied.status.success(), "{}", text(&copied.stderr));
    let again = server.command(&["backup", backup]);
    assert_eq!(again.status.code(), Some(2), "nothing is overwritten");

    let restored = folder.path().join("restored");
    let restored = restored.to_str().expect("text");
    let made = server.command(&["restore", backup, "--data-dir", restored]);
    assert!(made.status.success(), "{}", text(&made.stderr));
    let rebuilt = server.command(&["rebuild", "--data-dir", restored]);
    assert!(rebuilt.status.success(), "{}", text(&rebuilt.stderr));

    let log = |path: &std::path::Path| -> (String, i64) {
        let database = rusqlite::Connection::open(path.join("events.db")).expect("the log");
        let log = database
            .query_row("SELECT id FROM log ORDER BY rowid DESC LIMIT 1", [], |row| row.get(0))
            .expect("an id");
        let stream = format!("execution-{id}");
        let events = database
            .query_row("SELECT count(*) FROM events WHERE stream = ?1", [stream], |row| row.get(0))
            .expect("a count");
        (log, events)
    };
    let (old, new) = (log(server.data_dir()), log(std::path::Path::new(restored)));
    assert_ne!(old.0, new.0, "the log has a new id");
    assert_eq!(old.1, new.1);
    assert_eq!(new.1, 3, "every event of the run is there");
}
