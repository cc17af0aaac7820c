//! Where it is erased: by the server, or in a data directory that no server has.

use std::sync::Arc;
use std::time::Duration;

use execution_ledger_domain::{Actor, Digest, ExecutionId, SessionId, UserName};
use execution_ledger_process::erasing::{
    EraseError, Eraser, STEP_STREAMS_MAX, Step, Target, Text, Wish,
};
use execution_ledger_process::transcript::Transcripts;
use execution_ledger_projections::{Views, ViewsOptions};
use execution_ledger_store::{Context, EventStore, Ledger, LogPosition, Position, SystemClock};
use reqwest::Method;
use serde::Deserialize;
use serde_json::{Value, json};

use super::super::{Failure, Global, rebuild};
use crate::client::{Client, ClientError};
use crate::compose::data_dir::DataDir;
use crate::compose::log::{self, Writable};
use crate::compose::nodes;

/// How long the read models may take to overwrite what is left of the texts.
const OVERWRITTEN_WAIT: Duration = Duration::from_mins(10);

/// Where it is erased.
pub(super) enum Place {
    /// A server does it.
    Server(Box<Client>),
    /// Nobody else has the log.
    Directory(Box<Offline>),
}

/// A data directory that no server has.
pub(super) struct Offline {
    data_dir: DataDir,
    store: Arc<dyn EventStore>,
    eraser: Eraser,
    /// Keeps the log to ourselves.
    _opened: Writable,
}

/// What is asked, in the words of the interface.
#[derive(Deserialize)]
struct Asked {
    content: Option<Digest>,
    execution_id: Option<ExecutionId>,
    session_id: Option<SessionId>,
    user: Option<UserName>,
    reason: String,
    dry_run: bool,
    #[serde(default)]
    cursor: Option<String>,
}

impl Place {
    /// The server that was named or that runs on the data directory; else the directory itself.
    pub fn find(global: &Global) -> Result<Self, Failure> {
        match global.client() {
            Ok(client) => Ok(Self::Server(Box::new(client))),
            Err(ClientError::NoServer { .. }) => {
                let settings = global.settings_from_environment()?;
                let data_dir = DataDir::at(&settings.data_dir);
                if !log::may_exist(&settings, &data_dir) {
                    let path = data_dir.path().display();
                    return Err(Failure::Argument(format!(
                        "there is no log in {path}: nothing was ever recorded there"
                    )));
                }
                let opened = rebuild::open(&settings, &data_dir)?;
                let store = Arc::clone(&opened.store);
                let ledger = Ledger::new(Arc::clone(&store), Arc::new(SystemClock));
                let transcripts = Transcripts::new(data_dir.runs(), data_dir.transcripts());
                let eraser = Eraser::new(ledger, transcripts);
                let own = nodes::own_id(&settings, &data_dir);
                let own = own.map_err(|error| Failure::Fault(error.to_string()))?;
                let eraser = match own {
                    Some(own) => eraser.among(own),
                    None => eraser,
                };
                Ok(Self::Directory(Box::new(Offline { data_dir, store, eraser, _opened: opened })))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// One part of the work, asked and answered as over HTTP.
    pub async fn step(&self, body: &Value) -> Result<Value, Failure> {
        match self {
            Self::Server(client) => {
                let mut body = body.clone();
                if let Some(fields) = body.as_object_mut() {
                    fields.retain(|_, value| !value.is_null());
                }
                let answer = client.change(Method::POST, &["api", "erase"], Some(&body)).await?;
                Ok((*answer).clone())
            }
            Self::Directory(offline) => offline.step(body).await,
        }
    }
}

impl Offline {
    async fn step(&self, body: &Value) -> Result<Value, Failure> {
        let fault = |error: &dyn std::fmt::Display| Failure::Fault(error.to_string());
        let asked = Asked::deserialize(body).map_err(|error| fault(&error))?;
        let targets = [
            asked.content.map(Target::Content),
            asked.execution_id.map(Target::Execution),
            asked.session_id.map(Target::Session),
            asked.user.map(Target::User),
        ];
        let target = targets.into_iter().flatten().next();
        let target = target.ok_or_else(|| Failure::Argument("say what to erase".to_owned()))?;
        let after = match &asked.cursor {
            None => Position::START,
            Some(text) => {
                LogPosition::parse_for(self.store.log_id(), text).map_err(|error| fault(&error))?
            }
        };
        let (reason, dry_run) = (asked.reason, asked.dry_run);
        let wish = Wish { target, reason, dry_run, after, most: STEP_STREAMS_MAX };
        if after == Position::START && !dry_run {
            self.eraser.recover().await.map_err(|error| fault(&error))?;
        }
        let step = self.eraser.step(&wish, &context()).await.map_err(|error| match error {
            EraseError::Reason(problem) => Failure::Argument(format!("the reason: {problem}")),
            other => fault(&other),
        })?;
        let overwritten = match step.next {
            None if !dry_run => Some(self.overwritten(step.position).await?),
            _ => None,
        };
        Ok(self.answer(step, dry_run, overwritten))
    }

    /// Overwrites what is left of the texts; the read models, where there are any, forget them first.
    async fn overwritten(&self, position: Position) -> Result<bool, Failure> {
        let fault = |error: &dyn std::fmt::Display| Failure::Fault(error.to_string());
        let of_log = self.eraser.scrub().await.map_err(|error| fault(&error))?;
        if !self.data_dir.views().exists() {
            return Ok(of_log);
        }
        let store = Arc::clone(&self.store);
        let views = Views::open(&self.data_dir.views(), store, ViewsOptions::default())
            .map_err(|error| fault(&error))?;
        let forgotten = async {
            let head = self.store.head().await.unwrap_or(position);
            views.forgotten(position.max(head), OVERWRITTEN_WAIT).await
        };
        let of_views = tokio::select! {
            () = views.run(std::future::pending()) => false,
            forgotten = forgotten => forgotten,
        };
        Ok(of_log && of_views)
    }

    fn answer(&self, step: Step, dry_run: bool, overwritten: Option<bool>) -> Value {
        let named = |position: Position| {
            LogPosition { log: self.store.log_id().clone(), position }.to_string()
        };
        let place = |Text { place, content }: Text| {
            json!({"stream": place.stream, "event_id": place.event_id, "part": place.part,
                   "sha256": content.sha256, "bytes": content.bytes})
        };
        json!({
            "dry_run": dry_run, "texts": step.texts, "transcripts": step.transcripts,
            "transcripts_elsewhere": step.elsewhere,
            "bytes": step.bytes, "erased_before": step.erased_before, "open": step.open_count,
            "open_executions": step.open,
            "places": step.named.into_iter().map(place).collect::<Vec<_>>(),
            "overwritten": overwritten, "next_cursor": step.next.map(named),
            "head": named(step.head), "position": named(step.position),
        })
    }
}

/// Whoever runs this program on the machine: there is no key that says who.
fn context() -> Context {
    let own = nix::unistd::User::from_uid(nix::unistd::geteuid()).ok().flatten();
    let mut actor = Actor::system("command-line");
    if let Some(user) = own.and_then(|own| UserName::new(&own.name).ok()) {
        actor.user = user;
    }
    let story = Some("erase".to_owned());
    Context { actor, correlation_id: story.clone(), causation_id: story, traceparent: None }
}
