//! The node's place among others: role, epoch, what is committed, what could not be acknowledged.

use std::sync::atomic::Ordering::Relaxed;

use trefoil_clock::Lsn;

use super::metric::{Metric, counter, gauge};
use crate::node::Node;
use crate::replication::Role;

const ROLES: [Role; 5] =
    [Role::Leading, Role::Recovering, Role::Following, Role::Loading, Role::Deposed];

pub(super) const METRICS: &[Metric] = &[
    gauge("trefoil_replication_role", "1 for what the node is.", |seen, out| {
        out.put_state(&[], &ROLES.map(Role::name), seen.node.replication.role().name())
    })
    .labels(&["role"]),
    gauge("trefoil_replication_epoch", "The last epoch that began.", |seen, out| {
        out.put(seen.node.replication.epoch().0)
    }),
    gauge(
        "trefoil_replication_commit_lsn",
        "The last record that as many nodes hold as the keyspace's acks ask for.",
        |seen, out| out.put(seen.node.replication.commit().min(end(seen.node)).0),
    ),
    gauge(
        "trefoil_replication_released_lsn",
        "The last record that replies may depend on.",
        |seen, out| out.put(seen.node.released().min(end(seen.node)).0),
    ),
    gauge(
        "trefoil_replication_end_lsn",
        "The last record that this node has, numbered here or sent by its leader.",
        |seen, out| out.put(end(seen.node).0),
    ),
    gauge(
        "trefoil_replication_applied_lsn",
        "The last record that readers of this follower see; not shown by a leader.",
        |seen, out| {
            if seen.leader.is_none() { Ok(()) } else { out.put(seen.node.applier.applied().0) }
        },
    ),
    gauge(
        "trefoil_replication_log_floor_lsn",
        "The record before the first one that the log still holds.",
        |seen, out| out.put(seen.node.replication.log_floor().0),
    ),
    gauge(
        "trefoil_replication_readable",
        "1 if what this node holds is known to be committed, so that it may be read.",
        |seen, out| out.put(seen.node.replication.is_ready()),
    ),
    gauge(
        "trefoil_replication_members",
        "Nodes whose acknowledgements count, besides the leader.",
        |seen, out| out.put(seen.node.replication.members().len()),
    ),
    gauge(
        "trefoil_replication_followers",
        "Followers that are known, attached or not.",
        |seen, out| out.put(seen.followers.len()),
    ),
    gauge(
        "trefoil_replication_blocked",
        "1 while writes are refused because too few followers are attached.",
        |seen, out| out.put(seen.node.replication.is_blocked()),
    ),
    gauge(
        "trefoil_replication_degraded",
        "1 while the leader's own log is enough because too few followers are attached.",
        |seen, out| out.put(seen.node.replication.is_degraded()),
    ),
    counter(
        "trefoil_replication_degraded_acks",
        "Writes acknowledged while degraded: without the followers that were asked for.",
        |seen, out| out.put(seen.node.replication.degraded_acks.load(Relaxed)),
    ),
    counter(
        "trefoil_replication_unknown_replies",
        "Replies -UNKNOWN: writes that were not acknowledged in time, and may or may not last.",
        |seen, out| out.put(seen.node.replication.unknown.load(Relaxed)),
    ),
    counter(
        "trefoil_replication_full_syncs",
        "Times that a follower had to load a snapshot.",
        |seen, out| out.put(seen.node.replication.full_syncs.load(Relaxed)),
    ),
    counter(
        "trefoil_replication_partial_syncs",
        "Times that a follower went on from its log.",
        |seen, out| out.put(seen.node.replication.partial_syncs.load(Relaxed)),
    ),
    counter(
        "trefoil_replication_lag_alerts",
        "Times that a follower's lag went above max-lag-records, max-lag-bytes or max-lag-ms.",
        |seen, out| out.put(seen.node.replication.lag_alerts.load(Relaxed)),
    ),
];

/// The last record that the node has. A follower's are numbered elsewhere.
fn end(node: &Node) -> Lsn {
    node.keyspace.sequencer().last_lsn().max(node.log.appended())
}
