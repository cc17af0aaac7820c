//! Wires the parts into a running server, and takes them down again in order.

use std::io::Write as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use execution_ledger_api::{App, KeyDigest, Options, Parts};
use execution_ledger_domain::policy::Ceiling;
use execution_ledger_process::desk::Desk;
use execution_ledger_process::erasing::Eraser;
use execution_ledger_process::keys::Keys;
use execution_ledger_process::manager::{Manager, ManagerError, ManagerOptions};
use execution_ledger_process::run_token::LedgerSecret;
use execution_ledger_process::tasks::Tasks;
use execution_ledger_process::transcript::{TranscriptHub, Transcripts};
use execution_ledger_projections::{Health, Views, ViewsOptions};
use execution_ledger_store::{EventStore, Ledger, SystemClock};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::duties::{Means, OnDuty};
use super::eventstore::Endpoint;
use super::first_start;
use super::log::Writable;
use super::nodes::{self, Member};
use super::open_work::{self, Sessions};
use super::server_file::ServerFile;
use super::shutdown::Shutdown;
use super::sweeping::Sweeping;
use super::{Foundation, ServeError};
use crate::config::{HttpUrl, Settings};

/// Threads that wait on the network and on each other; what blocks has threads of its own.
const WORKERS_MIN: usize = 2;
/// Threads for blocking work, at most.
const BLOCKING_THREADS_MAX: usize = 64;
/// How long starts that are under way may take to get their supervisors.
const MANAGER_STOP: Duration = Duration::from_secs(10);
/// How long the read models may take to notice that they are to stop.
const VIEWS_STOP: Duration = Duration::from_secs(5);
/// Between two looks at the runs that a drained stop waits for.
const DRAIN_LOOK: Duration = Duration::from_millis(200);

/// Runs the server until it is told to stop.
pub fn serve(settings: Settings, drain: bool) -> Result<(), ServeError> {
    let foundation = Foundation::lay(settings)?;
    let workers = std::thread::available_parallelism().map_or(WORKERS_MIN, usize::from);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(workers.max(WORKERS_MIN))
        .max_blocking_threads(BLOCKING_THREADS_MAX)
        .enable_all()
        .build()
        .map_err(|error| part("the asynchronous runtime", &error))?;
    let done = runtime.block_on(run(&foundation, drain));
    // What still blocks is a reader of files; nothing that must be finished.
    runtime.shutdown_timeout(Duration::from_secs(1));
    done
}

async fn run(foundation: &Foundation, drain: bool) -> Result<(), ServeError> {
    let shutdown = Shutdown::on_signals()?;
    let settings = &foundation.settings;
    let tls = tls(settings)?;
    let opened = super::log::open(settings, &foundation.data_dir);
    let opened = opened.await.map_err(|error| part("the event log", &error))?;
    let store = Arc::clone(&opened.store);
    let listener = listen(settings.listen.0).await?;
    let scheme = if tls.is_some() { "https" } else { "http" };
    let address = listener.local_addr().map_err(|error| part("the HTTP server", &error))?;
    let server = ServerFile { url: local_url(scheme, address), pid: std::process::id() };

    let served = with_parts(foundation, &opened, listener, tls, &server, &shutdown, drain).await;
    store.close().await;
    if let Err(error) = server.remove(&settings.data_dir) {
        tracing::warn!(%error, "server.json could not be removed");
    }
    served
}

