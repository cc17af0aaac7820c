//! The supervisor through the real binary: misbehaving agents, each ended with nothing left alive.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use execution_ledger_domain::agent::SecretSource;
use execution_ledger_domain::content::Digest;
use execution_ledger_domain::execution::{Exit, Signal, StopCause};
use execution_ledger_domain::{AgentName, ClaimId, ExecutionId};
use execution_ledger_process::orders::{FORMAT_VERSION, Orders, RunFiles, supervisor_signal};
use execution_ledger_process::status::Status;
use execution_ledger_process::supervisor::{self, Handle, Probe};
use execution_ledger_process::transcript::{self, LINE_MAX_BYTES, Line, OutputStream};
use tempfile::TempDir;
use uuid::Uuid;

use crate::support::state_of;

const PROGRAM: &str = env!("CARGO_BIN_EXE_execution-ledger");
/// Whatever takes longer than this has failed.
const PATIENCE: Duration = Duration::from_mins(1);
/// Between two looks at something that is about to happen.
const LOOK: Duration = Duration::from_millis(5);

/// One run in a directory of its own.
struct Run {
    directory: TempDir,
    orders: Orders,
    stdin: Option<String>,
}

impl Run {
    fn of(argv: &[&str]) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let orders = Orders {
            version: FORMAT_VERSION,
            execution_id: ExecutionId(Uuid::now_v7()),
            claim: ClaimId(Uuid::now_v7()),
            agent: AgentName::new("misbehaving").expect("a name"),
            argv: argv.iter().map(ToString::to_string).collect(),
            env: BTreeMap::new(),
            env_allow: Vec::new(),
            env_from: BTreeMap::new(),
            cwd: directory.path().to_owned(),
            make_cwd: false,
            run_as: None,
            stdin_from_file: false,
            timeout_ms: 60_000,
            lease_ms: 120_000,
            grace_ms: 5_000,
            drain_ms: 2_000,
            output_max_bytes: 64 * 1024 * 1024,
            memory_max_bytes: None,
            node_term: None,
        };
        Self { directory, orders, stdin: None }
    }

    /// A script of `tests/agents`.
    fn script(name: &str) -> Self {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/agents").join(name);
        let path = path.to_str().expect("a path of UTF-8").to_owned();
        let python = Path::new(name).extension().is_some_and(|extension| extension == "py");
        let shell = if python { "python3" } else { "sh" };
        Self::of(&[shell, &path])
    }

    fn shell(script: &str) -> Self {
        Self::of(&["sh", "-c", script])
    }

    fn with(mut self, change: impl FnOnce(&mut Orders)) -> Self {
        change(&mut self.orders);
        self
    }

    fn runs(&self) -> PathBuf {
        self.directory.path().join("runs")
    }

    fn files(&self) -> RunFiles {
        RunFiles::new(&self.runs(), self.orders.execution_id, self.orders.claim)
    }

    fn start(&self) -> Handle {
        supervisor::start_program(
            Path::new(PROGRAM),
            &self.runs(),
            &self.orders,
            self.stdin.as_deref(),
            &[],
        )
        .expect("a supervisor")
    }

    /// The program with variables of its own: the environment of this process is shared by all
    /// tests, so a shell between sets them for one supervisor alone.
    fn wrapped(&self, variables: &str) -> PathBuf {
        let program = self.directory.path().join("ledger");
        let script = format!("#!/bin/sh\n{variables} exec '{PROGRAM}' \"$@\"\n");
        fs::write(&program, script).expect("written");
        let executable = <fs::Permissions as std::os::unix::fs::PermissionsExt>::from_mode(0o755);
        fs::set_permissions(&program, executable).expect("set");
        program
    }

    async fn to_its_end(&self) -> Status {
        ended(&self.start()).await;
        self.status()
    }

    fn status(&self) -> Status {
        match supervisor::probe(&self.files()).expect("a probe") {
            Probe::Finished(status) => *status,
            other => panic!("not finished: {other:?}"),
        }
    }

    fn lines(&self) -> Vec<Line> {
        let lines = transcript::lines(&self.files().spool()).expect("a spool");
        lines.collect::<Result<_, _>>().expect("lines")
    }

    fn text(&self) -> Vec<String> {
        self.lines().into_iter().map(|line| line.line).collect()
    }

    /// Waits until the agent has printed this line.
    async fn printed(&self, expected: &str) {
        until(|| self.text().iter().any(|line| line == expected)).await;
    }

    /// What is alive with this run's marker in its environment.
    fn alive(&self) -> Vec<i32> {
        let marker = format!("EXECUTION_LEDGER_EXECUTION_ID={}", self.orders.execution_id);
        let pids = fs::read_dir("/proc")
            .expect("/proc")
            .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<i32>().ok());
        pids.filter(|pid| {
            fs::read(format!("/proc/{pid}/environ")).is_ok_and(|environment| {
                environment.split(|&byte| byte == 0).any(|variable| variable == marker.as_bytes())
            })
        })
        .collect()
    }

    fn assert_consistent(&self, status: &Status) {
        let spool = fs::read(self.files().spool()).expect("a spool");
        assert_eq!(status.bytes, spool.len() as u64);
        assert_eq!(status.sha256, Digest::of(&spool));
        let lines = self.lines();
        assert_eq!(status.lines, lines.len() as u64);
        assert!(lines.iter().zip(1..).all(|(line, seq)| line.seq == seq));
        assert_eq!(self.alive(), Vec::<i32>::new());
    }
}

