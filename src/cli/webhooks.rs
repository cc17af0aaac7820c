//! `webhooks`: addresses that are told of facts, signed.

use clap::builder::PossibleValuesParser;
use clap::{Args, Subcommand};
use execution_ledger_domain::webhook::Kind;
use execution_ledger_domain::{EventId, WebhookId};
use reqwest::Method;
use serde_json::{Map, Value, json};

use super::pages::{PAGE_MAX, ROWS_MAX, Rows};
use super::task::text;
use super::webhook_sheet as sheet;
use super::{Exit, Failure, Global, block_on};
use crate::client::{Answer, Client};
use crate::output::{Output, neutral_line};

const REGISTER_HELP: &str = "\
The secret is written to standard output, once: the ledger keeps it nowhere.
Give it to the receiver: any library of Standard Webhooks verifies messages
with it.

Kinds: run_cost, cost_corrected, payment_settled, refund_owed (as `costs feed`
has them), budget.threshold_reached, execution.completed, execution.failed,
execution.cancelled.

Examples:
  execution-ledger webhooks register Billing https://example.org/ledger \\
      --kind run_cost,cost_corrected
  execution-ledger webhooks register Pager https://example.org/pager \\
      --kind execution.failed --kind budget.threshold_reached
";

/// Webhooks: list (also without a command), show, register, change, rotate, test, messages, dead,
/// redrive, delete.
#[derive(Debug, Args)]
pub struct Webhooks {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List webhooks, the newest first, and how they stand.
    #[command(visible_alias = "ls")]
    List(List),
    /// Show a webhook and how it stands.
    Show {
        /// The webhook's id.
        #[arg(value_parser = webhook_id)]
        id: WebhookId,
        /// As it was at this time or position.
        #[arg(long, value_name = "TIME|POSITION")]
        as_of: Option<String>,
    },
    /// Register a webhook.
    #[command(after_help = REGISTER_HELP)]
    Register(Register),
    /// Change a webhook; what is not given stays.
    Change(Change),
    /// Give a webhook another secret; for a day messages are signed with the one before too.
    Rotate(Named),
    /// Send a webhook a test message, now and once. Exits with 1 where it is not taken.
    Test(Named),
    /// List the messages to a webhook, those of the latest events first.
    Messages(Messages),
    /// List the messages to a webhook that were given up.
    Dead(Named),
    /// Have messages that were given up tried again.
    Redrive(Redrive),
    /// Delete a webhook: it is told nothing any more.
    Delete(Named),
}

#[derive(Debug, Args)]
struct Named {
    /// The webhook's id.
    #[arg(value_parser = webhook_id)]
    id: WebhookId,
}

#[derive(Debug, Default, Args)]
struct List {
    /// Only enabled ones.
    #[arg(long, conflicts_with = "disabled")]
    enabled: bool,
    /// Only disabled ones.
    #[arg(long)]
    disabled: bool,
    /// As it was at this time or position.
    #[arg(long, value_name = "TIME|POSITION")]
    as_of: Option<String>,
}

#[derive(Debug, Args)]
struct Register {
    /// What people call it.
    name: String,
    /// Where it is told: an address of https.
    #[arg(value_name = "URL")]
    address: String,
    /// The kinds of messages that it gets.
    #[arg(long = "kind", value_name = "KINDS", value_delimiter = ',', required = true)]
    #[arg(value_parser = kinds())]
    kinds: Vec<String>,
    /// Register it, but tell it nothing yet.
    #[arg(long)]
    disabled: bool,
}

#[derive(Debug, Args)]
struct Change {
    /// The webhook's id.
    #[arg(value_parser = webhook_id)]
    id: WebhookId,
    /// What people call it.
    #[arg(long)]
    name: Option<String>,
    /// Where it is told.
    #[arg(long, value_name = "URL")]
    address: Option<String>,
    /// The kinds of messages that it gets: all of them.
    #[arg(long = "kind", value_name = "KINDS", value_delimiter = ',', value_parser = kinds())]
    kinds: Option<Vec<String>>,
    /// Tell it what happens from now on.
    #[arg(long, conflicts_with = "disable")]
    enable: bool,
    /// Tell it nothing until it is enabled.
    #[arg(long)]
    disable: bool,
}

