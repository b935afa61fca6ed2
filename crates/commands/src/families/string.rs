//! Strings: GET and SET.

use crate::call::{Call, DataHandler};
use crate::error::CommandError;
use crate::spec::{Access, Arg, ArgKind, Command, Flags, Group, KeySpec, Spec};
use trefoil_store::txn::Deadline;

/// The family's commands.
pub(super) const COMMANDS: &[Command<DataHandler>] = &[GET, SET];

const GET: Command<DataHandler> = Command::new(
    Spec {
        name: "get",
        arity: 2,
        flags: Flags::READONLY.with(Flags::FAST),
        keys: &[KeySpec::one(1, Access::Read)],
        group: Group::String,
        summary: "Returns the string value of a key.",
        args: &[Arg::required("key", ArgKind::Key(0))],
        ..Spec::BASE
    },
    get,
);

fn get(call: &mut Call<'_, '_>) -> Result<(), CommandError> {
    let key = call.key(1);
    match call.txn.string(&key)? {
        None => call.out.null(),
        Some(view) => match view.shared() {
            Some(shared) => call.out.bulk_shared(shared),
            None => call.out.bulk(view.bytes()),
        },
    }
    Ok(())
}

const SET: Command<DataHandler> = Command::new(
    Spec {
        name: "set",
        arity: -3,
        flags: Flags::WRITE.with(Flags::DENYOOM),
        keys: &[KeySpec::one(1, Access::Overwrite)],
        group: Group::String,
        summary: "Sets the string value of a key.",
        ..Spec::BASE
    },
    set,
);

fn set(call: &mut Call<'_, '_>) -> Result<(), CommandError> {
    let key = call.key(1);
    let value = call.arg(2);
    call.txn.put(&key, value.into(), Deadline::None);
    call.out.ok();
    Ok(())
}
