//! The processes of a run: all that descend from its supervisor, and all that carry its marker.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::time::Duration;

use execution_ledger_domain::ExecutionId;
use nix::sys::signal::Signal;

use super::sys::{pidfd_open, pidfd_send_signal};
use crate::orders::MARKER_VARIABLE;

/// An environment is never looked at beyond this, in bytes: the kernel allows a quarter of the
/// stack, which is 2 MiB as a rule.
const ENVIRONMENT_MAX_BYTES: u64 = 8 * 1024 * 1024;
/// How often what is left of a lost supervisor's run is looked for: processes may start others
/// while they are being killed.
const LEFTOVER_ROUNDS: u32 = 200;
/// Between two such rounds.
const LEFTOVER_PAUSE: Duration = Duration::from_millis(5);

/// One process, told from a later one with its number by when it was started.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Process {
    /// Its number.
    pub pid: i32,
    started: u64,
}

#[derive(Clone, Copy)]
struct Seen {
    process: Process,
    parent: i32,
    zombie: bool,
}

/// Kills every living process that descends from `root`, parents before their children, and
/// answers which it killed. To be repeated until none is left: they may fork meanwhile.
///
/// # Errors
/// Where `/proc` can't be read.
pub(super) fn kill_descendants(root: i32) -> io::Result<Vec<Process>> {
    let mut children: HashMap<i32, Vec<Seen>> = HashMap::new();
    for pid in all_pids()? {
        if let Some(seen) = look(pid) {
            children.entry(seen.parent).or_default().push(seen);
        }
    }
    let mut killed = Vec::new();
    let mut parents = vec![root];
    // Each process is reached once: it has one parent in what was seen.
    while let Some(parent) = parents.pop() {
        for seen in children.remove(&parent).unwrap_or_default() {
            parents.push(seen.process.pid);
            if !seen.zombie && kill(seen.process) {
                killed.push(seen.process);
            }
        }
    }
    Ok(killed)
}

/// Kills every process that carries the marker of an execution in its environment.
///
/// # Errors
/// Where `/proc` can't be read.
pub(super) fn kill_marked(execution: ExecutionId) -> io::Result<Vec<Process>> {
    let marker = format!("{MARKER_VARIABLE}={execution}");
    let own = i32::try_from(std::process::id()).map_err(io::Error::other)?;
    let mut killed = Vec::new();
    for pid in all_pids()?.into_iter().filter(|&pid| pid != own) {
        if let Some(seen) = look(pid)
            && !seen.zombie
            && carries(pid, marker.as_bytes())
            && kill(seen.process)
        {
            killed.push(seen.process);
        }
    }
    Ok(killed)
}

/// Kills what a lost supervisor left of a run, found by [`MARKER_VARIABLE`], until nothing is
/// left. Answers how many processes that were. It blocks for a few milliseconds, at most for some
/// seconds; what lives on then hangs in the kernel, and is logged.
pub fn kill_leftovers(execution_id: ExecutionId) -> u32 {
    let mut killed = HashSet::new();
    for _ in 0..LEFTOVER_ROUNDS {
        match kill_marked(execution_id) {
            Ok(found) if found.is_empty() => return count(&killed),
            Ok(found) => killed.extend(found),
            Err(error) => {
                tracing::warn!(%execution_id, %error, "processes can't be listed");
                return count(&killed);
            }
        }
        std::thread::sleep(LEFTOVER_PAUSE);
    }
    tracing::warn!(%execution_id, "what a lost supervisor left can't be killed");
    count(&killed)
}

fn count(killed: &HashSet<Process>) -> u32 {
    u32::try_from(killed.len()).unwrap_or(u32::MAX)
}

/// Kills just this process; false where it was gone. Its descriptor is opened first and its
/// identity checked after, so no later process with its number is hit.
fn kill(process: Process) -> bool {
    let Ok(pidfd) = pidfd_open(process.pid) else { return false };
    look(process.pid).is_some_and(|seen| seen.process == process)
        && pidfd_send_signal(pidfd.as_fd(), Signal::SIGKILL).is_ok()
}

fn all_pids() -> io::Result<Vec<i32>> {
    let mut pids = Vec::new();
    for entry in std::fs::read_dir("/proc")? {
        // An entry that vanishes is a process that ended.
        if let Ok(entry) = entry
            && let Some(Ok(pid)) = entry.file_name().to_str().map(str::parse)
        {
            pids.push(pid);
        }
    }
    Ok(pids)
}

/// What `/proc/PID/stat` says: the state, the parent and the start, fields 3, 4 and 22. The name
/// before them may hold anything, even parentheses.
fn look(pid: i32) -> Option<Seen> {
    let stat = std::fs::read(format!("/proc/{pid}/stat")).ok()?;
    let after_name = stat.iter().rposition(|&byte| byte == b')')? + 1;
    let rest = std::str::from_utf8(&stat[after_name..]).ok()?;
    let mut fields = rest.split_ascii_whitespace();
    let state = fields.next()?;
    let parent = fields.next()?.parse().ok()?;
    let started = fields.nth(17)?.parse().ok()?;
    let zombie = matches!(state, "Z" | "X" | "x");
    Some(Seen { process: Process { pid, started }, parent, zombie })
}

fn carries(pid: i32, marker: &[u8]) -> bool {
    let mut environment = Vec::new();
    // Not ours to read, or gone: then it is none of ours.
    File::open(format!("/proc/{pid}/environ"))
        .and_then(|file| file.take(ENVIRONMENT_MAX_BYTES).read_to_end(&mut environment))
        .is_ok()
        && environment.split(|&byte| byte == 0).any(|variable| variable == marker)
}
