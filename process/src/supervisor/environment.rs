//! The environment of an agent: what it is allowed, what it is given, and its secrets.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::Read;
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use execution_ledger_domain::agent::{SecretSource, is_secret_name};
use nix::unistd::User;

use crate::orders::{MARKER_VARIABLE, Orders};

/// What every agent has of the ledger's own environment.
const ALLOWED: [&str; 8] = ["PATH", "HOME", "LANG", "TZ", "TMPDIR", "USER", "LOGNAME", "SHELL"];
/// And all variables that begin so.
const ALLOWED_PREFIX: &[u8] = b"LC_";
/// Where programs are looked for if the ledger itself has no PATH.
const PATH_DEFAULT: &str = "/usr/local/bin:/usr/bin:/bin";
/// A secret's file is never longer, in bytes.
const SECRET_MAX_BYTES: u64 = 64 * 1024;

/// Variables and what must not be printed.
pub(super) struct Environment {
    /// All variables.
    pub variables: BTreeMap<OsString, OsString>,
    /// Values that are redacted wherever they appear.
    pub secrets: Vec<String>,
}

impl Environment {
    /// Of a run; `user` is whom it runs as, where that is not the ledger's own user.
    ///
    /// # Errors
    /// In words, naming the variable whose secret can't be read and never a value.
    pub fn of(orders: &Orders, user: Option<&User>) -> Result<Self, String> {
        let mut variables = BTreeMap::new();
        for (name, value) in std::env::vars_os() {
            let allowed = ALLOWED.iter().any(|allowed| name == *allowed)
                || name.as_bytes().starts_with(ALLOWED_PREFIX)
                || orders.env_allow.iter().any(|allowed| name == allowed.as_str());
            if allowed {
                variables.insert(name, value);
            }
        }
        variables.entry("PATH".into()).or_insert_with(|| PATH_DEFAULT.into());
        if let Some(user) = user {
            variables.insert("HOME".into(), user.dir.clone().into_os_string());
            variables.insert("SHELL".into(), user.shell.clone().into_os_string());
            variables.insert("USER".into(), user.name.clone().into());
            variables.insert("LOGNAME".into(), user.name.clone().into());
        }
        for (name, value) in &orders.env {
            variables.insert(name.into(), value.into());
        }
        // The run token is among them, and what was taken over, such as a model provider's key.
        let mut secrets: Vec<String> = variables
            .iter()
            .filter(|(name, value)| is_secret(&name.to_string_lossy(), value))
            .map(|(_, value)| value.to_string_lossy().into_owned())
            .collect();
        for (name, source) in &orders.env_from {
            let value = read(source).map_err(|why| format!("env_from {name}: {why}"))?;
            secrets.push(value.to_string_lossy().into_owned());
            variables.insert(name.into(), value);
        }
        variables.insert(MARKER_VARIABLE.into(), orders.execution_id.to_string().into());
        Ok(Self { variables, secrets })
    }

    /// The directories in which programs are looked for.
    pub fn path(&self) -> &OsStr {
        self.variables.get(OsStr::new("PATH")).map_or(OsStr::new(PATH_DEFAULT), OsString::as_os_str)
    }
}

/// A number of tokens, as in `CLAUDE_CODE_MAX_OUTPUT_TOKENS`, is a setting: were it redacted, so
/// would be each equal number in an agent's output.
fn is_secret(name: &str, value: &OsStr) -> bool {
    let is_count = name.to_ascii_uppercase().ends_with("_TOKENS")
        && value.as_bytes().iter().all(u8::is_ascii_digit);
    is_secret_name(name) && !is_count
}

fn read(source: &SecretSource) -> Result<OsString, String> {
    match source {
        SecretSource::Variable(name) => std::env::var_os(name)
            .ok_or_else(|| format!("the ledger's environment has no variable {name}")),
        SecretSource::File(path) => {
            let mut value = Vec::new();
            File::open(path)
                .and_then(|file| file.take(SECRET_MAX_BYTES + 1).read_to_end(&mut value))
                .map_err(|error| format!("file {path}: {error}"))?;
            if value.len() as u64 > SECRET_MAX_BYTES {
                return Err(format!("file {path}: longer than {SECRET_MAX_BYTES} bytes"));
            }
            if value.last() == Some(&b'\n') {
                value.pop();
            }
            if value.contains(&0) {
                return Err(format!("file {path}: contains a NUL byte"));
            }
            Ok(OsString::from_vec(value))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variable_is_secret_by_its_name_unless_it_counts_tokens() {
        for (name, value, expected) in [
            ("ANTHROPIC_API_KEY", "k", true),
            ("CLAUDE_CODE_OAUTH_TOKEN", "t", true),
            ("EXECUTION_LEDGER_KEY", "run", true),
            ("DATABASE_PASSWORD", "123456", true),
            ("SERVICE_TOKENS", "one,two", true),
            ("CLAUDE_CODE_MAX_OUTPUT_TOKENS", "200000", false),
            ("LANG", "C.UTF-8", false),
        ] {
            assert_eq!(is_secret(name, OsStr::new(value)), expected, "{name}");
        }
    }
}
