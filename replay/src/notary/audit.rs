//! Whether the checkpoints that were signed agree with the tree, as it grows past them.

use std::iter::Peekable;

use super::{Checkpoints, Kept, KeyChain, LogTree, NotaryError};

type Source = Box<dyn Iterator<Item = Result<Kept, NotaryError>> + Send>;

/// Why the notary can't go on.
#[derive(Debug)]
pub(super) enum Halt {
    /// Something can't be read or written; worth trying again.
    Fault(NotaryError),
    /// Tree and checkpoints disagree.
    Disagreement(String),
}

impl From<NotaryError> for Halt {
    fn from(error: NotaryError) -> Self {
        Self::Fault(error)
    }
}

/// The checkpoints that the tree has not reached yet.
pub(super) struct Audit {
    kept: Peekable<Source>,
    /// The last one that the tree has passed.
    passed: Option<Kept>,
}

impl Audit {
    /// Begins with a tree that may be large already: of the checkpoints that lie behind it, the last
    /// one is compared.
    pub(super) fn begin(
        checkpoints: &Checkpoints,
        keys: &KeyChain,
        tree: &LogTree,
    ) -> Result<Self, Halt> {
        let keys = keys.clone();
        let checked = checkpoints.read()?.map(move |kept| {
            let kept = kept?;
            if keys.signer_of(&kept.signed).is_some() {
                return Ok(kept);
            }
            let size = kept.signed.checkpoint.size;
            Err(NotaryError::Missing(format!(
                "the checkpoint of {size} events is not signed by this ledger's key"
            )))
        });
        let source: Source = Box::new(checked);
        let mut this = Self { kept: source.peekable(), passed: None };
        while let Some(kept) = this.next_until(tree.size())? {
            this.passed = Some(kept);
        }
        if let Some(passed) = &this.passed {
            let size = passed.signed.checkpoint.size;
            compare(passed, tree.root_at(size)? == passed.signed.checkpoint.root)?;
        }
        Ok(this)
    }

    /// Compares where the tree has just the size of a checkpoint.
    pub(super) fn pass(&mut self, tree: &LogTree) -> Result<(), Halt> {
        while let Some(kept) = self.next_until(tree.size())? {
            compare(&kept, tree.root() == kept.signed.checkpoint.root)?;
            self.passed = Some(kept);
        }
        Ok(())
    }

    /// At the end of the log: no checkpoint may speak of more. Answers the last one.
    pub(super) fn end(mut self, tree: &LogTree) -> Result<Option<Kept>, Halt> {
        match self.next_until(u64::MAX)? {
            None => Ok(self.passed),
            Some(kept) => Err(Halt::Disagreement(format!(
                "the log has {} events, but a checkpoint of {} events was signed at {}: events are \
                 missing at its end",
                tree.size(),
                kept.signed.checkpoint.size,
                kept.at
            ))),
        }
    }

    fn next_until(&mut self, size: u64) -> Result<Option<Kept>, Halt> {
        let reached = |kept: &Result<Kept, _>| {
            kept.as_ref().map_or(true, |k| k.signed.checkpoint.size <= size)
        };
        match self.kept.next_if(reached) {
            None => Ok(None),
            Some(Ok(kept)) => Ok(Some(kept)),
            // Checkpoints are never made anew, so that they can't be read is no passing fault.
            Some(Err(NotaryError::File { path, source })) => {
                Err(NotaryError::File { path, source }.into())
            }
            Some(Err(error)) => Err(Halt::Disagreement(error.to_string())),
        }
    }
}

fn compare(kept: &Kept, agrees: bool) -> Result<(), Halt> {
    if agrees {
        return Ok(());
    }
    Err(Halt::Disagreement(format!(
        "the first {} events are not those of the checkpoint that was signed at {}",
        kept.signed.checkpoint.size, kept.at
    )))
}
