mod clocks;
mod meanwhile;
mod owed;
mod policies;
mod wishes;
mod world;
