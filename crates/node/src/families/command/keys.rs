//! COMMAND GETKEYS and GETKEYSANDFLAGS.

use trefoil_commands::{Access, CommandError, KeySpec};

use crate::handler::{Flow, NodeCall};
use crate::table::TABLE;

pub(super) fn getkeys(call: &mut NodeCall<'_>) -> Result<Flow, CommandError> {
    let found = find_keys(call)?;
    let args = call.args;
    let mut reply = call.reply();
    reply.array(found.len());
    for (at, _) in found {
        reply.bulk(args.get(at));
    }
    Ok(Flow::Continue)
}

pub(super) fn getkeysandflags(call: &mut NodeCall<'_>) -> Result<Flow, CommandError> {
    let found = find_keys(call)?;
    let args = call.args;
    let mut reply = call.reply();
    reply.array(found.len());
    for (at, access) in found {
        reply.array(2);
        reply.bulk(args.get(at));
        reply.set(access.names().len());
        for name in access.names() {
            reply.simple(name);
        }
    }
    Ok(Flow::Continue)
}

/// The keys of the call that begins at argument 2: where they are, and what is done with them.
fn find_keys(call: &NodeCall<'_>) -> Result<Vec<(usize, Access)>, CommandError> {
    const SKIPPED: usize = 2;
    let inner = call.args.skip(SKIPPED);
    let entry = TABLE.resolve(inner).ok_or(CommandError::Other("ERR Invalid command specified"))?;
    let is_key = |keys: &&KeySpec| keys.access != Access::Channel;
    if !entry.spec.keys.iter().any(|keys| is_key(&keys)) {
        return Err(CommandError::Other("ERR The command has no key arguments"));
    }
    if !entry.spec.takes(inner.len()) {
        return Err(CommandError::Other("ERR Invalid number of arguments specified for command"));
    }
    let keys = entry.spec.keys.iter().filter(is_key);
    let found: Vec<(usize, Access)> = keys
        .flat_map(|keys| keys.indexes(inner.len()).map(|at| (at + SKIPPED, keys.access)))
        .collect();
    if found.is_empty() {
        return Err(CommandError::Other("ERR The command has no key arguments"));
    }
    Ok(found)
}
