//! Checks of the agents: what they may do, and whether what their settings name is there.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use execution_ledger_domain::agent::Runtime;
use nix::unistd::User;
use serde::Deserialize as _;
use serde_json::Value;

use super::super::block_on;
use super::super::task::text;
use super::{Finding, system};
use crate::client::Client;

/// What is listed of the settings that can't work: entries, at most.
const LISTED_MAX: usize = 20;

/// What the agents may do and, where they run on this machine below `work_dir`, whether they can.
pub fn all(client: &Client, work_dir: Option<&Path>) -> Vec<Finding> {
    let answer = match block_on(async { Ok(client.get(&["api", "agents"], &[]).await?) }) {
        Ok(answer) => answer,
        Err(failure) => {
            let next = failure.hint().unwrap_or_default();
            return vec![Finding::warn("agents", failure.to_string(), next)];
        }
    };
    let agents = answer.get("agents").and_then(Value::as_array).into_iter().flatten();
    let real =
        |agent: &&Value| text(agent, "status") != "retired" && text(agent, "runtime") != "demo";
    let agents: Vec<&Value> = agents.filter(real).collect();
    let mut findings = vec![rights(&agents)];
    findings.extend(work_dir.map(|work_dir| settings(&agents, work_dir)));
    findings
}

/// Agents that have the ledger's own rights.
fn rights(agents: &[&Value]) -> Finding {
    const CHECK: &str = "agents' rights";
    let open: Vec<String> = agents
        .iter()
        .filter(|agent| agent.get("run_as").is_none_or(Value::is_null))
        .map(|agent| text(agent, "name"))
        .collect();
    if open.is_empty() {
        return Finding::ok(CHECK, "every agent has a system user of its own, or is simulated");
    }
    Finding::warn(
        CHECK,
        format!("agents without run_as have the ledger's rights: {}", open.join(", ")),
        "such an agent can read the keys and the log, and change them: give it a user of its own \
         with `execution-ledger agents configure NAME --run-as USER` (the server must be root's for \
         that), or run the ledger on a machine where that is acceptable",
    )
}

/// Programs, folders, secrets and users that are not there.
fn settings(agents: &[&Value], work_dir: &Path) -> Finding {
    const CHECK: &str = "agents' settings";
    let told = |agent: &&Value| {
        let name = text(agent, "name");
        faults(agent, work_dir).into_iter().map(move |fault| format!("{name}: {fault}"))
    };
    let faults: Vec<String> = agents.iter().flat_map(told).take(LISTED_MAX).collect();
    if faults.is_empty() {
        return Finding::ok(CHECK, "programs, folders, secrets and users are there");
    }
    Finding::warn(
        CHECK,
        faults.join("; "),
        "runs of these agents will fail: make what is missing, or correct the settings with \
         `execution-ledger agents configure NAME`",
    )
}

/// What of one agent's settings can't work on this machine.
fn faults(agent: &Value, work_dir: &Path) -> Vec<String> {
    let mut faults = Vec::new();
    let cwd = agent.get("cwd").and_then(Value::as_str).map(PathBuf::from);
    if let Some(cwd) = cwd.as_ref().filter(|cwd| !cwd.is_dir()) {
        faults.push(format!("its cwd {} is no folder", cwd.display()));
    }
    let place = cwd.as_deref().unwrap_or(work_dir);
    faults.extend(program_fault(agent, place));
    for place in agent.get("env_from").and_then(Value::as_object).into_iter().flatten() {
        let (name, file) = (place.0, place.1.get("file").and_then(Value::as_str));
        if let Some(file) = file.filter(|file| !Path::new(file).is_file()) {
            faults.push(format!("the file {file} of its secret {name} is not there"));
        }
    }
    if let Some(user) = agent.get("run_as").and_then(Value::as_str) {
        faults.extend(user_fault(user, place));
    }
    faults
}

