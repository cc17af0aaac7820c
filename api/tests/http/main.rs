//! The interface as its users meet it: through the router, and over real sockets.

mod as_of;
mod agents;
mod bad_input;
mod catching_up;
mod keys;
mod limits;
mod mcp;
mod issued_keys;
mod openapi;
mod positions;
mod queue;
mod roles;
mod sign_in;
mod schedules;
mod sessions;
mod streams;
mod support;
mod tasks;
mod tlog;
