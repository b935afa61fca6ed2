//! The connection itself: PING, ECHO, SELECT, QUIT.

use trefoil_commands::{Arg, ArgKind, Command, CommandError, Flags, Group, Spec};

use crate::handler::{Flow, NodeCall, NodeHandler};

/// The family's commands.
pub(super) const COMMANDS: &[Command<NodeHandler>] = &[PING];

const PING: Command<NodeHandler> = Command::new(
    Spec {
        name: "ping",
        arity: -1,
        flags: Flags::FAST,
        group: Group::Connection,
        summary: "Answers PONG, or the given message.",
        args: &[Arg::optional("message", "", ArgKind::String)],
        tips: &["request_policy:all_shards", "response_policy:all_succeeded"],
        ..Spec::BASE
    },
    ping,
);

fn ping(call: &mut NodeCall<'_>) -> Result<Flow, CommandError> {
    match call.args.len() {
        1 => call.reply().simple("PONG"),
        2 => {
            let message = call.args.get(1);
            call.reply().bulk(message);
        }
        _ => return Err(CommandError::WrongArity("ping")),
    }
    Ok(Flow::Continue)
}
