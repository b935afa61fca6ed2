//! P6: linearizable reads and all writes have an order, per key, through promotions. Judged by the
//! checker that judges real histories. Reads that a deposed leader answered are left out: before there
//! are leases it can't know.

use trefoil_check::linearizable::{Limits, check};
use trefoil_check::{Action, End, Operation as Asked, Reply};
use trefoil_replication::Consistency;

use super::Judge;
use super::sessions::Operation;
use crate::cluster::{Answer, Ask, Change};

impl Judge {
    pub(super) fn check_linearizable(&mut self) {
        if !self.linearizable {
            return;
        }
        let history: Vec<Asked> = self.operations.iter().filter_map(as_asked).collect();
        let findings = check(&history, Limits { configurations_max: 200_000 });
        self.histories += findings.histories;
        if let Some(violation) = findings.violations.first() {
            let text = violation.text.clone();
            self.broken("P6", text);
        }
    }
}

/// The operation as the checker of histories knows it. None: it says nothing, or never happened.
fn as_asked(operation: &Operation) -> Option<Asked> {
    let value = |id: u64| id.to_string();
    let action = match operation.ask {
        Ask::Write(_) if operation.record == 0 => return None,
        Ask::Write(Change::Put(_) | Change::Pair) => Action::Set(value(operation.record)),
        Ask::Write(Change::Remove(_)) => Action::Delete,
        Ask::Write(Change::Add(_, by)) => Action::Add(i64::try_from(by).ok()?),
        Ask::Read(_, Consistency::Linearizable) if !operation.deposed => Action::Get,
        Ask::Write(Change::Barrier) | Ask::Read(..) => return None,
    };
    let end = match operation.answered {
        Some((at_us, Answer::Written { number, .. })) => {
            let reply = match operation.ask {
                Ask::Write(Change::Put(_) | Change::Pair) => Reply::Done,
                _ => Reply::Number(i64::try_from(number).ok()?),
            };
            End::Returned { at_us, reply }
        }
        Some((at_us, Answer::Value { value: held, .. })) => {
            End::Returned { at_us, reply: Reply::Value(held.map(value)) }
        }
        _ if action == Action::Get => return None,
        _ => End::Unknown,
    };
    Some(Asked {
        client: u32::try_from(operation.client).ok()?,
        node: u32::try_from(operation.node).ok()?,
        key: operation.ask.key().to_string(),
        action,
        invoked_us: operation.asked,
        end,
    })
}
