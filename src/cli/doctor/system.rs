//! Checks of the machine.

use std::ffi::OsStr;
use std::fs;
use std::io::Read;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::Finding;

/// How long `claude --version` may take.
const VERSION_WAIT: Duration = Duration::from_secs(10);
/// Between two looks at whether it has ended.
const VERSION_POLL: Duration = Duration::from_millis(20);
/// What is read of its answer, in bytes.
const VERSION_MAX_BYTES: u64 = 200;

/// All of them.
pub fn all() -> Vec<Finding> {
    vec![kernel_children(), kernel_pidfd(), open_files(), claude()]
}

/// Whether the kernel lists a process's children: by that a supervisor finds all that a run started.
fn kernel_children() -> Finding {
    const CHECK: &str = "kernel: children";
    if Path::new("/proc/self/task").exists() && Path::new("/proc/thread-self/children").exists() {
        return Finding::ok(CHECK, "/proc lists the children of a process");
    }
    Finding::fail(
        CHECK,
        "/proc/PID/task/TID/children is not there",
        "the kernel needs CONFIG_PROC_CHILDREN, and /proc must be mounted: without it, processes that \
         an agent leaves behind are found by their environment only",
    )
}

/// Whether the kernel has pidfds: by these a signal can't hit another process than the one meant.
fn kernel_pidfd() -> Finding {
    const CHECK: &str = "kernel: pidfd";
    let version = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let version = version.trim();
    let mut parts = version.split(['.', '-']).map(|part| part.parse::<u32>().unwrap_or(0));
    let found = (parts.next().unwrap_or(0), parts.next().unwrap_or(0));
    if found >= (5, 3) {
        return Finding::ok(CHECK, format!("Linux {version}"));
    }
    let next = "Linux 5.3 or later is needed to signal runs safely";
    Finding::fail(CHECK, format!("Linux {version}"), next)
}

/// Whether enough files can be open for many streams and runs.
fn open_files() -> Finding {
    const CHECK: &str = "open files";
    const ENOUGH: u64 = 4_096;
    match nix::sys::resource::getrlimit(nix::sys::resource::Resource::RLIMIT_NOFILE) {
        Ok((soft, _)) if soft >= ENOUGH => Finding::ok(CHECK, format!("up to {soft}")),
        Ok((soft, hard)) => Finding::warn(
            CHECK,
            format!("up to {soft} (the system would allow {hard})"),
            format!(
                "raise it to {ENOUGH} or more for many streams: ulimit -n, or LimitNOFILE in systemd"
            ),
        ),
        Err(error) => Finding::warn(CHECK, error.to_string(), ""),
    }
}

/// Whether Claude Code is there, and which.
fn claude() -> Finding {
    const CHECK: &str = "claude";
    let Some(path) = on_path("claude") else {
        return Finding::warn(
            CHECK,
            "it is not on the PATH",
            "agents of the runtime claude_code need it: npm install -g @anthropic-ai/claude-code",
        );
    };
    match version_of(&path) {
        Some(version) => Finding::ok(CHECK, format!("{} {version}", path.display())),
        None => Finding::warn(
            CHECK,
            format!("{} does not tell its version", path.display()),
            "try `claude --version` by hand",
        ),
    }
}

/// The first executable file of that name in the directories of `PATH`.
fn on_path(name: &str) -> Option<PathBuf> {
    on(&std::env::var_os("PATH")?, name)
}

/// The first executable file of that name in the directories of this `PATH`.
pub fn on(path: &OsStr, name: &str) -> Option<PathBuf> {
    std::env::split_paths(path).map(|folder| folder.join(name)).find(|path| is_executable(path))
}

/// Whether it is a file that somebody can execute.
pub fn is_executable(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
}

fn version_of(program: &Path) -> Option<String> {
    let mut child = Command::new(program)
        .arg("--version")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .ok()?;
    let began = Instant::now();
    loop {
        match child.try_wait() {
            Ok(Some(_)) => break,
            Ok(None) if began.elapsed() < VERSION_WAIT => std::thread::sleep(VERSION_POLL),
            _ => {
                // It hangs: a version that nobody tells is none.
                drop(child.kill());
                drop(child.wait());
                return None;
            }
        }
    }
    let mut text = String::new();
    child.stdout?.take(VERSION_MAX_BYTES).read_to_string(&mut text).ok()?;
    text.lines().next().map(|line| line.trim().to_owned()).filter(|line| !line.is_empty())
}
