//! Followers for tests.

use trefoil_clock::{Lsn, NodeId};

use super::{FollowerRow, FollowerState};

/// A follower that has everything up to record 10, and is no member.
pub(crate) fn row(id: u128) -> FollowerRow {
    FollowerRow {
        node: NodeId(id),
        ip: Some([127, 0, 0, 1].into()),
        port: 7_000 + id as u16,
        state: FollowerState::Streaming,
        is_member: false,
        sent: Lsn(10),
        received: Lsn(10),
        flushed: Lsn(10),
        applied: Lsn(10),
        lag_records: 0,
        lag_bytes: 0,
        lag_ms: Some(0),
        is_lagging: false,
        silent_ms: 0,
    }
}
