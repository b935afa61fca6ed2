//! How many clients there are, without a lock: the acceptor adds, each worker takes its own away.
//!
//! Invariant: a connection is counted for its worker before the worker has it, and until after it is
//! closed, so that `maxclients` is never exceeded.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crossbeam_utils::CachePadded;

/// See the module.
pub struct ClientCounts {
    open: Box<[CachePadded<AtomicU64>]>,
    accepted: AtomicU64,
    refused: AtomicU64,
}

impl ClientCounts {
    /// No clients yet.
    #[must_use]
    pub fn new(workers: usize) -> ClientCounts {
        ClientCounts {
            open: (0..workers).map(|_| CachePadded::default()).collect(),
            accepted: AtomicU64::new(0),
            refused: AtomicU64::new(0),
        }
    }

    /// Connections that are open.
    #[must_use]
    pub fn open(&self) -> u64 {
        self.open.iter().map(|count| count.load(Relaxed)).sum()
    }

    /// Connections accepted since the start.
    #[must_use]
    pub fn accepted(&self) -> u64 {
        self.accepted.load(Relaxed)
    }

    /// Connections refused since the start because there were too many.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.refused.load(Relaxed)
    }

    /// Counts a new connection for the worker that has the fewest, which gets it. None: there are
    /// `max` already. Only one thread may call this.
    pub fn admit(&self, max: u64) -> Option<usize> {
        if self.open() >= max {
            self.refused.fetch_add(1, Relaxed);
            return None;
        }
        let (worker, count) =
            self.open.iter().enumerate().min_by_key(|(_, count)| count.load(Relaxed))?;
        count.fetch_add(1, Relaxed);
        self.accepted.fetch_add(1, Relaxed);
        Some(worker)
    }

    /// A connection of this worker is closed.
    pub fn on_close(&self, worker: usize) {
        self.open[worker].fetch_sub(1, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worker_with_the_fewest_clients_gets_the_next() {
        let counts = ClientCounts::new(2);
        assert_eq!(counts.admit(3), Some(0));
        assert_eq!(counts.admit(3), Some(1));
        assert_eq!(counts.admit(3), Some(0));
        assert_eq!(counts.admit(3), None, "there are three");
        counts.on_close(1);
        assert_eq!(counts.admit(3), Some(1));
        assert_eq!((counts.open(), counts.accepted(), counts.refused()), (3, 4, 1));
    }
}
