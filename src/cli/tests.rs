//! What the command line understands, and how it ends.

use clap::CommandFactory;
use clap::error::ErrorKind;

use super::*;

fn parse(arguments: &str) -> Result<Cli, clap::Error> {
    let words = std::iter::once("execution-ledger").chain(arguments.split_whitespace());
    Cli::try_parse_from(words)
}

#[test]
fn the_command_line_is_well_formed() {
    Cli::command().debug_assert();
}

#[test]
fn every_command_is_understood() {
    let id = "01936b2e-7a3c-7000-8000-000000000001";
    for arguments in [
        "serve --listen 127.0.0.1:0 --drain --data-dir /tmp/x --max-parallel-total 4",
        "serve --min-free-bytes 1GiB --metrics false",
        "run demo hello --model m --timeout-s 5 --max-cost-usd 0.5 --detach",
        "run demo -",
        "list --agent demo --status failed --sort=-cost --limit 3 --as-of 2026-01-01T00:00:00Z",
        "ls -n 200 --json",
        &format!("show {id} --events"),
        &format!("tail {id} --after 3 --raw"),
        &format!("cancel {id} {id}"),
        "cancel --agent demo --status pending --search 'a*' --dry-run",
        "cancel --all --limit 5",
        "cancel --model m",
        &format!("retry {id} --follow"),
        "queue",
        "queue demo --json",
        &format!("queue --to-front {id}"),
        "agents list",
        "agents show demo",
        "agents register a --runtime command --env A=b --env-from T=file:/t -- /bin/echo -n hi",
        "agents configure a --file - --max-parallel-tasks 2 --allow-system-prompt",
        "agents pause a",
        "agents resume a",
        "agents retire a",
        "sessions",
        "sessions list --agent demo --status open --user ada",
        &format!("sessions open demo --from {id}"),
        &format!("sessions show {id} -n 5"),
        &format!("sessions post {id} hello --model m --detach"),
        &format!("sessions post {id} -"),
        &format!("sessions post {id} hello --max-turns 2 --allowed-tools Read,Bash"),
        "schedules create demo hello --cron @daily --timeout-s 5 --system-prompt brief",
        &format!("sessions close {id} {id}"),
        "payments",
        &format!("payments show {} --as-of 2026-11-21T09:30:00Z", "ab".repeat(32)),
        "payments list --status settlement_unknown --agent a --payer 0xab --json",
        &format!("payments resolve {} settled --transaction 0xab --reason seen", "ab".repeat(32)),
        "costs feed --after log-7 --format csv --follow",
        "budgets",
        "budgets list --as-of 2026-11-21T09:30:00Z",
        "budgets show agent-demo --json",
        "budgets set global --day 20 --month 300 --execution 2",
        "budgets set user-ada --day 0",
        "budgets lift agent-demo user-ada",
        "keys",
        "keys list --role user --user ada --in-use",
        "keys issue ada --role user --may-call a,b",
        "keys issue bot --role agent --agent a --json",
        &format!("keys show {id}"),
        &format!("keys revoke {id} {id}"),
        "keys me",
        "notary",
        "notary keys --json",
        "notary rotate",
        "prove --consistency march.txt --to grown.json",
        "verify --proof grown.json --checkpoint march.txt",
        "webhooks",
        "webhooks list --enabled --json",
        "webhooks register Billing https://example.org/hook --kind run_cost,cost_corrected --disabled",
        &format!("webhooks show {id} --as-of 2026-11-21T09:30:00Z"),
        &format!(
            "webhooks change {id} --name x --address https://example.org --kind execution.failed --enable"
        ),
        &format!("webhooks rotate {id}"),
        &format!("webhooks test {id}"),
        &format!("webhooks messages {id} --state pending -n 5"),
        &format!("webhooks dead {id}"),
        &format!("webhooks redrive {id} --all"),
        &format!("webhooks redrive {id} --event {id} --kind run_cost"),
        &format!("webhooks delete {id}"),
        "verify --proof p.json",
        &format!("prove {id} --to p.json"),
        "verify --checkpoint a.txt --checkpoint b.txt --skip-read-models --json",
        "costs --by model --from 2026-01-01T00:00:00Z",
        "rebuild --data-dir /tmp/x",
        "backup /tmp/y",
        "restore /tmp/y --data-dir /tmp/z",
        "export",
        "export --format csv --stream agent- --type agent.paused -o /tmp/x.csv",
        "export --from 2026-01-01T00:00:00Z --to 2026-02-01T00:00:00Z",
        "import /tmp/x.ndjson --data-dir /tmp/z",
        &format!("replay execution {id} --at abc-3 --json"),
        &format!("replay session {id} --at 2026-01-01T00:00:00Z --state"),
        "replay agent demo",
        "replay executions --agent demo -n 3",
        &format!("diff {id} {id} --at abc-3"),
        "diff --at abc-3 --at abc-9 --agent demo",
        "doctor --json --url http://127.0.0.1:1",
        "completions zsh",
    ] {
        assert!(parse(arguments).is_ok(), "{arguments}: {:?}", parse(arguments).err());
    }
}

