//! What the HELP subcommands and the containers themselves answer.

use trefoil_commands::{Command, CommandError, Flags, Group, Spec};

use crate::handler::{Flow, NodeCall, NodeHandler};

/// Lines of help, as statuses.
pub(super) fn reply_help(call: &mut NodeCall<'_>, lines: &[&str]) -> Result<Flow, CommandError> {
    let mut reply = call.reply();
    reply.array(lines.len());
    for line in lines {
        reply.simple(line);
    }
    Ok(Flow::Continue)
}

/// A HELP subcommand.
pub(super) const fn help(run: NodeHandler) -> Command<NodeHandler> {
    let spec = Spec {
        name: "help",
        arity: 2,
        flags: Flags::LOADING.with(Flags::STALE),
        group: Group::Server,
        since: "5.0.0",
        summary: "Explains the subcommands.",
        ..Spec::BASE
    };
    Command::new(spec, run)
}

/// A container is never run by itself: its arity asks for a subcommand.
pub(super) fn container(_: &mut NodeCall<'_>) -> Result<Flow, CommandError> {
    Err(CommandError::Syntax)
}
