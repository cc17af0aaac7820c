//! What is in hand: of each webhook its state, and as many of the messages that it is owed as are
//! looked after at once. All others wait in the read models.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use execution_ledger_domain::webhook::{Kind, Message, Webhook};
use execution_ledger_domain::{Timestamp, WebhookId};
use execution_ledger_store::{Executed, Position, StreamHead};
use tokio::sync::Mutex;

use super::schedule::wait;
use super::send::{Fault, Tried};
use super::{LastTry, Owed, Standing};

/// Messages to one webhook that are looked after at once: most.
pub const WINDOW_MAX: usize = 500;
/// Requests to one webhook at once.
const FLYING_MAX: usize = 4;
/// Failures in a row after which a webhook counts as down: then there is one request to it at a time,
/// and the first that it takes brings those that wait forward.
const DOWN_AFTER: u32 = 8;
/// A clock that is this much behind what it said before has jumped back, in milliseconds.
const JUMP_MS: u64 = 2_000;

/// Something to be done.
#[derive(Clone, Copy, Debug)]
pub(super) enum Work {
    /// Read what else a webhook is owed.
    Load(Load),
    /// Try a message.
    Send(Flight),
}

/// A look into the read models.
#[derive(Clone, Copy, Debug)]
pub(super) struct Load {
    pub webhook: WebhookId,
    /// After which message.
    pub after: Option<(Position, Kind)>,
    /// What the read models must have seen.
    pub seen: Position,
}

/// A message that is being tried.
#[derive(Clone, Copy, Debug)]
pub(super) struct Flight {
    pub webhook: WebhookId,
    pub owed: Owed,
    /// How often it was tried before.
    pub attempts: u32,
    /// The status with which it was taken, where only that is still to be recorded.
    pub taken: Option<u16>,
}

/// A webhook and what of it is in hand.
pub(super) struct Line {
    pub state: Webhook,
    pub head: StreamHead,
    /// One command at a time.
    pub turn: Arc<Mutex<()>>,
    waiting: BTreeMap<(Timestamp, Position, Kind), Flight>,
    /// Everything in `waiting`, and what is being tried.
    held: HashSet<Message>,
    flying: usize,
    cursor: Option<(Position, Kind)>,
    seen: Position,
    more: bool,
    loading: bool,
    failures: u32,
    failing_since: Option<Timestamp>,
    last: Option<LastTry>,
}

impl Line {
    pub fn new(state: Webhook, head: StreamHead) -> Self {
        Self {
            state,
            head,
            turn: Arc::default(),
            waiting: BTreeMap::new(),
            held: HashSet::new(),
            flying: 0,
            cursor: None,
            seen: head.position,
            more: true,
            loading: false,
            failures: 0,
            failing_since: None,
            last: None,
        }
    }

    fn is_told(&self) -> bool {
        self.state.active().is_some_and(|active| active.settings.enabled)
    }

    fn is_down(&self) -> bool {
        self.failures >= DOWN_AFTER
    }

    fn load(&mut self, webhook: WebhookId) -> Option<Work> {
        let wanted = self.more && !self.loading && self.held.len() <= WINDOW_MAX / 2;
        if !wanted || !self.is_told() {
            return None;
        }
        self.loading = true;
        Some(Work::Load(Load { webhook, after: self.cursor, seen: self.seen }))
    }

    fn send(&mut self, now: Timestamp) -> Option<Work> {
        let room = if self.is_down() { 1 } else { FLYING_MAX };
        if self.flying >= room || !self.is_told() {
            return None;
        }
        let next = self.waiting.first_entry().filter(|entry| entry.key().0 <= now)?;
        self.flying += 1;
        Some(Work::Send(next.remove()))
    }

    fn wait_until(&mut self, due: Timestamp, flight: Flight) {
        let key = (due, flight.owed.position, flight.owed.message.kind);
        self.waiting.insert(key, flight);
    }

    /// Lets whatever is due later than `due` says be due then.
    fn bring_forward(&mut self, due: impl Fn(&Flight) -> Timestamp) {
        for ((before, ..), flight) in std::mem::take(&mut self.waiting) {
            self.wait_until(before.min(due(&flight)), flight);
        }
    }

    fn next_due(&self) -> Option<Timestamp> {
        self.waiting.first_key_value().map(|((due, ..), _)| *due)
    }
}

/// What is in hand of all webhooks: at most [`execution_ledger_domain::limits::webhook::WEBHOOKS_MAX`].
#[derive(Default)]
pub(super) struct Book {
    lines: BTreeMap<WebhookId, Line>,
    /// Of the last event that webhooks may be told of.
    latest: Position,
    /// What the clock said last.
    looked: Option<Timestamp>,
}

impl Book {
    pub fn insert(&mut self, id: WebhookId, mut line: Line) {
        line.seen = line.seen.max(self.latest);
        self.lines.insert(id, line);
    }

    pub fn count(&self) -> usize {
        self.lines.len()
    }

    pub fn line(&self, id: WebhookId) -> Option<&Line> {
        self.lines.get(&id)
    }

