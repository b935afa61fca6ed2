//! Small questions to the server: TIME, DEBUG.

use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use trefoil_commands::{Arg, ArgKind, Command, CommandError, Flags, Group, Spec, parse_f64};

use super::help::{container, help, reply_help};
use crate::handler::{Flow, NodeCall, NodeHandler};

/// The family's commands.
pub(super) const COMMANDS: &[Command<NodeHandler>] = &[TIME, DEBUG];

const TIME: Command<NodeHandler> = Command::new(
    Spec {
        name: "time",
        arity: 1,
        flags: Flags::LOADING.with(Flags::STALE).with(Flags::FAST),
        group: Group::Server,
        since: "2.6.0",
        summary: "Tells the server's time: seconds since 1970, and microseconds.",
        tips: &["nondeterministic_output"],
        ..Spec::BASE
    },
    time,
);

fn time(call: &mut NodeCall<'_>) -> Result<Flow, CommandError> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let mut reply = call.reply();
    reply.array(2);
    reply.bulk(now.as_secs().to_string().as_bytes());
    reply.bulk(now.subsec_micros().to_string().as_bytes());
    Ok(Flow::Continue)
}

const DEBUG: Command<NodeHandler> = Command {
    spec: Spec {
        name: "debug",
        arity: -2,
        flags: TESTS_ONLY.flags,
        group: Group::Server,
        summary: "Groups what only tests need.",
        complexity: "Depends on subcommand.",
        ..Spec::BASE
    },
    run: container,
    subcommands: &[HELP, SET_ACTIVE_EXPIRE, SLEEP],
};

const TESTS_ONLY: Spec = Spec {
    arity: 3,
    flags: Flags::ADMIN.with(Flags::NOSCRIPT).with(Flags::LOADING).with(Flags::STALE),
    group: Group::Server,
    ..Spec::BASE
};

const SET_ACTIVE_EXPIRE: Command<NodeHandler> = Command::new(
    Spec {
        name: "set-active-expire",
        summary: "Switches the search for expired keys off (0) or on (1).",
        args: &[Arg::required("switch", ArgKind::Integer)],
        ..TESTS_ONLY
    },
    set_active_expire,
);

fn set_active_expire(call: &mut NodeCall<'_>) -> Result<Flow, CommandError> {
    let is_active = match call.args.get(2) {
        b"0" => false,
        b"1" => true,
        _ => return Err(CommandError::OutOfRange),
    };
    call.worker.node.settings.active_expire.store(is_active, Relaxed);
    call.reply().ok();
    Ok(Flow::Continue)
}

const SLEEP: Command<NodeHandler> = Command::new(
    Spec {
        name: "sleep",
        summary: "Stops the worker of this connection for some seconds.",
        args: &[Arg::required("seconds", ArgKind::Double)],
        ..TESTS_ONLY
    },
    sleep,
);

/// What tests want of this is a server that does not answer.
fn sleep(call: &mut NodeCall<'_>) -> Result<Flow, CommandError> {
    let seconds = parse_f64(call.args.get(2)).ok_or(CommandError::NotFloat)?;
    let time = Duration::try_from_secs_f64(seconds).map_err(|_| CommandError::OutOfRange)?;
    std::thread::sleep(time);
    call.reply().ok();
    Ok(Flow::Continue)
}

const HELP: Command<NodeHandler> = help(|call| {
    reply_help(
        call,
        &[
            "DEBUG <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
            "SET-ACTIVE-EXPIRE <0|1>",
            "    Switch the search for expired keys off or on.",
            "SLEEP <seconds>",
            "    Stop the worker of this connection for a while. Decimals allowed.",
            "HELP",
            "    These lines.",
        ],
    )
});

#[cfg(test)]
mod tests {
    use crate::harness::TestNode;

    #[test]
    fn small_questions_are_answered() {
        let mut node = TestNode::new();
        let mut client = node.client();
        node.check(
            &mut client,
            &[
                ("DEBUG SET-ACTIVE-EXPIRE 0", "+OK"),
                ("DEBUG SET-ACTIVE-EXPIRE 2", "-ERR value is out of range"),
                ("DEBUG SLEEP 0", "+OK"),
                ("DEBUG SLEEP -1", "-ERR value is out of range"),
                ("DEBUG SLEEP x", "-ERR value is not a valid float"),
                ("DEBUG nix", "-ERR unknown subcommand 'nix'. Try DEBUG HELP."),
            ],
        );
        assert!(node.run(&mut client, "TIME").starts_with("*2 $10 "));
    }
}
