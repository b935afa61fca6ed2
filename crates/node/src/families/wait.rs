//! WAIT and WAITAOF: a client waits until what it wrote is safer.
//!
//! There are no followers yet, so waiting for one ends with the timeout. WAITAOF waits for this
//! node's own disk, whatever the fsync policy is. What it waits for is everything written until
//! the command came, by any client: at least its own writes.

use trefoil_clock::Lsn;
use trefoil_commands::{Arg, ArgKind, Command, CommandError, Flags, Group, Spec, parse_i64};

use crate::handler::{Flow, NodeCall, NodeHandler};
use crate::session::Waiting;

/// The family's commands.
pub(super) const COMMANDS: &[Command<NodeHandler>] = &[WAIT, WAITAOF];

const WAITS: Spec = Spec {
    flags: Flags::BLOCKING,
    group: Group::Generic,
    tips: &["request_policy:all_shards", "response_policy:agg_min"],
    ..Spec::BASE
};

const WAIT: Command<NodeHandler> = Command::new(
    Spec {
        name: "wait",
        arity: 3,
        since: "3.0.0",
        summary: "Waits until followers have what was written.",
        args: &[
            Arg::required("numreplicas", ArgKind::Integer),
            Arg::required("timeout", ArgKind::Integer),
        ],
        ..WAITS
    },
    wait,
);

fn wait(call: &mut NodeCall<'_>) -> Result<Flow, CommandError> {
    let followers = integer(call, 1)?;
    let timeout_ms = timeout(call, 2)?;
    if followers > 0 && !is_over(call, timeout_ms) {
        return Ok(Flow::Retry);
    }
    call.session.waiting = None;
    call.reply().integer(0);
    Ok(Flow::Continue)
}

const WAITAOF: Command<NodeHandler> = Command::new(
    Spec {
        name: "waitaof",
        arity: 4,
        since: "7.2.0",
        summary: "Waits until what was written is on disk here, and on followers.",
        args: &[
            Arg::required("numlocal", ArgKind::Integer),
            Arg::required("numreplicas", ArgKind::Integer),
            Arg::required("timeout", ArgKind::Integer),
        ],
        ..WAITS
    },
    waitaof,
);

fn waitaof(call: &mut NodeCall<'_>) -> Result<Flow, CommandError> {
    let local = integer(call, 1)?;
    if !(0..=1).contains(&local) {
        return Err(CommandError::Other("ERR value is out of range, value must between 0 and 1"));
    }
    let followers = integer(call, 2)?;
    if followers < 0 {
        return Err(CommandError::Other("ERR value is out of range, must be positive"));
    }
    let timeout_ms = timeout(call, 3)?;
    let target = target(call);
    let is_durable = call.worker.node.log.durable() >= target;
    let is_met = followers == 0 && (local == 0 || is_durable);
    if !is_met && !is_over(call, timeout_ms) {
        if !is_durable {
            call.worker.sync_soon();
        }
        return Ok(Flow::Retry);
    }
    call.session.waiting = None;
    let mut reply = call.reply();
    reply.array(2);
    reply.integer(i64::from(is_durable));
    reply.integer(0);
    Ok(Flow::Continue)
}

fn integer(call: &NodeCall<'_>, at: usize) -> Result<i64, CommandError> {
    parse_i64(call.args.get(at)).ok_or(CommandError::NotInteger)
}

/// Milliseconds; 0: for ever.
fn timeout(call: &NodeCall<'_>, at: usize) -> Result<u64, CommandError> {
    let number = parse_i64(call.args.get(at))
        .ok_or(CommandError::Other("ERR timeout is not an integer or out of range"))?;
    u64::try_from(number).map_err(|_| CommandError::Other("ERR timeout is negative"))
}

/// What was written when the command came.
fn target(call: &NodeCall<'_>) -> Lsn {
    match &call.session.waiting {
        Some(waiting) => waiting.target,
        None => call.worker.node.keyspace.sequencer().last_lsn(),
    }
}

/// Whether the time is up. Begins to wait when it is asked for the first time. Within a transaction
/// nothing waits.
fn is_over(call: &mut NodeCall<'_>, timeout_ms: u64) -> bool {
    if call.worker.is_in_exec() {
        return true;
    }
    let now_ms = call.worker.writer.now_ms;
    let target = target(call);
    let waiters = &call.worker.node.counters.waiting;
    let waiting = call.session.waiting.get_or_insert_with(|| {
        let until_ms = match timeout_ms {
            0 => u64::MAX,
            timeout_ms => now_ms.saturating_add(timeout_ms),
        };
        Box::new(Waiting::new(until_ms, target, waiters))
    });
    now_ms >= waiting.until_ms
}

#[cfg(test)]
mod tests {
    use trefoil_clock::Lsn;

    use crate::handler::Flow;
    use crate::harness::TestNode;

    #[test]
    fn waiting_for_followers_ends_with_the_timeout() {
        let mut node = TestNode::new();
        let mut client = node.client();
        node.check(
            &mut client,
            &[
                ("WAIT 0 0", ":0"),
                ("WAIT x 0", "-ERR value is not an integer or out of range"),
                ("WAIT 1 x", "-ERR timeout is not an integer or out of range"),
                ("WAIT 1 -1", "-ERR timeout is negative"),
                ("WAIT 1 100", ""),
            ],
        );
        assert_eq!(client.flow, Flow::Retry);
        assert!(node.run(&mut client, "INFO clients").ends_with("blocked_clients:1"));
        node.pass_ms(99);
        node.check(&mut client, &[("WAIT 1 100", "")]);
        node.pass_ms(1);
        node.check(&mut client, &[("WAIT 1 100", ":0"), ("WAIT 1 100", "")]);
        node.pass_ms(100);
        node.check(
            &mut client,
            &[
                ("WAIT 1 100", ":0"),
                ("MULTI", "+OK"),
                ("WAIT 1 0", "+QUEUED"),
                ("WAITAOF 1 1 0", "+QUEUED"),
                ("EXEC", "*2 :0 *2 :1 :0"),
            ],
        );
    }

    #[test]
    fn waiting_for_the_disk_ends_when_it_has_what_was_written() {
        let mut node = TestNode::new();
        let mut client = node.client();
        node.check(
            &mut client,
            &[
                ("SET k v", "+OK"),
                ("WAITAOF 0 0 0", "*2 :0 :0"),
                ("WAITAOF 2 0 0", "-ERR value is out of range, value must between 0 and 1"),
                ("WAITAOF 1 0 0", ""),
            ],
        );
        let mut other = node.client();
        node.check(&mut other, &[("SET k w", "+OK")]);
        node.node.log.set_progress(Lsn(1), Lsn(1));
        node.check(&mut client, &[("WAITAOF 1 0 0", "*2 :1 :0")]);
        node.check(&mut client, &[("WAITAOF 1 1 50", "")]);
        node.pass_ms(50);
        node.check(&mut client, &[("WAITAOF 1 1 50", "*2 :0 :0")]);
    }
}
