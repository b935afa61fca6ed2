//! Slots of keys, and keys of slots.

use std::ops::ControlFlow;

use trefoil_commands::{Arg, ArgKind, Command, CommandError, Flags, Spec, parse_i64};
use trefoil_store::slot::{SLOTS, slot_of};
use trefoil_store::walk::visit_slot;

use super::TELLS;
use crate::handler::{Flow, NodeCall, NodeHandler};

const LOOKS: Spec = Spec { arity: 3, flags: Flags::STALE, complexity: "O(1)", tips: &[], ..TELLS };

pub(super) const KEYSLOT: Command<NodeHandler> = Command::new(
    Spec {
        name: "keyslot",
        summary: "Tells the slot of a key.",
        complexity: "O(N) in the length of the key",
        args: &[Arg::required("key", ArgKind::String)],
        ..LOOKS
    },
    |call| {
        let slot = slot_of(call.args.get(2));
        call.reply().integer(i64::from(slot));
        Ok(Flow::Continue)
    },
);

pub(super) const COUNTKEYSINSLOT: Command<NodeHandler> = Command::new(
    Spec {
        name: "countkeysinslot",
        summary: "Counts this node's keys in a slot.",
        complexity: "O(N) in the number of keys in the slot",
        args: &[Arg::required("slot", ArgKind::Integer)],
        ..LOOKS
    },
    countkeysinslot,
);

fn countkeysinslot(call: &mut NodeCall<'_>) -> Result<Flow, CommandError> {
    let slot = slot(call, 2).ok_or(CommandError::Other("ERR Invalid slot"))?;
    if !may_look(call) {
        return Ok(Flow::Retry);
    }
    let mut count = 0;
    visit(call, slot, |_| {
        count += 1;
        ControlFlow::Continue(())
    });
    call.reply().integer(count);
    Ok(Flow::Continue)
}

pub(super) const GETKEYSINSLOT: Command<NodeHandler> = Command::new(
    Spec {
        name: "getkeysinslot",
        arity: 4,
        summary: "Shows some of this node's keys in a slot.",
        complexity: "O(N) in the number of keys that are asked for",
        args: &[Arg::required("slot", ArgKind::Integer), Arg::required("count", ArgKind::Integer)],
        tips: &["nondeterministic_output"],
        ..LOOKS
    },
    getkeysinslot,
);

fn getkeysinslot(call: &mut NodeCall<'_>) -> Result<Flow, CommandError> {
    const WRONG: CommandError = CommandError::Other("ERR Invalid slot or number of keys");
    let count = parse_i64(call.args.get(3)).ok_or(CommandError::NotInteger)?;
    let (slot, count) = (slot(call, 2).ok_or(WRONG)?, usize::try_from(count).map_err(|_| WRONG)?);
    if !may_look(call) {
        return Ok(Flow::Retry);
    }
    let mut keys: Vec<Box<[u8]>> = Vec::new();
    visit(call, slot, |key| {
        if keys.len() < count {
            keys.push(key.into());
        }
        if keys.len() < count { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    });
    let mut reply = call.reply();
    if keys.is_empty() {
        reply.empty_array();
        return Ok(Flow::Continue);
    }
    reply.array(keys.len());
    for key in keys {
        reply.bulk(&key);
    }
    Ok(Flow::Continue)
}

/// Within a transaction this worker is alone.
fn may_look(call: &NodeCall<'_>) -> bool {
    call.worker.may_touch_data() || call.worker.is_in_exec()
}

/// Clients of clusters know one database.
fn visit(call: &NodeCall<'_>, slot: u16, visit: impl FnMut(&[u8]) -> ControlFlow<()>) {
    visit_slot(&call.worker.node.keyspace, &call.worker.writer, 0, slot, visit);
}

fn slot(call: &NodeCall<'_>, at: usize) -> Option<u16> {
    let slot = u16::try_from(parse_i64(call.args.get(at))?).ok()?;
    (slot < SLOTS).then_some(slot)
}
