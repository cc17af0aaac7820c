//! `agents`: which there are, and what they are like.

use clap::{Args, Subcommand};
use execution_ledger_domain::AgentName;
use reqwest::Method;
use serde_json::{Map, Value, json};

use super::agent_settings::{AgentSettings, replaceable};
use super::task::{moment, now, text, when};
use super::{Exit, Failure, Global, block_on};
use crate::client::Client;
use crate::output::{Align, Output, Sheet, Tone, ago, amount, neutral_line, paint};

const REGISTER_HELP: &str = "\
Registering an agent is the right to run that command as the server's user, so it needs the
administrator's key. Flags win over the file.

Examples:
  execution-ledger agents register review --runtime claude_code --models sonnet,opus
  execution-ledger agents register greet --runtime command -- /bin/echo hello
  execution-ledger agents register build --file agent.json --timeout-s 3600
  execution-ledger agents register deploy --runtime command \\
      --env-from TOKEN=file:/etc/deploy/token --run-as deploy -- /opt/deploy
";

/// What is shown of an agent first.
const FIRST: [&str; 4] = ["name", "status", "runtime", "command"];

fn is_nothing(value: &Value) -> bool {
    value.is_null()
        || value.as_array().is_some_and(Vec::is_empty)
        || value.as_object().is_some_and(Map::is_empty)
}

/// Agents: list (also without a command), show, register, configure, pause, resume, retire.
#[derive(Debug, Args)]
pub struct Agents {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List the agents.
    #[command(visible_alias = "ls")]
    List,
    /// Show an agent: its settings, its slots with their holders, and what waits.
    Show(Named),
    /// Register an agent.
    #[command(after_help = REGISTER_HELP)]
    Register {
        /// Its name: lower-case letters, digits, '_' and '-'.
        name: AgentName,
        #[command(flatten)]
        settings: Box<AgentSettings>,
    },
    /// Change an agent's settings; what is not given stays. Runs that go on keep theirs.
    Configure {
        /// The agent.
        name: AgentName,
        #[command(flatten)]
        settings: Box<AgentSettings>,
    },
    /// Start nothing new; tasks are accepted and wait.
    Pause(Named),
    /// Start waiting tasks again.
    Resume(Named),
    /// Take no more tasks: what waits is cancelled, what runs may end.
    Retire(Named),
}

#[derive(Debug, Args)]
struct Named {
    /// The agent.
    name: AgentName,
}

impl Agents {
    pub(super) fn execute(self, global: &Global, output: &Output) -> Result<Exit, Failure> {
        let client = global.client()?;
        block_on(async {
            match self.command.unwrap_or(Command::List) {
                Command::List => list(&client, output).await,
                Command::Show(named) => show(&client, &named.name, output).await,
                Command::Register { name, settings } => {
                    let mut body = settings.into_body(None)?;
                    body.insert("name".to_owned(), json!(name));
                    let body = Value::Object(body);
                    let agent =
                        client.change(Method::POST, &["api", "agents"], Some(&body)).await?;
                    changed(&agent, "is registered", output)
                }
                Command::Configure { name, settings } => {
                    let path = ["api", "agents", name.as_str()];
                    let present = replaceable(&client.get(&path, &[]).await?);
                    let body = Value::Object(settings.into_body(Some(present))?);
                    let agent = client.change(Method::PUT, &path, Some(&body)).await?;
                    changed(&agent, "is configured", output)
                }
                Command::Pause(named) => {
                    let path = ["api", "agents", named.name.as_str(), "pause"];
                    let agent = client.change(Method::POST, &path, Some(&json!({}))).await?;
                    changed(&agent, "is paused", output)
                }
                Command::Resume(named) => {
                    let path = ["api", "agents", named.name.as_str(), "resume"];
                    let agent = client.change(Method::POST, &path, Some(&json!({}))).await?;
                    changed(&agent, "is active", output)
                }
                Command::Retire(named) => {
                    let path = ["api", "agents", named.name.as_str()];
                    let agent = client.change(Method::DELETE, &path, None).await?;
                    changed(&agent, "is retired", output)
                }
            }
        })
    }
}

