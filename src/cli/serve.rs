//! `serve`: the server.

use clap::Args;

use super::{Exit, Failure, Global};
use crate::compose;
use crate::config::{Overrides, refuse_unknown_variables};

const AFTER_HELP: &str = "\
Every setting can be given as a flag, as the environment variable shown beside
it, or in the configuration file (TOML) under the flag's name with '_' for '-';
the first of these that names it wins. Sizes may have a unit: 256MiB.

The first start makes the data directory, the administrator's key (admin.key,
mode 0600), the simulated agent `demo`, and, where `claude` is on the PATH, the
agent `claude`.

SIGTERM or Ctrl-C: no new requests, answers are finished, runs go on without the
server and are found again by the next start. With --drain the server waits for
the runs first, and goes on answering meanwhile: new tasks are accepted and wait
for the next start. A second signal ends it at once; no run is lost by that
either.

Examples:
  execution-ledger serve
  execution-ledger serve --data-dir /srv/ledger --listen 127.0.0.1:8080
  execution-ledger serve --listen 0.0.0.0:7171 \\
      --tls-certificate cert.pem --tls-key key.pem
";

/// Start the server.
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
#[command(mut_args(bare))]
pub struct Serve {
    /// When told to stop, go on answering until no run goes on; none is started meanwhile.
    #[arg(long, env = "EXECUTION_LEDGER_DRAIN", hide_env_values = true)]
    drain: bool,
    #[command(flatten)]
    overrides: Overrides,
}

/// Flags that say yes without a value; also `--flag=false`.
fn bare(flag: clap::Arg) -> clap::Arg {
    const BARE: [&str; 2] = ["eventstore_anonymous_read", "eventstore_client_streams"];
    if BARE.contains(&flag.get_id().as_str()) {
        flag.num_args(0..=1).require_equals(true).default_missing_value("true")
    } else {
        flag
    }
}

impl Serve {
    pub(super) fn execute(self, global: &Global) -> Result<Exit, Failure> {
        refuse_unknown_variables(std::env::vars_os().map(|(name, _)| name))?;
        let settings = global.settings(self.overrides)?;
        compose::serve(settings, self.drain)?;
        Ok(Exit::Success)
    }
}
