//! FAILOVER as in Redis: the client is answered once it has begun. What comes of it is told by INFO.

use std::sync::Arc;

use trefoil_clock::{Lsn, NodeId};
use trefoil_cluster::control::{Done, Force, Request, RequestError};
use trefoil_commands::CommandError;

use crate::families::asked;
use crate::handler::{Flow, NodeCall};
use crate::session::Waiting;

/// Whoever refuses has done so by then, milliseconds.
const BEGUN_AFTER_MS: u64 = 100;

const UNDER_WAY: CommandError = CommandError::Other("ERR FAILOVER already in progress.");

/// Asks for another leader. Answers when that has begun, which it mostly has ended by then.
pub(in crate::families) fn begin(
    call: &mut NodeCall<'_>,
    to: Option<NodeId>,
    force: Force,
) -> Result<Flow, CommandError> {
    let view = asked::view_of_cluster(call)?;
    let node = Arc::clone(&call.worker.node);
    let (agreement, now_ms) = (&node.agreement, call.worker.writer.now_ms);
    // Before it is looked: what is answered behind this wakes us again.
    call.worker.changes_seen = Some(node.replication.changes());
    let under_way = agreement.failovers.under_way(&agreement.requests);
    let epoch = view.state.shards.get(&view.shard).map(|shard| shard.epoch).unwrap_or_default();
    let Some(waiting) = &call.session.waiting else {
        if under_way.is_some() {
            return Err(UNDER_WAY);
        }
        let request = asked::give(call, Request::Failover { to, force })?;
        agreement.failovers.begin(request, epoch);
        let until_ms = now_ms.saturating_add(BEGUN_AFTER_MS);
        let waiting = Waiting::new(until_ms, Lsn::ZERO, &node.counters.waiting);
        call.session.waiting = Some(Box::new(waiting));
        return Ok(Flow::Retry);
    };
    if under_way.is_some_and(|asked_in| asked_in == epoch) && now_ms < waiting.until_ms {
        return Ok(Flow::Retry);
    }
    call.session.waiting = None;
    if under_way.is_none()
        && let Some(answer) = agreement.failovers.last()
    {
        read(answer)?;
    }
    call.reply().ok();
    Ok(Flow::Continue)
}

fn read(answer: Result<Done, RequestError>) -> Result<Done, CommandError> {
    match answer {
        Err(RequestError::Busy) => Err(UNDER_WAY),
        answer => asked::read(answer),
    }
}

/// One that has begun ends by itself.
pub(super) fn abort(call: &mut NodeCall<'_>) -> Result<Flow, CommandError> {
    let agreement = &call.worker.node.agreement;
    match agreement.failovers.under_way(&agreement.requests) {
        None => Err(CommandError::Other("ERR No failover in progress.")),
        Some(_) => Err(CommandError::Other(
            "ERR the failover can't be taken back; if the next leader does not catch up within five \
             seconds it is given up, and nothing has happened",
        )),
    }
}
