//! How a command ends: stable exit codes, and failures that say what to do next.

use std::process::ExitCode;

use crate::client::ClientError;
use crate::config::ConfigError;

/// The exit codes, as the help tells them.
pub const EXIT_CODES: &str = "\
Exit codes:
  0    done; of `run`: completed
  1    refused or not possible; of `run`: failed; of `doctor`: a check fails;
       of `verify`: something is wrong
  2    the command line or a setting is wrong
  3    the server can't be reached
  4    there is no such agent or execution
  130  cancelled, or left by Ctrl-C
";

/// How the process ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Done.
    Success,
    /// Refused, not possible, or a run that failed.
    Failed,
    /// The command line or a setting is wrong.
    Usage,
    /// The server can't be reached.
    Unreachable,
    /// There is no such thing.
    NotFound,
    /// Cancelled, or left by Ctrl-C.
    Cancelled,
}

impl Exit {
    /// The number for the shell.
    pub fn code(self) -> u8 {
        match self {
            Self::Success => 0,
            Self::Failed => 1,
            Self::Usage => 2,
            Self::Unreachable => 3,
            Self::NotFound => 4,
            Self::Cancelled => 130,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

/// Why a command could not be done.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The settings are wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The server refused, or can't be reached.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// An argument is wrong in a way that only the command itself can see.
    #[error("{0}")]
    Argument(String),
    /// An environment variable or flag can't be read.
    #[error("{0}")]
    Usage(clap::Error),
    /// The server can't start.
    #[error(transparent)]
    Serve(#[from] crate::compose::ServeError),
    /// Something on this machine is in the way.
    #[error("{0}")]
    Fault(String),
}

impl Failure {
    /// The exit code.
    pub fn exit(&self) -> Exit {
        match self {
            Self::Config(_) | Self::Argument(_) | Self::Usage(_) => Exit::Usage,
            Self::Client(error) => error.exit(),
            Self::Serve(_) | Self::Fault(_) => Exit::Failed,
        }
    }

    /// What to do next, where that can be said.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Client(error) => error.hint(),
            Self::Serve(error) => error.hint(),
            _ => None,
        }
    }
}
