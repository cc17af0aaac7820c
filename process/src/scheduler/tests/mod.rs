mod clocks;
mod policies;
mod wishes;
mod world;
