//! Which source wins, and what is refused.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::{Args, FromArgMatches};

use super::settings::{SETTING_DOCS, default_text, documented_defaults};
use super::*;

/// A home of its own for a test.
struct Home(tempfile::TempDir);

impl Home {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a folder"))
    }

    fn places(&self) -> Places {
        Places { home: Some(self.0.path().to_owned()), ..Places::default() }
    }

    fn data_dir(&self) -> PathBuf {
        self.0.path().join("data")
    }

    fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.path().join(name);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        std::fs::write(&path, text).expect("written");
        path
    }

    fn load(&self, config: Option<PathBuf>, flags: &[&str]) -> Result<Settings, ConfigError> {
        let sources =
            Sources { data_dir: Some(self.data_dir()), config, overrides: overrides(flags) };
        Settings::load(&sources, &self.places())
    }

    fn refusal(&self, text: &str, flags: &[&str]) -> String {
        let file = self.file("refused.toml", text);
        self.load(Some(file), flags).expect_err("refused").to_string()
    }
}

fn overrides(flags: &[&str]) -> Overrides {
    let command = Overrides::augment_args(clap::Command::new("x"));
    let arguments = std::iter::once("x").chain(flags.iter().copied());
    let matches = command.try_get_matches_from(arguments).expect("good flags");
    Overrides::from_arg_matches(&matches).expect("good flags")
}

#[test]
fn a_flag_wins_over_the_file_and_the_file_over_the_default() {
    let home = Home::new();
    let file = home.file("c.toml", "max_parallel_total = 8\nsync_wait_s = 5\n");
    let settings = home.load(Some(file), &["--sync-wait-s", "7"]).expect("settings");
    assert_eq!(settings.sync_wait_s.get(), 7);
    assert_eq!(settings.max_parallel_total.get(), 8);
    assert_eq!(settings.rate_per_s.get(), 50_000);
    assert_eq!(settings.data_dir, home.data_dir());
}

#[test]
fn the_file_is_found_in_the_data_directory_and_else_in_the_users_configuration() {
    let home = Home::new();
    home.file(".config/execution-ledger/config.toml", "sync_wait_s = 1\n");
    assert_eq!(home.load(None, &[]).expect("settings").sync_wait_s.get(), 1);
    home.file("data/config.toml", "sync_wait_s = 2\n");
    assert_eq!(home.load(None, &[]).expect("settings").sync_wait_s.get(), 2);
}

#[test]
fn the_directories_follow_the_xdg_specification() {
    let home = Home::new();
    let root = home.0.path();
    let at_home = Settings::load(&Sources::default(), &home.places()).expect("settings");
    assert_eq!(at_home.data_dir, root.join(".local/share/execution-ledger"));
    assert_eq!(at_home.work_dir, root.join(".local/state/execution-ledger/work"));

    let elsewhere = Places { data_home: Some(root.join("d")), ..home.places() };
    let settings = Settings::load(&Sources::default(), &elsewhere).expect("settings");
    assert_eq!(settings.data_dir, root.join("d/execution-ledger"));

    let root_user = Places { is_root: true, ..Places::default() };
    let settings = Settings::load(&Sources::default(), &root_user).expect("settings");
    assert_eq!(settings.data_dir, Path::new("/var/lib/execution-ledger"));

    let nobody = Settings::load(&Sources::default(), &Places::default());
    assert!(matches!(nobody, Err(ConfigError::NoPlace)));
}

#[test]
fn an_unknown_setting_is_refused_by_its_name_and_file() {
    let error = Home::new().refusal("max_paralel = 3\n", &[]);
    assert!(error.contains("max_paralel") && error.contains("refused.toml"), "{error}");
}

#[test]
fn a_value_out_of_its_range_is_refused_with_the_range() {
    let home = Home::new();
    for (text, name, part) in [
        ("max_parallel_total = 1\n", "max_parallel_total", "2 to 10000"),
        ("min_free_bytes = \"1 parsec\"\n", "min_free_bytes", "1 MiB to 1 PiB"),
        ("listen = \"nowhere\"\n", "listen", "address:port"),
        ("metrics = 3\n", "metrics", "bool"),
        ("log_format = \"xml\"\n", "log_format", "text nor json"),
        ("log_level = \"a=b=c\"\n", "log_level", "log filter"),
        ("trusted_proxies = [\"10.0.0.0/99\"]\n", "trusted_proxies", "no network"),
        ("allowed_hosts = \"a.example:80\"\n", "allowed_hosts", "no port"),
        ("public_url = \"ftp://x\"\n", "public_url", "http://"),
    ] {
        let error = home.refusal(text, &[]);
        assert!(error.contains(name) && error.contains(part), "{text}: {error}");
    }
}

#[test]
fn a_broken_file_is_refused_with_its_name() {
    let error = Home::new().refusal("a = = b", &[]);
    assert!(error.contains("refused.toml"), "{error}");
}

#[test]
fn a_file_that_was_named_must_be_there() {
    let home = Home::new();
    let error = home.load(Some(home.0.path().join("none.toml")), &[]).expect_err("refused");
    assert!(error.to_string().contains("none.toml"), "{error}");
}

