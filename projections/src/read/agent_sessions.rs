//! Which of the agents' own sessions a caller may go on with.

use execution_ledger_domain::{AgentName, Scope};
use rusqlite::params_from_iter;
use rusqlite::types::Value;

use super::filters::scope_condition;
use crate::query::{At, QueryError};
use crate::views::Views;

impl Views {
    /// Whether an execution of the agent that the scope covers was in this session of the agent's own.
    pub async fn has_agent_session(
        &self,
        agent: &AgentName,
        session: &str,
        scope: &Scope,
    ) -> Result<bool, QueryError> {
        let (scope, agent, session) = (scope.clone(), agent.clone(), session.to_owned());
        let seen = self
            .ask(At::Now, move |connection, _| {
                let mut values = vec![Value::Text(session), Value::Text(agent.as_str().to_owned())];
                let (scoped, of_scope) = scope_condition("s", &scope, values.len() + 1);
                values.extend(of_scope);
                let sql = format!(
                    "SELECT 1 FROM agent_sessions s WHERE s.session = ?1 AND s.agent = ?2
                     AND {scoped} LIMIT 1"
                );
                Ok(connection.prepare_cached(&sql)?.exists(params_from_iter(&values))?)
            })
            .await?;
        Ok(seen.value)
    }
}
