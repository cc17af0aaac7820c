//! Several nodes over one log: slots are kept whatever is late, lost or taken over.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use uuid::Uuid;

use super::*;
use crate::Aggregate;
use crate::agent::Runtime;
use crate::execution::{self, Cancelled, Execution, Running};
use crate::ids::{ClaimId, NodeId, UserName};
use crate::lease::{Command, Lease, LeaseEvent, LeaseName, TakenSlot};

const SLOTS: u32 = 2;
const NODES: usize = 3;

fn agent() -> AgentName {
    AgentName::new("a").expect("a name")
}

fn of_agent() -> LeaseName {
    LeaseName::Agent(agent())
}

fn node(index: usize) -> NodeId {
    NodeId(Uuid::from_u128(index as u128 + 1))
}

fn id(number: u64) -> ExecutionId {
    ExecutionId(Uuid::from_u128(number.into()))
}

fn now() -> Timestamp {
    Timestamp::from_micros(1)
}

fn policy_of(index: usize) -> Policy {
    let base = AgentConfig::of(Runtime::Command, vec!["/bin/true".to_owned()]);
    let config = AgentConfig { max_parallel_tasks: SLOTS, queue_limit: 1_000, ..base };
    let mut policy = Policy::default();
    policy.share(node(index));
    policy.load_agent(&agent(), config, AgentStatus::Active);
    policy.may_act(true);
    policy
}

/// What stands in the log.
#[derive(Clone)]
enum Fact {
    Of(ExecutionId, ExecutionEvent),
    Lease(LeaseName, LeaseEvent),
}

/// A start that has not come to its end: it may rest between any two steps for as long as it likes.
#[derive(Clone)]
struct Start {
    effect: Effect,
    claim: ClaimId,
    fenced: bool,
}

struct Node {
    policy: Policy,
    seen: usize,
    starts: Vec<Start>,
}

/// A log, the streams in it, and nodes that read it when they get to it.
struct World {
    log: Vec<Fact>,
    lease: Lease,
    executions: BTreeMap<ExecutionId, Execution>,
    nodes: Vec<Node>,
    claims: u128,
}

impl World {
    fn new() -> Self {
        let node = |index| Node { policy: policy_of(index), seen: 0, starts: Vec::new() };
        Self {
            log: Vec::new(),
            lease: Lease::default(),
            executions: BTreeMap::new(),
            nodes: (0..NODES).map(node).collect(),
            claims: 0,
        }
    }

    fn lease(&mut self, command: Command) -> bool {
        let Ok(events) = self.lease.decide(command) else { return false };
        for event in events {
            self.lease = self.lease.evolve(&event);
            self.log.push(Fact::Lease(of_agent(), event));
        }
        true
    }

    fn append(&mut self, id: ExecutionId, event: &ExecutionEvent) {
        let state = self.executions.remove(&id).unwrap_or_default();
        self.executions.insert(id, state.evolve(event));
        self.log.push(Fact::Of(id, event.clone()));
    }

    fn submit(&mut self) {
        let number = self.executions.len() as u64 + 1;
        let user = UserName::new("u").expect("a name");
        let pending = crate::given::task(agent(), user, Timestamp::MAX);
        self.append(id(number), &ExecutionEvent::Pending(Box::new(pending)));
    }

    fn read(&mut self, index: usize, most: usize) {
        let node = &mut self.nodes[index];
        let until = self.log.len().min(node.seen + most);
        for (number, fact) in self.log[node.seen..until].iter().enumerate() {
            let number = (node.seen + number + 1) as u64;
            match fact {
                Fact::Of(id, event) => node.policy.apply_execution(number, *id, event),
                Fact::Lease(name, event) => node.policy.apply_lease(name, event),
            }
        }
        node.seen = until;
    }

    fn begin(&mut self, index: usize) {
        let node = &mut self.nodes[index];
        for effect in node.policy.begin(now(), 64) {
            if let Effect::Start { .. } = effect {
                self.claims += 1;
                let claim = ClaimId(Uuid::from_u128(self.claims));
                node.starts.push(Start { effect, claim, fenced: false });
            }
        }
    }

