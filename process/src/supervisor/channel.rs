//! A supervisor's line to its ledger: orders come in by it, what happens to the run goes out by it.
//!
//! Orders are their length and JSON. What goes out is JSON as well: each signal that the agent was sent
//! as a line of its own, then the ending without a line's end. Both ends are the same program, so there
//! is no version of this.
//!
//! It is a pair of sockets of which the supervisor has one end as its standard input. So orders, which
//! hold the run token, never lie on a disk, and nobody but the two has them. That the ledger is gone
//! ends the line: a supervisor that has no orders by then never gets any.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;

use execution_ledger_domain::execution::SignalSent;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signalfd::SignalFd;

use crate::orders::Orders;
use crate::status::{SIGNALS_MAX, STATUS_FILE_BYTES};

/// Longest orders, in bytes: far above what the limits of messages and settings let them become.
pub(super) const ORDERS_MAX_BYTES: usize = 16 * 1024 * 1024;
/// What stands before orders: their length.
const LENGTH_BYTES: usize = size_of::<u32>();

/// One signal as it is told is never longer, in bytes.
const SIGNAL_MAX_BYTES: usize = 128;
/// All that a supervisor says, in bytes. It is less than a line holds that nobody reads, so saying it
/// waits for nobody.
pub(super) const NEWS_MAX_BYTES: usize = STATUS_FILE_BYTES + SIGNALS_MAX * SIGNAL_MAX_BYTES;

/// Orders as they go over the line: their length, then JSON.
///
/// # Errors
/// Where they are longer than [`ORDERS_MAX_BYTES`].
pub(super) fn framed(orders: &Orders) -> io::Result<Vec<u8>> {
    let mut frame = vec![0; LENGTH_BYTES];
    serde_json::to_writer(&mut frame, orders)?;
    let length = frame.len() - LENGTH_BYTES;
    if length > ORDERS_MAX_BYTES {
        return Err(io::Error::other(format!("its orders are {length} bytes long")));
    }
    let length = u32::try_from(length).map_err(io::Error::other)?;
    frame[..LENGTH_BYTES].copy_from_slice(&length.to_le_bytes());
    Ok(frame)
}

/// The supervisor's end.
pub(super) struct Channel(UnixStream);

impl Channel {
    /// Takes it from standard input, which is /dev/null from then on.
    ///
    /// # Errors
    /// Where the system refuses.
    pub fn of_stdin() -> io::Result<Self> {
        let channel = Self(io::stdin().as_fd().try_clone_to_owned()?.into());
        nix::unistd::dup2_stdin(File::open("/dev/null")?)?;
        Ok(channel)
    }

    /// Waits for orders. `None` where there will be none: the ledger is gone, or somebody told this
    /// process to end before it had any. The signals themselves are left for the run to hear.
    ///
    /// # Errors
    /// Where the line fails or what comes by it are no orders.
    pub fn orders(&mut self, signals: &SignalFd) -> io::Result<Option<Orders>> {
        if !self.something_comes(signals)? {
            return Ok(None);
        }
        let mut length = [0; LENGTH_BYTES];
        match self.0.read_exact(&mut length) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
            Err(error) => return Err(error),
        }
        let length = usize::try_from(u32::from_le_bytes(length)).map_err(io::Error::other)?;
        if length > ORDERS_MAX_BYTES {
            return Err(io::Error::other(format!("orders of {length} bytes")));
        }
        let mut text = vec![0; length];
        self.0.read_exact(&mut text)?;
        Ok(Some(serde_json::from_slice(&text)?))
    }

    /// Orders go before signals: whoever gives them may send one right after.
    fn something_comes(&self, signals: &SignalFd) -> io::Result<bool> {
        let line = || PollFd::new(self.0.as_fd(), PollFlags::POLLIN);
        loop {
            let mut either = [line(), PollFd::new(signals.as_fd(), PollFlags::POLLIN)];
            match poll(&mut either, PollTimeout::NONE) {
                Ok(_) => {}
                Err(Errno::EINTR) => continue,
                Err(errno) => return Err(errno.into()),
            }
            // A signal may have come between the looks at the two: then the orders are here by now.
            return Ok(poll(&mut [line()], PollTimeout::ZERO)? > 0);
        }
    }

    /// Says that the agent was sent a signal. The ending says so again, for whoever did not hear it.
    pub fn tell_signal(&self, sent: &SignalSent) {
        let Ok(mut line) = serde_json::to_vec(sent) else { return };
        line.push(b'\n');
        // The ledger that gave the orders is gone.
        (&self.0).write_all(&line).unwrap_or_default();
    }

    /// Says how the run ended, and that nothing more will be said. Nobody may listen any more.
    pub fn tell(mut self, status: &[u8]) {
        // The ledger that gave the orders is gone: the next one reads the file.
        self.0.write_all(status).unwrap_or_default();
    }
}

#[cfg(test)]
mod tests {
    use execution_ledger_domain::Timestamp;
    use execution_ledger_domain::execution::Signal as Told;
    use nix::sys::signal::SigSet;
    use nix::sys::signalfd::SfdFlags;

    use super::*;

    fn no_signals() -> SignalFd {
        SignalFd::with_flags(&SigSet::empty(), SfdFlags::SFD_NONBLOCK).expect("a descriptor")
    }

    #[test]
    fn a_line_that_ends_before_its_orders_are_complete_brings_none() {
        for cut in [0, 2, LENGTH_BYTES, LENGTH_BYTES + 7] {
            let (mut ledger, supervisor) = UnixStream::pair().expect("a pair");
            let mut frame = 100_u32.to_le_bytes().to_vec();
            frame.extend_from_slice(&[b' '; 100]);
            ledger.write_all(&frame[..cut]).expect("written");
            drop(ledger);
            let orders = Channel(supervisor).orders(&no_signals());
            assert!(!matches!(orders, Ok(Some(_))), "{cut}: {orders:?}");
        }
    }

    #[test]
    fn what_a_supervisor_says_is_told_apart_and_fits_into_a_line_that_nobody_reads() {
        let (mut ledger, supervisor) = UnixStream::pair().expect("a pair");
        // Otherwise a supervisor of a ledger that stands still would wait for it.
        supervisor.set_nonblocking(true).expect("set");
        let channel = Channel(supervisor);
        let at = Timestamp::from_micros(i64::from(u32::MAX) * 1_000_000 + 123_456);
        for _ in 0..SIGNALS_MAX {
            channel.tell_signal(&SignalSent { signal: Told::Interrupt, at });
        }
        let status = vec![b'x'; STATUS_FILE_BYTES];
        channel.tell(&status);
        let mut said = Vec::new();
        ledger.read_to_end(&mut said).expect("read");
        assert!(said.len() <= NEWS_MAX_BYTES, "{}", said.len());
        let mut parts: Vec<&[u8]> = said.split(|byte| *byte == b'\n').collect();
        assert_eq!(parts.pop(), Some(&status[..]));
        assert_eq!(parts.len(), SIGNALS_MAX);
        for part in parts {
            let sent: SignalSent = serde_json::from_slice(part).expect("a signal");
            assert_eq!(sent, SignalSent { signal: Told::Interrupt, at });
        }
    }

    #[test]
    fn orders_that_are_too_long_are_not_even_read() {
        let (mut ledger, supervisor) = UnixStream::pair().expect("a pair");
        ledger.write_all(&u32::MAX.to_le_bytes()).expect("written");
        let error = Channel(supervisor).orders(&no_signals()).expect_err("refused");
        assert_eq!(error.to_string(), "orders of 4294967295 bytes");
    }
}
