//! What has to be told when the configuration has changed.

use std::sync::PoisonError;
use std::sync::atomic::Ordering::Relaxed;

use crate::log::Fsync;
use crate::node::Node;
use crate::snapshot;

use super::registry::POLICIES;
use super::shape::SavePoint;

/// Tells the parts of the node that keep their own copy of a value. Harmless when nothing changed.
pub fn take_effect(node: &Node) {
    let fsync = match node.settings.fsync.load(Relaxed) {
        0 => Fsync::Always,
        1 => Fsync::Everysec,
        _ => Fsync::No,
    };
    if node.log.fsync() != fsync {
        node.log.set_fsync(fsync);
    }
    let points = node.settings.save_points().into_iter();
    *node.snapshots.save_points.write().unwrap_or_else(PoisonError::into_inner) = points
        .map(|SavePoint { seconds, changes }| snapshot::SavePoint { seconds, changes })
        .collect();
    let access = node.keyspace.access_mode();
    let factor = node.settings.lfu_log_factor.load(Relaxed);
    let decay = node.settings.lfu_decay_minutes.load(Relaxed);
    access.set_lfu_parameters(saturating_u32(factor), saturating_u32(decay));
    let policy = usize::from(node.settings.maxmemory_policy.load(Relaxed));
    let lfu = POLICIES.get(policy).is_some_and(|policy| policy.ends_with("-lfu"));
    match (lfu, access.is_lfu()) {
        (true, false) => access.set_lfu(),
        (false, true) => access.set_lru(),
        _ => {}
    }
    node.replication.ask_to_reconfigure();
    node.post.wake_peers();
}

fn saturating_u32(number: u64) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}
