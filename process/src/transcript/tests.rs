use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::time::{Duration, SystemTime};

use execution_ledger_domain::execution::TranscriptRef;
use execution_ledger_domain::{ClaimId, ExecutionId, Timestamp};
use futures::StreamExt;
use uuid::Uuid;

use super::*;
use crate::orders::RunFiles;

/// Whatever takes longer than this has failed.
const PATIENCE: Duration = Duration::from_secs(30);

struct Place {
    _directory: tempfile::TempDir,
    transcripts: Transcripts,
    execution: ExecutionId,
    files: RunFiles,
}

/// A run that has begun and printed nothing yet.
fn place() -> Place {
    let directory = tempfile::tempdir().expect("a directory");
    let transcripts =
        Transcripts::new(directory.path().join("runs"), directory.path().join("transcripts"));
    let execution = ExecutionId(Uuid::now_v7());
    let files = RunFiles::new(transcripts.runs(), execution, ClaimId(Uuid::now_v7()));
    fs::create_dir_all(&files.directory).expect("made");
    File::create(files.lock()).expect("made");
    File::create(files.spool()).expect("made");
    Place { _directory: directory, transcripts, execution, files }
}

impl Place {
    fn line(seq: u64) -> Line {
        Line {
            seq,
            at: Timestamp::EPOCH,
            stream: OutputStream::Stdout,
            line: format!("line {seq} \u{1f600}"),
            continued: false,
            invalid_utf8: false,
        }
    }

    fn append_bytes(&self, bytes: &[u8]) {
        let spool = OpenOptions::new().append(true).open(self.files.spool());
        spool.expect("opened").write_all(bytes).expect("written");
    }

    fn append(&self, seqs: std::ops::RangeInclusive<u64>) {
        let mut text = Vec::new();
        for seq in seqs {
            serde_json::to_writer(&mut text, &Self::line(seq)).expect("json");
            text.push(b'\n');
        }
        self.append_bytes(&text);
    }

    fn archive(&self) {
        archive(self.transcripts.runs(), self.transcripts.archives(), self.execution)
            .expect("archived");
    }

    fn seqs(&self, after: u64, limit: usize) -> Vec<u64> {
        let page = self.transcripts.page(self.execution, after, limit, usize::MAX);
        page.expect("a page").entries.iter().map(|entry| entry.seq).collect()
    }
}

#[test]
fn a_transcript_reads_the_same_live_and_archived() {
    let place = place();
    place.append(1..=1000);
    let live = measure(&place.files.spool()).expect("measured");
    assert_eq!(place.seqs(998, 10), [999, 1000]);
    assert_eq!(place.seqs(0, 2), [1, 2]);
    place.archive();
    assert!(!place.files.directory.exists());
    assert_eq!(place.seqs(998, 10), [999, 1000]);
    assert!(place.transcripts.verify(place.execution, &live).expect("verified"));
    assert!(
        !place
            .transcripts
            .verify(place.execution, &TranscriptRef { lines: 999, ..live })
            .expect("verified")
    );
    let mut lines = place.transcripts.open(place.execution).expect("opened").expect("there");
    let first = lines.next().expect("a line").expect("read");
    assert_eq!(first.parse().expect("a line"), Place::line(1));
}

#[test]
fn archiving_can_be_repeated_after_dying_at_any_step() {
    let place = place();
    place.append(1..=10);
    let target = archive_path(place.transcripts.archives(), place.execution);
    fs::create_dir_all(place.transcripts.archives()).expect("made");
    // Died while compressing.
    fs::write(target.with_extension("zst.new"), b"half of it").expect("written");
    place.archive();
    // Died before the run's directory was gone.
    fs::create_dir_all(&place.files.directory).expect("made");
    place.archive();
    place.archive();
    assert_eq!(place.seqs(0, 100).len(), 10);
    let left: Vec<_> = fs::read_dir(place.transcripts.archives()).expect("listed").collect();
    assert_eq!(left.len(), 1);
}

