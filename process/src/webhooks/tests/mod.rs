//! Messages to a receiver of the test's own, over a real log, real read models and real connections;
//! only the clock is the test's.

mod addresses;
mod delivery;
mod receiver;
mod world;
