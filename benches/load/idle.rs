//! (g) Starting on a large log, and doing nothing.

use std::path::Path;
use std::time::Duration;

use crate::figures::{Figure, Section, Target};
use crate::server::Server;
use crate::{Failure, Sizes};

/// Longest start that is asked for, in milliseconds.
const START_MS: f64 = 1_000.0;
/// Memory of an idle server, in MB.
const MEMORY_MB: f64 = 80.0;
/// Processor time of an idle server, in per cent of one core.
const CPU_PERCENT: f64 = 1.0;
/// How long a started server settles before it is watched.
const SETTLE: Duration = Duration::from_secs(2);
/// Measures it on the large log, and on an empty one as the baseline.
pub async fn measure(folder: &Path, work: &Path, sizes: &Sizes) -> Result<Section, Failure> {
    let empty = tempfile::tempdir_in(folder)?;
    let small = watched(empty.path(), sizes).await?;
    let large = watched(work, sizes).await?;
    let raw = "empty log";
    let count = sizes.executions;
    let figures = vec![
        Figure::new(
            format!("start with {count} executions to /readyz, median"),
            large.start_ms,
            "ms",
        )
        .beside(raw, small.start_ms)
        .target(Target::Below(START_MS)),
        Figure::new("idle memory (RSS)", large.memory_mb, "MB")
            .beside(raw, small.memory_mb)
            .target(Target::Below(MEMORY_MB)),
        Figure::new("of it anonymous", large.anonymous_mb, "MB").beside(raw, small.anonymous_mb),
        Figure::new("idle processor time of one core", large.cpu_percent, "%")
            .beside(raw, small.cpu_percent)
            .target(Target::Below(CPU_PERCENT)),
        Figure::new(
            "the first start's notary, until its tree is made and signed",
            large.tree_s,
            "s",
        )
        .beside(raw, small.tree_s),
    ];
    let notes = vec![format!(
        "{} starts each, with the files in the page cache, after a first one that made the keys and \
         the notary's tree of the whole log while it answered already; memory and processor time \
         over {} s without a request",
        sizes.starts, sizes.idle_seconds
    )];
    Ok(Section { letter: 'g', title: "start and idleness", figures, notes })
}

struct Idle {
    start_ms: f64,
    memory_mb: f64,
    anonymous_mb: f64,
    cpu_percent: f64,
    tree_s: f64,
}

async fn watched(work: &Path, sizes: &Sizes) -> Result<Idle, Failure> {
    // The very first start makes keys and the notary's tree; it is not counted among the others.
    let tree_s = first_start(work).await?.as_secs_f64();
    let mut starts = Vec::new();
    for _ in 1..sizes.starts {
        let server = Server::start(work, &[]).await?;
        starts.push(server.ready_after);
        server.stop().await?;
    }
    let server = Server::start(work, &[]).await?;
    starts.push(server.ready_after);
    starts.sort_unstable();
    let start_ms = starts[starts.len() / 2].as_secs_f64() * 1e3;
    tokio::time::sleep(SETTLE).await;
    let before = cpu_ticks(server.pid())?;
    tokio::time::sleep(Duration::from_secs(sizes.idle_seconds)).await;
    let ticks = cpu_ticks(server.pid())? - before;
    let per_s = nix::unistd::sysconf(nix::unistd::SysconfVar::CLK_TCK)?.ok_or("no clock tick")?;
    let cpu_percent = ticks as f64 / per_s as f64 / sizes.idle_seconds as f64 * 100.0;
    let rss_mb = memory_mb(server.pid(), "VmRSS:")?;
    let anonymous_mb = memory_mb(server.pid(), "RssAnon:")?;
    server.stop().await?;
    Ok(Idle { start_ms, memory_mb: rss_mb, anonymous_mb, cpu_percent, tree_s })
}

/// Starts it on a log that its notary has not seen, and tells how long the tree took.
async fn first_start(work: &Path) -> Result<Duration, Failure> {
    let server = Server::start(work, &[]).await?;
    let took = server.notary_is_live().await?;
    server.stop().await?;
    Ok(took)
}

/// Memory of a process, in MB: this line of `/proc/PID/status`.
pub fn memory_mb(pid: u32, name: &str) -> Result<f64, Failure> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    let kb = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<f64>().ok());
    Ok(kb.ok_or_else(|| format!("/proc says nothing of {name}"))? / 1e3)
}

/// Processor time of a process so far, its own and the kernel's for it, in clock ticks.
fn cpu_ticks(pid: u32) -> Result<u64, Failure> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // After the name in parentheses; user and system time are the 12th and 13th from there.
    let rest = stat.rsplit_once(')').ok_or("/proc/PID/stat is not as it was")?.1;
    let mut fields = rest.split_ascii_whitespace().skip(11);
    let mut ticks = || fields.next().ok_or("/proc/PID/stat is too short");
    Ok(ticks()?.parse::<u64>()? + ticks()?.parse::<u64>()?)
}