#[test]
fn an_incomplete_last_line_is_left_out_everywhere() {
    let place = place();
    place.append(1..=3);
    place.append_bytes(b"{\"seq\":4,\"at\":");
    let measured = measure(&place.files.spool()).expect("measured");
    assert_eq!(measured.lines, 3);
    assert_eq!(place.seqs(0, 10), [1, 2, 3]);
    place.archive();
    assert_eq!(place.seqs(0, 10), [1, 2, 3]);
    assert!(place.transcripts.verify(place.execution, &measured).expect("verified"));
}

#[test]
fn a_run_without_output_has_no_archive_and_an_empty_transcript() {
    let place = place();
    place.archive();
    assert!(place.transcripts.open(place.execution).expect("opened").is_none());
    let nothing = measure(&place.files.spool()).expect("measured");
    assert_eq!((nothing.lines, nothing.bytes), (0, 0));
    assert!(place.transcripts.verify(place.execution, &nothing).expect("verified"));
}

#[test]
fn a_damaged_archive_is_an_error_and_no_short_transcript() {
    let place = place();
    place.append(1..=1000);
    place.archive();
    let path = archive_path(place.transcripts.archives(), place.execution);
    let bytes = fs::read(&path).expect("read");
    fs::write(&path, &bytes[..bytes.len() / 2]).expect("written");
    let mut lines = place.transcripts.open(place.execution).expect("opened").expect("there");
    assert!(lines.by_ref().any(|line| line.is_err()));
}

#[test]
fn the_oldest_archives_go_first() {
    let directory = tempfile::tempdir().expect("a directory");
    let now = SystemTime::now();
    for (name, age_days) in [("a", 9), ("b", 5), ("c", 3), ("d", 1)] {
        let path = directory.path().join(format!("{name}.ndjson.zst"));
        fs::write(&path, [0; 100]).expect("written");
        let modified = now - Duration::from_hours(age_days * 24);
        File::options()
            .write(true)
            .open(&path)
            .expect("opened")
            .set_modified(modified)
            .expect("set");
    }
    fs::write(directory.path().join("other"), b"not an archive").expect("written");
    let left = || {
        let mut names: Vec<_> = fs::read_dir(directory.path())
            .expect("listed")
            .map(|entry| entry.expect("listed").file_name().to_string_lossy()[..1].to_owned())
            .collect();
        names.sort();
        names.concat()
    };
    let by_age = Retention { max_bytes: None, keep_days: Some(7) };
    assert_eq!(by_age.enforce(directory.path(), now).expect("done").archives, 1);
    assert_eq!(left(), "bcdo");
    let by_room = Retention { max_bytes: Some(150), keep_days: None };
    let removed = by_room.enforce(directory.path(), now).expect("done");
    assert_eq!((removed.archives, removed.bytes, removed.bytes_left), (2, 200, 100));
    assert_eq!(left(), "do");
    assert_eq!(forget_old(&directory.path().join("none"), Some(0), Some(0)).expect("done"), 0);
}

async fn collect(follower: Follower) -> Vec<u64> {
    let stream = follower.into_stream();
    let batches = tokio::time::timeout(PATIENCE, stream.collect::<Vec<_>>()).await;
    let batches = batches.expect("an end in time");
    batches
        .into_iter()
        .flat_map(|batch| batch.expect("read").iter().map(|entry| entry.seq).collect::<Vec<_>>())
        .collect()
}

