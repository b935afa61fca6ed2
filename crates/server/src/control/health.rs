//! Whether this node is fit to lead: its log is written, its loops turn.
//!
//! Invariant: one slow moment is no sickness; what lasts longer than clients wait is.

use trefoil_clock::Lsn;
use trefoil_cluster::state::ResignReason;
use trefoil_node::log::LogHealth;
use trefoil_node::node::Node;

/// A log that could not be written for so long is sick, milliseconds.
const DISK_MS: u64 = 2_000;
/// A loop that did not turn for so long stands still, milliseconds.
const LOOP_MS: u64 = 5_000;

/// See the module.
#[derive(Default)]
pub(super) struct Health {
    /// What was written when this was looked at last.
    appended: Lsn,
    /// Since when the log stands still though there is something to be written, or refuses it.
    stuck_since_ms: Option<u64>,
    /// Turns of each worker's loop, and when they were last seen to rise.
    turns: Vec<(i64, u64)>,
    trouble: Option<ResignReason>,
}

impl Health {
    pub(super) fn is_well(&self) -> bool {
        self.trouble.is_none()
    }

    /// Looks at the node. Why it had better not lead, as long as it is so.
    pub(super) fn look(&mut self, node: &Node, now_ms: u64) -> Option<ResignReason> {
        let appended = node.log.appended();
        let moved = std::mem::replace(&mut self.appended, appended) != appended;
        let refuses = node.log.health() != LogHealth::Writing;
        let waits = node.log.bytes() > 0 && !moved;
        if refuses || waits {
            self.stuck_since_ms.get_or_insert(now_ms);
        } else {
            self.stuck_since_ms = None;
        }
        let stuck_ms = self.stuck_since_ms.map_or(0, |since_ms| now_ms.saturating_sub(since_ms));
        let stalled_ms = self.longest_turn_ms(node, now_ms);
        self.trouble = match (stuck_ms, stalled_ms) {
            (stuck_ms, _) if stuck_ms >= DISK_MS => Some(ResignReason::SickDisk),
            (_, stalled_ms) if stalled_ms >= LOOP_MS => Some(ResignReason::StalledLoop),
            _ => None,
        };
        self.trouble
    }

    fn longest_turn_ms(&mut self, node: &Node, now_ms: u64) -> u64 {
        self.turns.resize(node.workers, (-1, now_ms));
        let mut longest_ms = 0;
        for (worker, (seen, at_ms)) in self.turns.iter_mut().enumerate() {
            let turns = node.counters.traffic(worker).turns.get();
            if std::mem::replace(seen, turns) != turns {
                *at_ms = now_ms;
            }
            longest_ms = longest_ms.max(now_ms.saturating_sub(*at_ms));
        }
        longest_ms
    }
}
