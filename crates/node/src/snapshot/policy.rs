//! When a snapshot is taken by itself: at the save points of the configuration, and when the log has
//! outgrown the data.

use std::sync::PoisonError;
use std::sync::atomic::Ordering::Relaxed;

use crate::node::Node;

/// After a failure, and by the size of the log, not more often than this.
const AGAIN_AFTER_MS: u64 = 5_000;
/// A log shorter than this is replayed faster than anybody would notice.
const LOG_BYTES_MIN: u64 = 64 << 20;
const LOG_TO_DATA: u64 = 2;

/// A snapshot after this many seconds if at least this much changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SavePoint {
    /// Since the last one, seconds.
    pub seconds: u64,
    /// Records since the last one.
    pub changes: u64,
}

/// Why a snapshot is due.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Due {
    /// A save point is reached.
    SavePoint(SavePoint),
    /// The log since the last one has this many bytes, much more than the data.
    LogBytes(u64),
}

/// Records since the last valid snapshot.
#[must_use]
pub fn changes_since(node: &Node) -> u64 {
    node.keyspace.sequencer().last_lsn().0.saturating_sub(node.snapshots.covered().0)
}

/// Whether a snapshot is due at this time, Unix milliseconds.
#[must_use]
pub fn due(node: &Node, now_ms: u64) -> Option<Due> {
    let status = &node.snapshots;
    let rests = now_ms < status.last_attempt_ms().saturating_add(AGAIN_AFTER_MS);
    if !node.settings.snapshots.load(Relaxed) || status.in_progress() || rests {
        return None;
    }
    let changes = changes_since(node);
    let seconds = (now_ms / 1_000).saturating_sub(status.last_success_s());
    let points = status.save_points.read().unwrap_or_else(PoisonError::into_inner);
    let reached =
        points.iter().find(|point| seconds >= point.seconds && changes >= point.changes.max(1));
    if let Some(point) = reached {
        return Some(Due::SavePoint(*point));
    }
    let log_bytes = node.log.bytes_logged().saturating_sub(status.covered_log_bytes());
    let outgrown = log_bytes > LOG_BYTES_MIN && log_bytes / LOG_TO_DATA > node.keyspace.memory();
    outgrown.then_some(Due::LogBytes(log_bytes))
}
