//! Starting the agent's program.
#![expect(unsafe_code, reason = "fork and the steps to exec; each block says why it is sound")]

use std::ffi::{CStr, CString, OsStr};
use std::fs::{DirBuilder, File};
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, lchown};
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::libc;
use nix::sys::prctl;
use nix::sys::resource::{Resource, setrlimit};
use nix::sys::signal::{SigHandler, SigSet, Signal, signal};
use nix::unistd::{
    ForkResult, Gid, Pid, Uid, User, chdir, dup2_stderr, dup2_stdin, dup2_stdout, execve, fork,
    geteuid, getgrouplist, getppid, pipe2, setgid, setgroups, setpgid, setuid, write,
};

use super::environment::Environment;
use crate::orders::{Orders, RunFiles};

/// A program that was started.
pub(super) struct Started {
    /// Its process, which leads a process group of its own.
    pub pid: Pid,
    /// The reading end of its standard output.
    pub stdout: OwnedFd,
    /// The reading end of its standard error.
    pub stderr: OwnedFd,
}

/// The user that a run changes to; `None` where it stays the ledger's own.
///
/// # Errors
/// In words: there is no such user, or we may not become it.
pub(super) fn user_of(orders: &Orders) -> Result<Option<User>, String> {
    let Some(name) = &orders.run_as else { return Ok(None) };
    let user = User::from_name(name)
        .map_err(|errno| format!("run_as {name}: {}", errno.desc()))?
        .ok_or_else(|| format!("run_as {name}: no such user"))?;
    if user.uid == geteuid() {
        return Ok(None);
    }
    if !geteuid().is_root() {
        return Err(format!("run_as {name}: only a ledger that runs as root can change users"));
    }
    Ok(Some(user))
}

/// Makes the working directory, private to whom the run belongs, where it is to be made. What has
/// to be made above it can be passed through by others, but not looked into.
///
/// # Errors
/// In words.
pub(super) fn make_cwd(orders: &Orders, user: Option<&User>) -> Result<(), String> {
    if !orders.make_cwd || orders.cwd.exists() {
        return Ok(());
    }
    make_private(&orders.cwd, user).map_err(|error| {
        format!("the working directory {} can't be made: {error}", orders.cwd.display())
    })
}

fn make_private(directory: &Path, user: Option<&User>) -> io::Result<()> {
    let missing: Vec<&Path> =
        directory.ancestors().skip(1).take_while(|above| !above.exists()).collect();
    for above in missing.into_iter().rev() {
        DirBuilder::new().mode(0o711).recursive(true).create(above)?;
    }
    match DirBuilder::new().mode(0o700).create(directory) {
        // Another run of the same agent was faster.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
        Ok(()) => match user {
            // Never through a link that somebody put there meanwhile.
            Some(user) => lchown(directory, Some(user.uid.as_raw()), Some(user.gid.as_raw())),
            None => Ok(()),
        },
    }
}

/// All that is needed between fork and exec, made before, so that little happens there.
struct Plan {
    programs: Vec<CString>,
    argv: Vec<CString>,
    envp: Vec<CString>,
    cwd: CString,
    identity: Option<Identity>,
    memory_max_bytes: Option<u64>,
    supervisor: Pid,
}

struct Identity {
    uid: Uid,
    gid: Gid,
    groups: Vec<Gid>,
}

/// A step between fork and exec, as it is told to the parent.
#[derive(Clone, Copy)]
#[repr(u8)]
enum Step {
    Prepare = 0,
    Identity = 1,
    Directory = 2,
    Execute = 3,
}

