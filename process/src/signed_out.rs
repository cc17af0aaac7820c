//! Browsers that were signed out before their session's end, in memory: loaded from the log at the start,
//! then fed by whoever follows it, so that every node knows them and a restart forgets none.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, PoisonError, RwLock};

use execution_ledger_domain::access::{AccessEvent, SignedOut};
use execution_ledger_domain::{BrowserId, Event, KeyId, StreamName, Timestamp};
use execution_ledger_store::{EventStore, StoreError, With};
use tokio::sync::watch;

/// How long a browser stays signed in, in seconds.
pub const SESSION_LASTS_S: u64 = 12 * 3_600;
/// How far the clock of whoever recorded a signing out may be from ours, in seconds: it says in which
/// day's stream it stands.
const CLOCKS_APART_S: u64 = 3_600;
/// Events that are read at a time.
const READ_AT_ONCE: usize = 2_000;
/// Sessions of one key that were left before their end and are remembered: most. With one more, all
/// sessions of that key that end before the last of them are over; no other key's are.
const LEFT_MAX: usize = 1_000;

/// Sessions that were left before their end, by the key that they stand for. There are no more keys
/// than may be in use at once, and those whose sessions have all ended by themselves are forgotten.
#[derive(Debug, Default)]
pub struct SignedOutBrowsers {
    keys: RwLock<HashMap<Option<KeyId>, OfKey>>,
    changed: watch::Sender<()>,
}

/// Those of one key.
#[derive(Debug, Default)]
struct OfKey {
    /// When each of them would have ended.
    sessions: HashMap<BrowserId, Timestamp>,
    /// Sessions that end then or before are over, remembered or not.
    all_until: Option<Timestamp>,
    /// When the last of them would have ended.
    last: Option<Timestamp>,
}

impl SignedOutBrowsers {
    /// Whether that session is over although it has not ended by itself.
    pub fn holds(&self, session: &SignedOut) -> bool {
        let keys = self.keys.read().unwrap_or_else(PoisonError::into_inner);
        keys.get(&session.key_id).is_some_and(|left| {
            left.sessions.contains_key(&session.browser_id)
                || left.all_until.is_some_and(|until| session.expires_at <= until)
        })
    }

    /// That session is over. Saying it again changes nothing.
    pub fn add(&self, session: &SignedOut, now: Timestamp) {
        {
            let mut keys = self.keys.write().unwrap_or_else(PoisonError::into_inner);
            if !keys.contains_key(&session.key_id) {
                keys.retain(|_, left| left.last.is_some_and(|last| last > now));
            }
            let left = keys.entry(session.key_id).or_default();
            left.add(session, now);
        }
        self.changed.send_replace(());
    }

    /// Waits until that session is over.
    pub async fn until_over(&self, session: &SignedOut) {
        let mut changed = self.changed.subscribe();
        let over = changed.wait_for(|()| self.holds(session));
        if over.await.is_err() {
            // Never: the sender is ours.
            std::future::pending::<()>().await;
        }
    }

    /// Takes in those that the log knows and whose sessions would last still.
    ///
    /// # Errors
    /// The log can't be read.
    pub async fn load(
        &self,
        store: &Arc<dyn EventStore>,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let moments =
            [now.minus_s(SESSION_LASTS_S + CLOCKS_APART_S), now, now.plus_s(CLOCKS_APART_S)];
        for stream in moments.map(StreamName::access).into_iter().collect::<BTreeSet<_>>() {
            let mut revision = 0;
            loop {
                let page = store.read_stream(&stream, revision, READ_AT_ONCE, With::EventsOnly);
                let page = page.await?;
                for recorded in page.iter().filter(|event| event.type_name == "access.signed_out") {
                    if let Ok(Event::Access(AccessEvent::SignedOut(session))) = recorded.event()
                        && session.expires_at > now
                    {
                        self.add(&session, now);
                    }
                }
                let Some(last) = page.last().filter(|_| page.len() == READ_AT_ONCE) else { break };
                revision = last.revision.saturating_add(1);
            }
        }
        Ok(())
    }
}

