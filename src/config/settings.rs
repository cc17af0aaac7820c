//! Every setting: its name, type, default and meaning, each stated once.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::OnceLock;

use serde::{Deserialize, Serialize};

use super::addresses::{HostName, HttpUrl, ListenAddress, Network};
use super::log_store::{KurrentPlace, KurrentPrefix, StoreKind};
use super::number::{Bytes, Within, with_unit};
use super::values::{Described, List, LogFilter, LogFormat};
use super::witnesses::WitnessAt;

/// One kibibyte.
const KIB: u64 = 1024;
/// One mebibyte.
const MIB: u64 = 1024 * KIB;
/// One gibibyte.
const GIB: u64 = 1024 * MIB;
/// One pebibyte: more than any disk of one machine.
const PIB: u64 = 1024 * 1024 * GIB;
/// The port that the server listens on by default.
const PORT: u16 = 7171;

/// What the documentation says of a setting.
#[cfg(test)]
pub struct SettingDoc {
    /// Its name in the configuration file.
    pub name: &'static str,
    /// The environment variable of the same meaning.
    pub variable: &'static str,
    /// What it does.
    pub meaning: &'static str,
    /// What it may be, in words.
    pub range: fn() -> String,
}

/// Defines the settings once: as the merged [`Settings`], as command-line flags with their
/// environment variables, and as the table of the documentation, so that these can't differ.
macro_rules! settings {
    ($(
        #[doc = $meaning:tt]
        $variable:tt $name:ident: $flag:ty => $field:ty = $default:expr;
    )*) => {
        /// The server's settings, merged from defaults, file, environment and flags.
        #[derive(Clone, Debug, Serialize, Deserialize)]
        #[serde(deny_unknown_fields)]
        pub struct Settings {
            /// Where everything that must last is kept.
            pub data_dir: PathBuf,
            $(#[doc = $meaning] pub $name: $field,)*
        }

        /// The same settings as flags or environment variables: absent where not given.
        #[derive(Clone, Debug, Default, Serialize, clap::Args)]
        #[command(next_help_heading = "Settings")]
        pub struct Overrides {
            $(
                #[doc = $meaning]
                #[serde(skip_serializing_if = "Option::is_none")]
                #[arg(long, env = $variable, hide_env_values = true)]
                #[arg(help = help(stringify!($name), $meaning, &<$flag>::range()))]
                pub $name: Option<$flag>,
            )*
        }

        /// The environment variables of all settings.
        pub const VARIABLES: &[&str] = &[$($variable,)*];

        /// All settings but `data_dir`, in the order of the documentation.
        #[cfg(test)]
        pub const SETTING_DOCS: &[SettingDoc] = &[$(
            SettingDoc {
                name: stringify!($name),
                variable: $variable,
                meaning: $meaning,
                range: <$flag>::range,
            },
        )*];

        impl Settings {
            /// The defaults, with these directories.
            pub fn defaults(data_dir: PathBuf, work_dir: PathBuf) -> Self {
                Self { work_dir, ..Self { data_dir, $($name: $default,)* } }
            }
        }
    };
}

settings! {
    /// The address that the server listens on. Another than loopback needs TLS or a trusted proxy.
    "EXECUTION_LEDGER_LISTEN"
    listen: ListenAddress => ListenAddress
        = ListenAddress(SocketAddr::from((Ipv4Addr::LOCALHOST, PORT)));
    /// The address by which people and agents reach the server, where that is not what it listens on.
    "EXECUTION_LEDGER_PUBLIC_URL"
    public_url: HttpUrl => Option<HttpUrl> = None;
    /// Certificate chain for TLS (PEM), the server's own certificate first.
    "EXECUTION_LEDGER_TLS_CERTIFICATE"
    tls_certificate: PathBuf => Option<PathBuf> = None;
    /// Private key of the certificate (PEM), readable by nobody else.
    "EXECUTION_LEDGER_TLS_KEY"
    tls_key: PathBuf => Option<PathBuf> = None;
    /// Proxies whose X-Forwarded-For is believed. They must terminate TLS.
    "EXECUTION_LEDGER_TRUSTED_PROXIES"
    trusted_proxies: List<Network> => List<Network> = List::default();
    /// Names in the Host header that are answered, beside the loopback names and that of public_url.
    "EXECUTION_LEDGER_ALLOWED_HOSTS"
    allowed_hosts: List<HostName> => List<HostName> = List::default();
    /// The address at which KurrentDB (EventStoreDB) clients read the log. Without it, nowhere.
    "EXECUTION_LEDGER_EVENTSTORE_LISTEN"
    eventstore_listen: ListenAddress => Option<ListenAddress> = None;
    /// Whether such clients may read without a key, on loopback only.
    "EXECUTION_LEDGER_EVENTSTORE_ANONYMOUS_READ"
    eventstore_anonymous_read: bool => bool = false;
    /// Whether such clients may append to streams of their own, beside the log.
    "EXECUTION_LEDGER_EVENTSTORE_CLIENT_STREAMS"
    eventstore_client_streams: bool => bool = false;
    /// Where agents without a cwd of their own work: one folder each. Never inside the data directory.
    "EXECUTION_LEDGER_WORK_DIR"
    work_dir: PathBuf => PathBuf = PathBuf::new();
    /// Runs at once, over all agents. One of these places is kept for chat.
    "EXECUTION_LEDGER_MAX_PARALLEL_TOTAL"
    max_parallel_total: Within<2, 10_000> => Within<2, 10_000> = Within::fixed(16);
    /// How long a synchronous call is waited for, in seconds, before 504 with the execution's id.
    "EXECUTION_LEDGER_SYNC_WAIT_S"
    sync_wait_s: Within<1, 86_400> => Within<1, 86_400> = Within::fixed(900);
    /// Free space below which no run is started, in bytes.
    "EXECUTION_LEDGER_MIN_FREE_BYTES"
    min_free_bytes: Bytes<MIB, PIB> => Bytes<MIB, PIB> = Bytes::fixed(256 * MIB);
    /// What one run may write to its transcript, in bytes; then it fails as output_limit.
    "EXECUTION_LEDGER_OUTPUT_MAX_BYTES"
    output_max_bytes: Bytes<{ 4 * KIB }, GIB> => Bytes<{ 4 * KIB }, GIB>
        = Bytes::fixed(64 * MIB);
    /// All archived transcripts together, in bytes; the oldest go first.
    "EXECUTION_LEDGER_TRANSCRIPTS_MAX_BYTES"
    transcripts_max_bytes: Bytes<MIB, PIB> => Bytes<MIB, PIB> = Bytes::fixed(20 * GIB);
    /// How long archived transcripts are kept, in days.
    "EXECUTION_LEDGER_TRANSCRIPTS_KEEP_DAYS"
    transcripts_keep_days: Within<1, 36_500> => Within<1, 36_500> = Within::fixed(365);
    /// The largest request body, in bytes. The largest message needs 1.5 MiB where all of it is escaped.
    "EXECUTION_LEDGER_BODY_MAX_BYTES"
    body_max_bytes: Bytes<{ 4 * KIB }, { 16 * MIB }> => Bytes<{ 4 * KIB }, { 16 * MIB }>
        = Bytes::fixed(2 * MIB);
    /// How long a client may take to send the head of a request, in seconds.
    "EXECUTION_LEDGER_HEADER_TIMEOUT_S"
    header_timeout_s: Within<1, 300> => Within<1, 300> = Within::fixed(10);
    /// How long a client may take to send the body of a request, in seconds.
    "EXECUTION_LEDGER_BODY_TIMEOUT_S"
    body_timeout_s: Within<1, 600> => Within<1, 600> = Within::fixed(30);
    /// How long an answer may make no progress because its reader does not read, in seconds.
    "EXECUTION_LEDGER_WRITE_TIMEOUT_S"
    write_timeout_s: Within<1, 600> => Within<1, 600> = Within::fixed(30);
    /// How long answers may take to finish after SIGTERM, in seconds.
    "EXECUTION_LEDGER_SHUTDOWN_TIMEOUT_S"
    shutdown_timeout_s: Within<1, 600> => Within<1, 600> = Within::fixed(20);
    /// Connections that are served at once.
    "EXECUTION_LEDGER_CONNECTIONS_MAX"
    connections_max: Within<16, 100_000> => Within<16, 100_000> = Within::fixed(4_096);
    /// Requests that are worked on at once; more are refused.
    "EXECUTION_LEDGER_REQUESTS_MAX"
    requests_max: Within<1, 100_000> => Within<1, 100_000> = Within::fixed(2_048);
    /// Streams (SSE, WebSocket) at once; more are refused.
    "EXECUTION_LEDGER_STREAMS_MAX"
    streams_max: Within<1, 100_000> => Within<1, 100_000> = Within::fixed(2_048);
    /// Requests of one key in a second, over time.
    "EXECUTION_LEDGER_RATE_PER_S"
    rate_per_s: Within<1, 1_000_000> => Within<1, 1_000_000> = Within::fixed(50_000);
    /// Requests of one key at once, before rate_per_s holds it back.
    "EXECUTION_LEDGER_RATE_BURST"
    rate_burst: Within<1, 1_000_000> => Within<1, 1_000_000> = Within::fixed(50_000);
    /// Requests with a wrong key or none from one address in a minute.
    "EXECUTION_LEDGER_AUTH_FAILURES_PER_MIN"
    auth_failures_per_min: Within<1, 100_000> => Within<1, 100_000> = Within::fixed(60);
    /// Where the log lies: in the data directory, or on a KurrentDB server or cluster.
    "EXECUTION_LEDGER_STORE"
    store: StoreKind => StoreKind = StoreKind::Sqlite;
    /// Where the KurrentDB is: its connection string, best without user and password.
    "EXECUTION_LEDGER_KURRENTDB"
    kurrentdb: KurrentPlace => Option<KurrentPlace> = None;
    /// A file that holds user:password for the KurrentDB, readable by nobody else.
    "EXECUTION_LEDGER_KURRENTDB_CREDENTIALS_FILE"
    kurrentdb_credentials_file: PathBuf => Option<PathBuf> = None;
    /// What the names of the ledger's streams on the KurrentDB begin with.
    "EXECUTION_LEDGER_KURRENTDB_PREFIX"
    kurrentdb_prefix: KurrentPrefix => KurrentPrefix = KurrentPrefix::default();
    /// How long a connection to the KurrentDB may take, in seconds.
    "EXECUTION_LEDGER_KURRENTDB_CONNECT_TIMEOUT_S"
    kurrentdb_connect_timeout_s: Within<1, 300> => Within<1, 300> = Within::fixed(10);
    /// How long one answer of the KurrentDB may take, in seconds; then its connection is replaced.
    "EXECUTION_LEDGER_KURRENTDB_ATTEMPT_TIMEOUT_S"
    kurrentdb_attempt_timeout_s: Within<1, 300> => Within<1, 300> = Within::fixed(10);
    /// How long an append or a read may take with all its repetitions, in seconds.
    "EXECUTION_LEDGER_KURRENTDB_TIMEOUT_S"
    kurrentdb_timeout_s: Within<1, 600> => Within<1, 600> = Within::fixed(30);
    /// The secret that nodes on one KurrentDB share, at least 32 bytes, readable by nobody else. Without it the ledger works alone.
    "EXECUTION_LEDGER_CLUSTER_SECRET_FILE"
    cluster_secret_file: PathBuf => Option<PathBuf> = None;
    /// By which address the other nodes reach this one, where that is not what it listens on.
    "EXECUTION_LEDGER_NODE_URL"
    node_url: HttpUrl => Option<HttpUrl> = None;
    /// Authorities (PEM) that alone vouch for other nodes, which are asked by https only then. Without it the system's authorities do.
    "EXECUTION_LEDGER_NODE_CA_FILE"
    node_ca_file: PathBuf => Option<PathBuf> = None;
    /// After how much silence a node holds nothing any more and its runs stop, in seconds.
    "EXECUTION_LEDGER_NODE_LEASE_S"
    node_lease_s: Within<2, 300> => Within<2, 300> = Within::fixed(20);
    /// Connections that read the read models at once.
    "EXECUTION_LEDGER_VIEW_READERS"
    view_readers: Within<1, 64> => Within<1, 64> = Within::fixed(4);
    /// A price book (TOML) for tokens that come without dollars; it takes the place of the built-in one.
    "EXECUTION_LEDGER_PRICE_BOOK"
    price_book: PathBuf => Option<PathBuf> = None;
    /// Networks outside the public Internet at which webhooks may be, also without TLS.
    "EXECUTION_LEDGER_WEBHOOKS_ALLOW_PRIVATE"
    webhooks_allow_private: List<Network> => List<Network> = List::default();
    /// Witnesses that sign the notary's checkpoints, beside itself.
    "EXECUTION_LEDGER_NOTARY_WITNESSES"
    notary_witnesses: List<WitnessAt> => List<WitnessAt> = List::default();
    /// How many of the witnesses must have signed a checkpoint for it to count as witnessed.
    "EXECUTION_LEDGER_NOTARY_QUORUM"
    notary_quorum: Within<1, 16> => Within<1, 16> = Within::fixed(1);
    /// What is sold for money over x402, for how much, and by whose help: a file (TOML). Without it, nothing is.
    "EXECUTION_LEDGER_PAID_CONFIG"
    paid_config: PathBuf => Option<PathBuf> = None;
    /// Whether /metrics is served.
    "EXECUTION_LEDGER_METRICS"
    metrics: bool => bool = true;
    /// Whether /metrics is answered without a key.
    "EXECUTION_LEDGER_METRICS_PUBLIC"
    metrics_public: bool => bool = false;
    /// Where traces are sent by OTLP over HTTP, for example http://127.0.0.1:4318/v1/traces.
    "EXECUTION_LEDGER_OTLP_ENDPOINT"
    otlp_endpoint: HttpUrl => Option<HttpUrl> = None;
    /// How the log on standard error is written.
    "EXECUTION_LEDGER_LOG_FORMAT"
    log_format: LogFormat => LogFormat = LogFormat::Text;
    /// What is logged: a level, or filters such as info,execution_ledger_process=debug.
    "EXECUTION_LEDGER_LOG_LEVEL"
    log_level: LogFilter => LogFilter = LogFilter::default();
}

/// A flag's help: what it does, what it may be, what it is otherwise.
fn help(name: &str, meaning: &str, range: &str) -> String {
    static DEFAULTS: OnceLock<serde_json::Value> = OnceLock::new();
    let defaults = DEFAULTS.get_or_init(documented_defaults);
    let meaning = meaning.trim();
    match default_text(defaults, name) {
        Some(default) => format!("{meaning} [{range}] [default: {default}]"),
        None => format!("{meaning} [{range}]"),
    }
}

/// The defaults as JSON, with the directories as they are written in the documentation.
pub fn documented_defaults() -> serde_json::Value {
    let defaults = Settings::defaults(
        "$XDG_DATA_HOME/execution-ledger".into(),
        "$XDG_STATE_HOME/execution-ledger/work".into(),
    );
    serde_json::to_value(defaults).unwrap_or_default()
}

/// A setting's default in words; none where there is nothing by default.
pub fn default_text(defaults: &serde_json::Value, name: &str) -> Option<String> {
    match defaults.get(name)? {
        serde_json::Value::Null => None,
        serde_json::Value::Array(items) if items.is_empty() => None,
        serde_json::Value::String(text) => Some(text.clone()),
        serde_json::Value::Number(number) => {
            let unit = number.as_u64().filter(|_| name.ends_with("_bytes")).and_then(with_unit);
            Some(unit.map_or_else(|| number.to_string(), |unit| format!("{number} = {unit}")))
        }
        other => Some(other.to_string()),
    }
}
