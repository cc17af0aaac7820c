//! Watching a run: from the start of its first process to the end of its last.

use std::collections::HashSet;
use std::io;
use std::os::fd::AsFd;
use std::time::Duration;

use chrono::Utc;
use execution_ledger_domain::Timestamp;
use execution_ledger_domain::execution::{
    Exit, Signal as Told, SignalSent, StopCause, TranscriptRef,
};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::Signal;
use nix::sys::signalfd::SignalFd;
use nix::sys::time::TimeSpec;
use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

use super::channel::Channel;
use super::child;
use super::claim::Claim;
use super::output::{Output, Read, Sink};
use super::spool::Spool;
use super::sys::since_boot;
use super::tree::{self, Process};
use crate::failpoint::reach;
use crate::nodes::term::lasts_until;
use crate::orders::{FORMAT_VERSION, Orders, supervisor_signal};
use crate::redact::Redactor;
use crate::status::{SIGNALS_MAX, Status};
use crate::transcript::OutputStream;

/// Read from a pipe at once, in bytes: what a pipe holds as a rule.
const CHUNK_BYTES: usize = 64 * 1024;
/// Between two attempts to kill what did not die of SIGKILL yet, or was forked meanwhile.
const KILL_AGAIN: Duration = Duration::from_millis(50);
/// How often what is left after the first process is killed: five seconds in all. What lives on
/// then hangs in the kernel, and the run's end is written all the same.
const LAST_KILLS: u32 = 100;
/// How much earlier than by its own clock a supervisor believes that its slot has lapsed: the time
/// between the claim and the start, about.
const LEASE_SLACK: Duration = Duration::from_secs(5);
/// Readings of each pipe after everything was killed: more than a pipe can hold.
const LAST_READS: u32 = 64;

/// How the first process ended.
#[derive(Clone, Copy)]
struct FirstExit {
    exit: Exit,
    at: Timestamp,
    since_boot: Duration,
}

impl FirstExit {
    /// Whether it ended as a process does that the host ends: by such a signal, or with the exit
    /// code by which programs and shells say so.
    fn as_by_host(self) -> bool {
        const SAID_BY_CODE: i32 = 128;
        [Signal::SIGTERM, Signal::SIGKILL, Signal::SIGHUP].into_iter().any(|signal| {
            let number = signal as i32;
            self.exit == Exit::Signal(number) || self.exit == Exit::Code(SAID_BY_CODE + number)
        })
    }
}

/// The time for people.
pub(super) fn now() -> Timestamp {
    Utc::now().into()
}

/// What a signal of the ledger's means.
pub(super) fn cause_of(signal: u32) -> Option<StopCause> {
    match i32::try_from(signal).map(Signal::try_from) {
        Ok(Ok(supervisor_signal::CANCEL)) => Some(StopCause::Cancelled),
        Ok(Ok(supervisor_signal::LEASE_LAPSED)) => Some(StopCause::LeaseExpired),
        Ok(Ok(supervisor_signal::MAX_COST)) => Some(StopCause::MaxCost),
        Ok(Ok(supervisor_signal::HOST_SHUTDOWN)) => Some(StopCause::HostShutdown),
        _ => None,
    }
}

/// A run that has been started, and what is known of it so far.
pub(super) struct Watch<'w> {
    orders: &'w Orders,
    agent: Pid,
    signals: &'w SignalFd,
    /// Hears at once what the agent is sent.
    ledger: &'w Channel,
    timer: TimerFd,
    /// Standard output and standard error, while somebody may write to them.
    outputs: [Option<Output>; 2],
    sink: Sink<'w>,
    chunk: Vec<u8>,
    began: Duration,
    timeout_at: Duration,
    lease_until: Duration,
    /// Until when the run's node is heard of, as far as was looked; that may be prolonged meanwhile.
    node_until: Option<Duration>,
    /// When SIGKILL follows, once the run is being stopped.
    kill_at: Option<Duration>,
    killing: bool,
    drain_until: Duration,
    first_exit: Option<FirstExit>,
    stopped: Option<StopCause>,
    sent: Vec<SignalSent>,
    killed: HashSet<Process>,
}

