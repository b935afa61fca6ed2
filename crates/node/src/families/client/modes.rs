//! CLIENT REPLY, NO-EVICT, NO-TOUCH: how a connection wants to be served.

use trefoil_commands::{Arg, ArgKind, Command, CommandError, Flags, Spec};

use super::{ADMIN, AT_ANY_TIME, SUBCOMMAND, either};
use crate::clients::Mark;
use crate::handler::{Flow, NodeCall, NodeHandler};
use crate::session::{Restrictions, Silence};

const ON_OR_OFF: &[Arg] =
    &[Arg::required("enabled", ArgKind::OneOf(&[Arg::word("on", "ON"), Arg::word("off", "OFF")]))];

pub(super) const REPLY: Command<NodeHandler> = Command::new(
    Spec {
        name: "reply",
        arity: 3,
        flags: AT_ANY_TIME.flags.with(Flags::NO_MULTI),
        since: "3.2.0",
        summary: "Drops the replies to the connection, or the next one.",
        args: &[Arg::required(
            "action",
            ArgKind::OneOf(&[
                Arg::word("on", "ON"),
                Arg::word("off", "OFF"),
                Arg::word("skip", "SKIP"),
            ]),
        )],
        ..SUBCOMMAND
    },
    reply,
);

fn reply(call: &mut NodeCall<'_>) -> Result<Flow, CommandError> {
    let mode = call.args.get(2);
    let is = |word: &str| mode.eq_ignore_ascii_case(word.as_bytes());
    match () {
        () if is("ON") => {
            call.session.silence = Silence::None;
            call.session.restrictions.clear(Restrictions::SILENT);
            call.reply().ok();
        }
        () if is("OFF") => silence(call, Silence::Always),
        () if is("SKIP") && call.session.silence == Silence::Always => {}
        () if is("SKIP") => silence(call, Silence::Next),
        () => return Err(CommandError::Syntax),
    }
    Ok(Flow::Continue)
}

fn silence(call: &mut NodeCall<'_>, silence: Silence) {
    call.session.silence = silence;
    call.session.restrictions.set(Restrictions::SILENT);
}

pub(super) const NO_EVICT: Command<NodeHandler> = Command::new(
    Spec {
        name: "no-evict",
        arity: 3,
        flags: ADMIN.with(Flags::ALLOW_BUSY),
        since: "7.0.0",
        summary: "Remembers that the connection is not to be evicted; none is.",
        args: ON_OR_OFF,
        ..SUBCOMMAND
    },
    |call| {
        set_mark(call, Mark::NO_EVICT)?;
        call.reply().ok();
        Ok(Flow::Continue)
    },
);

pub(super) const NO_TOUCH: Command<NodeHandler> = Command::new(
    Spec {
        name: "no-touch",
        arity: 3,
        since: "7.2.0",
        summary: "Decides whether what the connection reads counts as used.",
        args: ON_OR_OFF,
        ..AT_ANY_TIME
    },
    no_touch,
);

fn no_touch(call: &mut NodeCall<'_>) -> Result<Flow, CommandError> {
    if set_mark(call, Mark::NO_TOUCH)? {
        call.session.restrictions.set(Restrictions::NO_TOUCH);
    } else {
        call.session.restrictions.clear(Restrictions::NO_TOUCH);
    }
    call.reply().ok();
    Ok(Flow::Continue)
}

/// Whether it is set now.
fn set_mark(call: &NodeCall<'_>, mark: Mark) -> Result<bool, CommandError> {
    let on = either(call, 2, ["ON", "OFF"])?;
    if on {
        call.session.record.mark(mark);
    } else {
        call.session.record.unmark(mark);
    }
    Ok(on)
}

#[cfg(test)]
mod tests {
    use crate::harness::TestNode;

    #[test]
    fn replies_are_dropped_until_they_are_wanted_again() {
        let mut node = TestNode::new();
        let mut client = node.client();
        node.check(
            &mut client,
            &[
                ("CLIENT REPLY OFF", ""),
                ("SET k a", ""),
                ("GET", ""),
                ("no-such-command", ""),
                ("CLIENT REPLY SKIP", ""),
                ("CLIENT REPLY OFF", ""),
                ("CLIENT REPLY foo", ""),
                ("PING", ""),
                ("CLIENT REPLY ON", "+OK"),
                ("GET k", "$1 a"),
                ("CLIENT REPLY foo", "-ERR syntax error"),
            ],
        );
    }

    #[test]
    fn one_reply_is_skipped() {
        let mut node = TestNode::new();
        let mut client = node.client();
        node.check(
            &mut client,
            &[
                ("CLIENT REPLY SKIP", ""),
                ("SET k a", ""),
                ("GET k", "$1 a"),
                ("CLIENT REPLY SKIP", ""),
                ("CLIENT REPLY SKIP", ""),
                ("GET k", ""),
                ("GET k", "$1 a"),
                ("CLIENT REPLY SKIP", ""),
                ("no-such-command", ""),
                ("GET k", "$1 a"),
                ("CLIENT REPLY SKIP", ""),
                ("CLIENT REPLY ON", "+OK"),
            ],
        );
    }

    #[test]
    fn reads_without_touching_are_no_uses() {
        let mut node = TestNode::new();
        let mut client = node.client();
        node.check(&mut client, &[("SET k a", "+OK"), ("CLIENT NO-TOUCH ON", "+OK")]);
        node.pass_ms(100_000);
        let idle = |node: &mut TestNode, client: &mut _| -> u64 {
            node.run(client, "OBJECT IDLETIME k")[1..].parse().expect("a number")
        };
        node.check(&mut client, &[("GET k", "$1 a")]);
        assert!(idle(&mut node, &mut client) >= 90);
        assert!(node.run(&mut client, "CLIENT INFO").contains(" flags=T "));
        node.check(&mut client, &[("TOUCH k", ":1")]);
        assert!(idle(&mut node, &mut client) < 90, "TOUCH is a use on purpose");
        node.pass_ms(100_000);
        node.check(
            &mut client,
            &[("CLIENT NO-TOUCH x", "-ERR syntax error"), ("CLIENT NO-TOUCH OFF", "+OK")],
        );
        assert!(idle(&mut node, &mut client) >= 90);
        node.check(&mut client, &[("GET k", "$1 a")]);
        assert!(idle(&mut node, &mut client) < 90);
    }

    #[test]
    fn a_connection_may_ask_not_to_be_evicted() {
        let mut node = TestNode::new();
        let mut client = node.client();
        node.check(&mut client, &[("CLIENT NO-EVICT ON", "+OK")]);
        assert!(node.run(&mut client, "CLIENT INFO").contains(" flags=e "));
        node.check(&mut client, &[("CLIENT NO-EVICT off", "+OK")]);
        node.check(&mut client, &[("CLIENT NO-EVICT x", "-ERR syntax error")]);
        assert!(node.run(&mut client, "CLIENT INFO").contains(" flags=N "));
    }
}
