//! CLIENT TRACKING and what belongs to it: there is no client-side caching yet, and these say so.

use trefoil_commands::{Arg, ArgKind, Command, CommandError, Spec};

use super::{AT_ANY_TIME, SUBCOMMAND, either};
use crate::handler::{Flow, NodeCall, NodeHandler};

/// What GETREDIR says while tracking is off.
const NO_TRACKING: i64 = -1;

pub(super) const TRACKING: Command<NodeHandler> = Command::new(
    Spec {
        name: "tracking",
        arity: -3,
        since: "6.0.0",
        summary: "Switches client-side caching off; it can't be switched on.",
        args: &[Arg::required(
            "status",
            ArgKind::OneOf(&[Arg::word("on", "ON"), Arg::word("off", "OFF")]),
        )],
        ..SUBCOMMAND
    },
    tracking,
);

fn tracking(call: &mut NodeCall<'_>) -> Result<Flow, CommandError> {
    if either(call, 2, ["ON", "OFF"])? {
        return Err(CommandError::Other(
            "ERR client-side caching is not available: this server tracks no keys",
        ));
    }
    call.reply().ok();
    Ok(Flow::Continue)
}

pub(super) const CACHING: Command<NodeHandler> = Command::new(
    Spec {
        name: "caching",
        arity: 3,
        since: "6.0.0",
        summary: "Refused: the connection is not in tracking mode.",
        args: &[Arg::required(
            "mode",
            ArgKind::OneOf(&[Arg::word("yes", "YES"), Arg::word("no", "NO")]),
        )],
        ..AT_ANY_TIME
    },
    |_| {
        Err(CommandError::Other(
            "ERR CLIENT CACHING can be called only when the client is in tracking mode with OPTIN \
             or OPTOUT mode enabled",
        ))
    },
);

pub(super) const GETREDIR: Command<NodeHandler> = Command::new(
    Spec {
        name: "getredir",
        since: "6.0.0",
        summary: "Tells the connection that gets the invalidations: none.",
        ..AT_ANY_TIME
    },
    |call| {
        call.reply().integer(NO_TRACKING);
        Ok(Flow::Continue)
    },
);

pub(super) const TRACKINGINFO: Command<NodeHandler> = Command::new(
    Spec {
        name: "trackinginfo",
        since: "6.2.0",
        summary: "Tells what is tracked for the connection.",
        ..SUBCOMMAND
    },
    trackinginfo,
);

fn trackinginfo(call: &mut NodeCall<'_>) -> Result<Flow, CommandError> {
    let mut reply = call.reply();
    reply.map(3);
    reply.bulk(b"flags");
    reply.set(1);
    reply.bulk(b"off");
    reply.bulk(b"redirect");
    reply.integer(NO_TRACKING);
    reply.bulk(b"prefixes");
    reply.empty_array();
    Ok(Flow::Continue)
}

#[cfg(test)]
mod tests {
    use crate::harness::TestNode;

    #[test]
    fn nothing_is_tracked() {
        let mut node = TestNode::new();
        let mut client = node.client();
        node.check(
            &mut client,
            &[
                ("CLIENT TRACKING off", "+OK"),
                (
                    "CLIENT TRACKING on BCAST",
                    "-ERR client-side caching is not available: this server tracks no keys",
                ),
                ("CLIENT TRACKING foo", "-ERR syntax error"),
                ("CLIENT GETREDIR", ":-1"),
                ("CLIENT TRACKINGINFO", "*6 $5 flags *1 $3 off $8 redirect :-1 $8 prefixes *0"),
            ],
        );
        assert!(node.run(&mut client, "CLIENT CACHING YES").contains("in tracking mode"));
    }
}
