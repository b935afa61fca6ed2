//! Whether clients are served as they expect, and if not, why.

use crate::log::LogHealth;
use crate::node::Node;
use crate::replication::Role;

/// Why a node should get no clients now.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum NotReady {
    /// Data comes from disk or from a leader.
    #[error("loading")]
    Loading,
    /// It led, was not stopped cleanly, and asks its followers what they hold.
    #[error("recovering: followers are asked what they hold")]
    Recovering,
    /// Another node leads, and nobody has said whom to follow.
    #[error("deposed: there is a newer epoch, and it is not told whom to follow")]
    Deposed,
    /// A follower that may hold what was never committed.
    #[error("following: what is here is not known to be committed yet")]
    NotCaughtUp,
    /// Writes are refused.
    #[error("the log can't be written")]
    LogFailed,
}

/// The role in which a node serves.
///
/// # Errors
/// Why it does not.
pub fn readiness(node: &Node) -> Result<Role, NotReady> {
    let replication = &node.replication;
    match replication.role() {
        Role::Loading => Err(NotReady::Loading),
        Role::Recovering => Err(NotReady::Recovering),
        Role::Deposed => Err(NotReady::Deposed),
        role @ Role::Following if node.settings.replication.is_witness() => Ok(role),
        Role::Following if !replication.is_ready() => Err(NotReady::NotCaughtUp),
        _ if node.log.health() != LogHealth::Writing => Err(NotReady::LogFailed),
        role @ (Role::Leading | Role::Following) => Ok(role),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::harness::TestNode;

    #[test]
    fn a_node_is_ready_if_its_data_may_be_read_and_its_log_written() {
        let node = TestNode::new().node;
        assert_eq!(readiness(&node), Ok(Role::Leading));
        node.replication.set_role(Role::Following);
        node.replication.set_ready(false);
        assert_eq!(readiness(&node), Err(NotReady::NotCaughtUp));
        node.replication.set_ready(true);
        assert_eq!(readiness(&node), Ok(Role::Following));
        for (role, reason) in [
            (Role::Loading, NotReady::Loading),
            (Role::Recovering, NotReady::Recovering),
            (Role::Deposed, NotReady::Deposed),
        ] {
            node.replication.set_role(role);
            assert_eq!(readiness(&node), Err(reason));
        }
        node.replication.set_role(Role::Leading);
        node.log.set_health(LogHealth::Refusing);
        assert_eq!(readiness(&node), Err(NotReady::LogFailed));
    }
}
