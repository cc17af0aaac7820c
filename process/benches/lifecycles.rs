//! How many runs of `/bin/true` a second the supervisors of this machine get through, beside the
//! same number of bare starts of the program. `cargo bench -p execution-ledger-process`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use execution_ledger_domain::{AgentName, ClaimId, ExecutionId};
use execution_ledger_process::orders::{FORMAT_VERSION, Orders, RunFiles};
use execution_ledger_process::supervisor::{self, Probe, Starter};

/// Runs in all.
const RUNS: u64 = 3_000;
/// Runs at once.
const PARALLEL: usize = 16;

type Failure = Box<dyn std::error::Error + Send + Sync>;

fn main() -> Result<(), Failure> {
    let mut args = std::env::args_os().skip(1);
    if args.next().is_some_and(|first| first == "supervise") {
        supervisor::main(args)
    }
    let directory = tempfile::tempdir()?;
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;

    let bare = Instant::now();
    for _ in 0..RUNS / 10 {
        Command::new("/bin/true").status()?;
    }
    report("bare starts, one after the other", RUNS / 10, bare.elapsed());

    let supervised = Instant::now();
    runtime.block_on(all_runs(directory.path()))?;
    report("supervised runs, 16 at once", RUNS, supervised.elapsed());
    Ok(())
}

fn report(what: &str, count: u64, took: Duration) {
    println!("{what}: {:.0}/s", count as f64 / took.as_secs_f64());
}

async fn all_runs(runs: &Path) -> Result<(), Failure> {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let mut workers = Vec::new();
    for _ in 0..PARALLEL {
        let runs = runs.to_owned();
        workers.push(tokio::spawn(async move {
            while NEXT.fetch_add(1, Ordering::Relaxed) < RUNS {
                one_run(&runs).await?;
            }
            Ok::<(), Failure>(())
        }));
    }
    for worker in workers {
        worker.await??;
    }
    Ok(())
}

async fn one_run(runs: &Path) -> Result<(), Failure> {
    let orders = Orders {
        version: FORMAT_VERSION,
        execution_id: ExecutionId(uuid::Uuid::now_v7()),
        claim: ClaimId(uuid::Uuid::now_v7()),
        agent: AgentName::new("bench")?,
        argv: vec!["/bin/true".to_owned()],
        env: BTreeMap::new(),
        env_allow: Vec::new(),
        env_from: BTreeMap::new(),
        cwd: PathBuf::from("/"),
        make_cwd: false,
        run_as: None,
        stdin_from_file: false,
        timeout_ms: 60_000,
        lease_ms: 360_000,
        grace_ms: 5_000,
        drain_ms: 2_000,
        output_max_bytes: 1 << 20,
        memory_max_bytes: None,
        node_term: None,
    };
    let files = RunFiles::new(runs, orders.execution_id, orders.claim);
    let starter = Starter::new(runs.to_owned());
    let start = move || {
        let room = starter.make_room(orders.execution_id)?;
        starter.start(&room, &orders, None, &[])
    };
    let started = tokio::task::spawn_blocking(start).await??;
    started.exited().await?;
    match supervisor::probe(&files)? {
        Probe::Finished(status) if status.spawn_error.is_none() => {
            std::fs::remove_dir_all(&files.directory)?;
            Ok(())
        }
        other => Err(format!("the run did not finish: {other:?}").into()),
    }
}
