//! What is done once: schedules, webhooks, payments, the notary. A ledger that is alone does it from its
//! start to its end; of several nodes, the one that leads.

use std::sync::Arc;
use std::time::Duration;

use execution_ledger_api::{App, Duties};
use execution_ledger_process::desk::Desk;
use execution_ledger_process::nodes::Station;
use execution_ledger_process::run_token::LedgerSecret;
use execution_ledger_process::tasks::Tasks;
use execution_ledger_projections::Views;
use execution_ledger_store::{EventStore, Ledger};
use tokio::sync::watch;

use super::data_dir::DataDir;
use super::engine::Engine;
use super::notary::Signing;
use super::paid::Till;
use super::schedules::Scheduler;
use super::webhooks::Sender;
use super::{Foundation, ServeError};
use crate::config::Settings;

/// How long the read models may take to see what the policy has seen, when this node begins to lead.
const SEEN_WAIT: Duration = Duration::from_secs(30);
/// How often the parts are tried to be started when this node begins to lead, a log that was away for a
/// moment being no reason to end. After these the server ends, so that another node leads.
const STARTS_MAX: u32 = 5;
/// Between two tries to start them.
const START_AGAIN: Duration = Duration::from_secs(2);

/// What the parts are made of.
#[derive(Clone)]
pub struct Means {
    settings: Arc<Settings>,
    data_dir: DataDir,
    store: Arc<dyn EventStore>,
    ledger: Ledger,
    views: Views,
    desk: Arc<Desk>,
    tasks: Tasks,
    secret: LedgerSecret,
}

impl Means {
    /// Of what the server has.
    pub fn new(foundation: &Foundation, store: &Arc<dyn EventStore>, engine: &Engine) -> Self {
        Self {
            settings: Arc::new(foundation.settings.clone()),
            data_dir: foundation.data_dir.clone(),
            store: Arc::clone(store),
            ledger: engine.ledger.clone(),
            views: engine.views().clone(),
            desk: Arc::clone(&engine.desk),
            tasks: engine.tasks.clone(),
            secret: engine.secret.clone(),
        }
    }
}

/// The parts, each at work.
struct AtWork {
    scheduler: Scheduler,
    sender: Sender,
    till: Till,
    signing: Signing,
}

impl AtWork {
    async fn start(means: &Means) -> Result<Self, ServeError> {
        let Means { settings, data_dir, store, ledger, views, tasks, secret, .. } = means;
        let (ledger, tasks, secret) = (|| ledger.clone(), || tasks.clone(), || secret.clone());
        Ok(Self {
            scheduler: Scheduler::start(views, store, ledger(), tasks(), true).await?,
            sender: Sender::start(views, store, ledger(), secret(), settings, true).await?,
            till: Till::start(views, store, ledger(), tasks(), settings, true).await?,
            signing: Signing::start(data_dir, store, settings).await?,
        })
    }

    fn duties(&self) -> Duties {
        Duties {
            schedules: self.scheduler.schedules.clone(),
            webhooks: self.sender.webhooks.clone(),
            payments: self.till.payments.clone(),
            notary: Some(self.signing.notary()),
        }
    }

    /// Waits until one of them ends although nobody stopped it.
    async fn ended(&mut self) -> ServeError {
        tokio::select! {
            ended = self.scheduler.ended() => ended,
            ended = self.till.ended() => ended,
            ended = self.sender.ended() => ended,
        }
    }

    async fn stop(self) {
        self.scheduler.stop().await;
        self.till.stop().await;
        self.sender.stop().await;
        self.signing.stop().await;
    }
}

/// What this server does of what is done once.
pub struct OnDuty {
    means: Means,
    at_work: Option<AtWork>,
    leading: Option<watch::Receiver<bool>>,
}

impl OnDuty {
    /// Does it from now on where the ledger is alone; among several, once this node leads. With what the
    /// interface stands on until then.
    pub async fn begin(
        means: Means,
        station: Option<&Station>,
    ) -> Result<(Self, Duties), ServeError> {
        let Some(station) = station else {
            let at_work = AtWork::start(&means).await?;
            let duties = at_work.duties();
            return Ok((Self { means, at_work: Some(at_work), leading: None }, duties));
        };
        let Means { settings, store, ledger, views, tasks, secret, .. } = &means;
        let (ledger, tasks) = (|| ledger.clone(), || tasks.clone());
        let scheduler = Scheduler::start(views, store, ledger(), tasks(), false).await?;
        let sender = Sender::start(views, store, ledger(), secret.clone(), settings, false).await?;
        let till = Till::start(views, store, ledger(), tasks(), settings, false).await?;
        let duties = Duties {
            schedules: scheduler.schedules.clone(),
            webhooks: sender.webhooks.clone(),
            payments: till.payments.clone(),
            notary: None,
        };
        Ok((Self { means, at_work: None, leading: Some(station.leading()) }, duties))
    }

    /// Begins and stops with this node's leading; ends where a part ends although nobody stopped it.
    pub async fn mind(&mut self, app: &App) -> ServeError {
        loop {
            let at_work = self.at_work.is_some();
            let changed = async {
                match &mut self.leading {
                    // Compared with what is at work: it may have changed before anybody watched. Nobody
                    // changes it any more where the sender is gone: the server stops then.
                    Some(leading) => match leading.wait_for(|leads| *leads != at_work).await {
                        Ok(leads) => *leads,
                        Err(_) => std::future::pending().await,
                    },
                    None => std::future::pending().await,
                }
            };
            let leads = match &mut self.at_work {
                Some(at_work) => tokio::select! {
                    leads = changed => leads,
                    ended = at_work.ended() => return ended,
                },
                None => changed.await,
            };
            if let Err(error) = self.turn(app, leads).await {
                return error;
            }
        }
    }

    async fn turn(&mut self, app: &App, leads: bool) -> Result<(), ServeError> {
        if leads == self.at_work.is_some() {
            return Ok(());
        }
        if let Some(at_work) = self.at_work.take() {
            tracing::warn!("this node leads no more");
            app.hand_over();
            at_work.stop().await;
            return Ok(());
        }
        let Some(at_work) = self.start().await? else { return Ok(()) };
        app.take_over(at_work.duties());
        tracing::info!("this node leads: it does what is done once");
        self.at_work = Some(at_work);
        Ok(())
    }

    /// The parts; nothing where this node leads no more before they could be started.
    async fn start(&self) -> Result<Option<AtWork>, ServeError> {
        for attempt in 1..=STARTS_MAX {
            let seen = self.means.desk.applied();
            let started = match self.means.views.wait_for(seen, SEEN_WAIT).await {
                Ok(()) => AtWork::start(&self.means).await,
                Err(behind) => Err(ServeError::Part(format!("the read models: {behind}"))),
            };
            match started {
                Ok(at_work) => return Ok(Some(at_work)),
                Err(error) if attempt == STARTS_MAX => return Err(error),
                Err(error) => tracing::error!(%error, attempt, "this node leads, and can't begin"),
            }
            tokio::time::sleep(START_AGAIN).await;
            if self.leading.as_ref().is_some_and(|leading| !*leading.borrow()) {
                break;
            }
        }
        Ok(None)
    }

    /// Stops what is at work.
    pub async fn stop(self) {
        if let Some(at_work) = self.at_work {
            at_work.stop().await;
        }
    }
}