async fn ended(handle: &Handle) {
    tokio::time::timeout(PATIENCE, handle.exited())
        .await
        .expect("an end in time")
        .expect("watched");
}

async fn until(mut happened: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !happened() {
        assert!(Instant::now() < deadline, "it did not happen");
        tokio::time::sleep(LOOK).await;
    }
}

fn signals(status: &Status) -> Vec<Signal> {
    status.signals.iter().map(|sent| sent.signal).collect()
}

#[tokio::test]
async fn a_run_that_ends_by_itself_is_recorded_with_all_its_lines() {
    let run = Run::shell("echo one; echo two >&2; printf three; exit 7");
    let status = run.to_its_end().await;
    assert_eq!(status.exit, Some(Exit::Code(7)));
    assert_eq!((status.stopped, status.killed_processes), (None, 0));
    assert!(status.signals.is_empty());
    assert!(status.ended_at >= status.started_at);
    let of = |stream| -> Vec<_> {
        run.lines().into_iter().filter(|l| l.stream == stream).map(|l| l.line).collect()
    };
    assert_eq!(of(OutputStream::Stdout), ["one", "three"]);
    assert_eq!(of(OutputStream::Stderr), ["two"]);
    let files = fs::read_dir(run.files().directory).expect("the run's directory");
    assert_eq!(
        files.count(),
        3,
        "lock, status, spool: the orders, with the run token, are no file"
    );
    run.assert_consistent(&status);
}

#[tokio::test]
async fn an_agent_that_ignores_sigint_is_killed_after_the_grace_period() {
    let run = Run::script("ignores_sigint.sh").with(|orders| orders.grace_ms = 200);
    let handle = run.start();
    run.printed("ready").await;
    assert!(handle.signal(supervisor_signal::CANCEL).expect("sent"));
    // Asking twice neither repeats nor hastens anything.
    assert!(handle.signal(supervisor_signal::CANCEL).expect("sent"));
    ended(&handle).await;
    let status = run.status();
    assert_eq!(status.stopped, Some(StopCause::Cancelled));
    assert_eq!(status.exit, Some(Exit::Signal(9)));
    assert_eq!(signals(&status), [Signal::Interrupt, Signal::Kill]);
    assert!(status.signals[1].at.ms_since(status.signals[0].at) >= 150);
    run.assert_consistent(&status);
}

