//! One shared reader for all who follow a run.

use std::collections::{HashMap, HashSet, VecDeque};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use execution_ledger_domain::ExecutionId;
use tokio::sync::broadcast;

use super::follower::{Batch, Follower, Message};
use super::reader::{Entry, JSON_LINE_MAX_BYTES, Transcripts};

/// How often followed spools are looked at.
const TICK: Duration = Duration::from_millis(20);
/// A run without a spool yet is looked for each so many ticks.
const SEARCH_TICKS: u64 = 5;
/// Batches that a slow follower may lie behind before it must read the files.
const BATCHES_KEPT: usize = 64;
/// Read of one spool at once, in bytes: a batch is what complete lines this holds.
const CHUNK_BYTES: usize = 64 * 1024;
/// How far back the last complete line of a spool is looked for, in bytes: it, and a begun one.
const LAST_LINE_SEARCH_BYTES: u64 = 2 * JSON_LINE_MAX_BYTES as u64;
/// Chunks of one spool that are read in one tick, so that one run can't starve the others.
const CHUNKS_A_TICK: usize = 32;
/// Ended runs that are remembered, for those who ask while the news of the end is on its way.
const ENDED_KEPT: usize = 4096;

/// Delivers the lines of live runs to any number of followers: one thread reads each followed
/// spool once and hands the same lines to all. Nobody follows, nothing runs.
#[derive(Clone, Debug)]
pub struct TranscriptHub(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    transcripts: Transcripts,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    feeds: HashMap<ExecutionId, Arc<Feed>>,
    reader_runs: bool,
    ended: HashSet<ExecutionId>,
    ended_order: VecDeque<ExecutionId>,
}

#[derive(Debug)]
struct Feed {
    sender: broadcast::Sender<Message>,
    ended: AtomicBool,
}

impl TranscriptHub {
    /// For the transcripts of these directories.
    pub fn new(transcripts: Transcripts) -> Self {
        Self(Arc::new(Shared { transcripts, state: Mutex::default() }))
    }

    /// The lines of an execution after `after_seq`. `live`: it has not ended, as far as the caller
    /// knows; the lines then go on until [`Self::ended`], else to the end of what is stored.
    ///
    /// # Errors
    /// Where the reading thread can't be started.
    pub fn follow(
        &self,
        execution: ExecutionId,
        after_seq: u64,
        live: bool,
    ) -> io::Result<Follower> {
        let receiver = if live { self.subscribe(execution)? } else { None };
        Ok(Follower::new(self.0.transcripts.clone(), execution, after_seq, receiver))
    }

    fn subscribe(
        &self,
        execution: ExecutionId,
    ) -> io::Result<Option<broadcast::Receiver<Message>>> {
        let mut state = self.0.lock();
        if state.ended.contains(&execution) {
            return Ok(None);
        }
        if !state.reader_runs {
            let shared = Arc::downgrade(&self.0);
            std::thread::Builder::new()
                .name("transcripts".to_owned())
                .spawn(move || read_followed(&shared))?;
            state.reader_runs = true;
        }
        let feed = state.feeds.entry(execution).or_insert_with(|| {
            let (sender, _) = broadcast::channel(BATCHES_KEPT);
            Arc::new(Feed { sender, ended: AtomicBool::new(false) })
        });
        Ok(Some(feed.sender.subscribe()))
    }

    /// The execution has ended and will print nothing more: its followers end once they have
    /// everything. To be called after every ending, when all of its output is in the spool or in
    /// the archive.
    pub fn ended(&self, execution: ExecutionId) {
        let mut state = self.0.lock();
        if state.ended.insert(execution) {
            state.ended_order.push_back(execution);
        }
        if state.ended_order.len() > ENDED_KEPT
            && let Some(oldest) = state.ended_order.pop_front()
        {
            state.ended.remove(&oldest);
        }
        if let Some(feed) = state.feeds.get(&execution) {
            feed.ended.store(true, Ordering::Release);
        }
    }

    /// The execution runs on another node, and nothing of it comes here: whoever began to follow it before
    /// that was known ends here, and comes again to be sent there.
    pub fn elsewhere(&self, execution: ExecutionId) {
        self.ended(execution);
    }

