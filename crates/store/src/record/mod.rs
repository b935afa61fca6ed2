//! Records: what the log holds. Effects, and how they lie in bytes.
//!
//! [`codec`] is the only code that knows the bytes of an effect; [`LogBuffer`] is where a worker's
//! transactions write them. Frames, segments and files are the log crate's.

mod buffer;
pub mod codec;
mod varint;

pub use buffer::{LogBatch, LogBuffer, Run, Stamp};
pub use codec::{Cause, DecodeError, Effect};
