//! Sections about a leader and its follower, against Valkey and its replica.
//!
//! Where a core is to be shared, the leader has its own: the follower is on the load generator's.

mod apply;
mod asynchronous;
mod full_sync;
mod lag_probe;
mod pair;
mod semi_sync;

pub(super) use apply::apply;
pub(super) use asynchronous::asynchronous;
pub(super) use full_sync::full_sync;
pub(super) use semi_sync::semi_sync;