#[derive(Debug, Args)]
struct Messages {
    /// The webhook's id.
    #[arg(value_parser = webhook_id)]
    id: WebhookId,
    /// Only those of which this has become.
    #[arg(long, value_name = "STATE", value_parser = ["pending", "delivered", "dead"])]
    state: Option<String>,
    /// As it was at this time or position.
    #[arg(long, value_name = "TIME|POSITION")]
    as_of: Option<String>,
    /// How many, at most.
    #[arg(long, short = 'n', value_name = "N", default_value_t = 50)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=i64::from(PAGE_MAX)))]
    limit: u32,
}

#[derive(Debug, Args)]
struct Redrive {
    /// The webhook's id.
    #[arg(value_parser = webhook_id)]
    id: WebhookId,
    /// All messages that were given up.
    #[arg(long, required_unless_present = "event", conflicts_with = "event")]
    all: bool,
    /// The event that the message tells of.
    #[arg(long, requires = "kind")]
    event: Option<EventId>,
    /// The kind of the message.
    #[arg(long, requires = "event", value_parser = kinds())]
    kind: Option<String>,
}

fn kinds() -> PossibleValuesParser {
    PossibleValuesParser::new(Kind::ALL.iter().map(|kind| kind.as_str()))
}

fn webhook_id(text: &str) -> Result<WebhookId, &'static str> {
    text.parse().map_err(|_| {
        "a webhook's id is a UUID such as 0192f0c1-2d3e-7a4b-8c5d-6e7f80910a1b; \
         `execution-ledger webhooks` shows them"
    })
}

impl Webhooks {
    pub(super) fn execute(self, global: &Global, output: &Output) -> Result<Exit, Failure> {
        let client = global.client()?;
        block_on(async {
            match self.command.unwrap_or(Command::List(List::default())) {
                Command::List(list) => list.execute(&client, output).await,
                Command::Show { id, as_of } => {
                    let query: Vec<_> = as_of.map(|at| ("as_of", at)).into_iter().collect();
                    let path = ["api", "webhooks", &id.to_string()];
                    shown(&client.get(&path, &query).await?, output)
                }
                Command::Register(register) => register.execute(&client, output).await,
                Command::Change(change) => change.execute(&client, output).await,
                Command::Rotate(named) => secret(&wish(&client, named.id, "rotate").await?, output),
                Command::Test(named) => tested(&wish(&client, named.id, "test").await?, output),
                Command::Messages(messages) => messages.execute(&client, output).await,
                Command::Dead(Named { id }) => {
                    let state = Some("dead".to_owned());
                    let dead = Messages { id, state, as_of: None, limit: PAGE_MAX };
                    dead.execute(&client, output).await
                }
                Command::Redrive(redrive) => redrive.execute(&client, output).await,
                Command::Delete(named) => {
                    let id = named.id.to_string();
                    let path = ["api", "webhooks", &id];
                    let gone = client.change(Method::DELETE, &path, None).await?;
                    done(&gone, &format!("{id} is deleted"), output)
                }
            }
        })
    }
}

impl List {
    async fn execute(&self, client: &Client, output: &Output) -> Result<Exit, Failure> {
        let enabled = match (self.enabled, self.disabled) {
            (true, _) => Some("true".to_owned()),
            (_, true) => Some("false".to_owned()),
            _ => None,
        };
        let filters = [("enabled", enabled), ("as_of", self.as_of.clone())];
        let rows = Rows::fetch(client, "webhooks", filters, ROWS_MAX, output).await?;
        let none = "no webhooks: `execution-ledger webhooks register` makes one";
        rows.write(none, sheet::webhooks, output)
    }
}

impl Register {
    async fn execute(&self, client: &Client, output: &Output) -> Result<Exit, Failure> {
        let body = json!({
            "name": self.name,
            "url": self.address,
            "kinds": self.kinds,
            "enabled": !self.disabled,
        });
        let path = ["api", "webhooks"];
        let registered = client.change(Method::POST, &path, Some(&body)).await?;
        secret(&registered, output)
    }
}

