//! DEL and UNLINK. Memory is given back at once in both: a value is one allocation.

use super::KEYS;
use crate::call::{Call, DataHandler};
use crate::error::CommandError;
use crate::families::{WRITES, WRITES_FAST};
use crate::spec::{Access, Command, KeySpec, Spec};

const TIPS: &[&str] = &["request_policy:multi_shard", "response_policy:agg_sum"];

pub(super) const DEL: Command<DataHandler> = Command::new(
    Spec {
        name: "del",
        arity: -2,
        flags: WRITES,
        keys: &[KeySpec::to_end(1, 1, Access::Delete)],
        summary: "Deletes keys.",
        complexity: "O(N) in the number of keys",
        args: &[KEYS],
        tips: TIPS,
        ..Spec::BASE
    },
    del,
);

pub(super) const UNLINK: Command<DataHandler> = Command::new(
    Spec {
        name: "unlink",
        arity: -2,
        flags: WRITES_FAST,
        keys: &[KeySpec::to_end(1, 1, Access::Delete)],
        since: "4.0.0",
        summary: "Deletes keys; large values are given back to memory later.",
        complexity: "O(N) in the number of keys",
        args: &[KEYS],
        tips: TIPS,
        ..Spec::BASE
    },
    del,
);

fn del(call: &mut Call<'_, '_>) -> Result<(), CommandError> {
    let mut deleted = 0;
    for at in 1..call.len() {
        let key = call.key(at);
        deleted += i64::from(call.txn.delete(&key));
    }
    call.out.integer(deleted);
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::testing::Server;

    #[test]
    fn keys_are_deleted_once() {
        let mut server = Server::new();
        server.check(&[
            ("MSET a 1 b 2 c 3", "+OK"),
            ("DEL a a none b", ":2"),
            ("EXISTS a b c", ":1"),
            ("UNLINK c c", ":1"),
            ("DBSIZE", ":0"),
            ("DEL", "-ERR wrong number of arguments for 'del' command"),
            ("PSETEX k 10 v", "+OK"),
        ]);
        server.pass_ms(10);
        server.check(&[("DEL k", ":0")]);
    }
}
