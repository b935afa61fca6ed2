//! From the workers' buffers to the log: a queue, a merge by LSN, and what the log thread does.

mod driver;
mod group;
mod merge;
mod queue;

pub use driver::{Clock, LogDriver, LogLost, SHARD, Turn, stream};
pub use queue::{Fsync, LogHealth, LogQueue};
