//! Wires the parts into a running server, and takes them down again in order.

use std::sync::Arc;
use std::time::Duration;

use execution_ledger_api::{App, KeyDigest, Parts};
use execution_ledger_process::desk::Desk;
use execution_ledger_process::keys::Keys;
use execution_ledger_store::{Ledger, SystemClock};

use super::duties::{Means, OnDuty};
use super::engine::Engine;
use super::eventstore::Endpoint;
use super::first_start;
use super::front::{self, Front};
use super::log::Writable;
use super::read_models::ReadModels;
use super::server_file::ServerFile;
use super::shutdown::Shutdown;
use super::{Foundation, ServeError};
use crate::config::Settings;

/// Threads that wait on the network and on each other; what blocks has threads of its own.
const WORKERS_MIN: usize = 2;
/// Threads for blocking work, at most.
const BLOCKING_THREADS_MAX: usize = 64;
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
    let tls = front::tls(settings)?;
    let opened = super::log::open(settings, &foundation.data_dir);
    let opened = opened.await.map_err(|error| part("the event log", &error))?;
    let front = Front::listen(settings, tls).await?;
    let server = ServerFile { url: front.local_url.clone(), pid: std::process::id() };

    let served = with_parts(foundation, &opened, front, &server, &shutdown, drain).await;
    opened.store.close().await;
    if let Err(error) = server.remove(&settings.data_dir) {
        tracing::warn!(%error, "server.json could not be removed");
    }
    served
}

async fn with_parts(
    foundation: &Foundation,
    opened: &Writable,
    front: Front,
    server: &ServerFile,
    shutdown: &Shutdown,
    drain: bool,
) -> Result<(), ServeError> {
    let (settings, store) = (&foundation.settings, &opened.store);
    let public = settings.public_url.as_ref().map(|url| url.as_str().trim_end_matches('/'));
    let url = public.unwrap_or(&front.local_url);
    let options = front::options(settings, url)?;
    let metrics = super::metrics::install(settings)?;
    let ledger = Ledger::new(Arc::clone(store), Arc::new(SystemClock));
    first_start::register_agents(&ledger).await?;

    let read_models = ReadModels::open(foundation, store)?;
    if !read_models.caught_up(store, shutdown).await? {
        return Ok(());
    }
    let urls = (url, front.local_url.as_str());
    let mut engine = Engine::start(foundation, opened, ledger, read_models, urls).await?;
    let means = Means::new(foundation, store, &engine);
    let (mut on_duty, duties) = OnDuty::begin(means, engine.station()).await?;
    let app = App::new(Parts {
        ledger: engine.ledger.clone(),
        views: engine.views().clone(),
        tasks: engine.tasks.clone(),
        duties,
        station: engine.station().cloned(),
        transcripts: engine.transcripts.clone(),
        hub: engine.hub.clone(),
        metrics,
        admin_key: KeyDigest::of(foundation.admin_key.reveal()),
        keys: Keys::new(engine.ledger.clone(), Arc::clone(&engine.desk)),
        secret: engine.secret.clone(),
        options,
    });
    let endpoint = Endpoint::start(
        settings,
        &foundation.data_dir,
        opened.embedded.as_ref(),
        &app,
        front.tls.as_ref(),
    );
    let endpoint = endpoint.await?;
    let sign_in = app.new_sign_in_token().map_err(|error| part("the sign-in link", &error))?;
    front::announce(foundation, server, url, &sign_in, endpoint.as_ref().map(Endpoint::address))?;

    let (stopping, draining) = (shutdown.clone(), Arc::clone(&engine.desk));
    let stop = async move {
        stopping.requested().await;
        if drain {
            // Answered meanwhile: people watch and cancel what is waited for, and runs call back.
            drained(&draining).await;
        }
    };
    let pages = execution_ledger_web::around;
    let api = execution_ledger_api::serve(front.listener, front.tls, app.clone(), pages, stop);
    tokio::select! {
        served = api => served.map_err(|error| part("the HTTP server", &error))?,
        ended = engine.ended() => return Err(ended),
        ended = on_duty.mind(&app) => return Err(ended),
    }

    if let Some(endpoint) = endpoint {
        endpoint.stop().await;
    }
    on_duty.stop().await;
    engine.stop().await;
    Ok(())
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

/// What part of the server can't start or go on, and why.
pub(super) fn part(what: &str, error: &dyn std::fmt::Display) -> ServeError {
    let error = error.to_string();
    // Some errors name the part themselves.
    ServeError::Part(if error.starts_with(what) { error } else { format!("{what}: {error}") })
}
