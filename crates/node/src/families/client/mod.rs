//! CLIENT: what a connection says of itself, and what one does to others.

mod identity;
mod kill;
mod list;
mod modes;
mod pause;
mod tracking;

use trefoil_commands::{Command, CommandError, Flags, Group, Spec};

use super::help::{container, reply_help};
use crate::clients::Mark;
use crate::handler::{Flow, NodeCall, NodeHandler};

pub(super) use identity::{check_label, set_name};

/// The family's commands.
pub(super) const COMMANDS: &[Command<NodeHandler>] = &[CLIENT];

const CLIENT: Command<NodeHandler> = Command {
    spec: Spec {
        name: "client",
        arity: -2,
        group: Group::Connection,
        since: "2.4.0",
        summary: "Groups the commands about connections.",
        complexity: "Depends on subcommand.",
        ..Spec::BASE
    },
    run: container,
    subcommands: &[
        tracking::CACHING,
        identity::GETNAME,
        tracking::GETREDIR,
        HELP,
        identity::ID,
        list::INFO,
        kill::KILL,
        list::LIST,
        modes::NO_EVICT,
        modes::NO_TOUCH,
        pause::PAUSE,
        modes::REPLY,
        identity::SETINFO,
        identity::SETNAME,
        tracking::TRACKING,
        tracking::TRACKINGINFO,
        pause::UNBLOCK,
        pause::UNPAUSE,
    ],
};

/// What most subcommands have in common.
const SUBCOMMAND: Spec = Spec {
    arity: 2,
    flags: Flags::NOSCRIPT.with(Flags::LOADING).with(Flags::STALE),
    group: Group::Connection,
    ..Spec::BASE
};

/// What those have in common that are allowed even while a script runs for too long.
const AT_ANY_TIME: Spec = Spec { flags: SUBCOMMAND.flags.with(Flags::ALLOW_BUSY), ..SUBCOMMAND };

/// The flags of those that reach beyond their own connection.
const ADMIN: Flags = SUBCOMMAND.flags.with(Flags::ADMIN);

/// The kind of a connection, as LIST and KILL filter it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    Normal,
    Pubsub,
    /// There are none among the connections that clients open.
    Peer,
}

impl Kind {
    fn parse(word: &[u8]) -> Result<Kind, CommandError> {
        let is = |name: &str| word.eq_ignore_ascii_case(name.as_bytes());
        match () {
            () if is("normal") => Ok(Kind::Normal),
            () if is("pubsub") => Ok(Kind::Pubsub),
            () if ["master", "primary", "replica", "slave"].into_iter().any(is) => Ok(Kind::Peer),
            () => Err(CommandError::Detailed(format!(
                "ERR Unknown client type '{}'",
                String::from_utf8_lossy(word)
            ))),
        }
    }

    fn of(record: &crate::clients::ClientRecord) -> Kind {
        if record.is_marked(Mark::PUBSUB) { Kind::Pubsub } else { Kind::Normal }
    }
}

/// One of two words, true for the first.
fn either(call: &NodeCall<'_>, at: usize, words: [&str; 2]) -> Result<bool, CommandError> {
    let [yes, no] = words.map(|word| call.args.get(at).eq_ignore_ascii_case(word.as_bytes()));
    if yes || no { Ok(yes) } else { Err(CommandError::Syntax) }
}

const HELP: Command<NodeHandler> = Command::new(
    Spec {
        name: "help",
        flags: Flags::LOADING.with(Flags::STALE),
        since: "5.0.0",
        summary: "Explains the subcommands.",
        ..SUBCOMMAND
    },
    help,
);

fn help(call: &mut NodeCall<'_>) -> Result<Flow, CommandError> {
    reply_help(
        call,
        &[
            "CLIENT <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
            "CACHING (YES|NO)",
            "    Refused: there is no tracking.",
            "GETNAME",
            "    The name of this connection.",
            "GETREDIR",
            "    Where invalidations go: -1, there is no tracking.",
            "ID",
            "    The number of this connection; never used again.",
            "INFO",
            "    The line that LIST has for this connection.",
            "KILL <ip:port>",
            "    Close the connection from this address.",
            "KILL <option> <value> [<option> <value> [...]]",
            "    Close the connections that fit all of these options, and count them:",
            "    * ADDR <ip:port>: their end. LADDR <ip:port>: ours.",
            "    * ID <client-id>",
            "    * MAXAGE <seconds>: open for at least so long.",
            "    * SKIPME (YES|NO): spare this one (default: yes).",
            "    * TYPE (NORMAL|MASTER|REPLICA|PUBSUB)",
            "    * USER <username>",
            "LIST [TYPE (NORMAL|MASTER|REPLICA|PUBSUB) | ID <client-id> [<client-id> ...]]",
            "    A line for each connection.",
            "NO-EVICT (ON|OFF)",
            "    Remembered; connections are not evicted.",
            "NO-TOUCH (ON|OFF)",
            "    With ON, what this connection reads does not count as used.",
            "PAUSE <milliseconds> [WRITE|ALL]",
            "    Let the commands of all connections wait, or those that write.",
            "REPLY (ON|OFF|SKIP)",
            "    Drop the replies to this connection, or the next one.",
            "SETINFO (LIB-NAME|LIB-VER) <value>",
            "    Tell which client library this is.",
            "SETNAME <name>",
            "    Name this connection.",
            "TRACKING (ON|OFF)",
            "    ON is refused: there is no tracking.",
            "TRACKINGINFO",
            "    What is tracked for this connection: nothing.",
            "UNBLOCK <client-id> [TIMEOUT|ERROR]",
            "    End the wait of a blocking command.",
            "UNPAUSE",
            "    End a pause.",
            "HELP",
            "    These lines.",
        ],
    )
}

#[cfg(test)]
mod tests {
    use crate::harness::TestNode;

    #[test]
    fn subcommands_are_looked_up_and_counted_like_commands() {
        let mut node = TestNode::new();
        let mut client = node.client();
        node.check(
            &mut client,
            &[
                ("CLIENT", "-ERR wrong number of arguments for 'client' command"),
                ("client foo", "-ERR unknown subcommand 'foo'. Try CLIENT HELP."),
                ("client id x", "-ERR wrong number of arguments for 'client|id' command"),
                ("client setname", "-ERR wrong number of arguments for 'client|setname' command"),
            ],
        );
        assert!(node.run(&mut client, "CLIENT HELP").contains("+CACHING (YES|NO) "));
    }
}
