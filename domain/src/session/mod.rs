//! A chat session: opened by a user with one agent, its turns posted one after the other, closed.
//!
//! A turn is an execution of its own; here stands only that it was posted, and in which order.

mod decide;
mod event;

pub use decide::{Command, Rejection, Session};
pub use event::{Closed, Continued, MessagePosted, Opened, SessionEvent};

#[cfg(test)]
mod tests;
