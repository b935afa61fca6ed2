//! MEMORY: what a key costs.

use super::{KEY, reply_help, unknown_subcommand};
use crate::call::{Call, DataHandler};
use crate::error::CommandError;
use crate::families::READS;
use crate::spec::{Access, Arg, ArgKind, Command, Flags, Group, KeySpec, Spec};

pub(super) const MEMORY: Command<DataHandler> = Command {
    spec: Spec {
        name: "memory",
        arity: -2,
        group: Group::Server,
        since: "4.0.0",
        summary: "Groups the commands about memory.",
        complexity: "Depends on subcommand.",
        ..Spec::BASE
    },
    run: |call| Err(unknown_subcommand(call, "MEMORY")),
    subcommands: &[HELP, USAGE],
};

const USAGE: Command<DataHandler> = Command::new(
    Spec {
        name: "usage",
        arity: -3,
        flags: READS,
        keys: &[KeySpec::one(2, Access::Inspect)],
        group: Group::Server,
        since: "4.0.0",
        summary: "Tells how many bytes a key and its value take.",
        args: &[KEY, Arg::optional("count", "SAMPLES", ArgKind::Integer)],
        ..Spec::BASE
    },
    usage,
);

fn usage(call: &mut Call<'_, '_>) -> Result<(), CommandError> {
    let mut at = 3;
    while at < call.len() {
        if !call.is(at, "SAMPLES") || at + 1 >= call.len() {
            return Err(CommandError::Syntax);
        }
        // A string needs no samples: its bytes are counted.
        if call.integer(at + 1)? < 0 {
            return Err(CommandError::Syntax);
        }
        at += 2;
    }
    let key = call.key(2);
    match call.txn.peek(&key) {
        Some(meta) => call.out.integer(meta.memory as i64),
        None => call.out.null(),
    }
    Ok(())
}

const HELP: Command<DataHandler> = Command::new(
    Spec {
        name: "help",
        arity: 2,
        flags: Flags::LOADING.with(Flags::STALE),
        group: Group::Server,
        since: "4.0.0",
        summary: "Explains the subcommands.",
        ..Spec::BASE
    },
    help,
);

fn help(call: &mut Call<'_, '_>) -> Result<(), CommandError> {
    reply_help(
        call,
        &[
            "MEMORY <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
            "USAGE <key> [SAMPLES <count>]",
            "    Bytes of memory that the key and its value take. Samples are accepted, but nothing",
            "    has to be estimated.",
            "HELP",
            "    These lines.",
        ],
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::testing::Server;

    #[test]
    fn usage_is_the_size_of_the_allocation() {
        let mut server = Server::new();
        server.run_words(&[b"SET", &[b'k'; 16], &[b'v'; 64]]);
        server.check(&[
            ("MEMORY USAGE kkkkkkkkkkkkkkkk", ":96"),
            ("MEMORY USAGE none", "$-1"),
            ("MEMORY USAGE none SAMPLES 5", "$-1"),
            ("MEMORY USAGE k SAMPLES -1", "-ERR syntax error"),
            ("MEMORY USAGE k SAMPLES a", "-ERR value is not an integer or out of range"),
            ("MEMORY USAGE k SAMPLES", "-ERR syntax error"),
            ("MEMORY USAGE k FOO", "-ERR syntax error"),
            ("MEMORY foo", "-ERR unknown subcommand 'foo'. Try MEMORY HELP."),
        ]);
        assert!(server.run("MEMORY HELP").starts_with("*6 +MEMORY"));
    }
}
