//! This node among the others: beats, looks, and takes up what nobody holds.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use execution_ledger_domain::lease::{Lease, LeaseName, TakenSlot};
use execution_ledger_domain::{AgentName, ClaimId, ExecutionId, NodeId, StreamName};
use execution_ledger_store::{Beat, Ledger, NodeBoard, StoreError};
use tokio::sync::watch;
use tokio::time::timeout;

use super::hold::{self, Holding, SlotRefused};
use super::lost;
use super::membership::{Membership, Standing};
use super::term::Terms;
use crate::desk::Desk;
use crate::following::told_to_stop;
use crate::supervisor::since_boot;

/// Beats in the time of a lease.
const BEATS_PER_LEASE: u32 = 4;
/// Leases that are taken up in one round: most, so that no beat comes late for them.
const TAKEN_UP_PER_ROUND: usize = 64;
/// Runs of other nodes that are ended in one round: most.
const ENDED_PER_ROUND: usize = 64;
/// How long a stopping node may take to give its leases up.
const LEAVING: Duration = Duration::from_secs(5);

/// Who this node is, and where it keeps what it must remember.
#[derive(Clone, Debug)]
pub struct StationOptions {
    /// What it tells of itself.
    pub card: Beat,
    /// A folder of its own, which is there.
    pub folder: PathBuf,
}

/// A node as it is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeRow {
    /// Its last beat.
    pub beat: Beat,
    /// Whether it lives, as far as this node can see.
    pub lives: bool,
    /// Whether it holds the leader's lease.
    pub leads: bool,
    /// Whether it is this one.
    pub me: bool,
    /// For how long nothing new was seen of it, in milliseconds.
    pub silent_ms: u64,
}

/// How a node stands among the others, as far as it knows itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outlook {
    /// How long its term lasts unless it is prolonged; nothing where it is over: then others may have
    /// what this node held.
    pub term_left: Option<Duration>,
    /// Whoever leads, this node or another that lives; nothing where nobody does.
    pub leader: Option<NodeId>,
    /// How many leases it holds.
    pub leases: usize,
    /// How long ago it began to look at the others, of looks that were answered.
    pub looked_ago: Option<Duration>,
}

/// This node among the others. Cheap to clone.
#[derive(Clone)]
pub struct Station(Arc<Inner>);

struct Inner {
    card: Beat,
    lease: Duration,
    board: Arc<dyn NodeBoard>,
    ledger: Ledger,
    desk: Arc<Desk>,
    terms: Terms,
    members: Mutex<Membership>,
    holding: Holding,
    leading: watch::Sender<bool>,
}

impl Station {
    /// Over a desk whose policy was told that it is one of several nodes.
    ///
    /// # Errors
    /// Where its folder can't be read.
    pub fn new(
        options: StationOptions,
        board: Arc<dyn NodeBoard>,
        ledger: Ledger,
        desk: Arc<Desk>,
    ) -> std::io::Result<Self> {
        let StationOptions { card, folder } = options;
        let (me, lease) = (card.node, Duration::from_millis(card.lease_ms));
        let terms = Terms::new(folder);
        let members = Membership::new(me, lease, terms.last()?);
        Ok(Self(Arc::new(Inner {
            card,
            lease,
            board,
            holding: Holding::new(me, ledger.clone()),
            ledger,
            desk,
            terms,
            members: Mutex::new(members),
            leading: watch::Sender::new(false),
        })))
    }

    /// Which node this is.
    pub fn me(&self) -> NodeId {
        self.0.card.node
    }

    fn members(&self) -> MutexGuard<'_, Membership> {
        self.0.members.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether this node may start anything or write for all now.
    pub fn may_act(&self) -> bool {
        self.members().may_act(since_boot())
    }

    /// The term that lasts now, with the file in which runs look whether it still does.
    pub fn term(&self) -> Option<(u64, PathBuf)> {
        let standing = self.members().standing(since_boot())?;
        Some((standing.term, self.0.terms.file(standing.term)))
    }

    /// Whether this node does what is done once, now: the log says that it has the lease, and it was had
    /// in the term that lasts. One of a term that was over may be told of late.
    pub fn leads(&self) -> bool {
        self.may_act()
            && self.0.holding.has(&LeaseName::Leader)
            && self.0.desk.policy().does_what_is_done_once()
    }

    /// Whether it does, to be watched: looked at with each round.
    pub fn leading(&self) -> watch::Receiver<bool> {
        self.0.leading.subscribe()
    }

    /// Whoever leads, where that is another node and it lives.
    pub fn leader(&self) -> Option<Beat> {
        let holder = self.0.desk.policy().lease(&LeaseName::Leader).holder?;
        if holder == self.me() { None } else { self.node(holder) }
    }

    /// How this node stands now.
    pub fn outlook(&self) -> Outlook {
        let leader = if self.leads() { Some(self.me()) } else { self.leader().map(|it| it.node) };
        let leases = self.0.holding.names().len();
        let (now, members) = (since_boot(), self.members());
        Outlook {
            term_left: members.standing(now).map(|standing| standing.until.saturating_sub(now)),
            leader,
            leases,
            looked_ago: members.looked_ago(now),
        }
    }

