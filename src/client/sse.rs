//! Reading server-sent events.

use std::time::Duration;

use reqwest::Response;

use super::{ClientError, deepest};

/// The largest frame that is read, in bytes: a transcript line of 1 MiB, escaped, fits.
const FRAME_MAX_BYTES: usize = 16 * 1024 * 1024;
/// How long nothing may come, not even a comment that keeps the connection alive.
const SILENCE_MAX: Duration = Duration::from_secs(90);

/// One event of a stream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Frame {
    /// Its id, by which a stream is resumed.
    pub id: Option<String>,
    /// Its name; empty for ordinary data.
    pub event: String,
    /// Its data.
    pub data: String,
}

/// An open stream.
pub struct Stream {
    response: Response,
    parser: Parser,
}

impl Stream {
    /// Reads from this response.
    pub fn new(response: Response) -> Self {
        Self { response, parser: Parser::default() }
    }

    /// The next event; `None` where the server ended the stream.
    pub async fn next(&mut self) -> Result<Option<Frame>, ClientError> {
        loop {
            if let Some(frame) = self.parser.next()? {
                return Ok(Some(frame));
            }
            let chunk = tokio::time::timeout(SILENCE_MAX, self.response.chunk())
                .await
                .map_err(|_| {
                    ClientError::Interrupted(format!(
                        "nothing came for {} s",
                        SILENCE_MAX.as_secs()
                    ))
                })?
                .map_err(|error| ClientError::Interrupted(deepest(&error)))?;
            match chunk {
                Some(chunk) => self.parser.feed(&chunk),
                None => return Ok(None),
            }
        }
    }
}

/// Cuts a stream of bytes into frames.
#[derive(Default)]
struct Parser {
    buffer: Vec<u8>,
    /// Where in the buffer the next line begins.
    start: usize,
    /// Where the search for the next line's end goes on.
    searched: usize,
    frame: Frame,
    has_data: bool,
}

impl Parser {
    fn feed(&mut self, bytes: &[u8]) {
        self.buffer.drain(..self.start);
        self.searched -= self.start;
        self.start = 0;
        self.buffer.extend_from_slice(bytes);
    }

    fn next(&mut self) -> Result<Option<Frame>, ClientError> {
        while let Some(end) = self.buffer[self.searched..].iter().position(|b| *b == b'\n') {
            let end = self.searched + end;
            let line = &self.buffer[self.start..end];
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            let line = String::from_utf8_lossy(line).into_owned();
            self.start = end + 1;
            self.searched = self.start;
            if let Some(frame) = self.take(&line) {
                return Ok(Some(frame));
            }
            self.check_size()?;
        }
        self.searched = self.buffer.len();
        self.check_size().map(|()| None)
    }

    fn check_size(&self) -> Result<(), ClientError> {
        if self.frame.data.len() + (self.buffer.len() - self.start) > FRAME_MAX_BYTES {
            return Err(ClientError::Unexpected(format!(
                "one event of its stream is larger than {FRAME_MAX_BYTES} bytes"
            )));
        }
        Ok(())
    }

    /// One line; an empty one ends the frame.
    fn take(&mut self, line: &str) -> Option<Frame> {
        if line.is_empty() {
            let frame = std::mem::take(&mut self.frame);
            return std::mem::take(&mut self.has_data).then_some(frame);
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "data" => {
                if self.has_data {
                    self.frame.data.push('\n');
                }
                self.has_data = true;
                self.frame.data.push_str(value);
            }
            "event" => value.clone_into(&mut self.frame.event),
            "id" => self.frame.id = Some(value.to_owned()),
            // Comments keep the connection alive; `retry` is ours to decide.
            _ => {}
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(parser: &mut Parser) -> Vec<Frame> {
        let mut frames = Vec::new();
        while let Some(frame) = parser.next().expect("small frames") {
            frames.push(frame);
        }
        frames
    }

    #[test]
    fn frames_are_the_same_wherever_the_bytes_were_cut() {
        let text = b": alive\n\nid: 1\ndata: {\"a\":1}\n\nid: 2\r\nevent: end\r\ndata: x\r\ndata: y\r\n\r\n";
        let mut whole = Parser::default();
        whole.feed(text);
        let expected = all(&mut whole);
        assert_eq!(expected.len(), 2);
        assert_eq!(expected[1].data, "x\ny");
        assert_eq!(expected[1].event, "end");
        assert_eq!(expected[1].id.as_deref(), Some("2"));
        for cut in 0..text.len() {
            let mut parser = Parser::default();
            parser.feed(&text[..cut]);
            let mut frames = all(&mut parser);
            parser.feed(&text[cut..]);
            frames.extend(all(&mut parser));
            assert_eq!(frames, expected, "cut at {cut}");
        }
    }

    #[test]
    fn a_frame_without_end_is_refused_instead_of_filling_the_memory() {
        let mut parser = Parser::default();
        parser.feed(b"data: ");
        parser.feed(&vec![b'x'; FRAME_MAX_BYTES]);
        assert!(parser.next().is_err());
    }
}