#[tokio::test]
async fn an_agent_hears_sigint_also_under_a_ledger_that_was_started_to_ignore_it() {
    // As a shell starts what a script puts into the background.
    let run = Run::shell("trap 'echo bye; exit 0' INT; echo ready; while :; do sleep 0.05; done");
    let deaf = run.wrapped("trap '' INT QUIT TERM CHLD;");
    let handle = supervisor::start_program(&deaf, &run.runs(), &run.orders, None, &[]);
    let handle = handle.expect("a supervisor");
    run.printed("ready").await;
    handle.signal(supervisor_signal::CANCEL).expect("sent");
    ended(&handle).await;
    let status = run.status();
    assert_eq!((status.exit, status.stopped), (Some(Exit::Code(0)), Some(StopCause::Cancelled)));
    assert_eq!(signals(&status), [Signal::Interrupt]);
    run.assert_consistent(&status);
}

#[tokio::test]
async fn an_agent_that_obeys_sigint_is_not_killed() {
    let run = Run::shell("trap 'echo bye; exit 0' INT; echo ready; while :; do sleep 0.05; done");
    let handle = run.start();
    run.printed("ready").await;
    handle.signal(supervisor_signal::CANCEL).expect("sent");
    ended(&handle).await;
    let status = run.status();
    assert_eq!(status.exit, Some(Exit::Code(0)));
    assert_eq!(status.stopped, Some(StopCause::Cancelled));
    assert_eq!(signals(&status), [Signal::Interrupt]);
    assert_eq!(run.text().last().map(String::as_str), Some("bye"));
    run.assert_consistent(&status);
}

#[tokio::test]
async fn children_in_sessions_of_their_own_are_killed_with_the_tree() {
    let run = Run::script("daemonises.sh").with(|orders| orders.grace_ms = 100);
    let handle = run.start();
    run.printed("ready").await;
    until(|| run.alive().len() >= 4).await;
    handle.signal(supervisor_signal::CANCEL).expect("sent");
    ended(&handle).await;
    let status = run.status();
    assert!(status.killed_processes >= 3, "{status:?}");
    run.assert_consistent(&status);
}

#[tokio::test]
async fn what_an_agent_leaves_behind_with_its_output_open_is_drained_killed_and_counted() {
    let run = Run::shell("nohup sh -c 'echo from the child; sleep 600' & echo bye")
        .with(|orders| orders.drain_ms = 300);
    let began = Instant::now();
    let status = run.to_its_end().await;
    assert!(began.elapsed() < Duration::from_secs(30));
    assert_eq!(status.exit, Some(Exit::Code(0)));
    assert_eq!(status.stopped, None);
    assert!(status.killed_processes >= 1, "{status:?}");
    assert!(run.text().contains(&"from the child".to_owned()));
    assert!(status.duration_ms < 5_000, "the run ended with its first process: {status:?}");
    run.assert_consistent(&status);
}

#[tokio::test]
async fn output_beyond_the_cap_ends_the_run_and_is_not_stored() {
    let run = Run::shell("yes 'a line that is printed for ever'").with(|orders| {
        orders.output_max_bytes = 100_000;
    });
    let status = run.to_its_end().await;
    assert_eq!(status.stopped, Some(StopCause::OutputLimit));
    assert!(status.bytes <= 100_000 && status.bytes > 99_000, "{status:?}");
    run.assert_consistent(&status);
}

#[tokio::test]
async fn two_hundred_megabytes_are_stopped_at_sixty_four() {
    let run = Run::shell("head -c 200000000 /dev/zero | tr '\\0' 'a' | fold -w 1000");
    let status = run.to_its_end().await;
    assert_eq!(status.stopped, Some(StopCause::OutputLimit));
    assert!(status.bytes <= 64 * 1024 * 1024 && status.bytes > 63 * 1024 * 1024, "{status:?}");
    run.assert_consistent(&status);
}

