//! What was committed last, kept for those that follow the log, and the news that it was.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use tokio::sync::watch;

use crate::port::{Batch, Position, Recorded};

/// Groups that are kept at most.
const GROUPS_MAX: usize = 1_024;
/// Events and texts that are kept at most, in bytes; the last group is kept whatever its size.
const BYTES_MAX: usize = 8 * 1024 * 1024;

/// What followers of the log wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct News {
    /// Position of the last committed event.
    pub head: Position,
    /// Whether the store is closed.
    pub closed: bool,
}

/// The last committed groups, and the news of each. A follower that is slower than this memory
/// reads what it missed from the database, so nobody can hold up the writer or fill the memory.
pub(crate) struct Recent {
    published: AtomicU64,
    groups: Mutex<Groups>,
    news: watch::Sender<News>,
}

#[derive(Default)]
struct Groups {
    kept: VecDeque<Group>,
    bytes: usize,
}

struct Group {
    /// Position of the event before its first.
    after: Position,
    events: Batch,
    bytes: usize,
}

impl Recent {
    /// Nothing new since `head`.
    pub(crate) fn new(head: Position) -> Self {
        let (news, _) = watch::channel(News { head, closed: false });
        Self { published: AtomicU64::new(0), groups: Mutex::default(), news }
    }

    /// Groups that were committed so far.
    pub(crate) fn published(&self) -> u64 {
        self.published.load(Ordering::Relaxed)
    }

    /// Position of the last committed event.
    pub(crate) fn head(&self) -> Position {
        self.news.borrow().head
    }

    /// The news from now on.
    pub(crate) fn news(&self) -> watch::Receiver<News> {
        self.news.subscribe()
    }

    /// Tells that a group was committed.
    pub(crate) fn publish(&self, group: Vec<Recorded>) {
        let Some(head) = group.last().map(|event| event.position) else { return };
        self.published.fetch_add(1, Ordering::Relaxed);
        let bytes = group.iter().map(bytes_of).sum();
        let group = Group { after: self.head(), events: group.into(), bytes };
        self.groups.lock().unwrap_or_else(PoisonError::into_inner).push(group);
        self.news.send_modify(|news| news.head = head);
    }

    /// Forgets what is at hand, because some of its texts are no more: followers that are behind read
    /// the database.
    pub(crate) fn forget(&self) {
        *self.groups.lock().unwrap_or_else(PoisonError::into_inner) = Groups::default();
    }

    /// Tells that the log ends at `head`, where what lies before it is not at hand: followers read
    /// it from the database.
    pub(crate) fn jump(&self, head: Position) {
        self.forget();
        self.news.send_modify(|news| news.head = head);
    }

    /// Tells that nothing more will come.
    pub(crate) fn close(&self) {
        self.news.send_modify(|news| news.closed = true);
    }

    /// Events directly after a position, if they are still at hand.
    pub(crate) fn after(&self, position: Position) -> Option<Batch> {
        let groups = self.groups.lock().unwrap_or_else(PoisonError::into_inner);
        groups.after(position)
    }
}

impl Groups {
    fn push(&mut self, group: Group) {
        self.bytes += group.bytes;
        self.kept.push_back(group);
        while self.kept.len() > GROUPS_MAX || (self.bytes > BYTES_MAX && self.kept.len() > 1) {
            let Some(oldest) = self.kept.pop_front() else { return };
            self.bytes -= oldest.bytes;
        }
    }

    fn after(&self, position: Position) -> Option<Batch> {
        let ends_before =
            |group: &Group| group.events.last().is_none_or(|last| last.position <= position);
        let group = self.kept.get(self.kept.partition_point(ends_before))?;
        if position < group.after {
            return None;
        }
        let seen = group.events.partition_point(|event| event.position <= position);
        Some(if seen == 0 { group.events.clone() } else { group.events[seen..].into() })
    }
}

/// What an event with its texts takes, in bytes.
pub(crate) fn bytes_of(event: &Recorded) -> usize {
    let text = |content: &crate::port::StoredContent| {
        size_of_val(content) + content.content.as_ref().map_or(0, |content| content.text.len())
    };
    let contents: usize = event.contents.iter().map(text).sum();
    size_of_val(event) + event.type_name.len() + event.metadata.len() + event.data.len() + contents
}
