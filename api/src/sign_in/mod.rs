//! Browsers: the link that lets one in, the sessions of those that are in, and those that left.

pub(crate) mod cookie;
pub(crate) mod origin;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use execution_ledger_domain::{Digest, KeyId, Timestamp};
use execution_ledger_process::random;
use execution_ledger_process::run_token::LedgerSecret;
use execution_ledger_store::{Clock, StoreError};
use subtle::ConstantTimeEq;
use tokio::sync::watch;

use cookie::Cookie;

/// How long a sign-in link is good.
const LINK_LASTS: Duration = Duration::from_mins(10);
/// Sessions of one key that were left before their end and are remembered: most. With one more, all
/// sessions of that key that end before the last of them are over; no other key's are.
const LEFT_MAX: usize = 1_000;

/// The link that was given out last.
struct Link {
    token: Digest,
    good_until: Instant,
}

/// Sessions that were left before their end, by the key that they stand for. There are no more keys
/// than may be in use at once, and those whose sessions have all ended by themselves are forgotten.
#[derive(Default)]
struct Left(HashMap<Option<KeyId>, LeftOfKey>);

/// Those of one key.
#[derive(Default)]
struct LeftOfKey {
    /// When each of them would have ended.
    sessions: HashMap<[u8; 16], Timestamp>,
    /// Sessions that end then or before are over, remembered or not.
    all_until: Option<Timestamp>,
    /// When the last of them would have ended.
    last: Option<Timestamp>,
}

impl Left {
    fn holds(&self, cookie: &Cookie) -> bool {
        self.0.get(&cookie.key).is_some_and(|left| {
            left.sessions.contains_key(&cookie.nonce)
                || left.all_until.is_some_and(|until| cookie.expires_at <= until)
        })
    }

    fn add(&mut self, cookie: &Cookie, now: Timestamp) {
        if !self.0.contains_key(&cookie.key) {
            self.0.retain(|_, left| left.last.is_some_and(|last| last > now));
        }
        let left = self.0.entry(cookie.key).or_default();
        left.sessions.retain(|_, expires_at| *expires_at > now);
        if left.sessions.len() >= LEFT_MAX {
            let last = left.sessions.drain().map(|(_, expires_at)| expires_at).max();
            left.all_until = left.all_until.max(last);
        }
        left.sessions.insert(cookie.nonce, cookie.expires_at);
        left.last = left.last.max(Some(cookie.expires_at));
    }
}

/// What is known of browsers. In memory alone: a restart forgets the link, and who left.
pub(crate) struct SignIn {
    secret: LedgerSecret,
    clock: Arc<dyn Clock>,
    link: Mutex<Option<Link>>,
    left: Mutex<Left>,
    changed: watch::Sender<()>,
}

/// A browser that is signed in.
#[derive(Clone)]
pub(crate) struct SignedIn {
    cookie: Cookie,
    sign_in: Arc<SignIn>,
}

impl SignedIn {
    /// When its session ends by itself.
    pub fn expires_at(&self) -> Timestamp {
        self.cookie.expires_at
    }

    /// How long that is from now.
    pub fn left(&self) -> Duration {
        let now = self.sign_in.clock.now();
        Duration::from_millis(self.cookie.expires_at.ms_since(now))
    }

    /// Makes its cookie worthless.
    pub fn leave(&self) {
        let now = self.sign_in.clock.now();
        self.sign_in.locked_left().add(&self.cookie, now);
        self.sign_in.changed.send_replace(());
    }

    /// Waits until its cookie is worthless.
    pub async fn signed_out(&self) {
        let mut changed = self.sign_in.changed.subscribe();
        let gone = changed.wait_for(|()| self.sign_in.locked_left().holds(&self.cookie));
        if gone.await.is_err() {
            // The server is gone, and everything with it.
            std::future::pending::<()>().await;
        }
    }
}

impl SignIn {
    /// Nobody is signed in but who brings a cookie of before.
    pub fn new(secret: LedgerSecret, clock: Arc<dyn Clock>) -> Self {
        Self {
            secret,
            clock,
            link: Mutex::default(),
            left: Mutex::default(),
            changed: watch::Sender::new(()),
        }
    }

    /// A token for a link, good once and for ten minutes; the one before is good no more.
    pub fn new_link(&self) -> Result<String, StoreError> {
        let token = URL_SAFE_NO_PAD.encode(random::<32>()?);
        let link =
            Link { token: Digest::of(token.as_bytes()), good_until: Instant::now() + LINK_LASTS };
        *self.link.lock().unwrap_or_else(PoisonError::into_inner) = Some(link);
        Ok(token)
    }

    /// Whether this is the link's token. Then it is not any more.
    pub fn take_link(&self, token: &str) -> bool {
        let mut link = self.link.lock().unwrap_or_else(PoisonError::into_inner);
        let given = Digest::of(token.as_bytes());
        let good = link.as_ref().is_some_and(|link| {
            let same: bool = link.token.0.ct_eq(&given.0).into();
            same && Instant::now() < link.good_until
        });
        if good {
            *link = None;
        }
        good
    }