impl<'w> Watch<'w> {
    /// Of a program that was just started.
    ///
    /// # Errors
    /// Where the system refuses what is needed to wait.
    pub fn new(
        orders: &'w Orders,
        claim: &Claim,
        program: child::Started,
        (signals, ledger): (&'w SignalFd, &'w Channel),
        redactor: &'w Redactor,
    ) -> io::Result<Self> {
        let began = since_boot();
        for pipe in [&program.stdout, &program.stderr] {
            child::set_nonblocking(pipe)?;
        }
        let spool = Spool::new(claim.spool.try_clone()?, orders.output_max_bytes);
        Ok(Self {
            orders,
            agent: program.pid,
            signals,
            ledger,
            timer: TimerFd::new(
                ClockId::CLOCK_BOOTTIME,
                TimerFlags::TFD_CLOEXEC | TimerFlags::TFD_NONBLOCK,
            )?,
            outputs: [
                Some(Output::new(program.stdout, OutputStream::Stdout)),
                Some(Output::new(program.stderr, OutputStream::Stderr)),
            ],
            sink: Sink { redactor, spool, redactions: 0 },
            chunk: vec![0; CHUNK_BYTES],
            began,
            timeout_at: began.saturating_add(Duration::from_millis(orders.timeout_ms)),
            lease_until: began.saturating_add(Duration::from_millis(orders.lease_ms)),
            node_until: orders
                .node_term
                .as_deref()
                .map(|term| lasts_until(term).unwrap_or_default()),
            kill_at: None,
            killing: false,
            drain_until: Duration::ZERO,
            first_exit: None,
            stopped: None,
            sent: Vec::new(),
            killed: HashSet::new(),
        })
    }

    /// A run ends when its first process does; what it printed is read on for a while.
    ///
    /// # Errors
    /// Where the system refuses to wait.
    pub fn until_first_exit_and_drained(&mut self) -> io::Result<()> {
        loop {
            self.wait()?;
            self.read_outputs();
            // Before the signals: a wish that comes after the end changes nothing about it.
            self.reap();
            reach("supervisor.looked");
            self.hear_signals();
            let now = since_boot();
            if self.first_exit.is_none() {
                self.keep_limits(now);
            } else if self.outputs.iter().all(Option::is_none) || now >= self.drain_until {
                return Ok(());
            }
        }
    }

    /// Sleeps until something happens or a limit is reached.
    fn wait(&self) -> io::Result<()> {
        let until = match (self.first_exit, self.kill_at) {
            (Some(_), _) => self.drain_until,
            (None, Some(kill_at)) if self.killing => kill_at,
            (None, Some(kill_at)) => kill_at.min(self.lease_until),
            (None, None) => self.timeout_at.min(self.lease_until),
        };
        let until = match self.node_until.filter(|_| self.first_exit.is_none()) {
            Some(node_until) => until.min(node_until),
            None => until,
        };
        // A zero time would disarm the timer.
        let until = Expiration::OneShot(TimeSpec::from(until.max(Duration::from_nanos(1))));
        self.timer.set(until, TimerSetTimeFlags::TFD_TIMER_ABSTIME)?;
        let mut waited = vec![
            PollFd::new(self.signals.as_fd(), PollFlags::POLLIN),
            PollFd::new(self.timer.as_fd(), PollFlags::POLLIN),
        ];
        for output in self.outputs.iter().flatten() {
            waited.push(PollFd::new(output.pipe().as_fd(), PollFlags::POLLIN));
        }
        match poll(&mut waited, PollTimeout::NONE) {
            Ok(_) | Err(Errno::EINTR) => Ok(()),
            Err(errno) => Err(errno.into()),
        }
    }

