//! EXISTS, TOUCH, TYPE: what is known of keys without their values.

use super::{KEY, KEYS, type_name};
use crate::call::{Call, DataHandler};
use crate::error::CommandError;
use crate::families::READS_FAST;
use crate::spec::{Access, Command, KeySpec, Spec};

const TIPS: &[&str] = &["request_policy:multi_shard", "response_policy:agg_sum"];

pub(super) const EXISTS: Command<DataHandler> = Command::new(
    Spec {
        name: "exists",
        arity: -2,
        flags: READS_FAST,
        keys: &[KeySpec::to_end(1, 1, Access::Inspect)],
        summary: "Counts which of the keys are there; one that is named twice counts twice.",
        complexity: "O(N) in the number of keys",
        args: &[KEYS],
        tips: TIPS,
        ..Spec::BASE
    },
    exists,
);

fn exists(call: &mut Call<'_, '_>) -> Result<(), CommandError> {
    let mut there = 0;
    for at in 1..call.len() {
        let key = call.key(at);
        there += i64::from(call.txn.meta(&key).is_some());
    }
    call.out.integer(there);
    Ok(())
}

pub(super) const TOUCH: Command<DataHandler> = Command::new(
    Spec {
        name: "touch",
        arity: -2,
        flags: READS_FAST,
        keys: &[KeySpec::to_end(1, 1, Access::Inspect)],
        since: "3.2.1",
        summary: "Marks keys as used now and counts those that are there.",
        complexity: "O(N) in the number of keys",
        args: &[KEYS],
        tips: TIPS,
        ..Spec::BASE
    },
    touch,
);

fn touch(call: &mut Call<'_, '_>) -> Result<(), CommandError> {
    let mut there = 0;
    for at in 1..call.len() {
        let key = call.key(at);
        there += i64::from(call.txn.touch_key(&key));
    }
    call.out.integer(there);
    Ok(())
}

pub(super) const TYPE: Command<DataHandler> = Command::new(
    Spec {
        name: "type",
        arity: 2,
        flags: READS_FAST,
        keys: &[KeySpec::one(1, Access::Inspect)],
        summary: "Tells the type of what a key holds.",
        args: &[KEY],
        ..Spec::BASE
    },
    type_of,
);

fn type_of(call: &mut Call<'_, '_>) -> Result<(), CommandError> {
    let key = call.key(1);
    let name = call.txn.meta(&key).map_or("none", |meta| type_name(meta.kind));
    call.out.simple(name);
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::testing::Server;

    #[test]
    fn keys_are_counted_and_named_by_type() {
        let mut server = Server::new();
        server.check(&[
            ("SET k v", "+OK"),
            ("EXISTS k k none", ":2"),
            ("TOUCH k k none", ":2"),
            ("TYPE k", "+string"),
            ("TYPE none", "+none"),
        ]);
    }
}
