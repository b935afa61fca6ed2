//! A shard: who leads it, in which epoch, and who may lead next.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use trefoil_clock::{Epoch, NodeId};
use trefoil_replication::Acks;

/// Epochs that a shard remembers, for people who want to know what happened.
pub(super) const REIGNS_MAX: usize = 64;

/// Whether the leader may lead.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Granted {
    /// It may, as long as it holds its lease.
    Yes,
    /// Its epoch was revoked; the next one is not granted yet (rule 11).
    Revoked,
}

/// An epoch that was granted.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Reign {
    /// Its number.
    pub epoch: Epoch,
    /// Whose it was.
    pub leader: NodeId,
}

/// See the module.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Shard {
    /// The newest epoch that was granted.
    pub epoch: Epoch,
    /// To whom.
    pub leader: NodeId,
    /// And whether it still is.
    pub granted: Granted,
    /// Who may be elected, the leader among them. Whoever acknowledges for a commit is in here (rule 9).
    pub electable: BTreeSet<NodeId>,
    /// The rule by which records of this set were committed; while one gives way to another, the one
    /// after which more members have to report.
    pub acks: Acks,
    /// How often the electable set was changed in this epoch.
    pub version: u64,
    /// The newest epochs, the present one last; at most 64.
    pub reigns: Vec<Reign>,
}

impl Shard {
    /// A shard whose leader founds the cluster.
    #[must_use]
    pub fn founded(epoch: Epoch, leader: NodeId, acks: Acks) -> Shard {
        Shard {
            epoch,
            leader,
            granted: Granted::Yes,
            electable: BTreeSet::from([leader]),
            acks,
            version: 0,
            reigns: vec![Reign { epoch, leader }],
        }
    }

    /// How many of the electable set must report where their logs end before one of them can be chosen,
    /// so that at least one holds every committed record (rule 9; the set holds the leader here, which
    /// is one more holder of each record than `acks` asks for).
    #[must_use]
    pub fn reports_needed(&self) -> usize {
        let followers = self.electable.len().saturating_sub(1);
        match self.acks.needed(followers) {
            // A record is on the leader and on `needed` others: all but that many must be heard.
            Some(needed) => self.electable.len() - needed,
            None => self.electable.len(),
        }
        .max(1)
    }

    /// Whether such a number of reports proves that nothing acknowledged is missing. With `async`, or
    /// while acknowledgements were degraded, only the whole set does.
    #[must_use]
    pub fn is_lossless(&self, reports: usize) -> bool {
        reports >= self.reports_needed()
    }

    pub(super) fn grant(&mut self, epoch: Epoch, leader: NodeId) {
        self.epoch = epoch;
        self.leader = leader;
        self.granted = Granted::Yes;
        self.version = 0;
        self.reigns.push(Reign { epoch, leader });
        if self.reigns.len() > REIGNS_MAX {
            self.reigns.remove(0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shard(acks: Acks, electable: u128) -> Shard {
        let electable = (1..=electable).map(NodeId).collect();
        Shard { electable, ..Shard::founded(Epoch(1), NodeId(1), acks) }
    }

    #[test]
    fn reports_intersect_every_set_that_may_have_acknowledged() {
        for members in 1..=7_usize {
            for needed in 0..members {
                let acks = match needed {
                    0 => Acks::Async,
                    needed => Acks::SemiSync(needed as u32),
                };
                let reports = shard(acks, members as u128).reports_needed();
                // The leader and `needed` others hold a record; reports are any set of that size.
                assert!(reports + needed + 1 > members, "{reports} reports of {members}, {acks}");
                assert!(reports <= members && (needed == 0 || reports < members));
            }
        }
        assert_eq!(shard(Acks::Sync, 3).reports_needed(), 1);
        assert_eq!(shard(Acks::SemiSync(1), 3).reports_needed(), 2);
        assert_eq!(shard(Acks::SemiSync(2), 2).reports_needed(), 2, "nothing was ever committed");
        assert_eq!(shard(Acks::Sync, 1).reports_needed(), 1);
    }
}
