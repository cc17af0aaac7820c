//! A supervisor that lives, as the ledger sees it.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::{Mutex, PoisonError};

use nix::errno::Errno;
use nix::sys::signal::Signal;
use nix::sys::wait::{Id, WaitPidFlag, waitid};
use tokio::io::AsyncReadExt as _;

use super::sys::{pidfd_open, pidfd_send_signal, watch};
#[cfg(doc)]
use crate::orders::supervisor_signal;
use crate::status::{STATUS_FILE_BYTES, Status};

/// Room for an ending as most are, in bytes.
const STATUS_BYTES_EXPECTED: usize = 1024;

/// A supervisor that was seen alive. Dropping it neither stops nor loses the supervisor.
#[derive(Debug)]
pub struct Handle {
    pid: i32,
    pidfd: OwnedFd,
    /// By which it says how its run ended, where this process gave it its orders.
    news: Mutex<Option<UnixStream>>,
}

impl Handle {
    /// Of a process that exists now.
    pub(super) fn open(pid: i32) -> io::Result<Self> {
        Ok(Self { pid, pidfd: pidfd_open(pid)?, news: Mutex::new(None) })
    }

    /// Of a child that was given its orders by this line.
    pub(super) fn listening(mut self, line: UnixStream) -> Self {
        self.news = Mutex::new(Some(line));
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

    /// Waits until the run has ended: answers how, where the supervisor said it to this process, and
    /// `None` once it has exited without a word. It says so a moment before it exits, and only once.
    ///
    /// # Errors
    /// Where it can't be listened to or watched, which says nothing about the supervisor.
    pub async fn ending(&self) -> io::Result<Option<Status>> {
        let line = self.news.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(line) = line {
            line.set_nonblocking(true)?;
            let mut said = Vec::with_capacity(STATUS_BYTES_EXPECTED);
            let line = tokio::net::UnixStream::from_std(line)?;
            // However the line ends: what was said is whole, or it is nothing.
            drop(line.take(STATUS_FILE_BYTES as u64).read_to_end(&mut said).await);
            if let Ok(status) = serde_json::from_slice(&said) {
                return Ok(Some(status));
            }
        }
        self.exited().await?;
        Ok(None)
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
