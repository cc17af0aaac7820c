//! All checks of a log, event by event.

use execution_ledger_domain::StreamName;
use execution_ledger_domain::erasure::Beside;
use execution_ledger_store::{LogId, Recorded};

use super::events::EventChecks;
use super::report::{Check, Report};
use super::tree::{TreeChecks, trusted};
use super::{Inputs, Transcripts};
use crate::notary::{KeyChain, NotaryError};

/// The checks of one pass along the log.
pub(super) struct Checks {
    report: Report,
    events: EventChecks,
    tree: TreeChecks,
    transcripts: Box<Transcripts>,
}

impl Checks {
    pub(super) fn begin(
        log: &LogId,
        inputs: Inputs,
        keys: Result<Option<KeyChain>, NotaryError>,
    ) -> Self {
        let mut report = Report::default();
        let chain = trusted(keys, inputs.key, &mut report);
        let place = (log, inputs.notary.as_path());
        let tree = TreeChecks::begin(place, chain, inputs.kept, &inputs.witnesses, &mut report);
        let transcripts = inputs.transcripts;
        Self { report, events: EventChecks::default(), tree, transcripts }
    }

    pub(super) fn events(&self) -> u64 {
        self.report.events
    }

    pub(super) fn event(&mut self, recorded: &Recorded) -> Result<(), NotaryError> {
        self.report.events += 1;
        self.events.check(recorded, &*self.transcripts, &mut self.report);
        self.tree.check(recorded, &mut self.report)
    }

    pub(super) fn unreadable(&mut self, after: u64, problem: &str) {
        let place = format!("the event after position {after}");
        let problem = format!("it can't be read, and nothing after it was checked: {problem}");
        self.report.add(Check::Event, place, problem);
    }

    /// Texts that are gone, and of whose erasure nothing was told so far: the stream that would tell.
    pub(super) fn unexplained(&self) -> Vec<(StreamName, Beside, String)> {
        self.events.unexplained()
    }

    /// A text is gone, and no event tells of it.
    pub(super) fn untold(&mut self, beside: &Beside, place: &str) {
        let problem =
            format!("its {} is gone, and no content.erased tells of it", beside.part.as_str());
        self.report.add(Check::Content, place, problem);
    }

    pub(super) fn end(mut self) -> Report {
        self.report.streams = self.events.streams();
        self.tree.end(&mut self.report);
        self.report
    }
}
