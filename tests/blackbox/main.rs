//! The whole product, as its users meet it: the real binary, started and spoken to.

mod crash;
mod story;
mod support;
