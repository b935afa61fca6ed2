//! Commands that the peers thread carries out: the reply comes once that is done, so that what is sent
//! behind them finds the new state.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use trefoil_clock::Lsn;
use trefoil_commands::CommandError;

use crate::config::{self, ConfigError};
use crate::handler::{Flow, NodeCall};
use crate::node::Node;
use crate::replication::{AckPolicy, Order, Replication};
use crate::session::Waiting;

/// How long a command waits for that.
const PATIENCE_MS: u64 = 10_000;

const NOT_YET: CommandError = CommandError::Other(
    "UNKNOWN the order was given and is not carried out yet; ROLE and REPLICATION MEMBERS tell when it is",
);

/// Gives the order when the command comes and answers when it is carried out. Within a transaction,
/// where nothing waits, it answers at once.
pub(super) fn carry_out(
    call: &mut NodeCall<'_>,
    order: impl FnOnce() -> Order,
    is_done: impl Fn(&Replication) -> bool,
) -> Result<Flow, CommandError> {
    let now_ms = call.worker.writer.now_ms;
    let node = Arc::clone(&call.worker.node);
    let until_ms = call.session.waiting.as_ref().map(|waiting| waiting.until_ms);
    // Before it is looked whether it is done: what changes behind this wakes us again.
    call.worker.changes_seen = Some(node.replication.changes());
    if until_ms.is_none() {
        node.replication.orders.put(order());
        node.post.wake_peers();
    }
    let is_over = until_ms.is_some_and(|until_ms| now_ms >= until_ms);
    if call.worker.is_in_exec() || is_done(&node.replication) {
        call.session.waiting = None;
        call.reply().ok();
        return Ok(Flow::Continue);
    }
    if is_over {
        call.session.waiting = None;
        return Err(NOT_YET);
    }
    if until_ms.is_none() {
        let until_ms = now_ms.saturating_add(PATIENCE_MS);
        let waiting = Waiting::new(until_ms, Lsn::ZERO, &node.counters.waiting);
        call.session.waiting = Some(Box::new(waiting));
    }
    Ok(Flow::Retry)
}

/// Changes parameters, all or none. What says when writes are acknowledged or refused is in force when
/// this is answered.
pub(super) fn configure(
    call: &mut NodeCall<'_>,
    pairs: &[(&[u8], &[u8])],
    refused: impl Fn(ConfigError) -> CommandError,
) -> Result<Flow, CommandError> {
    if call.session.waiting.is_none() {
        let node = &call.worker.node;
        let before = rules(node);
        config::set(node, pairs).map_err(refused)?;
        if rules(node) == before || !node.replication.is_leading() {
            call.reply().ok();
            return Ok(Flow::Continue);
        }
    }
    carry_out(call, || Order::Reconfigure, Replication::is_configured)
}

fn rules(node: &Node) -> (AckPolicy, [u64; 2]) {
    let settings = &node.settings.replication;
    let followers = [&settings.min_replicas_to_write, &settings.min_replicas_max_lag_seconds];
    (settings.policy(), followers.map(|number| number.load(Relaxed)))
}