    /// The next step of a start: the slot in the lease's stream, then the claim.
    fn go_on(&mut self, index: usize, which: usize) {
        if self.nodes[index].starts.is_empty() {
            return;
        }
        let which = which % self.nodes[index].starts.len();
        let mut start = self.nodes[index].starts.remove(which);
        let execution = start.effect.execution();
        if !start.fenced {
            let slot = TakenSlot { execution, claim: start.claim };
            let take = |epoch| Command::TakeSlot { node: node(index), epoch, slot };
            let epoch = self.nodes[index].policy.start_epoch(execution);
            if epoch.is_some_and(|epoch| self.lease(take(epoch))) {
                start.fenced = true;
                self.nodes[index].policy.took_slot(execution);
                self.nodes[index].starts.push(start);
            } else {
                self.nodes[index].policy.give_back(&start.effect);
            }
            return;
        }
        let command = execution::Command::Start {
            claim: start.claim,
            now: now(),
            runtime: Runtime::Command,
            turn: execution::TurnContext::default(),
            node: Some(node(index)),
        };
        let decided = self.executions.get(&execution).cloned().unwrap_or_default().decide(command);
        for event in decided.unwrap_or_default() {
            self.append(execution, &event);
            self.nodes[index].policy.apply_execution(0, execution, &event);
        }
    }

    /// The answer to a step is lost: the start is given back, whatever it has appended.
    fn lose_answer(&mut self, index: usize, which: usize) {
        if self.nodes[index].starts.is_empty() {
            return;
        }
        let which = which % self.nodes[index].starts.len();
        let start = self.nodes[index].starts.remove(which);
        let (execution, claim) = (start.effect.execution(), start.claim);
        let epoch = self.nodes[index].policy.start_epoch(execution);
        if let Some(epoch) = epoch.filter(|_| !start.fenced) {
            let slot = TakenSlot { execution, claim };
            self.lease(Command::TakeSlot { node: node(index), epoch, slot });
            self.nodes[index].policy.slot_may_be_taken(execution);
        }
        self.nodes[index].policy.give_back(&start.effect);
        // What was sent may still come to be: it is another's from here on.
        let next = (index + 1) % NODES;
        if start.fenced {
            self.nodes[next].starts.push(start);
            let last = self.nodes[next].starts.len() - 1;
            self.go_on_as(next, last, index);
        }
    }

    /// An append of a node that does not wait for it any more.
    fn go_on_as(&mut self, holder: usize, which: usize, sender: usize) {
        let start = self.nodes[holder].starts.remove(which);
        let execution = start.effect.execution();
        let command = execution::Command::Start {
            claim: start.claim,
            now: now(),
            runtime: Runtime::Command,
            turn: execution::TurnContext::default(),
            node: Some(node(sender)),
        };
        let state = self.executions.get(&execution).cloned().unwrap_or_default();
        for event in state.decide(command).unwrap_or_default() {
            self.append(execution, &event);
        }
    }

    fn running(&self) -> Vec<ExecutionId> {
        let runs = |state: &Execution| matches!(state, Execution::Running { .. });
        self.executions.iter().filter(|(_, state)| runs(state)).map(|(id, _)| *id).collect()
    }

    /// For how many that have not ended the log says that a slot was taken.
    fn taken(&self) -> usize {
        let of = |fact: &Fact| match fact {
            Fact::Lease(_, LeaseEvent::SlotTaken(taken)) => Some(taken.execution),
            Fact::Lease(..) | Fact::Of(..) => None,
        };
        let taken: BTreeSet<_> = self.log.iter().filter_map(of).collect();
        let open = |id: &&ExecutionId| {
            let state = self.executions.get(id);
            matches!(state, Some(Execution::Pending(_) | Execution::Running { .. }))
        };
        taken.iter().filter(open).count()
    }

    fn end(&mut self, which: usize) {
        let running = self.running();
        if let Some(id) = running.get(which % running.len().max(1)).copied() {
            self.append(id, &cancelled());
        }
    }

