//! Who belongs to the cluster, what it has agreed upon, and who leads: pure state machines.
//!
//! No clock, no randomness, no socket, no disk: time is milliseconds of a monotonic clock that the caller
//! passes in, bytes and side effects are actions that it carries out.

pub mod control;
pub mod controller;
pub mod gossip;
mod lease;
mod message;
pub mod raft;
pub mod state;
