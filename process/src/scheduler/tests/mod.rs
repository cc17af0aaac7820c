mod clocks;
mod meanwhile;
mod policies;
mod wishes;
mod world;
