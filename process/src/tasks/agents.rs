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
    /// Makes an agent known. Answers the position of the event.
    pub async fn register_agent(
        &self,
        caller: &Caller,
        name: &AgentName,
        config: AgentConfig,
        request: &Request,
    ) -> Result<Position, AgentError> {
        self.check_agent(&config)?;
        self.change_agent(caller, name, Command::Register(Box::new(config)), request).await
    }

    /// Replaces an agent's settings.
    pub async fn configure_agent(
        &self,
        caller: &Caller,
        name: &AgentName,
        config: AgentConfig,
        request: &Request,
    ) -> Result<Position, AgentError> {
        self.check_agent(&config)?;
        self.change_agent(caller, name, Command::Configure(Box::new(config)), request).await
    }

    /// Lets an agent start nothing new.
    pub async fn pause_agent(
        &self,
        caller: &Caller,
        name: &AgentName,
        request: &Request,
    ) -> Result<Position, AgentError> {
        self.change_agent(caller, name, Command::Pause, request).await
    }

    /// Lets an agent start waiting tasks again.
    pub async fn resume_agent(
        &self,
        caller: &Caller,
        name: &AgentName,
        request: &Request,
    ) -> Result<Position, AgentError> {
        self.change_agent(caller, name, Command::Resume, request).await
    }

    /// Lets an agent take no more tasks; what waits is cancelled.
    pub async fn retire_agent(
        &self,
        caller: &Caller,
        name: &AgentName,
        request: &Request,
    ) -> Result<Position, AgentError> {
        self.change_agent(caller, name, Command::Retire, request).await
    }

    async fn change_agent(
        &self,
        caller: &Caller,
        name: &AgentName,
        command: Command,
        request: &Request,
    ) -> Result<Position, AgentError> {
        let context = context(caller, Some(request.id.clone()), request);
        let stream = StreamName::agent(name);
        let done = self.ledger.execute::<Agent>(&stream, command, &[], &context).await?;
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
