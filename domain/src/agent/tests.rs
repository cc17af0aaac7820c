//! The rules of an agent's life and the limits of its settings.

use super::*;
use crate::given::given;

fn config() -> AgentConfig {
    AgentConfig::of(Runtime::Command, vec!["/bin/cat".to_owned()])
}

fn registered() -> AgentEvent {
    AgentEvent::Registered(Box::new(Registered { config: config() }))
}

fn register(config: AgentConfig) -> Command {
    Command::Register(Box::new(config))
}

#[test]
fn a_name_is_registered_once_until_it_is_retired() {
    given::<Agent>([]).when(register(config())).then([registered()]);
    given::<Agent>([registered()])
        .when(register(config()))
        .then_refused(&Rejection::AlreadyRegistered);
    given::<Agent>([registered(), AgentEvent::Retired(Retired {})])
        .when(register(config()))
        .then([registered()]);
}

#[test]
fn settings_are_replaced_as_a_whole_and_only_where_they_differ() {
    let changed = AgentConfig { timeout_s: 5, ..config() };
    let configured = AgentEvent::Configured(Box::new(Configured { config: changed.clone() }));
    let configure = |config: &AgentConfig| Command::Configure(Box::new(config.clone()));
    given::<Agent>([registered()]).when(configure(&changed)).then([configured.clone()]);
    given::<Agent>([registered(), configured]).when(configure(&changed)).then([]);
    given::<Agent>([]).when(configure(&changed)).then_refused(&Rejection::NotFound);
}

#[test]
fn pausing_resuming_and_retiring_twice_is_already_so() {
    let (paused, resumed) = (AgentEvent::Paused(Paused {}), AgentEvent::Resumed(Resumed {}));
    let retired = || AgentEvent::Retired(Retired {});
    given::<Agent>([registered()]).when(Command::Pause).then([paused.clone()]);
    given::<Agent>([registered(), paused.clone()]).when(Command::Pause).then([]);
    given::<Agent>([registered(), paused]).when(Command::Resume).then([resumed]);
    given::<Agent>([registered()]).when(Command::Resume).then([]);
    given::<Agent>([registered()]).when(Command::Retire).then([retired()]);
    given::<Agent>([registered(), retired()]).when(Command::Retire).then([]);
    given::<Agent>([registered(), retired()])
        .when(Command::Pause)
        .then_refused(&Rejection::Retired);
    for command in [Command::Pause, Command::Resume, Command::Retire] {
        given::<Agent>([]).when(command).then_refused(&Rejection::NotFound);
    }
}

#[test]
fn a_setting_that_the_program_has_no_means_to_keep_is_refused() {
    let all = |runtime| AgentConfig {
        allowed_tools: Some(vec!["read".to_owned()]),
        max_turns: Some(3),
        allow_system_prompt: true,
        ..AgentConfig::of(runtime, vec![])
    };
    assert_eq!(all(Runtime::ClaudeCode).check(), Ok(()));
    let refused = |config: &AgentConfig| config.check().expect_err("refused").field;
    let mut codex = all(Runtime::Codex);
    assert_eq!(refused(&codex), "allowed_tools");
    codex.allowed_tools = None;
    assert_eq!(refused(&codex), "max_turns");
    codex.max_turns = None;
    assert_eq!(codex.check(), Ok(()));
    let mut gemini = AgentConfig { runtime: Runtime::Gemini, ..codex };
    assert_eq!(refused(&gemini), "allow_system_prompt");
    gemini.allow_system_prompt = false;
    assert_eq!(gemini.check(), Ok(()));
    let mut opencode = all(Runtime::Opencode);
    (opencode.max_turns, opencode.allow_system_prompt) = (None, false);
    assert_eq!(opencode.check(), Ok(()));
    opencode.env_allow.insert(Runtime::OPENCODE_PERMISSION.to_owned());
    assert_eq!(refused(&opencode), "env");
}

type Break = Box<dyn Fn(&mut AgentConfig)>;

#[test]
fn each_setting_beyond_its_limit_is_refused_by_its_name() {
    let many = |text: &str| vec![text.to_owned(); 257];
    let cases: Vec<(&str, Break)> = vec![
        ("command", Box::new(|c| c.command.clear())),
        ("command", Box::new(|c| c.command = vec![String::new()])),
        ("command", Box::new(|c| c.command = vec!["a\0b".to_owned()])),
        ("command", Box::new(move |c| c.command = many("x"))),
        ("command", Box::new(|c| c.command = vec!["x".repeat(8 * 1024 + 1)])),
        ("cwd", Box::new(|c| c.cwd = Some("relative".to_owned()))),
        ("cwd", Box::new(|c| c.cwd = Some(String::new()))),
        ("run_as", Box::new(|c| c.run_as = Some(String::new()))),
        ("max_parallel_tasks", Box::new(|c| c.max_parallel_tasks = 0)),
        ("max_parallel_tasks", Box::new(|c| c.max_parallel_tasks = 1_001)),
        ("timeout_s", Box::new(|c| c.timeout_s = 0)),
        ("timeout_s", Box::new(|c| c.timeout_s = 604_801)),
        ("queue_limit", Box::new(|c| c.queue_limit = 1_000_001)),
        ("grace_s", Box::new(|c| c.grace_s = 301)),
        ("max_turns", Box::new(|c| c.max_turns = Some(0))),
        ("memory_max_bytes", Box::new(|c| c.memory_max_bytes = Some(1))),
        ("max_cost_usd", Box::new(|c| c.max_cost_nano_usd = Some(crate::NanoUsd::ZERO))),
        ("models", Box::new(|c| c.models = vec!["--dangerous".to_owned()])),
        ("allowed_tools", Box::new(|c| c.allowed_tools = Some(vec![String::new()]))),
        ("env", Box::new(|c| drop(c.env.insert("A=B".to_owned(), String::new())))),
        ("env", Box::new(|c| drop(c.env.insert("MY_API_KEY".to_owned(), "x".to_owned())))),
        (
            "env",
            Box::new(|c| drop(c.env.insert("EXECUTION_LEDGER_KEY".to_owned(), "x".to_owned()))),
        ),
        ("env_allow", Box::new(|c| c.env_allow.extend(["1X".to_owned()]))),
        (
            "env_from",
            Box::new(|c| {
                let file = SecretSource::File("not/absolute".to_owned());
                drop(c.env_from.insert("TOKEN".to_owned(), file));
            }),
        ),
    ];
    for (field, break_it) in cases {
        let mut config = config();
        break_it(&mut config);
        let refused = config.check().expect_err(field);
        assert_eq!(refused.field, field, "{refused}");
        given::<Agent>([]).when(register(config)).then_refused(&Rejection::Config(refused));
    }
}
