//! Which executions are meant, as flags: what `list` and `cancel` have in common.

use clap::Args;
use clap::builder::PossibleValuesParser;
use execution_ledger_domain::Timestamp;
use execution_ledger_domain::execution::Trigger;

use super::task::time;

/// What narrows executions. All that is given must hold.
#[derive(Debug, Args)]
#[group(id = "filters", multiple = true)]
pub struct Filters {
    /// Only triggered in this way.
    #[arg(long, visible_alias = "trigger", value_name = "TRIGGER")]
    #[arg(value_parser = PossibleValuesParser::new(Trigger::ALL.map(Trigger::as_str)))]
    triggered_by: Option<String>,
    /// Only accepted at this time or later (RFC 3339).
    #[arg(long, value_name = "TIME", value_parser = time)]
    from: Option<Timestamp>,
    /// Only accepted before this time (RFC 3339).
    #[arg(long, value_name = "TIME", value_parser = time)]
    to: Option<Timestamp>,
    /// Only with these words in message or response; a word may end in *.
    #[arg(long, short = 'q', value_name = "WORDS")]
    search: Option<String>,
    /// Only of this model.
    #[arg(long, value_name = "MODEL")]
    model: Option<String>,
}

impl Filters {
    /// By their names in the API.
    pub fn named(&self) -> [(&'static str, Option<String>); 5] {
        [
            ("triggered_by", self.triggered_by.clone()),
            ("from", self.from.as_ref().map(ToString::to_string)),
            ("to", self.to.as_ref().map(ToString::to_string)),
            ("q", self.search.clone()),
            ("model", self.model.clone()),
        ]
    }
}
