//! What a seed decides before the run begins.

use trefoil_replication::{AckLevel, AckPolicy, Acks, LocalRule, OnLost};

use super::agenda::{MS, Micros};
use crate::dice::Dice;

/// How the person works who sets the leader.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Care {
    /// Stops followers before asking where they stand, and promotes by the rule: the highest position
    /// among enough reports.
    Careful,
    /// Promotes whom it likes.
    Careless,
}

/// See the module.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) nodes: usize,
    pub(crate) clients: usize,
    pub(crate) policy: AckPolicy,
    /// The policy never changes.
    pub(crate) steady: bool,
    pub(crate) local: LocalRule,
    pub(crate) care: Care,
    /// When faults and writes end, and everything heals.
    pub(crate) heals_at: Micros,
    /// About how long from one fault to the next.
    pub(crate) fault_gap: Micros,
    /// About how long from one of the person's whims to the next.
    pub(crate) whim_gap: Micros,
    /// Bytes of log kept for followers.
    pub(crate) retained_bytes_max: u64,
    /// Losses of data that the promises cover: disks, and power where it matters.
    pub(crate) losses_max: u64,
    pub(crate) window_bytes: u64,
    pub(crate) stream_bytes_max: u64,
    pub(crate) chunk_bytes_max: u64,
    /// About how long between a node's own snapshots.
    pub(crate) snapshot_gap: Micros,
    pub(crate) sync_takes: Micros,
    /// A process that died is started again after about this long.
    pub(crate) restart_after: Micros,
}

impl Plan {
    /// Whether all writes and linearizable reads of the run must have an order.
    pub(crate) fn promises_linearizability(&self) -> bool {
        let strict = self.policy.acks != Acks::Async && self.policy.on_lost == OnLost::Block;
        strict && self.steady && self.care == Care::Careful
    }

    pub(crate) fn draw(dice: &mut Dice) -> Plan {
        let nodes = [3, 3, 3, 3, 2, 4, 5][dice.below(7) as usize];
        let acks = match dice.below(6) {
            0 | 1 => Acks::Async,
            2 | 3 => Acks::SemiSync(1 + dice.below(2).min(nodes - 2) as u32),
            _ => Acks::Sync,
        };
        let level = [AckLevel::Received, AckLevel::Flushed, AckLevel::Flushed, AckLevel::Applied]
            [dice.below(4) as usize];
        let on_lost = if dice.one_in(4) { OnLost::Degrade } else { OnLost::Block };
        let k = match acks {
            Acks::SemiSync(k) => u64::from(k),
            Acks::Sync | Acks::Async => 1,
        };
        Plan {
            nodes: nodes as usize,
            clients: 2 + dice.below(4) as usize,
            policy: AckPolicy { acks, level, on_lost, degrade_after_ms: 100 + dice.below(400) },
            steady: !dice.one_in(4),
            local: if dice.one_in(2) { LocalRule::Appended } else { LocalRule::Durable },
            care: if dice.one_in(4) { Care::Careless } else { Care::Careful },
            heals_at: (3_000 + dice.below(3_000)) * MS,
            fault_gap: (30 + dice.below(500)) * MS,
            whim_gap: (300 + dice.below(3_000)) * MS,
            retained_bytes_max: 500 << dice.below(6),
            losses_max: k,
            window_bytes: 256 << dice.below(6),
            stream_bytes_max: 64 << dice.below(6),
            chunk_bytes_max: 32 << dice.below(5),
            snapshot_gap: (50 + dice.below(1_000)) * MS,
            sync_takes: (1 + dice.below(20)) * MS,
            restart_after: (20 + dice.below(1_000)) * MS,
        }
    }
}
