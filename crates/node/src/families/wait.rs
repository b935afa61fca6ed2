//! WAIT and WAITAOF: a client waits until what it wrote is safer.
//!
//! WAIT counts followers whose readers see it, WAITAOF those that have it on disk, and this node's own
//! disk, whatever the fsync policy is. What it waits for is everything written until the command
//! came, by any client: at least its own writes. A connection that waits is woken by what
//! followers acknowledge.

use trefoil_clock::Lsn;
use trefoil_commands::{Arg, ArgKind, Command, CommandError, Flags, Group, Spec, parse_i64};

use super::role;
use crate::handler::{Flow, NodeCall, NodeHandler};
use crate::replication::FollowerRow;
use crate::session::Waiting;
use crate::worker::{LOST, UNBLOCKED};

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
    refuse_on_follower(
        call,
        "ERR WAIT cannot be used with replica instances. Please also note that since Redis 4.0 if a \
         replica is configured to be writable (which is not the default) writes to replicas are \
         just local and are not propagated.",
    )?;
    refuse_lost(call)?;
    let wanted = integer(call, 1)?;
    let timeout_ms = timeout(call, 2)?;
    let target = target(call);
    let have = count(call, |row| row.applied >= target);
    if have < wanted && !is_over(call, timeout_ms) {
        return Ok(Flow::Retry);
    }
    call.session.waiting = None;
    call.reply().integer(have);
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
    refuse_on_follower(
        call,
        "ERR WAITAOF cannot be used with replica instances. Please also note that writes to replicas \
         are just local and are not propagated.",
    )?;
    refuse_lost(call)?;
    let local = integer(call, 1)?;
    if !(0..=1).contains(&local) {
        return Err(CommandError::Other("ERR value is out of range, value must between 0 and 1"));
    }
    let wanted = integer(call, 2)?;
    if wanted < 0 {
        return Err(CommandError::Other("ERR value is out of range, must be positive"));
    }
    let timeout_ms = timeout(call, 3)?;
    let target = target(call);
    let is_durable = call.worker.node.log.durable() >= target;
    let have = count(call, |row| row.flushed >= target);
    let is_met = have >= wanted && (local == 0 || is_durable);
    if !is_met && !is_over(call, timeout_ms) {
        if local > 0 && !is_durable {
            call.worker.sync_soon();
        }
        return Ok(Flow::Retry);
    }
    call.session.waiting = None;
    let mut reply = call.reply();
    reply.array(2);
    reply.integer(i64::from(is_durable));
    reply.integer(have);
    Ok(Flow::Continue)
}

fn refuse_on_follower(call: &mut NodeCall<'_>, text: &'static str) -> Result<(), CommandError> {
    if role::is_master(&call.worker.node.replication) {
        return Ok(());
    }
    // Whoever began to wait before the role changed must not be told a count of another history.
    let was_waiting = call.session.waiting.take().is_some();
    Err(CommandError::Other(if was_waiting { UNBLOCKED } else { text }))
}

/// What was written must still be there, or counting who has it means nothing.
fn refuse_lost(call: &mut NodeCall<'_>) -> Result<(), CommandError> {
    let (worker, session) = (&mut *call.worker, &mut *call.session);
    let reign = worker.node.replication.reign();
    if session.waiting.as_ref().is_some_and(|waiting| waiting.reign != reign) {
        session.waiting = None;
        return Err(CommandError::Other(UNBLOCKED));
    }
    // Who wrote through this node while it followed has a clock.
    if session.waiting.is_none() && session.freshness.is_some() {
        worker.follower.refresh(&worker.node);
        let seen = session.seen(&worker.node, &worker.follower);
        if worker.follower.has_lost(seen) {
            return Err(CommandError::Other(LOST));
        }
    }
    Ok(())
}

/// How many followers that get records have come so far.
fn count(call: &mut NodeCall<'_>, has: impl Fn(&FollowerRow) -> bool) -> i64 {
    // Before the rows: what changes behind this wakes us again.
    call.worker.changes_seen = Some(call.worker.node.replication.changes());
    let rows = call.worker.node.replication.followers();
    rows.iter().filter(|row| row.state.is_online() && has(row)).count() as i64
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
    let node = &call.worker.node;
    let (waiters, reign) = (&node.counters.waiting, node.replication.reign());
    let waiting = call.session.waiting.get_or_insert_with(|| {
        let until_ms = match timeout_ms {
            0 => u64::MAX,
            timeout_ms => now_ms.saturating_add(timeout_ms),
        };
        let mut waiting = Waiting::new(until_ms, target, waiters);
        waiting.reign = reign;
        Box::new(waiting)
    });
    now_ms >= waiting.until_ms
}

#[cfg(test)]
mod tests {
    use trefoil_clock::Lsn;

    use crate::handler::Flow;
    use crate::harness::TestNode;
    use crate::replication::testing::row;
    use crate::replication::{FollowerRow, FollowerState, Role};

    #[test]
    fn waiting_ends_when_enough_followers_have_what_was_written() {
        let mut node = TestNode::new();
        let mut client = node.client();
        let at = |applied, flushed| FollowerRow {
            applied: Lsn(applied),
            flushed: Lsn(flushed),
            ..row(applied.into())
        };
        let gone = FollowerRow { state: FollowerState::Detached, ..at(9, 9) };
        node.node.replication.set_followers(vec![at(0, 1), gone.clone()]);
        node.check(
            &mut client,
            &[
                ("WAIT 1 0", ":1"),
                ("SET k v", "+OK"),
                ("WAIT 0 0", ":0"),
                ("WAITAOF 0 1 0", "*2 :0 :1"),
                ("WAIT 1 0", ""),
            ],
        );
        let mut other = node.client();
        node.check(&mut other, &[("SET k w", "+OK")]);
        node.node.replication.set_followers(vec![at(1, 1), gone.clone()]);
        node.check(&mut client, &[("WAIT 1 0", ":1"), ("WAIT 1 0", "")]);
        node.node.replication.set_followers(vec![at(2, 2), at(3, 1), gone]);
        node.check(
            &mut client,
            &[
                ("WAIT 1 0", ":2"),
                ("MULTI", "+OK"),
                ("WAIT 5 0", "+QUEUED"),
                ("WAITAOF 0 5 0", "+QUEUED"),
                ("EXEC", "*2 :2 *2 :0 :1"),
            ],
        );
    }

    #[test]
    fn nobody_waits_on_a_follower() {
        let mut node = TestNode::new();
        let mut client = node.client();
        node.node.replication.set_role(Role::Following);
        for (line, start) in [
            ("WAIT 0 0", "-ERR WAIT cannot be used with replica instances."),
            ("WAITAOF 0 0 0", "-ERR WAITAOF cannot be used with replica instances."),
        ] {
            let answer = node.run(&mut client, line);
            assert!(answer.starts_with(start), "{answer}");
        }
        node.node.replication.set_role(Role::Leading);
        node.check(&mut client, &[("WAIT 1 0", "")]);
        node.node.replication.set_role(Role::Following);
        let answer = node.run(&mut client, "WAIT 1 0");
        assert!(answer.starts_with("-UNBLOCKED "), "{answer}");
        assert!(client.session.waiting.is_none());
    }

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
