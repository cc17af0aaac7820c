//! The whole product, as its users meet it: the real binary, started and spoken to.

mod claude_code;
mod cli;
mod crash;
mod misbehaving;
mod operating;
mod spare;
mod story;
mod supervisor;
mod support;