    fn read_outputs(&mut self) {
        let before = self.sink.spool.lines();
        self.sink.spool.set_time(now());
        for slot in &mut self.outputs {
            let Some(output) = slot else { continue };
            if output.read(&mut self.chunk, &mut self.sink) == Read::End {
                output.finish(&mut self.sink);
                *slot = None;
            }
        }
        self.sink.spool.write();
        if before == 0 && self.sink.spool.lines() > 0 {
            reach("supervisor.first_line");
        }
        if self.first_exit.is_none()
            && let Some(cause) = self.sink.spool.refused()
        {
            self.stop(cause);
        }
    }

    fn hear_signals(&mut self) {
        while let Ok(Some(signal)) = self.signals.read_signal() {
            match cause_of(signal.ssi_signo) {
                // Who sent it reckons by a clock that may have been set anew; ours never is.
                Some(StopCause::LeaseExpired) if !self.has_lapsed() => {}
                // It ended before the wish came: what it did stands, and only the drain is cut.
                Some(cause) if self.first_exit.is_some() => self.hear_after_end(cause),
                Some(StopCause::LeaseExpired) => self.lapse(),
                Some(cause) => self.stop(cause),
                // A child ended. It may have done so after the last look at the children, and is
                // not told a second time: without another look nobody would notice.
                None => {
                    self.reap();
                }
            }
        }
    }

    fn has_lapsed(&self) -> bool {
        since_boot().saturating_add(LEASE_SLACK) >= self.lease_until
    }

    fn hear_after_end(&mut self, cause: StopCause) {
        self.drain_until = Duration::ZERO;
        // A host that goes down tells everybody at once, and the agent was quicker to obey.
        if cause == StopCause::HostShutdown && self.first_exit.is_some_and(FirstExit::as_by_host) {
            self.stopped.get_or_insert(cause);
        }
    }

    fn keep_limits(&mut self, now: Duration) {
        if self.node_until.is_some_and(|until| now >= until) {
            self.look_at_node();
        }
        if now >= self.lease_until {
            self.lapse();
        } else if now >= self.timeout_at {
            self.stop(StopCause::Timeout);
        }
        if self.kill_at.is_some_and(|kill_at| now >= kill_at) {
            self.kill();
        }
    }

    /// Asks the agent to stop, once; SIGKILL follows after the grace period.
    fn stop(&mut self, cause: StopCause) {
        self.reap();
        if self.stopped.is_some() || self.first_exit.is_some() {
            return;
        }
        self.stopped = Some(cause);
        // It can be gone already; then its end is about to be seen.
        if child::signal_group(self.agent, Signal::SIGINT).is_ok() {
            self.note(Told::Interrupt);
        }
        let grace = Duration::from_millis(self.orders.grace_ms);
        self.kill_at = Some(since_boot().saturating_add(grace));
    }

    /// Its node was to be heard of by now: either it was, or the run ends.
    fn look_at_node(&mut self) {
        self.node_until = self.orders.node_term.as_deref().and_then(lasts_until);
        if self.node_until.is_none() {
            self.stop(StopCause::NodeLapsed);
        }
    }

    /// The slot is lost: there is no grace.
    fn lapse(&mut self) {
        self.reap();
        if self.first_exit.is_none() {
            self.stopped.get_or_insert(StopCause::LeaseExpired);
            self.kill();
        }
    }

    /// Kills the whole tree, and again until its first process has ended.
    fn kill(&mut self) {
        if !self.killing {
            self.killing = true;
            self.note(Told::Kill);
        }
        self.kill_tree();
        self.kill_at = Some(since_boot().saturating_add(KILL_AGAIN));
    }

    fn kill_tree(&mut self) {
        // The agent is our child and not reaped yet, so its number is still its own. What else
        // there is, `/proc` says; should it not, the next round asks again.
        if self.first_exit.is_none() {
            nix::sys::signal::kill(self.agent, Signal::SIGKILL).unwrap_or_default();
        }
        let killed = tree::kill_descendants(Pid::this().as_raw()).unwrap_or_default();
        self.count(killed);
    }

    fn count(&mut self, killed: Vec<Process>) {
        let agent = self.agent.as_raw();
        self.killed.extend(killed.into_iter().filter(|process| process.pid != agent));
    }

