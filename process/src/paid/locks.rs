//! One at a time for each payment.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use execution_ledger_domain::PaymentId;
use tokio::sync::OwnedMutexGuard;

/// From so many locks on, those that nobody holds are looked for: whoever tries one that is just given
/// back can leave it there.
const TIDIED_FROM: usize = 1_000;

type Lock = Arc<tokio::sync::Mutex<()>>;

/// A lock for each payment that somebody works on, and for no other: as many as requests are worked on.
#[derive(Debug, Default)]
pub(super) struct Locks(Mutex<HashMap<PaymentId, Lock>>);

/// Somebody works on a payment.
pub(super) struct Held<'a> {
    locks: &'a Locks,
    id: PaymentId,
    guard: Option<OwnedMutexGuard<()>>,
}

impl Locks {
    /// Waits until nobody else works on that payment.
    pub async fn hold(&self, id: PaymentId) -> Held<'_> {
        let lock = self.lock(id);
        // Made before the wait: whoever gives up waiting cleans up as well.
        let mut held = Held { locks: self, id, guard: None };
        held.guard = Some(lock.lock_owned().await);
        held
    }

    /// The same at once, where nobody works on that payment.
    pub fn try_hold(&self, id: PaymentId) -> Option<Held<'_>> {
        let guard = self.lock(id).try_lock_owned().ok()?;
        Some(Held { locks: self, id, guard: Some(guard) })
    }

    fn lock(&self, id: PaymentId) -> Lock {
        let mut locks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if locks.len() >= TIDIED_FROM {
            locks.retain(|_, lock| Arc::strong_count(lock) > 1);
        }
        Arc::clone(locks.entry(id).or_default())
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        let mut locks = self.locks.0.lock().unwrap_or_else(PoisonError::into_inner);
        drop(self.guard.take());
        // Those who wait hold it as well.
        if locks.get(&self.id).is_some_and(|lock| Arc::strong_count(lock) == 1) {
            locks.remove(&self.id);
        }
    }
}

#[cfg(test)]
mod tests {
    use execution_ledger_domain::content::Digest;

    use super::*;

    #[tokio::test]
    async fn one_works_on_a_payment_at_a_time_and_nothing_is_left_of_it() {
        let locks = Locks::default();
        let (one, other) = (PaymentId(Digest([1; 32])), PaymentId(Digest([2; 32])));
        let held = locks.hold(one).await;
        assert!(locks.try_hold(one).is_none());
        assert!(locks.try_hold(other).is_some());
        let mut waiting = Box::pin(locks.hold(one));
        assert!(futures::poll!(&mut waiting).is_pending());
        drop(held);
        drop(waiting.await);
        assert!(locks.0.lock().expect("a map").is_empty());
    }
}