impl Change {
    async fn execute(self, client: &Client, output: &Output) -> Result<Exit, Failure> {
        let mut body = Map::new();
        let mut put = |name: &str, value: Option<Value>| {
            body.extend(value.map(|value| (name.to_owned(), value)));
        };
        put("name", self.name.map(Value::from));
        put("url", self.address.map(Value::from));
        put("kinds", self.kinds.map(Value::from));
        put("enabled", (self.enable || self.disable).then_some(Value::from(self.enable)));
        if body.is_empty() {
            return Err(Failure::Argument("say what is to be changed".to_owned()));
        }
        let id = self.id.to_string();
        let path = ["api", "webhooks", &id];
        shown(&client.change(Method::PUT, &path, Some(&Value::Object(body))).await?, output)
    }
}

impl Messages {
    async fn execute(&self, client: &Client, output: &Output) -> Result<Exit, Failure> {
        let id = self.id.to_string();
        let mut query = vec![("limit", self.limit.to_string())];
        query.extend(self.state.clone().map(|state| ("state", state)));
        query.extend(self.as_of.clone().map(|at| ("as_of", at)));
        let page = client.get(&["api", "webhooks", &id, "deliveries"], &query).await?;
        if output.is_json() {
            output.json(&page.ordered()?)?;
            return Ok(Exit::Success);
        }
        let rows = page.get("deliveries").and_then(Value::as_array).cloned().unwrap_or_default();
        if rows.is_empty() {
            output.remark("there are no such messages");
        } else {
            output.sheet(&sheet::messages(&rows))?;
        }
        if page.get("next_cursor").is_some_and(Value::is_string) {
            output.remark("there are more: --limit shows up to 200, --json has the cursor");
        }
        Ok(Exit::Success)
    }
}

impl Redrive {
    async fn execute(&self, client: &Client, output: &Output) -> Result<Exit, Failure> {
        let body = match (self.event, &self.kind) {
            (Some(event), Some(kind)) => json!({"event_id": event, "kind": kind}),
            _ => json!({}),
        };
        let id = self.id.to_string();
        let path = ["api", "webhooks", &id, "redrive"];
        let redriven = client.change(Method::POST, &path, Some(&body)).await?;
        let number = text(&redriven, "redriven");
        done(&redriven, &format!("{number} messages are tried again"), output)
    }
}

async fn wish(client: &Client, id: WebhookId, what: &str) -> Result<Answer, Failure> {
    let id = id.to_string();
    let path = ["api", "webhooks", &id, what];
    Ok(client.change(Method::POST, &path, Some(&json!({}))).await?)
}

fn shown(webhook: &Answer, output: &Output) -> Result<Exit, Failure> {
    if output.is_json() {
        output.json(&webhook.ordered()?)?;
    } else {
        output.sheet(&sheet::webhook(webhook))?;
    }
    Ok(Exit::Success)
}

fn secret(webhook: &Answer, output: &Output) -> Result<Exit, Failure> {
    if output.is_json() {
        output.json(&webhook.ordered()?)?;
    } else {
        output.line(&neutral_line(&text(webhook, "secret")))?;
    }
    let id = text(webhook, "webhook_id");
    output.remark(&format!(
        "this secret is shown once: give it to the receiver. The webhook's id is {id}; \
         `execution-ledger webhooks test {id}` tries it"
    ));
    Ok(Exit::Success)
}

fn tested(tested: &Answer, output: &Output) -> Result<Exit, Failure> {
    let taken = tested.get("taken").and_then(Value::as_bool) == Some(true);
    if output.is_json() {
        output.json(&tested.ordered()?)?;
    } else {
        let (status, ms) = (text(tested, "status"), text(tested, "duration_ms"));
        let line = if taken {
            format!("taken with {status} after {ms} ms")
        } else {
            let reason = text(tested, "reason");
            format!("not taken: {reason} (status {status}) after {ms} ms")
        };
        output.line(&neutral_line(&line))?;
    }
    Ok(if taken { Exit::Success } else { Exit::Failed })
}

fn done(answer: &Answer, what: &str, output: &Output) -> Result<Exit, Failure> {
    if output.is_json() {
        output.json(&answer.ordered()?)?;
    } else {
        output.line(&neutral_line(what))?;
    }
    Ok(Exit::Success)
}
