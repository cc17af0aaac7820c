//! What an event must be by itself, and after those before it.

use std::collections::HashMap;
use std::fmt;
use std::hash::{BuildHasher as _, RandomState};

use execution_ledger_domain::erasure::{Beside, Erased, ErasureEvent, TextPart};
use execution_ledger_domain::{Category, Digest, Event, StreamName, Timestamp};
use execution_ledger_store::Recorded;

use super::report::{Check, Report};
use super::{TranscriptState, Transcripts};

/// How far times of several nodes may be apart, in milliseconds. Each stamps by its own clock, and an append
/// that was in doubt is repeated with its first time, while others go on. More than that is no clock that
/// is kept.
const CLOCKS_APART_MAX_MS: u64 = 60_000;

/// What is kept of the events before.
#[derive(Default)]
pub(super) struct EventChecks {
    /// The next revision of each stream, by two hashes of its name: names take several times the room.
    next: HashMap<u128, u64>,
    hashers: [RandomState; 2],
    last_recorded_at: Option<Timestamp>,
    /// Several nodes may have written from here on.
    has_leases: bool,
    /// Texts that are gone, and transcripts that are not there, until an erasure tells of them.
    unexplained: HashMap<Beside, Gone>,
}

/// Something that is not there.
struct Gone {
    place: String,
    sha256: Digest,
}

impl EventChecks {
    pub(super) fn streams(&self) -> u64 {
        self.next.len() as u64
    }

    pub(super) fn check(
        &mut self,
        recorded: &Recorded,
        transcripts: &Transcripts,
        report: &mut Report,
    ) {
        self.revision(recorded, report);
        self.time(recorded, report);
        if let Err(error) = recorded.parsed_metadata() {
            report.add(Check::Schema, place(recorded), format!("its metadata: {error}"));
        }
        match recorded.event() {
            Err(error) => report.add(Check::Schema, place(recorded), error.to_string()),
            Ok(event) => {
                self.contents(recorded, &event, report);
                self.transcript(recorded, &event, transcripts, report);
                if let Event::Erasure(ErasureEvent::Erased(erased)) = &event {
                    self.erased(recorded, erased, report);
                }
            }
        }
    }

    fn time(&mut self, recorded: &Recorded, report: &mut Report) {
        self.has_leases |= recorded.stream.category() == Category::Lease.as_str();
        let Some(last) = self.last_recorded_at.replace(recorded.recorded_at) else { return };
        if last <= recorded.recorded_at {
            return;
        }
        let back_ms = last.ms_since(recorded.recorded_at) + 1;
        if self.has_leases && back_ms <= CLOCKS_APART_MAX_MS {
            report.clocks_apart += 1;
            report.clocks_apart_ms = report.clocks_apart_ms.max(back_ms);
        } else {
            report.add(Check::Event, place(recorded), "it was recorded before the event before it");
        }
    }

    fn revision(&mut self, recorded: &Recorded, report: &mut Report) {
        let [high, low] = [0, 1].map(|n: usize| self.hashers[n].hash_one(recorded.stream.as_str()));
        let key = (u128::from(high) << 64) | u128::from(low);
        let expected = self.next.insert(key, recorded.revision.saturating_add(1)).unwrap_or(0);
        if recorded.revision != expected {
            let problem = format!(
                "at position {} comes revision {}, where {expected} should be",
                recorded.position.number(),
                recorded.revision
            );
            report.add(Check::Stream, recorded.stream.as_str(), problem);
        }
    }
}

/// Which event it is.
#[derive(Clone, Debug)]
pub(super) struct Place {
    position: u64,
    stream: StreamName,
    revision: u64,
}

impl Place {
    pub(super) fn of(recorded: &Recorded) -> Self {
        let (position, revision) = (recorded.position.number(), recorded.revision);
        Self { position, stream: recorded.stream.clone(), revision }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { position, stream, revision } = self;
        write!(f, "event {position} ({stream}, revision {revision})")
    }
}

fn place(recorded: &Recorded) -> String {
    Place::of(recorded).to_string()
}

impl EventChecks {
    fn contents(&mut self, recorded: &Recorded, event: &Event, report: &mut Report) {
        let references = event.texts();
        if references.len() != recorded.contents.len() {
            let (is, should) = (recorded.contents.len(), references.len());
            let problem = format!("{is} texts lie beside it, and it speaks of {should}");
            report.add(Check::Content, place(recorded), problem);
        }
        let both = references.iter().zip(&recorded.contents);
        for (number, ((part, reference), stored)) in both.enumerate() {
            let same = match &stored.content {
                None => {
                    report.contents_erased += 1;
                    self.gone(recorded, *part, reference.sha256);
                    stored.sha256 == reference.sha256
                }
                Some(content) => {
                    report.contents += 1;
                    stored.sha256 == reference.sha256 && content.reference() == *reference
                }
            };
            if !same {
                let problem = format!("text {} beside it is not what it recorded", number + 1);
                report.add(Check::Content, place(recorded), problem);
            }
        }
    }

    fn transcript(
        &mut self,
        recorded: &Recorded,
        event: &Event,
        transcripts: &Transcripts,
        report: &mut Report,
    ) {
        let Event::Execution(event) = event else { return };
        let Some(expected) = event.report().and_then(|report| report.transcript.as_ref()) else {
            return;
        };
        let Some(execution) = recorded.stream.execution_id() else { return };
        match transcripts(execution, expected) {
            TranscriptState::Same => report.transcripts += 1,
            TranscriptState::Absent => {
                report.transcripts_absent += 1;
                self.gone(recorded, TextPart::Transcript, expected.sha256);
            }
            TranscriptState::Changed(why) => {
                report.add(Check::Transcript, format!("execution {execution}"), why);
            }
        }
    }

    fn gone(&mut self, recorded: &Recorded, part: TextPart, sha256: Digest) {
        let stream = recorded.stream.to_string();
        let beside = Beside { stream, event_id: recorded.id, part };
        self.unexplained.insert(beside, Gone { place: place(recorded), sha256 });
    }

    /// What an erasure tells must be so: it names what is gone, and nothing that is still there.
    fn erased(&mut self, recorded: &Recorded, erased: &Erased, report: &mut Report) {
        for beside in &erased.beside {
            let is_transcript = beside.part == TextPart::Transcript;
            let check = if is_transcript { Check::Transcript } else { Check::Content };
            match self.unexplained.remove(beside) {
                Some(gone) if gone.sha256 == erased.content.sha256 => {
                    if is_transcript {
                        report.transcripts_absent -= 1;
                        report.transcripts_erased += 1;
                    }
                }
                _ => {
                    let (part, stream) = (beside.part.as_str(), &beside.stream);
                    let problem = format!("it tells that the {part} of {stream} was erased");
                    let problem = format!("{problem}, which is still there or was told before");
                    report.add(check, place(recorded), problem);
                }
            }
        }
    }

    /// Texts that are gone, and of whose erasure nothing was told so far.
    pub(super) fn unexplained(&self) -> Vec<(StreamName, Beside, String)> {
        let texts =
            self.unexplained.iter().filter(|(beside, _)| beside.part != TextPart::Transcript);
        let told = texts.map(|(beside, gone)| {
            (StreamName::content(gone.sha256), beside.clone(), gone.place.clone())
        });
        told.collect()
    }
}
