//! Deterministic simulation: a node over a disk that forgets, fills up and is cut off, one thread,
//! one seed, checked against a model after every restart.
//!
//! What is checked is what docs promise: P1 (`fsync always`), P2 (`everysec`), P16 (never an answer
//! from damaged data). The same seed gives the same run; a failure prints it.

pub mod cluster;
mod dice;
mod invariants;
mod life;
mod model;
mod world;

pub use dice::Dice;
pub use world::{Coverage, Failure, Sabotage, run};
