//! The rules of a lease.

use proptest::prelude::*;
use uuid::Uuid;

use super::*;
use crate::Aggregate;
use crate::given::given;
use crate::ids::{ClaimId, ExecutionId, NodeId};

fn node(n: u128) -> NodeId {
    NodeId(Uuid::from_u128(n))
}

fn slot(n: u128) -> TakenSlot {
    TakenSlot { execution: ExecutionId(Uuid::from_u128(n)), claim: ClaimId(Uuid::from_u128(n)) }
}

fn acquired(n: u128, epoch: u64) -> LeaseEvent {
    LeaseEvent::LeaseAcquired(LeaseAcquired { node: node(n), epoch })
}

fn taken(n: u128, epoch: u64, of: TakenSlot) -> LeaseEvent {
    let TakenSlot { execution, claim } = of;
    LeaseEvent::SlotTaken(SlotTaken { execution, claim, node: node(n), epoch })
}

fn released(n: u128, epoch: u64) -> LeaseEvent {
    LeaseEvent::LeaseReleased(LeaseReleased { node: node(n), epoch })
}

fn acquire(n: u128, after: u64) -> Command {
    Command::Acquire { node: node(n), after }
}

#[test]
fn whoever_takes_a_lease_over_begins_a_new_epoch_and_judges_the_one_before() {
    given::<Lease>([]).when(acquire(1, 0)).then([acquired(1, 1)]);
    given::<Lease>([acquired(1, 1)]).when(acquire(2, 1)).then([acquired(2, 2)]);
    given::<Lease>([acquired(1, 1), acquired(2, 2)])
        .when(acquire(3, 1))
        .then_refused(&Rejection::ChangedHands { epoch: 2 });
    // Its answer was lost; it is asked for again.
    given::<Lease>([acquired(1, 1)]).when(acquire(1, 0)).then([]);
    // A node that was started again fences its former self off.
    given::<Lease>([acquired(1, 1)]).when(acquire(1, 1)).then([acquired(1, 2)]);
    given::<Lease>([acquired(1, 1), released(1, 1)]).when(acquire(2, 1)).then([acquired(2, 2)]);
}

#[test]
fn only_the_holder_takes_slots_and_each_claim_takes_one() {
    let take = |n, epoch| Command::TakeSlot { node: node(n), epoch, slot: slot(7) };
    let held = [acquired(1, 1)];
    given::<Lease>(held).when(take(1, 1)).then([taken(1, 1, slot(7))]);
    given::<Lease>([acquired(1, 1), taken(1, 1, slot(7))]).when(take(1, 1)).then([]);
    given::<Lease>(held).when(take(2, 1)).then_refused(&Rejection::NotHolder { epoch: 1 });
    given::<Lease>([acquired(1, 1), acquired(2, 2)])
        .when(take(1, 1))
        .then_refused(&Rejection::NotHolder { epoch: 2 });
    given::<Lease>([acquired(1, 1), released(1, 1)])
        .when(take(1, 1))
        .then_refused(&Rejection::NotHolder { epoch: 1 });
}

#[test]
fn a_lease_is_given_up_by_its_holder_alone() {
    let release = |n, epoch| Command::Release { node: node(n), epoch };
    given::<Lease>([acquired(1, 1)]).when(release(1, 1)).then([released(1, 1)]);
    given::<Lease>([acquired(1, 1)]).when(release(2, 1)).then([]);
    given::<Lease>([acquired(1, 1), acquired(2, 2)]).when(release(1, 1)).then([]);
}

#[test]
fn no_agent_is_called_like_the_leader() {
    assert_eq!("@leader".parse(), Ok(LeaseName::Leader));
    assert!(crate::AgentName::new("@leader").is_err());
    for name in ["@leader", "demo"] {
        let parsed: LeaseName = name.parse().expect("a lease");
        assert_eq!(parsed.to_string(), name);
        assert_eq!(crate::StreamName::lease(&parsed).lease_name(), Some(parsed));
    }
}

fn any_command() -> impl Strategy<Value = Command> {
    let node = (1..=3_u128).prop_map(node);
    prop_oneof![
        (node.clone(), 0..6_u64).prop_map(|(node, after)| Command::Acquire { node, after }),
        (node.clone(), 0..6_u64, 1..4_u128).prop_map(|(node, epoch, of)| Command::TakeSlot {
            node,
            epoch,
            slot: slot(of)
        }),
        (node, 0..6_u64).prop_map(|(node, epoch)| Command::Release { node, epoch }),
    ]
}

proptest! {
    #[test]
    fn no_epoch_has_two_holders_and_every_slot_is_taken_in_its_holders_epoch(
        commands in prop::collection::vec(any_command(), 1..60)
    ) {
        let mut lease = Lease::default();
        let mut holders: std::collections::BTreeMap<u64, NodeId> = std::collections::BTreeMap::new();
        for command in commands {
            for event in lease.decide(command).unwrap_or_default() {
                match event {
                    LeaseEvent::LeaseAcquired(LeaseAcquired { node, epoch }) => {
                        prop_assert!(epoch > lease.epoch);
                        prop_assert!(holders.insert(epoch, node).is_none());
                    }
                    LeaseEvent::SlotTaken(SlotTaken { node, epoch, .. })
                    | LeaseEvent::LeaseReleased(LeaseReleased { node, epoch }) => {
                        prop_assert_eq!(holders.get(&epoch), Some(&node));
                        prop_assert_eq!(epoch, lease.epoch);
                    }
                }
                lease = lease.evolve(&event);
            }
        }
    }
}
