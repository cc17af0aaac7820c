//! The command line: what can be asked for, and how a command ends.

mod accompany;
mod agent_settings;
mod agent_sheet;
mod agents;
mod backup;
mod budgets;
mod cancel;
mod completions;
mod costs;
mod diff;
mod doctor;
mod erase;
mod eventstore_open;
mod exit;
mod export;
mod feed;
mod filters;
mod follow;
mod import;
mod keys;
mod list;
mod nodes;
mod notary;
mod pages;
mod payments;
mod prices;
mod prove;
mod queue;
mod rebuild;
mod replay;
mod retry;
mod run;
mod run_settings;
mod schedule_settings;
mod schedule_sheet;
mod schedules;
mod serve;
mod session_sheet;
mod sessions;
mod show;
mod tail;
mod task;
mod verify;
mod webhook_sheet;
mod webhooks;

#[cfg(test)]
mod tests;

use std::io::Write as _;
use std::path::PathBuf;
use std::sync::Arc;

use clap::builder::styling::{AnsiColor, Styles};
use clap::{Args, Parser, Subcommand, ValueEnum};
use execution_ledger_store::EventStore;

use crate::client::{Client, ClientError, Target};
use crate::compose;
use crate::compose::data_dir::DataDir;
use crate::config::{Overrides, Places, Settings, Sources};
use crate::output::{Format, Output};
pub use exit::{EXIT_CODES, Exit, Failure};

/// Colours of the help.
const STYLES: Styles = Styles::styled()
    .header(AnsiColor::Yellow.on_default().bold())
    .usage(AnsiColor::Yellow.on_default().bold())
    .literal(AnsiColor::Green.on_default().bold())
    .placeholder(AnsiColor::Cyan.on_default());

const AFTER_HELP: &str = "\
Examples:
  execution-ledger serve                  start the server
  execution-ledger run demo \"Say hello\"  run a task and follow it
  execution-ledger list --status failed   what failed lately
  execution-ledger doctor                 check this machine and this set-up

Output is a table on a terminal and JSON elsewhere; --json and --table choose.

The server is found by EXECUTION_LEDGER_URL and EXECUTION_LEDGER_KEY (or --url
and --key-file), else by the data directory of a server on this machine.
";

/// What is said where no command is given.
const FIRST_STEPS: &str = "\
A ledger of what AI agents ran, cost and answered.

First steps:
  execution-ledger serve                  start the server; leave it running
  execution-ledger run demo \"Say hello\"  run a task on the simulated agent
  execution-ledger list                   what was run
  execution-ledger doctor                 check this machine and this set-up

`execution-ledger --help` lists all commands.
";

/// Says how to begin, where no command was given: wrong usage, but nobody's fault.
pub fn first_steps() -> Exit {
    // Nobody is left to be told that standard error can't be written to.
    drop(std::io::stderr().write_all(FIRST_STEPS.as_bytes()));
    Exit::Usage
}

/// A ledger of what AI agents ran, cost and answered.
///
/// It runs tasks on coding agents as subprocesses, records every state change as an event that is
/// never changed, and serves what people read as projections of those events.
#[derive(Debug, Parser)]
#[command(name = "execution-ledger", version, styles = STYLES, after_help = AFTER_HELP)]
#[command(after_long_help = concat_help(), max_term_width = 100, propagate_version = true)]
pub struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

fn concat_help() -> String {
    format!("{AFTER_HELP}\n{EXIT_CODES}")
}

/// Options of every command.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Global options")]
struct Global {
    /// The data directory [default: the user's data directory, below execution-ledger].
    #[arg(long, global = true, env = "EXECUTION_LEDGER_DATA_DIR", value_name = "DIR")]
    #[arg(hide_env_values = true)]
    data_dir: Option<PathBuf>,
    /// The configuration file [default: config.toml in the data directory, else in the user's
    /// configuration directory].
    #[arg(long, global = true, env = "EXECUTION_LEDGER_CONFIG", value_name = "FILE")]
    #[arg(hide_env_values = true)]
    config: Option<PathBuf>,
    /// The server's address [default: that of the server on this data directory].
    #[arg(long, global = true, env = "EXECUTION_LEDGER_URL", value_name = "URL")]
    #[arg(hide_env_values = true)]
    url: Option<String>,
    /// A file that holds the key (or give the key itself by EXECUTION_LEDGER_KEY; never as an
    /// argument, which everybody on the machine can read) [default: admin.key in the data directory].
    #[arg(long, global = true, env = "EXECUTION_LEDGER_KEY_FILE", value_name = "FILE")]
    #[arg(hide_env_values = true)]
    key_file: Option<PathBuf>,
    /// A certificate (PEM) that is trusted beside the system's, for a server with one of its own.
    #[arg(long, global = true, env = "EXECUTION_LEDGER_CA_FILE", value_name = "FILE")]
    #[arg(hide_env_values = true)]
    ca_file: Option<PathBuf>,
    /// Write JSON, also to a terminal.
    #[arg(long, global = true, conflicts_with = "table")]
    json: bool,
    /// Write tables, also where the output is no terminal.
    #[arg(long, global = true)]
    table: bool,
    /// When to use colour. NO_COLOR is respected.
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto")]
    color: Color,
}

/// When to use colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Color {
    /// On a terminal.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

