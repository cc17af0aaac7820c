//! When the server is to stop: signals, heard once, told to everybody.

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use super::ServeError;

/// Tells when the server is to stop. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Shutdown(watch::Receiver<bool>);

impl Shutdown {
    /// Listens for SIGTERM, SIGINT and SIGHUP from now on. The first one asks to stop in order; a
    /// second one ends the process at once: the runs are their supervisors', so nothing is lost.
    ///
    /// Must be called within the asynchronous runtime.
    pub fn on_signals() -> Result<Self, ServeError> {
        let (tell, told) = watch::channel(false);
        let hear = |kind| {
            signal(kind)
                .map_err(|error| ServeError::Part(format!("signals can't be heard: {error}")))
        };
        let mut terminate = hear(SignalKind::terminate())?;
        let mut interrupt = hear(SignalKind::interrupt())?;
        let mut hangup = hear(SignalKind::hangup())?;
        tokio::spawn(async move {
            let mut next = async || {
                tokio::select! {
                    _ = terminate.recv() => "SIGTERM",
                    _ = interrupt.recv() => "SIGINT",
                    _ = hangup.recv() => "SIGHUP",
                }
            };
            let first = next().await;
            tracing::info!(signal = first, "stopping; a second signal ends at once");
            tell.send_replace(true);
            let second = next().await;
            tracing::warn!(signal = second, "ended at once");
            std::process::exit(1);
        });
        Ok(Self(told))
    }

    /// Ready once the server is to stop.
    pub async fn requested(&self) {
        // An error means that nobody can tell any more, which only happens at the very end.
        drop(self.0.clone().wait_for(|asked| *asked).await);
    }
}
