//! The supervisor that waits for its orders: what it gets, what it outlives, what it never does.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use execution_ledger_process::orders::{Orders, RunFiles, supervisor_signal};
use execution_ledger_process::status::Status;
use execution_ledger_process::supervisor::{self, Handle, News, Probe, Starter};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::json;
use tempfile::TempDir;

use crate::support::{PATIENCE, PROGRAM, Server};

/// A ledger's side of starts, in a directory of its own.
struct Ledger {
    directory: TempDir,
    starter: Starter,
}

impl Ledger {
    fn new() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let starter = Starter::of_program(PROGRAM.into(), directory.path().join("runs"));
        Self { directory, starter }
    }

    fn runs(&self) -> PathBuf {
        self.directory.path().join("runs")
    }

    fn orders(&self, script: &str) -> Orders {
        let id = || uuid::Uuid::now_v7();
        let orders = json!({
            "version": 1, "execution_id": id(), "claim": id(), "agent": "shell",
            "argv": ["sh", "-c", script, "sh"], "env": {}, "env_allow": [], "env_from": {},
            "cwd": self.directory.path(), "make_cwd": false, "run_as": null,
            "stdin_from_file": false, "timeout_ms": 60_000, "lease_ms": 120_000, "grace_ms": 5_000,
            "drain_ms": 2_000, "output_max_bytes": 1_000_000, "memory_max_bytes": null,
        });
        serde_json::from_value(orders).expect("orders")
    }

    fn start(&self, orders: &Orders) -> Handle {
        let room = self.starter.make_room(orders.execution_id).expect("room");
        self.starter.start(&room, orders, None, &[]).expect("a supervisor")
    }

    /// The one that waits, once it does.
    async fn spare(&self) -> i32 {
        self.starter.prepare();
        until("a spare waits", || waiting(&self.runs()).len() == 1).await;
        waiting(&self.runs())[0]
    }

    fn status(&self, orders: &Orders) -> Status {
        let files = RunFiles::new(&self.runs(), orders.execution_id, orders.claim);
        match supervisor::probe(&files).expect("a probe") {
            Probe::Finished(status) => *status,
            other => panic!("not finished: {other:?}"),
        }
    }
}

/// Supervisors of these runs that have no orders yet and wait for them.
fn waiting(runs: &Path) -> Vec<i32> {
    let named = |pid: &i32| {
        let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
        name == "ledger-spare\n" && arguments(*pid).get(2).map(Path::new) == Some(runs)
    };
    let entries = fs::read_dir("/proc").expect("/proc");
    entries
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter(named)
        .collect()
}

fn arguments(pid: i32) -> Vec<String> {
    let text = fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    text.split_terminator('\0').map(ToOwned::to_owned).collect()
}

