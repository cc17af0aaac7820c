//! `keys`: who may call the ledger, and what they may do.

use clap::builder::PossibleValuesParser;
use clap::{Args, Subcommand};
use execution_ledger_domain::{AgentName, KeyId, Role, UserName};
use reqwest::Method;
use serde_json::{Value, json};

use super::pages::{ROWS_MAX, Rows};
use super::task::{now, text};
use super::{Exit, Failure, Global, block_on};
use crate::client::{Answer, Client};
use crate::output::{Align, Output, Sheet, Tone, ago, neutral_line};

const ISSUE_HELP: &str = "\
The key is written to standard output, once: the ledger keeps only its digest.

Roles: admin everything; operator all but keys and registering agents; auditor
reads everything; billing reads costs; user own executions and sessions; agent
what its agent ran or started.

Examples:
  execution-ledger keys issue ada --role user --may-call review,build
  execution-ledger keys issue \"Nightly audit\" --role auditor --user ada
  execution-ledger keys issue review-bot --role agent --agent review
";

/// Keys: list (also without a command), show, issue, revoke, me.
#[derive(Debug, Args)]
pub struct Keys {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List keys, the newest first.
    #[command(visible_alias = "ls")]
    List(List),
    /// Show a key: whose it is and what it may do, never its text.
    Show {
        /// The key's id.
        id: KeyId,
    },
    /// Issue a key.
    #[command(after_help = ISSUE_HELP)]
    Issue(Issue),
    /// Make keys worth nothing, at once: what was opened with them ends.
    Revoke {
        /// The keys' ids.
        #[arg(required = true)]
        ids: Vec<KeyId>,
    },
    /// Show whose key this command uses, and what it may do.
    Me,
}

#[derive(Debug, Default, Args)]
struct List {
    /// Only of this role.
    #[arg(long, value_name = "ROLE")]
    #[arg(value_parser = PossibleValuesParser::new(Role::ALL.map(Role::as_str)))]
    role: Option<String>,
    /// Only of this user.
    #[arg(long, value_name = "NAME")]
    user: Option<UserName>,
    /// Only those that were revoked.
    #[arg(long, conflicts_with = "in_use")]
    revoked: bool,
    /// Only those that hold.
    #[arg(long)]
    in_use: bool,
    /// As it was at this time or position.
    #[arg(long, value_name = "TIME|POSITION")]
    as_of: Option<String>,
}

#[derive(Debug, Args)]
struct Issue {
    /// What people call it.
    name: String,
    /// What its holder may do.
    #[arg(long, value_name = "ROLE")]
    #[arg(value_parser = PossibleValuesParser::new(Role::ALL.map(Role::as_str)))]
    role: String,
    /// The user that it belongs to [default: its name, where that is a user's name].
    #[arg(long, value_name = "NAME")]
    user: Option<UserName>,
    /// The agent that it belongs to; of a key of role agent.
    #[arg(long, value_name = "NAME", required_if_eq("role", "agent"))]
    agent: Option<AgentName>,
    /// The agents that its holder may give tasks to; not given: all, of an agent's key none but its
    /// own.
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    may_call: Option<Vec<AgentName>>,
}

impl Keys {
    pub(super) fn execute(self, global: &Global, output: &Output) -> Result<Exit, Failure> {
        let client = global.client()?;
        block_on(async {
            match self.command.unwrap_or(Command::List(List::default())) {
                Command::List(list) => list.execute(&client, output).await,
                Command::Show { id } => {
                    let id = id.to_string();
                    show(&client.get(&["api", "keys", &id], &[]).await?, output)
                }
                Command::Issue(issue) => issue.execute(&client, output).await,
                Command::Revoke { ids } => revoke(&client, &ids, output).await,
                Command::Me => show(&client.get(&["api", "me"], &[]).await?, output),
            }
        })
    }
}

