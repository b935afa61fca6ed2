//! A cluster of nodes in one thread: the cores of replication as they are, everything around them a
//! model that can fail.
//!
//! Nodes have a log, a store, snapshots and clocks; links cut, stall and deliver late; clients write and
//! read with sessions. There are two families of runs: in one a person sets the leader by hand, in the
//! other nodes agree on it, with the control plane as it is. All that happens is drawn from one seed,
//! and written as lines of a trace whose hash tells whether two runs were the same.
//!
//! Not here: bytes on disks (that is the other simulation), threads, sockets.

mod agenda;
mod answers;
mod client;
mod coverage;
mod disk;
mod ending;
mod faults;
mod following;
mod healing;
mod leading;
mod machine;
mod network;
mod operator;
mod plan;
mod process;
mod record;
mod replacing;
mod roles;
mod sabotage;
mod serving;
mod snapshot;
mod store;
mod task;
mod trace;
mod world;

pub use coverage::Met;
pub use sabotage::Defect;
pub use trace::Keep;
pub use world::{Family, Outcome, run};

pub(crate) use agenda::Micros;
pub(crate) use client::{Answer, Ask, Carries, Reply};
pub(crate) use plan::{Care, Plan};
pub(crate) use record::{Change, KEYS, Record};
pub(crate) use store::Store;
pub(crate) use world::CLUSTER;

use trefoil_clock::ShardId;

/// The one shard.
pub(crate) const SHARD: ShardId = ShardId(0);