    /// Somebody is moved to the front: then nodes that have seen it differ in whom they start first.
    fn move_to_front(&mut self, which: usize) {
        if let Some(id) = self.waiting(which) {
            let rank = self.log.len() as u64;
            self.append(id, &ExecutionEvent::QueueMoved(execution::QueueMoved { rank }));
        }
    }

    fn waiting(&self, which: usize) -> Option<ExecutionId> {
        let waits = |state: &Execution| matches!(state, Execution::Pending(_));
        let waiting: Vec<_> =
            self.executions.iter().filter(|(_, s)| waits(s)).map(|(id, _)| *id).collect();
        waiting.get(which % waiting.len().max(1)).copied()
    }

    fn cancel(&mut self, which: usize) {
        if let Some(id) = self.waiting(which) {
            self.append(id, &cancelled());
        }
    }
}

#[derive(Clone, Debug)]
enum Step {
    Submit,
    Acquire(usize),
    Release(usize),
    Read(usize, usize),
    Begin(usize),
    GoOn(usize, usize),
    LoseAnswer(usize, usize),
    Restart(usize),
    End(usize),
    Cancel(usize),
    Move(usize),
    /// Reads all, has the lease, and begins.
    TakeOver(usize),
}

fn cancelled() -> ExecutionEvent {
    let cancelled = Cancelled { cause: CancelCause::Requested, report: None };
    ExecutionEvent::Cancelled(Box::new(cancelled))
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => Just(Step::Submit),
        1 => (0..NODES).prop_map(Step::Acquire),
        1 => (0..NODES).prop_map(Step::Release),
        6 => (0..NODES, 1..12_usize).prop_map(|(n, most)| Step::Read(n, most)),
        5 => (0..NODES).prop_map(Step::Begin),
        9 => (0..NODES, 0..8_usize).prop_map(|(n, which)| Step::GoOn(n, which)),
        1 => (0..NODES, 0..8_usize).prop_map(|(n, which)| Step::LoseAnswer(n, which)),
        1 => (0..NODES).prop_map(Step::Restart),
        2 => (0..8_usize).prop_map(Step::End),
        1 => (0..8_usize).prop_map(Step::Cancel),
        3 => (0..8_usize).prop_map(Step::Move),
        3 => (0..NODES).prop_map(Step::TakeOver),
    ]
}

