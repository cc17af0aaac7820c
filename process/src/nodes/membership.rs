//! Who lives, judged by one node from what it sees: no I/O and no clock in here.
//!
//! Clocks of nodes are never compared. A node that was last acknowledged for a beat which it *sent* at
//! some moment holds what it holds until that moment and its lease later; another one takes it for dead
//! once it has *seen* nothing new of it for that lease, which is later in any case. All times are since
//! the boot of this machine, suspension included.

use std::collections::BTreeMap;
use std::time::Duration;

use execution_ledger_domain::NodeId;
use execution_ledger_store::{Beat, LastBeat};

/// The part of its lease before whose end a node starts nothing more: one in so many.
const MARGIN_PART: u32 = 5;

/// How a node stands after a beat of its own was acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Which term of the node it is. A term that was over never begins again.
    pub term: u64,
    /// Until when it lasts unless another beat is acknowledged before.
    pub until: Duration,
}

/// What one node knows of itself and the others.
#[derive(Debug)]
pub struct Membership {
    me: NodeId,
    lease: Duration,
    standing: Option<Standing>,
    last_term: u64,
    others: BTreeMap<NodeId, Other>,
    /// When the first look was answered, and when the last one was begun.
    looks: Option<(Duration, Duration)>,
}

#[derive(Debug)]
struct Other {
    last: LastBeat,
    /// When that was seen first.
    since: Duration,
}

impl Membership {
    /// Of a node whose earlier terms are over. `last` is its standing before it was started again, where
    /// that lasts still, else the number of its last term.
    pub fn new(me: NodeId, lease: Duration, last: Result<Standing, u64>) -> Self {
        let (standing, last_term) = match last {
            Ok(standing) => (Some(standing), standing.term),
            Err(term) => (None, term),
        };
        Self { me, lease, standing, last_term, others: BTreeMap::new(), looks: None }
    }

    /// A beat that was sent then is acknowledged now. A term is prolonged only while it lasts: whoever
    /// was silent for longer begins another, as others may have judged.
    pub fn acknowledged(&mut self, sent: Duration, now: Duration) -> Standing {
        let lasting = self.standing.filter(|standing| now <= standing.until);
        let until = sent.saturating_add(self.lease);
        let standing = match lasting {
            Some(lasting) => Standing { until: until.max(lasting.until), ..lasting },
            None => Standing { term: self.last_term.saturating_add(1), until },
        };
        self.last_term = standing.term;
        self.standing = Some(standing);
        standing
    }

    /// The term that lasts now.
    pub fn standing(&self, now: Duration) -> Option<Standing> {
        self.standing.filter(|standing| now <= standing.until)
    }

    /// Whether the node may start anything or write for all: a little shorter than its term lasts.
    pub fn may_act(&self, now: Duration) -> bool {
        self.standing(now.saturating_add(self.lease / MARGIN_PART)).is_some()
    }

    /// A look that was begun then showed this now.
    pub fn looked(&mut self, begun: Duration, now: Duration, seen: Vec<LastBeat>) {
        for last in seen {
            match self.others.get_mut(&last.beat.node) {
                Some(known) if known.last.number == last.number => {}
                Some(known) => *known = Other { last, since: now },
                None => {
                    self.others.insert(last.beat.node, Other { last, since: now });
                }
            }
        }
        let first = self.looks.map_or(now, |(first, _)| first);
        self.looks = Some((first, begun));
        // What was silent for so long that nobody asks for it any more.
        let lease = self.lease;
        self.others.retain(|_, other| begun.saturating_sub(other.since) < lease * FORGET_LEASES);
    }

    /// How long ago the last look was begun that was answered; nothing before the first one.
    pub fn looked_ago(&self, now: Duration) -> Option<Duration> {
        self.looks.map(|(_, begun)| now.saturating_sub(begun))
    }

    /// Whether a look was answered that was begun at this moment or later.
    pub fn has_looked_since(&self, moment: Duration) -> bool {
        self.looks.is_some_and(|(_, begun)| begun >= moment)
    }

    /// For how long nothing new was seen of a node by looks that were begun since.
    pub fn silence(&self, node: NodeId) -> Duration {
        let Some((first, last)) = self.looks else { return Duration::ZERO };
        let since = self.others.get(&node).map_or(first, |other| other.since);
        last.saturating_sub(since)
    }

    /// Whether a node holds nothing any more, whatever it believes itself.
    pub fn is_dead(&self, node: NodeId) -> bool {
        node != self.me && self.silence(node) > self.lease_of(node)
    }

    /// The lease of a node: what it said, and not less than our own.
    pub fn lease_of(&self, node: NodeId) -> Duration {
        let said = self.others.get(&node).map(|other| other.last.beat.lease_ms);
        said.map_or(self.lease, |ms| Duration::from_millis(ms).max(self.lease))
    }

    /// The last beat of a node that is not dead.
    pub fn live(&self, node: NodeId) -> Option<&Beat> {
        let other = self.others.get(&node).filter(|_| !self.is_dead(node));
        other.map(|other| &other.last.beat)
    }

    /// All nodes that were heard of lately, each with whether it lives.
    pub fn all(&self) -> impl Iterator<Item = (&Beat, bool)> {
        self.others.iter().map(|(node, other)| (&other.last.beat, !self.is_dead(*node)))
    }

    /// Whether this node comes first for something that several could take up: by a hash of both, so that
    /// all nodes name the same, and little moves when one comes or goes.
    pub fn comes_first_for(&self, what: &str) -> bool {
        let weight = |node: NodeId| {
            let digest = execution_ledger_domain::Digest::of(format!("{node}/{what}").as_bytes());
            digest.0
        };
        let others = self.all().filter(|(beat, lives)| *lives && !beat.leaving);
        let mut others = others.map(|(beat, _)| beat.node).filter(|node| *node != self.me);
        others.all(|other| weight(other) < weight(self.me))
    }
}

/// After how many leases of silence a node is forgotten.
const FORGET_LEASES: u32 = 180;

#[cfg(test)]
mod tests;
