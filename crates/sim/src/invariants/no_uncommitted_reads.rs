//! P3: nobody reads a write that can be lost later: what an answer shows is committed when it leaves,
//! on leaders and on followers. Pitfalls 1 and 27.

use super::{Committed, Judge};
use crate::cluster::{Answer, Ask};

impl Judge {
    /// A node answers.
    pub(crate) fn on_served(&mut self, slot: usize, ask: Ask, answer: Answer) {
        let Answer::Value { by, .. } = answer else { return };
        let known = &self.known[by as usize];
        if known.committed == Committed::No {
            let text = format!(
                "n{slot} answers {ask:?} with record {by}, {:?} of {}, which nobody committed",
                known.position, known.leader
            );
            self.broken("P3", text);
        }
    }
}