    fn note(&mut self, signal: Told) {
        if self.sent.len() < SIGNALS_MAX {
            let sent = SignalSent { signal, at: now() };
            self.ledger.tell_signal(&sent);
            self.sent.push(sent);
        }
    }

    /// Takes every ended process out of the process table, those too that were not ours at first.
    /// Answers whether we have no children any more.
    fn reap(&mut self) -> bool {
        loop {
            let (pid, exit) = match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
                Ok(WaitStatus::Exited(pid, code)) => (pid, Exit::Code(code)),
                Ok(WaitStatus::Signaled(pid, signal, _)) => (pid, Exit::Signal(signal as i32)),
                Ok(WaitStatus::StillAlive) => return false,
                Ok(_) | Err(Errno::EINTR) => continue,
                Err(_) => return true,
            };
            if pid == self.agent && self.first_exit.is_none() {
                let since_boot = since_boot();
                self.first_exit = Some(FirstExit { exit, at: now(), since_boot });
                let drain = Duration::from_millis(self.orders.drain_ms);
                self.drain_until = since_boot.saturating_add(drain);
            }
        }
    }

    /// Kills what is left, reads what is left, and makes the output durable. Where the disk fails
    /// that, the run's end is known all the same, with the counts of what was written.
    ///
    /// # Errors
    /// Where the system refuses to wait.
    pub fn finish(mut self, started: Timestamp) -> io::Result<Status> {
        self.kill_what_is_left()?;
        for _ in 0..LAST_READS {
            if self.outputs.iter().all(Option::is_none) {
                break;
            }
            self.read_outputs();
        }
        for output in self.outputs.iter_mut().flatten() {
            output.finish(&mut self.sink);
        }
        self.sink.spool.write();
        let first = self.first_exit;
        let synced = self.sink.spool.sync();
        // The news that the host goes down may come a moment later than the end that it brought.
        self.hear_signals();
        // It may have been the last of its output that did not fit, or that is not on the disk.
        let refused = self.sink.spool.refused().or(synced.is_err().then_some(StopCause::DiskFull));
        let stopped = self.stopped.or(refused);
        let redactions = self.sink.redactions;
        let TranscriptRef { lines, bytes, sha256 } = self.sink.spool.measured();
        let ended = first.map_or_else(since_boot, |first| first.since_boot);
        let duration = ended.saturating_sub(self.began).as_millis();
        Ok(Status {
            version: FORMAT_VERSION,
            claim: self.orders.claim,
            spawn_error: None,
            started_at: started,
            ended_at: first.map_or_else(now, |first| first.at).max(started),
            duration_ms: u64::try_from(duration).unwrap_or(u64::MAX),
            exit: first.map(|first| first.exit),
            stopped,
            signals: self.sent,
            killed_processes: u32::try_from(self.killed.len()).unwrap_or(u32::MAX),
            lines,
            bytes,
            sha256,
            redactions,
        })
    }

    fn kill_what_is_left(&mut self) -> io::Result<()> {
        for _ in 0..LAST_KILLS {
            // Every orphan of the run becomes our child: without children, nothing is left.
            if self.reap() {
                break;
            }
            self.kill_tree();
            self.pause(KILL_AGAIN)?;
        }
        if self.stopped.is_some() || !self.killed.is_empty() {
            // A backstop for what found a way out of the tree; not for runs that ended in order,
            // for it looks at every process of the host.
            let marked = tree::kill_marked(self.orders.execution_id).unwrap_or_default();
            self.count(marked);
        }
        Ok(())
    }

    /// Until a child ends, or the time is over.
    fn pause(&mut self, time: Duration) -> io::Result<()> {
        let timeout = PollTimeout::try_from(time).unwrap_or(PollTimeout::MAX);
        let mut waited = [PollFd::new(self.signals.as_fd(), PollFlags::POLLIN)];
        match poll(&mut waited, timeout) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno.into()),
        }
        self.hear_signals();
        Ok(())
    }
}
