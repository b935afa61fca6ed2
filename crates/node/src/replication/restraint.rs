//! When writes are refused because too few followers are attached.
//!
//! Two reasons of different strength. `acks` is a promise: writes are refused because they could not be
//! acknowledged. `min-replicas-to-write` is Redis's precaution: followers were heard of lately, which
//! says nothing about a single write.

use std::sync::atomic::Ordering::Relaxed;

use trefoil_clock::Lsn;

use crate::node::Node;

use super::follower::{FollowerRow, FollowerState};
use super::{Acks, OnLost};

/// How many followers are attached and were heard of within so many seconds.
#[must_use]
pub fn good_followers(rows: &[FollowerRow], max_lag_seconds: u64) -> usize {
    let max_ms = max_lag_seconds.saturating_mul(1_000);
    rows.iter().filter(|row| row.state.is_online() && row.silent_ms <= max_ms).count()
}

impl Node {
    /// Whether a follower that takes records as they are written has not received this one yet.
    #[must_use]
    pub fn is_awaited_by_followers(&self, lsn: Lsn) -> bool {
        let waits = |row: &FollowerRow| {
            row.state == FollowerState::Streaming && row.received < lsn && row.silent_ms < 1_000
        };
        self.replication.is_leading() && self.replication.followers().iter().any(waits)
    }

    /// Whether a leader refuses writes now, because too few followers are attached. The peers thread
    /// asks on each tick; who serves clients reads what it made of that,
    /// [`super::Replication::is_blocked`].
    #[must_use]
    pub fn refuses_writes(&self) -> bool {
        self.replication.is_leading() && (self.lacks_good_followers() || self.lacks_acks())
    }

    /// `min-replicas-to-write`.
    fn lacks_good_followers(&self) -> bool {
        let settings = &self.settings.replication;
        let wanted = settings.min_replicas_to_write.load(Relaxed);
        let max_lag_seconds = settings.min_replicas_max_lag_seconds.load(Relaxed);
        if wanted == 0 || max_lag_seconds == 0 {
            return false;
        }
        (good_followers(&self.replication.followers(), max_lag_seconds) as u64) < wanted
    }

    /// `acks` with `on-lost-acks block`.
    fn lacks_acks(&self) -> bool {
        let policy = self.settings.policy();
        if policy.on_lost == OnLost::Degrade || policy.acks == Acks::Async {
            return false;
        }
        let rows = self.replication.followers();
        let attached = rows.iter().filter(|row| row.is_member && row.state.is_online()).count();
        let members = self.replication.members().len();
        policy.acks.needed(members).is_none_or(|needed| attached < needed)
    }
}

#[cfg(test)]
mod tests {
    use trefoil_clock::NodeId;

    use super::*;
    use crate::config;
    use crate::harness::TestNode;
    use crate::replication::Role;
    use crate::replication::testing::row;

    fn set(node: &TestNode, name: &str, value: &str) {
        config::set(&node.node, &[(name.as_bytes(), value.as_bytes())]).expect("a good value");
    }

    #[test]
    fn writes_need_as_many_good_followers_as_redis_is_told() {
        let node = TestNode::new();
        let replication = &node.node.replication;
        replication.set_followers(vec![
            row(1),
            FollowerRow { silent_ms: 3_001, ..row(2) },
            FollowerRow { state: FollowerState::Detached, ..row(3) },
        ]);
        assert!(!node.node.refuses_writes());
        set(&node, "min-slaves-to-write", "2");
        assert!(!node.node.refuses_writes());
        set(&node, "min-replicas-max-lag", "3");
        assert!(node.node.refuses_writes());
        set(&node, "min-replicas-max-lag", "0");
        assert!(!node.node.refuses_writes());
        set(&node, "min-replicas-max-lag", "3");
        replication.set_role(Role::Following);
        assert!(!node.node.refuses_writes());
    }

    #[test]
    fn who_does_not_lead_is_restrained_whatever_its_followers_are() {
        let node = TestNode::new();
        node.node.replication.set_role(Role::Following);
        node.node.restrain(false);
        assert!(node.node.is_special());
        node.node.replication.set_role(Role::Leading);
        node.node.restrain(false);
        assert!(!node.node.is_special());
    }

    #[test]
    fn writes_need_as_many_members_as_acknowledge_them() {
        let node = TestNode::new();
        let replication = &node.node.replication;
        let member = |id| FollowerRow { is_member: true, ..row(id) };
        replication.set_members(vec![NodeId(1), NodeId(2)]);
        replication.set_followers(vec![member(1), row(3)]);
        set(&node, "acks", "semi-sync:1");
        assert!(!node.node.refuses_writes());
        set(&node, "acks", "semi-sync:2");
        assert!(node.node.refuses_writes(), "who is no member does not count");
        set(&node, "acks", "sync");
        assert!(node.node.refuses_writes());
        replication.set_followers(vec![member(1), member(2)]);
        assert!(!node.node.refuses_writes());
        replication.set_members(vec![]);
        replication.set_followers(vec![]);
        assert!(node.node.refuses_writes(), "nobody is never all");
        set(&node, "on-lost-acks", "degrade");
        assert!(!node.node.refuses_writes());
    }
}