#[test]
fn sizes_can_have_units_and_lists_commas() {
    let home = Home::new();
    let flags = ["--min-free-bytes", "2GiB", "--trusted-proxies", "10.0.0.1, 192.168.0.0/16"];
    let settings = home.load(None, &flags).expect("settings");
    assert_eq!(settings.min_free_bytes.get(), 2 << 30);
    let proxies: Vec<_> =
        settings.trusted_proxies.entries().iter().map(ToString::to_string).collect();
    assert_eq!(proxies, ["10.0.0.1/32", "192.168.0.0/16"]);
}

#[test]
fn another_address_than_loopback_needs_tls_or_a_trusted_proxy() {
    let home = Home::new();
    let open = ["--listen", "0.0.0.0:7171"];
    let error = home.load(None, &open).expect_err("refused").to_string();
    for part in ["listen", "0.0.0.0:7171", "tls_certificate", "trusted_proxies"] {
        assert!(error.contains(part), "{error}");
    }
    let tls = ["--tls-certificate", "c.pem", "--tls-key", "k.pem"];
    assert!(home.load(None, &[&open[..], &tls[..]].concat()).is_ok());
    assert!(home.load(None, &[&open[..], &["--trusted-proxies", "10.0.0.1"]].concat()).is_ok());
    assert!(home.load(None, &["--listen", "[::1]:0"]).is_ok());
    let half = home.load(None, &tls[..2]).expect_err("refused").to_string();
    assert!(half.contains("belong together"), "{half}");
}

#[test]
fn agents_never_work_inside_the_data_directory_nor_it_inside_theirs() {
    let home = Home::new();
    for work in [home.data_dir().join("work"), home.0.path().to_owned()] {
        let work = work.to_str().expect("text");
        let error = home.load(None, &["--work-dir", work]).expect_err("refused").to_string();
        assert!(error.contains("work_dir"), "{error}");
    }
}

#[test]
fn a_file_in_a_data_directory_cannot_lead_to_another() {
    let home = Home::new();
    home.file(".local/share/execution-ledger/config.toml", "data_dir = \"/elsewhere\"\n");
    let error = Settings::load(&Sources::default(), &home.places()).expect_err("refused");
    assert!(error.to_string().contains("data_dir"), "{error}");
}

#[test]
fn a_variable_with_our_prefix_and_no_meaning_is_refused() {
    let check = |name: &str| refuse_unknown_variables([OsString::from(name)].into_iter());
    let error = check("EXECUTION_LEDGER_LISTN").expect_err("refused").to_string();
    assert!(error.contains("EXECUTION_LEDGER_LISTN"), "{error}");
    for good in ["EXECUTION_LEDGER_LISTEN", "EXECUTION_LEDGER_KEY", "PATH", "EXECUTION"] {
        assert!(check(good).is_ok(), "{good}");
    }
}

#[test]
fn every_setting_is_named_like_its_variable_and_its_flag() {
    let command = Overrides::augment_args(clap::Command::new("x"));
    let defaults = documented_defaults();
    assert_eq!(defaults.as_object().expect("an object").len(), SETTING_DOCS.len() + 1);
    for setting in SETTING_DOCS {
        let variable = format!("{VARIABLE_PREFIX}{}", setting.name.to_ascii_uppercase());
        assert_eq!(setting.variable, variable);
        let flag = setting.name.replace('_', "-");
        let argument = command.get_arguments().find(|arg| arg.get_long() == Some(&flag));
        let help = argument.expect("a flag").get_help().expect("a help").to_string();
        assert!(help.contains(setting.meaning.trim()), "{flag}: {help}");
    }
}

/// The settings as the table of the documentation.
fn table() -> String {
    let defaults = documented_defaults();
    let mut table =
        String::from("| setting | default | may be | what it does |\n|---|---|---|---|\n");
    table.push_str("| `data_dir` | `$XDG_DATA_HOME/execution-ledger` | path | Where everything that must last is kept. |\n");
    for setting in SETTING_DOCS {
        let default = default_text(&defaults, setting.name)
            .map_or_else(|| "none".to_owned(), |text| format!("`{text}`"));
        let (name, range) = (setting.name, (setting.range)());
        let meaning = setting.meaning.trim();
        table = format!("{table}| `{name}` | {default} | {range} | {meaning} |\n");
    }
    table
}

#[test]
fn the_documentation_lists_every_setting_as_it_is() {
    const BEGIN: &str = "<!-- settings: begin, written by the test that checks it -->\n";
    const END: &str = "<!-- settings: end -->";
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/OPERATIONS.md");
    let guide = std::fs::read_to_string(&path).expect("docs/OPERATIONS.md");
    let begin = guide.find(BEGIN).expect("the mark before the table") + BEGIN.len();
    let end = guide.find(END).expect("the mark behind the table");
    let table = table();
    if guide[begin..end] == table {
        return;
    }
    if std::env::var_os("UPDATE_DOCS").is_some() {
        let updated = format!("{}{table}{}", &guide[..begin], &guide[end..]);
        std::fs::write(&path, updated).expect("written");
        return;
    }
    panic!("docs/OPERATIONS.md is out of date: run the test with UPDATE_DOCS=1\n{table}");
}

