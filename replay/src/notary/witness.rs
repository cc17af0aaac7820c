//! Witnesses: others who sign that the tree only ever grew, by C2SP tlog-witness and tlog-cosignature.

use std::collections::HashMap;
use std::fmt;
use std::pin::Pin;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::signature::{ED25519, UnparsedPublicKey};
use tokio::task::JoinSet;

use super::note::{KEY_BYTES, key_id, key_text, parse_key};
use super::{Checkpoints, Kept, Notary, NotaryError, SignedCheckpoint, VerifierError};

/// The kind of a cosignature with a time by Ed25519.
const COSIGNATURE_KIND: u8 = 4;
/// Bytes of the time before a cosignature.
const TIME_BYTES: usize = 8;
/// Witnesses, at most.
pub const WITNESSES_MAX: usize = 16;
/// How often a witness is asked about one checkpoint: once more where it knew another size.
const ASKED_MAX: u32 = 2;
/// How long it waits before it asks again about a checkpoint that too few have signed.
const ASK_AGAIN: Duration = Duration::from_secs(30);
/// How much of a witness's refusal is told, in bytes.
const REASON_MAX_BYTES: usize = 200;

/// A witness's public key with its name: a C2SP verifier key of kind 4.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WitnessKey {
    name: String,
    key: [u8; KEY_BYTES],
}

impl WitnessKey {
    /// The name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The time that it states in its signature on a checkpoint, in seconds since 1970; `None` where it
    /// has not signed it. No signature that names the key may be wrong.
    pub fn has_signed(&self, signed: &SignedCheckpoint) -> Option<u64> {
        let id = key_id(&self.name, COSIGNATURE_KIND, &self.key);
        let mut time = None;
        for (_, _, bytes) in signed.signatures_of(&self.name, id) {
            let (stated, signature) = bytes.split_first_chunk::<TIME_BYTES>()?;
            let stated = u64::from_be_bytes(*stated);
            let mut message = format!("cosignature/v1\ntime {stated}\n").into_bytes();
            message.extend_from_slice(signed.text().as_bytes());
            UnparsedPublicKey::new(&ED25519, self.key).verify(&message, signature).ok()?;
            time = Some(stated);
        }
        time
    }
}

impl fmt::Display for WitnessKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&key_text(&self.name, COSIGNATURE_KIND, &self.key))
    }
}

impl FromStr for WitnessKey {
    type Err = VerifierError;

    fn from_str(text: &str) -> Result<Self, VerifierError> {
        let (name, key) = parse_key(text, COSIGNATURE_KIND).ok_or(VerifierError)?;
        Ok(Self { name, key })
    }
}

/// A witness, and where it takes checkpoints.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Witness {
    /// Its key.
    pub key: WitnessKey,
    /// Its submission prefix, without `/add-checkpoint`.
    pub url: String,
}

/// What a witness answered: status and body; or why it did not.
pub type Answer = Result<(u16, String), String>;

/// How a witness is reached, within a time of its own.
pub trait Post: Send + Sync {
    /// Sends a body to an address.
    fn post(&self, url: String, body: String) -> Pin<Box<dyn Future<Output = Answer> + Send>>;
}

/// Sizes that witnesses were last known to have signed, by their names.
type Sizes = HashMap<String, u64>;

impl Notary {
    /// Has each new checkpoint signed by the witnesses, and keeps what they sign. Never ends; nothing
    /// waits for it, so a witness that is slow or gone holds nothing up. To be called once.
    pub async fn have_witnessed(
        &self,
        witnesses: Vec<Witness>,
        quorum: usize,
        post: Arc<dyn Post>,
    ) {
        // What they knew before they say themselves.
        let mut sizes = Sizes::new();
        let mut done = 0;
        loop {
            let latest = self.checkpoint().filter(|latest| latest.checkpoint.size > done);
            if let Some(latest) = latest {
                let count = self.round(&latest, &witnesses, &mut sizes, &post).await;
                metrics::gauge!("ledger_notary_cosignatures").set(count as f64);
                if count >= quorum {
                    done = latest.checkpoint.size;
                } else {
                    let size = latest.checkpoint.size;
                    tracing::warn!(
                        size,
                        count,
                        quorum,
                        "too few witnesses have signed a checkpoint"
                    );
                }
            }
            tokio::select! {
                () = self.signed() => {}
                () = tokio::time::sleep(ASK_AGAIN) => {}
            }
        }
    }

