//! (h) Submissions and pages while 10,000 executions wait: what is asked in (b) and (d) holds here too.

use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::client::Client;
use crate::figures::{Figure, Latencies, Section, Target};
use crate::raw;
use crate::server::Server;
use crate::submissions::{MESSAGE, ONE_CLIENT_MS, PER_S, QUEUE_LIMIT, pause};
use crate::{Failure, Sizes};

/// Connections that submit at once.
const CONNECTIONS: usize = 64;
/// The latest that 99 of 100 pages may come, in milliseconds.
const P99_MS: f64 = 5.0;
/// Pages that are asked for before the measurement in each case.
const WARM_UP: usize = 20;

/// Kinds of questions about what waits.
const CASES: [(&str, &str); 6] = [
    ("the newest", "/api/executions?limit=50"),
    ("what waits, newest first", "/api/executions?status=pending"),
    ("what waits, oldest first", "/api/executions?status=pending&sort=created_at"),
    ("what waits for one agent", "/api/executions?agent=busy&status=pending&triggered_by=manual"),
    ("what waits, by word", "/api/executions?status=pending&q=suppliers"),
    ("slots and queue of the agent", "/api/agents/busy/capacity"),
];

/// Measures it.
pub async fn measure(folder: &Path, sizes: &Sizes) -> Result<Section, Failure> {
    let work = tempfile::tempdir_in(folder)?;
    let server = Server::start(work.path(), &[]).await?;
    let duration = Duration::from_secs(sizes.seconds);
    server.register("busy", &["/bin/true"], json!({"queue_limit": QUEUE_LIMIT})).await?;
    pause(&server, "busy").await?;
    let mut client = server.client().await?;
    let submit = server.task("busy", MESSAGE);
    let bare = asked(&mut client, &server.get("/healthz"), sizes.pages).await?;
    let last = fill(&mut client, &submit, sizes.pending).await?;

    let mut figures = Vec::new();
    let mut all = Latencies::new()?;
    for (name, path) in CASES {
        let latencies = asked(&mut client, &server.get(path), sizes.pages).await?;
        all.merge(&latencies)?;
        figures.push(
            Figure::new(format!("{name}, p99"), latencies.ms(0.99), "ms")
                .beside("GET /healthz", bare.ms(0.99))
                .target(Target::Below(P99_MS)),
        );
    }
    let moved =
        server.post(&format!("/api/agents/busy/executions/{last}/move_to_front"), &json!({}));
    let moved = asked(&mut client, &moved, sizes.pages).await?;
    let (_, one) = raw::asked(&server, submit.clone(), 1, duration / 5).await?;
    let (per_s, many) = raw::asked(&server, submit, CONNECTIONS, duration / 5).await?;
    server.stop().await?;
    figures.insert(
        0,
        Figure::new("all pages of the below, p99", all.ms(0.99), "ms")
            .beside("GET /healthz", bare.ms(0.99))
            .target(Target::Below(P99_MS)),
    );
    figures.extend([
        Figure::new("moving one to the front, p99", moved.ms(0.99), "ms"),
        Figure::new("submissions, one client, p50", one.ms(0.5), "ms")
            .target(Target::Below(ONE_CLIENT_MS)),
        Figure::new("submissions, one client, p99", one.ms(0.99), "ms"),
        Figure::new(format!("submissions at {CONNECTIONS} connections"), per_s, "/s")
            .target(Target::AtLeast(PER_S)),
        Figure::new(format!("{CONNECTIONS} connections, p99"), many.ms(0.99), "ms"),
    ]);
    let notes = vec![format!(
        "{} executions of a paused agent wait before the first figure; {} pages in each case, after \
         {WARM_UP} that are not counted; the submissions lengthen the queue while they are measured",
        sizes.pending, sizes.pages,
    )];
    Ok(Section { letter: 'h', title: "submissions and pages while many wait", figures, notes })
}

/// Submits as many; the id of the last one.
async fn fill(client: &mut Client, submit: &[u8], count: usize) -> Result<String, Failure> {
    let mut last = String::new();
    for _ in 0..count {
        let answer = client.ask(submit).await?.json(202)?;
        answer["execution_id"].as_str().ok_or("no id")?.clone_into(&mut last);
    }
    Ok(last)
}

/// The same request over and over on one connection.
async fn asked(client: &mut Client, request: &[u8], count: usize) -> Result<Latencies, Failure> {
    let mut latencies = Latencies::new()?;
    for round in 0..WARM_UP + count {
        let started = Instant::now();
        let answer = client.ask(request).await?;
        let took = started.elapsed();
        if answer.status != 200 {
            return Err(format!("{}: {}", answer.status, answer.text()).into());
        }
        if round >= WARM_UP {
            latencies.add(took);
        }
    }
    Ok(latencies)
}
