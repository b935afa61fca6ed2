//! Judges of histories: what clients asked and were told, checked against what was promised.
//!
//! One file per promise, named as in the list of promises: a row without a checker is not promised.
//! A checker is a function of a history. It reads no clock, starts no thread and uses no code of the
//! store: a judge that shares code with the accused shares its mistakes.
//!
//! Invariants:
//! * A checker never cries wolf: whatever a correct store may do passes, with any timing.
//! * A checker that gave up says so: [`Findings::undecided`] is not a pass.
//! * Each finding shows the few operations that contradict each other, for people to read.

mod excerpt;
mod findings;
mod history;

pub mod bounded;
pub mod counter;
pub mod durable;
pub mod epochs;
pub mod linearizable;
pub mod session;

pub use excerpt::excerpt;
pub use findings::{Findings, Violation};
pub use history::{Action, End, Operation, Reply, number_of};
