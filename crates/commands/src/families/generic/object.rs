//! OBJECT: how a value is kept, and when it was used.

use super::{KEY, reply_help, type_name, unknown_subcommand};
use crate::call::{Call, DataHandler};
use crate::error::CommandError;
use crate::families::READS;
use crate::numbers::parse_i64;
use crate::spec::{Access, Command, Flags, KeySpec, Spec};

/// The longest string that Redis 7.2 embeds in its object.
const EMBSTR_LEN_MAX: usize = 44;

pub(super) const OBJECT: Command<DataHandler> = Command {
    spec: Spec {
        name: "object",
        arity: -2,
        since: "2.2.3",
        summary: "Groups the commands that tell how values are kept.",
        complexity: "Depends on subcommand.",
        ..Spec::BASE
    },
    run: |call| Err(unknown_subcommand(call, "OBJECT")),
    subcommands: &[ENCODING, FREQ, HELP, IDLETIME, REFCOUNT],
};

/// What the subcommands about a key have in common.
const ABOUT_KEY: Spec = Spec {
    arity: 3,
    flags: READS,
    keys: &[KeySpec::one(2, Access::Inspect)],
    since: "2.2.3",
    args: &[KEY],
    tips: &["nondeterministic_output"],
    ..Spec::BASE
};

const ENCODING: Command<DataHandler> = Command::new(
    Spec { name: "encoding", summary: "Tells how a value is laid out in memory.", ..ABOUT_KEY },
    encoding,
);

fn encoding(call: &mut Call<'_, '_>) -> Result<(), CommandError> {
    let key = call.key(2);
    let Some(meta) = call.txn.meta(&key) else {
        call.out.null();
        return Ok(());
    };
    let name = match call.txn.peek_string(&key) {
        Ok(Some(view)) if view.raw => "raw",
        Ok(Some(view)) if parse_i64(view.bytes()).is_some() => "int",
        Ok(Some(view)) if view.bytes().len() <= EMBSTR_LEN_MAX => "embstr",
        Ok(Some(_)) => "raw",
        _ => type_name(meta.kind),
    };
    call.out.bulk(name.as_bytes());
    Ok(())
}

const FREQ: Command<DataHandler> = Command::new(
    Spec {
        name: "freq",
        since: "4.0.0",
        summary: "Tells how often a key was used, on a logarithmic scale.",
        ..ABOUT_KEY
    },
    freq,
);

fn freq(call: &mut Call<'_, '_>) -> Result<(), CommandError> {
    let key = call.key(2);
    let Some(meta) = call.txn.meta(&key) else {
        call.out.null();
        return Ok(());
    };
    let mode = call.txn.keyspace().access_mode();
    if !mode.is_lfu() {
        return Err(CommandError::Other(
            "ERR An LFU maxmemory policy is not selected, access frequency not tracked. Please \
             note that when switching between policies at runtime LRU and LFU data will take some \
             time to adjust.",
        ));
    }
    call.out.integer(i64::from(mode.frequency(meta.access, call.txn.now_ms())));
    Ok(())
}

const IDLETIME: Command<DataHandler> = Command::new(
    Spec {
        name: "idletime",
        summary: "Tells how long a key was not used, in seconds.",
        ..ABOUT_KEY
    },
    idletime,
);

fn idletime(call: &mut Call<'_, '_>) -> Result<(), CommandError> {
    let key = call.key(2);
    let Some(meta) = call.txn.meta(&key) else {
        call.out.null();
        return Ok(());
    };
    let mode = call.txn.keyspace().access_mode();
    if mode.is_lfu() {
        return Err(CommandError::Other(
            "ERR An LFU maxmemory policy is selected, idle time not tracked. Please note that when \
             switching between policies at runtime LRU and LFU data will take some time to adjust.",
        ));
    }
    call.out.integer((mode.idle_ms(meta.access, call.txn.now_ms()) / 1000) as i64);
    Ok(())
}

const REFCOUNT: Command<DataHandler> = Command::new(
    Spec { name: "refcount", summary: "Tells how many hold a value: one, the key.", ..ABOUT_KEY },
    refcount,
);