#[tokio::test]
async fn followers_get_each_line_once_from_wherever_they_begin() {
    let place = place();
    let hub = TranscriptHub::new(place.transcripts.clone());
    place.append(1..=1000);
    let early = tokio::spawn(collect(hub.follow(place.execution, 0, true).expect("followed")));
    let middle = tokio::spawn(collect(hub.follow(place.execution, 990, true).expect("followed")));
    place.append(1001..=1010);
    let ahead = tokio::spawn(collect(hub.follow(place.execution, 1015, true).expect("followed")));
    place.append(1011..=1020);
    hub.ended(place.execution);
    assert_eq!(early.await.expect("done"), (1..=1020).collect::<Vec<_>>());
    assert_eq!(middle.await.expect("done"), (991..=1020).collect::<Vec<_>>());
    assert_eq!(ahead.await.expect("done"), (1016..=1020).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_line_is_delivered_while_the_run_goes_on() {
    let place = place();
    let hub = TranscriptHub::new(place.transcripts.clone());
    let mut follower = hub.follow(place.execution, 0, true).expect("followed");
    for seq in 1..=5 {
        // In two pieces: half a line is no line.
        let mut text = serde_json::to_vec(&Place::line(seq)).expect("json");
        text.push(b'\n');
        let (one, two) = text.split_at(10);
        place.append_bytes(one);
        place.append_bytes(two);
        let batch = tokio::time::timeout(PATIENCE, follower.next()).await.expect("in time");
        let batch = batch.expect("goes on").expect("read");
        assert_eq!(batch[0].parse().expect("a line"), Place::line(seq));
    }
    drop(follower);
    let deadline = std::time::Instant::now() + PATIENCE;
    while hub.followed_runs() > 0 {
        assert!(std::time::Instant::now() < deadline, "nobody follows, so nothing is read");
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn the_first_lines_of_a_run_are_delivered_although_nothing_follows_them() {
    let place = place();
    let (spool, ahead) = (place.files.spool(), place.files.directory.join("ahead"));
    place.append(1..=3);
    // Its first lines come into view all at once, as those of a quick agent do.
    fs::rename(&spool, &ahead).expect("moved");
    let hub = TranscriptHub::new(place.transcripts.clone());
    let mut follower = hub.follow(place.execution, 0, true).expect("followed");
    let mut next = std::pin::pin!(follower.next());
    // It looks into the files, finds nothing, and waits to be told.
    let listens = tokio::time::timeout(Duration::from_millis(200), &mut next).await;
    assert!(listens.is_err(), "there are no lines yet");
    fs::rename(&ahead, &spool).expect("moved");
    let first = tokio::time::timeout(PATIENCE, next).await.expect("in time");
    let first = first.expect("goes on").expect("read");
    assert_eq!(first.iter().map(|entry| entry.seq).collect::<Vec<_>>(), [1, 2, 3]);
}

#[tokio::test]
async fn a_slow_follower_misses_nothing() {
    let place = place();
    let hub = TranscriptHub::new(place.transcripts.clone());
    let mut slow = hub.follow(place.execution, 0, true).expect("followed");
    place.append(1..=1);
    assert_eq!(slow.next().await.expect("goes on").expect("read").len(), 1);
    // Each wait lets the shared reader make another batch, more of them than are kept.
    let mut fast = hub.follow(place.execution, 1, true).expect("followed");
    for seq in 2..=150 {
        place.append(seq..=seq);
        fast.next().await.expect("goes on").expect("read");
    }
    hub.ended(place.execution);
    assert_eq!(collect(slow).await, (2..=150).collect::<Vec<_>>());
}

#[tokio::test]
async fn following_ends_when_the_run_did_even_if_it_was_archived_or_never_began() {
    let place = place();
    let hub = TranscriptHub::new(place.transcripts.clone());
    place.append(1..=10);
    let before = hub.follow(place.execution, 0, true).expect("followed");
    hub.ended(place.execution);
    place.archive();
    assert_eq!(collect(before).await.len(), 10);
    // Who asks late, and does not know yet that it has ended.
    let late = hub.follow(place.execution, 4, true).expect("followed");
    assert_eq!(collect(late).await, (5..=10).collect::<Vec<_>>());

    let never = ExecutionId(Uuid::now_v7());
    let waiting = hub.follow(never, 0, true).expect("followed");
    hub.ended(never);
    assert_eq!(collect(waiting).await, Vec::<u64>::new());
    let unknown = hub.follow(ExecutionId(Uuid::now_v7()), 0, false).expect("followed");
    assert_eq!(collect(unknown).await, Vec::<u64>::new());
}

#[tokio::test]
async fn a_thousand_followers_of_one_run_share_its_lines() {
    let place = place();
    let hub = TranscriptHub::new(place.transcripts.clone());
    let followers: Vec<_> = (0..1000)
        .map(|_| tokio::spawn(collect(hub.follow(place.execution, 0, true).expect("followed"))))
        .collect();
    for seq in 1..=20 {
        place.append(seq..=seq);
        tokio::task::yield_now().await;
    }
    hub.ended(place.execution);
    for follower in followers {
        assert_eq!(follower.await.expect("done").len(), 20);
    }
}
