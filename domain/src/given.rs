//! The test language of the rules: given events, when a command, then events or a refusal.

use std::fmt::Debug;

use crate::Aggregate;

/// A state that follows from the given events.
pub struct Given<A>(A);

/// What a command led to.
pub struct When<A: Aggregate>(Result<Vec<A::Event>, A::Rejection>);

/// Starts from these events.
pub fn given<A: Aggregate>(events: impl IntoIterator<Item = A::Event>) -> Given<A> {
    Given(events.into_iter().fold(A::default(), |state, event| state.evolve(&event)))
}

impl<A: Aggregate> Given<A> {
    /// Gives a command.
    #[must_use]
    pub fn when(self, command: A::Command) -> When<A> {
        When(self.0.decide(command))
    }
}

impl<A: Aggregate> When<A>
where
    A::Event: PartialEq + Debug,
    A::Rejection: PartialEq + Debug,
{
    /// Expects these events.
    #[track_caller]
    pub fn then(self, expected: impl IntoIterator<Item = A::Event>) {
        assert_eq!(self.0, Ok(expected.into_iter().collect::<Vec<_>>()));
    }

    /// Expects this refusal.
    #[track_caller]
    pub fn then_refused(self, expected: &A::Rejection) {
        assert_eq!(self.0.as_ref(), Err(expected));
    }

    /// The events, for a closer look.
    #[track_caller]
    pub fn events(self) -> Vec<A::Event> {
        self.0.unwrap_or_else(|refused| panic!("refused: {refused:?}"))
    }
}