    /// The value of a new session's cookie, for the holder of that key (nothing: the admin key), and
    /// when it ends.
    pub fn begin(
        &self,
        key: Option<KeyId>,
        holder: &Digest,
    ) -> Result<(String, Timestamp), StoreError> {
        let expires_at = self.clock.now().plus_s(cookie::LASTS_S);
        let cookie = Cookie { key, expires_at, nonce: random::<16>()? };
        Ok((cookie.sealed(&self.secret, holder), expires_at))
    }

    /// The session of a cookie's value; `holder` is the digest of the key that it names, where that
    /// key still holds.
    pub fn session(
        self: &Arc<Self>,
        value: &str,
        holder: impl FnOnce(Option<KeyId>) -> Option<Digest>,
    ) -> Option<(Option<KeyId>, SignedIn)> {
        let (cookie, seal) = Cookie::read(value)?;
        let holder = holder(cookie.key)?;
        let good = cookie.is_genuine(&self.secret, &holder, &seal)
            && cookie.expires_at > self.clock.now()
            && !self.locked_left().holds(&cookie);
        let signed_in = SignedIn { cookie, sign_in: Arc::clone(self) };
        good.then_some((cookie.key, signed_in))
    }

    fn locked_left(&self) -> std::sync::MutexGuard<'_, Left> {
        self.left.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use execution_ledger_store::ManualClock;
    use uuid::Uuid;

    use super::*;

    const NOW: Timestamp = Timestamp::EPOCH;

    fn sign_in() -> (Arc<SignIn>, Arc<ManualClock>) {
        let clock = Arc::new(ManualClock::at(NOW));
        let secret = LedgerSecret::new([7; 32]);
        (Arc::new(SignIn::new(secret, Arc::clone(&clock) as Arc<dyn Clock>)), clock)
    }

    fn holder() -> Digest {
        Digest::of(b"elk_key")
    }

    #[test]
    fn a_link_is_good_once_and_only_the_last_one() {
        let (sign_in, _) = sign_in();
        assert!(!sign_in.take_link(""));
        let first = sign_in.new_link().expect("random bytes");
        let second = sign_in.new_link().expect("random bytes");
        assert!(!sign_in.take_link(&first) && sign_in.take_link(&second));
        assert!(!sign_in.take_link(&second), "twice");
    }

    #[test]
    fn a_session_ends_after_twelve_hours_or_when_its_browser_leaves() {
        let (sign_in, clock) = sign_in();
        let (value, expires_at) = sign_in.begin(None, &holder()).expect("random bytes");
        let session = |value: &str| sign_in.session(value, |_| Some(holder()));
        assert!(session(&value).is_some());
        clock.set(Timestamp::from_micros(expires_at.micros() - 1));
        assert!(session(&value).is_some());
        clock.set(expires_at);
        assert!(session(&value).is_none());

        clock.set(NOW);
        let (_, signed_in) = session(&value).expect("a session");
        let (other, _) = sign_in.begin(None, &holder()).expect("random bytes");
        signed_in.leave();
        assert!(session(&value).is_none() && session(&other).is_some());
        assert!(sign_in.session(&other, |_| None).is_none(), "its key holds no more");
    }

    fn cookie(key: u128, seconds: u64) -> Cookie {
        Cookie {
            key: Some(KeyId(Uuid::from_u128(key))),
            expires_at: NOW.plus_s(seconds),
            nonce: u128::from(seconds).to_be_bytes(),
        }
    }

    #[test]
    fn too_many_that_left_end_other_sessions_of_their_key_rather_than_being_forgotten() {
        let mut left = Left::default();
        let most = LEFT_MAX as u64;
        for seconds in 1..=most + 1 {
            left.add(&cookie(1, seconds), NOW);
        }
        assert!(left.0.values().all(|of_key| of_key.sessions.len() < LEFT_MAX));
        assert!((1..=most + 1).all(|seconds| left.holds(&cookie(1, seconds))));
        assert!(!left.holds(&cookie(1, most + 2)));
        let of_others = [cookie(2, 1), cookie(2, most + 2), Cookie { key: None, ..cookie(1, 1) }];
        assert!(of_others.iter().all(|other| !left.holds(other)), "another key's browser is out");
    }

    #[test]
    fn keys_whose_sessions_have_all_ended_are_forgotten() {
        let mut left = Left::default();
        left.add(&cookie(1, 10), NOW);
        left.add(&cookie(2, 20), NOW);
        left.add(&cookie(3, 30), NOW.plus_s(10));
        assert!(!left.0.contains_key(&cookie(1, 10).key));
        assert!(left.holds(&cookie(2, 20)) && left.holds(&cookie(3, 30)));
    }
}