#[tokio::test]
async fn a_line_of_a_hundred_megabytes_is_split_into_parts() {
    let run = Run::shell("head -c 100000000 /dev/zero | tr '\\0' 'a'")
        .with(|orders| orders.output_max_bytes = 110_000_000);
    let status = run.to_its_end().await;
    assert_eq!((status.exit, status.stopped), (Some(Exit::Code(0)), None));
    let lines = run.lines();
    assert!(lines.iter().all(|line| line.line.len() <= LINE_MAX_BYTES));
    assert_eq!(lines.iter().map(|line| line.line.len()).sum::<usize>(), 100_000_000);
    let (last, others) = lines.split_last().expect("lines");
    assert!(!last.continued && others.iter().all(|line| line.continued));
    run.assert_consistent(&status);
}

#[tokio::test]
async fn output_that_is_no_utf8_is_kept_as_far_as_it_can_be_read() {
    let run = Run::shell(r"printf 'good\nbad \377\376 end\n\303\244\n'");
    let status = run.to_its_end().await;
    let lines = run.lines();
    assert_eq!(run.text(), ["good", "bad \u{fffd}\u{fffd} end", "ä"]);
    assert_eq!(lines.iter().map(|l| l.invalid_utf8).collect::<Vec<_>>(), [false, true, false]);
    run.assert_consistent(&status);
}

#[tokio::test]
async fn a_program_that_does_not_exist_is_named_with_where_it_was_sought() {
    for (argv, cwd, expected) in [
        (
            vec!["no-such-program-anywhere"],
            None,
            "program not found: no-such-program-anywhere (searched PATH=",
        ),
        (vec!["/no/such/program"], None, "program not found: /no/such/program"),
        (vec!["/etc/passwd"], None, "permission denied: /etc/passwd"),
        (vec!["/bin/true"], Some("/no/such/place"), "no such directory: /no/such/place"),
    ] {
        let run = Run::of(&argv).with(|orders| {
            if let Some(cwd) = cwd {
                orders.cwd = cwd.into();
            }
        });
        let status = run.to_its_end().await;
        let why = status.spawn_error.clone().unwrap_or_default();
        assert!(why.starts_with(expected), "{why}");
        assert_eq!(status.exit, None);
        run.assert_consistent(&status);
    }
}

#[tokio::test]
async fn an_agent_that_closes_its_output_and_hangs_is_stopped_by_the_timeout() {
    let run = Run::shell("echo closing; exec >&- 2>&-; exec sleep 600").with(|orders| {
        orders.timeout_ms = 300;
        orders.grace_ms = 5_000;
    });
    let status = run.to_its_end().await;
    assert_eq!(status.stopped, Some(StopCause::Timeout));
    assert_eq!(status.exit, Some(Exit::Signal(2)));
    assert!((300..10_000).contains(&status.duration_ms), "{status:?}");
    run.assert_consistent(&status);
}

#[tokio::test]
async fn a_lapsed_lease_kills_at_once() {
    // So near its lapse that the ledger's word is believed.
    let run = Run::script("ignores_sigint.sh").with(|orders| orders.lease_ms = 5_000);
    let handle = run.start();
    run.printed("ready").await;
    handle.signal(supervisor_signal::LEASE_LAPSED).expect("sent");
    ended(&handle).await;
    let status = run.status();
    assert_eq!(status.stopped, Some(StopCause::LeaseExpired));
    assert_eq!(signals(&status), [Signal::Kill]);
    assert!(status.duration_ms < 4_500, "it waited for its own clock: {status:?}");
    run.assert_consistent(&status);

    let alone = Run::script("ignores_sigint.sh").with(|orders| orders.lease_ms = 300);
    let status = alone.to_its_end().await;
    assert_eq!(status.stopped, Some(StopCause::LeaseExpired));
    alone.assert_consistent(&status);
}

