//! (c) Whole lives of runs: from the HTTP request through the supervisor to the durable ending.

use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::json;
use tokio::task::JoinSet;

use crate::figures::{Figure, Latencies, Section, Target};
use crate::server::Server;
use crate::{Failure, Sizes, bare};

/// Slots of the agent; one more place is kept for chat.
const SLOTS: usize = 16;
/// The ceiling that leaves all of them.
const CEILING: &str = "17";
/// Connections that submit at once.
const SUBMITTERS: usize = 8;
/// The share of the bare program that is asked for.
const RATIO: f64 = 0.35;
/// What a caller may wait for on an idle server, in milliseconds.
const IDLE_MS: f64 = 6.0;
/// Between two looks at what has not ended.
const LOOK: Duration = Duration::from_millis(10);
/// Longest that all runs may take.
const PATIENCE: Duration = Duration::from_mins(10);
/// Names of what is looked at.
const METRICS: [&str; 3] =
    ["ledger_executions_waiting", "ledger_executions_running", "ledger_events_appended_total"];

/// Measures it, the bare program half before and half after.
pub async fn measure(folder: &Path, sizes: &Sizes) -> Result<Section, Failure> {
    let (bare_before, _) = bare::runs(folder, sizes.runs / 2, SLOTS).await?;
    let work = tempfile::tempdir_in(folder)?;
    let ceiling = [("EXECUTION_LEDGER_MAX_PARALLEL_TOTAL", CEILING)];
    let server = Server::start(work.path(), &ceiling).await?;
    let settings = json!({"max_parallel_tasks": SLOTS, "queue_limit": 1_000_000, "cwd": "/"});
    server.register("true", &["/bin/true"], settings).await?;
    lifecycles(&server, SLOTS * 8).await?;
    let per_s = lifecycles(&server, sizes.runs).await?;
    let idle = idle(&server, sizes.idle_runs).await?;
    server.stop().await?;
    let (bare_after, _) = bare::runs(folder, sizes.runs / 2, SLOTS).await?;
    let (_, bare_idle) = bare::runs(folder, sizes.idle_runs, 1).await?;

    let bare_per_s = 2.0 / (1.0 / bare_before + 1.0 / bare_after);
    let raw = "same supervisor and agent, three grouped fdatasyncs";
    let figures = vec![
        Figure::new(format!("lifecycles of `/bin/true` at {SLOTS} slots"), per_s, "/s")
            .beside(raw, bare_per_s)
            .target(Target::RatioAtLeast(RATIO)),
        Figure::new("submit to completed when idle, p50", idle.ms(0.5), "ms")
            .beside(raw, bare_idle.ms(0.5))
            .target(Target::Below(IDLE_MS)),
        Figure::new("submit to completed when idle, p99", idle.ms(0.99), "ms")
            .beside(raw, bare_idle.ms(0.99)),
    ];
    let notes = vec![format!(
        "{} runs, submitted at once over {SUBMITTERS} connections; when idle, one synchronous call \
         after the other, answered with the finished record. The bare program before and after: \
         {bare_before:.0}/s and {bare_after:.0}/s",
        sizes.runs
    )];
    Ok(Section { letter: 'c', title: "lifecycles through supervisor and log", figures, notes })
}

/// Runs a second, from the first submission to the last durable ending.
async fn lifecycles(server: &Server, count: usize) -> Result<f64, Failure> {
    let mut client = server.client().await?;
    let before = server.metrics(&mut client, METRICS).await?;
    let submit = server.task("true", "message");
    let began = Instant::now();
    let mut submitters = JoinSet::new();
    for part in 0..SUBMITTERS {
        let (mut client, submit) = (server.client().await?, submit.clone());
        let own = (part..count).step_by(SUBMITTERS).len();
        submitters.spawn(async move {
            for _ in 0..own {
                let answer = client.ask(&submit).await?;
                if answer.status != 202 {
                    return Err(format!("{}: {}", answer.status, answer.text()).into());
                }
            }
            Ok::<(), Failure>(())
        });
    }
    while let Some(submitted) = submitters.join_next().await {
        submitted??;
    }
    loop {
        let [waiting, running, events] = server.metrics(&mut client, METRICS).await?;
        if waiting + running == 0.0 {
            let took = began.elapsed();
            // Pending, running, completed: fewer would be a run that is lost.
            if events - before[2] < 3.0 * count as f64 {
                return Err(format!("{count} runs left {} events", events - before[2]).into());
            }
            return Ok(count as f64 / took.as_secs_f64());
        }
        if began.elapsed() > PATIENCE {
            return Err(format!("{waiting} wait and {running} run still").into());
        }
        tokio::time::sleep(LOOK).await;
    }
}

async fn idle(server: &Server, count: usize) -> Result<Latencies, Failure> {
    let mut client = server.client().await?;
    let call = server.post("/api/agents/true/task", &json!({"message": "message"}));
    let mut latencies = Latencies::new()?;
    for _ in 0..count {
        let started = Instant::now();
        let record = client.ask(&call).await?.json(200)?;
        latencies.add(started.elapsed());
        if record["status"] != "completed" {
            return Err(format!("not completed: {record}").into());
        }
    }
    Ok(latencies)
}
