//! Why the server could not be asked, or what it said against it.

use std::path::PathBuf;

use serde_json::Value;

use crate::cli::Exit;

/// The longest text of an answer that is no problem document and is still shown, in characters.
const EXCERPT_MAX: usize = 200;

/// Why a request was not done.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// No server runs on the data directory.
    #[error("no server runs on the data directory {data_dir}")]
    NoServer {
        /// Which data directory.
        data_dir: PathBuf,
    },
    /// There is no data directory, and no server was named.
    #[error("no server was named, and there is no data directory to find one by")]
    NoPlace,
    /// The key can't be used.
    #[error("the key: {0}")]
    Key(String),
    /// The certificate to trust can't be used.
    #[error("the certificate {path}: {why}")]
    Certificate {
        /// Which file.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// What was given does not make a client.
    #[error("{0}")]
    Setup(String),
    /// Nobody answers.
    #[error("the server at {url} can't be reached: {why}")]
    Unreachable {
        /// Its address.
        url: String,
        /// Why.
        why: String,
    },
    /// The connection broke in the middle.
    #[error("the server's answer broke off: {0}")]
    Interrupted(String),
    /// It answered something that this program does not understand.
    #[error("the server is not understood: {0}")]
    Unexpected(String),
    /// It refused.
    #[error("{0}")]
    Refused(Box<Problem>),
}

/// What the server said against a request: RFC 9457.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The HTTP status.
    pub status: u16,
    /// The stable code, where one was given.
    pub code: Option<String>,
    /// What is the matter, in short.
    pub title: String,
    /// What is the matter this time.
    pub detail: Option<String>,
    /// The field or parameter that is meant.
    pub field: Option<String>,
    /// What the server advises.
    pub hint: Option<String>,
    /// After how many seconds it is worth trying again.
    pub retry_after_s: Option<u64>,
}

/// Whether two sentences say the same.
fn same(one: &str, other: &str) -> bool {
    let bare = |text: &str| text.trim().trim_end_matches('.').to_lowercase();
    bare(one) == bare(other)
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.title)?;
        // Some refusals have nothing to add to their title.
        if let Some(detail) = self.detail.as_ref().filter(|detail| !same(detail, &self.title)) {
            write!(f, ": {detail}")?;
        }
        if let Some(field) = &self.field {
            write!(f, " (field {field})")?;
        }
        match &self.code {
            Some(code) => write!(f, " [{code}]"),
            None => write!(f, " [HTTP {}]", self.status),
        }
    }
}

impl Problem {
    /// From an answer's body; one that is no problem document still gives a problem.
    pub fn from_answer(status: u16, retry_after_s: Option<u64>, body: &[u8]) -> Self {
        let document: Option<Value> = serde_json::from_slice(body).ok().filter(Value::is_object);
        let text = |name: &str| {
            document.as_ref()?.get(name)?.as_str().map(str::to_owned).filter(|t| !t.is_empty())
        };
        let excerpt = || {
            let text = String::from_utf8_lossy(body);
            let excerpt: String = text.trim().chars().take(EXCERPT_MAX).collect();
            Some(excerpt).filter(|excerpt| document.is_none() && !excerpt.is_empty())
        };
        Self {
            status,
            code: text("code"),
            title: text("title").unwrap_or_else(|| "the server refused".to_owned()),
            detail: text("detail").or_else(excerpt),
            field: text("field"),
            hint: text("hint"),
            retry_after_s,
        }
    }

    /// What to do next, in commands where there is one; else what the server advises.
    fn advice(&self) -> Option<String> {
        let code = self.code.as_deref().unwrap_or_default();
        let advice = match code {
            "unauthorized" => {
                "give the key by EXECUTION_LEDGER_KEY or --key-file; the administrator's lies in \
                 admin.key of the server's data directory"
            }
            "agent_not_found" => "`execution-ledger agents list` shows the agents",
            "execution_not_found" => "`execution-ledger list` shows the executions",
            "agent_exists" => "`execution-ledger agents configure NAME` changes its settings",
            "agent_retired" => "`execution-ledger agents register NAME` registers the name again",
            "still_running" => "`execution-ledger tail EXECUTION` follows it",
            "queue_full" => {
                "wait, or give the agent more slots or a longer queue with `execution-ledger agents \
                 configure`"
            }
            "not_ready" => {
                "the server has just started; `execution-ledger doctor` shows how far it is"
            }
            "disk_full" => {
                "make room, then try again; `execution-ledger doctor` shows how much is free"
            }
            "internal" => "the server's log says why; `execution-ledger doctor` may, too",
            "host_not_allowed" => "name this host in the server's setting allowed_hosts",
            _ => return self.hint.clone().filter(|hint| !hint.contains("/api/")),
        };
        Some(advice.to_owned())
    }
}

