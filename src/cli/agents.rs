//! `agents`: which there are, and what they are like.

use clap::{Args, Subcommand};
use execution_ledger_domain::AgentName;
use reqwest::Method;
use serde_json::{Value, json};

use super::agent_settings::{AgentSettings, replaceable};
use super::task::text;
use super::{Exit, Failure, Global, agent_sheet, block_on};
use crate::client::{Answer, Client};
use crate::output::{Align, Output, Sheet, Tone, neutral_line};

const REGISTER_HELP: &str = "\
Registering an agent is the right to run that command as the server's user, so
it needs the administrator's key. Flags win over the file.

Examples:
  execution-ledger agents register review --runtime claude_code --models sonnet
  execution-ledger agents register greet --runtime command -- /bin/echo hello
  execution-ledger agents register build --file agent.json --timeout-s 3600
  execution-ledger agents register deploy --runtime command \\
      --env-from TOKEN=file:/etc/deploy/token --run-as deploy -- /opt/deploy
";

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
                    let present = client.get(&path, &[]).await?;
                    let present = replaceable(&present);
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

fn changed(agent: &Answer, what: &str, output: &Output) -> Result<Exit, Failure> {
    if output.is_json() {
        output.json(&agent.ordered()?)?;
    } else {
        output.line(&format!("{} {what}", neutral_line(&text(agent, "name"))))?;
    }
    Ok(Exit::Success)
}

async fn list(client: &Client, output: &Output) -> Result<Exit, Failure> {
    let answer = client.get(&["api", "agents"], &[]).await?;
    if output.is_json() {
        output.json(&answer.ordered()?)?;
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
    let agent = client.get(&["api", "agents", name.as_str()], &[]).await?;
    let capacity = client.get(&["api", "agents", name.as_str(), "capacity"], &[]).await?;
    if output.is_json() {
        let mut agent = agent.ordered()?;
        agent.put("capacity", capacity.ordered()?);
        output.json(&agent)?;
        return Ok(Exit::Success);
    }
    agent_sheet::write(&agent, &capacity, output)?;
    Ok(Exit::Success)
}
