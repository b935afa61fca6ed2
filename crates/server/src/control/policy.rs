//! The keyspace's policy: what is agreed upon becomes this node's configuration; what a node that is
//! alone is configured to becomes what is agreed upon.

use trefoil_cluster::control::{Action, Request};
use trefoil_cluster::state::{ControlState, DEFAULT_KEYSPACE, KeyspacePolicy, Origin};
use trefoil_node::config;
use trefoil_node::settings::Settings;

use super::ControlThread;

/// The policy that a node founds a cluster with.
pub(super) fn own(settings: &Settings) -> KeyspacePolicy {
    let acks = settings.policy();
    let alone = KeyspacePolicy::alone();
    let origin = match settings.is_given("acks") || acks.acks != alone.acks.acks {
        true => Origin::Chosen,
        false => Origin::Default,
    };
    KeyspacePolicy { origin, acks, ..alone }
}

impl ControlThread {
    /// The policy that is agreed upon is in force here, too.
    pub(super) fn take_policy(&mut self, state: &ControlState) {
        let Some(&policy) = state.keyspaces.get(DEFAULT_KEYSPACE) else { return };
        if !state.is_managed() || self.policy == Some(policy) {
            return;
        }
        self.policy = Some(policy);
        let acks = policy.acks;
        let pairs = [
            ("acks", acks.acks.to_string()),
            ("ack-level", acks.level.name().to_owned()),
            ("on-lost-acks", acks.on_lost.name().to_owned()),
            ("degrade-after", acks.degrade_after_ms.to_string()),
        ];
        let pairs: Vec<(&[u8], &[u8])> =
            pairs.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())).collect();
        if let Err(error) = config::set(&self.node, &pairs) {
            eprintln!("trefoil: the agreed policy can't be put in force: {error:?}");
        }
    }

    /// A node that is alone may be configured as it likes.
    pub(super) fn tell_own_policy(&mut self, now_ms: u64, out: &mut Vec<Action>) {
        let acks = self.node.settings.policy();
        let state = self.control.state();
        let Some(&agreed) = state.keyspaces.get(DEFAULT_KEYSPACE) else { return };
        if state.is_managed()
            || agreed.acks == acks
            || self.policy.is_some_and(|it| it.acks == acks)
        {
            return;
        }
        let policy = KeyspacePolicy { acks, ..agreed };
        self.policy = Some(policy);
        let keyspace = DEFAULT_KEYSPACE.to_owned();
        self.control.request(now_ms, Request::SetPolicy { keyspace, policy }, out);
    }
}
