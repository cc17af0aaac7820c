//! The leases that this node holds: having them, giving them up, and taking slots by them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use execution_ledger_domain::lease::{Command, Lease, LeaseEvent, LeaseName, Rejection, TakenSlot};
use execution_ledger_domain::{Actor, Aggregate, Event, NodeId, StreamName};
use execution_ledger_store::{Context, ExecuteError, Ledger, StoreError, StreamHead, With};

/// A lease of this node, as its stream stood after this node's last append.
struct Held {
    epoch: u64,
    state: Lease,
    head: StreamHead,
}

/// Why a slot is not taken.
#[derive(Debug, thiserror::Error)]
pub enum SlotRefused {
    /// This node does not hold the lease in that epoch any more: nothing was taken.
    #[error("this node does not host the agent any more")]
    NotHolder,
    /// Whether it was taken is not known.
    #[error(transparent)]
    Unknown(#[from] StoreError),
}

/// The leases that this node holds.
pub(super) struct Holding {
    me: NodeId,
    ledger: Ledger,
    held: Mutex<HashMap<LeaseName, Shared>>,
}

/// A lease; nothing while it is being acquired. Whoever is told of it by the log before its append was
/// answered waits for the answer.
type Shared = Arc<tokio::sync::Mutex<Option<Held>>>;

impl Holding {
    pub fn new(me: NodeId, ledger: Ledger) -> Self {
        Self { me, ledger, held: Mutex::new(HashMap::new()) }
    }

    fn of(&self, name: &LeaseName) -> Option<Shared> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }

    /// Whether a lease is held, as far as this node knows.
    pub fn has(&self, name: &LeaseName) -> bool {
        self.of(name).is_some()
    }

    /// Holds nothing any more.
    pub fn drop_all(&self) {
        self.held.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    fn drop_one(&self, name: &LeaseName) {
        self.held.lock().unwrap_or_else(PoisonError::into_inner).remove(name);
    }

    /// What it holds.
    pub fn names(&self) -> Vec<LeaseName> {
        let held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.keys().cloned().collect()
    }

    /// Has a lease that was judged to be free in the epoch `after`. False where somebody was quicker.
    pub async fn acquire(&self, name: &LeaseName, after: u64) -> Result<bool, StoreError> {
        let shared = Shared::default();
        let mut place = shared.lock().await;
        let held = self.held.lock();
        held.unwrap_or_else(PoisonError::into_inner).insert(name.clone(), Arc::clone(&shared));
        let acquired = self.acquired(name, after).await;
        match acquired {
            Ok(Some(held)) => {
                *place = Some(held);
                Ok(true)
            }
            Ok(None) => {
                self.drop_one(name);
                Ok(false)
            }
            Err(fault) => {
                self.drop_one(name);
                Err(fault)
            }
        }
    }

    async fn acquired(&self, name: &LeaseName, after: u64) -> Result<Option<Held>, StoreError> {
        let stream = StreamName::lease(name);
        let command = Command::Acquire { node: self.me, after };
        let context = context(name);
        let done = match last_of(&self.ledger, &stream).await? {
            Some(known) => self.ledger.execute_from(&stream, known, command, &[], &context).await,
            None => self.ledger.execute_new::<Lease>(&stream, command, &[], &context).await,
        };
        match done {
            Ok(done) => {
                let state = done.state;
                Ok(done.head.map(|head| Held { epoch: state.epoch, state, head }))
            }
            Err(ExecuteError::Refused(_)) => Ok(None),
            Err(error) => Err(fault(error)),
        }
    }

    /// Takes a slot in the epoch in which the start was begun.
    pub async fn take_slot(
        &self,
        name: &LeaseName,
        epoch: u64,
        slot: TakenSlot,
    ) -> Result<(), SlotRefused> {
        let held = self.of(name).ok_or(SlotRefused::NotHolder)?;
        // One append after the other: each is made at the revision that the one before left.
        let mut held = held.lock().await;
        let Some(held) = held.as_mut().filter(|held| held.epoch == epoch) else {
            return Err(SlotRefused::NotHolder);
        };
        let stream = StreamName::lease(name);
        let command = Command::TakeSlot { node: self.me, epoch, slot };
        let known = (held.state, held.head);
        let done = self.ledger.execute_from(&stream, known, command, &[], &context(name)).await;
        match done {
            Ok(done) => {
                held.state = done.state;
                held.head = done.head.unwrap_or(held.head);
                Ok(())
            }
            Err(ExecuteError::Refused(_)) => {
                self.drop_one(name);
                Err(SlotRefused::NotHolder)
            }
            Err(error) => Err(SlotRefused::Unknown(fault(error))),
        }
    }

    /// Gives a lease up. What can't be told now is judged by the others after a while.
    pub async fn release(&self, name: &LeaseName) -> Result<(), StoreError> {
        let Some(held) = self.of(name) else { return Ok(()) };
        self.drop_one(name);
        let held = held.lock().await;
        let Some(held) = held.as_ref() else { return Ok(()) };
        let command = Command::Release { node: self.me, epoch: held.epoch };
        let (stream, known) = (StreamName::lease(name), (held.state, held.head));
        match self.ledger.execute_from(&stream, known, command, &[], &context(name)).await {
            Ok(_) | Err(ExecuteError::Refused(_)) => Ok(()),
            Err(error) => Err(fault(error)),
        }
    }
}

/// What the last event of a lease's stream says: each says who holds it, and in which epoch.
pub(super) async fn last_of(
    ledger: &Ledger,
    stream: &StreamName,
) -> Result<Option<(Lease, StreamHead)>, StoreError> {
    let store = ledger.store();
    let last = store.read_stream_backwards(stream, u64::MAX, 1, With::EventsOnly).await?;
    let Some(last) = last.first() else { return Ok(None) };
    let odd = |why: &dyn std::fmt::Display| StoreError::Fault(format!("{stream}: {why}"));
    let Event::Lease(event) = last.event().map_err(|error| odd(&error))? else {
        return Err(odd(&"its last event is no lease's"));
    };
    let known = match &event {
        LeaseEvent::SlotTaken(taken) => Lease::known(taken.epoch, Some(taken.node)),
        LeaseEvent::LeaseAcquired(_) | LeaseEvent::LeaseReleased(_) => Lease::default(),
    };
    Ok(Some((known.evolve(&event), StreamHead::of(last))))
}

fn context(name: &LeaseName) -> Context {
    Context {
        actor: Actor::system("nodes"),
        correlation_id: Some(StreamName::lease(name).to_string()),
        causation_id: None,
        traceparent: None,
    }
}

fn fault(error: ExecuteError<Rejection>) -> StoreError {
    match error {
        ExecuteError::Store(fault) => fault,
        other => StoreError::Fault(other.to_string()),
    }
}