async fn with_parts(
    foundation: &Foundation,
    opened: &Writable,
    listener: TcpListener,
    tls: Option<Arc<rustls::ServerConfig>>,
    server: &ServerFile,
    shutdown: &Shutdown,
    drain: bool,
) -> Result<(), ServeError> {
    let (settings, data_dir, store) = (&foundation.settings, &foundation.data_dir, &opened.store);
    let public = settings.public_url.as_ref().map(|url| url.as_str().trim_end_matches('/'));
    let url = public.unwrap_or(&server.url);
    let url_of_node = server.url.as_str();
    let node_authorities = nodes::authorities(settings)?;
    let ledger = Ledger::new(Arc::clone(store), Arc::new(SystemClock));
    let metrics = super::metrics::install(settings)?;
    first_start::register_agents(&ledger).await?;

    let options = ViewsOptions { readers: settings.view_readers.narrow::<usize>() };
    let views = Views::open(&data_dir.views(), Arc::clone(store), options)
        .map_err(|error| part("the read models", &error))?;
    let (stop_views, views_stopped) = watch::channel(false);
    let views_task = spawn_views(&views, views_stopped);
    if !await_views(&views, store, shutdown).await? {
        return Ok(());
    }

    let secret = LedgerSecret::new(foundation.ledger_secret);
    let card = nodes::card(settings, data_dir, &foundation.ledger_secret, url_of_node)?;
    let board = opened.board.clone();
    let me = foundation.cluster.as_ref().map(|_| card.node);
    if let Some(board) = &board {
        nodes::check_company(board, &card).await?;
    }
    // Others write meanwhile: what the policy is made from must be of one moment.
    let (stop_views, views_task) = match me {
        Some(_) => (stop_views_of(&views, stop_views, views_task).await, None),
        None => (stop_views, Some(views_task)),
    };
    let (policy, position) = open_work::load(&views, ceiling(settings), ledger.now(), me).await?;
    let desk = Arc::new(Desk::new(policy, position));
    open_work::load_keys(&views, position, &desk).await?;
    open_work::load_signed_out(&ledger, &desk).await?;
    let views_task = match views_task {
        Some(task) => task,
        None => spawn_views(&views, stop_views.subscribe()),
    };
    let member = match (board, me) {
        (Some(board), Some(_)) => Some(Member::join(data_dir, card, board, &ledger, &desk).await?),
        (Some(board), None) => Some(Member::alone(card, board, ledger.clone())),
        (None, _) => None,
    };
    let station = member.as_ref().and_then(|member| member.station.clone());
    let transcripts = Transcripts::new(data_dir.runs(), data_dir.transcripts());
    finish_erasures(&ledger, &transcripts).await;
    let sweeping = station.as_ref().map(|_| Sweeping::start(&ledger, &transcripts, data_dir));
    let hub = TranscriptHub::new(transcripts.clone());
    let (stop_manager, manager_stop) = watch::channel(false);
    let manager = Manager::new(
        ledger.clone(),
        Arc::clone(&desk),
        hub.clone(),
        secret.clone(),
        Arc::new(Sessions(views.clone())),
        manager_options(foundation, url),
    );
    let manager = match &station {
        Some(station) => manager.among(station.clone()),
        None => manager,
    };
    let log = store.subscribe(position).await.map_err(|error| part("the event log", &error))?;
    let manager_task = tokio::spawn(manager.run(log, manager_stop));

    let tasks = Tasks::new(
        ledger.clone(),
        Arc::clone(&desk),
        Arc::new(Sessions(views.clone())),
        secret.clone(),
    )
    .keeping_out_of(canonical(data_dir.path()))
    .pricing_by(Arc::clone(&foundation.price_book));
    let means = Means::new(foundation, store, (&ledger, &views), &desk, &tasks, &secret);
    let (mut on_duty, duties) = OnDuty::begin(means, station.as_ref()).await?;
    let keys = Keys::new(ledger.clone(), Arc::clone(&desk));
    let app = App::new(Parts {
        ledger,
        views,
        tasks,
        duties,
        station,
        transcripts,
        hub,
        metrics,
        admin_key: KeyDigest::of(foundation.admin_key.reveal()),
        keys,
        secret,
        options: api_options(settings, url, tls.is_some(), node_authorities),
    });
    let sign_in = app.new_sign_in_token().map_err(|error| part("the sign-in link", &error))?;
    let embedded = opened.embedded.as_ref();
    let endpoint = Endpoint::start(settings, data_dir, embedded, &app, tls.as_ref()).await?;
    announce(foundation, server, url, &sign_in, endpoint.as_ref().map(Endpoint::address))?;
    let minded = app.clone();
    let (stopping, draining) = (shutdown.clone(), Arc::clone(&desk));
    let api =
        execution_ledger_api::serve(listener, tls, app, execution_ledger_web::around, async move {
            stopping.requested().await;
            if drain {
                // Answered meanwhile: people watch and cancel what is waited for, and runs call back.
                drained(&draining).await;
            }
        });
    let mut manager_task = manager_task;
    tokio::select! {
        served = api => served.map_err(|error| part("the HTTP server", &error))?,
        ended = &mut manager_task => return Err(manager_ended(ended)),
        ended = on_duty.mind(&minded) => return Err(ended),
    }

    if let Some(endpoint) = endpoint {
        endpoint.stop().await;
    }
    on_duty.stop().await;
    if let Some(sweeping) = sweeping {
        sweeping.stop().await;
    }
    stop_manager.send_replace(true);
    if tokio::time::timeout(MANAGER_STOP, manager_task).await.is_err() {
        tracing::warn!("some runs were still being started; the next start goes on with them");
    }
    if let Some(member) = member {
        member.leave().await;
    }
    stop_views.send_replace(true);
    if tokio::time::timeout(VIEWS_STOP, views_task).await.is_err() {
        tracing::warn!("the read models did not stop in time; they go on where they were");
    }
    Ok(())
}

