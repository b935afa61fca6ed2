//! CLIENT PAUSE, UNPAUSE and UNBLOCK: who has to wait, and who no longer.

use trefoil_commands::{Arg, ArgKind, Command, CommandError, Flags, Spec, parse_i64};

use super::{ADMIN, SUBCOMMAND};
use crate::handler::{Flow, NodeCall, NodeHandler};
use crate::pause::Held;

/// Not within MULTI, other than in Redis: it may have to wait for other workers itself.
pub(super) const PAUSE: Command<NodeHandler> = Command::new(
    Spec {
        name: "pause",
        arity: -3,
        flags: ADMIN.with(Flags::NO_MULTI),
        since: "3.0.0",
        summary: "Lets the commands of all connections wait, or those that write.",
        args: &[
            Arg::required("timeout", ArgKind::Integer),
            Arg {
                optional: true,
                ..Arg::required(
                    "mode",
                    ArgKind::OneOf(&[Arg::word("write", "WRITE"), Arg::word("all", "ALL")]),
                )
            },
        ],
        ..SUBCOMMAND
    },
    pause,
);

fn pause(call: &mut NodeCall<'_>) -> Result<Flow, CommandError> {
    let held = match call.args.len() {
        3 => Held::All,
        4 => match call.args.get(3) {
            mode if mode.eq_ignore_ascii_case(b"WRITE") => Held::Writes,
            mode if mode.eq_ignore_ascii_case(b"ALL") => Held::All,
            _ => return Err(CommandError::Other("ERR CLIENT PAUSE mode must be WRITE or ALL")),
        },
        _ => return Err(CommandError::Syntax),
    };
    let millis = parse_i64(call.args.get(2))
        .ok_or(CommandError::Other("ERR timeout is not an integer or out of range"))?;
    let millis =
        u64::try_from(millis).map_err(|_| CommandError::Other("ERR timeout is negative"))?;
    let until_ms = call.worker.writer.now_ms.saturating_add(millis);
    if i64::try_from(until_ms).is_err() {
        return Err(CommandError::Other("ERR timeout is out of range"));
    }
    if !call.worker.pause(held, until_ms) {
        return Ok(Flow::Retry);
    }
    call.reply().ok();
    Ok(Flow::Continue)
}

pub(super) const UNPAUSE: Command<NodeHandler> = Command::new(
    Spec {
        name: "unpause",
        flags: ADMIN,
        since: "6.2.0",
        summary: "Ends a pause.",
        complexity: "O(N) Where N is the number of paused clients",
        ..SUBCOMMAND
    },
    |call| {
        call.worker.node.unpause();
        call.reply().ok();
        Ok(Flow::Continue)
    },
);

pub(super) const UNBLOCK: Command<NodeHandler> = Command::new(
    Spec {
        name: "unblock",
        arity: -3,
        flags: ADMIN,
        since: "5.0.0",
        summary: "Ends the wait of a blocking command; there are none yet.",
        complexity: "O(log N) where N is the number of client connections",
        args: &[
            Arg::required("client-id", ArgKind::Integer),
            Arg {
                optional: true,
                ..Arg::required(
                    "unblock-type",
                    ArgKind::OneOf(&[Arg::word("timeout", "TIMEOUT"), Arg::word("error", "ERROR")]),
                )
            },
        ],
        ..SUBCOMMAND
    },
    unblock,
);

fn unblock(call: &mut NodeCall<'_>) -> Result<Flow, CommandError> {
    let reason_is = |word: &str| call.args.get(3).eq_ignore_ascii_case(word.as_bytes());
    match call.args.len() {
        3 => {}
        4 if reason_is("TIMEOUT") || reason_is("ERROR") => {}
        4 => {
            return Err(CommandError::Other(
                "ERR CLIENT UNBLOCK reason should be TIMEOUT or ERROR",
            ));
        }
        _ => return Err(CommandError::Syntax),
    }
    parse_i64(call.args.get(2)).ok_or(CommandError::NotInteger)?;
    call.reply().integer(0);
    Ok(Flow::Continue)
}

#[cfg(test)]
mod tests {
    use crate::handler::Flow;
    use crate::harness::TestNode;
    use crate::mail::Mail;

    #[test]
    fn writes_wait_until_the_pause_is_over() {
        let mut node = TestNode::with_workers(2);
        let mut here = node.client();
        let mut there = node.client_on(1);
        node.check(&mut here, &[("SET k a", "+OK"), ("CLIENT PAUSE 1000 WRITE", "+OK")]);
        node.check(&mut there, &[("GET k", "$1 a"), ("PING", "+PONG"), ("SET k b", "")]);
        assert_eq!(there.flow, Flow::Retry);
        node.pass_ms(999);
        node.check(&mut there, &[("SET k b", "")]);
        node.pass_ms(1);
        node.check(&mut there, &[("SET k b", "+OK")]);
        assert!(!node.node.is_special(), "the pause is over for all");
    }

