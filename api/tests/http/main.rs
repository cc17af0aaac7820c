//! The interface as its users meet it: through the router, and over real sockets.

mod agents;
mod as_of;
mod bad_input;
mod budgets;
mod catching_up;
mod corrections;
mod erasing;
mod evidence;
mod feed;
mod issued_keys;
mod keys;
mod limits;
mod mcp;
mod openapi;
mod paid;
mod positions;
mod queue;
mod roles;
mod schedules;
mod sessions;
mod sign_in;
mod streams;
mod support;
mod tasks;
mod tlog;
mod webhooks;