#[tokio::test]
async fn a_lease_that_lapsed_only_by_the_ledgers_clock_has_not_lapsed() {
    let run = Run::shell("trap 'echo bye; exit 0' INT; echo ready; while :; do sleep 0.05; done");
    let handle = run.start();
    handle.signal(supervisor_signal::LEASE_LAPSED).expect("sent");
    run.printed("ready").await;
    handle.signal(supervisor_signal::LEASE_LAPSED).expect("sent");
    handle.signal(supervisor_signal::CANCEL).expect("sent");
    ended(&handle).await;
    let status = run.status();
    assert_eq!((status.exit, status.stopped), (Some(Exit::Code(0)), Some(StopCause::Cancelled)));
    assert_eq!(signals(&status), [Signal::Interrupt]);
    run.assert_consistent(&status);
}

#[tokio::test]
async fn an_agent_that_the_host_ended_before_the_supervisor_heard_of_it_was_ended_by_the_host() {
    for (signal, expected) in [
        (nix::sys::signal::Signal::SIGTERM, Some(StopCause::HostShutdown)),
        // Nothing that a host does to a process: it broke down by itself.
        (nix::sys::signal::Signal::SIGSEGV, None),
    ] {
        // What it leaves behind keeps its output open, so that the supervisor waits for more.
        let run = Run::shell("sleep 600 & echo $$; exec sleep 600")
            .with(|orders| orders.drain_ms = 60_000);
        let handle = run.start();
        until(|| !run.text().is_empty()).await;
        let pid: i32 = run.text()[0].parse().expect("a pid");
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), signal).expect("sent");
        // Gone from the process table: its end was seen.
        until(|| !Path::new(&format!("/proc/{pid}")).exists()).await;
        handle.signal(supervisor_signal::HOST_SHUTDOWN).expect("sent");
        ended(&handle).await;
        let status = run.status();
        assert_eq!(status.exit, Some(Exit::Signal(signal as i32)));
        assert_eq!(status.stopped, expected);
        run.assert_consistent(&status);
    }
}

#[tokio::test]
async fn an_end_that_was_seen_is_recorded_although_the_output_cannot_be_made_durable() {
    let run = Run::shell("echo one; exit 3");
    // It takes what is written, and refuses to be synced.
    fs::create_dir_all(&run.files().directory).expect("made");
    std::os::unix::fs::symlink("/dev/null", run.files().spool()).expect("linked");
    let status = run.to_its_end().await;
    assert_eq!((status.exit, status.stopped), (Some(Exit::Code(3)), Some(StopCause::DiskFull)));
    assert_eq!(status.lines, 1);
}

#[tokio::test]
async fn a_host_that_goes_down_is_recorded_as_the_cause() {
    let run = Run::shell("echo ready; exec sleep 600");
    let handle = run.start();
    run.printed("ready").await;
    handle.signal(supervisor_signal::HOST_SHUTDOWN).expect("sent");
    ended(&handle).await;
    let status = run.status();
    assert_eq!(status.stopped, Some(StopCause::HostShutdown));
    run.assert_consistent(&status);
}

#[tokio::test]
async fn a_cancel_before_the_spawn_never_spawns() {
    let run = Run::shell("touch ran; sleep 600");
    let handle = run.start();
    // It arrives while the program is still being loaded, or, seldom, just after the spawn.
    handle.signal(supervisor_signal::CANCEL).expect("sent");
    ended(&handle).await;
    let status = run.status();
    assert_eq!(status.stopped, Some(StopCause::Cancelled));
    assert!(status.exit.is_some() || !run.directory.path().join("ran").exists());
    run.assert_consistent(&status);
}

#[tokio::test]
async fn standard_input_is_the_message_or_nothing() {
    let mut run = Run::shell("cat; echo end").with(|orders| orders.stdin_from_file = true);
    run.stdin = Some("a message\nof two lines\n".to_owned());
    run.to_its_end().await;
    assert_eq!(run.text(), ["a message", "of two lines", "end"]);

    let without = Run::shell("cat; echo end");
    without.to_its_end().await;
    assert_eq!(without.text(), ["end"]);
}

