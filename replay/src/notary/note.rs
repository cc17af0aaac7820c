//! Checkpoints as C2SP signed notes, and the keys that sign and check them.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use execution_ledger_domain::Digest;
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use sha2::{Digest as _, Sha256};

/// The longest note that is read, in bytes.
pub(super) const NOTE_MAX_BYTES: usize = 16 * 1024;
/// Signatures of a note that are looked at, at most.
const SIGNATURES_MAX: usize = 100;
/// The kind of a signature by Ed25519, as it stands before a public key.
const ED25519_KIND: u8 = 1;
/// Bytes of a public key.
pub(super) const KEY_BYTES: usize = 32;
/// Bytes of a signature.
const SIGNATURE_BYTES: usize = 64;
/// What a signature's line begins with.
const SIGNATURE_MARK: &str = "\u{2014} ";

/// What a checkpoint states: so large is the tree, and this is its hash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// Whose tree.
    pub origin: String,
    /// Its leaves.
    pub size: u64,
    /// Its hash.
    pub root: Digest,
}

impl Checkpoint {
    /// The text that is signed.
    fn text(&self) -> String {
        format!("{}\n{}\n{}\n", self.origin, self.size, STANDARD.encode(self.root.0))
    }
}

/// Why a text is no checkpoint.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoteError {
    /// It is too long.
    #[error("it is longer than {NOTE_MAX_BYTES} bytes")]
    TooLong,
    /// It is no signed note.
    #[error("it is no signed note: {0}")]
    Note(&'static str),
    /// The note is no checkpoint.
    #[error("the note is no checkpoint: {0}")]
    Checkpoint(&'static str),
}

/// A checkpoint with its signatures. That it could be read says nothing of who signed it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedCheckpoint {
    /// What it states.
    pub checkpoint: Checkpoint,
    note: String,
    text_bytes: usize,
    signatures: Vec<(String, u32, Vec<u8>)>,
}

impl SignedCheckpoint {
    /// From a signed note.
    ///
    /// # Errors
    /// [`NoteError`] where it is none, or no checkpoint.
    pub fn parse(note: &str) -> Result<Self, NoteError> {
        if note.len() > NOTE_MAX_BYTES {
            return Err(NoteError::TooLong);
        }
        if note.chars().any(|c| c.is_ascii_control() && c != '\n') {
            return Err(NoteError::Note("it holds control characters"));
        }
        let end = note.rfind("\n\n").ok_or(NoteError::Note("it has no signatures"))?;
        let (text, lines) = (&note[..=end], &note[end + 2..]);
        let lines = lines.strip_suffix('\n').ok_or(NoteError::Note("its last line has no end"))?;
        let signatures: Vec<_> =
            lines.split('\n').take(SIGNATURES_MAX + 1).map(signature).collect::<Result<_, _>>()?;
        if signatures.len() > SIGNATURES_MAX {
            return Err(NoteError::Note("it has too many signatures"));
        }
        let checkpoint = stated(text)?;
        Ok(Self { checkpoint, text_bytes: text.len(), signatures, note: note.to_owned() })
    }

    /// The note.
    pub fn as_str(&self) -> &str {
        &self.note
    }

    /// What is signed.
    pub(super) fn text(&self) -> &str {
        &self.note[..self.text_bytes]
    }

    /// The note with the first signature alone, which is the ledger's own.
    pub(super) fn own_note(&self) -> &str {
        let after = self.text_bytes + 1;
        let end = self.note[after..].find('\n').map_or(self.note.len(), |end| after + end + 1);
        &self.note[..end]
    }

    /// The signatures that name a key.
    pub(super) fn signatures_of(
        &self,
        name: &str,
        id: u32,
    ) -> impl Iterator<Item = &(String, u32, Vec<u8>)> {
        self.signatures.iter().filter(move |(of, key, _)| of == name && *key == id)
    }

    /// The same with further lines of signatures.
    ///
    /// # Errors
    /// [`NoteError`] where they are none.
    pub(super) fn with_signatures(&self, lines: &str) -> Result<Self, NoteError> {
        let both = Self::parse(&format!("{}{lines}", self.note))?;
        let same = both.text_bytes == self.text_bytes;
        same.then_some(both).ok_or(NoteError::Note("it has other lines than signatures"))
    }

    /// Whether this key has signed it, and the checkpoint is of the tree that the key is for. No
    /// signature that names the key may be wrong.
    pub fn is_by(&self, verifier: &Verifier) -> bool {
        let text = &self.note.as_bytes()[..self.text_bytes];
        let mut own = self
            .signatures
            .iter()
            .filter(|(name, id, _)| *name == verifier.name && *id == verifier.id())
            .peekable();
        self.checkpoint.origin == verifier.name
            && own.peek().is_some()
            && own.all(|(_, _, signature)| {
                UnparsedPublicKey::new(&ED25519, verifier.key).verify(text, signature).is_ok()
            })
    }
}

fn signature(line: &str) -> Result<(String, u32, Vec<u8>), NoteError> {
    let malformed = NoteError::Note("a signature is malformed");
    let parts = line.strip_prefix(SIGNATURE_MARK).and_then(|rest| rest.split_once(' '));
    let (name, encoded) = parts.ok_or(malformed.clone())?;
    let bytes = STANDARD.decode(encoded).map_err(|_| malformed.clone())?;
    let (id, rest) = bytes.split_first_chunk::<4>().ok_or(malformed.clone())?;
    if !is_name(name) || rest.is_empty() {
        return Err(malformed);
    }
    Ok((name.to_owned(), u32::from_be_bytes(*id), rest.to_vec()))
}

