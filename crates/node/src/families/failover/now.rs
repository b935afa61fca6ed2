//! FAILOVER NOW: the client is answered once another node leads, or when it is certain that none will.

use trefoil_cluster::control::{Done, Force, Request};
use trefoil_commands::CommandError;

use super::{is, member};
use crate::families::asked;
use crate::families::fields::Fields;
use crate::handler::{Flow, NodeCall};
use crate::topology::client_address;

/// `FAILOVER NOW [NODE name] [FORCE]`.
pub(super) fn now(call: &mut NodeCall<'_>) -> Result<Flow, CommandError> {
    let view = asked::view_of_cluster(call)?;
    let (mut to, mut force, mut at) = (None, Force::No, 2);
    while at < call.args.len() {
        if is(call, at, "NODE") && at + 1 < call.args.len() && to.is_none() {
            to = Some(member(&view, call.args.get(at + 1))?);
            at += 2;
        } else if is(call, at, "FORCE") && force == Force::No {
            force = Force::Yes;
            at += 1;
        } else {
            return Err(CommandError::Syntax);
        }
    }
    let now_ms = call.worker.writer.now_ms;
    let asked_ms = call
        .session
        .waiting
        .as_ref()
        .map_or(now_ms, |waiting| waiting.until_ms.saturating_sub(asked::PATIENCE_MS));
    let Some(done) = asked::ask(call, || Request::Failover { to, force })? else {
        return Ok(Flow::Retry);
    };
    let mut fields = Fields::default();
    if let Done::Leads { node, epoch } = done {
        let address = view.state.members.get(&node).map(client_address);
        fields.text("node", node.to_string());
        fields.text("address", address.unwrap_or_default());
        fields.number("epoch", epoch.0);
    }
    fields.number("took-ms", now_ms.saturating_sub(asked_ms));
    fields.write(&mut call.reply());
    Ok(Flow::Continue)
}
