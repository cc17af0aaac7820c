//! What is sold, from its file, and the part that takes payments.

use std::io::Read as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use execution_ledger_process::paid::config::{PaidFile, Secret};
use execution_ledger_process::paid::selling::Selling;
use execution_ledger_process::paid::{FollowError, Payments};
use execution_ledger_process::tasks::Tasks;
use execution_ledger_projections::Views;
use execution_ledger_store::{EventStore, Ledger};
use tokio::sync::watch;
use tokio::task::{JoinError, JoinHandle};

use super::ServeError;
use crate::config::Settings;

/// Largest file that says what is sold, or holds a secret, in bytes.
const FILE_MAX_BYTES: u64 = 1024 * 1024;
/// How long those who ask for money may take at the end. What came of it is unknown after that, until
/// the next start looks.
const PAYMENTS_STOP: Duration = Duration::from_secs(15);

/// What is sold, as the file of the setting `paid_config` says; nothing without the setting.
///
/// # Errors
/// What is wrong with the file, and where.
pub fn selling(settings: &Settings) -> Result<Option<Selling>, String> {
    let Some(path) = &settings.paid_config else { return Ok(None) };
    let wrong = |problem: String| format!("setting paid_config: {}: {problem}", path.display());
    let file = read(path).map_err(wrong)?;
    let file = PaidFile::parse(&file).map_err(|error| wrong(error.to_string()))?;
    file.checked(secret).map(Some).map_err(|error| wrong(error.to_string()))
}

fn secret(place: &Secret) -> Result<String, String> {
    match place {
        Secret::File(path) => {
            read(path).map_err(|problem| format!("{}: {problem}", path.display()))
        }
        Secret::Variable(name) => {
            std::env::var(name).map_err(|error| format!("the variable {name}: {error}"))
        }
    }
}

fn read(path: &Path) -> Result<String, String> {
    let file = std::fs::File::open(path).map_err(|error| error.to_string())?;
    let mut text = String::new();
    file.take(FILE_MAX_BYTES + 1).read_to_string(&mut text).map_err(|error| error.to_string())?;
    if text.len() as u64 > FILE_MAX_BYTES {
        return Err(format!("it is larger than {FILE_MAX_BYTES} bytes"));
    }
    Ok(text)
}

/// The part that takes payments, at work.
pub struct Till {
    /// Takes payments.
    pub payments: Payments,
    stop: watch::Sender<bool>,
    task: JoinHandle<Result<(), FollowError>>,
}

impl Till {
    /// Goes on with the payments that are open where the read models are; looks after none where another
    /// node does.
    pub async fn start(
        views: &Views,
        store: &Arc<dyn EventStore>,
        ledger: Ledger,
        tasks: Tasks,
        settings: &Settings,
        looks: bool,
    ) -> Result<Self, ServeError> {
        let failed = |error: &dyn std::fmt::Display| ServeError::Part(format!("payments: {error}"));
        let selling = selling(settings).map_err(ServeError::Part)?;
        let (position, open) = views.payment_work().await.map_err(|error| failed(&error))?;
        let payments =
            Payments::new(ledger, tasks, selling, open).map_err(|error| failed(&error))?;
        let log = store.subscribe(position).await.map_err(|error| failed(&error))?;
        let (stop, stopped) = watch::channel(false);
        let running = payments.clone();
        let task =
            tokio::spawn(
                async move { if looks { running.run(log, stopped).await } else { Ok(()) } },
            );
        Ok(Self { payments, stop, task })
    }

    /// Waits until it ends although nobody stopped it: then nobody would look after open payments.
    pub async fn ended(&mut self) -> ServeError {
        let ended: Result<Result<(), FollowError>, JoinError> = (&mut self.task).await;
        let why = match ended {
            Ok(Err(error)) => error.to_string(),
            Err(panic) => panic.to_string(),
            Ok(Ok(())) => "the event log has ended".to_owned(),
        };
        ServeError::Part(format!("payments: {why}"))
    }

    /// Stops it once what is being asked for is answered.
    pub async fn stop(self) {
        if !self.payments.finish(PAYMENTS_STOP).await {
            tracing::warn!(
                "some money is still being asked for; the next start looks what came of it"
            );
        }
        self.stop.send_replace(true);
        if tokio::time::timeout(PAYMENTS_STOP, self.task).await.is_err() {
            tracing::warn!("some payments were still looked at; the next start goes on with them");
        }
    }
}
