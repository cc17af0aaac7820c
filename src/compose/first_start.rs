//! What the first start registers: agents to begin with.

use execution_ledger_domain::agent::{Agent, AgentConfig, Command, Rejection, Runtime};
use execution_ledger_domain::{Actor, AgentName, StreamName};
use execution_ledger_store::{Context, ExecuteError, Ledger};

use super::ServeError;

/// Registers the simulated agent and, where Claude Code is installed, an agent for it; only where the
/// simulated agent never was. It comes last: if we die before it, the next start begins again.
pub async fn register_agents(ledger: &Ledger) -> Result<(), ServeError> {
    let failed =
        |error: &dyn std::fmt::Display| ServeError::Part(format!("the first start: {error}"));
    let stream = |name| AgentName::new(name).map(|name| StreamName::agent(&name));
    let demo = stream("demo").map_err(|error| failed(&error))?;
    let known = ledger.load::<Agent>(&demo).await.map_err(|error| failed(&error))?;
    if known != Agent::Absent {
        return Ok(());
    }
    let mut agents = vec![(demo, AgentConfig::of(Runtime::Demo, Vec::new()))];
    if is_on_path("claude") {
        let claude = stream("claude").map_err(|error| failed(&error))?;
        agents.insert(0, (claude, AgentConfig::of(Runtime::ClaudeCode, Vec::new())));
    }
    let context = Context {
        actor: Actor::system("first_start"),
        correlation_id: Some("first_start".to_owned()),
        causation_id: None,
        traceparent: None,
    };
    for (stream, config) in agents {
        let command = Command::Register(Box::new(config));
        match ledger.execute::<Agent>(&stream, command, &[], &context).await {
            Ok(_) | Err(ExecuteError::Refused(Rejection::AlreadyRegistered)) => {}
            Err(error) => return Err(failed(&error)),
        }
    }
    Ok(())
}

/// Whether a program of this name can be found.
pub fn is_on_path(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
}