#[tokio::test]
async fn the_simulated_agent_takes_a_message_that_no_argument_could_hold() {
    let mut run = Run::of(&[PROGRAM, "demo-agent"]).with(|orders| orders.stdin_from_file = true);
    run.stdin = Some("x".repeat(256 * 1024));
    let status = run.to_its_end().await;
    assert_eq!(status.exit, Some(Exit::Code(0)));
    let last = run.text().pop().unwrap_or_default();
    assert!(last.contains("The message was 262144 characters long"), "{last}");
}

#[tokio::test]
async fn the_agent_dies_with_its_supervisor_and_the_run_is_known_as_lost() {
    let run = Run::shell("setsid sleep 600 & echo ready; exec sleep 600");
    let handle = run.start();
    run.printed("ready").await;
    assert!(matches!(supervisor::probe(&run.files()), Ok(Probe::Alive(_))));
    let supervisor = nix::unistd::Pid::from_raw(handle.pid());
    nix::sys::signal::kill(supervisor, nix::sys::signal::Signal::SIGKILL).expect("killed");
    ended(&handle).await;
    let probe = supervisor::probe(&run.files()).expect("a probe");
    assert!(matches!(probe, Probe::Lost { other_boot: false }), "{probe:?}");
    // The first process dies with it; what left its tree carries the marker.
    until(|| run.alive().len() <= 1).await;
    assert_eq!(supervisor::kill_leftovers(run.orders.execution_id), 1);
    until(|| run.alive().is_empty()).await;
    assert_eq!(transcript::measure(&run.files().spool()).expect("measured").lines, 1);
}

#[tokio::test]
async fn of_two_supervisors_with_one_claim_one_runs_the_agent() {
    let run = Run::shell("echo ran >> ran; sleep 0.3");
    let (one, two) = (run.start(), run.start());
    ended(&one).await;
    ended(&two).await;
    assert_eq!(run.status().exit, Some(Exit::Code(0)));
    let ran = fs::read_to_string(run.directory.path().join("ran")).expect("it ran");
    assert_eq!(ran, "ran\n");
    // And a third that comes when all is over finds the claim taken.
    ended(&run.start()).await;
    let ran = fs::read_to_string(run.directory.path().join("ran")).expect("it ran");
    assert_eq!(ran, "ran\n");
}

#[tokio::test]
async fn a_claim_that_was_given_up_is_taken_by_no_supervisor() {
    let run = Run::shell("touch ran");
    // Without its directory no supervisor can begin.
    assert!(supervisor::seal(&run.files()).expect("nothing to seal"));
    fs::create_dir_all(run.files().directory).expect("made");
    assert!(supervisor::seal(&run.files()).expect("sealed"));
    assert!(matches!(supervisor::probe(&run.files()), Ok(Probe::Sealed)));
    ended(&run.start()).await;
    assert!(!run.directory.path().join("ran").exists());
    assert!(matches!(supervisor::probe(&run.files()), Ok(Probe::Sealed)));
    let files = fs::read_dir(run.files().directory).expect("the run's directory");
    assert_eq!(files.count(), 1, "the seal");
}

#[tokio::test]
async fn a_claim_that_a_supervisor_has_is_not_given_up() {
    let run = Run::shell("true");
    let status = run.to_its_end().await;
    assert!(!supervisor::seal(&run.files()).expect("asked"));
    assert_eq!(run.status(), status);
}

#[tokio::test]
async fn nothing_is_known_of_a_run_that_no_supervisor_has_taken() {
    let run = Run::shell("true");
    assert!(matches!(supervisor::probe(&run.files()), Ok(Probe::NotStarted)));
}

#[tokio::test]
async fn secrets_are_redacted_also_across_the_border_of_a_split_line() {
    let run = Run::script("prints_secrets.py").with(|orders| {
        let key = "EXECUTION_LEDGER_KEY".to_owned();
        orders.env.insert(key, "opaque-run-token-of-this-run".to_owned());
    });
    let status = run.to_its_end().await;
    assert_eq!(status.exit, Some(Exit::Code(0)));
    let spool = fs::read_to_string(run.files().spool()).expect("a spool");
    for secret in ["sk-ant", "0123456789abcdef", "hunter2", "opaque-run-token", "MIIEow"] {
        assert!(!spool.contains(secret), "{secret}");
    }
    assert!(status.redactions >= 4, "{status:?}");
    run.assert_consistent(&status);
}