/// Starts the program of a run.
///
/// # Errors
/// Why it could not be started, in words for people.
pub(super) fn start(
    orders: &Orders,
    files: &RunFiles,
    environment: &Environment,
    user: Option<&User>,
) -> Result<Started, String> {
    let plan = plan(orders, environment, user)?;
    let stdin = if orders.stdin_from_file {
        File::open(files.stdin()).map_err(|error| format!("standard input: {error}"))?
    } else {
        File::open("/dev/null").map_err(|error| format!("/dev/null: {error}"))?
    };
    let pipe = || pipe2(OFlag::O_CLOEXEC).map_err(|errno| format!("pipe: {}", errno.desc()));
    let (stdout, stdout_end) = pipe()?;
    let (stderr, stderr_end) = pipe()?;
    let (failure, failure_end) = pipe()?;

    // SAFETY: this process has one thread, so the child may do whatever the parent could.
    match unsafe { fork() }.map_err(|errno| format!("fork: {}", errno.desc()))? {
        ForkResult::Child => {
            let ends = [stdin.as_fd(), stdout_end.as_fd(), stderr_end.as_fd()];
            let (step, errno) = become_program(&plan, ends);
            let report = [step as u8, errno as u8];
            // Nobody is left to be told if this fails; the exit code says that much.
            write(&failure_end, &report).map(drop).unwrap_or_default();
            // SAFETY: ends the child at once, without the parent's clean-up.
            unsafe { libc::_exit(127) }
        }
        ForkResult::Parent { child } => {
            drop((stdout_end, stderr_end, failure_end));
            let mut report = Vec::new();
            // The end without a report comes when exec closes the pipe.
            File::from(failure)
                .take(2)
                .read_to_end(&mut report)
                .map_err(|error| format!("the start can't be observed: {error}"))?;
            match report.as_slice() {
                [step, errno] => {
                    nix::sys::wait::waitpid(child, None).map(drop).unwrap_or_default();
                    Err(explain(orders, environment, *step, Errno::from_raw(i32::from(*errno))))
                }
                _ => Ok(Started { pid: child, stdout, stderr }),
            }
        }
    }
}

fn plan(orders: &Orders, environment: &Environment, user: Option<&User>) -> Result<Plan, String> {
    let text = |what: &str, bytes: &[u8]| {
        CString::new(bytes).map_err(|_| format!("{what} contains a NUL character"))
    };
    let program = orders.argv.first().ok_or("no program is named")?;
    let mut programs = Vec::new();
    if program.contains('/') {
        programs.push(text("the program's name", program.as_bytes())?);
    } else {
        for directory in environment.path().as_bytes().split(|&byte| byte == b':') {
            let directory = if directory.is_empty() { b".".as_slice() } else { directory };
            let path = Path::new(OsStr::from_bytes(directory)).join(program);
            programs.push(text("the program's name", path.as_os_str().as_bytes())?);
        }
    }
    let argv = orders.argv.iter().map(|word| text("an argument", word.as_bytes()));
    let envp = environment.variables.iter().map(|(name, value)| {
        let pair = [name.as_bytes(), b"=", value.as_bytes()].concat();
        text(&format!("the variable {}", name.to_string_lossy()), &pair)
    });
    Ok(Plan {
        programs,
        argv: argv.collect::<Result<_, _>>()?,
        envp: envp.collect::<Result<_, _>>()?,
        cwd: text("the working directory", orders.cwd.as_os_str().as_bytes())?,
        identity: user.map(identity).transpose()?,
        memory_max_bytes: orders.memory_max_bytes,
        supervisor: Pid::this(),
    })
}

fn identity(user: &User) -> Result<Identity, String> {
    let name = CString::new(user.name.as_str()).map_err(|error| error.to_string())?;
    let groups = getgrouplist(&name, user.gid)
        .map_err(|errno| format!("run_as {}: its groups: {}", user.name, errno.desc()))?;
    Ok(Identity { uid: user.uid, gid: user.gid, groups })
}

