//! What all workers share: the keyspace, the log's queue, the gates, the configuration.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use trefoil_store::Keyspace;

use crate::exclusive::ExclusiveGate;
use crate::log::LogQueue;

/// See the module.
pub struct Node {
    /// The keyspace `default`.
    pub keyspace: Keyspace,
    /// The way to the log.
    pub log: Arc<LogQueue>,
    /// All workers' batches, or one alone.
    pub exclusive: ExclusiveGate,
    /// Bytes of data from which on keys are evicted or writes refused; 0: no limit.
    pub maxmemory: AtomicU64,
    /// How long a string may get, bytes.
    pub string_len_max: usize,
}

impl Node {
    /// Whether there is a limit of memory.
    #[inline]
    #[must_use]
    pub fn memory_limit(&self) -> u64 {
        self.maxmemory.load(Ordering::Relaxed)
    }
}
