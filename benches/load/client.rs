//! A thin HTTP/1.1 client over one kept connection: the load generator shares the machine with the
//! server, so it must be cheap.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::Failure;

/// Longest that one answer is waited for.
const PATIENCE: Duration = Duration::from_mins(2);
/// The largest answer that is taken, in bytes.
const ANSWER_MAX_BYTES: usize = 16 * 1024 * 1024;
/// What is read at once, in bytes.
const READ_BYTES: usize = 16 * 1024;

/// One connection. The server closes it where it is idle for some seconds: to be opened anew for
/// whatever comes after a measurement.
pub struct Client {
    stream: TcpStream,
    buffer: Vec<u8>,
}

/// An answer, as long as the connection isn't asked again.
pub struct Answer<'c> {
    /// The HTTP status.
    pub status: u16,
    /// The body.
    pub body: &'c [u8],
    head: &'c str,
}

impl Answer<'_> {
    /// What a header says.
    pub fn header(&self, name: &str) -> Option<&str> {
        header(self.head, name)
    }

    /// The body as JSON, where the status is as expected.
    pub fn json(&self, status: u16) -> Result<Value, Failure> {
        if self.status == status {
            return Ok(serde_json::from_slice(self.body)?);
        }
        Err(format!("{} instead of {status}: {}", self.status, self.text()).into())
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(self.body).into_owned()
    }
}

impl Client {
    /// Opens a connection.
    pub async fn connect(address: SocketAddr) -> Result<Self, Failure> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, buffer: Vec::with_capacity(READ_BYTES) })
    }

    /// Sends a whole request and reads the whole answer.
    pub async fn ask(&mut self, request: &[u8]) -> Result<Answer<'_>, Failure> {
        let (head, length) = tokio::time::timeout(PATIENCE, self.exchange(request)).await??;
        let text = std::str::from_utf8(&self.buffer[..head])?;
        let status = text.get(9..12).and_then(|code| code.parse().ok());
        let status = status.ok_or("an answer without a status")?;
        Ok(Answer { status, body: &self.buffer[head..head + length], head: text })
    }

    async fn exchange(&mut self, request: &[u8]) -> Result<(usize, usize), Failure> {
        self.stream.write_all(request).await?;
        self.buffer.clear();
        let mut known = None;
        loop {
            let searched = self.buffer.len().saturating_sub(3);
            self.buffer.reserve(READ_BYTES);
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                return Err("the server closed the connection".into());
            }
            if known.is_none()
                && let Some(end) =
                    self.buffer[searched..].windows(4).position(|four| four == b"\r\n\r\n")
            {
                let head = searched + end + 4;
                let text = std::str::from_utf8(&self.buffer[..head])?;
                let length = header(text, "content-length").unwrap_or("0").parse()?;
                known = Some((head, length));
            }
            if let Some((head, length)) = known
                && self.buffer.len() >= head + length
            {
                return Ok((head, length));
            }
            if self.buffer.len() > ANSWER_MAX_BYTES {
                return Err("an answer is too large".into());
            }
        }
    }

    /// Sends a request whose answer never ends, and hands the connection over.
    pub async fn follow(mut self, request: &[u8]) -> Result<TcpStream, Failure> {
        self.stream.write_all(request).await?;
        Ok(self.stream)
    }
}

fn header<'h>(head: &'h str, name: &str) -> Option<&'h str> {
    head.split("\r\n").skip(1).find_map(|line| {
        let (key, value) = line.split_once(':')?;
        key.eq_ignore_ascii_case(name).then(|| value.trim())
    })
}
