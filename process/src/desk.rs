//! The desk: the policy's state, shared between those who submit and the manager who acts on it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use execution_ledger_domain::agent::AgentConfig;
use execution_ledger_domain::budget::Spend;
use execution_ledger_domain::policy::{Blocker, Capacity, NotAdmitted, Policy, Waiting};
use execution_ledger_domain::{AgentName, ClaimId, ExecutionId, NanoUsd, UserName};
use execution_ledger_store::Position;
use tokio::sync::{Notify, oneshot, watch};

use crate::budgets::{Refusals, Turn};
use crate::keys::KeyRing;
use crate::signed_out::SignedOutBrowsers;

/// Callers that wait for the end of executions: most at once.
const WAITERS_MAX: usize = 10_000;

/// The policy's state with the keys that hold, and those who wait for them to change.
pub struct Desk {
    policy: Mutex<Policy>,
    waiters: Mutex<HashMap<ExecutionId, Vec<oneshot::Sender<Position>>>>,
    applied: watch::Sender<Position>,
    wake: Notify,
    keys: KeyRing,
    signed_out: Arc<SignedOutBrowsers>,
    refusals: Refusals,
    budget_turn: Turn,
}

/// A place in a queue, and room in the budgets, that is given back unless an append took it over.
pub struct Reservation<'a> {
    desk: &'a Desk,
    agent: AgentName,
    execution: ExecutionId,
    max_cost: Option<NanoUsd>,
    kept: bool,
}

impl Reservation<'_> {
    /// The most that the execution may cost: its own, or less where budgets allow less. What is
    /// appended must say so.
    pub fn max_cost(&self) -> Option<NanoUsd> {
        self.max_cost
    }

    /// The execution was appended: its event takes the place over.
    pub fn keep(mut self) {
        self.kept = true;
    }
}

impl Drop for Reservation<'_> {
    fn drop(&mut self) {
        if !self.kept {
            let mut policy = self.desk.policy();
            policy.release(&self.agent, self.execution);
            policy.budgets_mut().release(self.execution);
        }
    }
}

impl Desk {
    /// Over a policy that has seen the log up to `position`.
    pub fn new(policy: Policy, position: Position) -> Self {
        Self {
            policy: Mutex::new(policy),
            waiters: Mutex::new(HashMap::new()),
            applied: watch::Sender::new(position),
            wake: Notify::new(),
            keys: KeyRing::default(),
            signed_out: Arc::default(),
            refusals: Refusals::default(),
            budget_turn: Turn::default(),
        }
    }

    /// The policy. Held for a moment only, never across an await.
    pub(crate) fn policy(&self) -> MutexGuard<'_, Policy> {
        self.policy.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The keys that hold.
    pub fn keys(&self) -> &KeyRing {
        &self.keys
    }

    /// The browsers that were signed out.
    pub fn signed_out(&self) -> &Arc<SignedOutBrowsers> {
        &self.signed_out
    }

    /// What budgets refused.
    pub(crate) fn refusals(&self) -> &Refusals {
        &self.refusals
    }

    /// Whose turn it is to write about budgets.
    pub(crate) fn budget_turn(&self) -> &Turn {
        &self.budget_turn
    }