impl OfKey {
    fn add(&mut self, session: &SignedOut, now: Timestamp) {
        self.sessions.retain(|_, expires_at| *expires_at > now);
        let known = self.sessions.contains_key(&session.browser_id);
        if !known && self.sessions.len() >= LEFT_MAX {
            let last = self.sessions.drain().map(|(_, expires_at)| expires_at).max();
            self.all_until = self.all_until.max(last);
        }
        self.sessions.insert(session.browser_id, session.expires_at);
        self.last = self.last.max(Some(session.expires_at));
    }
}

#[cfg(test)]
mod tests {
    use execution_ledger_domain::Actor;
    use execution_ledger_store::{Context, Ledger, ManualClock, SqliteOptions, SqliteStore};
    use uuid::Uuid;

    use super::*;

    const NOW: Timestamp = Timestamp::EPOCH;

    fn session(key: u128, seconds: u64) -> SignedOut {
        SignedOut {
            browser_id: BrowserId(Uuid::from_u128(seconds.into())),
            key_id: Some(KeyId(Uuid::from_u128(key))),
            expires_at: NOW.plus_s(seconds),
        }
    }

    #[test]
    fn too_many_that_left_end_other_sessions_of_their_key_rather_than_being_forgotten() {
        let left = SignedOutBrowsers::default();
        let most = LEFT_MAX as u64;
        for seconds in 1..=most + 1 {
            left.add(&session(1, seconds), NOW);
            left.add(&session(1, seconds), NOW);
        }
        let keys = left.keys.read().expect("readable");
        assert!(keys.values().all(|of_key| of_key.sessions.len() < LEFT_MAX));
        drop(keys);
        assert!((1..=most + 1).all(|seconds| left.holds(&session(1, seconds))));
        assert!(!left.holds(&session(1, most + 2)));
        let of_others =
            [session(2, 1), session(2, most + 2), SignedOut { key_id: None, ..session(1, 1) }];
        assert!(of_others.iter().all(|other| !left.holds(other)), "another key's browser is out");
    }

    #[test]
    fn keys_whose_sessions_have_all_ended_are_forgotten() {
        let left = SignedOutBrowsers::default();
        left.add(&session(1, 10), NOW);
        left.add(&session(2, 20), NOW);
        left.add(&session(3, 30), NOW.plus_s(10));
        assert!(!left.holds(&session(1, 10)));
        assert!(left.holds(&session(2, 20)) && left.holds(&session(3, 30)));
    }

    #[tokio::test]
    async fn those_of_the_last_hours_are_known_again_after_a_start_also_from_before_midnight() {
        let folder = tempfile::tempdir().expect("a folder");
        let store: Arc<dyn EventStore> =
            SqliteStore::open(&folder.path().join("events.db"), SqliteOptions::default())
                .expect("a log");
        // A minute before midnight, and an hour after it.
        let evening = NOW.plus_s(24 * 3_600 - 60);
        let night = NOW.plus_s(25 * 3_600);
        let ledger = Ledger::new(Arc::clone(&store), Arc::new(ManualClock::at(evening)));
        let context = Context {
            actor: Actor::system("test"),
            correlation_id: Some("story".to_owned()),
            causation_id: None,
            traceparent: None,
        };
        let (lasting, ended) = (session(1, 26 * 3_600), session(1, 24 * 3_600));
        for left in [lasting, ended] {
            let fact = AccessEvent::SignedOut(left).into();
            ledger.note(&StreamName::access(evening), &[fact], &context).await.expect("noted");
        }
        let known = SignedOutBrowsers::default();
        known.load(&store, night).await.expect("read");
        assert!(known.holds(&lasting));
        assert!(!known.holds(&ended), "its cookie is worth nothing in any case");
    }
}
