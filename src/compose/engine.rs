//! What runs executions: the policy at its desk, the process manager, and this node among others.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use execution_ledger_domain::policy::Ceiling;
use execution_ledger_process::desk::Desk;
use execution_ledger_process::erasing::Eraser;
use execution_ledger_process::manager::{Manager, ManagerError, ManagerOptions};
use execution_ledger_process::nodes::Station;
use execution_ledger_process::run_token::LedgerSecret;
use execution_ledger_process::tasks::Tasks;
use execution_ledger_process::transcript::{TranscriptHub, Transcripts};
use execution_ledger_projections::Views;
use execution_ledger_store::{Ledger, Position};
use tokio::sync::watch;
use tokio::task::{JoinError, JoinHandle};

use super::log::Writable;
use super::nodes::{self, Member};
use super::open_work::{self, Sessions};
use super::read_models::ReadModels;
use super::serve::part;
use super::sweeping::Sweeping;
use super::{Foundation, ServeError};
use crate::config::Settings;

/// How long starts that are under way may take to get their supervisors.
const MANAGER_STOP: Duration = Duration::from_secs(10);

/// The parts, each at work.
pub struct Engine {
    /// What appends.
    pub ledger: Ledger,
    /// What is decided by.
    pub desk: Arc<Desk>,
    /// What callers can do with executions.
    pub tasks: Tasks,
    /// What tokens follow from.
    pub secret: LedgerSecret,
    /// What runs printed.
    pub transcripts: Transcripts,
    /// What runs print at the moment.
    pub hub: TranscriptHub,
    read_models: ReadModels,
    member: Option<Member>,
    sweeping: Option<Sweeping>,
    stop_manager: watch::Sender<bool>,
    manager: JoinHandle<Result<(), ManagerError>>,
}

impl Engine {
    /// Goes on with what the log says. `url` is where runs reach the ledger, `local_url` where this
    /// machine does.
    pub async fn start(
        foundation: &Foundation,
        opened: &Writable,
        ledger: Ledger,
        read_models: ReadModels,
        (url, local_url): (&str, &str),
    ) -> Result<Self, ServeError> {
        let data_dir = &foundation.data_dir;
        let joined = Joined::join(foundation, opened, &ledger, read_models, local_url).await?;
        let Joined { desk, position, read_models, member } = joined;
        let station = member.as_ref().and_then(|member| member.station.clone());

        let transcripts = Transcripts::new(data_dir.runs(), data_dir.transcripts());
        finish_erasures(&ledger, &transcripts).await;
        let sweeping = station.as_ref().map(|_| Sweeping::start(&ledger, &transcripts, data_dir));
        let hub = TranscriptHub::new(transcripts.clone());
        let secret = LedgerSecret::new(foundation.ledger_secret);
        let sessions = Arc::new(Sessions(read_models.views.clone()));

        let manager = Manager::new(
            ledger.clone(),
            Arc::clone(&desk),
            hub.clone(),
            secret.clone(),
            sessions.clone(),
            manager_options(foundation, url),
        );
        let manager = match station {
            Some(station) => manager.among(station),
            None => manager,
        };
        let log = opened.store.subscribe(position).await;
        let log = log.map_err(|error| part("the event log", &error))?;
        let (stop_manager, stopped) = watch::channel(false);
        let manager = tokio::spawn(manager.run(log, stopped));

        let tasks = Tasks::new(ledger.clone(), Arc::clone(&desk), sessions, secret.clone())
            .keeping_out_of(canonical(data_dir.path()))
            .pricing_by(Arc::clone(&foundation.price_book));
        Ok(Self {
            ledger,
            desk,
            tasks,
            secret,
            transcripts,
            hub,
            read_models,
            member,
            sweeping,
            stop_manager,
            manager,
        })
    }

    /// What is asked of the log.
    pub fn views(&self) -> &Views {
        &self.read_models.views
    }

    /// This node among others, where there are some.
    pub fn station(&self) -> Option<&Station> {
        self.member.as_ref().and_then(|member| member.station.as_ref())
    }

    /// Waits until the manager ends although nobody stopped it: then nothing would be started any more,
    /// and a supervising system should know.
    pub async fn ended(&mut self) -> ServeError {
        let ended: Result<Result<(), ManagerError>, JoinError> = (&mut self.manager).await;
        match ended {
            Ok(Err(error)) => part("the process manager", &error),
            Err(panic) => part("the process manager", &panic),
            Ok(Ok(())) => part("the process manager", &"the event log has ended"),
        }
    }

    /// Stops it in order. Runs go on; the next start takes them up.
    pub async fn stop(self) {
        if let Some(sweeping) = self.sweeping {
            sweeping.stop().await;
        }
        self.stop_manager.send_replace(true);
        if tokio::time::timeout(MANAGER_STOP, self.manager).await.is_err() {
            tracing::warn!("some runs were still being started; the next start goes on with them");
        }
        if let Some(member) = self.member {
            member.leave().await;
        }
        self.read_models.stop().await;
    }
}

/// The policy as of a position, and this node among the others.
struct Joined {
    desk: Arc<Desk>,
    position: Position,
    read_models: ReadModels,
    member: Option<Member>,
}

impl Joined {
    async fn join(
        foundation: &Foundation,
        opened: &Writable,
        ledger: &Ledger,
        read_models: ReadModels,
        local_url: &str,
    ) -> Result<Self, ServeError> {
        let (settings, data_dir) = (&foundation.settings, &foundation.data_dir);
        let card = nodes::card(settings, data_dir, &foundation.ledger_secret, local_url)?;
        let me = foundation.cluster.as_ref().map(|_| card.node);
        if let Some(board) = &opened.board {
            nodes::check_company(board, &card).await?;
        }
        // Others may write meanwhile: what the policy is made from must be of one moment.
        let held = read_models.hold().await;
        let views = held.views();
        let (policy, position) =
            open_work::load(views, ceiling(settings), ledger.now(), me).await?;
        let desk = Arc::new(Desk::new(policy, position));
        open_work::load_keys(views, position, &desk).await?;
        open_work::load_signed_out(ledger, &desk).await?;
        let read_models = held.go_on();
        let member = match (opened.board.clone(), me) {
            (Some(board), Some(_)) => {
                Some(Member::join(data_dir, card, board, ledger, &desk).await?)
            }
            (Some(board), None) => Some(Member::alone(card, board, ledger.clone())),
            (None, _) => None,
        };
        Ok(Self { desk, position, read_models, member })
    }
}

fn ceiling(settings: &Settings) -> Ceiling {
    Ceiling { max_parallel_total: settings.max_parallel_total.narrow::<u32>(), kept_for_chat: 1 }
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
