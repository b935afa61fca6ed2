//! What a Sentinel is told about other servers: refused, with the reason.

use trefoil_commands::{Arg, ArgKind, Command, CommandError, Spec};

use super::{ABOUT, OF_SERVICE};
use crate::handler::{Flow, NodeCall, NodeHandler};

const WORDS: &[Arg] = &[Arg { multiple: true, ..Arg::optional("argument", "", ArgKind::String) }];

const OTHERS: &str = "Refused: a node watches its own cluster only.";

fn others(_: &mut NodeCall<'_>) -> Result<Flow, CommandError> {
    Err(CommandError::Other(
        "ERR a node watches its own cluster only; the parameter sentinel-name says what it is called",
    ))
}

fn options(_: &mut NodeCall<'_>) -> Result<Flow, CommandError> {
    Err(CommandError::Other(
        "ERR there are no options of Sentinel here; KEYSPACE ALTER says how failovers are done",
    ))
}

pub(super) const MONITOR: Command<NodeHandler> = Command::new(
    Spec {
        name: "monitor",
        arity: 6,
        summary: OTHERS,
        args: &[
            Arg::required("name", ArgKind::String),
            Arg::required("ip", ArgKind::String),
            Arg::required("port", ArgKind::Integer),
            Arg::required("quorum", ArgKind::Integer),
        ],
        ..ABOUT
    },
    others,
);

pub(super) const REMOVE: Command<NodeHandler> =
    Command::new(Spec { name: "remove", summary: OTHERS, ..OF_SERVICE }, others);

pub(super) const RESET: Command<NodeHandler> = Command::new(
    Spec {
        name: "reset",
        arity: 3,
        summary: "Refused: who belongs to the cluster is agreed upon.",
        args: &[Arg::required("pattern", ArgKind::Pattern)],
        ..ABOUT
    },
    |_| {
        Err(CommandError::Other(
            "ERR who belongs to the cluster is agreed upon; CLUSTER FORGET takes a node out",
        ))
    },
);

const OPTIONS: Spec =
    Spec { arity: -2, summary: "Refused: there are no options of Sentinel.", args: WORDS, ..ABOUT };

pub(super) const SET: Command<NodeHandler> =
    Command::new(Spec { name: "set", arity: -5, ..OPTIONS }, options);

pub(super) const CONFIG: Command<NodeHandler> =
    Command::new(Spec { name: "config", arity: -4, since: "6.2.0", ..OPTIONS }, options);

pub(super) const DEBUG: Command<NodeHandler> =
    Command::new(Spec { name: "debug", since: "7.0.0", ..OPTIONS }, options);

pub(super) const FLUSHCONFIG: Command<NodeHandler> = Command::new(
    Spec {
        name: "flushconfig",
        summary: "Accepted: what is agreed upon is on disk already.",
        ..ABOUT
    },
    |call| {
        call.reply().ok();
        Ok(Flow::Continue)
    },
);

pub(super) const SIMULATE_FAILURE: Command<NodeHandler> = Command::new(
    Spec {
        name: "simulate-failure",
        arity: -3,
        since: "3.2.0",
        summary: "Refused: failures are simulated by killing a node.",
        args: WORDS,
        ..ABOUT
    },
    |_| Err(CommandError::Other("ERR nodes do not fail on purpose; kill one")),
);
