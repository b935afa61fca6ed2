//! CLUSTER FAILOVER: the follower that is asked is to lead.

use trefoil_cluster::control::Force;
use trefoil_commands::{Arg, ArgKind, Command, CommandError, Spec};

use super::CHANGES;
use crate::families::{asked, failover};
use crate::handler::{Flow, NodeCall, NodeHandler};

pub(super) const FAILOVER: Command<NodeHandler> = Command::new(
    Spec {
        name: "failover",
        arity: -2,
        summary: "Makes this node lead.",
        args: &[Arg {
            optional: true,
            ..Arg::required(
                "options",
                ArgKind::OneOf(&[Arg::word("force", "FORCE"), Arg::word("takeover", "TAKEOVER")]),
            )
        }],
        ..CHANGES
    },
    run,
);

fn run(call: &mut NodeCall<'_>) -> Result<Flow, CommandError> {
    let force = match call.args.len() {
        2 => Force::No,
        3 if call.args.get(2).eq_ignore_ascii_case(b"FORCE") => Force::Yes,
        3 if call.args.get(2).eq_ignore_ascii_case(b"TAKEOVER") => {
            return Err(CommandError::Other(
                "ERR nobody leads here without the agreement of a majority; use FORCE",
            ));
        }
        _ => return Err(CommandError::Syntax),
    };
    let view = asked::view_of_cluster(call)?;
    let leads = view.state.shards.get(&view.shard).is_some_and(|shard| shard.leader == view.own);
    if leads && call.session.waiting.is_none() {
        return Err(CommandError::Other("ERR You should send CLUSTER FAILOVER to a replica"));
    }
    failover::begin(call, Some(view.own), force)
}
