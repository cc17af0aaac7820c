//! From what a pipe delivers to lines.

use std::borrow::Cow;
use std::os::fd::OwnedFd;

use nix::errno::Errno;

use super::spool::{NewLine, Spool};
use crate::redact::{LineState, Redactor};
use crate::transcript::{LINE_MAX_BYTES, OutputStream};

/// What is read beyond a line's longest part before it is split, in bytes: a secret that lies
/// across the border is seen whole.
const SPLIT_OVERLAP_BYTES: usize = 16 * 1024;

/// What a reading of a pipe found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Read {
    /// There was something.
    Some,
    /// There is nothing now.
    Nothing,
    /// Nobody can write to it any more.
    End,
}

/// One of the two output streams of a run.
pub(super) struct Output {
    pipe: OwnedFd,
    lines: LineSplitter,
}

impl Output {
    /// Of this pipe, which does not block.
    pub fn new(pipe: OwnedFd, stream: OutputStream) -> Self {
        Self { pipe, lines: LineSplitter::new(stream) }
    }

    /// The pipe, to wait for.
    pub fn pipe(&self) -> &OwnedFd {
        &self.pipe
    }

    /// Reads once, and passes on the lines that are complete.
    pub fn read(&mut self, chunk: &mut [u8], sink: &mut Sink<'_>) -> Read {
        match nix::unistd::read(&self.pipe, chunk) {
            Ok(0) => Read::End,
            Ok(length) => {
                self.lines.feed(&chunk[..length], sink);
                Read::Some
            }
            Err(Errno::EAGAIN | Errno::EINTR) => Read::Nothing,
            Err(_) => Read::End,
        }
    }

    /// Passes on what has no newline after it: there will be none.
    pub fn finish(&mut self, sink: &mut Sink<'_>) {
        self.lines.finish(sink);
    }
}

/// Where lines go.
pub(super) struct Sink<'r> {
    /// What must not be written.
    pub redactor: &'r Redactor,
    /// The file.
    pub spool: Spool,
    /// Secrets that were taken out.
    pub redactions: u64,
}

impl Sink<'_> {
    fn line(&mut self, state: &mut LineState, line: &NewLine<'_>) {
        if self.spool.refused().is_some() {
            return;
        }
        let (text, found) = self.redactor.redact_line(state, line.text);
        self.redactions += u64::from(found);
        self.spool.add(&NewLine { text: &text, ..*line });
    }
}

/// Cuts a stream of bytes into lines, and too long lines into parts.
struct LineSplitter {
    stream: OutputStream,
    /// A line's beginning. Never longer than a part, its overlap and one chunk.
    begun: Vec<u8>,
    /// Something in the line that has begun was no UTF-8.
    invalid: bool,
    state: LineState,
}

impl LineSplitter {
    fn new(stream: OutputStream) -> Self {
        Self { stream, begun: Vec::new(), invalid: false, state: LineState::default() }
    }

    fn feed(&mut self, mut bytes: &[u8], sink: &mut Sink<'_>) {
        while let Some(newline) = memchr(bytes) {
            let (line, rest) = (&bytes[..newline], &bytes[newline + 1..]);
            if self.begun.is_empty() {
                self.pass_on(line, sink);
            } else {
                self.begun.extend_from_slice(line);
                self.finish_line(sink);
            }
            bytes = rest;
        }
        self.begun.extend_from_slice(bytes);
        while self.begun.len() >= LINE_MAX_BYTES + SPLIT_OVERLAP_BYTES {
            self.split(sink);
        }
    }

    fn finish(&mut self, sink: &mut Sink<'_>) {
        if !self.begun.is_empty() {
            self.finish_line(sink);
        }
    }

    fn finish_line(&mut self, sink: &mut Sink<'_>) {
        while self.begun.len() > LINE_MAX_BYTES {
            self.split(sink);
        }
        let line = std::mem::take(&mut self.begun);
        self.pass_on(&line, sink);
        self.begun = line;
        self.begun.clear();
        self.begun.shrink_to(LINE_MAX_BYTES);
    }

    fn pass_on(&mut self, bytes: &[u8], sink: &mut Sink<'_>) {
        let text = String::from_utf8_lossy(bytes);
        let invalid_utf8 = self.invalid || matches!(text, Cow::Owned(_));
        let line = NewLine { stream: self.stream, text: &text, continued: false, invalid_utf8 };
        sink.line(&mut self.state, &line);
        self.state.set_inside(false);
        self.invalid = false;
    }

    /// Passes on the first part of a line that is too long, cut where no secret is.
    fn split(&mut self, sink: &mut Sink<'_>) {
        let whole = whole_characters(&self.begun);
        let text = String::from_utf8_lossy(&self.begun[..whole]);
        self.invalid |= matches!(text, Cow::Owned(_));
        let border = text.floor_char_boundary(LINE_MAX_BYTES);
        let split = sink.redactor.split_near(&text, border);
        let border = split.at;
        let line = NewLine {
            stream: self.stream,
            text: &text[..border],
            continued: true,
            invalid_utf8: self.invalid,
        };
        sink.line(&mut self.state, &line);
        if split.inside {
            self.state.set_inside(true);
        }
        let mut rest = text.as_bytes()[border..].to_vec();
        rest.extend_from_slice(&self.begun[whole..]);
        self.begun = rest;
    }
}

fn memchr(bytes: &[u8]) -> Option<usize> {
    bytes.iter().position(|&byte| byte == b'\n')
}

/// Length without the last character where that is not all there yet.
fn whole_characters(bytes: &[u8]) -> usize {
    const LONGEST_CHARACTER: usize = 4;
    let from = bytes.len().saturating_sub(LONGEST_CHARACTER);
    for at in (from..bytes.len()).rev() {
        let expected = match bytes[at] {
            0b1100_0000..=0b1101_1111 => 2,
            0b1110_0000..=0b1110_1111 => 3,
            0b1111_0000..=0b1111_0111 => 4,
            0b1000_0000..=0b1011_1111 => continue,
            _ => 1,
        };
        return if at + expected > bytes.len() { at } else { bytes.len() };
    }
    bytes.len()
}
