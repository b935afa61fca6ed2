//! The connection itself: PING, ECHO, SELECT, RESET, QUIT.

use trefoil_commands::{Arg, ArgKind, Command, CommandError, Flags, Group, Spec, parse_i64};
use trefoil_wire::resp::Protocol;

use crate::auth;
use crate::clients::Mark;
use crate::handler::{Flow, NodeCall, NodeHandler};
use crate::session::{Restrictions, Session, Silence};

/// The family's commands.
pub(super) const COMMANDS: &[Command<NodeHandler>] = &[ECHO, PING, QUIT, RESET, SELECT];

/// Databases of a keyspace.
const DATABASES: i64 = 16;

const PING: Command<NodeHandler> = Command::new(
    Spec {
        name: "ping",
        arity: -1,
        flags: Flags::FAST,
        group: Group::Connection,
        summary: "Answers PONG, or the given message.",
        args: &[Arg::optional("message", "", ArgKind::String)],
        tips: &["request_policy:all_shards", "response_policy:all_succeeded"],
        ..Spec::BASE
    },
    ping,
);

fn ping(call: &mut NodeCall<'_>) -> Result<Flow, CommandError> {
    let subscribed = call.session.restrictions.has(Restrictions::SUBSCRIBED);
    match call.args.len() {
        1 | 2 if subscribed && call.session.protocol == Protocol::Resp2 => {
            // In the shape of a message.
            let message = if call.args.len() == 2 { call.args.get(1) } else { b"" };
            let mut reply = call.reply();
            reply.array(2);
            reply.bulk(b"pong");
            reply.bulk(message);
        }
        1 => call.reply().simple("PONG"),
        2 => {
            let message = call.args.get(1);
            call.reply().bulk(message);
        }
        _ => return Err(CommandError::WrongArity("ping")),
    }
    Ok(Flow::Continue)
}

const ECHO: Command<NodeHandler> = Command::new(
    Spec {
        name: "echo",
        arity: 2,
        flags: Flags::LOADING.with(Flags::STALE).with(Flags::FAST),
        group: Group::Connection,
        summary: "Answers the given message.",
        args: &[Arg::required("message", ArgKind::String)],
        ..Spec::BASE
    },
    echo,
);

fn echo(call: &mut NodeCall<'_>) -> Result<Flow, CommandError> {
    let message = call.args.get(1);
    call.reply().bulk(message);
    Ok(Flow::Continue)
}

const SELECT: Command<NodeHandler> = Command::new(
    Spec {
        name: "select",
        arity: 2,
        flags: Flags::LOADING.with(Flags::STALE).with(Flags::FAST).with(Flags::ALLOW_BUSY),
        group: Group::Connection,
        summary: "Changes the selected database.",
        args: &[Arg::required("index", ArgKind::Integer)],
        ..Spec::BASE
    },
    select,
);

fn select(call: &mut NodeCall<'_>) -> Result<Flow, CommandError> {
    let db = parse_i64(call.args.get(1)).ok_or(CommandError::NotInteger)?;
    if i32::try_from(db).is_err() {
        return Err(CommandError::Other(
            "ERR value is out of range, value must between -2147483648 and 2147483647",
        ));
    }
    if !(0..DATABASES).contains(&db) {
        return Err(CommandError::DbOutOfRange);
    }
    call.session.select(db as u8);
    call.reply().ok();
    Ok(Flow::Continue)
}

/// Allowed before AUTH, and never queued.
const ALWAYS: Flags = Flags::NOSCRIPT
    .with(Flags::LOADING)
    .with(Flags::STALE)
    .with(Flags::FAST)
    .with(Flags::NO_AUTH)
    .with(Flags::ALLOW_BUSY)
    .with(Flags::NOT_QUEUED);

const RESET: Command<NodeHandler> = Command::new(
    Spec {
        name: "reset",
        arity: 1,
        flags: ALWAYS,
        group: Group::Connection,
        since: "6.2.0",
        summary: "Makes the connection as good as new.",
        ..Spec::BASE
    },
    reset,
);

