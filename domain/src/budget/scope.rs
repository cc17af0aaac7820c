//! What a budget is for.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::ids::{AgentName, UserName};

/// What a budget is for: everything, one agent or one user. Its name is `global`, `agent-{name}` or
/// `user-{name}`, in JSON, in addresses and as the end of its stream's name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum BudgetScope {
    /// All that is spent.
    Global,
    /// What an agent's executions cost.
    Agent(AgentName),
    /// What is spent on behalf of a user.
    User(UserName),
}

/// Why a text names no budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a budget is named global, agent-NAME or user-NAME")]
pub struct BudgetScopeError;

impl fmt::Display for BudgetScope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Global => f.write_str("global"),
            Self::Agent(name) => write!(f, "agent-{name}"),
            Self::User(name) => write!(f, "user-{name}"),
        }
    }
}

impl FromStr for BudgetScope {
    type Err = BudgetScopeError;

    fn from_str(text: &str) -> Result<Self, BudgetScopeError> {
        match text.split_once('-') {
            None if text == "global" => Ok(Self::Global),
            Some(("agent", name)) => name.parse().map(Self::Agent).map_err(|_| BudgetScopeError),
            Some(("user", name)) => name.parse().map(Self::User).map_err(|_| BudgetScopeError),
            _ => Err(BudgetScopeError),
        }
    }
}

impl TryFrom<String> for BudgetScope {
    type Error = BudgetScopeError;
    fn try_from(text: String) -> Result<Self, BudgetScopeError> {
        text.parse()
    }
}

impl From<BudgetScope> for String {
    fn from(scope: BudgetScope) -> Self {
        scope.to_string()
    }
}

impl schemars::JsonSchema for BudgetScope {
    fn schema_name() -> Cow<'static, str> {
        "BudgetScope".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": "string",
            "pattern": "^(global|(agent|user)-[a-z0-9][a-z0-9_-]{0,62})$",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_is_read_back_from_its_name() {
        for name in ["global", "agent-a-b", "user-ada"] {
            let scope: BudgetScope = name.parse().expect("a budget");
            assert_eq!(scope.to_string(), name);
        }
        for bad in ["", "Global", "agent", "agent-", "agent-A", "key-x", "global-x"] {
            assert_eq!(bad.parse::<BudgetScope>(), Err(BudgetScopeError), "{bad}");
        }
    }
}
