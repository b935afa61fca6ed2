//! COMMAND: the command table as clients and proxies read it.

mod describe;
mod docs;
mod keys;
mod list;

use trefoil_commands::{Arg, ArgKind, Command, CommandError, Flags, Group, Spec};

use super::help::reply_help;
use crate::handler::{Flow, NodeCall, NodeHandler};
use crate::table::{Entry, TABLE};

/// The family's commands.
pub(super) const COMMANDS: &[Command<NodeHandler>] = &[Command {
    spec: Spec {
        name: "command",
        arity: -1,
        since: "2.8.13",
        summary: "Describes all commands.",
        complexity: "O(N) in the number of commands",
        tips: &["nondeterministic_output_order"],
        ..ABOUT
    },
    run: command,
    subcommands: &[COUNT, DOCS, GETKEYS, GETKEYSANDFLAGS, HELP, INFO, LIST],
}];

const ABOUT: Spec = Spec {
    flags: Flags::LOADING.with(Flags::STALE).with(Flags::CONNECTION),
    group: Group::Server,
    since: "2.8.13",
    ..Spec::BASE
};

fn command(call: &mut NodeCall<'_>) -> Result<Flow, CommandError> {
    let mut reply = call.reply();
    reply.array(TABLE.entries().len());
    for entry in TABLE.entries() {
        describe::describe(&mut reply, entry);
    }
    Ok(Flow::Continue)
}

const COUNT: Command<NodeHandler> = Command::new(
    Spec { name: "count", arity: 2, summary: "Counts the commands.", ..ABOUT },
    |call| {
        call.reply().integer(TABLE.entries().len() as i64);
        Ok(Flow::Continue)
    },
);

const INFO: Command<NodeHandler> = Command::new(
    Spec {
        name: "info",
        arity: -2,
        summary: "Describes some commands, or all.",
        complexity: "O(N) in the number of commands",
        args: &[Arg { multiple: true, ..Arg::optional("command-name", "", ArgKind::String) }],
        tips: &["nondeterministic_output_order"],
        ..ABOUT
    },
    info,
);

fn info(call: &mut NodeCall<'_>) -> Result<Flow, CommandError> {
    if call.args.len() == 2 {
        return command(call);
    }
    let names = call.args.skip(2);
    let mut reply = call.reply();
    reply.array(names.len());
    for name in names {
        match find(name) {
            Some(entry) => describe::describe(&mut reply, entry),
            None => reply.null_array(),
        }
    }
    Ok(Flow::Continue)
}

const DOCS: Command<NodeHandler> = Command::new(
    Spec {
        name: "docs",
        arity: -2,
        since: "7.0.0",
        summary: "Documents some commands, or all.",
        complexity: "O(N) in the number of commands",
        args: &[Arg { multiple: true, ..Arg::optional("command-name", "", ArgKind::String) }],
        tips: &["nondeterministic_output_order"],
        ..ABOUT
    },
    docs,
);

fn docs(call: &mut NodeCall<'_>) -> Result<Flow, CommandError> {
    let entries: Vec<&Entry> = if call.args.len() == 2 {
        TABLE.entries().iter().collect()
    } else {
        call.args.skip(2).iter().filter_map(find).collect()
    };
    let mut reply = call.reply();
    reply.map(entries.len());
    for entry in entries {
        reply.bulk(entry.full_name.as_bytes());
        docs::document(&mut reply, entry);
    }
    Ok(Flow::Continue)
}

/// A command by its full name, `config|get` for subcommands.
fn find(name: &[u8]) -> Option<&'static Entry> {
    match name.iter().position(|&byte| byte == b'|') {
        None => TABLE.find(name),
        Some(at) => TABLE.find(&name[..at])?.subcommand(&name[at + 1..]),
    }
}

/// The whole call of another command, among the arguments.
const CALL: &[Arg] = &[
    Arg::required("command", ArgKind::String),
    Arg { multiple: true, ..Arg::optional("arg", "", ArgKind::String) },
];

const GETKEYS: Command<NodeHandler> = Command::new(
    Spec {
        name: "getkeys",
        arity: -3,
        summary: "Tells the keys of a call.",
        complexity: "O(N) in the number of arguments",
        args: CALL,
        ..ABOUT
    },
    keys::getkeys,
);

const GETKEYSANDFLAGS: Command<NodeHandler> = Command::new(
    Spec {
        name: "getkeysandflags",
        arity: -3,
        since: "7.0.0",
        summary: "Tells the keys of a call, and what is done with each.",
        complexity: "O(N) in the number of arguments",
        args: CALL,
        ..ABOUT
    },
    keys::getkeysandflags,
);

const LIST: Command<NodeHandler> = Command::new(
    Spec {
        name: "list",
        arity: -2,
        since: "7.0.0",
        summary: "Lists the names of commands.",
        complexity: "O(N) in the number of commands",
        args: &[Arg::optional(
            "filterby",
            "FILTERBY",
            ArgKind::OneOf(&[
                Arg::behind("module-name", "MODULE", ArgKind::String),
                Arg::behind("category", "ACLCAT", ArgKind::String),
                Arg::behind("pattern", "PATTERN", ArgKind::Pattern),
            ]),
        )],
        tips: &["nondeterministic_output_order"],
        ..ABOUT
    },
    list::list,
);

const HELP: Command<NodeHandler> = Command::new(
    Spec { name: "help", arity: 2, since: "5.0.0", summary: "Explains the subcommands.", ..ABOUT },
    help,
);

fn help(call: &mut NodeCall<'_>) -> Result<Flow, CommandError> {
    reply_help(
        call,
        &[
            "COMMAND <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
            "(no subcommand)",
            "    Descriptions of all commands.",
            "COUNT",
            "    How many commands there are.",
            "LIST [FILTERBY (MODULE <module>|ACLCAT <category>|PATTERN <pattern>)]",
            "    Names of commands.",
            "INFO [<command-name> ...]",
            "    Descriptions of some commands, or of all.",
            "DOCS [<command-name> ...]",
            "    Documentation of some commands, or of all.",
            "GETKEYS <full-command>",
            "    The keys of a call.",
            "GETKEYSANDFLAGS <full-command>",
            "    The keys of a call, and what is done with each.",
            "HELP",
            "    These lines.",
        ],
    )
}

#[cfg(test)]
mod tests;
