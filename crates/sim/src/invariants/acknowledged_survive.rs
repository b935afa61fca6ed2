//! P3 and P4: what was committed by acknowledgements is part of the history in the end, within the
//! losses that the mode covers and if people promote by the rule. Pitfalls 3, 4, 5 and 7.

use super::{Committed, Judge};
use crate::cluster::{CLUSTER, Care};

impl Judge {
    pub(super) fn check_acknowledged(&mut self, survived: &[bool]) {
        let missing = |id: &usize| !survived[*id] && self.known[*id].cluster == CLUSTER;
        let lost: Vec<usize> = (1..self.known.len()).filter(missing).collect();
        self.lost = lost.iter().filter(|id| self.known[**id].acknowledged).count() as u64;
        if self.care == Care::Careless {
            return;
        }
        let strict = lost.iter().find(|id| self.known[**id].committed == Committed::Strictly);
        if let Some(&id) = strict {
            let known = &self.known[id];
            let told = if known.acknowledged { "acknowledged" } else { "committed" };
            let text = format!(
                "record {id} ({:?} of {}) was {told} and is lost",
                known.position, known.leader
            );
            self.broken("P3/P4", text);
        }
    }
}
