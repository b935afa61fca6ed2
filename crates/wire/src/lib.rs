//! Bytes to frames and back: the protocols that clients and other nodes speak.
//!
//! Sans-IO: nothing here reads a socket, a clock or a configuration. Parsers take a slice and say
//! how much of it they used; writers append to a buffer that the shell sends. What a command means
//! is not known here either.
//!
//! Invariants:
//! * No input, however hostile, panics or makes us reserve memory that was only announced.
//! * In steady state no command costs an allocation.
//! * The same bytes give the same frames, however they were split into reads.

mod args;
pub mod peer;
pub mod resp;

pub use args::{Args, ArgsIter, Span};
