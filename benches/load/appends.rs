//! (a) Durable appends through the store: the store's own bench, run as it is.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::figures::{Figure, Section, Target};
use crate::{Failure, Sizes, repository};

/// Clients for which something is asked: at least this share of the bare disk.
const TARGETS: [(u64, f64); 2] = [(1, 0.6), (64, 0.4)];

/// Runs it and reads its figures.
pub async fn measure(folder: &Path, sizes: &Sizes) -> Result<Section, Failure> {
    let file = folder.join("appends.json");
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let mut bench = Command::new(cargo);
    // The same selection of packages as the Makefile's, so that nothing is built a second time.
    bench.args(["bench", "--quiet", "--workspace", "--locked", "--bench", "append"]);
    if cfg!(debug_assertions) {
        bench.args(["--profile", "dev"]);
    }
    bench.arg("--").args(["--seconds", &sizes.seconds.min(4).to_string(), "--json"]).arg(&file);
    bench.current_dir(repository());
    let done = tokio::task::spawn_blocking(move || bench.output()).await??;
    if !done.status.success() {
        return Err(String::from_utf8_lossy(&done.stderr).into());
    }
    let lines: Vec<Value> = serde_json::from_slice(&std::fs::read(&file)?)?;
    std::fs::remove_file(file)?;
    let figures = lines.iter().map(figure).collect::<Option<_>>();
    Ok(Section {
        letter: 'a',
        title: "durable appends through the store",
        figures: figures.ok_or("the store's bench wrote something else")?,
        notes: Vec::new(),
    })
}

fn figure(line: &Value) -> Option<Figure> {
    let clients = line["clients"].as_u64()?;
    let grouping = line["events_per_commit"].as_f64()?;
    let what = format!("events at {clients} clients, p50 {} µs", line["p50_us"]);
    let raw = format!("append + fdatasync of {grouping:.1} events each");
    let figure = Figure::new(what, line["events_per_s"].as_f64()?, "/s")
        .beside(raw, line["raw_events_per_s"].as_f64()?);
    let target = TARGETS.iter().find(|(of, _)| *of == clients);
    Some(match target {
        Some((_, ratio)) => figure.target(Target::RatioAtLeast(*ratio)),
        None => figure,
    })
}
