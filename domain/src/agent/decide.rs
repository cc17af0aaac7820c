//! The rules of an agent's life.

use super::check::ConfigError;
use super::config::AgentConfig;
use super::event::{AgentEvent, Configured, Paused, Registered, Resumed, Retired};
use crate::Aggregate;

/// The state of one agent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Agent {
    /// No event yet.
    #[default]
    Absent,
    /// It can be given tasks.
    Active {
        /// Its settings.
        config: Box<AgentConfig>,
        /// Whether it starts nothing new.
        paused: bool,
    },
    /// It takes no more tasks.
    Retired {
        /// Its last settings.
        config: Box<AgentConfig>,
    },
}

impl Agent {
    /// Its settings, once it has some.
    pub fn config(&self) -> Option<&AgentConfig> {
        match self {
            Self::Absent => None,
            Self::Active { config, .. } | Self::Retired { config } => Some(config),
        }
    }
}

/// A wish about one agent.
#[derive(Clone, Debug)]
pub enum Command {
    /// Make it known; a retired agent's name may be used again.
    Register(Box<AgentConfig>),
    /// Replace its settings.
    Configure(Box<AgentConfig>),
    /// Start nothing new.
    Pause,
    /// Start waiting tasks again.
    Resume,
    /// Take no more tasks.
    Retire,
}

/// Why a command about an agent was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// There is no agent of that name.
    #[error("there is no such agent")]
    NotFound,
    /// There is an agent of that name.
    #[error("an agent of this name is registered already")]
    AlreadyRegistered,
    /// It was retired.
    #[error("this agent was retired")]
    Retired,
    /// Its settings break a limit.
    #[error(transparent)]
    Config(#[from] ConfigError),
}

impl Aggregate for Agent {
    type Event = AgentEvent;
    type Command = Command;
    type Rejection = Rejection;

    fn evolve(self, event: &AgentEvent) -> Self {
        use AgentEvent as E;
        match (self, event) {
            (_, E::Registered(registered)) => {
                Self::Active { config: Box::new(registered.config.clone()), paused: false }
            }
            (Self::Active { paused, .. }, E::Configured(configured)) => {
                Self::Active { config: Box::new(configured.config.clone()), paused }
            }
            (Self::Active { config, .. }, E::Paused(_)) => Self::Active { config, paused: true },
            (Self::Active { config, .. }, E::Resumed(_)) => Self::Active { config, paused: false },
            (Self::Active { config, .. }, E::Retired(_)) => Self::Retired { config },
            (state, _) => state,
        }
    }

    fn decide(&self, command: Command) -> Result<Vec<AgentEvent>, Rejection> {
        use Agent::{Absent, Active, Retired as Gone};
        use AgentEvent as E;
        use Command as C;
        match (self, command) {
            (Absent | Gone { .. }, C::Register(config)) => {
                config.check()?;
                Ok(vec![E::Registered(Box::new(Registered { config: *config }))])
            }
            (Active { .. }, C::Register(_)) => Err(Rejection::AlreadyRegistered),

            (Active { config: old, .. }, C::Configure(config)) => {
                config.check()?;
                let event = E::Configured(Box::new(Configured { config: (*config).clone() }));
                Ok(if *old == config { vec![] } else { vec![event] })
            }

            (Active { paused, .. }, C::Pause) => {
                Ok(if *paused { vec![] } else { vec![E::Paused(Paused {})] })
            }
            (Active { paused, .. }, C::Resume) => {
                Ok(if *paused { vec![E::Resumed(Resumed {})] } else { vec![] })
            }

            (Active { .. }, C::Retire) => Ok(vec![E::Retired(Retired {})]),
            (Gone { .. }, C::Retire) => Ok(vec![]),

            (Gone { .. }, C::Configure(_) | C::Pause | C::Resume) => Err(Rejection::Retired),
            (Absent, C::Configure(_) | C::Pause | C::Resume | C::Retire) => {
                Err(Rejection::NotFound)
            }
        }
    }
}
