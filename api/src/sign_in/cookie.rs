//! The cookie of a browser: which key it stands for and until when, vouched for by the ledger's own
//! secret, so that it outlives a restart and nothing of it is stored.

use axum::http::HeaderMap;
use axum::http::header::COOKIE;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use execution_ledger_domain::access::SignedOut;
use execution_ledger_domain::{BrowserId, Digest, KeyId, Timestamp};
use execution_ledger_process::run_token::LedgerSecret;
use execution_ledger_process::signed_out::SESSION_LASTS_S;
use subtle::ConstantTimeEq;
use uuid::Uuid;

/// The cookie's name.
pub(super) const NAME: &str = "execution_ledger";
/// Longest value that is looked at, in bytes.
const VALUE_MAX_BYTES: usize = 256;
/// Bytes of the key's id, of the moment at which it ends, and of the nonce.
const NAMED_BYTES: usize = 16 + 8 + 16;

/// What a cookie says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cookie {
    /// The key that it stands for; nothing for the admin key.
    pub key: Option<KeyId>,
    /// When it ends.
    pub expires_at: Timestamp,
    /// What tells it from every other.
    pub nonce: [u8; 16],
}

impl Cookie {
    /// The value to be set. `holder` is the digest of the key, so that another key in its place
    /// makes it worthless.
    pub fn sealed(&self, secret: &LedgerSecret, holder: &Digest) -> String {
        let mut bytes = self.named();
        let seal = seal(secret, &bytes, holder);
        bytes.extend_from_slice(&seal);
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// What a value says, and its seal; whether it was made here is yet to be asked.
    pub fn read(value: &str) -> Option<(Self, [u8; 32])> {
        let bytes = URL_SAFE_NO_PAD.decode(value).ok()?;
        let (named, seal) = bytes.split_at_checked(NAMED_BYTES)?;
        let (id, rest) = named.split_at_checked(16)?;
        let (expires, nonce) = rest.split_at_checked(8)?;
        let id = Uuid::from_slice(id).ok()?;
        let expires = i64::from_be_bytes(expires.try_into().ok()?);
        let cookie = Self {
            key: (!id.is_nil()).then_some(KeyId(id)),
            expires_at: Timestamp::from_micros(expires),
            nonce: nonce.try_into().ok()?,
        };
        Some((cookie, seal.try_into().ok()?))
    }

    /// Whether the seal was made here for the holder of that key.
    pub fn is_genuine(&self, secret: &LedgerSecret, holder: &Digest, given: &[u8; 32]) -> bool {
        seal(secret, &self.named(), holder).ct_eq(given).into()
    }

    /// What the log is told when its browser is signed out.
    pub fn signing_out(&self) -> SignedOut {
        let browser_id = BrowserId(Uuid::from_bytes(self.nonce));
        SignedOut { browser_id, key_id: self.key, expires_at: self.expires_at }
    }

    fn named(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(NAMED_BYTES + 32);
        bytes.extend_from_slice(self.key.map_or(Uuid::nil(), |key| key.0).as_bytes());
        bytes.extend_from_slice(&self.expires_at.micros().to_be_bytes());
        bytes.extend_from_slice(&self.nonce);
        bytes
    }
}

fn seal(secret: &LedgerSecret, named: &[u8], holder: &Digest) -> [u8; 32] {
    let mut bytes = named.to_vec();
    bytes.extend_from_slice(&holder.0);
    secret.vouch_for_browser(&bytes)
}

/// The value of the ledger's cookie, if the request brings exactly one.
pub(crate) fn value(headers: &HeaderMap) -> Option<&str> {
    let lines = headers.get_all(COOKIE).iter().filter_map(|line| line.to_str().ok());
    let mut own = lines
        .flat_map(|line| line.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .filter(|(name, _)| *name == NAME)
        .map(|(_, value)| value.trim());
    let value = own.next()?;
    // Two of them: nobody could say who is calling.
    (own.next().is_none() && value.len() <= VALUE_MAX_BYTES).then_some(value)
}

/// The header that gives a browser this value, or takes it away where there is none.
pub(crate) fn header(value: Option<&str>, secure: bool) -> String {
    let (value, max_age) = match value {
        Some(value) => (value, SESSION_LASTS_S),
        None => ("", 0),
    };
    let secure = if secure { "; Secure" } else { "" };
    format!("{NAME}={value}; Path=/; Max-Age={max_age}; HttpOnly; SameSite=Strict{secure}")
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn cookie() -> Cookie {
        let expires_at = Timestamp::from_micros(1_795_254_825_000_250);
        Cookie { key: Some(KeyId(Uuid::from_u128(9))), expires_at, nonce: [3; 16] }
    }

    #[test]
    fn a_cookie_is_believed_as_it_was_made_and_in_no_other_form() {
        let (secret, holder) = (LedgerSecret::new([7; 32]), Digest::of(b"elk_key"));
        let value = cookie().sealed(&secret, &holder);
        let (read, seal) = Cookie::read(&value).expect("a cookie");
        assert_eq!(read, cookie());
        assert!(read.is_genuine(&secret, &holder, &seal));
        assert!(!read.is_genuine(&secret, &Digest::of(b"elk_other"), &seal));
        assert!(!read.is_genuine(&LedgerSecret::new([8; 32]), &holder, &seal));
        for index in 0..value.len() {
            let mut changed = value.clone().into_bytes();
            changed[index] = if changed[index] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(changed).expect("ASCII");
            let believed = Cookie::read(&changed)
                .is_some_and(|(read, seal)| read.is_genuine(&secret, &holder, &seal));
            assert!(!believed, "byte {index}");
        }
        let admin = Cookie { key: None, ..cookie() };
        let (read, _) = Cookie::read(&admin.sealed(&secret, &holder)).expect("a cookie");
        assert_eq!(read.key, None);
    }

    #[test]
    fn exactly_one_cookie_of_the_ledgers_is_read() {
        let with = |lines: &[&'static str]| {
            let mut headers = HeaderMap::new();
            for line in lines {
                headers.append(COOKIE, HeaderValue::from_static(line));
            }
            value(&headers).map(str::to_owned)
        };
        assert_eq!(with(&["a=b; execution_ledger=x; c=d"]), Some("x".to_owned()));
        assert_eq!(with(&["a=b", "execution_ledger=y"]), Some("y".to_owned()));
        assert_eq!(with(&["xexecution_ledger=y"]), None);
        assert_eq!(with(&["execution_ledger=x; execution_ledger=y"]), None);
        assert_eq!(with(&[]), None);
    }

    #[test]
    fn a_browser_keeps_the_cookie_from_scripts_and_from_other_sites() {
        let set = header(Some("v"), true);
        for part in ["execution_ledger=v;", "HttpOnly", "SameSite=Strict", "Path=/", "Secure"] {
            assert!(set.contains(part), "{set}");
        }
        assert!(set.contains("Max-Age=43200") && !header(Some("v"), false).contains("Secure"));
        assert!(header(None, false).contains("execution_ledger=; Path=/; Max-Age=0"));
    }
}