    /// Takes in what a command led to.
    pub fn learn(&mut self, id: WebhookId, done: &Executed<Webhook>) {
        use execution_ledger_domain::webhook::WebhookEvent;
        let Some(head) = done.head else { return };
        if done.state.active().is_none() {
            self.lines.remove(&id);
            return;
        }
        let Some(line) = self.lines.get_mut(&id).filter(|line| line.head.revision <= head.revision)
        else {
            return;
        };
        line.state = done.state.clone();
        line.head = head;
        if done.events.iter().any(|event| matches!(event, WebhookEvent::Redriven(_))) {
            // What was redriven stands before what was read last.
            line.cursor = None;
            line.more = true;
        }
        if line.more {
            line.seen = line.seen.max(head.position);
        }
    }

    /// Something happened that webhooks may be told of.
    pub fn news(&mut self, position: Position) {
        self.latest = self.latest.max(position);
        for line in self.lines.values_mut() {
            line.more = true;
            line.seen = line.seen.max(position);
        }
    }

    /// What is to be done now, at most `room` of it; a little of each webhook in turn.
    pub fn take(&mut self, now: Timestamp, room: usize) -> Vec<Work> {
        self.watch(now);
        let mut work = Vec::new();
        loop {
            let before = work.len();
            for (id, line) in &mut self.lines {
                if work.len() < room {
                    work.extend(line.load(*id));
                }
                if work.len() < room {
                    work.extend(line.send(now));
                }
            }
            if work.len() == before {
                return work;
            }
        }
    }

    /// A clock that jumped back would let messages wait for longer than they are to.
    fn watch(&mut self, now: Timestamp) {
        let before = self.looked.replace(now);
        if before.is_none_or(|before| before.ms_since(now) < JUMP_MS) {
            return;
        }
        for line in self.lines.values_mut() {
            line.bring_forward(|flight| later(now, pause(flight)));
        }
    }

    /// When something is to be done next.
    pub fn next_due(&self) -> Option<Timestamp> {
        let told = self.lines.values().filter(|line| line.is_told());
        told.filter(|line| line.flying < FLYING_MAX && !(line.is_down() && line.flying > 0))
            .filter_map(Line::next_due)
            .min()
    }

    /// Takes in what the read models say that a webhook is owed, which is at most `asked` rows.
    pub fn loaded(&mut self, load: Load, rows: &[Owed], asked: usize, now: Timestamp) {
        let Some(line) = self.lines.get_mut(&load.webhook) else { return };
        line.loading = false;
        if line.cursor != load.after {
            // Something was redriven meanwhile: it is read again from the beginning.
            return;
        }
        let taken = line.state.active().map(|active| active.taken.clone()).unwrap_or_default();
        for owed in rows {
            if line.held.len() >= WINDOW_MAX {
                return;
            }
            line.cursor = Some((owed.position, owed.message.kind));
            if !taken.contains(&owed.message) && line.held.insert(owed.message) {
                let webhook = load.webhook;
                let flight = Flight { webhook, owed: *owed, attempts: 0, taken: None };
                line.wait_until(now, flight);
            }
        }
        line.more = rows.len() >= asked || line.seen > load.seen;
    }

    /// The read models could not be asked.
    pub fn not_loaded(&mut self, load: Load) {
        if let Some(line) = self.lines.get_mut(&load.webhook) {
            line.loading = false;
        }
    }

    /// Notes what came of an attempt.
    pub fn tried(&mut self, webhook: WebhookId, tried: Tried, now: Timestamp) {
        let Some(line) = self.lines.get_mut(&webhook) else { return };
        let was_down = line.is_down();
        let (status, reason) = match tried {
            Tried::Taken(status) => (Some(status), None),
            Tried::Gone => (Some(410), Some(Fault::Gone)),
            Tried::Failed { status, reason } => (status, Some(reason)),
        };
        line.last = Some(LastTry { at: now, status, reason });
        if reason.is_some() {
            line.failures = line.failures.saturating_add(1);
            line.failing_since.get_or_insert(now);
            return;
        }
        line.failures = 0;
        line.failing_since = None;
        if was_down {
            line.bring_forward(|_| now);
        }
    }

    /// A message is not to be looked after any more.
    pub fn let_go(&mut self, flight: &Flight) {
        if let Some(line) = self.lines.get_mut(&flight.webhook) {
            line.flying = line.flying.saturating_sub(1);
            line.held.remove(&flight.owed.message);
        }
    }

    /// A message is to be tried again, or recorded, at that time.
    pub fn put_back(&mut self, flight: Flight, due: Timestamp) {
        if let Some(line) = self.lines.get_mut(&flight.webhook) {
            line.flying = line.flying.saturating_sub(1);
            line.wait_until(due, flight);
        }
    }

    /// How a webhook stands.
    pub fn standing(&self, id: WebhookId) -> Option<Standing> {
        let line = self.lines.get(&id)?;
        Some(Standing {
            failures: line.failures,
            failing_since: line.failing_since,
            last: line.last,
            next_try: line.next_due().filter(|_| line.is_told()),
        })
    }

    /// Messages in hand, and webhooks that are down.
    pub fn totals(&self) -> (usize, usize) {
        let held = self.lines.values().map(|line| line.held.len()).sum();
        (held, self.lines.values().filter(|line| line.is_down()).count())
    }
}

fn pause(flight: &Flight) -> Duration {
    if flight.attempts == 0 { Duration::ZERO } else { wait(flight.owed.message, flight.attempts) }
}

/// That long after a moment.
pub(super) fn later(now: Timestamp, wait: Duration) -> Timestamp {
    let micros = i64::try_from(wait.as_micros()).unwrap_or(i64::MAX);
    Timestamp::from_micros(now.micros().saturating_add(micros))
}
