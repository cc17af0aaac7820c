//! The process manager's decisions.
