//! Connections to the server: each with a thread and a runtime of its own, replaced when it fails.
//!
//! The crate's client never leaves a node that has died, keeps streams open that nobody waits for any
//! more, and can panic in tasks of its own. With a runtime for each client, ending the runtime ends
//! all of that, whatever state it is in.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use eventstore::{BatchAppendClient, Client, ClientSettings};
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout, timeout_at};

use super::cryptography::claim_cryptography;
use super::ended::{Cut, cut};
use super::line::{Failure, Line};

/// First pause before connecting again.
pub(super) const PAUSE_MIN: Duration = Duration::from_millis(50);
/// Longest pause before connecting again.
pub(super) const PAUSE_MAX: Duration = Duration::from_secs(2);

/// A connection to the server.
pub(super) struct Session {
    client: Client,
    runtime: Handle,
    failed: AtomicBool,
    lane: tokio::sync::Mutex<Option<Arc<BatchAppendClient>>>,
    /// Dropped, it ends the thread.
    _stop: oneshot::Sender<()>,
}

/// Ends a task that nobody waits for any more.
struct Waited<T>(JoinHandle<T>);

impl<T> Drop for Waited<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Session {
    /// Connects, within the time for it.
    pub(super) async fn connect(line: &Line) -> Result<Self, Failure> {
        claim_cryptography().map_err(Failure::Broken)?;
        let (tell, told) = oneshot::channel();
        let (stop, stopped) = oneshot::channel::<()>();
        let settings = line.settings.clone();
        let lived = move || {
            catch_unwind(AssertUnwindSafe(|| live(settings, tell, stopped)))
                .map_err(|cause| cut(&*cause))
        };
        let spawned = thread::Builder::new().name("kurrentdb".to_owned()).spawn(move || {
            if let Err(Cut::Panicked(why)) = lived() {
                tracing::error!(%why, "a connection to the event log panicked");
            }
        });
        spawned.map_err(|error| Failure::Broken(format!("no thread for it: {error}")))?;
        match timeout(line.waits.connect, told).await {
            Ok(Ok(Ok((client, runtime)))) => Ok(Self {
                client,
                runtime,
                failed: AtomicBool::new(false),
                lane: tokio::sync::Mutex::default(),
                _stop: stop,
            }),
            Ok(Ok(Err(failure))) => Err(failure),
            Ok(Err(_)) => Err(Failure::Broken("the client panicked as it was made".to_owned())),
            Err(_) => Err(Failure::Silent(line.waits.connect)),
        }
    }

    /// Whether something went wrong that only a new connection can heal.
    pub(super) fn has_failed(&self) -> bool {
        self.failed.load(Ordering::Acquire)
    }

    pub(super) fn fail(&self) {
        self.failed.store(true, Ordering::Release);
    }

    /// Asks the server for something, on the connection's thread, and waits as long as is given.
    pub(super) async fn ask<T, F>(
        &self,
        patience: Duration,
        ask: impl FnOnce(Client) -> F,
    ) -> Result<T, Failure>
    where
        T: Send + 'static,
        F: Future<Output = eventstore::Result<T>> + Send + 'static,
    {
        let mut waited = Waited(self.runtime.spawn(ask(self.client.clone())));
        match timeout(patience, &mut waited.0).await {
            Ok(Ok(Ok(answer))) => Ok(answer),
            Ok(Ok(Err(error))) => Err(Failure::Told(error)),
            Ok(Err(gone)) => Err(Failure::Broken(format!("the connection is gone: {gone}"))),
            Err(_) => Err(Failure::Silent(patience)),
        }
    }

    /// The stream on which appends are sent, opened where there is none.
    pub(super) async fn lane(&self, line: &Line) -> Result<Arc<BatchAppendClient>, Failure> {
        let patience = line.waits.attempt;
        let locked = timeout(patience, self.lane.lock()).await;
        let mut lane = locked.map_err(|_| Failure::Silent(patience))?;
        if let Some(open) = &*lane {
            return Ok(Arc::clone(open));
        }
        let options = match &line.credentials {
            Some(known) => eventstore::BatchAppendOptions::default().authenticated(known.clone()),
            None => eventstore::BatchAppendOptions::default(),
        };
        let opened =
            self.ask(patience, |client| async move { client.batch_append(&options).await }).await?;
        Ok(Arc::clone(lane.insert(Arc::new(opened))))
    }