#[test]
fn the_documentation_lists_every_limit_with_its_value() {
    let read = |path: &str| {
        std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).expect(path)
    };
    let (limits, guide) = (read("domain/src/limits.rs"), read("docs/OPERATIONS.md"));
    let begin = guide.find("<!-- limits: begin").expect("the mark before the table");
    let end = guide.find("<!-- limits: end").expect("the mark behind the table");
    let rows: Vec<&str> = guide[begin..end].lines().filter(|line| line.contains('`')).collect();
    let (mut names, mut module) = (0, "");
    for line in limits.lines() {
        if let Some(begun) = line.strip_prefix("pub mod ") {
            module = begun.trim_end_matches(" {");
        }
        let Some(definition) = line.trim_start().strip_prefix("pub const ") else { continue };
        let (name, rest) = definition.split_once(':').expect("a type");
        let value = rest.split_once("= ").expect("a value").1.trim_end_matches(';');
        let nested = line.starts_with(' ');
        let name = if nested { format!("{module}::{name}") } else { name.to_owned() };
        let row = rows.iter().find(|row| row.contains(&format!("`{name}`")));
        let row = row.unwrap_or_else(|| panic!("{name} is not in docs/OPERATIONS.md"));
        let value = worth(value).to_string();
        let numbers = row.split(|c: char| !c.is_ascii_digit());
        assert!(numbers.into_iter().any(|number| number == value), "{name} = {value}: {row}");
        names += 1;
    }
    assert!(names > 20, "only {names} limits were found");
}

/// The value of a product of numbers or of a shifted one, as limits are written.
fn worth(expression: &str) -> u64 {
    let number = |text: &str| -> u64 { text.trim().replace('_', "").parse().expect("a number") };
    match expression.split_once("<<") {
        Some((one, bits)) => number(one) << number(bits),
        None => expression.split('*').map(number).product(),
    }
}

#[test]
fn only_sizes_have_units() {
    let defaults = documented_defaults();
    let text = |name| default_text(&defaults, name).expect("a default");
    assert_eq!(text("connections_max"), "4096");
    assert_eq!(text("body_max_bytes"), "2097152 = 2 MiB");
    let home = Home::new();
    let error = home.refusal("connections_max = \"4KiB\"\n", &[]);
    assert!(error.contains("16 to 100000"), "{error}");
    let error = home.refusal("body_max_bytes = 1\n", &[]);
    assert!(error.contains("4 KiB to 16 MiB"), "{error}");
}

#[test]
fn what_kurrentdb_clients_are_served_is_refused_where_it_would_not_be_safe() {
    let home = Home::new();
    for (text, part) in [
        ("eventstore_anonymous_read = true\n", "eventstore_listen"),
        ("eventstore_client_streams = true\n", "eventstore_listen"),
        ("eventstore_listen = \"0.0.0.0:2113\"\n", "tls_certificate"),
        (
            "eventstore_listen = \"0.0.0.0:2113\"\neventstore_anonymous_read = true\n",
            "only on loopback",
        ),
        (
            "eventstore_listen = \"127.0.0.1:2113\"\nstore = \"kurrentdb\"\n\
             kurrentdb = \"esdb://localhost:2113?tls=false\"\n",
            "unset eventstore_listen",
        ),
    ] {
        let refused = home.refusal(text, &[]);
        assert!(refused.contains(part), "{text}{refused}");
    }
}

#[test]
fn what_only_nodes_need_is_refused_where_there_are_none() {
    let home = Home::new();
    let log = "store = \"kurrentdb\"\nkurrentdb = \"esdb://localhost:2113?tls=false\"\n";
    for (text, part) in [
        ("cluster_secret_file = \"/secret\"\n".to_owned(), "set store to kurrentdb"),
        (format!("{log}node_ca_file = \"/authority.pem\"\n"), "set cluster_secret_file"),
    ] {
        let refused = home.refusal(&text, &[]);
        assert!(refused.contains(part), "{text}{refused}");
    }
}

#[test]
fn the_address_to_listen_on_may_be_localhost_and_else_is_explained() {
    let home = Home::new();
    let file = home.file("c.toml", "listen = \"localhost:7\"\n");
    let from_file = home.load(Some(file.clone()), &[]).expect("settings").listen;
    assert_eq!(from_file.to_string(), "127.0.0.1:7");
    let flag = home.load(Some(file), &["--listen", "localhost:0"]).expect("settings").listen;
    assert_eq!(flag.to_string(), "127.0.0.1:0");
    for wrong in ["foo", "localhost", "localhost:x", "example.com:80"] {
        let error = home.refusal(&format!("listen = {wrong:?}\n"), &[]);
        assert!(error.contains("address:port, for example 127.0.0.1:7171"), "{error}");
    }
}
