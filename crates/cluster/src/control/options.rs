//! Settings of a node's control, and what it starts from.

use trefoil_clock::{ClusterId, Epoch, ShardId};

use crate::controller::ControllerOptions;
use crate::raft;
use crate::state::{KeyspacePolicy, Member};

/// Times and bounds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ControlOptions {
    /// Where consensus starts its dice; different on every node and at every start.
    pub seed: u64,
    /// How often a leader asks the voters for its lease.
    pub renew_ms: u64,
    /// For how long an answer lets a leader go on, counted from its question. The same on all nodes.
    pub lease_ms: u64,
    /// How often a voter tells the raft leader how long it has not heard the shard's leader.
    pub heard_ms: u64,
    /// How often a member says where it stands.
    pub report_ms: u64,
    /// The same while nobody leads.
    pub fenced_report_ms: u64,
    /// How soon a question that was not answered is asked again.
    pub ask_ms: u64,
    /// For how long.
    pub request_ms: u64,
    /// Commands between two snapshots of the agreed state.
    pub compact_entries: u64,
    /// How often the view is published though nothing but silence has changed.
    pub view_ms: u64,
    /// Of the raft leader.
    pub controller: ControllerOptions,
}

impl Default for ControlOptions {
    fn default() -> ControlOptions {
        ControlOptions {
            seed: 0,
            renew_ms: 50,
            lease_ms: 350,
            heard_ms: 100,
            report_ms: 500,
            fenced_report_ms: 100,
            ask_ms: 200,
            request_ms: 15_000,
            compact_entries: 512,
            view_ms: 1_000,
            controller: ControllerOptions::default(),
        }
    }
}

/// Who a node is and what it knows when it starts.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ControlStart {
    /// This node, with the generation of this start.
    pub own: Member,
    /// What was written down. None, or nothing in it: the node founds a cluster of one.
    pub raft: Option<raft::Start>,
    /// The cluster that the node's data belongs to; for a founder and one that joins.
    pub cluster: ClusterId,
    /// The shard whose leaders are agreed upon.
    pub shard: ShardId,
    /// Of a founder: the epoch that it has reached alone.
    pub epoch: Epoch,
    /// Of a founder: the keyspace `default`.
    pub policy: KeyspacePolicy,
}
