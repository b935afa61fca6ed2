//! Commands that ask the cluster for something: the request goes to whoever leads the control plane, and
//! the connection waits for the answer.

use std::sync::Arc;

use trefoil_clock::Lsn;
use trefoil_cluster::control::{ControlView, Done, Request, RequestError};
use trefoil_cluster::controller::Lack;
use trefoil_commands::CommandError;

use crate::agreement::Answer;
use crate::handler::NodeCall;
use crate::session::{Asked, Waiting};

/// So long at most; the control thread itself gives up sooner.
pub(super) const PATIENCE_MS: u64 = 20_000;
/// Whoever has just begun to lead the control plane has heard of nobody yet. It is asked again for so
/// long, milliseconds.
pub(super) const EARLY_MS: u64 = 1_500;
/// This often.
pub(super) const AGAIN_MS: u64 = 100;

const BUSY: CommandError =
    CommandError::Other("ERR too many requests wait for the cluster's answer");
const IN_EXEC: CommandError =
    CommandError::Other("ERR the cluster's answer can't be waited for within MULTI");
const UNKNOWN_YET: CommandError =
    CommandError::Other("LOADING this node does not know yet what is agreed upon");
const ALONE: CommandError = CommandError::Other(
    "ERR this node is alone: it belongs to no cluster that agrees on anything; --join makes one",
);

/// What is agreed upon, as this node knows it.
pub(super) fn view(call: &NodeCall<'_>) -> Result<Arc<ControlView>, CommandError> {
    call.worker.node.agreement.view().ok_or(UNKNOWN_YET)
}

/// The same, on a node that belongs to a cluster.
pub(super) fn view_of_cluster(call: &NodeCall<'_>) -> Result<Arc<ControlView>, CommandError> {
    if !call.worker.node.agreement.is_managed() {
        return Err(ALONE);
    }
    view(call)
}

/// Asks when the command comes. None: the answer is not there yet, and the command is to be run again.
pub(super) fn ask(
    call: &mut NodeCall<'_>,
    request: impl FnOnce() -> Request,
) -> Result<Option<Done>, CommandError> {
    let now_ms = call.worker.writer.now_ms;
    let node = Arc::clone(&call.worker.node);
    // Before it is looked: what is answered behind this wakes us again.
    call.worker.changes_seen = Some(node.replication.changes());
    let Some(waiting) = &call.session.waiting else {
        let asked = Asked::Answer(give(call, request())?);
        let until_ms = now_ms.saturating_add(PATIENCE_MS);
        let waiting = Waiting::new(until_ms, Lsn::ZERO, &node.counters.waiting);
        call.session.waiting = Some(Box::new(waiting));
        note(call, asked);
        return Ok(None);
    };
    let (until_ms, asked_ms) = (waiting.until_ms, waiting.asked_ms);
    let answer = match waiting.asked {
        Asked::Answer(id) => node.agreement.requests.fetch(id),
        Asked::Again if now_ms >= asked_ms.saturating_add(AGAIN_MS) => {
            let id = give(call, request())?;
            note(call, Asked::Answer(id));
            return Ok(None);
        }
        Asked::Nothing | Asked::Again => None,
    };
    match answer {
        Some(Err(error))
            if is_early(&error) && now_ms < until_ms.saturating_sub(PATIENCE_MS - EARLY_MS) =>
        {
            note(call, Asked::Again);
            Ok(None)
        }
        None if now_ms < until_ms => Ok(None),
        answer => {
            call.session.waiting = None;
            read(answer.unwrap_or(Err(RequestError::Unanswered))).map(Some)
        }
    }
}

/// What the session waits for from now on.
fn note(call: &mut NodeCall<'_>, asked: Asked) {
    let now_ms = call.worker.writer.now_ms;
    if let Some(waiting) = &mut call.session.waiting {
        if asked != Asked::Again {
            waiting.asked_ms = now_ms;
        }
        waiting.asked = asked;
    }
}

/// Whether it may be another answer in a moment.
pub(super) fn is_early(error: &RequestError) -> bool {
    matches!(error, RequestError::NotFit(Lack::NoCandidate | Lack::Settling | Lack::Asked(_)))
}

/// What was agreed upon is not in force yet: the command is to be run again until then, at most.
pub(super) fn go_on_waiting(call: &mut NodeCall<'_>, until_ms: Option<u64>) {
    let until_ms = until_ms.unwrap_or(call.worker.writer.now_ms);
    let waiters = &call.worker.node.counters.waiting;
    call.session.waiting = Some(Box::new(Waiting::new(until_ms, Lsn::ZERO, waiters)));
}

/// Hands a request to the control thread, and returns its number.
pub(super) fn give(call: &NodeCall<'_>, request: Request) -> Result<u64, CommandError> {
    if call.worker.is_in_exec() {
        return Err(IN_EXEC);
    }
    let node = &call.worker.node;
    let id = node.agreement.requests.ask(request).ok_or(BUSY)?;
    node.post.wake_control();
    Ok(id)
}

/// An answer, or why nothing came of it.
fn read(answer: Answer) -> Result<Done, CommandError> {
    answer.map_err(refusal)
}

/// Why nothing came of it, or that this is not known.
pub(super) fn refusal(error: RequestError) -> CommandError {
    let code = match error {
        RequestError::Unanswered => "UNKNOWN",
        _ => "ERR",
    };
    CommandError::Detailed(format!("{code} {error}"))
}