    /// Asks every witness about a checkpoint, all at once; how many have signed it.
    async fn round(
        &self,
        latest: &SignedCheckpoint,
        witnesses: &[Witness],
        sizes: &mut Sizes,
        post: &Arc<dyn Post>,
    ) -> usize {
        let mut asking = JoinSet::new();
        for witness in witnesses.iter().filter(|witness| witness.key.has_signed(latest).is_none()) {
            let known = sizes.get(witness.key.name()).copied().unwrap_or(0);
            let (this, latest) = (self.clone(), latest.clone());
            let (witness, post) = (witness.clone(), Arc::clone(post));
            asking.spawn(async move {
                let answer = this.ask(&latest, &witness, known, &*post).await;
                (witness, answer)
            });
        }
        let mut lines = String::new();
        while let Some(asked) = asking.join_next().await {
            let Ok((witness, answer)) = asked else { continue };
            match answer {
                Ok(line) => {
                    sizes.insert(witness.key.name().to_owned(), latest.checkpoint.size);
                    lines.push_str(&line);
                }
                Err(reason) => {
                    let name = witness.key.name();
                    tracing::warn!(witness = name, reason, "a witness has not signed a checkpoint");
                }
            }
        }
        let cosigned = if lines.is_empty() { None } else { latest.with_signatures(&lines).ok() };
        let count = |note| witnesses.iter().filter(|w| w.key.has_signed(note).is_some()).count();
        let Some(cosigned) = cosigned else { return count(latest) };
        let count = count(&cosigned);
        let kept = self.blocking(move |this| this.keep_cosigned(cosigned)).await;
        if let Err(error) = kept {
            tracing::warn!(%error, "signatures of witnesses can't be kept");
        }
        count
    }

    /// Asks a witness about a checkpoint; the line of its signature.
    async fn ask(
        &self,
        latest: &SignedCheckpoint,
        witness: &Witness,
        mut known: u64,
        post: &dyn Post,
    ) -> Result<String, String> {
        let size = latest.checkpoint.size;
        for _ in 0..ASKED_MAX {
            let path = self.grown_from(known, size).await.map_err(|error| error.to_string())?;
            let mut body = format!("old {known}\n");
            for hash in path {
                body.push_str(&STANDARD.encode(hash.0));
                body.push('\n');
            }
            body.push('\n');
            body.push_str(latest.own_note());
            let url = format!("{}/add-checkpoint", witness.url.trim_end_matches('/'));
            let (status, answer) = post.post(url, body).await?;
            match status {
                200 => return line_of(latest, &answer, witness),
                409 => {
                    let theirs =
                        answer.trim().parse::<u64>().ok().filter(|theirs| *theirs != known);
                    known = theirs.ok_or("it has signed another tree of this size")?;
                    if known > size {
                        return Err(format!(
                            "it has signed a tree of {known} events, larger than ours"
                        ));
                    }
                }
                _ => {
                    let told = &answer[..answer.floor_char_boundary(REASON_MAX_BYTES)];
                    return Err(format!("it answers {status}: {}", told.escape_debug()));
                }
            }
        }
        Err("it says another size each time".to_owned())
    }

    fn keep_cosigned(&self, cosigned: SignedCheckpoint) -> Result<(), NotaryError> {
        let kept: Checkpoints = self.cosigned();
        kept.mend()?;
        kept.append(&Kept { at: self.now(), signed: cosigned.clone() })?;
        self.publish_cosigned(cosigned);
        Ok(())
    }
}

/// The line of a witness's signature in its answer, if it is a true one.
fn line_of(latest: &SignedCheckpoint, answer: &str, witness: &Witness) -> Result<String, String> {
    let wrong = || "its signature is not one of its key on this checkpoint".to_owned();
    for line in answer.lines().take(WITNESSES_MAX) {
        let line = format!("{line}\n");
        let cosigned = latest.with_signatures(&line).map_err(|_| wrong())?;
        if witness.key.has_signed(&cosigned).is_some() {
            return Ok(line);
        }
    }
    Err(wrong())
}
