//! (j) The billing feed over HTTP, and whether the summaries are its sums.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Instant;

use execution_ledger_domain::NanoUsd;
use serde::Deserialize;
use serde_json::Value;

use crate::client::Client;
use crate::figures::{Figure, Latencies, Section, Target};
use crate::server::Server;
use crate::{Failure, Sizes};

/// Rows a second that are asked for.
const ROWS_PER_S: f64 = 50_000.0;
/// Rows of a page: what the server allows.
const PAGE_ROWS: usize = 10_000;
/// How often each summary is asked for.
const ROUNDS: usize = 20;
/// What summaries are grouped by, and the field of a row that says it.
const GROUPS: [(&str, &str); 4] =
    [("day", "at"), ("agent", "agent"), ("model", "model"), ("trigger", "triggered_by")];
/// The letters of a day in a time.
const DAY_CHARS: usize = 10;

/// Measures it on the large log, whose read models are there.
pub async fn measure(work: &Path, sizes: &Sizes) -> Result<Section, Failure> {
    let server = Server::start(work, &[]).await?;
    server.notary_is_live().await?;
    let mut client = server.client().await?;
    let mut figures = Vec::new();
    let mut counted = 0;
    for (format, name) in
        [("json", "JSON"), ("ndjson", "NDJSON"), ("csv", "CSV"), ("cloudevents", "CloudEvents")]
    {
        let began = Instant::now();
        let (rows, bytes) = read_all(&server, &mut client, format, |_| Ok(())).await?;
        let took = began.elapsed().as_secs_f64();
        let megabytes = bytes / 1_000_000;
        counted = rows;
        figures.push(
            Figure::new(
                format!("rows as {name}, the whole feed of {rows} ({megabytes} MB)"),
                rows as f64 / took,
                "/s",
            )
            .target(Target::AtLeast(ROWS_PER_S)),
        );
    }
    let mut sums = Sums::default();
    read_all(&server, &mut client, "json", |body| sums.add(body)).await?;
    for (by, _) in GROUPS {
        let request = server.get(&format!("/api/costs?by={by}"));
        let mut latencies = Latencies::new()?;
        for _ in 0..ROUNDS {
            let began = Instant::now();
            let answer = client.ask(&request).await?;
            latencies.add(began.elapsed());
            sums.compare(by, &answer.json(200)?)?;
        }
        figures.push(Figure::new(format!("summary by {by}, p99"), latencies.ms(0.99), "ms"));
    }
    server.stop().await?;
    let notes = vec![format!(
        "{} executions, one row each; pages of {PAGE_ROWS} rows, one after the other on one connection. \
         The four summaries and their totals were compared with the sums of the {counted} rows: equal to \
         the nano-dollar, or there would be no figures here",
        sizes.executions,
    )];
    Ok(Section { letter: 'j', title: "the billing feed over HTTP", figures, notes })
}

/// Reads the whole feed, page after page: how many rows, and bytes.
async fn read_all(
    server: &Server,
    client: &mut Client,
    format: &str,
    mut page: impl FnMut(&[u8]) -> Result<(), Failure>,
) -> Result<(usize, usize), Failure> {
    let (mut after, mut rows, mut bytes) = (String::new(), 0, 0);
    loop {
        let path = format!("/api/costs/feed?format={format}&limit={PAGE_ROWS}{after}");
        let answer = client.ask(&server.get(&path)).await?;
        if answer.status != 200 {
            return Err(format!("{path}: {}", answer.text()).into());
        }
        let found = match format {
            "csv" => count(answer.body, b"\r\n") - 1,
            _ => count(answer.body, b"\"event_id\":"),
        };
        (rows, bytes) = (rows + found, bytes + answer.body.len());
        page(answer.body)?;
        if found < PAGE_ROWS {
            return Ok((rows, bytes));
        }
        let resume =
            answer.header("ledger-resume-after").ok_or("it does not say where to go on")?;
        after = format!("&after={resume}");
    }
}

fn count(body: &[u8], mark: &[u8]) -> usize {
    body.windows(mark.len()).filter(|part| *part == mark).count()
}

/// Sums of rows in nano-dollars, by what they are grouped by and the group; under no name of all.
#[derive(Default)]
struct Sums(BTreeMap<(&'static str, Option<String>), i64>);

#[derive(Deserialize)]
struct Page {
    rows: Vec<serde_json::Map<String, Value>>,
}

impl Sums {
    fn add(&mut self, body: &[u8]) -> Result<(), Failure> {
        for row in serde_json::from_slice::<Page>(body)?.rows {
            let amount = row.get("amount").and_then(Value::as_f64).ok_or("an unknown amount")?;
            let nanos = NanoUsd::from_usd(amount)?.nanos();
            *self.0.entry(("all", None)).or_default() += nanos;
            for (by, field) in GROUPS {
                let name = row.get(field).and_then(Value::as_str).ok_or("a row without a group")?;
                let name = if by == "day" { &name[..DAY_CHARS] } else { name };
                *self.0.entry((by, Some(name.to_owned()))).or_default() += nanos;
            }
        }
        Ok(())
    }

    fn compare(&self, by: &'static str, costs: &Value) -> Result<(), Failure> {
        let nanos = |group: &Value| -> Result<i64, Failure> {
            let usd = group["cost_usd"].as_f64().ok_or("a group without a sum")?;
            Ok(NanoUsd::from_usd(usd)?.nanos())
        };
        let same = |name: &'static str, key: Option<String>, sum: i64| {
            let expected = self.0.get(&(name, key.clone())).copied();
            if expected == Some(sum) {
                return Ok(());
            }
            Err(format!("{name} {key:?}: the summary says {sum}, the feed {expected:?}"))
        };
        same("all", None, nanos(&costs["total"])?)?;
        let groups = costs["costs"].as_array().ok_or("no groups")?;
        for group in groups {
            same(by, group["key"].as_str().map(str::to_owned), nanos(group)?)?;
        }
        let expected = self.0.keys().filter(|(name, _)| *name == by).count();
        if groups.len() == expected {
            return Ok(());
        }
        Err(format!("{} groups by {by} in the summary, {expected} in the feed", groups.len())
            .into())
    }
}
