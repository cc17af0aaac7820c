//! A supervisor that lives, as the ledger sees it.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::{Mutex, MutexGuard, PoisonError};

use execution_ledger_domain::execution::SignalSent;
use nix::errno::Errno;
use nix::sys::signal::Signal;
use nix::sys::wait::{Id, WaitPidFlag, waitid};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader, Take};

use super::channel::NEWS_MAX_BYTES;
use super::sys::{pidfd_open, pidfd_send_signal, watch};
#[cfg(doc)]
use crate::orders::supervisor_signal;
use crate::status::Status;

/// Room for an ending as most are, in bytes.
const NEWS_BYTES_EXPECTED: usize = 1024;

/// What a supervisor says of its run to the ledger that gave it its orders.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum News {
    /// The agent was sent a signal just now. The ending names it again.
    Signal(SignalSent),
    /// The run has ended, and this is how. Nothing follows.
    Ending(Box<Status>),
}

/// A supervisor that was seen alive. Dropping it neither stops nor loses the supervisor.
#[derive(Debug)]
pub struct Handle {
    pid: i32,
    pidfd: OwnedFd,
    /// By which it says what happens, where this process gave it its orders.
    line: Mutex<Line>,
}

/// The ledger's end of the line of a supervisor.
#[derive(Debug)]
enum Line {
    /// There is none, or nothing more will be said by it.
    Silent,
    /// Nobody has listened yet.
    Unheard(UnixStream),
    /// Somebody listens.
    Heard(BufReader<Take<tokio::net::UnixStream>>),
}

impl Handle {
    /// Of a process that exists now.
    pub(super) fn open(pid: i32) -> io::Result<Self> {
        Ok(Self { pid, pidfd: pidfd_open(pid)?, line: Mutex::new(Line::Silent) })
    }

    /// Of a child that was given its orders by this line.
    pub(super) fn listening(mut self, line: UnixStream) -> Self {
        self.line = Mutex::new(Line::Unheard(line));
        self
    }

    /// The supervisor's process id, for people; signals never go by it.
    pub fn pid(&self) -> i32 {
        self.pid
    }

    /// Waits until the supervisor has exited, and reaps it where it is a child of this process.
    ///
    /// # Errors
    /// Where the descriptor can't be watched, which says nothing about the supervisor.
    pub async fn exited(&self) -> io::Result<()> {
        // A duplicate, so that several can wait at once: a descriptor is registered only once.
        let watched = watch(self.pidfd.try_clone()?)?;
        let _ready = watched.readable().await?;
        self.reap();
        Ok(())
    }

    /// What the supervisor says next, where it says it to this process; `None` once it has exited
    /// without another word. It says how the run ended a moment before it exits. One task listens.
    ///
    /// # Errors
    /// Where it can't be listened to or watched, which says nothing about the supervisor.
    pub async fn news(&self) -> io::Result<Option<News>> {
        if let Some(mut line) = self.listen()? {
            let mut said = Vec::with_capacity(NEWS_BYTES_EXPECTED);
            // However the line ends: what was said is whole, or it is nothing.
            drop(line.read_until(b'\n', &mut said).await);
            if said.last() == Some(&b'\n') {
                if let Ok(sent) = serde_json::from_slice(&said) {
                    *self.line() = Line::Heard(line);
                    return Ok(Some(News::Signal(sent)));
                }
            } else if let Ok(status) = serde_json::from_slice(&said) {
                return Ok(Some(News::Ending(status)));
            }
        }
        self.exited().await?;
        Ok(None)
    }

    /// Takes the line, if anything can still come by it.
    fn listen(&self) -> io::Result<Option<BufReader<Take<tokio::net::UnixStream>>>> {
        Ok(match std::mem::replace(&mut *self.line(), Line::Silent) {
            Line::Silent => None,
            Line::Heard(line) => Some(line),
            Line::Unheard(line) => {
                line.set_nonblocking(true)?;
                let line = tokio::net::UnixStream::from_std(line)?;
                let line = line.take(NEWS_MAX_BYTES as u64);
                Some(BufReader::with_capacity(NEWS_BYTES_EXPECTED, line))
            }
        })
    }

    fn line(&self) -> MutexGuard<'_, Line> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends one of [`supervisor_signal`]; false where the supervisor has exited.
    ///
    /// # Errors
    /// Where the signal is not permitted.
    pub fn signal(&self, signal: Signal) -> io::Result<bool> {
        match pidfd_send_signal(self.pidfd.as_fd(), signal) {
            Ok(()) => Ok(true),
            Err(error) if error.raw_os_error() == Some(Errno::ESRCH as i32) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Takes an exited child's entry out of the process table. That it is no child of ours, or
    /// has not exited, is no error.
    fn reap(&self) {
        let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG;
        let _nothing_to_reap = waitid(Id::PIDFd(self.pidfd.as_fd()), flags);
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.reap();
    }
}
