//! The node's place among others: role, epoch, what is committed, what could not be acknowledged.

use std::sync::atomic::Ordering::Relaxed;

use super::metric::{Metric, counter, gauge};
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
        |seen, out| out.put(seen.node.replication.commit().0),
    ),
    gauge(
        "trefoil_replication_released_lsn",
        "The last record that replies may depend on.",
        |seen, out| {
            let last = seen.node.keyspace.sequencer().last_lsn();
            out.put(seen.node.released().min(last).0)
        },
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
];
