//! Commit only rises, in each life of a core and over all leaders: what was committed by
//! acknowledgements is part of everything that is committed so later, whoever leads.

use trefoil_clock::{ClusterId, EpochEntry, EpochTable, Lsn, NodeId};

use super::{Committed, Judge};
use crate::cluster::{CLUSTER, Care, Micros};

impl Judge {
    /// A leader's watermarks (commit, released) changed.
    pub(crate) fn on_watermarks(
        &mut self,
        slot: usize,
        before: (Lsn, Lsn),
        after: (Lsn, Lsn),
        end: Lsn,
    ) {
        if after.0 < before.0 || after.1 < before.1 || after.1 > after.0 || after.0 > end {
            let text = format!("n{slot} goes from {before:?} to {after:?}, its log ends at {end}");
            self.broken("commit is final", text);
        }
    }

    /// A follower may apply up to a record.
    pub(crate) fn on_commit_to(&mut self, slot: usize, before: Lsn, after: Lsn) {
        if after < before {
            self.broken("commit is final", format!("n{slot} goes back from {before} to {after}"));
        }
    }

    /// A leader says that everything up to a record is committed, in one way or the other.
    pub(crate) fn on_commit(
        &mut self,
        (cluster, epochs): (ClusterId, &EpochTable),
        node: NodeId,
        commit: Lsn,
        kind: Committed,
    ) {
        let last = self.id_at(cluster, epochs, commit);
        let mut id = last;
        while id > 0 {
            let known = &mut self.known[id as usize];
            let maker = known.leader == node && !known.by_maker;
            if known.committed >= kind && !maker {
                break;
            }
            known.committed = known.committed.max(kind);
            known.by_maker |= known.leader == node;
            id = known.parent;
        }
        if kind == Committed::Strictly && cluster == CLUSTER && self.care == Care::Careful {
            self.one_branch(last);
        }
    }

    fn one_branch(&mut self, last: u64) {
        let newer = self.known[last as usize].position.lsn
            > self.known[self.strict_end as usize].position.lsn;
        let (first, second) = if newer { (self.strict_end, last) } else { (last, self.strict_end) };
        if !self.is_before(first, second) {
            let (a, b) = (&self.known[first as usize], &self.known[second as usize]);
            let text = format!(
                "records {first} ({:?} of {}) and {second} ({:?} of {}) are both committed by \
                 acknowledgements, on two branches",
                a.position, a.leader, b.position, b.leader
            );
            self.broken("P3/P4", text);
        }
        self.strict_end = second;
    }

    /// When a leader's commit reached a record.
    pub(crate) fn note_commit(&mut self, now: Micros, led: Option<EpochEntry>, commit: Lsn) {
        if let Some(entry) = led {
            self.commits.entry((entry.epoch, entry.leader)).or_default().push((now, commit));
        }
    }
}