fn changed(agent: &Value, what: &str, output: &Output) -> Result<Exit, Failure> {
    if output.is_json() {
        output.json(agent)?;
    } else {
        output.line(&format!("{} {what}", neutral_line(&text(agent, "name"))))?;
    }
    Ok(Exit::Success)
}

async fn list(client: &Client, output: &Output) -> Result<Exit, Failure> {
    let answer = client.get(&["api", "agents"], &[]).await?;
    if output.is_json() {
        output.json(&answer)?;
        return Ok(Exit::Success);
    }
    let mut sheet = Sheet::new(&[
        ("AGENT", Align::Left),
        ("STATUS", Align::Left),
        ("RUNTIME", Align::Left),
        ("RUNNING", Align::Right),
        ("WAITING", Align::Right),
        ("TIMEOUT", Align::Right),
        ("RUNS AS", Align::Left),
    ]);
    for agent in answer.get("agents").and_then(Value::as_array).into_iter().flatten() {
        let status = text(agent, "status");
        let tone = Tone::of_status(&status);
        sheet.row(vec![
            (text(agent, "name"), Tone::Plain),
            (status, tone),
            (text(agent, "runtime"), Tone::Plain),
            (
                format!("{}/{}", text(agent, "running"), text(agent, "max_parallel_tasks")),
                Tone::Plain,
            ),
            (text(agent, "pending"), Tone::Plain),
            (format!("{} s", text(agent, "timeout_s")), Tone::Plain),
            (text(agent, "run_as"), Tone::Plain),
        ]);
    }
    if sheet.is_empty() {
        output.remark("no agents: `execution-ledger agents register` makes one");
    } else {
        output.sheet(&sheet)?;
    }
    Ok(Exit::Success)
}

async fn show(client: &Client, name: &AgentName, output: &Output) -> Result<Exit, Failure> {
    let mut agent = client.get(&["api", "agents", name.as_str()], &[]).await?;
    let capacity = client.get(&["api", "agents", name.as_str(), "capacity"], &[]).await?;
    if output.is_json() {
        if let Some(agent) = agent.as_object_mut() {
            agent.insert("capacity".to_owned(), capacity);
        }
        output.json(&agent)?;
        return Ok(Exit::Success);
    }
    let fields = agent.as_object().into_iter().flatten();
    let first = FIRST.iter().filter_map(|name| Some(((*name).to_owned(), agent.get(*name)?)));
    let others = fields.filter(|(name, _)| !FIRST.contains(&name.as_str()));
    for (field, value) in first.chain(others.map(|(name, value)| (name.clone(), value))) {
        if is_nothing(value) {
            continue;
        }
        let value = match field.as_str() {
            "max_cost_usd" => amount(value),
            "registered_at" | "changed_at" => when(&agent, &field),
            _ => text(&agent, &field),
        };
        let field = paint(&format!("{:<20}", neutral_line(&field)), Tone::Quiet, output.colour());
        output.line(&format!("{field} {}", neutral_line(&value)))?;
    }
    let mut sheet = Sheet::new(&[
        ("SLOT", Align::Left),
        ("EXECUTION", Align::Left),
        ("TRIGGER", Align::Left),
        ("SINCE", Align::Left),
        ("WHY", Align::Left),
    ]);
    let now = now();
    for (part, kind) in [("slots", "runs"), ("chats", "chats"), ("queue", "waits")] {
        for entry in capacity.get(part).and_then(Value::as_array).into_iter().flatten() {
            let since = moment(entry, "since").map_or_else(|| "-".to_owned(), |at| ago(at, now));
            let why = entry.get("reason").or_else(|| entry.get("blocker")).unwrap_or(&Value::Null);
            let why = why.as_str().map_or_else(String::new, str::to_owned);
            sheet.row(vec![
                (
                    kind.to_owned(),
                    Tone::of_status(if kind == "waits" { "pending" } else { "running" }),
                ),
                (text(entry, "execution_id"), Tone::Plain),
                (text(entry, "triggered_by"), Tone::Plain),
                (since, Tone::Plain),
                (why, Tone::Quiet),
            ]);
        }
    }
    if !sheet.is_empty() {
        output.line("")?;
        output.sheet(&sheet)?;
    }
    Ok(Exit::Success)
}
