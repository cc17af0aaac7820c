//! Which payments are open, and when somebody is to look at each of them.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

use execution_ledger_domain::{ExecutionId, PaymentId, Timestamp};
use tokio::sync::Notify;

/// When a payment that was looked at is to be looked at again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Never: nothing more comes of it.
    Never,
    /// Once an event speaks of it or of its execution.
    Told,
    /// At this moment, or once it is told.
    At(Timestamp),
}

#[derive(Debug, Default)]
struct Entry {
    due: Option<Timestamp>,
    /// How often it was looked at without anything having come of it.
    looks: u32,
    busy: bool,
    /// Something was told of it meanwhile.
    told: bool,
}

#[derive(Debug, Default)]
struct Inner {
    open: HashMap<PaymentId, Entry>,
    executions: HashMap<ExecutionId, PaymentId>,
    due: BTreeSet<(Timestamp, PaymentId)>,
}

/// The open payments: a fold of the log that can be made anew at any time.
#[derive(Debug, Default)]
pub(super) struct Book {
    inner: Mutex<Inner>,
    wake: Notify,
}

impl Book {
    /// With these, which are all looked at once.
    pub fn of(open: Vec<PaymentId>, now: Timestamp) -> Self {
        let book = Self::default();
        for id in open {
            book.look_now(id, now);
        }
        book
    }

    /// How many are open.
    pub fn len(&self) -> usize {
        self.inner().open.len()
    }

    /// Has a payment looked at.
    pub fn look_now(&self, id: PaymentId, now: Timestamp) {
        let mut inner = self.inner();
        inner.executions.insert(ExecutionId::paid_by(id), id);
        let entry = inner.open.entry(id).or_default();
        entry.looks = 0;
        if entry.busy {
            entry.told = true;
        } else {
            inner.schedule(id, now);
        }
        drop(inner);
        self.wake.notify_one();
    }

    /// An execution has ended: has its payment looked at, if one paid for it and is open.
    pub fn ended(&self, execution: ExecutionId, now: Timestamp) {
        let paid_by = self.inner().executions.get(&execution).copied();
        if let Some(id) = paid_by {
            self.look_now(id, now);
        }
    }

    /// At most so many that are due, and how often each was looked at in vain.
    pub fn take_due(&self, now: Timestamp, most: usize) -> Vec<(PaymentId, u32)> {
        let mut inner = self.inner();
        let due = inner.due.iter().take_while(|(at, _)| *at <= now).take(most);
        let due: Vec<_> = due.copied().collect();
        let mut taken = Vec::with_capacity(due.len());
        for (at, id) in due {
            inner.due.remove(&(at, id));
            if let Some(entry) = inner.open.get_mut(&id) {
                entry.due = None;
                entry.busy = true;
                taken.push((id, entry.looks));
            }
        }
        taken
    }

    /// A payment was looked at.
    pub fn looked(&self, id: PaymentId, next: Next, now: Timestamp) {
        let mut inner = self.inner();
        let Some(entry) = inner.open.get_mut(&id) else { return };
        entry.busy = false;
        entry.looks = entry.looks.saturating_add(1);
        let told = std::mem::take(&mut entry.told);
        if told {
            entry.looks = 0;
        }
        match next {
            _ if told => inner.schedule(id, now),
            Next::At(at) => inner.schedule(id, at),
            Next::Told => {}
            Next::Never => {
                inner.open.remove(&id);
                inner.executions.remove(&ExecutionId::paid_by(id));
            }
        }
    }

    /// When the next one is due.
    pub fn next_due(&self) -> Option<Timestamp> {
        self.inner().due.first().map(|(at, _)| *at)
    }

    /// Waits until something is due that was not.
    pub async fn woken(&self) {
        self.wake.notified().await;
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn schedule(&mut self, id: PaymentId, at: Timestamp) {
        let Some(entry) = self.open.get_mut(&id) else { return };
        if let Some(before) = entry.due.replace(at) {
            self.due.remove(&(before, id));
        }
        self.due.insert((at, id));
    }
}

#[cfg(test)]
mod tests {
    use execution_ledger_domain::content::Digest;

    use super::*;

    #[test]
    fn each_is_looked_at_when_it_is_due_or_told_and_by_one_at_a_time() {
        let at = |second: i64| Timestamp::from_micros(second * 1_000_000);
        let id = PaymentId(Digest([1; 32]));
        let book = Book::of(vec![id], at(0));
        assert_eq!(book.take_due(at(0), 9), [(id, 0)]);
        assert_eq!(book.take_due(at(99), 9), [], "somebody looks at it");
        book.looked(id, Next::At(at(5)), at(0));
        assert_eq!((book.take_due(at(4), 9), book.next_due()), (vec![], Some(at(5))));
        assert_eq!(book.take_due(at(5), 9), [(id, 1)]);
        book.ended(ExecutionId::paid_by(id), at(6));
        book.looked(id, Next::Told, at(7));
        assert_eq!(book.take_due(at(7), 9), [(id, 0)], "it was told meanwhile");
        book.looked(id, Next::Told, at(8));
        assert_eq!((book.take_due(at(99), 9), book.len()), (vec![], 1));
        book.ended(ExecutionId::paid_by(id), at(9));
        assert_eq!(book.take_due(at(9), 9), [(id, 0)]);
        book.looked(id, Next::Never, at(9));
        assert_eq!(book.len(), 0);
        book.ended(ExecutionId::paid_by(id), at(10));
        assert_eq!((book.len(), book.next_due()), (0, None));
    }
}