impl ClientError {
    /// The exit code.
    pub fn exit(&self) -> Exit {
        match self {
            Self::NoServer { .. } | Self::Unreachable { .. } | Self::Interrupted(_) => {
                Exit::Unreachable
            }
            Self::NoPlace | Self::Key(_) | Self::Certificate { .. } | Self::Setup(_) => Exit::Usage,
            Self::Refused(problem) if problem.status == 404 => Exit::NotFound,
            Self::Unexpected(_) | Self::Refused(_) => Exit::Failed,
        }
    }

    /// What to do next, where that can be said.
    pub fn hint(&self) -> Option<String> {
        let fixed = |text: &str| Some(text.to_owned());
        match self {
            Self::NoServer { .. } => fixed(
                "start one with `execution-ledger serve`, or name one by --url or EXECUTION_LEDGER_URL",
            ),
            Self::NoPlace => fixed("give --url, or --data-dir"),
            Self::Unreachable { why, .. } if why.contains("certificate") => fixed(
                "name a certificate that is to be trusted by --ca-file or EXECUTION_LEDGER_CA_FILE",
            ),
            Self::Unreachable { .. } => fixed(
                "is it running? `execution-ledger serve` starts it; `execution-ledger doctor` checks",
            ),
            Self::Key(_) => fixed("give the key by EXECUTION_LEDGER_KEY or --key-file"),
            Self::Refused(problem) => {
                let wait = problem.retry_after_s.map(|s| format!("try again in {s} s"));
                let advice = problem.advice();
                match (advice, wait) {
                    (Some(advice), Some(wait)) => Some(format!("{advice}; {wait}")),
                    (advice, wait) => advice.or(wait),
                }
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_told_with_its_title_detail_field_and_code() {
        let body = br#"{"title":"The agent's queue is full","detail":"50 wait","code":"queue_full",
            "field":"x"}"#;
        let problem = Problem::from_answer(429, Some(7), body);
        assert_eq!(
            problem.to_string(),
            "The agent's queue is full: 50 wait (field x) [queue_full]"
        );
        let hint = ClientError::Refused(Box::new(problem)).hint().expect("a hint");
        assert!(hint.ends_with("try again in 7 s"), "{hint}");
    }

    #[test]
    fn what_to_do_next_is_said_in_commands_and_nothing_is_said_twice() {
        let body = br#"{"title":"There is such an agent","detail":"there is such an agent.",
            "code":"agent_exists","hint":"PUT /api/agents/{name} changes its settings"}"#;
        let problem = Problem::from_answer(409, None, body);
        assert_eq!(problem.to_string(), "There is such an agent [agent_exists]");
        let hint = |problem: Problem| ClientError::Refused(Box::new(problem)).hint();
        let told = hint(problem).expect("a hint");
        assert!(told.contains("execution-ledger agents configure NAME"), "{told}");
        let other = br#"{"title":"t","code":"new_code","hint":"do this"}"#;
        assert_eq!(hint(Problem::from_answer(409, None, other)).as_deref(), Some("do this"));
        let route = br#"{"title":"t","code":"new_code","hint":"GET /api/x"}"#;
        assert_eq!(hint(Problem::from_answer(409, None, route)), None);
    }

    #[test]
    fn an_answer_of_something_else_is_still_told() {
        let problem = Problem::from_answer(502, None, b"<html>Bad Gateway</html>");
        assert_eq!(problem.to_string(), "the server refused: <html>Bad Gateway</html> [HTTP 502]");
    }

    #[test]
    fn exit_codes_tell_unreachable_from_not_found_from_refused() {
        let refused =
            |status| ClientError::Refused(Box::new(Problem::from_answer(status, None, b"")));
        let unreachable =
            ClientError::Unreachable { url: "u".to_owned(), why: "refused".to_owned() };
        assert_eq!(unreachable.exit(), Exit::Unreachable);
        assert_eq!(refused(404).exit(), Exit::NotFound);
        assert_eq!(refused(422).exit(), Exit::Failed);
        assert_eq!(ClientError::Key(String::new()).exit(), Exit::Usage);
    }
}
