//! The server's settings: where they come from and what they may be.
//!
//! Later sources win: built-in defaults, the configuration file, environment variables
//! (`EXECUTION_LEDGER_*`), flags. Nothing that is unknown is ignored.

mod addresses;
mod check;
mod log_store;
mod number;
mod places;
mod settings;
mod values;
mod witnesses;

#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

use clap::{Args, FromArgMatches};
use figment::Figment;
use figment::providers::{Format, Serialized, Toml};

pub use addresses::{HttpUrl, begins_as_http};
pub use log_store::StoreKind;
pub use places::Places;
pub use settings::{Overrides, Settings};
pub use values::LogFormat;

/// Variables of our prefix that are no settings: for clients, for runs, and for tests.
const OTHER_VARIABLES: [&str; 12] = [
    "EXECUTION_LEDGER_DATA_DIR",
    "EXECUTION_LEDGER_CONFIG",
    "EXECUTION_LEDGER_URL",
    "EXECUTION_LEDGER_KEY",
    "EXECUTION_LEDGER_KEY_FILE",
    "EXECUTION_LEDGER_CA_FILE",
    "EXECUTION_LEDGER_AGENT",
    "EXECUTION_LEDGER_EXECUTION_ID",
    "EXECUTION_LEDGER_SESSION_ID",
    "EXECUTION_LEDGER_DRAIN",
    execution_ledger_process::failpoint::VARIABLE,
    execution_ledger_process::failpoint::PAUSE_VARIABLE,
];
/// The prefix of our variables.
const VARIABLE_PREFIX: &str = "EXECUTION_LEDGER_";
/// The configuration file's name.
const FILE_NAME: &str = "config.toml";
/// The largest configuration file that is read, in bytes.
const FILE_MAX_BYTES: u64 = 1024 * 1024;

/// Why the settings can't be used. Its text names the setting and says what to do.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// There is no user directory to put data into.
    #[error(
        "there is no place for the data directory: HOME and XDG_DATA_HOME are not set; give --data-dir DIR"
    )]
    NoPlace,
    /// A configuration file can't be read.
    #[error("the configuration file {path}: {problem}")]
    File {
        /// Which file.
        path: PathBuf,
        /// Why.
        problem: String,
    },
    /// A setting is unknown or out of its range.
    #[error("setting {name} ({source_name}): {problem}")]
    Setting {
        /// Which setting.
        name: String,
        /// Where it was given.
        source_name: String,
        /// What is wrong with it.
        problem: String,
    },
    /// Settings that don't go together.
    #[error("{0}")]
    Together(String),
    /// An environment variable with our prefix that means nothing.
    #[error(
        "the environment variable {0} is no setting of execution-ledger: correct or unset it (`execution-ledger serve --help` lists the settings)"
    )]
    Variable(String),
}

/// Where to look, as given on the command line or by the environment.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// `--data-dir`.
    pub data_dir: Option<PathBuf>,
    /// `--config`.
    pub config: Option<PathBuf>,
    /// Settings given as flags or variables.
    pub overrides: Overrides,
}

impl Overrides {
    /// What the environment alone says, for commands that have no flags for settings.
    pub fn from_environment() -> Result<Self, clap::Error> {
        let command = Self::augment_args(clap::Command::new("execution-ledger"));
        Self::from_arg_matches(&command.try_get_matches_from(["execution-ledger"])?)
    }
}

impl Settings {
    /// The settings from all sources, each checked and all together.
    pub fn load(sources: &Sources, places: &Places) -> Result<Self, ConfigError> {
        let given_dir = sources.data_dir.clone();
        let default_dir = match given_dir {
            Some(dir) => dir,
            None => places.data_dir().ok_or(ConfigError::NoPlace)?,
        };
        let work_dir = places.work_dir().unwrap_or_else(|| PathBuf::from("/var/tmp"));
        let mut figment =
            Figment::from(Serialized::defaults(Self::defaults(default_dir.clone(), work_dir)));
        let file = configuration_file(sources.config.as_deref(), &default_dir, places);
        if let Some(path) = &file {
            figment = figment.merge(Toml::string(&read(path)?));
        }
        figment = figment.merge(Serialized::defaults(&sources.overrides));
        if let Some(dir) = &sources.data_dir {
            figment = figment.merge(Serialized::default("data_dir", dir));
        }
        let settings: Self =
            figment.extract().map_err(|error| in_words(&error, file.as_deref()))?;
        let from_file = figment
            .find_metadata("kurrentdb")
            .is_some_and(|metadata| metadata.name.contains("TOML"));
        settings.check_login(from_file)?;
        settings.made_absolute()?.checked(file.as_deref(), &default_dir)
    }

