//! The bare program beside (c): the same supervisor, the same agent, three grouped syncs a run, and
//! nothing else of a ledger.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use execution_ledger_domain::{AgentName, ClaimId, ExecutionId};
use execution_ledger_process::orders::{FORMAT_VERSION, Orders, RunFiles};
use execution_ledger_process::supervisor::{self, Probe};
use tokio::task::JoinSet;
use uuid::Uuid;

use crate::Failure;
use crate::figures::Latencies;
use crate::raw::GroupedFile;
use crate::server::PROGRAM;

/// What an append has, in bytes: about an event.
const APPEND_BYTES: usize = 700;

/// That many runs, so many at once: runs a second and how long each took.
pub async fn runs(
    folder: &Path,
    count: usize,
    parallel: usize,
) -> Result<(f64, Latencies), Failure> {
    let directory = tempfile::tempdir_in(folder)?;
    let file = Arc::new(GroupedFile::create(&directory.path().join("log"), APPEND_BYTES)?);
    let runs = directory.path().join("runs");
    std::fs::create_dir(&runs)?;
    let begun = Arc::new(AtomicUsize::new(0));
    let began = Instant::now();
    let mut workers = JoinSet::new();
    for _ in 0..parallel {
        let (file, runs, begun) = (Arc::clone(&file), runs.clone(), Arc::clone(&begun));
        workers.spawn(async move {
            let mut latencies = Latencies::new()?;
            while begun.fetch_add(1, Ordering::Relaxed) < count {
                let started = Instant::now();
                one(&runs, &file).await?;
                latencies.add(started.elapsed());
            }
            Ok::<_, Failure>(latencies)
        });
    }
    let mut all = Latencies::new()?;
    while let Some(worked) = workers.join_next().await {
        all.merge(&worked??)?;
    }
    Ok((count as f64 / began.elapsed().as_secs_f64(), all))
}

async fn one(runs: &Path, file: &GroupedFile) -> Result<(), Failure> {
    let orders = orders()?;
    let files = RunFiles::new(runs, orders.execution_id, orders.claim);
    file.append().await?;
    file.append().await?;
    let root = runs.to_owned();
    let start = move || supervisor::start_program(Path::new(PROGRAM), &root, &orders, None, &[]);
    let started = tokio::task::spawn_blocking(start).await??;
    started.exited().await?;
    match supervisor::probe(&files)? {
        Probe::Finished(status) if status.spawn_error.is_none() => {}
        other => return Err(format!("the run did not finish: {other:?}").into()),
    }
    file.append().await?;
    Ok(std::fs::remove_dir_all(&files.directory)?)
}

fn orders() -> Result<Orders, Failure> {
    Ok(Orders {
        version: FORMAT_VERSION,
        execution_id: ExecutionId(Uuid::now_v7()),
        claim: ClaimId(Uuid::now_v7()),
        agent: AgentName::new("bench")?,
        argv: vec!["/bin/true".to_owned(), "message".to_owned()],
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
    })
}
