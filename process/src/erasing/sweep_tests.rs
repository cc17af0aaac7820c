//! Erasing on one node what lies on another.

use std::path::PathBuf;
use std::time::Duration;

use execution_ledger_domain::{ExecutionId, NodeId, StreamName};
use execution_ledger_store::{LogPosition, Position, With};
use serde_json::json;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use uuid::Uuid;

use super::sweep::Sweep;
use super::tests::{World, archive, context, execution, reference, wish};
use super::{Eraser, Target};
use crate::transcript::{Transcripts, archive_path};

/// Longest that anything is waited for.
const PATIENCE: Duration = Duration::from_secs(30);

fn node(number: u128) -> NodeId {
    NodeId(Uuid::from_u128(number))
}

/// A node that shares the log, with a disk of its own.
struct Other {
    archives: PathBuf,
    folder: PathBuf,
    eraser: Eraser,
}

impl Other {
    fn of(world: &World) -> Self {
        let folder = world.folder.path().join("other");
        let archives = folder.join("transcripts");
        let transcripts = Transcripts::new(folder.join("runs"), &archives);
        std::fs::create_dir_all(&archives).expect("a folder");
        Self { archives, eraser: Eraser::new(world.eraser.ledger.clone(), transcripts), folder }
    }

    fn has(&self, id: ExecutionId) -> bool {
        archive_path(&self.archives, id).exists()
    }

    fn start(&self) -> (watch::Sender<bool>, JoinHandle<()>) {
        let (stop, stopped) = watch::channel(false);
        let sweep = Sweep::new(self.eraser.clone(), &self.folder);
        (stop, tokio::spawn(sweep.run(stopped)))
    }

    async fn until(&self, is: impl Fn(&Self) -> bool) {
        let waiting = async {
            while !is(self) {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(PATIENCE, waiting).await.expect("it comes to be");
    }

    async fn until_gone(&self, id: ExecutionId) {
        self.until(|other| !other.has(id)).await;
    }

    fn remembered(&self, world: &World) -> Option<Position> {
        let text = std::fs::read_to_string(self.folder.join("erased.position")).ok()?;
        LogPosition::parse_for(world.store.log_id(), &text).ok()
    }
}

async fn stopped((stop, task): (watch::Sender<bool>, JoinHandle<()>)) {
    stop.send_replace(true);
    tokio::time::timeout(PATIENCE, task).await.expect("it stops").expect("no panic");
}

#[tokio::test]
async fn a_transcript_of_another_node_is_told_here_and_removed_there_once_it_reads_of_it() {
    let (world, there) = (World::new(), node(2));
    let other = Other::of(&world);
    let leader = world.eraser.clone().among(node(1));
    let [first, second, kept] = [execution(1), execution(2), execution(3)];
    for id in [first, second, kept] {
        world.accept(id, "ada", "do it", json!({})).await;
        world.ended_on(id, "do it", &other.archives, json!({"node": there})).await;
    }

    // The other node is down.
    let done = leader.step(&wish(Target::Execution(first)), &context()).await.expect("erased");
    assert_eq!((done.transcripts, done.elsewhere), (1, 1));
    assert!(other.has(first), "nobody removed it yet");
    let head = world.store.head().await.expect("a head");
    let again = leader.step(&wish(Target::Execution(first)), &context()).await.expect("again");
    assert_eq!((again.transcripts, again.elsewhere), (0, 0));
    assert_eq!(world.store.head().await.expect("a head"), head, "nothing is told twice");

    // It is started, and lives on.
    let running = other.start();
    other.until_gone(first).await;
    let before = world.store.head().await.expect("a head");
    leader.step(&wish(Target::Execution(second)), &context()).await.expect("erased");
    other.until_gone(second).await;
    assert!(other.has(kept), "nobody erased it");
    // Whatever ends it from here on, it does not read all of this again.
    other.until(|other| other.remembered(&world).is_some_and(|at| at > before)).await;
    stopped(running).await;
}

#[tokio::test]
async fn what_a_lost_node_left_goes_with_its_execution_and_what_another_attempt_left_stays() {
    let (world, there) = (World::new(), node(2));
    let other = Other::of(&world);
    let [lost, retried] = [execution(1), execution(2)];
    world.accept(lost, "ada", "do it", json!({})).await;
    let stream = StreamName::execution(lost);
    world.append(&stream, "execution.running", json!({"node": there}), &[]).await;
    // Whoever wrote its ending knows nothing of a transcript.
    let failed = json!({"code": "node_lost", "message": reference("not heard of"), "report": null});
    world.append(&stream, "execution.failed", failed, &["not heard of"]).await;
    archive(&other.archives, lost);
    world.accept(retried, "ada", "again", json!({"retry_of": lost})).await;
    world.ended_on(retried, "again", &other.archives, json!({"node": there})).await;

    let leader = world.eraser.clone().among(node(1));
    let done = leader.step(&wish(Target::Execution(lost)), &context()).await.expect("erased");
    assert_eq!(done.transcripts, 0, "none is known");
    let told = super::tests::content("not heard of").reference().sha256;
    assert!(
        leader.is_transcript_erased(lost, told).await.expect("read"),
        "it is known all the same"
    );
    let running = other.start();
    other.until_gone(lost).await;
    stopped(running).await;
    assert!(other.has(retried));
}

#[tokio::test]
async fn a_node_with_an_empty_disk_does_not_read_the_past() {
    let world = World::new();
    world.accept(execution(1), "ada", "do it", json!({})).await;
    let other = Other::of(&world);
    stopped(other.start()).await;
    let head = world.store.head().await.expect("a head");
    assert_eq!(other.remembered(&world), Some(head));
}

#[tokio::test]
async fn a_transcript_that_can_not_be_removed_is_not_passed_over() {
    let world = World::new();
    let other = Other::of(&world);
    let id = execution(1);
    world.accept(id, "ada", "do it", json!({})).await;
    world.ended_on(id, "do it", &other.archives, json!({"node": node(2)})).await;
    let leader = world.eraser.clone().among(node(1));
    leader.step(&wish(Target::Execution(id)), &context()).await.expect("erased");
    // Where it would be put aside, a file stands.
    std::fs::write(other.archives.join("erasing"), "in the way").expect("written");
    let sweep = Sweep::new(other.eraser.clone(), &other.folder);
    let mut at = Position::START;
    sweep.follow(&mut at).await.expect_err("it is in the way");
    let told = world.store.read_all(at, 1, With::EventsOnly).await.expect("read").remove(0);
    assert_eq!(told.type_name, "content.erased", "it goes on with what was not done");
    assert!(other.has(id));

    std::fs::remove_file(other.archives.join("erasing")).expect("removed");
    let running = other.start();
    other.until_gone(id).await;
    stopped(running).await;
}