    /// Gives a lane up that is of no use any more.
    pub(super) async fn give_up(&self, used: &Arc<BatchAppendClient>) {
        let mut lane = self.lane.lock().await;
        if lane.as_ref().is_some_and(|current| Arc::ptr_eq(current, used)) {
            *lane = None;
        }
    }
}

type Connected = Result<(Client, Handle), Failure>;

/// A connection's life, on its thread.
fn live(settings: ClientSettings, tell: oneshot::Sender<Connected>, stop: oneshot::Receiver<()>) {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            // Who waited and is gone needs no answer.
            drop(tell.send(Err(Failure::Broken(format!("no runtime for it: {error}")))));
            return;
        }
    };
    runtime.block_on(async {
        let mut stop = stop;
        let client = tokio::select! {
            connected = connected_client(settings) => connected,
            _ = &mut stop => return,
        };
        let told = tell.send(client.map(|client| (client, Handle::current()))).is_ok();
        if told {
            // Its end is the end of the session, however it comes.
            drop(stop.await);
        }
    });
    runtime.shutdown_background();
}

/// A client that has found its server.
pub(super) async fn connected_client(settings: ClientSettings) -> Result<Client, Failure> {
    let client = Client::new(settings).map_err(Failure::Told)?;
    match client.server_info().await {
        Ok(_) => Ok(client),
        Err(eventstore::Error::ConnectionClosed) => Err(Failure::Broken(
            "the client could not be made: are the system's certificates sound? tlsCaFile names others"
                .to_owned(),
        )),
        Err(error) => Err(Failure::Told(error)),
    }
}

/// The connections of a store: one at a time.
pub(super) struct Sessions {
    pub(super) line: Arc<Line>,
    current: tokio::sync::Mutex<Current>,
}

#[derive(Default)]
struct Current {
    session: Option<Arc<Session>>,
    /// When it may be tried again, and the pause after that.
    next_try: Option<(Instant, Duration)>,
    ever: bool,
}

impl Sessions {
    pub(super) fn new(line: Arc<Line>) -> Self {
        Self { line, current: tokio::sync::Mutex::default() }
    }

    /// The connection that is in use, or a new one in the place of one that has failed; waits for it
    /// no longer than until `deadline`.
    pub(super) async fn current(&self, deadline: Instant) -> Result<Arc<Session>, Failure> {
        let found = timeout_at(deadline, self.found()).await;
        let failure = match found {
            Ok(Ok(session)) => return Ok(session),
            Ok(Err(failure)) => failure,
            Err(_) => {
                let known = self.line.trouble().map(|trouble| trouble.problem);
                Failure::Broken(known.unwrap_or_else(|| "no connection in time".to_owned()))
            }
        };
        self.line.is_in_trouble(&failure.to_string());
        Err(failure)
    }

    async fn found(&self) -> Result<Arc<Session>, Failure> {
        let mut current = self.current.lock().await;
        if let Some(session) = current.session.as_ref().filter(|session| !session.has_failed()) {
            return Ok(Arc::clone(session));
        }
        current.session = None;
        loop {
            let pause = match current.next_try {
                Some((moment, pause)) => {
                    tokio::time::sleep_until(moment).await;
                    pause
                }
                None => PAUSE_MIN,
            };
            current.next_try = Some((Instant::now() + pause, (pause * 2).min(PAUSE_MAX)));
            match Session::connect(&self.line).await {
                Ok(session) => {
                    if std::mem::replace(&mut current.ever, true) {
                        self.line.reconnected();
                    }
                    return Ok(Arc::clone(current.session.insert(Arc::new(session))));
                }
                Err(failure) if failure.is_final() => return Err(failure),
                Err(failure) => self.line.is_in_trouble(&failure.to_string()),
            }
        }
    }

    /// Says that the connections work: the next one that fails is replaced without a pause.
    pub(super) fn are_well(&self) {
        self.line.is_well();
        if let Ok(mut current) = self.current.try_lock() {
            current.next_try = None;
        }
    }

    /// Ends the connection.
    pub(super) async fn close(&self) {
        self.current.lock().await.session = None;
    }
}
