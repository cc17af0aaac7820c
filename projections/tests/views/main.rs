//! The read models over a real event log.

mod answers;
mod history;
mod keys;
mod paging;
mod running;
mod world;