    /// A node that lives.
    pub fn node(&self, node: NodeId) -> Option<Beat> {
        self.members().live(node).cloned()
    }

    /// All nodes that were heard of lately, in the order of their names.
    pub fn nodes(&self) -> Vec<NodeRow> {
        let leader = self.0.desk.policy().lease(&LeaseName::Leader).holder;
        let members = self.members();
        let row = |(beat, lives): (&Beat, bool)| NodeRow {
            lives,
            leads: lives && leader == Some(beat.node),
            me: beat.node == self.me(),
            silent_ms: u64::try_from(members.silence(beat.node).as_millis()).unwrap_or(u64::MAX),
            beat: beat.clone(),
        };
        let mut rows: Vec<_> = members.all().map(row).collect();
        rows.sort_by(|a, b| (&a.beat.name, a.beat.node).cmp(&(&b.beat.name, b.beat.node)));
        rows
    }

    /// Which agents' leases are held by which nodes, as the log says, in the order of the agents' names.
    pub fn hosted(&self) -> Vec<(AgentName, NodeId)> {
        let agents = self.0.desk.policy().hosting().into_iter();
        let mut held: Vec<_> =
            agents.filter_map(|(agent, lease, _)| Some((agent, lease.holder?))).collect();
        held.sort();
        held
    }

    /// Takes a slot for a start that was begun in that epoch of its agent's lease.
    ///
    /// # Errors
    /// [`SlotRefused`]: then nothing is to be claimed.
    pub async fn take_slot(
        &self,
        agent: &AgentName,
        epoch: Option<u64>,
        execution: ExecutionId,
        claim: ClaimId,
    ) -> Result<(), SlotRefused> {
        let epoch = epoch.filter(|_| self.may_act()).ok_or(SlotRefused::NotHolder)?;
        let (name, slot) = (LeaseName::Agent(agent.clone()), TakenSlot { execution, claim });
        let taken = self.0.holding.take_slot(&name, epoch, slot).await;
        match &taken {
            Ok(()) => self.0.desk.policy().took_slot(execution),
            Err(SlotRefused::Unknown(_)) => self.0.desk.policy().slot_may_be_taken(execution),
            Err(SlotRefused::NotHolder) => {
                let mut policy = self.0.desk.policy();
                if policy.hosted(agent) == Some(epoch) {
                    policy.stop_hosting(agent);
                }
            }
        }
        taken
    }

    /// Loads who holds which lease, from the streams' ends.
    ///
    /// # Errors
    /// Where the log can't be read.
    pub async fn load(&self) -> Result<(), StoreError> {
        let agents = self.0.desk.policy().hosting();
        let names = agents.into_iter().map(|(agent, ..)| LeaseName::Agent(agent));
        for name in std::iter::once(LeaseName::Leader).chain(names) {
            let last = hold::last_of(&self.0.ledger, &StreamName::lease(&name)).await?;
            if let Some((lease, _)) = last {
                self.0.desk.policy().load_lease(name, lease);
            }
        }
        Ok(())
    }

    /// The other nodes that live now.
    ///
    /// # Errors
    /// Where the board can't be read.
    pub async fn others(&self) -> Result<Vec<Beat>, StoreError> {
        self.look().await?;
        let members = self.members();
        let living = members.all().filter(|(beat, lives)| *lives && beat.node != self.me());
        Ok(living.map(|(beat, _)| beat.clone()).collect())
    }

