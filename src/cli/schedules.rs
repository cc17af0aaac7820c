//! `schedules`: tasks that come by the clock.

use clap::{Args, Subcommand};
use execution_ledger_domain::{AgentName, ExecutionId, ScheduleId};
use reqwest::Method;
use serde_json::{Map, Value, json};

use super::pages::{PAGE_MAX, ROWS_MAX, Rows};
use super::schedule_settings::ScheduleSettings;
use super::schedule_sheet;
use super::task::{execution_id, text};
use super::{Exit, Failure, Global, block_on};
use crate::client::{Answer, Client};
use crate::output::{Output, neutral_line};

const CREATE_HELP: &str = "\
Examples:
  execution-ledger schedules create demo \"Say hello\" --cron \"*/5 * * * *\"
  execution-ledger schedules create claude \"Tidy up\" --cron \"30 2 * * MON-FRI\" \\
      --timezone Europe/Berlin --overlap skip --catch-up one
  execution-ledger schedules create --from EXECUTION --cron \"0 9 * * *\"
";

/// Schedules: list (also without a command), show, ticks, create, change, enable, disable, trigger,
/// delete, preview.
#[derive(Debug, Args)]
pub struct Schedules {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List schedules, the newest first.
    #[command(visible_alias = "ls")]
    List(List),
    /// Show a schedule, its last decisions and its next runs.
    Show(Named),
    /// Show what a schedule decided, the latest first.
    Ticks {
        /// The schedule's id.
        #[arg(value_parser = schedule_id)]
        id: ScheduleId,
        /// How many, at most.
        #[arg(long, short = 'n', value_name = "N", default_value_t = 20)]
        #[arg(value_parser = clap::value_parser!(u32).range(1..=i64::from(PAGE_MAX)))]
        limit: u32,
    },
    /// Make a schedule, of a task or of an execution that has ended.
    #[command(after_help = CREATE_HELP)]
    Create(Box<Create>),
    /// Change a schedule; what is not given stays.
    Change(Box<Change>),
    /// Let a schedule's ticks fire.
    Enable(Named),
    /// Let a schedule's ticks not fire until it is enabled.
    Disable(Named),
    /// Fire a schedule now.
    Trigger {
        /// The schedule's id.
        #[arg(value_parser = schedule_id)]
        id: ScheduleId,
        /// The same key gives the same execution, however often it is sent.
        #[arg(long, value_name = "KEY")]
        idempotency_key: Option<String>,
    },
    /// Delete a schedule: no tick of it comes any more.
    Delete(Named),
    /// Show what a cron expression means: in words, and its next ten times.
    Preview {
        /// Minute, hour, day of the month, month, day of the week.
        cron: String,
        /// The time zone in which that is meant, by its IANA name.
        #[arg(long, value_name = "ZONE", default_value = "UTC")]
        timezone: String,
    },
}

#[derive(Debug, Args)]
struct Named {
    /// The schedule's id.
    #[arg(value_parser = schedule_id)]
    id: ScheduleId,
}

#[derive(Debug, Default, Args)]
struct List {
    /// Only of this agent.
    #[arg(long, short, value_name = "NAME")]
    agent: Option<AgentName>,
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
struct Create {
    /// The agent.
    #[arg(required_unless_present = "from")]
    agent: Option<AgentName>,
    /// What it is to do.
    #[arg(required_unless_present = "from")]
    message: Option<String>,
    /// Repeat this execution, with all settings that it had.
    #[arg(long, value_name = "EXECUTION", value_parser = execution_id)]
    from: Option<ExecutionId>,
    /// Make it, but let its ticks not fire yet.
    #[arg(long)]
    disabled: bool,
    #[command(flatten)]
    settings: ScheduleSettings,
}

#[derive(Debug, Args)]
struct Change {
    /// The schedule's id.
    #[arg(value_parser = schedule_id)]
    id: ScheduleId,
    /// Another agent.
    #[arg(long, value_name = "NAME")]
    agent: Option<AgentName>,
    /// Another message.
    #[arg(long, value_name = "TEXT")]
    message: Option<String>,
    #[command(flatten)]
    settings: ScheduleSettings,
}

fn schedule_id(text: &str) -> Result<ScheduleId, &'static str> {
    text.parse().map_err(|_| {
        "a schedule's id is a UUID such as 0192f0c1-2d3e-7a4b-8c5d-6e7f80910a1b; \
         `execution-ledger schedules` shows them"
    })
}

