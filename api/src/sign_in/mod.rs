//! Browsers: the link that lets one in, and the sessions of those that are in.

pub(crate) mod cookie;
pub(crate) mod origin;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use execution_ledger_domain::access::SignedOut;
use execution_ledger_domain::{Digest, KeyId, Timestamp};
use execution_ledger_process::random;
use execution_ledger_process::run_token::LedgerSecret;
use execution_ledger_process::signed_out::{SESSION_LASTS_S, SignedOutBrowsers};
use execution_ledger_store::{Clock, StoreError};
use subtle::ConstantTimeEq;

use cookie::Cookie;

/// How long a sign-in link is good.
const LINK_LASTS: Duration = Duration::from_mins(10);
/// The link that was given out last.
struct Link {
    token: Digest,
    good_until: Instant,
}

/// What is known of browsers. The link is in memory alone: a restart forgets it.
pub(crate) struct SignIn {
    secret: LedgerSecret,
    clock: Arc<dyn Clock>,
    link: Mutex<Option<Link>>,
    left: Arc<SignedOutBrowsers>,
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

    /// What the log is told of it when it is signed out.
    pub fn signing_out(&self) -> SignedOut {
        self.cookie.signing_out()
    }

    /// Makes its cookie worthless here. The log makes it so everywhere.
    pub fn leave(&self) {
        self.sign_in.left.add(&self.signing_out(), self.sign_in.clock.now());
    }

    /// Waits until its cookie is worthless.
    pub async fn signed_out(&self) {
        self.sign_in.left.until_over(&self.signing_out()).await;
    }
}

impl SignIn {
    /// Nobody is signed in but who brings a cookie of before.
    pub fn new(secret: LedgerSecret, clock: Arc<dyn Clock>, left: Arc<SignedOutBrowsers>) -> Self {
        Self { secret, clock, link: Mutex::default(), left }
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
        let expires_at = self.clock.now().plus_s(SESSION_LASTS_S);
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
            && !self.left.holds(&cookie.signing_out());
        let signed_in = SignedIn { cookie, sign_in: Arc::clone(self) };
        good.then_some((cookie.key, signed_in))
    }
}

#[cfg(test)]
mod tests {
    use execution_ledger_store::ManualClock;

    use super::*;

    const NOW: Timestamp = Timestamp::EPOCH;

    fn sign_in() -> (Arc<SignIn>, Arc<ManualClock>) {
        let clock = Arc::new(ManualClock::at(NOW));
        let secret = LedgerSecret::new([7; 32]);
        (Arc::new(SignIn::new(secret, Arc::clone(&clock) as Arc<dyn Clock>, Arc::default())), clock)
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
}