    /// Beats and looks, takes up what nobody holds, and ends what other nodes left, until `stop` turns
    /// true; then gives up what it holds.
    pub async fn run(self, mut stop: watch::Receiver<bool>) {
        let every = self.0.lease / BEATS_PER_LEASE;
        let mut rounds = tokio::time::interval(every);
        rounds.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = rounds.tick() => {}
                () = told_to_stop(&mut stop) => break,
            }
            self.round(every).await;
        }
        self.0.leading.send_replace(false);
        if timeout(LEAVING, self.leave()).await.is_err() {
            tracing::warn!("leases could not be given up; others take them over after a while");
        }
    }

    async fn round(&self, every: Duration) {
        match timeout(every, self.beat(false)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "this node could not tell that it lives"),
            Err(_) => tracing::warn!("this node could not tell that it lives: no answer in time"),
        }
        let acts = self.may_act();
        if self.members().standing(since_boot()).is_none() {
            self.0.holding.drop_all();
            self.0.desk.policy().hold_nothing();
        }
        self.0.desk.policy().may_act(acts);
        let (before, known) = (self.0.desk.policy().held_elsewhere(), since_boot());
        match timeout(every, self.look()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "the other nodes can't be looked at"),
            Err(_) => tracing::warn!("the other nodes can't be looked at: no answer in time"),
        }
        if self.may_act() {
            self.take_up().await;
        }
        let leads = self.leads();
        self.0.leading.send_if_modified(|now| std::mem::replace(now, leads) != leads);
        // What an older look says is nothing against a run that may have begun since, on a node that is
        // back.
        if leads && self.members().has_looked_since(known) {
            self.end_lost(before).await;
        }
        self.0.desk.wake();
    }

    async fn beat(&self, leaving: bool) -> Result<(), StoreError> {
        let (running, _) = self.0.desk.totals();
        let agents = u32::try_from(self.0.holding.names().len()).unwrap_or(u32::MAX);
        let at = self.0.ledger.now();
        let beat = Beat { leaving, running, agents, at, ..self.0.card.clone() };
        let sent = since_boot();
        self.0.board.beat(&beat).await?;
        let standing = self.stood(sent);
        // Until it is written, runs believe in what was written before.
        let terms = self.0.terms.clone();
        tokio::task::spawn_blocking(move || terms.write(standing))
            .await
            .map_err(|panic| StoreError::Fault(panic.to_string()))?
            .map_err(|error| StoreError::Fault(format!("the term's file: {error}")))
    }

    /// A beat was acknowledged. Where another term begins with it, nothing of the one before holds.
    fn stood(&self, sent: Duration) -> Standing {
        let mut members = self.members();
        let now = since_boot();
        let lasting = members.standing(now).map(|standing| standing.term);
        let standing = members.acknowledged(sent, now);
        drop(members);
        if lasting != Some(standing.term) {
            tracing::info!(term = standing.term, "a term of this node begins");
            self.0.holding.drop_all();
            self.0.desk.policy().hold_nothing();
        }
        standing
    }

    async fn look(&self) -> Result<(), StoreError> {
        let begun = since_boot();
        let seen = self.0.board.look().await?;
        self.members().looked(begun, since_boot(), seen);
        Ok(())
    }

    /// Whether somebody is to take a lease up: nobody holds it who lives.
    fn is_free(&self, name: &LeaseName, lease: Lease) -> bool {
        match lease.holder {
            None => true,
            // Of an earlier process or term of this node.
            Some(holder) if holder == self.me() => !self.0.holding.has(name) || self.is_idle(name),
            Some(holder) => {
                let members = self.members();
                members.is_dead(holder) || members.live(holder).is_some_and(|beat| beat.leaving)
            }
        }
    }

    /// Whether this node holds an agent's lease and starts nothing by it: it was refused once.
    fn is_idle(&self, name: &LeaseName) -> bool {
        match name {
            LeaseName::Leader => false,
            LeaseName::Agent(agent) => self.0.desk.policy().hosted(agent).is_none(),
        }
    }

    async fn take_up(&self) {
        let leader = (LeaseName::Leader, self.0.desk.policy().lease(&LeaseName::Leader));
        let agents = self.0.desk.policy().hosting();
        let agents = agents.into_iter().map(|(agent, lease, _)| (LeaseName::Agent(agent), lease));
        let free = std::iter::once(leader).chain(agents).filter(|(name, lease)| {
            let own = lease.holder == Some(self.me());
            self.is_free(name, *lease) && (own || self.members().comes_first_for(&name.to_string()))
        });
        let free: Vec<_> = free.take(TAKEN_UP_PER_ROUND).collect();
        for (name, lease) in free {
            if !self.may_act() {
                return;
            }
            match self.0.holding.acquire(&name, lease.epoch).await {
                Ok(true) => tracing::info!(lease = %name, "this node holds a lease"),
                Ok(false) => tracing::debug!(lease = %name, "somebody else was quicker"),
                Err(error) => tracing::warn!(lease = %name, %error, "a lease can't be taken up"),
            }
        }
    }

    /// Ends the runs that ran elsewhere before the last look, on nodes that it showed to be lost.
    async fn end_lost(&self, before: Vec<execution_ledger_domain::policy::RunElsewhere>) {
        let lost: Vec<_> = {
            let members = self.members();
            let over = before.into_iter().filter(|run| lost::is_over(run, &members, &self.0.desk));
            let silence =
                |node: Option<NodeId>| node.map_or(Duration::ZERO, |n| members.silence(n));
            over.take(ENDED_PER_ROUND).map(|run| (silence(run.node), run)).collect()
        };
        for (silence, run) in lost {
            let name = run.node.map_or_else(String::new, |node| self.called(node));
            match lost::record(&self.0.ledger, &run, &name, silence).await {
                Ok(()) => {
                    tracing::warn!(execution = %run.execution, node = name, "a run was lost with its node");
                }
                Err(error) => {
                    tracing::error!(execution = %run.execution, %error, "a lost run can't be ended");
                }
            }
        }
    }

    fn called(&self, node: NodeId) -> String {
        let members = self.members();
        let name = members.all().find(|(beat, _)| beat.node == node);
        name.map_or_else(|| node.to_string(), |(beat, _)| format!("{} ({node})", beat.name))
    }

    async fn leave(&self) {
        self.0.desk.policy().hold_nothing();
        for name in self.0.holding.names() {
            if let Err(error) = self.0.holding.release(&name).await {
                tracing::warn!(lease = %name, %error, "a lease could not be given up");
            }
        }
        if let Err(error) = self.beat(true).await {
            tracing::warn!(%error, "this node could not tell that it leaves");
        }
    }
}
