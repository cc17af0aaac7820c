//! The load run: the real binary under load, each figure beside what the bare machine does in the
//! same run. `make bench`, or `cargo bench --bench load -- --only b,c`.
//!
//! Options: `--only LETTERS` some of a to n; `--quick` small sizes, to see that it works; `--json FILE`
//! the figures as JSON; `--document FILE` replaces the measured sections of that Markdown file.

mod appends;
mod as_of;
mod audit;
mod bare;
mod client;
mod document;
mod feed;
mod figures;
mod followers;
mod idle;
mod kurrentdb;
mod lifecycles;
mod lists;
mod machine;
mod pages;
mod queue;
mod raw;
mod rebuild;
mod schedules;
mod seed;
mod server;
mod submissions;

use std::path::{Path, PathBuf};

use figures::Section;
use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// What goes wrong in a bench is told and ends it.
pub type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Open files that 1,000 followers and their server need, each.
const OPEN_FILES: u64 = 8_192;
/// All sections, in the order of the document.
const LETTERS: &str = "abcdefghijklmn";

/// How much is measured.
#[derive(Clone, Debug)]
pub struct Sizes {
    /// How long each rate is measured, in seconds.
    pub seconds: u64,
    /// Runs of `/bin/true` in all.
    pub runs: usize,
    /// Runs on an idle server, one after the other.
    pub idle_runs: usize,
    /// Executions in the large log, three events each.
    pub executions: u64,
    /// Pages asked for in each case.
    pub pages: usize,
    /// Executions that wait before (h) begins.
    pub pending: usize,
    /// Schedules whose tick comes in the same second.
    pub schedules: usize,
    /// Followers of one run.
    pub followers: usize,
    /// Lines that the followed run prints.
    pub lines: u64,
    /// How often the server is started on the large log.
    pub starts: usize,
    /// How long an idle server is watched, in seconds.
    pub idle_seconds: u64,
}

impl Sizes {
    fn full() -> Self {
        Self {
            seconds: 10,
            runs: 4_000,
            idle_runs: 300,
            executions: 1_000_000,
            pages: 300,
            pending: 10_000,
            schedules: 1_000,
            followers: 1_000,
            lines: 600,
            starts: 5,
            idle_seconds: 10,
        }
    }

    fn quick() -> Self {
        Self {
            seconds: 1,
            runs: 64,
            idle_runs: 10,
            executions: 5_000,
            pages: 20,
            pending: 500,
            schedules: 50,
            followers: 50,
            lines: 40,
            starts: 2,
            idle_seconds: 2,
        }
    }
}

struct Options {
    only: Option<String>,
    sizes: Sizes,
    json: Option<PathBuf>,
    document: Option<PathBuf>,
}

fn main() -> Result<(), Failure> {
    let options = options()?;
    raise_open_files()?;
    let folder = repository().join("target/bench");
    std::fs::create_dir_all(&folder)?;
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let machine = machine::describe(&folder)?;
    println!("{}\n", machine.line());
    let wanted = |letter| options.only.as_ref().is_none_or(|only| only.contains(letter));
    let sections = runtime.block_on(measured(&folder, &options.sizes, &wanted))?;
    if let Some(file) = &options.json {
        let all = serde_json::json!({"machine": machine, "sections": sections});
        std::fs::write(repository().join(file), serde_json::to_string_pretty(&all)?)?;
    }
    if let Some(file) = &options.document {
        document::update(&repository().join(file), &machine, &sections)?;
    }
    Ok(())
}

async fn measured(
    folder: &Path,
    sizes: &Sizes,
    wanted: &(dyn Fn(char) -> bool + Sync),
) -> Result<Vec<Section>, Failure> {
    let mut sections = Vec::new();
    let mut done = |section: Section| {
        section.print();
        sections.push(section);
    };
    if wanted('a') {
        done(appends::measure(folder, sizes).await?);
    }
    if wanted('b') {
        done(submissions::measure(folder, sizes).await?);
    }
    if wanted('c') {
        done(lifecycles::measure(folder, sizes).await?);
    }
    if wanted('h') {
        done(queue::measure(folder, sizes).await?);
    }
    if wanted('i') {
        done(schedules::measure(folder, sizes).await?);
    }
    if wanted('f') {
        done(followers::measure(folder, sizes).await?);
    }
    if wanted('n') {
        done(kurrentdb::measure(folder, sizes).await?);
    }
    if ['d', 'e', 'g', 'j', 'k', 'l', 'm'].into_iter().any(wanted) {
        let work = tempfile::tempdir_in(folder)?;
        seed::large_log(&work.path().join("data"), sizes.executions).await?;
        // The rebuild makes the read models that the others start with.
        let rebuilt = rebuild::measure(work.path(), sizes).await?;
        if wanted('e') {
            done(rebuilt);
        }
        if wanted('g') {
            done(idle::measure(folder, work.path(), sizes).await?);
        }
        if wanted('d') {
            done(lists::measure(work.path(), sizes).await?);
        }
        if wanted('j') {
            done(feed::measure(work.path(), sizes).await?);
        }
        if wanted('k') {
            done(as_of::measure(work.path(), sizes).await?);
        }
        if wanted('l') {
            done(audit::measure(work.path(), sizes).await?);
        }
        if wanted('m') {
            done(pages::measure(work.path(), sizes).await?);
        }
    }
    sections.sort_by_key(|section| section.letter);
    Ok(sections)
}

fn options() -> Result<Options, Failure> {
    let mut options = Options { only: None, sizes: Sizes::full(), json: None, document: None };
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().ok_or(format!("{argument} needs a value"));
        match argument.as_str() {
            "--only" => {
                let only = value()?.replace(',', "");
                if let Some(unknown) = only.chars().find(|letter| !LETTERS.contains(*letter)) {
                    return Err(format!("there is no section {unknown}; they are a to n").into());
                }
                options.only = Some(only);
            }
            "--quick" => options.sizes = Sizes::quick(),
            "--json" => options.json = Some(value()?.into()),
            "--document" => options.document = Some(value()?.into()),
            // What cargo adds itself.
            "--bench" => {}
            _ => return Err(format!("unknown option {argument}").into()),
        }
    }
    Ok(options)
}

/// The folder that this was built from; relative paths of options start there.
pub fn repository() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn raise_open_files() -> Result<(), Failure> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    if soft < OPEN_FILES {
        setrlimit(Resource::RLIMIT_NOFILE, OPEN_FILES.min(hard), hard)?;
    }
    Ok(())
}