#[test]
fn what_can_not_be_meant_is_refused_before_anything_is_asked() {
    for arguments in [
        "",
        "list --limit 0",
        "list --unknown x",
        "list --status odd",
        "list --trigger odd",
        "list --sort odd",
        "show not-an-id",
        "show ../x",
        "run UPPER hello",
        "cancel",
        "cancel 01936b2e-7a3c-7000-8000-000000000001 --model m",
        "cancel 01936b2e-7a3c-7000-8000-000000000001 --all",
        "list --json --table",
        "serve --max-parallel-total 1",
        "serve --listen nowhere",
        "costs --by colour",
        "budgets set global",
        "budgets set everything --day 1",
        "budgets set global --day -1",
        "budgets set global --day inf",
        "budgets lift",
        "prove",
        "notary rotate now",
        "export --type execution.invented",
        "export --format xml",
        "import",
        "replay",
        "replay execution ../x",
        "replay agent demo --at yesterday",
        "replay executions -n 0",
        "diff",
        "diff 01936b2e-7a3c-7000-8000-000000000001",
        "supervise x",
    ] {
        let error = parse(arguments).expect_err(arguments);
        assert_eq!(error.exit_code(), i32::from(Exit::Usage.code()), "{arguments}");
    }
}

#[test]
fn a_wrong_setting_is_named() {
    let error = parse("serve --sync-wait-s never").expect_err("refused").to_string();
    assert!(error.contains("--sync-wait-s") && error.contains("1 to 86400"), "{error}");
}

#[test]
fn help_tells_settings_with_variables_examples_and_exit_codes() {
    let help = |arguments: &str| {
        let error = parse(arguments).expect_err("help");
        assert_eq!(error.kind(), ErrorKind::DisplayHelp);
        error.to_string()
    };
    let top = help("--help");
    for part in ["Examples:", "Exit codes:", "130", "serve", "doctor", "EXECUTION_LEDGER_URL"] {
        assert!(top.contains(part), "{part} in {top}");
    }
    for hidden in ["supervise", "demo-agent"] {
        assert!(!top.contains(hidden), "{hidden} in {top}");
    }
    let serve = help("serve --help");
    assert!(serve.contains("EXECUTION_LEDGER_TRANSCRIPTS_KEEP_DAYS"), "{serve}");
    assert!(serve.contains("[default: 67108864 = 64 MiB]"), "{serve}");
    assert!(serve.contains("[16 to 100000] [default: 4096]"), "{serve}");
}

#[test]
fn every_command_has_a_summary_and_a_help_that_fits_and_leaks_nothing() {
    fn check(command: &clap::Command, path: &str) {
        let path = format!("{path} {}", command.get_name());
        assert!(command.get_about().is_some(), "{path} has no summary");
        let after = [command.get_after_help(), command.get_after_long_help()];
        for line in after
            .into_iter()
            .flatten()
            .flat_map(|help| help.to_string().lines().map(str::to_owned).collect::<Vec<_>>())
        {
            assert!(line.chars().count() <= 80, "{path}: wider than a terminal: {line}");
        }
        for argument in command.get_arguments() {
            let hidden = argument.get_env().is_none() || argument.is_hide_env_values_set();
            assert!(hidden, "{path}: {} would show its variable's value", argument.get_id());
            assert!(argument.get_help().is_some(), "{path}: {}", argument.get_id());
        }
        command.get_subcommands().for_each(|inner| check(inner, &path));
    }
    check(&Cli::command(), "");
}

#[test]
fn exit_codes_are_those_that_the_help_tells() {
    let all = [
        Exit::Success,
        Exit::Failed,
        Exit::Usage,
        Exit::Unreachable,
        Exit::NotFound,
        Exit::Cancelled,
    ];
    let told: Vec<u8> = EXIT_CODES
        .lines()
        .filter_map(|line| line.split_whitespace().next()?.parse().ok())
        .collect();
    assert_eq!(told, all.map(Exit::code));
}