/// Ends what was begun and cut off: a transcript that is half erased goes, or comes back.
async fn finish_erasures(ledger: &Ledger, transcripts: &Transcripts) {
    match Eraser::new(ledger.clone(), transcripts.clone()).recover().await {
        Ok(0) => {}
        Ok(gone) => tracing::info!(gone, "transcripts whose erasure was cut off are removed"),
        Err(error) => tracing::error!(%error, "an erasure that was cut off can't be finished"),
    }
}

/// A directory by its real name, where it has one.
fn canonical(path: &Path) -> PathBuf {
    path.canonicalize().unwrap_or_else(|_| path.to_owned())
}

/// Why the manager ended although nobody stopped it: then nothing would be started any more, and a
/// supervising system should know.
fn manager_ended(ended: Result<Result<(), ManagerError>, tokio::task::JoinError>) -> ServeError {
    match ended {
        Ok(Err(error)) => part("the process manager", &error),
        Err(panic) => part("the process manager", &panic),
        Ok(Ok(())) => part("the process manager", &"the event log has ended"),
    }
}

/// Stops the read models where they are, so that they can be asked at one moment; answers by what they
/// are stopped when they have begun again.
async fn stop_views_of(
    views: &Views,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
) -> watch::Sender<bool> {
    stop.send_replace(true);
    if tokio::time::timeout(VIEWS_STOP, task).await.is_err() {
        tracing::warn!(position = ?views.position(), "the read models did not stop in time");
    }
    watch::channel(false).0
}

fn spawn_views(views: &Views, mut stopped: watch::Receiver<bool>) -> JoinHandle<()> {
    let views = views.clone();
    tokio::spawn(async move {
        let stop = async {
            // An error means that nobody can stop it any more, which is a stop as well.
            drop(stopped.wait_for(|stop| *stop).await);
        };
        views.run(stop).await;
    })
}

/// Waits until the read models have seen the log as it was at the start: the policy is made from
/// them. False where the server is to stop before.
async fn await_views(
    views: &Views,
    store: &Arc<dyn EventStore>,
    shutdown: &Shutdown,
) -> Result<bool, ServeError> {
    let head = store.head().await.map_err(|error| part("the event log", &error))?;
    let mut health = views.health_changes();
    let mut position = views.positions();
    let mut told = 0;
    loop {
        let seen = *position.borrow_and_update();
        match &*health.borrow_and_update() {
            Health::Stopped(poison) => {
                let problem = format!(
                    "event {} can't be read: {}; was it written by a later version of this program?",
                    poison.position.number(),
                    poison.reason
                );
                return Err(part("the read models", &problem));
            }
            Health::Failed(reason) => return Err(part("the read models", reason)),
            Health::Rebuilding(progress) if progress.head > 0 => {
                let percent = progress.done.saturating_mul(100) / progress.head;
                if percent / 10 > told {
                    told = percent / 10;
                    tracing::info!(percent, done = progress.done, "the read models are rebuilt");
                }
            }
            Health::Live | Health::CatchingUp { .. } if seen >= head => return Ok(true),
            _ => {}
        }
        tokio::select! {
            changed = health.changed() => changed.map_err(|error| part("the read models", &error))?,
            changed = position.changed() => changed.map_err(|error| part("the read models", &error))?,
            () = shutdown.requested() => return Ok(false),
        }
    }
}

fn ceiling(settings: &Settings) -> Ceiling {
    Ceiling { max_parallel_total: settings.max_parallel_total.narrow::<u32>(), kept_for_chat: 1 }
}

/// Waits until nothing runs; nothing is started meanwhile. A second signal ends it sooner.
async fn drained(desk: &Desk) {
    desk.drain();
    let mut told = 0;
    loop {
        let (running, _) = desk.totals();
        if running == 0 {
            return;
        }
        if running != told {
            tracing::info!(running, "waiting for runs to end");
            told = running;
        }
        tokio::time::sleep(DRAIN_LOOK).await;
    }
}

fn manager_options(foundation: &Foundation, url: &str) -> ManagerOptions {
    let settings = &foundation.settings;
    ManagerOptions {
        runs: foundation.data_dir.runs(),
        transcripts: foundation.data_dir.transcripts(),
        work: settings.work_dir.clone(),
        ledger_url: url.to_owned(),
        output_max_bytes: settings.output_max_bytes.get(),
        min_free_bytes: settings.min_free_bytes.get(),
        transcripts_max_bytes: Some(settings.transcripts_max_bytes.get()),
        transcripts_keep_days: Some(settings.transcripts_keep_days.narrow::<u32>()),
        price_book: Arc::clone(&foundation.price_book),
    }
}