    /// Keeps a place in an agent's queue, and room in the budgets.
    pub fn reserve(
        &self,
        agent: &AgentName,
        execution: ExecutionId,
        spend: &Spend,
    ) -> Result<Reservation<'_>, NotAdmitted> {
        self.reserve_instead_of(&[], agent, execution, spend)
    }

    /// The same for what comes in the place of others, which are about to be cancelled. What these may
    /// have spent until then stays spent.
    pub fn reserve_instead_of(
        &self,
        others: &[ExecutionId],
        agent: &AgentName,
        execution: ExecutionId,
        spend: &Spend,
    ) -> Result<Reservation<'_>, NotAdmitted> {
        let mut policy = self.policy();
        policy.reserve_instead_of(others, agent, execution)?;
        self.with_room(&mut policy, agent, execution, spend)
    }

    /// The same for a turn of a chat session, which has a queue of its own.
    pub fn reserve_turn(
        &self,
        agent: &AgentName,
        execution: ExecutionId,
        spend: &Spend,
    ) -> Result<Reservation<'_>, NotAdmitted> {
        let mut policy = self.policy();
        policy.reserve_turn(agent, execution)?;
        self.with_room(&mut policy, agent, execution, spend)
    }

    /// Keeps room in the budgets alone: for an attempt that follows by itself, whatever its queue is
    /// like.
    pub fn reserve_room(
        &self,
        agent: &AgentName,
        execution: ExecutionId,
        spend: &Spend,
    ) -> Result<Reservation<'_>, NotAdmitted> {
        self.with_room(&mut self.policy(), agent, execution, spend)
    }

    /// Under the lock under which the place was kept, so that no two pass one limit together.
    fn with_room(
        &self,
        policy: &mut Policy,
        agent: &AgentName,
        execution: ExecutionId,
        spend: &Spend,
    ) -> Result<Reservation<'_>, NotAdmitted> {
        match policy.budgets_mut().admit(execution, agent, spend) {
            Ok(max_cost) => {
                let agent = agent.clone();
                Ok(Reservation { desk: self, agent, execution, max_cost, kept: false })
            }
            Err(over) => {
                policy.release(agent, execution);
                Err(over.into())
            }
        }
    }

    /// The most that an execution may cost: its own, or less where budgets allow less for one.
    pub fn most(
        &self,
        agent: &AgentName,
        user: &UserName,
        max: Option<NanoUsd>,
    ) -> Option<NanoUsd> {
        self.policy().budgets().most(agent, user, max)
    }

    /// Refuses an agent that is not there, or takes no more tasks.
    pub fn takes_tasks(&self, agent: &AgentName) -> Result<(), NotAdmitted> {
        self.policy().takes_tasks(agent)
    }

    /// An agent's settings.
    pub fn config(&self, agent: &AgentName) -> Option<AgentConfig> {
        self.policy().config(agent).cloned()
    }

    /// An agent's slots and queue; of the queue at most `most`.
    pub fn capacity(&self, agent: &AgentName, most: usize) -> Option<Capacity> {
        self.policy().capacity(agent, most)
    }

    /// Why an execution waits; `None` where it does not.
    pub fn why_waiting(&self, execution: ExecutionId) -> Option<Waiting> {
        self.policy().why_waiting(execution)
    }

    /// What keeps each of these waiting, and its place in its queue; those that do not wait are left out.
    pub fn why_each_waits(
        &self,
        executions: &[ExecutionId],
    ) -> HashMap<ExecutionId, (Blocker, u32)> {
        self.policy().why_each_waits(executions)
    }

    /// The claim by which an execution holds its slot.
    pub fn holds(&self, execution: ExecutionId) -> Option<ClaimId> {
        self.policy().holds(execution)
    }

    /// Starts nothing more; what runs goes on.
    pub fn drain(&self) {
        self.policy().drain();
    }

    /// Executions that run, and executions that wait.
    pub fn totals(&self) -> (u32, u32) {
        self.policy().totals()
    }

    /// Is told the position of the execution's ending. Register before looking whether it has ended.
    /// `None` where too many wait already.
    pub fn await_end(&self, execution: ExecutionId) -> Option<oneshot::Receiver<Position>> {
        let mut waiters = self.waiters.lock().unwrap_or_else(PoisonError::into_inner);
        waiters.retain(|_, senders| {
            senders.retain(|sender| !sender.is_closed());
            !senders.is_empty()
        });
        if waiters.len() >= WAITERS_MAX {
            return None;
        }
        let (sender, receiver) = oneshot::channel();
        waiters.entry(execution).or_default().push(sender);
        Some(receiver)
    }

    /// Tells those who wait that an execution has ended.
    pub(crate) fn announce_end(&self, execution: ExecutionId, position: Position) {
        let mut waiters = self.waiters.lock().unwrap_or_else(PoisonError::into_inner);
        for sender in waiters.remove(&execution).unwrap_or_default() {
            // Nobody waits any more: then nobody is to be told.
            // An error means that nobody waits any more.
            sender.send(position).ok();
        }
    }

    /// Says how far the policy has seen the log.
    pub(crate) fn announce_applied(&self, position: Position) {
        self.applied.send_replace(position);
    }

    /// Waits until the policy has seen the log up to `position`; false where that takes too long.
    pub async fn wait_applied(&self, position: Position, most: Duration) -> bool {
        let mut applied = self.applied.subscribe();
        let seen = applied.wait_for(|applied| *applied >= position);
        matches!(tokio::time::timeout(most, seen).await, Ok(Ok(_)))
    }

    /// How far the policy has seen the log.
    pub fn applied(&self) -> Position {
        *self.applied.borrow()
    }

    /// The same, to be watched.
    pub(crate) fn applied_changes(&self) -> watch::Receiver<Position> {
        self.applied.subscribe()
    }

    /// Lets the manager look again.
    pub(crate) fn wake(&self) {
        self.wake.notify_one();
    }

    /// Waits until somebody wants the manager to look again.
    pub(crate) async fn woken(&self) {
        self.wake.notified().await;
    }
}
