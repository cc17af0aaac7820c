//! `completions`: scripts that let a shell complete commands.

use std::io;

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use super::{Cli, Exit, Failure};

const AFTER_HELP: &str = "\
Examples:
  execution-ledger completions bash \\
      > ~/.local/share/bash-completion/completions/execution-ledger
  execution-ledger completions zsh > ~/.zfunc/_execution-ledger
  execution-ledger completions fish \\
      > ~/.config/fish/completions/execution-ledger.fish
";

/// Write a completion script for a shell.
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub struct Completions {
    /// Which shell.
    shell: Shell,
}

impl Completions {
    pub(super) fn execute(&self) -> Result<Exit, Failure> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut Cli::command(), "execution-ledger", &mut script);
        let written = io::Write::write_all(&mut io::stdout().lock(), &script);
        written
            .map(|()| Exit::Success)
            .map_err(|error| Failure::Fault(format!("the output can't be written: {error}")))
    }
}
