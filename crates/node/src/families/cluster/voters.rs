//! Who votes on who leads, and who belongs to the cluster: asked of whoever leads the control plane,
//! which refuses what would lose a majority.

use trefoil_clock::NodeId;
use trefoil_cluster::control::Request;
use trefoil_cluster::state::VOTERS_ALLOWED;
use trefoil_commands::{Arg, ArgKind, Command, CommandError, Spec, parse_i64};

use super::CHANGES;
use crate::families::asked;
use crate::families::failover::member;
use crate::handler::{Flow, NodeCall, NodeHandler};

const NODE: &[Arg] = &[Arg::required("node-id", ArgKind::String)];

pub(super) const PROMOTE_VOTER: Command<NodeHandler> = Command::new(
    Spec {
        name: "promote-voter",
        since: "7.2.0",
        summary: "Makes a member vote on who leads.",
        args: NODE,
        ..CHANGES
    },
    |call| ask_about(call, Request::AddVoter),
);

pub(super) const DEMOTE_VOTER: Command<NodeHandler> = Command::new(
    Spec { name: "demote-voter", summary: "Makes a member not vote.", ..PROMOTE_VOTER.spec },
    |call| ask_about(call, Request::RemoveVoter),
);

pub(super) const FORGET: Command<NodeHandler> = Command::new(
    Spec {
        name: "forget",
        summary: "Makes a node that is gone for good no member any more.",
        args: NODE,
        ..CHANGES
    },
    |call| ask_about(call, Request::RemoveMember),
);

fn ask_about(
    call: &mut NodeCall<'_>,
    request: fn(NodeId) -> Request,
) -> Result<Flow, CommandError> {
    if call.session.waiting.is_some() {
        // Who is forgotten is not found any more.
        return answer(call, None);
    }
    let view = asked::view_of_cluster(call)?;
    let node = member(&view, call.args.get(2))?;
    answer(call, Some(request(node)))
}

pub(super) const VOTERS: Command<NodeHandler> = Command::new(
    Spec {
        name: "voters",
        since: "7.2.0",
        summary: "Says how many members are to vote on who leads.",
        args: &[Arg::required("count", ArgKind::Integer)],
        ..CHANGES
    },
    |call| {
        let count = parse_i64(call.args.get(2)).and_then(|count| u8::try_from(count).ok());
        let count = count.filter(|count| VOTERS_ALLOWED.contains(count)).ok_or(
            CommandError::Other("ERR 1, 3, 5 or 7 members may vote: others survive no more"),
        )?;
        answer(call, Some(Request::SetVoters(count)))
    },
);

/// OK once it is agreed upon, or so already.
fn answer(call: &mut NodeCall<'_>, request: Option<Request>) -> Result<Flow, CommandError> {
    // A command that waits has asked already.
    let request = || request.expect("who does not wait yet has something to ask");
    if asked::ask(call, request)?.is_none() {
        return Ok(Flow::Retry);
    }
    call.reply().ok();
    Ok(Flow::Continue)
}
