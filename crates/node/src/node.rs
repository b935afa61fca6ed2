//! What all workers share: the keyspace, the log's queue, the gates, the configuration.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use trefoil_clock::Epoch;
use trefoil_store::Keyspace;

use crate::exclusive::ExclusiveGate;
use crate::log::LogQueue;
use crate::mail::Post;
use crate::settings::Settings;

/// See the module.
pub struct Node {
    /// The keyspace `default`.
    pub keyspace: Keyspace,
    /// The way to the log.
    pub log: Arc<LogQueue>,
    /// The epoch in which this node leads.
    pub epoch: Epoch,
    /// All workers' batches, or one alone.
    pub exclusive: ExclusiveGate,
    /// The configuration in force.
    pub settings: Settings,
    /// How workers reach each other.
    pub post: Arc<dyn Post>,
    /// Reasons why commands of every session are looked at twice (a pause, for instance); 0: none.
    pub special: AtomicU64,
}

impl Node {
    /// A node around what recovery found.
    #[must_use]
    pub fn new(
        keyspace: Keyspace,
        log: Arc<LogQueue>,
        epoch: Epoch,
        workers: usize,
        settings: Settings,
        post: Arc<dyn Post>,
    ) -> Node {
        let exclusive = ExclusiveGate::new(workers);
        Node { keyspace, log, epoch, exclusive, settings, post, special: AtomicU64::new(0) }
    }

    /// Whether commands are looked at twice.
    #[inline]
    #[must_use]
    pub fn is_special(&self) -> bool {
        self.special.load(Ordering::Relaxed) != 0
    }
}
