//! Identities and clocks: who wrote a record, where it stands in its origin's order, and when.
//!
//! This crate depends on nothing of ours and does no I/O. Every number that could be confused with
//! another is a type of its own, so that an LSN is never passed where an epoch is meant.
//!
//! Invariants:
//! * `(shard, origin, lsn)` names one record; LSNs of one origin are dense and start at 1.
//! * A restart is a new [`Epoch`] unless the stop before it was clean (marker synced last).
//! * Stamps that one [`HlcClock`] hands out strictly increase.

mod epoch;
mod hlc;
mod id;

pub use epoch::{EpochEntry, EpochTable, Position};
pub use hlc::{Hlc, HlcClock};
pub use id::{ClusterId, Epoch, Identity, Lsn, NodeId, Origin, ShardId};
