//! From the workers' buffers to the log: a queue, a merge by LSN, and what the log thread does.

mod carry_out;
mod driver;
mod group;
mod merge;
mod queue;
mod syncer;
mod task;

pub use carry_out::carry_out;
pub use driver::{Clock, LogDriver, LogLost, Progress, SHARD, Turn, stream};
pub use queue::{Extent, Fsync, LogHealth, LogQueue, Stop};
pub use syncer::{SyncThread, Syncer};
pub use task::{Outcome, Task, Ticket};
