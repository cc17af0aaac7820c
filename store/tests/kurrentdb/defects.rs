//! What is known to be wrong with the crate, and that it does us no harm.

use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use execution_ledger_store::kurrentdb::claim_cryptography;
use execution_ledger_store::{AppendError, EventStore, ExpectedRevision, contract};
use tokio::task::JoinSet;

use crate::proxy::Proxy;
use crate::relay::Relay;
use crate::world::{
    Follower, all, append, numbers, opened, opened_impatiently, server, serving, until,
};

/// What a stalled append would take: the delayed acknowledgement of Linux, in milliseconds.
const STALL_MS: u128 = 40;
/// Names the part that this program plays as a child of the test below.
const PART: &str = "EXECUTION_LEDGER_TEST_CRYPTOGRAPHY";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn defect_1_appends_do_not_wait_for_delayed_acknowledgements() {
    const APPENDS: usize = 100;
    let server = server().await;
    // The proxy's sockets are as any server's: nothing in it hurries acknowledgements.
    let proxy = Proxy::before(server.address()).await;
    let store = opened(&[proxy.address()]).await;
    append(&store, 0).await.unwrap();
    let mut took = Vec::with_capacity(APPENDS);
    for number in 0..APPENDS {
        let began = Instant::now();
        append(&store, number).await.unwrap();
        took.push(began.elapsed().as_millis());
    }
    took.sort_unstable();
    assert!(took[APPENDS / 2] < STALL_MS, "the median of {took:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn defect_2_a_node_that_leads_no_more_is_left_for_the_one_that_does() {
    let leader = server().await;
    let follows = serving(Arc::clone(&leader.store)).await;
    let relay = Relay::before(follows.address()).await;
    let store = opened_impatiently(&[relay.address()]).await;
    append(&store, 0).await.unwrap();
    relay.leads(Some(leader.address()));
    let began = Instant::now();
    for number in 1..4 {
        append(&store, number).await.unwrap();
    }
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    assert!(relay.refused() > 0, "it was asked, and said who leads");
    relay.leads(None);
    assert_eq!(numbers(&all(&store).await), [0, 1, 2, 3]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn defect_3_a_subscription_that_is_ended_with_ok_goes_on_without_a_busy_loop() {
    let server = server().await;
    let relay = Relay::before(server.address()).await;
    let store = opened(&[relay.address()]).await;
    let follower = Follower::of(&store).await;
    let mut appended = 0;
    for _ in 0..4 {
        append(&store, appended).await.unwrap();
        appended += 1;
        follower.saw(appended).await;
        let (reads, before) = (relay.reads(), cpu_of_threads("kurrentdb-log"));
        relay.end_reads_with_ok();
        until("the follower's next subscription", || relay.reads() > reads).await;
        append(&store, appended).await.unwrap();
        appended += 1;
        follower.saw(appended).await;
        tokio::time::sleep(Duration::from_millis(300)).await;
        let burned = cpu_of_threads("kurrentdb-log").saturating_sub(before);
        assert!(burned < Duration::from_millis(150), "{burned:?} of 300 ms");
    }
    let seen = follower.saw(appended).await;
    assert_eq!(numbers(&seen), (0..appended).collect::<Vec<_>>(), "no gap and no duplicate");
    assert_eq!(all(&store).await, seen, "pages are subscriptions too");
}

/// Processor time of this process's threads of a name, in the steps of the system's clock.
fn cpu_of_threads(name: &str) -> Duration {
    let mut ticks = 0;
    for task in std::fs::read_dir("/proc/self/task").unwrap() {
        // A thread may end while it is looked at.
        let stat = std::fs::read_to_string(task.unwrap().path().join("stat")).unwrap_or_default();
        let Some((head, tail)) = stat.rsplit_once(')') else { continue };
        if head.ends_with(name) {
            let fields: Vec<&str> = tail.split_whitespace().collect();
            ticks += fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
        }
    }
    Duration::from_millis(ticks * 10)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn defect_4_a_conflict_disturbs_nobody_beside_it() {
    const WRITERS: usize = 24;
    const ROUNDS: usize = 6;
    let server = server().await;
    let store = opened(&[server.address()]).await;
    let mut writers = JoinSet::new();
    for writer in 0..WRITERS {
        let store = Arc::clone(&store);
        writers.spawn(async move {
            let name = contract::stream(&format!("beside-{writer}"));
            for round in 0..ROUNDS {
                let events = vec![contract::event(round)];
                let expected = match round.checked_sub(1) {
                    Some(last) => ExpectedRevision::Exact(last as u64),
                    None => ExpectedRevision::NoStream,
                };
                store.append(&name, expected, events).await.unwrap();
                if writer % 4 == 0 {
                    let events = vec![contract::event(99)];
                    let refused = store.append(&name, ExpectedRevision::NoStream, events).await;
                    let Err(AppendError::WrongExpectedRevision { current }) = refused else {
                        panic!("{refused:?}");
                    };
                    assert_eq!(current, Some(round as u64));
                }
            }
        });
    }
    while let Some(done) = writers.join_next().await {
        done.unwrap();
    }
    assert_eq!(all(&store).await.len(), WRITERS * ROUNDS);
    assert_eq!(store.reconnects(), 0, "a refusal is no reason for a new connection");
}

/// Does nothing unless it is started as a child by the test below.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn child_that_chooses_its_cryptography() {
    let Ok(part) = std::env::var(PART) else { return };
    let ring = || rustls::crypto::ring::default_provider().install_default();
    if part == "too late" {
        ring().unwrap();
        let refused = claim_cryptography().unwrap_err();
        assert!(refused.contains("already"), "{refused}");
        let server = server().await;
        let options = execution_ledger_store::kurrentdb::KurrentOptions {
            waits: crate::world::impatient(),
            ..execution_ledger_store::kurrentdb::KurrentOptions::at(crate::world::at(&[
                server.address()
            ]))
        };
        let refused = execution_ledger_store::kurrentdb::KurrentStore::open(options).await;
        let refused = refused.err().unwrap().to_string();
        assert!(refused.contains("cryptography"), "{refused}");
    } else {
        claim_cryptography().unwrap();
        assert!(ring().is_err(), "the first choice stays");
        claim_cryptography().unwrap();
        let server = server().await;
        let proxy = Proxy::before(server.address()).await;
        let store = opened(&[proxy.address()]).await;
        for number in 0..3 {
            proxy.cut();
            append(&store, number).await.unwrap();
        }
        assert_eq!(numbers(&all(&store).await), [0, 1, 2]);
    }
}

#[test]
fn defect_5_cryptography_is_chosen_once_and_nothing_panics_over_it() {
    for part in ["in time", "too late"] {
        let mut child = Command::new(std::env::current_exe().unwrap());
        child.args(["defects::child_that_chooses_its_cryptography", "--exact", "--nocapture"]);
        // Where the system's certificates can't be read nothing is the worse for it.
        child
            .env(PART, part)
            .env("SSL_CERT_FILE", "/nonexistent")
            .env("SSL_CERT_DIR", "/nonexistent");
        let output = child.output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{part}: {said}");
        assert!(!said.contains("panicked"), "{part}: {said}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn defect_6_the_first_connection_is_not_slept_for_and_times_keep_their_microseconds() {
    let server = server().await;
    drop(opened(&[server.address()]).await);
    let began = Instant::now();
    let store = opened(&[server.address()]).await;
    append(&store, 0).await.unwrap();
    assert!(began.elapsed() < Duration::from_millis(450), "{:?}", began.elapsed());
    for number in 1..20 {
        append(&store, number).await.unwrap();
    }
    let stored = all(&store).await;
    assert!(stored.iter().any(|event| event.recorded_at.micros() % 1_000 != 0));
}
