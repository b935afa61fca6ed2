//! Whether another leader could be agreed upon, whether this one is there, and that another one is to
//! lead.

use trefoil_cluster::control::Force;
use trefoil_commands::{Arg, ArgKind, Command, CommandError, Spec, parse_i64};

use super::names::{service, topology};
use super::{ABOUT, OF_SERVICE};
use crate::families::failover;
use crate::handler::{Flow, NodeCall, NodeHandler};
use crate::topology::long_id;

pub(super) const CKQUORUM: Command<NodeHandler> = Command::new(
    Spec {
        name: "ckquorum",
        summary: "Tells whether enough nodes answer to agree on another leader.",
        ..OF_SERVICE
    },
    ckquorum,
);

/// A witness is not counted, so this may say no where the cluster would still agree.
fn ckquorum(call: &mut NodeCall<'_>) -> Result<Flow, CommandError> {
    let (_, topology) = service(call)?;
    let usable = topology.seats.iter().filter(|seat| !seat.is_down).count();
    if usable < topology.quorum() {
        return Err(CommandError::Detailed(format!(
            "NOQUORUM {usable} usable Sentinels. Not enough available Sentinels to reach the specified \
             quorum for this master"
        )));
    }
    let text =
        format!("OK {usable} usable Sentinels. Quorum and failover authorization can be reached");
    call.reply().simple(&text);
    Ok(Flow::Continue)
}

pub(super) const FAILOVER: Command<NodeHandler> = Command::new(
    Spec { name: "failover", arity: -3, summary: "Makes another node lead.", ..OF_SERVICE },
    |call| {
        if call.args.len() > 4 {
            return Err(CommandError::Syntax);
        }
        service(call)?;
        // COORDINATED is how it always is.
        if call.args.len() == 4 && !call.args.get(3).eq_ignore_ascii_case(b"COORDINATED") {
            return Err(CommandError::Syntax);
        }
        failover::begin(call, None, Force::No)
    },
);

pub(super) const IS_MASTER_DOWN_BY_ADDR: Command<NodeHandler> = Command::new(
    Spec {
        name: "is-master-down-by-addr",
        arity: 6,
        summary: "Tells whether the leader at this address does not answer.",
        args: &[
            Arg::required("ip", ArgKind::String),
            Arg::required("port", ArgKind::Integer),
            Arg::required("current-epoch", ArgKind::Integer),
            Arg::required("runid", ArgKind::String),
        ],
        ..ABOUT
    },
    is_down,
);

pub(super) const IS_PRIMARY_DOWN_BY_ADDR: Command<NodeHandler> =
    Command::new(Spec { name: "is-primary-down-by-addr", ..IS_MASTER_DOWN_BY_ADDR.spec }, is_down);

/// A vote is never given: Sentinels of Redis do not decide who leads here.
fn is_down(call: &mut NodeCall<'_>) -> Result<Flow, CommandError> {
    let port = parse_i64(call.args.get(3)).ok_or(CommandError::NotInteger)?;
    parse_i64(call.args.get(4)).ok_or(CommandError::NotInteger)?;
    let topology = topology(call);
    let leader = topology.leader().filter(|leader| {
        leader.host.as_bytes() == call.args.get(2) && i64::from(leader.port) == port
    });
    let is_down = leader.is_some_and(|leader| leader.is_down);
    let mut reply = call.reply();
    reply.array(3);
    reply.integer(i64::from(is_down));
    reply.bulk(b"*");
    reply.integer(0);
    Ok(Flow::Continue)
}

pub(super) const MYID: Command<NodeHandler> = Command::new(
    Spec {
        name: "myid",
        since: "6.2.0",
        summary: "Tells this node's name.",
        complexity: "O(1)",
        ..ABOUT
    },
    |call| {
        let id = long_id(call.worker.node.replication.identity().node);
        call.reply().bulk(id.as_bytes());
        Ok(Flow::Continue)
    },
);

pub(super) const PENDING_SCRIPTS: Command<NodeHandler> = Command::new(
    Spec {
        name: "pending-scripts",
        summary: "Lists scripts to be run: there are none.",
        complexity: "O(1)",
        ..ABOUT
    },
    |call| {
        call.reply().empty_array();
        Ok(Flow::Continue)
    },
);
