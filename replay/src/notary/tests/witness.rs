//! Witnesses that speak C2SP tlog-witness, made of the parts of another implementation.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::signature::{Ed25519KeyPair, KeyPair as _};
use sha2::{Digest as _, Sha256};
use signed_note::{Note, StandardVerifier, VerifierList};
use tlog_tiles::{Checkpoint, Hash, check_tree};

use super::{append, notary, open};
use crate::notary::{Answer, Checkpoints, Notary, Post, Witness, WitnessKey};
use crate::verify::{Inputs, Report, TranscriptState, verify};

/// A witness, and what it has signed last.
struct Signing {
    name: &'static str,
    key: Ed25519KeyPair,
    log: String,
    last: Option<Checkpoint>,
    asked: usize,
}

impl Signing {
    fn new(name: &'static str, log: &Notary) -> Self {
        let mut seed = [0; 32];
        seed[..name.len()].copy_from_slice(name.as_bytes());
        let key = Ed25519KeyPair::from_seed_unchecked(&seed).unwrap();
        Self { name, key, log: log.verifier().to_string(), last: None, asked: 0 }
    }

    fn id(&self) -> [u8; 4] {
        let hash = Sha256::new().chain_update(self.name).chain_update(b"\n\x04");
        let hash: [u8; 32] = hash.chain_update(self.key.public_key()).finalize().into();
        hash[..4].try_into().unwrap()
    }

    /// Its key as the specification writes it.
    fn public(&self) -> String {
        let mut key = vec![4];
        key.extend(self.key.public_key().as_ref());
        let id = u32::from_be_bytes(self.id());
        format!("{}+{id:08x}+{}", self.name, STANDARD.encode(key))
    }

    fn add_checkpoint(&mut self, body: &str) -> (u16, String) {
        self.asked += 1;
        let (head, note) = body.split_once("\n\n").unwrap();
        let mut lines = head.lines();
        let old: u64 = lines.next().unwrap().strip_prefix("old ").unwrap().parse().unwrap();
        let proof: Vec<_> =
            lines.map(|line| Hash(STANDARD.decode(line).unwrap().try_into().unwrap())).collect();
        let parsed = Note::from_bytes(note.as_bytes()).unwrap();
        let keys = VerifierList::new(vec![Box::new(StandardVerifier::new(&self.log).unwrap())]);
        if parsed.verify(&keys).is_err() {
            return (403, "not the log's\n".to_owned());
        }
        let stated = Checkpoint::from_bytes(parsed.text()).unwrap();
        let known = self.last.as_ref().map_or(0, Checkpoint::size);
        if old != known {
            return (409, format!("{known}\n"));
        }
        if let Some(last) = &self.last {
            let grown =
                check_tree(&proof, stated.size(), *stated.hash(), last.size(), *last.hash());
            if last.size() != stated.size() && grown.is_err() {
                return (422, "it did not grow\n".to_owned());
            }
        }
        self.last = Some(stated);
        let mut message = b"cosignature/v1\ntime 1795254825\n".to_vec();
        message.extend(parsed.text());
        let mut bytes = self.id().to_vec();
        bytes.extend(1_795_254_825_u64.to_be_bytes());
        bytes.extend(self.key.sign(&message).as_ref());
        (200, format!("\u{2014} {} {}\n", self.name, STANDARD.encode(bytes)))
    }
}

/// Witnesses by their addresses; one that is not there can't be reached.
#[derive(Clone, Default)]
struct Net(Arc<Mutex<Vec<(String, Signing)>>>);

impl Net {
    fn with<T>(&self, name: &str, look: impl FnOnce(&mut Signing) -> T) -> Option<T> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.iter_mut().find(|(_, witness)| witness.name == name).map(|(_, found)| look(found))
    }
}

impl Post for Net {
    fn post(&self, url: String, body: String) -> Pin<Box<dyn Future<Output = Answer> + Send>> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let found = all.iter_mut().find(|(at, _)| format!("{at}/add-checkpoint") == url);
        let answer = found
            .map(|(_, witness)| witness.add_checkpoint(&body))
            .ok_or_else(|| "nobody listens".to_owned());
        Box::pin(std::future::ready(answer))
    }
}

fn at(name: &str, key: &str) -> Witness {
    Witness { key: key.parse().unwrap(), url: format!("http://{name}.test") }
}