    fn made_absolute(mut self) -> Result<Self, ConfigError> {
        for (name, path) in [("data_dir", &mut self.data_dir), ("work_dir", &mut self.work_dir)] {
            *path = std::path::absolute(&*path).map_err(|error| ConfigError::Setting {
                name: name.to_owned(),
                source_name: path.display().to_string(),
                problem: error.to_string(),
            })?;
        }
        if let Some(file) = &mut self.kurrentdb_credentials_file {
            *file = std::path::absolute(&*file).unwrap_or_else(|_| file.clone());
        }
        if let Some(book) = &mut self.price_book {
            // Where there is no current directory, opening it says so.
            *book = std::path::absolute(&*book).unwrap_or_else(|_| book.clone());
        }
        Ok(self)
    }
}

/// Variables that have our prefix and no meaning: most likely slips in their names.
pub fn unknown_variables(names: impl Iterator<Item = std::ffi::OsString>) -> Vec<String> {
    let known = |name: &str| OTHER_VARIABLES.contains(&name) || settings::VARIABLES.contains(&name);
    let names = names.map(|name| name.to_string_lossy().into_owned());
    names.filter(|name| name.starts_with(VARIABLE_PREFIX) && !known(name)).collect()
}

/// Refuses a variable that has our prefix and no meaning.
pub fn refuse_unknown_variables(
    names: impl Iterator<Item = std::ffi::OsString>,
) -> Result<(), ConfigError> {
    let unknown = unknown_variables(names).into_iter().next();
    unknown.map_or(Ok(()), |name| Err(ConfigError::Variable(name)))
}

/// The file that was named, else the first that exists of the data directory's and the user's own.
fn configuration_file(named: Option<&Path>, data_dir: &Path, places: &Places) -> Option<PathBuf> {
    if let Some(path) = named {
        return Some(path.to_owned());
    }
    let of_user = places.config_dir().map(|dir| dir.join(FILE_NAME));
    [Some(data_dir.join(FILE_NAME)), of_user].into_iter().flatten().find(|path| path.exists())
}

fn read(path: &Path) -> Result<String, ConfigError> {
    let problem = |problem: String| ConfigError::File { path: path.to_owned(), problem };
    let length = std::fs::metadata(path).map_err(|error| problem(error.to_string()))?.len();
    if length > FILE_MAX_BYTES {
        return Err(problem(format!("it has {length} bytes, more than {FILE_MAX_BYTES}")));
    }
    std::fs::read_to_string(path).map_err(|error| problem(error.to_string()))
}

fn in_words(error: &figment::Error, file: Option<&Path>) -> ConfigError {
    let from_file = |error: &figment::Error| {
        error.metadata.as_ref().is_none_or(|metadata| metadata.name.contains("TOML"))
    };
    let source_name = match file {
        Some(path) if from_file(error) => path.display().to_string(),
        _ => "a flag, a variable or a default".to_owned(),
    };
    let name = if error.path.is_empty() {
        match &error.kind {
            figment::error::Kind::UnknownField(name, _) => name.clone(),
            _ => "?".to_owned(),
        }
    } else {
        error.path.join(".")
    };
    let problem = match &error.kind {
        figment::error::Kind::UnknownField(..) => {
            "there is no such setting (`execution-ledger serve --help` lists them)".to_owned()
        }
        kind => kind.to_string(),
    };
    ConfigError::Setting { name, source_name, problem }
}