impl List {
    async fn execute(&self, client: &Client, output: &Output) -> Result<Exit, Failure> {
        let revoked = match (self.revoked, self.in_use) {
            (true, _) => Some("true".to_owned()),
            (_, true) => Some("false".to_owned()),
            _ => None,
        };
        let filters = [
            ("role", self.role.clone()),
            ("user", self.user.as_ref().map(ToString::to_string)),
            ("revoked", revoked),
            ("as_of", self.as_of.clone()),
        ];
        let rows = Rows::fetch(client, "keys", filters, ROWS_MAX, output).await?;
        rows.write("no keys: `execution-ledger keys issue` makes one", sheet, output)
    }
}

fn sheet(rows: &[Value]) -> Sheet {
    let mut sheet = Sheet::new(&[
        ("KEY", Align::Left),
        ("NAME", Align::Left),
        ("ROLE", Align::Left),
        ("USER", Align::Left),
        ("AGENT", Align::Left),
        ("MAY CALL", Align::Left),
        ("ISSUED", Align::Left),
        ("HOLDS", Align::Left),
    ]);
    let now = now();
    for key in rows {
        let issued = super::task::moment(key, "issued_at");
        let holds = key.get("revoked_at").is_none_or(Value::is_null);
        sheet.row(vec![
            (text(key, "key_id"), Tone::Plain),
            (text(key, "name"), Tone::Plain),
            (text(key, "role"), Tone::Plain),
            (text(key, "user"), Tone::Plain),
            (text(key, "agent"), Tone::Plain),
            (may_call(key), Tone::Plain),
            (issued.map_or_else(|| "-".to_owned(), |at| ago(at, now)), Tone::Plain),
            if holds { ("yes".to_owned(), Tone::Good) } else { ("revoked".to_owned(), Tone::Bad) },
        ]);
    }
    sheet
}

fn may_call(key: &Value) -> String {
    match key.get("may_call").and_then(Value::as_array) {
        Some(names) => {
            let names: Vec<_> = names.iter().filter_map(Value::as_str).collect();
            if names.is_empty() { "none".to_owned() } else { names.join(", ") }
        }
        None if text(key, "role") == "user" => "all".to_owned(),
        None => "-".to_owned(),
    }
}

fn show(key: &Answer, output: &Output) -> Result<Exit, Failure> {
    if output.is_json() {
        output.json(&key.ordered()?)?;
        return Ok(Exit::Success);
    }
    let mut sheet = Sheet::new(&[("FIELD", Align::Left), ("VALUE", Align::Left)]);
    for field in ["key_id", "name", "role", "user", "agent", "issued_at", "revoked_at"] {
        if key.get(field).is_some() {
            sheet.row(vec![(field.to_owned(), Tone::Quiet), (text(key, field), Tone::Plain)]);
        }
    }
    sheet.row(vec![("may_call".to_owned(), Tone::Quiet), (may_call(key), Tone::Plain)]);
    if let Some(rights) = key.get("rights").and_then(Value::as_array) {
        let rights: Vec<_> = rights.iter().filter_map(Value::as_str).collect();
        sheet.row(vec![("rights".to_owned(), Tone::Quiet), (rights.join(", "), Tone::Plain)]);
    }
    output.sheet(&sheet)?;
    Ok(Exit::Success)
}

impl Issue {
    async fn execute(&self, client: &Client, output: &Output) -> Result<Exit, Failure> {
        let body = json!({
            "name": self.name,
            "role": self.role,
            "user": self.user,
            "agent": self.agent,
            "may_call": self.may_call,
        });
        let issued = client.change(Method::POST, &["api", "keys"], Some(&body)).await?;
        if output.is_json() {
            output.json(&issued.ordered()?)?;
        } else {
            output.line(&neutral_line(&text(&issued, "key")))?;
        }
        let id = text(&issued, "key_id");
        output.remark(&format!("this key is shown once: keep it safe. Its id is {id}"));
        Ok(Exit::Success)
    }
}

async fn revoke(client: &Client, ids: &[KeyId], output: &Output) -> Result<Exit, Failure> {
    for id in ids {
        let id = id.to_string();
        let key = client.change(Method::DELETE, &["api", "keys", &id], None).await?;
        if output.is_json() {
            output.json(&key.ordered()?)?;
        } else {
            let name = neutral_line(&text(&key, "name")).into_owned();
            output.line(&format!("{id} ({name}) is revoked"))?;
        }
    }
    Ok(Exit::Success)
}