fn refcount(call: &mut Call<'_, '_>) -> Result<(), CommandError> {
    let key = call.key(2);
    match call.txn.meta(&key) {
        Some(_) => call.out.integer(1),
        None => call.out.null(),
    }
    Ok(())
}

const HELP: Command<DataHandler> = Command::new(
    Spec {
        name: "help",
        arity: 2,
        flags: Flags::LOADING.with(Flags::STALE),
        since: "6.2.0",
        summary: "Explains the subcommands.",
        ..Spec::BASE
    },
    help,
);

fn help(call: &mut Call<'_, '_>) -> Result<(), CommandError> {
    reply_help(
        call,
        &[
            "OBJECT <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
            "ENCODING <key>",
            "    How the value is laid out: int, embstr or raw for strings.",
            "FREQ <key>",
            "    How often the key was used, if the maxmemory policy counts it (LFU).",
            "IDLETIME <key>",
            "    Seconds since the key was used, if the maxmemory policy is not LFU.",
            "REFCOUNT <key>",
            "    How many hold the value; always 1.",
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
    fn encodings_are_those_of_redis() {
        let mut server = Server::new();
        let (short, long) = ("x".repeat(44), "x".repeat(45));
        for (line, encoding) in [
            ("SET k 12", "int"),
            ("SET k -9223372036854775808", "int"),
            ("SET k 9223372036854775808", "embstr"),
            ("SET k -0", "embstr"),
            ("SET k 01", "embstr"),
            ("SET k 1.5", "embstr"),
            (&*format!("SET k {short}"), "embstr"),
            (&*format!("SET k {long}"), "raw"),
            ("SET k 5", "int"),
            ("APPEND k 6", "raw"),
            ("INCR k", "int"),
            ("SETRANGE k 0 1", "raw"),
            ("INCRBYFLOAT k 0.5", "embstr"),
            ("DEL k", ""),
            ("APPEND k 6", "int"),
            ("DEL k", ""),
            ("SETRANGE k 0 1", "raw"),
            ("RENAME k k2", ""),
            ("RENAME k2 k", "raw"),
            ("EXPIRE k 100", "raw"),
        ] {
            server.run(line);
            let expected = match encoding {
                "" => "$-1".to_owned(),
                name => format!("${} {name}", name.len()),
            };
            assert_eq!(server.run("OBJECT ENCODING k"), expected, "{line}");
        }
    }

    #[test]
    fn use_is_told_in_the_terms_of_the_policy() {
        let mut server = Server::new();
        server.check(&[("SET k v", "+OK")]);
        server.pass_ms(3_000);
        server.check(&[
            ("OBJECT IDLETIME k", ":3"),
            ("EXISTS k", ":1"),
            ("TTL k", ":-1"),
            ("OBJECT IDLETIME k", ":3"),
            ("TOUCH k", ":1"),
            ("object idletime k", ":0"),
            ("OBJECT REFCOUNT k", ":1"),
            ("OBJECT REFCOUNT none", "$-1"),
            ("OBJECT FREQ none", "$-1"),
            ("OBJECT IDLETIME none", "$-1"),
        ]);
        assert!(server.run("OBJECT FREQ k").starts_with("-ERR An LFU maxmemory policy is not"));
        server.keyspace.access_mode().set_lfu();
        assert!(server.run("OBJECT IDLETIME k").starts_with("-ERR An LFU maxmemory policy is sel"));
        server.check(&[("SET fresh v", "+OK"), ("OBJECT FREQ fresh", ":5")]);
    }

    #[test]
    fn unknown_subcommands_are_named() {
        let mut server = Server::new();
        server.check(&[
            ("OBJECT foo k", "-ERR unknown subcommand 'foo'. Try OBJECT HELP."),
            ("OBJECT", "-ERR wrong number of arguments for 'object' command"),
        ]);
        assert!(server.run("OBJECT HELP").starts_with("*11 +OBJECT <subcommand>"));
    }
}
