//! (b) Submissions over HTTP, each acknowledged when it is durable, with the read models following.

use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::figures::{Figure, Section, Target};
use crate::server::{Server, log_of};
use crate::{Failure, Sizes, raw};

/// Connections that submit at once.
const CONNECTIONS: usize = 64;
/// The longest queue that an agent may have.
pub const QUEUE_LIMIT: u32 = 1_000_000;
/// Submissions a second that are asked for.
pub const PER_S: f64 = 8_000.0;
/// What one client may wait for, in milliseconds.
pub const ONE_CLIENT_MS: f64 = 1.5;
/// What is asked to be done: as long as people write it.
pub const MESSAGE: &str = "Compare the three candidate suppliers by price, delivery time and warranty, \
    then write a short recommendation with the two strongest arguments for it.";
/// Names of the store's counters.
const COUNTERS: [&str; 2] = ["ledger_events_appended_total", "ledger_commits_total"];

/// Measures it.
pub async fn measure(folder: &Path, sizes: &Sizes) -> Result<Section, Failure> {
    let work = tempfile::tempdir_in(folder)?;
    let server =
        Server::start(work.path(), &[("EXECUTION_LEDGER_MAX_PARALLEL_TOTAL", "17")]).await?;
    let duration = Duration::from_secs(sizes.seconds);
    let settings = json!({"queue_limit": QUEUE_LIMIT, "max_parallel_tasks": 16});
    server.register("paused", &["/bin/true"], settings.clone()).await?;
    pause(&server, "paused").await?;

    let submit = server.task("paused", MESSAGE);
    raw::asked(&server, submit.clone(), CONNECTIONS, Duration::from_secs(1)).await?;
    let before = server.metrics(&mut server.client().await?, COUNTERS).await?;
    let (per_s, many) = raw::asked(&server, submit.clone(), CONNECTIONS, duration).await?;
    let after = server.metrics(&mut server.client().await?, COUNTERS).await?;
    let events_per_commit = (after[0] - before[0]) / (after[1] - before[1]).max(1.0);
    let behind_ms = views_behind_ms(&server).await?;
    let (_, one) = raw::asked(&server, submit, 1, duration / 2).await?;
    let (health_per_s, _) =
        raw::asked(&server, server.get("/healthz"), CONNECTIONS, duration / 5).await?;
    let (_, health_one) = raw::asked(&server, server.get("/healthz"), 1, duration / 5).await?;

    server.register("active", &["/bin/true"], settings).await?;
    let submit = server.task("active", MESSAGE);
    let (while_running, _) = raw::asked(&server, submit, CONNECTIONS, duration / 2).await?;
    pause(&server, "active").await?;
    await_no_runs(&server).await?;
    server.stop().await?;

    let bytes = raw::event_bytes(&log_of(work.path()))?;
    let (disk_per_s, _) = raw::appended(work.path(), bytes, events_per_commit, duration / 5)?;
    let (_, sync) = raw::appended(work.path(), bytes, 1.0, duration / 5)?;
    let raw_many = format!("append + fdatasync of {events_per_commit:.1} events each");
    let raw_one = "append + fdatasync, and GET /healthz";
    let figures = vec![
        Figure::new(format!("submissions at {CONNECTIONS} connections"), per_s, "/s")
            .beside(raw_many, disk_per_s)
            .target(Target::AtLeast(PER_S)),
        Figure::new("the same beside bare HTTP", per_s, "/s").beside("GET /healthz", health_per_s),
        Figure::new(format!("{CONNECTIONS} connections, p50"), many.ms(0.5), "ms"),
        Figure::new(format!("{CONNECTIONS} connections, p99"), many.ms(0.99), "ms"),
        Figure::new("one client, p50", one.ms(0.5), "ms")
            .beside(raw_one, sync.ms(0.5) + health_one.ms(0.5))
            .target(Target::Below(ONE_CLIENT_MS)),
        Figure::new("one client, p99", one.ms(0.99), "ms")
            .beside(raw_one, sync.ms(0.99) + health_one.ms(0.99)),
        Figure::new("read models behind the log after it", behind_ms, "ms"),
        Figure::new("submissions while 16 slots run `/bin/true`", while_running, "/s"),
    ];
    let notes = vec![format!(
        "{} bytes an event with its text; {events_per_commit:.1} events a commit; the agent is \
         paused, so that nothing else runs, but in the last line",
        bytes
    )];
    Ok(Section { letter: 'b', title: "submissions over HTTP", figures, notes })
}

/// Lets an agent start nothing.
pub async fn pause(server: &Server, agent: &str) -> Result<(), Failure> {
    let request = server.post(&format!("/api/agents/{agent}/pause"), &json!({}));
    server.client().await?.ask(&request).await?.json(200).map(drop)
}

/// How long it takes after the load until the read models have seen the log's end.
async fn views_behind_ms(server: &Server) -> Result<f64, Failure> {
    let mut client = server.client().await?;
    let began = Instant::now();
    let answer = client.ask(&server.task("paused", MESSAGE)).await?.json(202)?;
    let position = answer["position"].as_str().ok_or("no position")?;
    let reached = server.get(&format!("/api/executions?limit=1&wait_for={position}"));
    loop {
        // 504 says that they are still behind.
        match client.ask(&reached).await?.status {
            200 => return Ok(began.elapsed().as_secs_f64() * 1e3),
            504 if began.elapsed() < Duration::from_mins(2) => {}
            status => return Err(format!("the read models do not catch up: {status}").into()),
        }
    }
}

/// Waits until no run is left, so that the next figure is not disturbed.
async fn await_no_runs(server: &Server) -> Result<(), Failure> {
    let mut client = server.client().await?;
    let began = Instant::now();
    while server.metrics(&mut client, ["ledger_executions_running"]).await?[0] > 0.0 {
        if began.elapsed() > Duration::from_mins(1) {
            return Err("runs do not end".into());
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}
