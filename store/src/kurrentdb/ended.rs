//! Gets out of a subscription that the server has ended.
//!
//! The crate takes the end of a subscription's answers (status OK) for a message that it does not
//! know, warns, and asks for the next one, which is at once the same end: a loop inside of one poll,
//! which no deadline, no dropped future and no other task can leave, and which keeps a core busy.
//! What it does do in each round is to warn. So the thread that polls it has a listener of its own
//! for what it logs, and that one word is the way out: it unwinds the poll, without the panic hook,
//! to where the thread catches it.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id, Record};
use tracing::{Dispatch, Event, Metadata, Subscriber};

/// The crate's module whose words are listened to.
const MODULE: &str = "eventstore::commands";
/// What it says, once for each turn of the loop.
const UNKNOWN_MESSAGE: &str = "Received an unknown subscription message";

/// How the work of a thread ended that was not finished.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Cut {
    /// The server ended the subscription.
    Ended,
    /// Something panicked; says what.
    Panicked(String),
}

/// Carried by the unwinding.
struct SubscriptionEnded;

/// Does work that polls subscriptions, on this thread. Anything that is logged meanwhile is dropped.
pub(super) fn leaving_what_has_ended<T>(work: impl FnOnce() -> T) -> Result<T, Cut> {
    let listener = Dispatch::new(Listener);
    catch_unwind(AssertUnwindSafe(|| tracing::dispatcher::with_default(&listener, work)))
        .map_err(|cause| cut(&*cause))
}

/// What a caught unwinding was about.
pub(super) fn cut(cause: &(dyn Any + Send)) -> Cut {
    if cause.is::<SubscriptionEnded>() {
        return Cut::Ended;
    }
    let text = cause.downcast_ref::<&str>().map(|text| (*text).to_owned());
    let text = text.or_else(|| cause.downcast_ref::<String>().cloned());
    Cut::Panicked(text.unwrap_or_else(|| "without a word".to_owned()))
}

struct Listener;

impl Subscriber for Listener {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.is_event() && metadata.target() == MODULE
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(LevelFilter::WARN)
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut heard = Heard(false);
        event.record(&mut heard);
        if heard.0 {
            resume_unwind(Box::new(SubscriptionEnded));
        }
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

struct Heard(bool);

impl Visit for Heard {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        self.0 |= field.name() == "message" && format!("{value:?}") == UNKNOWN_MESSAGE;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_is_left_at_the_crates_word_and_only_there() {
        assert_eq!(leaving_what_has_ended(|| 5), Ok(5));
        let other = leaving_what_has_ended(|| {
            tracing::warn!(target: "eventstore::commands", "another word");
            tracing::warn!("Received an unknown subscription message");
            6
        });
        assert_eq!(other, Ok(6));
        let rounds = std::cell::Cell::new(0_u32);
        let ended: Result<(), Cut> = leaving_what_has_ended(|| {
            loop {
                rounds.set(rounds.get() + 1);
                tracing::warn!(
                    target: "eventstore::commands",
                    "Received an unknown subscription message"
                );
            }
        });
        assert_eq!((ended, rounds.get()), (Err(Cut::Ended), 1));
        assert_eq!(leaving_what_has_ended(|| 7), Ok(7), "the thread can go on");
    }

    #[test]
    fn a_panic_is_told_with_its_words() {
        let cause = catch_unwind(|| resume_unwind(Box::new("odd"))).unwrap_err();
        assert_eq!(cut(&*cause), Cut::Panicked("odd".to_owned()));
    }
}
