//! What the first start registers: agents to begin with.

use execution_ledger_domain::agent::{Agent, AgentConfig, Command, Runtime};
use execution_ledger_domain::{Actor, AgentName, StreamName};
use execution_ledger_store::{Context, Ledger, Position};

use super::ServeError;

/// Registers the simulated agent and, where Claude Code is installed, an agent for it; only on a
/// log without any event.
pub async fn register_agents(ledger: &Ledger) -> Result<(), ServeError> {
    let failed =
        |error: &dyn std::fmt::Display| ServeError::Part(format!("the first start: {error}"));
    let head = ledger.store().head().await.map_err(|error| failed(&error))?;
    if head != Position::START {
        return Ok(());
    }
    let mut agents = vec![("demo", AgentConfig::of(Runtime::Demo, Vec::new()))];
    if is_on_path("claude") {
        agents.push(("claude", AgentConfig::of(Runtime::ClaudeCode, Vec::new())));
    }
    let context = Context {
        actor: Actor::system("first_start"),
        correlation_id: Some("first_start".to_owned()),
        causation_id: None,
        traceparent: None,
    };
    for (name, config) in agents {
        let stream = StreamName::agent(&AgentName::new(name).map_err(|error| failed(&error))?);
        let command = Command::Register(Box::new(config));
        let done = ledger.execute_new::<Agent>(&stream, command, &[], &context).await;
        done.map_err(|error| failed(&error))?;
    }
    Ok(())
}

/// Whether a program of this name can be found.
pub fn is_on_path(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
}
