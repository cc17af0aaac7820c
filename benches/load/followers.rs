//! (f) Many followers (SSE) of one run: does every line reach all, and how late?

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::json;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::figures::{Figure, Latencies, Section, Target};
use crate::server::Server;
use crate::{Failure, Sizes};

/// The latest that a line may come to 99 of 100, in milliseconds.
const P99_MS: f64 = 200.0;
/// Longest that a follower waits for the next bytes.
const PATIENCE: Duration = Duration::from_mins(1);
/// What a follower reads at once, in bytes.
const READ_BYTES: usize = 16 * 1024;
/// Bytes of a line that no line of this run exceeds.
const LINE_MAX_BYTES: usize = 4 * 1024;
/// Prints its number and the time, 20 times a second, once the file `go` is there. It ends also
/// where its folder is gone.
const SCRIPT: &str = r#"while [ -d "$1" ] && [ ! -e "$1/go" ]; do sleep 0.05; done
for ((i = 1; i <= $2; i++)); do echo "$i $EPOCHREALTIME"; sleep 0.05; done"#;

/// Measures it with all followers, and with one as the baseline.
pub async fn measure(folder: &Path, sizes: &Sizes) -> Result<Section, Failure> {
    let work = tempfile::tempdir_in(folder)?;
    let server = Server::start(work.path(), &[]).await?;
    let one = followed(&server, work.path(), "one", 1, sizes.lines / 4).await?;
    let all = followed(&server, work.path(), "all", sizes.followers, sizes.lines).await?;
    server.stop().await?;
    let expected = sizes.followers as u64 * sizes.lines;
    let raw = "one follower";
    let figures = vec![
        Figure::new(
            format!("lines lost to {} followers", sizes.followers),
            lost(&all, expected),
            "",
        )
        .target(Target::Below(1.0)),
        Figure::new("from the agent's print to the follower, p50", all.ms(0.5), "ms")
            .beside(raw, one.ms(0.5)),
        Figure::new("from the agent's print to the follower, p99", all.ms(0.99), "ms")
            .beside(raw, one.ms(0.99))
            .target(Target::Below(P99_MS)),
        Figure::new("the latest of all", all.ms(1.0), "ms").beside(raw, one.ms(1.0)),
    ];
    let notes = vec![format!(
        "{} lines at about 20/s, {expected} deliveries; each follower checks that it gets every line \
         once and in order, and the end",
        sizes.lines
    )];
    Ok(Section { letter: 'f', title: "followers of one run", figures, notes })
}

fn lost(latencies: &Latencies, expected: u64) -> f64 {
    expected.saturating_sub(latencies.count()) as f64
}

/// How late lines came to this many followers of a new run.
async fn followed(
    server: &Server,
    work: &Path,
    agent: &str,
    followers: usize,
    lines: u64,
) -> Result<Latencies, Failure> {
    let folder = work.join(agent);
    std::fs::create_dir(&folder)?;
    let path = folder.display().to_string();
    let command = ["/bin/bash", "-c", SCRIPT, "bash", &path, &lines.to_string()];
    server.register(agent, &command, json!({"timeout_s": 600})).await?;
    let mut client = server.client().await?;
    let accepted = client.ask(&server.task(agent, "print")).await?.json(202)?;
    let id = accepted["execution_id"].as_str().ok_or("no id")?;
    let request = server.get(&format!("/api/agents/{agent}/executions/{id}/stream"));

    let connected = Arc::new(Semaphore::new(0));
    let mut following = JoinSet::new();
    for _ in 0..followers {
        let stream = server.client().await?.follow(&request).await?;
        let connected = Arc::clone(&connected);
        following.spawn(async move { Follower::new(stream, lines)?.follow(&connected).await });
    }
    let all = connected.acquire_many(u32::try_from(followers)?);
    tokio::time::timeout(PATIENCE, all).await??.forget();
    std::fs::write(folder.join("go"), "")?;
    let mut latencies = Latencies::new()?;
    while let Some(followed) = following.join_next().await {
        latencies.merge(&followed??)?;
    }
    Ok(latencies)
}

struct Follower {
    stream: TcpStream,
    lines: u64,
    next: u64,
    ended: bool,
    latencies: Latencies,
}

impl Follower {
    fn new(stream: TcpStream, lines: u64) -> Result<Self, Failure> {
        Ok(Self { stream, lines, next: 1, ended: false, latencies: Latencies::new()? })
    }

    /// Reads to the end of the stream; says when the first bytes have come.
    async fn follow(mut self, connected: &Semaphore) -> Result<Latencies, Failure> {
        let mut buffer = Vec::with_capacity(READ_BYTES);
        let began = Instant::now();
        let mut told = false;
        while !self.ended {
            let read = self.stream.read_buf(&mut buffer);
            if tokio::time::timeout(PATIENCE, read).await?? == 0 {
                return Err(format!("the stream ended before line {}", self.next).into());
            }
            if !told && buffer.windows(6).any(|six| six == b"retry:") {
                told = true;
                connected.add_permits(1);
            }
            let now = SystemTime::now().duration_since(UNIX_EPOCH)?;
            let whole = buffer.iter().rposition(|&byte| byte == b'\n').map_or(0, |at| at + 1);
            for line in buffer[..whole].split(|&byte| byte == b'\n') {
                self.take(line, now)?;
            }
            buffer.drain(..whole);
            if buffer.len() > LINE_MAX_BYTES {
                return Err("a line is too long".into());
            }
        }
        if self.next != self.lines + 1 {
            let missing = format!("ended before line {} after {:?}", self.next, began.elapsed());
            return Err(missing.into());
        }
        Ok(self.latencies)
    }

    /// One line of the answer: a frame's data, its end, or what is of no interest.
    fn take(&mut self, line: &[u8], now: Duration) -> Result<(), Failure> {
        if line.starts_with(b"event: end") {
            self.ended = true;
        }
        if !line.starts_with(b"data: {\"seq\"") {
            return Ok(());
        }
        let text = std::str::from_utf8(line)?;
        let printed = text.split_once("\"line\":\"").and_then(|(_, rest)| rest.split_once('"'));
        let printed = printed.and_then(|(printed, _)| printed.split_once(' '));
        let (number, at) = printed.ok_or_else(|| format!("what line is this: {text}"))?;
        if number.parse::<u64>()? != self.next {
            return Err(format!("line {number} came instead of {}", self.next).into());
        }
        self.next += 1;
        let (seconds, micros) = at.split_once(['.', ',']).ok_or("no time")?;
        let micros = seconds.parse::<u64>()? * 1_000_000 + micros.parse::<u64>()?;
        self.latencies.add(now.saturating_sub(Duration::from_micros(micros)));
        Ok(())
    }
}
