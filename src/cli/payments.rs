//! `payments`: what was paid for runs, and what came of it.

use clap::builder::PossibleValuesParser;
use clap::{Args, Subcommand};
use execution_ledger_domain::payment::Payment;
use execution_ledger_domain::{AgentName, PaymentId};
use reqwest::Method;
use serde_json::{Value, json};

use super::pages::{ROWS_MAX, Rows};
use super::task::{moment, now, text};
use super::{Exit, Failure, Global, block_on};
use crate::client::{Answer, Client};
use crate::output::{Align, Output, Sheet, Tone, ago};

const AFTER_HELP: &str = "\
A payment is settled once the money has come, and its run starts then. Where
nobody can say whether it came (settlement_unknown), the ledger asks the chain,
if the file of `paid_config` gives it an rpc_url. If it does not, look at the
chain yourself and say with `resolve` what you found.

Examples:
  execution-ledger payments
  execution-ledger payments list --status settlement_unknown
  execution-ledger payments resolve ID settled --transaction 0xab... \\
      --reason \"seen on the explorer\"
  execution-ledger payments resolve ID failed --reason \"never used\"
";

/// Payments: list (also without a command), show, resolve.
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub struct Payments {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List payments, the newest first.
    #[command(visible_alias = "ls")]
    List(List),
    /// Show one payment.
    Show {
        /// The payment's id.
        id: PaymentId,
        /// As it was at this time or position.
        #[arg(long, value_name = "TIME|POSITION")]
        as_of: Option<String>,
    },
    /// Decide a payment of which nobody knows whether it was made.
    Resolve(Resolve),
}

#[derive(Debug, Default, Args)]
struct List {
    /// Only for this agent.
    #[arg(long, value_name = "NAME")]
    agent: Option<AgentName>,
    /// Only of this status.
    #[arg(long, value_name = "STATUS")]
    #[arg(value_parser = PossibleValuesParser::new(Payment::STATUSES))]
    status: Option<String>,
    /// Only of this payer's address.
    #[arg(long, value_name = "ADDRESS")]
    payer: Option<String>,
    /// As it was at this time or position.
    #[arg(long, value_name = "TIME|POSITION")]
    as_of: Option<String>,
}

#[derive(Debug, Args)]
struct Resolve {
    /// The payment's id.
    id: PaymentId,
    /// Whether the money came, or did not and will not.
    #[arg(value_parser = PossibleValuesParser::new(["settled", "failed"]))]
    outcome: String,
    /// The transaction that brought it, where it is known.
    #[arg(long, value_name = "HASH")]
    transaction: Option<String>,
    /// How you know.
    #[arg(long, value_name = "TEXT")]
    reason: String,
}

impl Payments {
    pub(super) fn execute(self, global: &Global, output: &Output) -> Result<Exit, Failure> {
        let client = global.client()?;
        block_on(async {
            match self.command.unwrap_or(Command::List(List::default())) {
                Command::List(list) => list.execute(&client, output).await,
                Command::Show { id, as_of } => {
                    let query: Vec<_> = as_of.map(|at| ("as_of", at)).into_iter().collect();
                    let path = ["api", "payments", &id.to_string()];
                    show(&client.get(&path, &query).await?, output)
                }
                Command::Resolve(resolve) => resolve.execute(&client, output).await,
            }
        })
    }
}

impl List {
    async fn execute(&self, client: &Client, output: &Output) -> Result<Exit, Failure> {
        let filters = [
            ("agent", self.agent.as_ref().map(ToString::to_string)),
            ("status", self.status.clone()),
            ("payer", self.payer.clone()),
            ("as_of", self.as_of.clone()),
        ];
        let rows = Rows::fetch(client, "payments", filters, ROWS_MAX, output).await?;
        rows.write("no payments: the setting paid_config says what is sold", sheet, output)
    }
}

impl Resolve {
    async fn execute(&self, client: &Client, output: &Output) -> Result<Exit, Failure> {
        let body = json!({
            "outcome": self.outcome,
            "transaction": self.transaction,
            "reason": self.reason,
        });
        let path = ["api", "payments", &self.id.to_string(), "resolve"];
        show(&client.change(Method::POST, &path, Some(&body)).await?, output)
    }
}

fn tone(status: &str) -> Tone {
    match status {
        "settled" => Tone::Good,
        "settlement_failed" | "settlement_unknown" | "refund_owed" => Tone::Bad,
        _ => Tone::Plain,
    }
}

fn sheet(rows: &[Value]) -> Sheet {
    let mut sheet = Sheet::new(&[
        ("PAYMENT", Align::Left),
        ("STATUS", Align::Left),
        ("AGENT", Align::Left),
        ("AMOUNT", Align::Right),
        ("NETWORK", Align::Left),
        ("PAYER", Align::Left),
        ("EXECUTION", Align::Left),
        ("SEEN", Align::Left),
    ]);
    let now = now();
    for payment in rows {
        let status = text(payment, "status");
        let seen = moment(payment, "verified_at");
        let tone = tone(&status);
        sheet.row(vec![
            (text(payment, "payment_id"), Tone::Plain),
            (status, tone),
            (text(payment, "agent_name"), Tone::Plain),
            (text(payment, "amount"), Tone::Plain),
            (text(payment, "network"), Tone::Plain),
            (text(payment, "payer"), Tone::Plain),
            (text(payment, "execution_id"), Tone::Quiet),
            (seen.map_or_else(|| "-".to_owned(), |at| ago(at, now)), Tone::Plain),
        ]);
    }
    sheet
}

fn show(payment: &Answer, output: &Output) -> Result<Exit, Failure> {
    if output.is_json() {
        output.json(&payment.ordered()?)?;
        return Ok(Exit::Success);
    }
    let mut sheet = Sheet::new(&[("FIELD", Align::Left), ("VALUE", Align::Left)]);
    for field in [
        "payment_id",
        "status",
        "agent_name",
        "execution_id",
        "amount",
        "asset",
        "network",
        "payer",
        "pay_to",
        "nonce",
        "payment_identifier",
        "facilitator",
        "settlement_requests",
        "transaction",
        "evidence",
        "reason",
        "note",
        "verified_at",
        "settled_at",
        "changed_at",
    ] {
        sheet.row(vec![(field.to_owned(), Tone::Quiet), (text(payment, field), Tone::Plain)]);
    }
    if let Some(refund) = payment.get("refund").filter(|refund| !refund.is_null()) {
        let owed = format!("{} ({})", text(refund, "amount"), text(refund, "cause"));
        sheet.row(vec![("refund".to_owned(), Tone::Quiet), (owed, Tone::Bad)]);
    }
    output.sheet(&sheet)?;
    Ok(Exit::Success)
}