/// Signs what there is and has it witnessed until `done`.
async fn witnessed(notary: &Notary, of: &[Witness], net: &Net, done: impl Fn(&Notary) -> bool) {
    notary.sign_all().await;
    let looked = async {
        while !done(notary) {
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        () = notary.have_witnessed(of.to_vec(), of.len(), Arc::new(net.clone())) => {}
        () = looked => {}
    }
}

async fn report(folder: &std::path::Path, of: &[Witness], quorum: usize) -> Report {
    let store = open(folder);
    let inputs = Inputs {
        notary: folder.join("notary"),
        key: None,
        kept: Vec::new(),
        witnesses: (of.iter().map(|witness| witness.key.clone()).collect(), quorum),
        transcripts: Box::new(|_, _| TranscriptState::Same),
    };
    let report = verify(&store, inputs, |_| {}).await.unwrap();
    store.close().await;
    report
}

#[tokio::test]
async fn witnesses_sign_each_checkpoint_also_one_that_knew_an_older_tree() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    append(&store, 300).await;
    let first = notary(folder.path(), &store);
    let net = Net::default();
    let mut of = Vec::new();
    for name in ["a.test", "bob.test"] {
        let witness = Signing::new(name, &first);
        of.push(at(name, &witness.public()));
        assert_eq!(of[of.len() - 1].key.to_string(), witness.public());
        let mut all = net.0.lock().unwrap();
        all.push((format!("http://{name}.test"), witness));
    }
    let all_signed = |notary: &Notary, of: &[WitnessKey]| {
        notary.checkpoint().is_some_and(|n| of.iter().all(|key| key.has_signed(&n).is_some()))
    };
    let keys: Vec<_> = of.iter().map(|witness| witness.key.clone()).collect();
    witnessed(&first, &of, &net, |notary| all_signed(notary, &keys)).await;
    let cosigned = first.checkpoint().unwrap();
    assert_eq!(keys[0].has_signed(&cosigned), Some(1_795_254_825));
    assert!(cosigned.is_by(first.verifier()), "the ledger's own signature is still there");

    // The second notary knows nothing of what they signed: they tell, and it shows how it grew.
    append(&store, 500).await;
    let second = notary(folder.path(), &store);
    witnessed(&second, &of, &net, |notary| all_signed(notary, &keys)).await;
    assert_eq!(second.checkpoint().unwrap().checkpoint.size, 800);
    assert_eq!(net.with("a.test", |witness| witness.asked), Some(3), "once, and twice");
    let kept = Checkpoints::cosigned_in(&folder.path().join("notary"));
    assert_eq!(kept.read().unwrap().count(), 2);
    store.close().await;
    let both = report(folder.path(), &of, 2).await;
    assert_eq!((both.cosignatures, both.witnessed_events), (4, 800));
    let three = report(folder.path(), &of, 3).await;
    assert_eq!(three.witnessed_events, 0, "too few");
}

#[tokio::test]
async fn a_witness_that_lies_refuses_or_is_gone_holds_nothing_up() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    append(&store, 30).await;
    let notary = notary(folder.path(), &store);
    let net = Net::default();
    let (good, other) = (Signing::new("a.test", &notary), Signing::new("bob.test", &notary));
    let stranger = Signing::new("stranger", &notary).public();
    let of = [
        at("a.test", &good.public()),
        // One whose signatures are by another key than it is known for, and one that is gone.
        Witness { key: stranger.parse().unwrap(), url: "http://bob.test.test".to_owned() },
        at("gone.test", &Signing::new("gone.test.", &notary).public()),
    ];
    net.0.lock().unwrap().push(("http://a.test.test".to_owned(), good));
    net.0.lock().unwrap().push(("http://bob.test.test".to_owned(), other));
    let key = of[0].key.clone();
    let signed =
        |notary: &Notary| notary.checkpoint().is_some_and(|note| key.has_signed(&note).is_some());
    witnessed(&notary, &of, &net, signed).await;
    let note = notary.checkpoint().unwrap();
    assert!(of[1].key.has_signed(&note).is_none() && of[2].key.has_signed(&note).is_none());
    assert!(!note.as_str().contains("bob.test"), "what is not theirs is not kept");
}
