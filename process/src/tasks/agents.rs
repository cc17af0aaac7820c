//! Looking after agents.

use std::path::PathBuf;
use std::time::Duration;

use execution_ledger_domain::agent::{Agent, AgentConfig, Command, Rejection};
use execution_ledger_domain::{AgentName, Caller, StreamName};
use execution_ledger_store::{ExecuteError, Position};

use super::{Request, Tasks, context};
use crate::redact::Redactor;

/// How long a change of an agent waits until it holds for the next task.
const APPLIED_WAIT: Duration = Duration::from_secs(5);

/// Why an agent was not changed.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// The system has no such user.
    #[error("run_as: this system has no user {0}")]
    NoSuchUser(String),
    /// A variable's value looks like a secret, and settings are stored.
    #[error(
        "env: the value of {variable} looks like a secret, and settings are stored for ever: give \
         it by env_from, which is read at each start"
    )]
    HoldsSecret {
        /// Which variable.
        variable: String,
    },
    /// It would work among the ledger's own files.
    #[error("cwd: lies inside the ledger's data directory, where keys and the log are")]
    InsideDataDir,
    /// The write failed.
    #[error(transparent)]
    Write(#[from] ExecuteError<Rejection>),
}

impl Tasks {
    /// Makes an agent known, replaces its settings, pauses, resumes or retires it. Answers the position
    /// of the event.
    ///
    /// # Errors
    /// [`AgentError`] where its settings can't be, or the change can't be made of that agent.
    pub async fn change_agent(
        &self,
        caller: &Caller,
        name: &AgentName,
        change: Command,
        request: &Request,
    ) -> Result<Position, AgentError> {
        if let Command::Register(config) | Command::Configure(config) = &change {
            self.check_agent(config)?;
        }
        let context = context(caller, Some(request.id.clone()), request);
        let stream = StreamName::agent(name);
        let done = self.ledger.execute::<Agent>(&stream, change, &[], &context).await?;
        // So that whoever changed the agent meets the changed agent with the next request.
        if !self.desk.wait_applied(done.position, APPLIED_WAIT).await {
            tracing::warn!(agent = %name, "the process manager is behind the log");
        }
        Ok(done.position)
    }

    /// What the domain can't check: it knows neither this system nor the formats of secrets.
    fn check_agent(&self, config: &AgentConfig) -> Result<(), AgentError> {
        let is_secret = |text: &String| Redactor::global().redact(text).1 > 0;
        if let Some((variable, _)) = config.env.iter().find(|(_, value)| is_secret(value)) {
            return Err(AgentError::HoldsSecret { variable: variable.clone() });
        }
        if let (Some(cwd), Some(data_dir)) = (&config.cwd, &self.data_dir) {
            // A directory that does not exist yet is judged by its name.
            let real = std::fs::canonicalize(cwd).unwrap_or_else(|_| PathBuf::from(cwd));
            if real.starts_with(data_dir) {
                return Err(AgentError::InsideDataDir);
            }
        }
        let Some(user) = &config.run_as else { return Ok(()) };
        match nix::unistd::User::from_name(user) {
            Ok(Some(_)) => Ok(()),
            Ok(None) | Err(_) => Err(AgentError::NoSuchUser(user.clone())),
        }
    }
}