impl Schedules {
    pub(super) fn execute(self, global: &Global, output: &Output) -> Result<Exit, Failure> {
        let client = global.client()?;
        block_on(async {
            match self.command.unwrap_or(Command::List(List::default())) {
                Command::List(list) => list.execute(&client, output).await,
                Command::Show(named) => {
                    let id = named.id.to_string();
                    shown(&client.get(&["api", "schedules", &id], &[]).await?, output)
                }
                Command::Ticks { id, limit } => ticks(&client, id, limit, output).await,
                Command::Create(create) => create.execute(&client, output).await,
                Command::Change(change) => change.execute(&client, output).await,
                Command::Enable(named) => wish(&client, named.id, "enable", output).await,
                Command::Disable(named) => wish(&client, named.id, "disable", output).await,
                Command::Trigger { id, idempotency_key } => {
                    trigger(&client, id, idempotency_key, output).await
                }
                Command::Delete(named) => {
                    let id = named.id.to_string();
                    let path = ["api", "schedules", &id];
                    let gone = client.change(Method::DELETE, &path, None).await?;
                    done(&gone, &format!("{id} is deleted"), output)
                }
                Command::Preview { cron, timezone } => {
                    preview(&client, &cron, &timezone, output).await
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
        let filters = [
            ("agent", self.agent.as_ref().map(ToString::to_string)),
            ("enabled", enabled),
            ("as_of", self.as_of.clone()),
        ];
        let rows = Rows::fetch(client, "schedules", filters, ROWS_MAX, output).await?;
        let none = "no schedules: `execution-ledger schedules create` makes one";
        rows.write(none, schedule_sheet::table, output)
    }
}

impl Create {
    async fn execute(self, client: &Client, output: &Output) -> Result<Exit, Failure> {
        let mut body = self.settings.into_body();
        let mut put = |name: &str, value: Option<Value>| {
            body.extend(value.map(|value| (name.to_owned(), value)));
        };
        put("execution_id", self.from.map(|id| json!(id)));
        put("agent_name", self.agent.map(|agent| json!(agent)));
        put("message", self.message.map(Value::from));
        put("enabled", self.disabled.then_some(json!(false)));
        let path = ["api", "schedules"];
        let made = client.change(Method::POST, &path, Some(&Value::Object(body))).await?;
        shown(&made, output)
    }
}

impl Change {
    async fn execute(self, client: &Client, output: &Output) -> Result<Exit, Failure> {
        let mut body: Map<String, Value> = self.settings.into_body();
        body.extend(self.agent.map(|agent| ("agent_name".to_owned(), json!(agent))));
        body.extend(self.message.map(|message| ("message".to_owned(), Value::from(message))));
        if body.is_empty() {
            return Err(Failure::Argument("say what is to be changed".to_owned()));
        }
        let id = self.id.to_string();
        let path = ["api", "schedules", &id];
        shown(&client.change(Method::PUT, &path, Some(&Value::Object(body))).await?, output)
    }
}

fn shown(schedule: &Answer, output: &Output) -> Result<Exit, Failure> {
    if output.is_json() {
        output.json(&schedule.ordered()?)?;
    } else {
        schedule_sheet::write(schedule, output)?;
    }
    Ok(Exit::Success)
}

fn done(answer: &Answer, what: &str, output: &Output) -> Result<Exit, Failure> {
    if output.is_json() {
        output.json(&answer.ordered()?)?;
    } else {
        output.line(&neutral_line(what))?;
    }
    Ok(Exit::Success)
}

async fn wish(
    client: &Client,
    id: ScheduleId,
    what: &str,
    output: &Output,
) -> Result<Exit, Failure> {
    let id = id.to_string();
    let path = ["api", "schedules", &id, what];
    let schedule = client.change(Method::POST, &path, Some(&json!({}))).await?;
    done(&schedule, &format!("{} is {what}d", text(&schedule, "name")), output)
}

async fn trigger(
    client: &Client,
    id: ScheduleId,
    key: Option<String>,
    output: &Output,
) -> Result<Exit, Failure> {
    let id = id.to_string();
    // Drawn once, so that a repetition after a broken connection starts nothing twice.
    let key = key.unwrap_or_else(|| uuid::Uuid::now_v7().to_string());
    let path = ["api", "schedules", &id, "trigger"];
    let accepted = client.change_once(&path, &key, &json!({})).await?;
    done(&accepted, &text(&accepted, "execution_id"), output)
}

async fn ticks(
    client: &Client,
    id: ScheduleId,
    limit: u32,
    output: &Output,
) -> Result<Exit, Failure> {
    let id = id.to_string();
    let query = [("limit", limit.to_string())];
    let page = client.get(&["api", "schedules", &id, "ticks"], &query).await?;
    if output.is_json() {
        output.json(&page.ordered()?)?;
        return Ok(Exit::Success);
    }
    let rows = page.get("ticks").and_then(Value::as_array).cloned().unwrap_or_default();
    if rows.is_empty() {
        output.remark("it has decided nothing yet");
    } else {
        output.sheet(&schedule_sheet::ticks(&rows))?;
    }
    Ok(Exit::Success)
}

async fn preview(
    client: &Client,
    cron: &str,
    timezone: &str,
    output: &Output,
) -> Result<Exit, Failure> {
    let body = json!({"cron": cron, "timezone": timezone});
    let path = ["api", "schedules", "preview"];
    let preview = client.change(Method::POST, &path, Some(&body)).await?;
    if output.is_json() {
        output.json(&preview.ordered()?)?;
        return Ok(Exit::Success);
    }
    output.line(&neutral_line(&text(&preview, "description")))?;
    schedule_sheet::moments(preview.get("next"), output)?;
    Ok(Exit::Success)
}