    #[test]
    fn everything_waits_but_what_ends_the_pause() {
        let mut node = TestNode::with_workers(2);
        let mut here = node.client();
        let mut there = node.client_on(1);
        node.check(&mut here, &[("CLIENT PAUSE 100000", "+OK"), ("GET k", "")]);
        assert_eq!(here.flow, Flow::Retry);
        node.check(&mut there, &[("PING", ""), ("CLIENT SETINFO LIB-NAME x", "+OK")]);
        node.check(&mut there, &[("CLIENT UNPAUSE", "+OK"), ("PING", "+PONG")]);
        let woken: Vec<u32> = node
            .mail()
            .into_iter()
            .filter_map(|(worker, mail)| matches!(mail, Mail::Wake).then_some(worker))
            .collect();
        assert_eq!(woken, [0, 1]);
        node.check(&mut here, &[("GET k", "$-1"), ("CLIENT UNPAUSE", "+OK")]);
    }

    #[test]
    fn a_transaction_that_writes_waits_as_a_whole() {
        let mut node = TestNode::new();
        let mut writer = node.client();
        let mut reader = node.client();
        node.check(&mut writer, &[("MULTI", "+OK"), ("SET k a", "+QUEUED")]);
        let list = node.run(&mut reader, "CLIENT LIST ID 1");
        assert!(list.contains(" flags=x ") && list.contains(" multi=1 "), "{list}");
        node.check(
            &mut reader,
            &[("CLIENT PAUSE 100 WRITE", "+OK"), ("MULTI", "+OK"), ("GET k", "+QUEUED")],
        );
        node.check(&mut reader, &[("EXEC", "*1 $-1")]);
        node.check(&mut writer, &[("EXEC", "")]);
        assert_eq!(writer.flow, Flow::Retry);
        node.pass_ms(100);
        node.check(&mut writer, &[("EXEC", "*1 +OK")]);
        assert!(node.run(&mut writer, "CLIENT INFO").contains(" multi=-1 "));
    }

    #[test]
    fn nothing_is_deleted_during_a_pause() {
        let mut node = TestNode::new();
        let mut client = node.client();
        node.check(&mut client, &[("SET k a PX 50", "+OK"), ("CLIENT PAUSE 100 WRITE", "+OK")]);
        let before = node.node.keyspace.sequencer().last_lsn();
        node.pass_ms(60);
        node.check(&mut client, &[("GET k", "$-1"), ("EXISTS k", ":0"), ("TTL k", ":-2")]);
        assert_eq!(node.node.keyspace.sequencer().last_lsn(), before, "hidden, not deleted");
        node.pass_ms(40);
        node.check(&mut client, &[("GET k", "$-1")]);
        assert!(node.node.keyspace.sequencer().last_lsn() > before);
    }

    #[test]
    fn a_pause_is_made_stricter_and_longer_but_not_weaker() {
        let mut node = TestNode::new();
        let mut client = node.client();
        node.check(
            &mut client,
            &[("CLIENT PAUSE 200 ALL", "+OK"), ("CLIENT PAUSE 20 WRITE", "+OK")],
        );
        node.pass_ms(100);
        node.check(&mut client, &[("GET k", "")]);
        assert_eq!(client.flow, Flow::Retry);
    }

    #[test]
    fn a_command_that_waits_keeps_its_silence() {
        let mut node = TestNode::new();
        let mut client = node.client();
        node.check(
            &mut client,
            &[("CLIENT PAUSE 100 WRITE", "+OK"), ("CLIENT REPLY SKIP", ""), ("SET k a", "")],
        );
        assert_eq!(client.flow, Flow::Retry);
        node.pass_ms(100);
        node.check(&mut client, &[("SET k a", ""), ("GET k", "$1 a")]);
    }

    #[test]
    fn arguments_are_checked() {
        let mut node = TestNode::new();
        let mut client = node.client();
        node.check(
            &mut client,
            &[
                ("CLIENT PAUSE", "-ERR wrong number of arguments for 'client|pause' command"),
                ("CLIENT PAUSE x", "-ERR timeout is not an integer or out of range"),
                ("CLIENT PAUSE -1", "-ERR timeout is negative"),
                ("CLIENT PAUSE 9223372036854775807", "-ERR timeout is out of range"),
                ("CLIENT PAUSE 10 foo", "-ERR CLIENT PAUSE mode must be WRITE or ALL"),
                ("CLIENT UNBLOCK x", "-ERR value is not an integer or out of range"),
                ("CLIENT UNBLOCK 1", ":0"),
                ("CLIENT UNBLOCK 1 error", ":0"),
                ("CLIENT UNBLOCK 1 foo", "-ERR CLIENT UNBLOCK reason should be TIMEOUT or ERROR"),
            ],
        );
    }
}
