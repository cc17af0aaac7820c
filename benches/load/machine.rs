//! Where and when the figures were measured.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use chrono::Utc;
use serde::Serialize;

use crate::{Failure, raw, repository};

/// How long the disk's sync is measured.
const DISK: Duration = Duration::from_secs(1);
/// What is synced, in bytes: about one event.
const DISK_BYTES: usize = 439;

/// The machine, the moment and the code.
#[derive(Clone, Debug, Serialize)]
pub struct Machine {
    date: String,
    commit: String,
    profile: &'static str,
    processor: String,
    cores: usize,
    memory_gb: f64,
    kernel: String,
    /// One append and fdatasync of a small file, in milliseconds.
    sync_p50_ms: f64,
    /// Processes that wanted a processor in the last minute, on average, before anything was
    /// measured.
    load: String,
}

impl Machine {
    /// In one line.
    pub fn line(&self) -> String {
        format!(
            "{}, commit {}, {} build; {} cores ({}), {:.0} GB, Linux {}, fdatasync p50 {:.2} ms, \
             load before {}",
            self.date,
            self.commit,
            self.profile,
            self.cores,
            self.processor,
            self.memory_gb,
            self.kernel,
            self.sync_p50_ms,
            self.load,
        )
    }
}

/// Looks around.
pub fn describe(folder: &Path) -> Result<Machine, Failure> {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let entry = |text: &str, name: &str| {
        let line = text.lines().find(|line| line.starts_with(name))?;
        Some(line.split_once(':')?.1.trim().to_owned())
    };
    let memory = entry(&read("/proc/meminfo"), "MemTotal").unwrap_or_default();
    let memory_kb: f64 = memory.trim_end_matches(" kB").parse().unwrap_or(0.0);
    let (_, syncs) = raw::appended(folder, DISK_BYTES, 1.0, DISK)?;
    Ok(Machine {
        date: Utc::now().format("%Y-%m-%d").to_string(),
        commit: commit(),
        profile: if cfg!(debug_assertions) { "dev" } else { "release" },
        processor: entry(&read("/proc/cpuinfo"), "model name").unwrap_or_default(),
        cores: std::thread::available_parallelism()?.get(),
        memory_gb: memory_kb / 1e6,
        kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
        sync_p50_ms: syncs.ms(0.5),
        load: read("/proc/loadavg").split(' ').next().unwrap_or_default().to_owned(),
    })
}

/// The commit, marked where the code differs from it.
fn commit() -> String {
    let git = |arguments: &[&str]| {
        let done = Command::new("git").args(arguments).current_dir(repository()).output().ok()?;
        done.status.success().then(|| String::from_utf8_lossy(&done.stdout).trim().to_owned())
    };
    let Some(commit) = git(&["rev-parse", "--short=10", "HEAD"]) else {
        return "unknown".to_owned();
    };
    let changes = git(&["status", "--porcelain", "--untracked-files=no", "--", ".", ":!docs"]);
    if changes.is_some_and(|changes| changes.is_empty()) {
        commit
    } else {
        commit + " with changes"
    }
}