fn api_options(
    settings: &Settings,
    url: &str,
    tls: bool,
    node_authorities: Vec<reqwest::Certificate>,
) -> Options {
    let seconds = |s: u64| Duration::from_secs(s);
    let rate = |n: u32| NonZeroU32::new(n).unwrap_or(NonZeroU32::MIN);
    let mut allowed_hosts: Vec<String> =
        settings.allowed_hosts.entries().iter().map(|name| name.as_str().to_owned()).collect();
    if let Some(public) = &settings.public_url {
        allowed_hosts.push(public.host().to_owned());
    }
    if let Some(own) = &settings.node_url {
        allowed_hosts.push(own.host().to_owned());
    }
    if let Some(host) = url.split("//").nth(1) {
        allowed_hosts.push(host.to_owned());
    }
    Options {
        allowed_hosts,
        tls,
        public_origin: settings.public_url.as_ref().map(HttpUrl::origin),
        trusted_proxies: settings.trusted_proxies.entries().iter().map(|net| net.0).collect(),
        node_authorities,
        body_max_bytes: settings.body_max_bytes.narrow::<usize>(),
        body_timeout: seconds(settings.body_timeout_s.get()),
        head_timeout: seconds(settings.header_timeout_s.get()),
        write_timeout: seconds(settings.write_timeout_s.get()),
        connections_max: settings.connections_max.narrow::<usize>(),
        requests_max: settings.requests_max.narrow::<usize>(),
        streams_max: settings.streams_max.narrow::<usize>(),
        sync_wait: seconds(settings.sync_wait_s.get()),
        rate_per_s: rate(settings.rate_per_s.narrow::<u32>()),
        rate_burst: rate(settings.rate_burst.narrow::<u32>()),
        failures_per_minute: rate(settings.auth_failures_per_min.narrow::<u32>()),
        metrics_without_key: settings.metrics_public,
        shutdown_grace: seconds(settings.shutdown_timeout_s.get()),
    }
}

async fn listen(address: SocketAddr) -> Result<TcpListener, ServeError> {
    TcpListener::bind(address).await.map_err(|source| ServeError::Listen { address, source })
}

/// By which address the server is reached on this machine.
fn local_url(scheme: &str, listening: SocketAddr) -> String {
    let ip = match listening.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    format!("{scheme}://{}", SocketAddr::new(ip, listening.port()))
}

fn tls(settings: &Settings) -> Result<Option<Arc<rustls::ServerConfig>>, ServeError> {
    let (Some(certificate), Some(key)) = (&settings.tls_certificate, &settings.tls_key) else {
        return Ok(None);
    };
    let unusable = |what: &std::path::Path, why: &dyn std::fmt::Display| {
        ServeError::Tls(format!("{}: {why}", what.display()))
    };
    let chain = CertificateDer::pem_file_iter(certificate)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| unusable(certificate, &error))?;
    let private = PrivateKeyDer::from_pem_file(key).map_err(|error| unusable(key, &error))?;
    let mut config = rustls::ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(chain, private)
        .map_err(|error| unusable(certificate, &error))?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Some(Arc::new(config)))
}

/// Says where the server is: for programs in a file, for people in words.
fn announce(
    foundation: &Foundation,
    server: &ServerFile,
    url: &str,
    sign_in: &str,
    eventstore: Option<SocketAddr>,
) -> Result<(), ServeError> {
    let data_dir = &foundation.data_dir;
    let eventstore = eventstore.map_or_else(String::new, |at| {
        let plain = if server.url.starts_with("https") { "" } else { "?tls=false" };
        format!("  eventstore esdb://{at}{plain}\n")
    });
    server.write(data_dir.path()).map_err(|error| part("server.json", &error))?;
    tracing::info!(url, "listening");
    let key = data_dir.admin_key();
    let text = format!(
        "execution-ledger {} listens on {url}\n  data       {}\n  admin key  {}\n  API        {url}/docs\n  sign in    {url}/sign-in#{sign_in} (once, within 10 minutes)\n{eventstore}\nTry in another terminal:\n  execution-ledger run demo \"Say hello\"\n",
        env!("CARGO_PKG_VERSION"),
        data_dir.path().display(),
        key.display(),
    );
    // Nobody may be there to read it: the server does not depend on that.
    drop(std::io::stdout().write_all(text.as_bytes()));
    Ok(())
}

fn part(what: &str, error: &dyn std::fmt::Display) -> ServeError {
    let error = error.to_string();
    // Some errors name the part themselves.
    ServeError::Part(if error.starts_with(what) { error } else { format!("{what}: {error}") })
}
