//! FAILOVER as in Redis: the client is answered once it has begun. What comes of it is told by INFO.

use std::sync::Arc;

use trefoil_clock::{Epoch, Lsn, NodeId};
use trefoil_cluster::control::{ControlView, Force, Request, RequestError};
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
    let epoch = epoch(&view);
    let is_under_way = agreement.failovers.is_under_way(&agreement.requests, epoch);
    let Some(waiting) = &call.session.waiting else {
        if is_under_way {
            return Err(UNDER_WAY);
        }
        give(call, Request::Failover { to, force }, epoch)?;
        return Ok(Flow::Retry);
    };
    let (until_ms, asked_ms) = (waiting.until_ms, waiting.asked_ms);
    match (is_under_way, agreement.failovers.last()) {
        (true, _) if now_ms < asked_ms + BEGUN_AFTER_MS => {
            return Ok(Flow::Retry);
        }
        (false, Some(Err(error))) if asked::is_early(&error) && now_ms < until_ms => {
            if now_ms >= asked_ms + asked::AGAIN_MS {
                give(call, Request::Failover { to, force }, epoch)?;
            }
            return Ok(Flow::Retry);
        }
        (false, Some(Err(error))) => {
            call.session.waiting = None;
            return Err(refusal(error));
        }
        _ => {}
    }
    call.session.waiting = None;
    call.reply().ok();
    Ok(Flow::Continue)
}

/// Asks, and goes on waiting until it was too early for too long.
fn give(call: &mut NodeCall<'_>, request: Request, epoch: Epoch) -> Result<(), CommandError> {
    let request = asked::give(call, request)?;
    let (node, now_ms) = (&call.worker.node, call.worker.writer.now_ms);
    node.agreement.failovers.begin(request, epoch);
    let waiting = call.session.waiting.get_or_insert_with(|| {
        let until_ms = now_ms.saturating_add(asked::EARLY_MS);
        Box::new(Waiting::new(until_ms, Lsn::ZERO, &node.counters.waiting))
    });
    waiting.asked_ms = now_ms;
    Ok(())
}

fn refusal(error: RequestError) -> CommandError {
    match error {
        RequestError::Busy => UNDER_WAY,
        error => asked::refusal(error),
    }
}

/// One that has begun ends by itself.
pub(super) fn abort(call: &mut NodeCall<'_>) -> Result<Flow, CommandError> {
    let agreement = &call.worker.node.agreement;
    let present = agreement.view().as_deref().map(epoch).unwrap_or_default();
    if agreement.failovers.is_under_way(&agreement.requests, present) {
        return Err(CommandError::Other(
            "ERR the failover can't be taken back; if the next leader does not catch up within five \
             seconds it is given up, and nothing has happened",
        ));
    }
    Err(CommandError::Other("ERR No failover in progress."))
}

fn epoch(view: &ControlView) -> Epoch {
    view.state.shards.get(&view.shard).map(|shard| shard.epoch).unwrap_or_default()
}
