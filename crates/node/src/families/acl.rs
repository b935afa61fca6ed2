//! ACL, as far as one user needs it: WHOAMI, USERS, LIST.

use trefoil_commands::{Command, CommandError, Flags, Group, Spec};

use super::help::{container, help, reply_help};
use crate::auth;
use crate::handler::{Flow, NodeCall, NodeHandler};

/// The family's commands.
pub(super) const COMMANDS: &[Command<NodeHandler>] = &[ACL];

const ACL: Command<NodeHandler> = Command {
    spec: Spec {
        name: "acl",
        arity: -2,
        group: Group::Server,
        since: "6.0.0",
        summary: "Groups the commands about users.",
        complexity: "Depends on subcommand.",
        ..Spec::BASE
    },
    run: container,
    subcommands: &[help(explain), LIST, USERS, WHOAMI],
};

const SUBCOMMAND: Spec = Spec {
    arity: 2,
    flags: Flags::NOSCRIPT.with(Flags::LOADING).with(Flags::STALE),
    group: Group::Server,
    since: "6.0.0",
    ..Spec::BASE
};

const WHOAMI: Command<NodeHandler> = Command::new(
    Spec { name: "whoami", summary: "Tells the user of the connection.", ..SUBCOMMAND },
    |call| {
        call.reply().bulk(auth::USER.as_bytes());
        Ok(Flow::Continue)
    },
);

const USERS: Command<NodeHandler> = Command::new(
    Spec {
        name: "users",
        flags: SUBCOMMAND.flags.with(Flags::ADMIN),
        summary: "Lists the users.",
        complexity: "O(N). Where N is the number of configured users.",
        ..SUBCOMMAND
    },
    |call| {
        let mut reply = call.reply();
        reply.array(1);
        reply.bulk(auth::USER.as_bytes());
        Ok(Flow::Continue)
    },
);

const LIST: Command<NodeHandler> = Command::new(
    Spec {
        name: "list",
        flags: SUBCOMMAND.flags.with(Flags::ADMIN),
        summary: "Lists the users and their rules.",
        complexity: "O(N). Where N is the number of configured users.",
        ..SUBCOMMAND
    },
    list,
);

/// Unlike Redis's, the line does not show the password's hash.
fn list(call: &mut NodeCall<'_>) -> Result<Flow, CommandError> {
    let pass = if auth::is_required(&call.worker.node.settings) { "" } else { "nopass " };
    let line = format!("user {} on {pass}sanitize-payload ~* &* +@all", auth::USER);
    let mut reply = call.reply();
    reply.array(1);
    reply.bulk(line.as_bytes());
    Ok(Flow::Continue)
}

fn explain(call: &mut NodeCall<'_>) -> Result<Flow, CommandError> {
    reply_help(
        call,
        &[
            "ACL <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
            "LIST",
            "    The users and their rules. There is one, `default`, who may do everything; its",
            "    password is `requirepass`.",
            "USERS",
            "    The names of the users.",
            "WHOAMI",
            "    The user of this connection.",
            "HELP",
            "    These lines.",
        ],
    )
}

#[cfg(test)]
mod tests {
    use crate::harness::TestNode;

    #[test]
    fn there_is_one_user() {
        let mut node = TestNode::new();
        let mut client = node.client();
        node.check(
            &mut client,
            &[
                ("ACL WHOAMI", "$7 default"),
                ("ACL USERS", "*1 $7 default"),
                ("ACL LIST", "*1 $51 user default on nopass sanitize-payload ~* &* +@all"),
                ("ACL SETUSER bob on", "-ERR unknown subcommand 'SETUSER'. Try ACL HELP."),
                ("ACL", "-ERR wrong number of arguments for 'acl' command"),
            ],
        );
    }
}
