//! P7: a session reads its own writes and never goes back, across nodes and connections (by token) and
//! through failovers; a token of a lost branch fails.
//!
//! A session that carries no token is judged only where the newest leader's history is served, and not
//! about writes that were committed without acknowledgements: nodes can't know what it saw elsewhere.

use std::collections::BTreeMap;

use trefoil_replication::Consistency;

use super::{Committed, Judge};
use crate::cluster::{Answer, Ask, Care, Carries, KEYS, Micros, Reply};

/// What a client asked and was told.
pub(crate) struct Operation {
    pub(crate) client: usize,
    pub(crate) session: u32,
    pub(crate) carries: Carries,
    pub(crate) node: usize,
    pub(crate) ask: Ask,
    pub(crate) asked: Micros,
    /// The record that it made, if it came to that.
    pub(crate) record: u64,
    pub(crate) answered: Option<(Micros, Answer)>,
    /// Whether who answered belonged to an older epoch than the newest.
    pub(crate) deposed: bool,
}

impl Judge {
    /// A client asks; the operation's number comes back.
    pub(crate) fn on_ask(
        &mut self,
        asked: Micros,
        (client, session, carries): (usize, u32, Carries),
        node: usize,
        ask: Ask,
    ) -> usize {
        let (record, answered, deposed) = (0, None, false);
        let operation =
            Operation { client, session, carries, node, ask, asked, record, answered, deposed };
        self.operations.push(operation);
        self.operations.len() - 1
    }

    /// A leader carried a write out.
    pub(crate) fn on_written(&mut self, operation: usize, record: u64) {
        self.operations[operation].record = record;
    }

    /// The answer reached the client.
    pub(crate) fn on_answer(&mut self, now: Micros, reply: &Reply) {
        let operation = &mut self.operations[reply.request.operation];
        operation.answered = Some((now, reply.answer));
        operation.deposed = reply.served.deposed;
        if let Answer::Written { record, .. } = reply.answer {
            self.on_acknowledged(record);
        }
    }

    pub(super) fn check_sessions(&mut self, survived: &[bool]) {
        let mut seen: BTreeMap<u32, [u64; KEYS]> = BTreeMap::new();
        let mut found = None;
        for (at, operation) in self.operations.iter().enumerate() {
            let Some((_, answer)) = operation.answered else { continue };
            let shown = match (operation.ask, answer) {
                (Ask::Write(_), Answer::Written { record, .. }) => record,
                (
                    Ask::Read(_, Consistency::Session | Consistency::Linearizable),
                    Answer::Value { by, .. },
                ) => by,
                _ => continue,
            };
            let key = usize::from(operation.ask.key());
            let own = seen.entry(operation.session).or_insert([0; KEYS]);
            let before = std::mem::replace(&mut own[key], shown);
            if self.goes_back(operation, before, shown, survived) {
                found = Some((at, before, shown));
                break;
            }
        }
        self.histories += seen.len() as u64;
        if let Some((at, before, shown)) = found {
            let (o, b, s) =
                (&self.operations[at], &self.known[before as usize], &self.known[shown as usize]);
            let text = format!(
                "session {} of client {} ({:?}) asked n{} {:?} (o{at}) and was shown record {shown} \
                 ({:?}), after it had seen record {before} ({:?} of {}, survived: {})",
                o.session,
                o.client,
                o.carries,
                o.node,
                o.ask,
                s.position,
                b.position,
                b.leader,
                survived[before as usize]
            );
            self.broken("P7", text);
        }
    }

    /// Whether an answer shows less than the session had seen.
    fn goes_back(&self, operation: &Operation, before: u64, shown: u64, survived: &[bool]) -> bool {
        if before == 0 || self.is_before(before, shown) {
            return false;
        }
        let saw = &self.known[before as usize];
        let doubled = self.doubled.iter().any(|epoch| *epoch >= saw.position.epoch);
        match operation.carries {
            // A token names epoch and LSN; in an epoch with two leaders that is not enough.
            Carries::Token => !doubled,
            Carries::Name => {
                let promised = self.care == Care::Careful && saw.committed == Committed::Strictly;
                promised && survived[before as usize] && !operation.deposed && !doubled
            }
        }
    }
}