fn reset(call: &mut NodeCall<'_>) -> Result<Flow, CommandError> {
    let session = &mut *call.session;
    session.unsubscribe_all(&call.worker.node.hub);
    be_as_new(session);
    if auth::is_required(&call.worker.node.settings) {
        session.restrictions.set(Restrictions::UNAUTHENTICATED);
    }
    call.reply().simple("RESET");
    Ok(Flow::Continue)
}

/// What the client library said of itself stays: it is still the same library.
fn be_as_new(session: &mut Session) {
    session.reset_transaction();
    session.reset_freshness();
    session.select(0);
    session.speak(Protocol::Resp2);
    session.silence = Silence::None;
    session.restrictions.clear(Restrictions::SILENT);
    session.restrictions.clear(Restrictions::NO_TOUCH);
    session.record.unmark(Mark::NO_TOUCH);
    session.record.unmark(Mark::NO_EVICT);
    session.record.relabel(|labels| labels.name = Box::default());
}

const QUIT: Command<NodeHandler> = Command::new(
    Spec {
        name: "quit",
        arity: -1,
        flags: ALWAYS,
        group: Group::Connection,
        summary: "Closes the connection once the replies are sent.",
        ..Spec::BASE
    },
    quit,
);

fn quit(call: &mut NodeCall<'_>) -> Result<Flow, CommandError> {
    call.reply().ok();
    Ok(Flow::Close)
}

#[cfg(test)]
mod tests {
    use crate::handler::Flow;
    use crate::harness::TestNode;

    #[test]
    fn databases_are_selected_by_number() {
        let mut node = TestNode::new();
        let mut client = node.client();
        node.check(
            &mut client,
            &[
                ("SET k a", "+OK"),
                ("SELECT 15", "+OK"),
                ("GET k", "$-1"),
                ("SELECT 16", "-ERR DB index is out of range"),
                ("SELECT -1", "-ERR DB index is out of range"),
                ("SELECT foo", "-ERR value is not an integer or out of range"),
                (
                    "SELECT 99999999999",
                    "-ERR value is out of range, value must between -2147483648 and 2147483647",
                ),
                ("SELECT 0", "+OK"),
                ("GET k", "$1 a"),
            ],
        );
    }

    #[test]
    fn ping_and_echo_answer_what_they_were_given() {
        let mut node = TestNode::new();
        let mut client = node.client();
        node.check(
            &mut client,
            &[
                ("PING", "+PONG"),
                ("ping \"a b\"", "$3 a b"),
                ("PING a b", "-ERR wrong number of arguments for 'ping' command"),
                ("ECHO a", "$1 a"),
                ("ECHO", "-ERR wrong number of arguments for 'echo' command"),
            ],
        );
    }

    #[test]
    fn reset_makes_a_connection_as_good_as_new() {
        let mut node = TestNode::new();
        let mut client = node.client();
        for line in ["SELECT 3", "HELLO 3", "CLIENT SETNAME me", "CLIENT NO-TOUCH ON"] {
            node.run(&mut client, line);
        }
        node.run(&mut client, "MULTI");
        node.check(&mut client, &[("RESET", "+RESET")]);
        node.check(&mut client, &[("CLIENT REPLY OFF", ""), ("RESET", "+RESET")]);
        node.check(&mut client, &[("CLIENT GETNAME", "$-1")]);
        let info = node.run(&mut client, "CLIENT INFO");
        assert!(info.contains(" name= ") && info.contains(" db=0 ") && info.contains(" resp=2 "));
        assert!(info.contains(" flags=N "), "{info}");
        node.check(
            &mut client,
            &[("RESET a", "-ERR wrong number of arguments for 'reset' command")],
        );
    }

    #[test]
    fn quit_closes_behind_its_reply() {
        let mut node = TestNode::new();
        let mut client = node.client();
        node.check(&mut client, &[("QUIT whatever", "+OK")]);
        assert_eq!(client.flow, Flow::Close);
    }
}