#[tokio::test]
async fn what_is_taken_over_under_the_name_of_a_secret_is_redacted_as_such() {
    let run = Run::shell("echo \"it is $A_PASSWORD_OF_THE_LEDGER, and $PLAIN_OF_THE_LEDGER\"")
        .with(|orders| {
            orders.env_allow.push("A_PASSWORD_OF_THE_LEDGER".to_owned());
            orders.env_allow.push("PLAIN_OF_THE_LEDGER".to_owned());
        });
    // The environment of this process is shared by all tests: so a shell between sets these.
    let program =
        run.wrapped("A_PASSWORD_OF_THE_LEDGER=ordinary-words PLAIN_OF_THE_LEDGER=other-words");
    let handle =
        supervisor::start_program(&program, &run.runs(), &run.orders, None, &[]).expect("started");
    ended(&handle).await;
    assert_eq!(run.text(), ["it is [redacted], and other-words"]);
    assert_eq!(run.status().redactions, 1);
}

#[tokio::test]
async fn an_agent_gets_what_is_allowed_of_the_environment_and_its_secrets_and_no_more() {
    let directory = tempfile::tempdir().expect("a directory");
    let secret = directory.path().join("secret");
    fs::write(&secret, "from-the-file\n").expect("written");
    let run =
        Run::shell("env | cut -d= -f1 | sort | tr '\\n' ' '; test \"$FILED\" = from-the-file")
            .with(|orders| {
                orders.env.insert("GIVEN".to_owned(), "x".to_owned());
                orders.env_allow.push("CARGO_PKG_NAME".to_owned());
                let source = SecretSource::File(secret.to_string_lossy().into_owned());
                orders.env_from.insert("FILED".to_owned(), source);
            });
    let status = run.to_its_end().await;
    assert_eq!(status.exit, Some(Exit::Code(0)));
    let text = run.text().join(" ");
    let names: Vec<&str> = text.split_whitespace().collect();
    for expected in ["GIVEN", "FILED", "PATH", "EXECUTION_LEDGER_EXECUTION_ID", "CARGO_PKG_NAME"] {
        assert!(names.contains(&expected), "{expected}: {names:?}");
    }
    // Cargo sets many for this test; none but the allowed one comes through.
    assert!(!names.iter().any(|n| n.starts_with("CARGO_") && *n != "CARGO_PKG_NAME"), "{names:?}");
}

#[tokio::test]
async fn a_missing_secret_is_named_and_nothing_is_started() {
    for (source, expected) in [
        (
            SecretSource::Variable("NO_SUCH_VARIABLE_HERE".to_owned()),
            "env_from KEY: the ledger's environment has no variable NO_SUCH_VARIABLE_HERE",
        ),
        (SecretSource::File("/no/such/secret".to_owned()), "env_from KEY: file /no/such/secret: "),
    ] {
        let run = Run::shell("touch ran").with(|orders| {
            orders.env_from.insert("KEY".to_owned(), source);
        });
        let status = run.to_its_end().await;
        let why = status.spawn_error.unwrap_or_default();
        assert!(why.starts_with(expected), "{why}");
        assert!(!run.directory.path().join("ran").exists());
    }
}

