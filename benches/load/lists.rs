//! (d) Pages of a large list over HTTP, with three filters and more.

use std::path::Path;
use std::time::Instant;

use execution_ledger_domain::Timestamp;
use execution_ledger_store::{Clock, SystemClock};
use rusqlite::{Connection, OpenFlags};

use crate::client::Client;
use crate::figures::{Figure, Latencies, Section, Target};
use crate::server::Server;
use crate::{Failure, Sizes, idle, seed};

/// The latest that 99 of 100 pages may come, in milliseconds.
const P99_MS: f64 = 5.0;
/// Rows of a page.
const ROWS: usize = 50;
/// One hour, in microseconds.
const HOUR_US: i64 = 3_600_000_000;
/// Pages that are asked for before the measurement in each case.
const WARM_UP: usize = 20;

/// Kinds of questions; what is in braces differs each time.
const CASES: [(&str, &str); 14] = [
    ("agent, status, trigger", "agent={agent}&status=completed&triggered_by=manual"),
    ("agent, status, rare trigger", "agent={agent}&status=failed&triggered_by=paid"),
    ("agent, rare status, trigger", "agent={agent}&status=cancelled&triggered_by=retry"),
    ("agent, status, trigger: none", "agent={agent}&status=running&triggered_by=manual"),
    ("agent, status, from", "agent={agent}&status=completed&from={late}"),
    ("agent, status, to", "agent={agent}&status=failed&to={early}"),
    ("status, trigger, from and to", "status=failed&triggered_by=mcp&from={early}&to={late}"),
    ("agent, status, model", "agent={agent}&status=completed&model={model}"),
    ("agent, rare status, model", "agent={agent}&status=cancelled&model={model}"),
    ("agent, status, high cost", "agent={agent}&status=completed&min_cost=7.5"),
    ("agent, status, common word", "agent={agent}&status=completed&q=report"),
    ("agent, status, rare word", "agent={agent_of_number}&status=completed&q=number{number}"),
    ("agent, trigger, dearest first", "agent={agent}&triggered_by=mcp&sort=-cost&from={early}"),
    ("agent, status, oldest first", "agent={agent}&status=failed&from={early}&sort=created_at"),
];

/// Measures it on the large log, whose read models are there.
pub async fn measure(work: &Path, sizes: &Sizes) -> Result<Section, Failure> {
    let server = Server::start(work, &[]).await?;
    server.notary_is_live().await?;
    let mut client = server.client().await?;
    let bare = bare(&server, &mut client, &work.join("data/views.db"), sizes.pages).await?;
    let mut figures = Vec::new();
    let mut all = Latencies::new()?;
    for (name, query) in CASES {
        let (latencies, rows) = case(&server, &mut client, query, sizes).await?;
        all.merge(&latencies)?;
        figures.push(figure(&format!("{name} ({rows:.0} rows)"), &latencies, &bare));
    }
    let deep = deep_pages(&server, &mut client, sizes.pages).await?;
    all.merge(&deep)?;
    figures.push(figure("agent, status, trigger: page after page", &deep, &bare));
    figures.insert(0, figure("all of the below", &all, &bare));
    // What caches of the read models hold once they have been asked.
    let memory_mb = idle::memory_mb(server.pid(), "VmRSS:")?;
    figures.push(Figure::new("memory after all of that (RSS)", memory_mb, "MB"));
    server.stop().await?;
    let notes = vec![format!(
        "{} executions; {} pages of {ROWS} in each case, each for another agent, after {WARM_UP} that \
         are not counted; in parentheses, the rows that came on average. p50 of all: {:.2} ms",
        sizes.executions,
        sizes.pages,
        all.ms(0.5),
    )];
    Ok(Section { letter: 'd', title: "pages of a large list over HTTP", figures, notes })
}

fn figure(name: &str, latencies: &Latencies, bare: &Latencies) -> Figure {
    Figure::new(format!("{name}, p99"), latencies.ms(0.99), "ms")
        .beside(format!("GET /healthz + {ROWS} rows by key"), bare.ms(0.99))
        .target(Target::Below(P99_MS))
}

async fn case(
    server: &Server,
    client: &mut Client,
    query: &str,
    sizes: &Sizes,
) -> Result<(Latencies, f64), Failure> {
    let mut latencies = Latencies::new()?;
    let mut rows = 0;
    for round in 0..WARM_UP + sizes.pages {
        let request = server.get(&format!("/api/executions?{}", filled(query, round, sizes)?));
        let started = Instant::now();
        let answer = client.ask(&request).await?;
        let took = started.elapsed();
        if answer.status != 200 {
            return Err(format!("{query}: {}", answer.text()).into());
        }
        if round >= WARM_UP {
            latencies.add(took);
            let page = answer.json(200)?;
            rows += page["executions"].as_array().map_or(0, Vec::len);
        }
    }
    Ok((latencies, rows as f64 / sizes.pages as f64))
}

/// The query of this round.
fn filled(query: &str, round: usize, sizes: &Sizes) -> Result<String, Failure> {
    let round = round as u64;
    let hours = |hours: i64| {
        Timestamp::from_micros(SystemClock.now().micros() - hours * HOUR_US).to_string()
    };
    let number = round * 7_919 % sizes.executions;
    let spread = i64::try_from(round % 200)?;
    Ok(query
        .replace("{agent}", seed::agent(round % seed::AGENTS)?.as_str())
        .replace("{model}", seed::MODELS[usize::try_from(round)? % seed::MODELS.len()])
        .replace("{early}", &hours(seed::DAYS * 24 - 100 - spread))
        .replace("{late}", &hours(24 + spread))
        .replace("{agent_of_number}", seed::agent_of(number)?.as_str())
        .replace("{number}", &number.to_string()))
}

/// One list, page after page by its cursor.
async fn deep_pages(
    server: &Server,
    client: &mut Client,
    pages: usize,
) -> Result<Latencies, Failure> {
    let mut latencies = Latencies::new()?;
    let first = format!(
        "/api/executions?limit={ROWS}&agent={}&status=completed&triggered_by=manual",
        seed::agent(0)?
    );
    let mut path = first.clone();
    for _ in 0..pages {
        let request = server.get(&path);
        let started = Instant::now();
        let answer = client.ask(&request).await?;
        latencies.add(started.elapsed());
        let page = answer.json(200)?;
        path = match page["next_cursor"].as_str() {
            Some(cursor) => format!("{first}&cursor={cursor}"),
            None => first.clone(),
        };
    }
    Ok(latencies)
}

/// What is there without a ledger: an answer over HTTP, and as many rows from the same file by key.
async fn bare(
    server: &Server,
    client: &mut Client,
    views: &Path,
    rounds: usize,
) -> Result<Latencies, Failure> {
    let reading = Connection::open_with_flags(views, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    let last: i64 = reading.query_row("SELECT max(no) FROM executions", [], |row| row.get(0))?;
    let query = "SELECT * FROM executions WHERE no <= ?1 ORDER BY no DESC LIMIT 50";
    let healthy = server.get("/healthz");
    let mut latencies = Latencies::new()?;
    for round in 0..i64::try_from(rounds)? {
        let started = Instant::now();
        if client.ask(&healthy).await?.status != 200 {
            return Err("/healthz is not well".into());
        }
        let mut statement = reading.prepare_cached(query)?;
        let mut rows = statement.query([last * (round + 1) / i64::try_from(rounds)?])?;
        while rows.next()?.is_some() {}
        latencies.add(started.elapsed());
    }
    Ok(latencies)
}
