//! Of several nodes, each removes the transcripts on its own disk that any of them erased.

use std::time::Duration;

use execution_ledger_process::erasing::Eraser;
use execution_ledger_process::erasing::sweep::Sweep;
use execution_ledger_process::transcript::Transcripts;
use execution_ledger_store::Ledger;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::data_dir::DataDir;

/// How long a removal that is under way may take at the end; the next start repeats it.
const STOP: Duration = Duration::from_secs(5);

/// At work.
pub struct Sweeping {
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Sweeping {
    /// Begins where it was, or would have been.
    pub fn start(ledger: &Ledger, transcripts: &Transcripts, data_dir: &DataDir) -> Self {
        let eraser = Eraser::new(ledger.clone(), transcripts.clone());
        let (stop, stopped) = watch::channel(false);
        let sweep = Sweep::new(eraser, &data_dir.node());
        Self { stop, task: tokio::spawn(sweep.run(stopped)) }
    }

    /// Stops it where it is.
    pub async fn stop(self) {
        self.stop.send_replace(true);
        if tokio::time::timeout(STOP, self.task).await.is_err() {
            tracing::warn!("a transcript that was erased is removed by the next start");
        }
    }
}