#[tokio::test]
async fn an_agent_runs_as_the_user_it_is_given_in_a_directory_of_its_own() {
    if !nix::unistd::geteuid().is_root() {
        println!("only root can change users: not tested");
        return;
    }
    let run = Run::shell("id -un; id -Gn; pwd; touch made && echo $HOME").with(|orders| {
        orders.run_as = Some("nobody".to_owned());
        orders.cwd = orders.cwd.join("all/work");
        orders.make_cwd = true;
    });
    // Others may pass through the directory of the test, not look into it.
    let passable = <fs::Permissions as std::os::unix::fs::PermissionsExt>::from_mode(0o711);
    fs::set_permissions(run.directory.path(), passable).expect("set");
    let status = run.to_its_end().await;
    assert_eq!(
        (status.exit, &status.spawn_error),
        (Some(Exit::Code(0)), &None),
        "{:?}",
        run.text()
    );
    let text = run.text();
    assert_eq!(text[0], "nobody");
    assert!(!text[1].contains("root"), "{text:?}");
    assert_eq!(text[2], run.orders.cwd.to_string_lossy());
    run.assert_consistent(&status);

    let unknown = Run::shell("true").with(|orders| orders.run_as = Some("no-such-user".to_owned()));
    let why = unknown.to_its_end().await.spawn_error.unwrap_or_default();
    assert_eq!(why, "run_as no-such-user: no such user");
}

#[tokio::test]
async fn an_agent_gets_no_descriptor_but_its_three() {
    let run = Run::shell(
        "for fd in 3 4 5 6 7 8 9 10 11 12; do test -e /proc/$$/fd/$fd && echo $fd; done",
    );
    run.to_its_end().await;
    assert_eq!(run.text(), Vec::<String>::new());
}

#[tokio::test]
async fn memory_is_limited_where_it_is_to_be() {
    let run = Run::of(&["python3", "-c", "x = bytearray(2_000_000_000)"])
        .with(|orders| orders.memory_max_bytes = Some(512 * 1024 * 1024));
    let status = run.to_its_end().await;
    assert_eq!(status.exit, Some(Exit::Code(1)));
    assert!(run.text().iter().any(|line| line.contains("MemoryError")), "{:?}", run.text());
}

#[tokio::test]
async fn an_agent_that_ends_between_two_looks_of_its_supervisor_is_seen_to_have_ended() {
    // What it leaves behind keeps its output open: nothing but the signal tells of its end.
    let run = Run::shell("sleep 600 & echo $$; until [ -e go ]; do sleep 0.01; done; exit 3")
        .with(|orders| orders.drain_ms = 100);
    let program = run.wrapped("EXECUTION_LEDGER_PAUSE_AT=supervisor.looked");
    let handle =
        supervisor::start_program(&program, &run.runs(), &run.orders, None, &[]).expect("started");
    // It has looked whether a child ended, and not yet at the signals that have come meanwhile.
    until(|| state_of(handle.pid()) == Some('T')).await;
    let agent: i32 = run.text()[0].parse().expect("a pid");
    fs::write(run.directory.path().join("go"), "").expect("written");
    until(|| state_of(agent) == Some('Z')).await;
    let supervisor = nix::unistd::Pid::from_raw(handle.pid());
    nix::sys::signal::kill(supervisor, nix::sys::signal::Signal::SIGCONT).expect("continued");
    ended(&handle).await;
    let status = run.status();
    assert_eq!((status.exit, status.stopped), (Some(Exit::Code(3)), None));
    run.assert_consistent(&status);
}

#[tokio::test]
async fn a_supervisor_that_dies_between_any_two_steps_leaves_the_truth() {
    for (point, lost) in [
        ("supervisor.locked", true),
        ("supervisor.before_exec", true),
        ("supervisor.spawned", true),
        ("supervisor.first_line", true),
        ("supervisor.exited", true),
        ("supervisor.status_written", false),
    ] {
        let run = Run::shell("echo a line");
        let program = run.wrapped(&format!("EXECUTION_LEDGER_FAIL_AT={point}"));
        let handle = supervisor::start_program(&program, &run.runs(), &run.orders, None, &[])
            .expect("started");
        ended(&handle).await;
        let probe = supervisor::probe(&run.files()).expect("a probe");
        match (lost, probe) {
            (true, Probe::Lost { other_boot: false }) => {}
            (false, Probe::Finished(status)) => run.assert_consistent(&status),
            (_, probe) => panic!("{point}: {probe:?}"),
        }
        supervisor::kill_leftovers(run.orders.execution_id);
        until(|| run.alive().is_empty()).await;
    }
}