fn stated(text: &str) -> Result<Checkpoint, NoteError> {
    let mut lines = text.split_terminator('\n');
    let mut line = |what| lines.next().filter(|l| !l.is_empty()).ok_or(NoteError::Checkpoint(what));
    let origin = line("it has no origin")?.to_owned();
    let digits = line("it has no size")?;
    let size: u64 = digits.parse().map_err(|_| NoteError::Checkpoint("its size is no number"))?;
    // Larger ones no log has; and there is one way to write each.
    if digits != size.to_string() || i64::try_from(size).is_err() {
        return Err(NoteError::Checkpoint("its size is no number"));
    }
    let root = STANDARD.decode(line("it has no hash")?).ok();
    let root = root.and_then(|root| <[u8; 32]>::try_from(root).ok());
    let root = Digest(root.ok_or(NoteError::Checkpoint("its hash is malformed"))?);
    if lines.any(str::is_empty) {
        return Err(NoteError::Checkpoint("an extension is empty"));
    }
    Ok(Checkpoint { origin, size, root })
}

fn is_name(name: &str) -> bool {
    !name.is_empty() && !name.contains(|c: char| c.is_whitespace() || c == '+')
}

/// A public key with the name that it signs under.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verifier {
    name: String,
    key: [u8; KEY_BYTES],
}

/// Why a text is no verifier key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a verifier key is NAME+ID+KEY: a name, eight hexadecimal digits, and an Ed25519 key in base64"
)]
pub struct VerifierError;

impl Verifier {
    /// The name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The key's short id: the first bytes of the SHA-256 of its name and itself.
    fn id(&self) -> u32 {
        key_id(&self.name, ED25519_KIND, &self.key)
    }
}

impl fmt::Display for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&key_text(&self.name, ED25519_KIND, &self.key))
    }
}

impl FromStr for Verifier {
    type Err = VerifierError;

    fn from_str(text: &str) -> Result<Self, VerifierError> {
        let (name, key) = parse_key(text, ED25519_KIND).ok_or(VerifierError)?;
        Ok(Self { name, key })
    }
}

/// A key's short id: the first bytes of the SHA-256 of its name, its kind and itself.
pub(super) fn key_id(name: &str, kind: u8, key: &[u8; KEY_BYTES]) -> u32 {
    let hasher = Sha256::new().chain_update(name).chain_update(b"\n");
    let hash = hasher.chain_update([kind]).chain_update(key).finalize();
    u32::from_be_bytes([hash[0], hash[1], hash[2], hash[3]])
}

/// A public key as the text that verifiers take.
pub(super) fn key_text(name: &str, kind: u8, key: &[u8; KEY_BYTES]) -> String {
    let mut bytes = vec![kind];
    bytes.extend(key);
    format!("{name}+{:08x}+{}", key_id(name, kind, key), STANDARD.encode(bytes))
}

/// Name and key of such a text, if it is of this kind and written in the one way.
pub(super) fn parse_key(text: &str, kind: u8) -> Option<(String, [u8; KEY_BYTES])> {
    let mut parts = text.splitn(3, '+');
    let (name, _, encoded) = (parts.next()?, parts.next()?, parts.next()?);
    let bytes = STANDARD.decode(encoded).ok()?;
    let (stated, key) = bytes.split_first()?;
    let key = key.try_into().ok()?;
    let fits = *stated == kind && is_name(name) && key_text(name, kind, &key) == text;
    fits.then(|| (name.to_owned(), key))
}

/// A private key with the name that it signs under.
pub struct Signer {
    verifier: Verifier,
    key: Ed25519KeyPair,
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signer").field("verifier", &self.verifier).finish_non_exhaustive()
    }
}

impl Signer {
    /// The key that follows from 32 random bytes.
    ///
    /// # Errors
    /// [`VerifierError`] where the name can't stand in a note.
    pub fn of_seed(name: &str, seed: &[u8; KEY_BYTES]) -> Result<Self, VerifierError> {
        let key = Ed25519KeyPair::from_seed_unchecked(seed).map_err(|_| VerifierError)?;
        let public = key.public_key().as_ref().try_into().map_err(|_| VerifierError)?;
        if !is_name(name) {
            return Err(VerifierError);
        }
        Ok(Self { verifier: Verifier { name: name.to_owned(), key: public }, key })
    }

    /// Its public half.
    pub fn verifier(&self) -> &Verifier {
        &self.verifier
    }

    /// A signed checkpoint of the tree that this key is for.
    pub fn sign(&self, size: u64, root: Digest) -> SignedCheckpoint {
        let checkpoint = Checkpoint { origin: self.verifier.name.clone(), size, root };
        let text = checkpoint.text();
        let (id, signed) = (self.verifier.id(), self.key.sign(text.as_bytes()).as_ref().to_vec());
        let mut bytes = Vec::with_capacity(4 + SIGNATURE_BYTES);
        bytes.extend(id.to_be_bytes());
        bytes.extend(&signed);
        let name = &self.verifier.name;
        let note = format!("{text}\n{SIGNATURE_MARK}{name} {}\n", STANDARD.encode(bytes));
        let signatures = vec![(name.clone(), id, signed)];
        SignedCheckpoint { checkpoint, text_bytes: text.len(), signatures, note }
    }
}
