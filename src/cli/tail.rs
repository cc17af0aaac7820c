//! `tail`: a transcript.

use clap::Args;

use super::follow::{Shown, follow};
use super::task::Which;
use super::{Exit, Failure, Global, block_on};
use crate::output::Output;

const AFTER_HELP: &str = "\
Examples:
  execution-ledger tail 0193a1b2-...              all of it, live until its end
  execution-ledger tail 0193a1b2-... --after 120  behind line 120
  execution-ledger tail 0193a1b2-... --raw        as the agent printed it
  execution-ledger tail 0193a1b2-... --json       a JSON object each line
";

/// Show an execution's transcript, live until its end.
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub struct Tail {
    #[command(flatten)]
    which: Which,
    /// Begin behind this line.
    #[arg(long, value_name = "SEQ", default_value_t = 0)]
    after: u64,
    /// Lines as they were printed, also where an agent's own format is known.
    #[arg(long)]
    raw: bool,
}

impl Tail {
    pub(super) fn execute(&self, global: &Global, output: &Output) -> Result<Exit, Failure> {
        let client = global.client()?;
        let shown = match (self.raw, output.is_json()) {
            (true, _) => Shown::Raw,
            (_, true) => Shown::Json,
            _ => Shown::Readable,
        };
        block_on(async {
            let execution = self.which.find(&client).await?;
            tokio::select! {
                followed = follow(&client, &execution, self.after, shown, output) => {
                    followed.map(|()| Exit::Success)
                }
                _ = tokio::signal::ctrl_c() => Ok(Exit::Cancelled),
            }
        })
    }
}
