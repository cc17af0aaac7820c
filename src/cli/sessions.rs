//! `sessions`: chats with agents.

use clap::builder::PossibleValuesParser;
use clap::{Args, Subcommand};
use execution_ledger_domain::{AgentName, ExecutionId, SessionId, UserName};
use execution_ledger_projections::SessionStatus;
use reqwest::Method;
use serde_json::{Value, json};

use super::accompany::accompany;
use super::pages::{PAGE_MAX, ROWS_MAX, Rows};
use super::run_settings::RunSettings;
use super::task::{Execution, execution_id, message, text};
use super::{Exit, Failure, Global, block_on, session_sheet};
use crate::client::{Answer, Client};
use crate::output::Output;

const POST_HELP: &str = "\
The message is the second argument, or standard input where that is - or
missing. The answer is shown while it is made; Ctrl-C asks the server to stop
it, a second Ctrl-C leaves it to itself.

Examples:
  id=$(execution-ledger sessions open claude --json | jq -r .session_id)
  execution-ledger sessions post $id \"What does this repository do?\"
  execution-ledger sessions post $id < question.md
  execution-ledger sessions show $id

Exit codes: 0 completed, 1 failed or refused, 130 cancelled or left; the others
as everywhere.
";

/// Chats: list (also without a command), open, show, post, close.
#[derive(Debug, Args)]
pub struct Sessions {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List chat sessions, the newest first.
    #[command(visible_alias = "ls")]
    List(List),
    /// Open a chat session with an agent.
    Open {
        /// The agent.
        agent: AgentName,
        /// Go on from this finished execution of the agent.
        #[arg(long, value_name = "EXECUTION", value_parser = execution_id)]
        from: Option<ExecutionId>,
    },
    /// Show a chat session: its turns, its background results, and what goes on.
    Show {
        /// The session's id.
        id: SessionId,
        /// How many of its newest entries.
        #[arg(long, short = 'n', value_name = "N", default_value_t = 50)]
        #[arg(value_parser = clap::value_parser!(u32).range(1..=i64::from(PAGE_MAX)))]
        limit: u32,
        /// As it was at this time or position.
        #[arg(long, value_name = "TIME|POSITION")]
        as_of: Option<String>,
    },
    /// Post a message and follow the answer.
    #[command(after_help = POST_HELP)]
    Post(Post),
    /// Close chat sessions: turns that wait are cancelled, results are refused.
    Close {
        /// The sessions' ids.
        #[arg(required = true)]
        ids: Vec<SessionId>,
    },
}

#[derive(Debug, Default, Args)]
struct List {
    /// Only with this agent.
    #[arg(long, short, value_name = "NAME")]
    agent: Option<AgentName>,
    /// Only open or closed ones.
    #[arg(long, short, value_name = "STATUS")]
    #[arg(value_parser = PossibleValuesParser::new(SessionStatus::ALL.map(SessionStatus::as_str)))]
    status: Option<String>,
    /// Only of this user.
    #[arg(long, value_name = "NAME")]
    user: Option<UserName>,
    /// As it was at this time or position.
    #[arg(long, value_name = "TIME|POSITION")]
    as_of: Option<String>,
}

#[derive(Debug, Args)]
struct Post {
    /// The session's id.
    id: SessionId,
    /// The message; - or nothing: from standard input.
    message: Option<String>,
    /// Only post it, and write the id of the turn.
    #[arg(long, short)]
    detach: bool,
    #[command(flatten)]
    settings: RunSettings,
    /// The same key gives the same turn, however often it is posted.
    #[arg(long, value_name = "KEY")]
    idempotency_key: Option<String>,
    /// Lines as they were printed, also where an agent's own format is known.
    #[arg(long)]
    raw: bool,
}

impl Sessions {
    pub(super) fn execute(self, global: &Global, output: &Output) -> Result<Exit, Failure> {
        let client = global.client()?;
        block_on(async {
            match self.command.unwrap_or(Command::List(List::default())) {
                Command::List(list) => list.execute(&client, output).await,
                Command::Open { agent, from } => {
                    let mut body = json!({"agent_name": agent});
                    if let Some(from) = from {
                        body["execution_id"] = json!(from);
                    }
                    let path = ["api", "sessions"];
                    let opened = client.change(Method::POST, &path, Some(&body)).await?;
                    told(&opened, "opened", output)
                }
                Command::Show { id, limit, as_of } => {
                    let id = id.to_string();
                    let mut query = vec![("limit", limit.to_string())];
                    query.extend(as_of.map(|as_of| ("as_of", as_of)));
                    session_sheet::show(
                        &client.get(&["api", "sessions", &id], &query).await?,
                        output,
                    )
                }
                Command::Post(post) => post.execute(&client, output).await,
                Command::Close { ids } => close(&client, &ids, output).await,
            }
        })
    }
}

impl List {
    async fn execute(&self, client: &Client, output: &Output) -> Result<Exit, Failure> {
        let filters = [
            ("agent", self.agent.as_ref().map(ToString::to_string)),
            ("status", self.status.clone()),
            ("user", self.user.as_ref().map(ToString::to_string)),
            ("as_of", self.as_of.clone()),
        ];
        let rows = Rows::fetch(client, "sessions", filters, ROWS_MAX, output).await?;
        rows.write("no sessions", session_sheet::list, output)
    }
}

/// What a session became: in JSON as it was answered, else its id, which the next command needs.
fn told(session: &Answer, what: &str, output: &Output) -> Result<Exit, Failure> {
    if output.is_json() {
        output.json(&session.ordered()?)?;
    } else {
        output.remark(&format!("{what} with {}", text(session, "agent_name")));
        output.line(&text(session, "session_id"))?;
    }
    Ok(Exit::Success)
}

impl Post {
    async fn execute(&self, client: &Client, output: &Output) -> Result<Exit, Failure> {
        let body = Value::Object(self.settings.task(message(self.message.as_deref())?));
        // Drawn once, so that a repetition after a broken connection posts nothing twice.
        let key = self.idempotency_key.clone();
        let key = key.unwrap_or_else(|| uuid::Uuid::now_v7().to_string());
        let id = self.id.to_string();
        let accepted =
            client.change_once(&["api", "sessions", &id, "messages"], &key, &body).await?;
        let execution = text(&accepted, "execution_id");
        if self.detach {
            if output.is_json() {
                output.json(&accepted.ordered()?)?;
            } else {
                output.line(&execution)?;
            }
            return Ok(Exit::Success);
        }
        let session = client.get(&["api", "sessions", &id], &[("limit", "1".to_owned())]).await?;
        let execution = Execution { agent: text(&session, "agent_name"), id: execution };
        accompany(client, &execution, self.raw, output).await
    }
}

async fn close(client: &Client, ids: &[SessionId], output: &Output) -> Result<Exit, Failure> {
    for id in ids {
        let id = id.to_string();
        let path = ["api", "sessions", &id];
        let closed = client.change(Method::DELETE, &path, None).await?;
        told(&closed, "closed", output)?;
    }
    Ok(Exit::Success)
}
