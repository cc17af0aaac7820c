//! The user's directories, by the XDG base directory specification.

use std::ffi::OsString;
use std::path::PathBuf;

/// The name of our folder in each of the user's directories.
const FOLDER: &str = "execution-ledger";
/// Data of a system user that has no home.
const SYSTEM_DATA: &str = "/var/lib/execution-ledger";
/// Work folders of a system user that has no home.
const SYSTEM_WORK: &str = "/var/lib/execution-ledger-work";

/// What the environment says of the user's directories.
#[derive(Clone, Debug, Default)]
pub struct Places {
    /// `HOME`.
    pub home: Option<PathBuf>,
    /// `XDG_DATA_HOME`.
    pub data_home: Option<PathBuf>,
    /// `XDG_STATE_HOME`.
    pub state_home: Option<PathBuf>,
    /// `XDG_CONFIG_HOME`.
    pub config_home: Option<PathBuf>,
    /// Whether this process is root's.
    pub is_root: bool,
}

impl Places {
    /// From this process's environment.
    pub fn from_environment() -> Self {
        // The specification: a relative path in these variables is to be ignored.
        let absolute = |name: &str| {
            std::env::var_os(name)
                .filter(|value: &OsString| !value.is_empty())
                .map(PathBuf::from)
                .filter(|path| path.is_absolute())
        };
        Self {
            home: absolute("HOME"),
            data_home: absolute("XDG_DATA_HOME"),
            state_home: absolute("XDG_STATE_HOME"),
            config_home: absolute("XDG_CONFIG_HOME"),
            is_root: nix::unistd::geteuid().is_root(),
        }
    }

    /// The default data directory.
    pub fn data_dir(&self) -> Option<PathBuf> {
        self.folder(self.data_home.as_ref(), ".local/share")
            .or_else(|| self.is_root.then(|| SYSTEM_DATA.into()))
    }

    /// The default folder of agents' work folders.
    pub fn work_dir(&self) -> Option<PathBuf> {
        self.folder(self.state_home.as_ref(), ".local/state")
            .map(|folder| folder.join("work"))
            .or_else(|| self.is_root.then(|| SYSTEM_WORK.into()))
    }

    /// The folder of the user's configuration file.
    pub fn config_dir(&self) -> Option<PathBuf> {
        self.folder(self.config_home.as_ref(), ".config")
    }

    fn folder(&self, named: Option<&PathBuf>, below_home: &str) -> Option<PathBuf> {
        let base = named.cloned().or_else(|| self.home.as_ref().map(|home| home.join(below_home)));
        base.map(|base| base.join(FOLDER))
    }
}
