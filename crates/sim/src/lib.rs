//! Deterministic simulations: one thread, one seed, checked against what docs promise.
//!
//! * [`cluster`]: several nodes over the cores of replication, with a net, disks and clocks that fail,
//!   clients with sessions, and a person who sets the leader, or nodes that agree on it (P1, P3 to P9). PITFALLS.md says which
//!   known pitfall is met where.
//! * [`run`]: one node over a disk that forgets, fills up and is cut off, compared with a model after
//!   every restart: P1 (`fsync always`), P2 (`everysec`), P16 (never an answer from damaged data).
//!
//! The same seed gives the same run; a failure prints it.

pub mod cluster;
mod dice;
mod invariants;
mod life;
mod model;
mod world;

pub use dice::Dice;
pub use world::{Coverage, Failure, Sabotage, run};