    /// How many runs are being followed.
    pub fn followed_runs(&self) -> usize {
        self.0.lock().feeds.len()
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing in there is left half done by a panic.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The feeds that somebody listens to; the others are forgotten. `None`, and the reader is
    /// taken for gone, where there is none.
    fn feeds(&self) -> Option<Vec<(ExecutionId, Arc<Feed>)>> {
        let mut state = self.lock();
        state.feeds.retain(|_, feed| feed.sender.receiver_count() > 0);
        if state.feeds.is_empty() {
            state.reader_runs = false;
            return None;
        }
        Some(state.feeds.iter().map(|(id, feed)| (*id, Arc::clone(feed))).collect())
    }
}

/// The thread that reads. It ends when nobody follows any more, or the hub is gone.
fn read_followed(shared: &Weak<Shared>) {
    let mut tails: HashMap<ExecutionId, Tail> = HashMap::new();
    let mut chunk = vec![0_u8; CHUNK_BYTES];
    for tick in 0_u64.. {
        let Some(hub) = shared.upgrade() else { return };
        let Some(feeds) = hub.feeds() else { return };
        tails.retain(|id, _| feeds.iter().any(|(followed, _)| followed == id));
        for (execution, feed) in feeds {
            // Before the reading: what was printed before the end is read after this.
            let ended = feed.ended.load(Ordering::Acquire);
            let tail = tails.entry(execution).or_default();
            if tail.file.is_none() && (ended || tick.is_multiple_of(SEARCH_TICKS)) {
                tail.find(&hub.transcripts, execution);
            }
            let all_read = tail.deliver(&feed, &mut chunk);
            if ended && all_read {
                // Followers that just left don't miss it.
                feed.sender.send(Message::End).unwrap_or_default();
                hub.lock().feeds.remove(&execution);
            }
        }
        drop(hub);
        std::thread::sleep(TICK);
    }
}

/// Where the last complete line of a spool begins, whatever begun line follows it; 0 where there is
/// one line or none. Of what holds no line of ours so far back, the place where the search ended.
fn before_last_line(file: &File, length: u64) -> io::Result<u64> {
    let mut chunk = vec![0_u8; CHUNK_BYTES];
    let earliest = length.saturating_sub(LAST_LINE_SEARCH_BYTES);
    let mut newlines = 0;
    let mut end = length;
    while end > earliest {
        let start = end.saturating_sub(CHUNK_BYTES as u64).max(earliest);
        let chunk = &mut chunk[..usize::try_from(end - start).unwrap_or(CHUNK_BYTES)];
        file.read_exact_at(chunk, start)?;
        let found = chunk.iter().enumerate().rev().filter(|(_, byte)| **byte == b'\n');
        for (at, _) in found {
            newlines += 1;
            if newlines == 2 {
                return Ok(start + at as u64 + 1);
            }
        }
        end = start;
    }
    Ok(earliest)
}

/// Where the shared reader is in one spool.
#[derive(Default)]
struct Tail {
    file: Option<File>,
    offset: u64,
    /// The beginning of a line whose end has not been written yet.
    partial: Vec<u8>,
}

impl Tail {
    /// Opens the spool before its last complete line. A follower that began before there was any
    /// is so told of that line; one that lacks lines before it sees the gap, and reads the file. A
    /// spool that can't be read (yet) is looked for again.
    fn find(&mut self, transcripts: &Transcripts, execution: ExecutionId) {
        let Ok(Some(path)) = transcripts.spool_of(execution) else { return };
        let Ok(file) = File::open(path) else { return };
        let Ok(length) = file.metadata().map(|metadata| metadata.len()) else { return };
        let Ok(offset) = before_last_line(&file, length) else { return };
        self.offset = offset;
        self.file = Some(file);
    }

    /// Sends what was appended; true where the end of the file was reached.
    fn deliver(&mut self, feed: &Feed, chunk: &mut [u8]) -> bool {
        for _ in 0..CHUNKS_A_TICK {
            let Some(file) = &self.file else { return true };
            let read = match file.read_at(chunk, self.offset) {
                Ok(0) => return true,
                Ok(read) => read,
                Err(error) => {
                    // Followers read the files at the end, and are told of the error there.
                    tracing::warn!(%error, "a spool can't be read");
                    return true;
                }
            };
            self.offset += read as u64;
            self.partial.extend_from_slice(&chunk[..read]);
            let batch = self.complete_lines();
            if !batch.is_empty() {
                // That nobody listens any more is found out in the next tick.
                feed.sender.send(Message::Lines(batch)).map(drop).unwrap_or_default();
            }
        }
        false
    }

    fn complete_lines(&mut self) -> Batch {
        let Some(end) = self.partial.iter().rposition(|&byte| byte == b'\n') else {
            if self.partial.len() > JSON_LINE_MAX_BYTES {
                // No line of ours. Followers find the same in the file, and say so.
                self.partial.clear();
            }
            return Batch::from([]);
        };
        // A line that is none is left out here: followers then read the file and are told of it.
        let batch = self.partial[..end]
            .split(|&byte| byte == b'\n')
            .filter_map(|json| Entry::from_json(json).ok())
            .collect();
        self.partial.drain(..=end);
        batch
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn the_shared_reader_begins_before_the_last_complete_line_however_long_it_is() {
        let long = "x".repeat(3 * CHUNK_BYTES);
        for (text, expected) in [
            (String::new(), 0),
            ("half a line".to_owned(), 0),
            ("one\n".to_owned(), 0),
            ("one\ntwo\n".to_owned(), 4),
            ("one\ntwo\nhalf".to_owned(), 4),
            (format!("one\n{long}\nhalf"), 4),
            (format!("one\ntwo\n{long}"), 4),
            (format!("{long}\n"), 0),
        ] {
            let mut file = tempfile::tempfile().expect("a file");
            file.write_all(text.as_bytes()).expect("written");
            let found = before_last_line(&file, text.len() as u64).expect("read");
            assert_eq!(found, expected, "{} bytes", text.len());
        }
    }
}