fn program_fault(agent: &Value, place: &Path) -> Option<String> {
    let given = agent.pointer("/command/0").and_then(Value::as_str);
    let runtime: Option<Runtime> =
        agent.get("runtime").and_then(|runtime| Runtime::deserialize(runtime).ok());
    let program = given.or_else(|| runtime?.program())?;
    let path = agent.pointer("/env/PATH").and_then(Value::as_str).map(Into::into);
    let found = if program.contains('/') {
        system::is_executable(&place.join(program))
    } else {
        let path = path.or_else(|| std::env::var_os("PATH"));
        path.is_some_and(|path| system::on(&path, program).is_some())
    };
    (!found).then(|| format!("its program {program} is not there or can't be executed"))
}

/// Whether that user can enter the folder in which its runs work.
fn user_fault(name: &str, place: &Path) -> Option<String> {
    let Ok(Some(user)) = User::from_name(name) else {
        return Some(format!("its user {name} does not exist"));
    };
    let groups = std::ffi::CString::new(user.name.as_str())
        .ok()
        .and_then(|name| nix::unistd::getgrouplist(&name, user.gid).ok())
        .unwrap_or_else(|| vec![user.gid]);
    let groups: Vec<u32> = groups.into_iter().map(nix::unistd::Gid::as_raw).collect();
    let closed = closed_folder(place, user.uid.as_raw(), &groups)?;
    Some(format!("its user {name} can't enter {}", closed.display()))
}

/// The first folder on the way to `place` that this user can't pass; what is not there yet is
/// made so that it can.
fn closed_folder<'a>(place: &'a Path, user: u32, groups: &[u32]) -> Option<&'a Path> {
    if user == 0 {
        return None;
    }
    let mut way: Vec<&Path> = place.ancestors().collect();
    way.reverse();
    way.into_iter().find(|folder| {
        fs::metadata(folder).is_ok_and(|found| {
            let bit = match (found.uid() == user, groups.contains(&found.gid())) {
                (true, _) => 0o100,
                (_, true) => 0o010,
                _ => 0o001,
            };
            found.permissions().mode() & bit == 0
        })
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_an_agents_settings_name_and_is_not_there_is_told() {
        let temp = tempfile::tempdir().expect("a folder");
        let good = json!({"name": "g", "runtime": "command", "command": ["sh", "-c", "true"],
            "cwd": temp.path(), "env_from": {"T": {"variable": "X"}}, "run_as": null});
        assert_eq!(faults(&good, temp.path()), Vec::<String>::new());
        let bad = json!({"name": "b", "runtime": "command", "command": ["./no-program"],
            "cwd": "/no/folder", "env_from": {"T": {"file": "/no/secret"}},
            "run_as": "no-such-user"});
        let told = faults(&bad, temp.path());
        for (part, fault) in
            ["/no/folder", "no-program", "/no/secret", "no-such-user"].iter().zip(&told)
        {
            assert!(fault.contains(part), "{told:?}");
        }
        assert_eq!(told.len(), 4, "{told:?}");
        let codex = json!({"name": "c", "runtime": "codex", "command": [], "run_as": null,
            "env": {"PATH": temp.path()}});
        let told = faults(&codex, temp.path());
        assert_eq!(told, ["its program codex is not there or can't be executed"]);
    }

    #[test]
    fn a_folder_that_a_user_can_not_pass_is_found_on_the_way() {
        let temp = tempfile::tempdir().expect("a folder");
        let (closed, inner) = (temp.path().join("closed"), temp.path().join("closed/inner"));
        fs::create_dir_all(&inner).expect("made");
        let set = |path: &Path, mode| {
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("set");
        };
        set(temp.path(), 0o711);
        set(&closed, 0o710);
        let (stranger, own_group) = (u32::MAX - 7, fs::metadata(&closed).expect("found").gid());
        assert_eq!(closed_folder(&inner, stranger, &[]), Some(closed.as_path()));
        assert_eq!(closed_folder(&inner, stranger, &[own_group]), None);
        assert_eq!(closed_folder(&inner, 0, &[]), None);
        assert_eq!(closed_folder(temp.path(), stranger, &[]), None);
    }
}