#[derive(Debug, Subcommand)]
enum Command {
    Serve(Box<serve::Serve>),
    Run(run::Run),
    #[command(visible_alias = "ls")]
    List(list::List),
    Show(show::Show),
    Tail(tail::Tail),
    Cancel(cancel::Cancel),
    Retry(retry::Retry),
    Queue(queue::Queue),
    Nodes(nodes::Nodes),
    Agents(agents::Agents),
    Keys(keys::Keys),
    Webhooks(webhooks::Webhooks),
    Sessions(sessions::Sessions),
    Schedules(schedules::Schedules),
    Costs(costs::Costs),
    Payments(payments::Payments),
    Budgets(budgets::Budgets),
    Rebuild(rebuild::Rebuild),
    Verify(verify::Verify),
    Prove(prove::Prove),
    Notary(notary::Notary),
    Backup(backup::Backup),
    Restore(backup::Restore),
    Export(export::Export),
    Import(import::Import),
    Erase(erase::Erase),
    Replay(replay::Replay),
    Diff(diff::Diff),
    Doctor(doctor::Doctor),
    Completions(completions::Completions),
    #[command(hide = true)]
    EventstoreOpen(eventstore_open::EventstoreOpen),
}

impl Cli {
    /// Does what was asked for.
    pub fn execute(self) -> Exit {
        let output = self.global.output();
        let done = match self.command {
            Command::Serve(serve) => serve.execute(&self.global),
            Command::Completions(completions) => completions.execute(),
            Command::EventstoreOpen(open) => open.execute(),
            Command::Rebuild(rebuild) => rebuild::execute(&rebuild, &self.global, &output),
            Command::Prove(prove) => prove::execute(&prove, &self.global, &output),
            Command::Notary(notary) => notary.execute(&self.global, &output),
            Command::Verify(verify) => verify::execute(&verify, &self.global, &output),
            Command::Doctor(doctor::Doctor {}) => doctor::execute(&self.global, &output),
            Command::Backup(backup) => backup.execute(&self.global, &output),
            Command::Restore(restore) => restore.execute(&self.global, &output),
            Command::Export(export) => export.execute(&self.global, &output),
            Command::Import(import) => import.execute(&self.global, &output),
            Command::Erase(erase) => erase.execute(&self.global, &output),
            Command::Replay(replay) => replay.execute(&self.global, &output),
            Command::Diff(diff) => diff.execute(&self.global, &output),
            Command::Run(run) => run.execute(&self.global, &output),
            Command::List(list) => list.execute(&self.global, &output),
            Command::Show(show) => show.execute(&self.global, &output),
            Command::Tail(tail) => tail.execute(&self.global, &output),
            Command::Cancel(cancel) => cancel.execute(&self.global, &output),
            Command::Retry(retry) => retry.execute(&self.global, &output),
            Command::Queue(queue) => queue.execute(&self.global, &output),
            Command::Nodes(nodes) => nodes.execute(&self.global, &output),
            Command::Agents(agents) => agents.execute(&self.global, &output),
            Command::Sessions(sessions) => sessions.execute(&self.global, &output),
            Command::Webhooks(webhooks) => webhooks.execute(&self.global, &output),
            Command::Keys(keys) => keys.execute(&self.global, &output),
            Command::Schedules(schedules) => schedules.execute(&self.global, &output),
            Command::Costs(costs) => costs.execute(&self.global, &output),
            Command::Payments(payments) => payments.execute(&self.global, &output),
            Command::Budgets(budgets) => budgets.execute(&self.global, &output),
        };
        done.unwrap_or_else(|failure| {
            output.explain(&failure);
            failure.exit()
        })
    }
}

impl Global {
    fn output(&self) -> Output {
        let format = match (self.json, self.table) {
            (true, _) => Some(Format::Json),
            (_, true) => Some(Format::Table),
            _ => None,
        };
        let colour = match self.color {
            Color::Auto => None,
            Color::Always => Some(true),
            Color::Never => Some(false),
        };
        Output::new(format, colour)
    }

    /// The server's settings from all sources.
    fn settings(&self, overrides: Overrides) -> Result<Settings, Failure> {
        let sources =
            Sources { data_dir: self.data_dir.clone(), config: self.config.clone(), overrides };
        let settings = Settings::load(&sources, &Places::from_environment())?;
        compose::install_crypto_for(&settings);
        Ok(settings)
    }

    /// The server's settings for a command that has no flags for them.
    fn settings_from_environment(&self) -> Result<Settings, Failure> {
        self.settings(Overrides::from_environment().map_err(Failure::Usage)?)
    }

    /// A client of the server that was named or that runs on the data directory.
    fn client(&self) -> Result<Client, ClientError> {
        // Where the settings can't be read there is no log to be opened either.
        if self.settings_from_environment().is_err() {
            compose::install_crypto();
        }
        Client::connect(&Target {
            url: self.url.clone(),
            key: std::env::var("EXECUTION_LEDGER_KEY").ok().filter(|key| !key.is_empty()),
            key_file: self.key_file.clone(),
            ca_file: self.ca_file.clone(),
            data_dir: self.data_dir.clone().or_else(|| Places::from_environment().data_dir()),
        })
    }
}

/// The log of these settings, for reading only.
fn log_to_read(settings: &Settings) -> Result<Arc<dyn EventStore>, Failure> {
    block_on(async {
        let data_dir = DataDir::at(&settings.data_dir);
        let opened = compose::log::open_read_only(settings, &data_dir);
        opened.await.map_err(|error| Failure::Fault(error.to_string()))
    })
}

/// Runs a client's work on a runtime of one thread.
fn block_on<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::Fault(format!("the asynchronous runtime can't start: {error}")))?
        .block_on(work)
}