impl World {
    fn take(&mut self, step: &Step) {
        match *step {
            Step::Submit => self.submit(),
            Step::Acquire(index) => {
                // By what the node has seen, however old that is.
                let after = self.nodes[index].policy.lease(&of_agent()).epoch;
                self.lease(Command::Acquire { node: node(index), after });
            }
            Step::Release(index) => {
                let Some(epoch) = self.nodes[index].policy.hosted(&agent()) else { return };
                self.nodes[index].policy.stop_hosting(&agent());
                self.lease(Command::Release { node: node(index), epoch });
            }
            Step::Read(index, most) => self.read(index, most),
            Step::Begin(index) => self.begin(index),
            Step::GoOn(index, which) => self.go_on(index, which),
            Step::LoseAnswer(index, which) => self.lose_answer(index, which),
            // Its read models are its log: it begins where it was, and holds nothing.
            Step::Restart(index) => {
                let seen = self.nodes[index].seen;
                self.nodes[index] = Node { policy: policy_of(index), seen: 0, starts: Vec::new() };
                self.read(index, seen);
                self.nodes[index].policy.hold_nothing();
                self.nodes[index].policy.may_act(true);
            }
            Step::End(which) => self.end(which),
            Step::Cancel(which) => self.cancel(which),
            Step::Move(which) => self.move_to_front(which),
            Step::TakeOver(index) => {
                self.read(index, usize::MAX / 2);
                self.take(&Step::Acquire(index));
                self.read(index, usize::MAX / 2);
                self.begin(index);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]
    #[test]
    fn slots_are_never_exceeded_whatever_is_late_lost_or_taken_over(
        steps in prop::collection::vec(any_step(), 1..150)
    ) {
        let mut world = World::new();
        for _ in 0..4 {
            world.submit();
        }
        for step in &steps {
            world.take(step);
            prop_assert!(world.running().len() <= SLOTS as usize, "after {step:?}");
            prop_assert!(world.taken() <= SLOTS as usize, "taken after {step:?}");
        }
        // And the cluster goes on: whoever takes over starts all that waits.
        let last = NODES - 1;
        for _ in 0..3 {
            world.read(last, usize::MAX / 2);
            world.take(&Step::Acquire(last));
        }
        let most = world.executions.len() * 4 + 4;
        for _ in 0..most {
            world.read(last, usize::MAX / 2);
            world.begin(last);
            world.go_on(last, 0);
            world.go_on(last, 0);
            prop_assert!(world.running().len() <= SLOTS as usize);
            world.end(0);
        }
        let waits = |state: &Execution| matches!(state, Execution::Pending(_));
        let left: BTreeSet<_> =
            world.executions.iter().filter(|(_, s)| waits(s)).map(|(id, _)| *id).collect();
        prop_assert!(left.is_empty(), "these never started: {left:?}");
    }
}

/// Takes these steps with four that wait.
fn step_by_step(steps: &[Step]) {
    let mut world = World::new();
    for _ in 0..4 {
        world.submit();
    }
    for step in steps {
        world.take(step);
        assert!(world.taken() <= SLOTS as usize, "taken after {step:?}");
    }
}

#[test]
fn a_slot_counts_for_its_start_also_where_that_comes_to_nothing_before_the_log_tells_of_it() {
    use Step::{Begin, GoOn, LoseAnswer, Move, Read, TakeOver};
    // Another is moved before the one whose claim is still on its way.
    let moved = [Move(2), TakeOver(1), Move(1), Read(1, 1)];
    let lost = [GoOn(1, 0), LoseAnswer(1, 5), Begin(1), GoOn(1, 0), GoOn(1, 0)];
    step_by_step(&[&moved[..], &lost].concat());
}

#[test]
fn a_slot_whose_answer_was_lost_counts_as_taken() {
    use Step::{Begin, GoOn, LoseAnswer, Move, Read, TakeOver};
    // Its node reads that another was moved to the front before it reads what it has appended itself.
    let lost = [TakeOver(0), Move(2), LoseAnswer(0, 0), Read(0, 1)];
    step_by_step(&[&lost[..], &[Begin(0), GoOn(0, 0), GoOn(0, 0)]].concat());
}

#[test]
fn a_slot_that_may_be_taken_is_not_taken_again_where_others_have_them_all() {
    use Step::{GoOn, LoseAnswer, Move, Submit, TakeOver};
    let first = [Move(0), Submit, TakeOver(1), Submit, Move(2), GoOn(1, 0)];
    // Another node takes over and takes both; the first one does not know what became of its second.
    let second = [TakeOver(2), GoOn(2, 0), GoOn(2, 2), LoseAnswer(1, 0)];
    step_by_step(&[&first[..], &second, &[TakeOver(1), GoOn(1, 0), GoOn(1, 0)]].concat());
}

fn acquired(index: usize, epoch: u64) -> LeaseEvent {
    let node = node(index);
    LeaseEvent::LeaseAcquired(crate::lease::LeaseAcquired { node, epoch })
}

fn pending() -> ExecutionEvent {
    let user = UserName::new("u").expect("a name");
    let task = crate::given::task(agent(), user, Timestamp::MAX);
    ExecutionEvent::Pending(Box::new(task))
}

fn running_on(index: usize) -> ExecutionEvent {
    ExecutionEvent::Running(Running {
        claim: ClaimId(Uuid::from_u128(1)),
        slot_until: now(),
        runtime: Runtime::Command,
        resumed_session_id: None,
        told: Vec::new(),
        node: Some(node(index)),
    })
}

#[test]
fn a_node_starts_only_what_it_hosts_and_stops_only_what_it_runs() {
    let mut policy = policy_of(0);
    policy.apply_execution(1, id(1), &pending());
    assert_eq!(policy.begin(now(), 64), []);
    let why = policy.why_waiting(id(1)).expect("it waits");
    assert_eq!(why.blocker, Blocker::NoNode);
    policy.apply_lease(&of_agent(), &acquired(1, 1));
    assert_eq!(policy.begin(now(), 64), []);
    assert_eq!(policy.why_waiting(id(1)).expect("it waits").blocker, Blocker::Starting);
    policy.apply_lease(&of_agent(), &acquired(0, 2));
    policy.may_act(false);
    assert_eq!(policy.begin(now(), 64), [], "it was not heard of lately");
    policy.may_act(true);
    let start = Effect::Start { execution: id(1), agent: agent() };
    assert_eq!(policy.begin(now(), 64), [start]);

    policy.apply_execution(2, id(2), &pending());
    policy.apply_execution(3, id(2), &running_on(1));
    let wish = execution::CancellationRequested { cause: CancelCause::Requested };
    policy.apply_execution(4, id(2), &ExecutionEvent::CancellationRequested(wish));
    assert_eq!(policy.begin(now(), 64), [], "its own node stops it");
    assert_eq!(policy.held_elsewhere().len(), 1);
    assert_eq!(policy.totals().0, 1, "one is being started here");
}

#[test]
fn what_is_done_once_is_done_by_the_leader_and_nothing_is_forgotten_meanwhile() {
    let mut policy = policy_of(0);
    policy.apply_execution(1, id(1), &pending());
    policy.apply_agent(&agent(), &AgentEvent::Retired(crate::agent::Retired {}));
    assert_eq!(policy.begin(now(), 64), []);
    policy.apply_lease(&LeaseName::Leader, &acquired(0, 1));
    let cause = CancelCause::AgentRetired;
    let cancel = Effect::CancelWaiting { execution: id(1), cause };
    assert_eq!(policy.begin(now(), 64), [cancel]);
    policy.hold_nothing();
    assert!(!policy.does_what_is_done_once());
}

#[test]
fn a_holder_that_lost_its_lease_between_slot_and_claim_fills_no_slot_beside_those_of_the_next() {
    let mut world = World::new();
    let all = usize::MAX / 2;
    world.take(&Step::Acquire(0));
    for _ in 0..4 {
        world.submit();
    }
    world.read(0, all);
    world.begin(0);
    for _ in 0..SLOTS {
        world.go_on(0, 0);
    }
    assert_eq!(world.nodes[0].starts.iter().filter(|start| start.fenced).count(), 2);
    // It rests here. The others are moved to the front, and the lease is taken over.
    for last in [3, 2] {
        world.move_to_front(last);
    }
    world.read(1, all);
    world.take(&Step::Acquire(1));
    world.read(1, all);
    world.begin(1);
    for _ in 0..4 {
        world.go_on(1, 0);
    }
    assert_eq!(world.running().len(), 2);
    world.go_on(0, 0);
    world.go_on(0, 0);
    assert_eq!(world.running(), [id(1), id(2)], "what a slot was taken for came first");
}

#[test]
fn of_those_for_which_slots_were_taken_only_so_many_start_as_there_are_slots_since() {
    let mut policy = policy_of(0);
    for number in [1, 2, 3] {
        policy.apply_execution(number, id(number), &pending());
    }
    // Two slots were taken by a node that is gone, and one of them was taken away since.
    for number in [1, 2] {
        let (execution, claim) = (id(number), ClaimId(Uuid::from_u128(number.into())));
        let taken = crate::lease::SlotTaken { execution, claim, node: node(1), epoch: 1 };
        policy.apply_lease(&of_agent(), &LeaseEvent::SlotTaken(taken));
    }
    let base = AgentConfig::of(Runtime::Command, vec!["/bin/true".to_owned()]);
    let config = AgentConfig { max_parallel_tasks: 1, queue_limit: 1_000, ..base };
    policy.load_agent(&agent(), config, AgentStatus::Active);
    policy.apply_lease(&of_agent(), &acquired(0, 2));
    let start = |number| Effect::Start { execution: id(number), agent: agent() };
    assert_eq!(policy.begin(now(), 64), [start(1)]);
    // The other starts when that one has ended, and before what nothing was taken for.
    policy.apply_execution(4, id(1), &running_on(0));
    assert_eq!(policy.begin(Timestamp::EPOCH, 64), []);
    policy.apply_execution(5, id(1), &cancelled());
    assert_eq!(policy.begin(now(), 64), [start(2)]);
}