async fn until(what: &str, mut happened: impl FnMut() -> bool) {
    let began = Instant::now();
    while !happened() {
        assert!(began.elapsed() < PATIENCE, "never: {what}");
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
}

/// What a supervisor says next.
async fn news(handle: &Handle) -> Option<News> {
    tokio::time::timeout(PATIENCE, handle.news()).await.expect("in time").expect("watched")
}

/// How it says that its run ended.
async fn said(handle: &Handle) -> Option<Status> {
    loop {
        match news(handle).await? {
            News::Signal(_) => {}
            News::Ending(status) => return Some(*status),
        }
    }
}

#[tokio::test]
async fn the_one_that_waits_takes_the_next_run_and_says_how_it_ended() {
    let ledger = Ledger::new();
    let spare = ledger.spare().await;
    let orders = ledger.orders("echo one; sleep 0.2; exit 7");
    let handle = ledger.start(&orders);
    assert_eq!(handle.pid(), spare);
    // Whoever looks at the process table sees which run it is.
    until("the run is named", || {
        let names = arguments(spare);
        names.get(3) == Some(&orders.execution_id.to_string())
            && names.get(4) == Some(&orders.claim.to_string())
    })
    .await;
    let said = said(&handle).await.expect("an ending");
    // It is said once; who asks again waits for the exit.
    assert_eq!(news(&handle).await, None);
    assert_eq!(said, ledger.status(&orders));
    assert_eq!(said.lines, 1);
    assert!(!handle.signal(supervisor_signal::CANCEL).expect("gone"));
}

#[tokio::test]
async fn a_signal_is_told_when_it_is_sent_and_again_with_the_ending() {
    let ledger = Ledger::new();
    let mut orders = ledger.orders("trap '' INT; echo up; while :; do sleep 0.01; done");
    orders.grace_ms = 200;
    let handle = ledger.start(&orders);
    let files = RunFiles::new(&ledger.runs(), orders.execution_id, orders.claim);
    until("it is up", || fs::read_to_string(files.spool()).is_ok_and(|s| s.contains("up"))).await;
    handle.signal(supervisor_signal::CANCEL).expect("sent");
    let mut told = Vec::new();
    let status = loop {
        match news(&handle).await.expect("news") {
            News::Signal(sent) => told.push(sent),
            News::Ending(status) => break status,
        }
    };
    let names: Vec<_> = told.iter().map(|sent| format!("{:?}", sent.signal)).collect();
    assert_eq!(names, ["Interrupt", "Kill"]);
    assert_eq!(status.signals, told);
    assert_eq!(news(&handle).await, None);
}

#[tokio::test]
async fn orders_longer_than_a_line_holds_arrive_whole() {
    let ledger = Ledger::new();
    ledger.spare().await;
    let mut orders = ledger.orders("test ${#LONG} = 100000 && test ${#LONGER} = 120000");
    orders.env.insert("LONG".to_owned(), "x".repeat(100_000));
    orders.env.insert("LONGER".to_owned(), "x".repeat(120_000));
    orders.argv.extend((0..4).map(|_| "y".repeat(120_000)));
    let handle = ledger.start(&orders);
    let said = said(&handle).await.expect("an ending");
    assert_eq!(
        (said.spawn_error, said.exit.map(|exit| format!("{exit:?}"))),
        (None, Some("Code(0)".to_owned()))
    );
}

#[tokio::test]
async fn one_that_was_killed_while_it_waited_costs_no_run() {
    for signal in [Signal::SIGKILL, Signal::SIGTERM, Signal::SIGUSR1] {
        let ledger = Ledger::new();
        let spare = ledger.spare().await;
        kill(Pid::from_raw(spare), signal).expect("ours");
        until("it is gone", || waiting(&ledger.runs()).is_empty()).await;
        let orders = ledger.orders("echo ran >> ran");
        let handle = ledger.start(&orders);
        assert_ne!(handle.pid(), spare);
        let said = said(&handle).await.expect("an ending");
        assert_eq!((said.stopped, said.spawn_error), (None, None), "after {signal}");
        let ran = fs::read_to_string(ledger.directory.path().join("ran"));
        assert_eq!(ran.expect("it ran"), "ran\n");
    }
}

#[tokio::test]
async fn a_wish_to_stop_right_after_the_orders_is_heard() {
    let ledger = Ledger::new();
    for prepared in [true, false] {
        if prepared {
            ledger.spare().await;
        }
        let orders = ledger.orders("sleep 600");
        let handle = ledger.start(&orders);
        handle.signal(supervisor_signal::CANCEL).expect("sent");
        let said = said(&handle).await.expect("an ending");
        assert_eq!(said.stopped.map(|cause| format!("{cause:?}")), Some("Cancelled".to_owned()));
    }
}

#[tokio::test]
async fn one_that_has_no_orders_ends_with_its_ledger_and_leaves_nothing() {
    let Ledger { directory, starter } = Ledger::new();
    let runs = directory.path().join("runs");
    starter.prepare();
    until("a spare waits", || waiting(&runs).len() == 1).await;
    drop(starter);
    assert_eq!(waiting(&runs), Vec::<i32>::new());
    assert!(!runs.exists());
}

#[tokio::test]
async fn a_killed_server_leaves_no_supervisor_without_a_run() {
    let mut server = Server::start(&[]).await;
    let runs = server.data_dir().join("runs");
    until("a spare waits", || waiting(&runs).len() == 1).await;
    let before = waiting(&runs);
    server.kill();
    until("it is gone", || waiting(&runs).is_empty()).await;
    server.start_again().await;
    until("another waits", || waiting(&runs).len() == 1).await;
    assert_ne!(waiting(&runs), before);
    server.register("true", &["/bin/true"], json!({})).await;
    let id = server.submit("true", "x").await;
    assert_eq!(server.await_end("true", &id).await["status"], "completed");
    until("it is replaced", || waiting(&runs).len() == 1).await;
    server.stop().await;
    until("it is gone", || waiting(&runs).is_empty()).await;
}
