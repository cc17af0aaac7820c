//! (k) Lists and sums of the past, at random positions of a large log.

use std::path::Path;
use std::time::Instant;

use crate::figures::{Figure, Latencies, Section, Target};
use crate::server::Server;
use crate::{Failure, Sizes, seed};

/// The latest that 99 of 100 pages of the past may come, in milliseconds.
const P99_MS: f64 = 20.0;
/// Pages that are asked for before the measurement in each case.
const WARM_UP: usize = 20;
/// Spreads positions over the log: no multiple of it repeats soon.
const STRIDE: u64 = 0x9e37_79b9_7f4a_7c15;

/// Kinds of questions; what is in braces differs each time.
const LISTS: [(&str, &str); 6] = [
    ("list", "/api/executions?"),
    ("list, agent", "/api/executions?agent={agent}"),
    ("list, agent, status", "/api/executions?agent={agent}&status=completed"),
    ("list, status, trigger", "/api/executions?status=failed&triggered_by=mcp"),
    ("list, oldest first", "/api/executions?sort=created_at"),
    ("billing feed, 50 rows", "/api/costs/feed?limit=50"),
];
/// The same for sums: nothing is asked of them but that they are right.
const SUMS: [(&str, &str); 2] =
    [("costs by agent", "/api/costs?by=agent"), ("costs by day", "/api/costs?by=day")];

/// Measures it on the large log, whose read models are there.
pub async fn measure(work: &Path, sizes: &Sizes) -> Result<Section, Failure> {
    let server = Server::start(work, &[]).await?;
    server.notary_is_live().await?;
    let mut client = server.client().await?;
    let request = server.get("/api/executions?limit=1");
    let answer = client.ask(&request).await?;
    let head = answer.header("ledger-position").ok_or("an answer without a position")?;
    let (log, head) = head.rsplit_once('-').ok_or("a position of another form")?;
    let (log, head) = (log.to_owned(), head.parse::<u64>()?);
    let mut figures = Vec::new();
    let mut all = Latencies::new()?;
    for (index, (name, path)) in LISTS.iter().chain(&SUMS).enumerate() {
        let mut latencies = Latencies::new()?;
        for round in 0..WARM_UP + sizes.pages {
            let drawn = (round as u64 + 1).wrapping_mul(STRIDE) % head + 1;
            let agent = seed::agent(round as u64 % seed::AGENTS)?;
            let path = path.replace("{agent}", agent.as_str());
            let mark = if path.ends_with('?') { "" } else { "&" };
            let request = server.get(&format!("{path}{mark}as_of={log}-{drawn}"));
            let began = Instant::now();
            let answer = client.ask(&request).await?;
            let took = began.elapsed();
            if answer.status != 200 {
                return Err(format!("{path}: {}", answer.text()).into());
            }
            if round >= WARM_UP {
                latencies.add(took);
            }
        }
        let figure = Figure::new(format!("{name}, p99"), latencies.ms(0.99), "ms");
        if index < LISTS.len() {
            all.merge(&latencies)?;
            figures.push(figure.target(Target::Below(P99_MS)));
        } else {
            figures.push(figure);
        }
    }
    let together = Figure::new("all lists of the below, p99", all.ms(0.99), "ms");
    figures.insert(0, together.target(Target::Below(P99_MS)));
    server.stop().await?;
    let notes = vec![format!(
        "{} executions; {} questions of each kind, each as of another position anywhere in the log's \
         {head} events, after {WARM_UP} that are not counted",
        sizes.executions, sizes.pages,
    )];
    Ok(Section {
        letter: 'k',
        title: "the past: lists and sums as of any position",
        figures,
        notes,
    })
}
