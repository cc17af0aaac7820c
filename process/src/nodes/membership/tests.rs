//! Judgements of life and death, whatever is delayed, lost or paused.

use execution_ledger_domain::{Digest, Timestamp};
use proptest::prelude::*;
use uuid::Uuid;

use super::*;

const LEASE: Duration = Duration::from_secs(1);

fn node(number: u128) -> NodeId {
    NodeId(Uuid::from_u128(number))
}

fn ms(number: u64) -> Duration {
    Duration::from_millis(number)
}

fn last(of: u128, number: u64) -> LastBeat {
    let beat = Beat {
        node: node(of),
        name: format!("n{of}"),
        url: String::new(),
        version: String::new(),
        lease_ms: 1_000,
        secret: Digest::of(b""),
        leaving: false,
        agents: 0,
        running: 0,
        at: Timestamp::EPOCH,
    };
    LastBeat { beat, number }
}

#[test]
fn a_term_is_prolonged_while_it_lasts_and_another_follows_on_one_that_was_over() {
    let mut me = Membership::new(node(1), LEASE, Err(3));
    assert!(!me.may_act(ms(0)));
    assert_eq!(me.acknowledged(ms(10), ms(20)), Standing { term: 4, until: ms(1_010) });
    assert!(me.may_act(ms(800)) && !me.may_act(ms(820)), "it stops before its term is over");
    assert_eq!(me.acknowledged(ms(500), ms(1_010)), Standing { term: 4, until: ms(1_500) });
    // The answer came too late: others may have judged by then.
    assert_eq!(me.acknowledged(ms(1_490), ms(1_501)), Standing { term: 5, until: ms(2_490) });
    let again = Membership::new(node(1), LEASE, Ok(Standing { term: 5, until: ms(2_490) }));
    assert_eq!(again.standing(ms(2_490)).map(|standing| standing.term), Some(5));
}

#[test]
fn a_look_that_was_not_answered_says_nothing_of_what_is_known_since() {
    let mut me = Membership::new(node(1), LEASE, Err(0));
    assert!(!me.has_looked_since(ms(0)));
    me.looked(ms(100), ms(110), vec![last(2, 1)]);
    assert!(me.has_looked_since(ms(100)));
    assert!(!me.has_looked_since(ms(101)), "it was begun before, whenever it was answered");
}

#[test]
fn a_node_is_dead_only_by_looks_that_were_begun_after_its_silence() {
    let mut me = Membership::new(node(1), LEASE, Err(0));
    me.looked(ms(0), ms(100), vec![last(2, 1)]);
    assert!(!me.is_dead(node(2)));
    // We were paused ourselves: the next look says how it is.
    assert!(!me.is_dead(node(2)), "nobody looked since");
    me.looked(ms(5_000), ms(5_010), vec![last(2, 9)]);
    assert!(!me.is_dead(node(2)));
    me.looked(ms(6_010), ms(6_020), vec![last(2, 9)]);
    assert!(!me.is_dead(node(2)));
    me.looked(ms(6_011), ms(6_020), vec![last(2, 9)]);
    assert!(me.is_dead(node(2)));
    assert!(me.is_dead(node(7)), "one of which nothing was ever seen, for a lease long");
    assert!(me.live(node(2)).is_none());
}

#[test]
fn all_nodes_name_the_same_one_to_come_first() {
    for what in ["a", "b", "demo", "claude"] {
        let first = (1..=5_u128).filter(|me| {
            let mut members = Membership::new(node(*me), LEASE, Err(0));
            members.looked(ms(0), ms(1), (1..=5).map(|other| last(other, 1)).collect());
            members.comes_first_for(what)
        });
        assert_eq!(first.count(), 1, "{what}");
    }
}

/// What happens next to a node that beats and to one that watches it.
#[derive(Clone, Debug)]
enum Step {
    /// Time goes by, in milliseconds.
    Pass(u64),
    /// The node sends a beat.
    Send,
    /// A beat on its way is stored.
    Store(usize),
    /// The answer to a stored beat arrives.
    Answer(usize),
    /// The watcher begins a look; it sees what is stored now.
    Look,
    /// The watcher is shown what its oldest look saw.
    Show,
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        5 => (1..700_u64).prop_map(Step::Pass),
        4 => Just(Step::Send),
        4 => (0..4_usize).prop_map(Step::Store),
        4 => (0..4_usize).prop_map(Step::Answer),
        4 => Just(Step::Look),
        4 => Just(Step::Show),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3_000))]
    #[test]
    fn no_term_outlasts_the_judgement_that_its_node_is_dead(
        steps in prop::collection::vec(any_step(), 1..120)
    ) {
        let mut now = ms(0);
        let mut beating = Membership::new(node(2), LEASE, Err(0));
        let mut watching = Membership::new(node(1), LEASE, Err(0));
        let mut on_their_way: Vec<Duration> = Vec::new();
        let mut stored: Vec<(Duration, Duration)> = Vec::new();
        let mut number = 0;
        let mut looks: std::collections::VecDeque<(Duration, u64)> = std::collections::VecDeque::new();
        // When the beat was stored with which the present term began, and the last look that judged.
        let mut term_stored = ms(0);
        let mut judged: Option<Duration> = None;
        for step in steps {
            match step {
                Step::Pass(time) => now += ms(time),
                Step::Send => on_their_way.push(now),
                Step::Store(which) if !on_their_way.is_empty() => {
                    let sent = on_their_way.remove(which % on_their_way.len());
                    stored.push((sent, now));
                    number += 1;
                }
                Step::Answer(which) if !stored.is_empty() => {
                    let (sent, at) = stored.remove(which % stored.len());
                    let before = beating.standing(now).map(|standing| standing.term);
                    let after = beating.acknowledged(sent, now);
                    if before != Some(after.term) {
                        term_stored = at;
                    }
                }
                Step::Look => looks.push_back((now, number)),
                Step::Show => {
                    let Some((begun, seen)) = looks.pop_front() else { continue };
                    let beats = if seen > 0 { vec![last(2, seen)] } else { Vec::new() };
                    watching.looked(begun, now, beats);
                    judged = Some(begun);
                }
                Step::Store(_) | Step::Answer(_) => {}
            }
            if watching.is_dead(node(2)) && let Some(standing) = beating.standing(now) {
                // A term that lasts began after the look by which the judgement was made.
                let look = judged.expect("somebody looked");
                prop_assert!(term_stored >= look, "{standing:?} at {now:?}, judged by {look:?}");
            }
        }
    }
}
