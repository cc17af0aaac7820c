//! (m) The page of executions over a large list: as HTML over HTTP, and in a browser where there is one.

use std::path::{Path, PathBuf};
use std::time::Instant;

use serde::Deserialize;
use tokio::process::Command;

use crate::figures::{Figure, Latencies, Section, Target};
use crate::server::Server;
use crate::{Failure, Sizes, repository, seed};

/// The latest that 99 of 100 pages may come, in milliseconds.
const P99_MS: f64 = 150.0;
/// The latest that a browser may paint something, in milliseconds.
const PAINT_MS: f64 = 300.0;
/// The largest that a page may be, in bytes.
const HTML_MAX_BYTES: f64 = 100.0 * 1024.0;
/// Pages that are asked for before the measurement in each case.
const WARM_UP: usize = 5;
/// Where `make test-tools` puts what drives a browser.
const TOOLS: &str = "target/test-tools/pages";
/// Where a system keeps Chromium.
const CHROMIUM: [&str; 2] = ["/usr/bin/chromium", "/usr/bin/chromium-browser"];

/// Kinds of pages; what is in braces differs each time.
const CASES: [(&str, &str); 5] = [
    ("all", "/"),
    ("filter: agent", "/?agent={agent}"),
    ("filter: agent, status, trigger", "/?agent={agent}&status=completed&triggered_by=manual"),
    ("filter: status, dearest first", "/?status=failed&sort=-cost"),
    ("a rare word", "/?q=number{number}"),
];

/// What a browser measured, in milliseconds.
#[derive(Deserialize)]
struct Seen {
    #[serde(rename = "paint_ms")]
    first_paint: f64,
    #[serde(rename = "filter_ms")]
    filtered: f64,
    #[serde(rename = "next_ms")]
    next_page: f64,
}

/// Measures it on the large log, whose read models are there.
pub async fn measure(work: &Path, sizes: &Sizes) -> Result<Section, Failure> {
    let server = Server::start(work, &[]).await?;
    server.notary_is_live().await?;
    let mut client = server.client().await?;
    let (mut figures, mut all, mut largest) = (Vec::new(), Latencies::new()?, 0);
    let rounds = sizes.pages.min(100);
    for (name, path) in CASES {
        let mut latencies = Latencies::new()?;
        for round in 0..WARM_UP + rounds {
            let number = (round as u64 * 7_919) % sizes.executions;
            let agent = seed::agent(round as u64 % seed::AGENTS)?;
            let path = path.replace("{agent}", agent.as_str());
            let request = server.get(&path.replace("{number}", &number.to_string()));
            let began = Instant::now();
            let answer = client.ask(&request).await?;
            let took = began.elapsed();
            if answer.status != 200 {
                return Err(format!("{path}: {}", answer.text()).into());
            }
            largest = largest.max(answer.body.len());
            if round >= WARM_UP {
                latencies.add(took);
            }
        }
        all.merge(&latencies)?;
        let figure = Figure::new(format!("{name}, p99"), latencies.ms(0.99), "ms");
        figures.push(figure.target(Target::Below(P99_MS)));
    }
    let next = next_pages(&server, rounds).await?;
    all.merge(&next)?;
    let figure = Figure::new("next page, p99", next.ms(0.99), "ms");
    figures.push(figure.target(Target::Below(P99_MS)));
    let together = Figure::new("all of these pages, p99", all.ms(0.99), "ms");
    figures.insert(0, together.target(Target::Below(P99_MS)));
    let size = Figure::new("HTML of the largest", largest as f64, "B");
    figures.push(size.target(Target::Below(HTML_MAX_BYTES)));
    let browser = browser(&server).await?;
    let seen = match browser {
        Some(seen) => {
            let figure = |name, ms, most| Figure::new(name, ms, "ms").target(Target::Below(most));
            figures.push(figure(
                "browser: first contentful paint, p50",
                seen.first_paint,
                PAINT_MS,
            ));
            figures.push(figure(
                "browser: a filter until its rows are there, p50",
                seen.filtered,
                P99_MS,
            ));
            figures.push(figure(
                "browser: the next page until its rows are there, p50",
                seen.next_page,
                P99_MS,
            ));
            "In the browser: Chromium without a window, on the same machine"
        }
        None => "No browser was there to measure in",
    };
    server.stop().await?;
    let notes = vec![format!(
        "{} executions; {rounds} pages of 50 rows of each kind, with their totals, after {WARM_UP} that \
         are not counted. {seen}",
        sizes.executions,
    )];
    Ok(Section { letter: 'm', title: "pages of a large list as HTML", figures, notes })
}

/// One list, page after page by its links.
async fn next_pages(server: &Server, rounds: usize) -> Result<Latencies, Failure> {
    let mut client = server.client().await?;
    let mut latencies = Latencies::new()?;
    let mut path = "/".to_owned();
    for _ in 0..rounds {
        let request = server.get(&path);
        let began = Instant::now();
        let answer = client.ask(&request).await?;
        latencies.add(began.elapsed());
        let page = answer.text();
        let link = page.find("rel=\"next\"").map(|at| &page[..at]);
        let href = link.and_then(|link| link.rsplit_once("href=\"")).map(|(_, href)| href);
        let href = href.and_then(|href| href.split('"').next()).ok_or("no link to a next page")?;
        path = href.replace("&amp;", "&");
    }
    Ok(latencies)
}

/// What a browser sees of it; nothing where there is none.
async fn browser(server: &Server) -> Result<Option<Seen>, Failure> {
    let chromium = CHROMIUM.iter().map(PathBuf::from).find(|path| path.exists());
    let tools = repository().join(TOOLS);
    let Some(chromium) = chromium.filter(|_| tools.join("node_modules/playwright-core").exists())
    else {
        return Ok(None);
    };
    let mut measuring = Command::new("node");
    measuring.arg(repository().join("benches/load/pages.mjs")).kill_on_drop(true);
    measuring.env("LEDGER_URL", server.url()).env("LEDGER_KEY", server.key());
    measuring.env("PAGE_TOOLS", tools).env("CHROMIUM", chromium);
    let output = measuring.output().await?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned().into());
    }
    Ok(Some(serde_json::from_slice(&output.stdout)?))
}