/// The child's way to the program. It comes back only with what went wrong.
fn become_program(plan: &Plan, ends: [BorrowedFd<'_>; 3]) -> (Step, Errno) {
    if let Err(errno) = prepare(plan, ends) {
        return (Step::Prepare, errno);
    }
    if let Some(identity) = &plan.identity
        && let Err(errno) = setgroups(&identity.groups)
            .and_then(|()| setgid(identity.gid))
            .and_then(|()| setuid(identity.uid))
    {
        return (Step::Identity, errno);
    }
    // After the change of user, which would clear it.
    if let Err(errno) = prctl::set_pdeathsig(Signal::SIGKILL) {
        return (Step::Prepare, errno);
    }
    if getppid() != plan.supervisor {
        // The supervisor died before the signal was asked for.
        return (Step::Prepare, Errno::ESRCH);
    }
    if let Err(errno) = chdir(plan.cwd.as_c_str()) {
        return (Step::Directory, errno);
    }
    (Step::Execute, execute(plan))
}

fn prepare(plan: &Plan, [stdin, stdout, stderr]: [BorrowedFd<'_>; 3]) -> Result<(), Errno> {
    setpgid(Pid::from_raw(0), Pid::from_raw(0))?;
    dup2_stdin(stdin)?;
    dup2_stdout(stdout)?;
    dup2_stderr(stderr)?;
    close_the_rest_on_exec();
    obey_all_signals()?;
    SigSet::empty().thread_set_mask()?;
    setrlimit(Resource::RLIMIT_CORE, 0, 0)?;
    if let Some(bytes) = plan.memory_max_bytes {
        setrlimit(Resource::RLIMIT_AS, bytes, bytes)?;
    }
    Ok(())
}

/// Gives every signal its default action. What a process ignores, the programs that it starts ignore
/// too, and a shell ignores SIGINT for what a script starts in the background: an agent under a
/// ledger that was started so would never hear that it is to stop.
pub(super) fn obey_all_signals() -> Result<(), Errno> {
    for ignored in Signal::iterator() {
        if !matches!(ignored, Signal::SIGKILL | Signal::SIGSTOP) {
            // SAFETY: the default action runs no code of ours.
            unsafe { signal(ignored, SigHandler::SigDfl) }?;
        }
    }
    Ok(())
}

/// Whatever descriptor the supervisor may have been given: the agent does not get it. All of our
/// own are marked so already, so a kernel without the call (before 5.11) loses nothing.
fn close_the_rest_on_exec() {
    const FIRST_AFTER_STDERR: libc::c_uint = 3;
    // SAFETY: it marks descriptors and touches no memory.
    unsafe {
        libc::syscall(
            libc::SYS_close_range,
            FIRST_AFTER_STDERR,
            libc::c_uint::MAX,
            libc::CLOSE_RANGE_CLOEXEC,
        );
    }
}

/// As a shell does: the first that can be executed; a file that may not be executed is told only
/// where there is no other.
fn execute(plan: &Plan) -> Errno {
    let mut worst = Errno::ENOENT;
    for program in &plan.programs {
        let Err(errno) = execve::<&CStr, &CStr>(
            program,
            &plan.argv.iter().map(CString::as_c_str).collect::<Vec<_>>(),
            &plan.envp.iter().map(CString::as_c_str).collect::<Vec<_>>(),
        );
        match errno {
            Errno::ENOENT | Errno::ENOTDIR => {}
            Errno::EACCES => worst = errno,
            other => return other,
        }
    }
    worst
}

fn explain(orders: &Orders, environment: &Environment, step: u8, errno: Errno) -> String {
    let program = orders.argv.first().map_or("", String::as_str);
    let cwd = orders.cwd.display();
    let run_as = orders.run_as.as_deref().unwrap_or_default();
    match (step, errno) {
        (s, _) if s == Step::Identity as u8 => format!("run_as {run_as}: {}", errno.desc()),
        (s, Errno::ENOENT) if s == Step::Directory as u8 => format!("no such directory: {cwd}"),
        (s, _) if s == Step::Directory as u8 => {
            format!("the working directory {cwd} can't be entered: {}", errno.desc())
        }
        (s, Errno::ENOENT) if s == Step::Execute as u8 && !program.contains('/') => format!(
            "program not found: {program} (searched PATH={})",
            environment.path().to_string_lossy()
        ),
        (s, Errno::ENOENT) if s == Step::Execute as u8 => {
            if orders.cwd.join(program).exists() {
                format!("program can't be executed: {program}: its interpreter was not found")
            } else {
                format!("program not found: {program}")
            }
        }
        (s, Errno::EACCES) if s == Step::Execute as u8 => {
            format!("permission denied: {program} may not be executed")
        }
        (s, Errno::ENOEXEC) if s == Step::Execute as u8 => format!(
            "program can't be executed: {program}: neither a program of this machine nor a script \
             that begins with #!"
        ),
        (s, Errno::E2BIG) if s == Step::Execute as u8 => {
            "the arguments and the environment together are too long".to_owned()
        }
        (s, _) if s == Step::Execute as u8 => {
            format!("program can't be executed: {program}: {}", errno.desc())
        }
        _ => format!("the process can't be prepared: {}", errno.desc()),
    }
}

/// Makes reads from a descriptor return at once where there is nothing to read.
pub(super) fn set_nonblocking(fd: &OwnedFd) -> Result<(), Errno> {
    nix::fcntl::fcntl(fd, nix::fcntl::FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).map(drop)
}

/// Sends a signal to the agent's process group, or to the agent alone where it left the group.
pub(super) fn signal_group(agent: Pid, to_send: Signal) -> Result<(), Errno> {
    match nix::sys::signal::killpg(agent, to_send) {
        Err(Errno::ESRCH) => nix::sys::signal::kill(agent, to_send),
        other => other,
    }
}
