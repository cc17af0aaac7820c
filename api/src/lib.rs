//! HTTP, SSE and WebSocket interface of the execution ledger.
//!
//! A handler translates a request, calls what does the work, and translates the answer. [`router`]
//! is everything below a connection, [`serve`] the connections around it.

mod access_log;
mod auth;
mod extract;
mod faults;
mod feed;
mod forward;
mod gate;
mod guard;
mod mcp;
mod options;
mod paid;
mod peers;
mod position;
mod problem;
mod refusals;
mod routes;
mod serve;
mod sign_in;
mod sse;
mod state;
mod ws;

pub use auth::{KeyDigest, KeyHolder};
pub use feed::FeedError;
pub use gate::{Gate, Peer, RequestInfo};
pub use options::Options;
pub use problem::{Code, Problem};
pub use routes::{description, router, transcript_state};
pub use serve::serve;
pub use state::{App, Duties, Parts};
