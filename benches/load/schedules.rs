//! (i) A thousand schedules whose tick comes in the same second: how long until the last is decided.

use std::path::Path;
use std::time::{Duration, Instant};

use execution_ledger_domain::Timestamp;
use serde_json::json;

use crate::client::Client;
use crate::figures::{Figure, Section, Target};
use crate::server::Server;
use crate::submissions::{MESSAGE, QUEUE_LIMIT, pause};
use crate::{Failure, Sizes};

/// The latest that all of them may be decided, in milliseconds.
const ALL_MS: f64 = 5_000.0;
/// How long making the schedules may take, in seconds: the tick comes after it.
const MAKING_S: u64 = 40;
/// How long after the tick the last decision is waited for.
const PATIENCE: Duration = Duration::from_mins(1);
/// Between two looks at how many executions there are.
const LOOK: Duration = Duration::from_millis(250);
/// Events of one page.
const PAGE: usize = 200;

/// Measures it.
pub async fn measure(folder: &Path, sizes: &Sizes) -> Result<Section, Failure> {
    let work = tempfile::tempdir_in(folder)?;
    let server = Server::start(work.path(), &[]).await?;
    server.register("busy", &["/bin/true"], json!({"queue_limit": QUEUE_LIMIT})).await?;
    pause(&server, "busy").await?;
    let tick = next_minute(now().plus_s(MAKING_S));
    let cron = tick.to_chrono().format("%-M %-H * * *").to_string();
    let body = json!({"agent_name": "busy", "message": MESSAGE, "cron": cron});
    let create = server.post("/api/schedules", &body);
    let mut client = server.client().await?;
    let began = Instant::now();
    for _ in 0..sizes.schedules {
        client.ask(&create).await?.json(201)?;
    }
    let made = began.elapsed();
    if now() >= tick {
        return Err(format!("making {} schedules took {made:?}", sizes.schedules).into());
    }
    tokio::time::sleep(Duration::from_millis(tick.ms_since(now()))).await;

    let mut client = server.client().await?;
    let stats = server.get("/api/executions/stats?triggered_by=schedule");
    let began = Instant::now();
    while client.ask(&stats).await?.json(200)?["total"] != sizes.schedules {
        if began.elapsed() > PATIENCE {
            return Err("not all of the ticks were decided".into());
        }
        tokio::time::sleep(LOOK).await;
    }
    let fired = recorded(&server, &mut client, "schedule.fired").await?;
    let accepted = recorded(&server, &mut client, "execution.pending").await?;
    server.stop().await?;
    if fired.len() != sizes.schedules {
        return Err(format!("{} ticks fired, not {}", fired.len(), sizes.schedules).into());
    }
    let after =
        |times: &[Timestamp]| times.iter().max().map_or(0, |last| last.ms_since(tick)) as f64;
    let figures = vec![
        Figure::new(format!("last of {} ticks decided", sizes.schedules), after(&fired), "ms")
            .target(Target::Below(ALL_MS)),
        Figure::new("last of their executions accepted", after(&accepted), "ms")
            .target(Target::Below(ALL_MS)),
        Figure::new(
            "making one, with the answer read back",
            made.as_secs_f64() * 1e3 / sizes.schedules as f64,
            "ms",
        ),
    ];
    let notes = vec![
        "from the tick to the last event's recorded_at; the agent is paused, so that nothing else runs"
            .to_owned(),
    ];
    Ok(Section { letter: 'i', title: "schedules of the same second", figures, notes })
}

fn now() -> Timestamp {
    chrono::Utc::now().into()
}

/// The first full minute after a moment.
fn next_minute(moment: Timestamp) -> Timestamp {
    const MINUTE: i64 = 60_000_000;
    Timestamp::from_micros((moment.micros() / MINUTE + 1) * MINUTE)
}

/// When each event of a type was recorded.
async fn recorded(
    server: &Server,
    client: &mut Client,
    name: &str,
) -> Result<Vec<Timestamp>, Failure> {
    let mut times = Vec::new();
    let mut cursor = String::new();
    loop {
        let path = format!("/api/events?type={name}&limit={PAGE}{cursor}");
        let page = client.ask(&server.get(&path)).await?.json(200)?;
        for event in page["events"].as_array().into_iter().flatten() {
            times.push(event["recorded_at"].as_str().ok_or("no time")?.parse()?);
        }
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return Ok(times),
        }
    }
}
