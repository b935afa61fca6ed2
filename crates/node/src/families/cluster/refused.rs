//! What Redis Cluster is told by hand and what a cluster here knows by itself: refused, with the reason.

use trefoil_commands::{Arg, ArgKind, Command, CommandError, Flags, Spec};

use super::CHANGES;
use crate::handler::{Flow, NodeCall, NodeHandler};

const SLOT: &[Arg] = &[Arg::several("slot", ArgKind::Integer)];
const RANGES: &[Arg] = &[Arg {
    multiple: true,
    ..Arg::required(
        "range",
        ArgKind::Block(&[
            Arg::required("start-slot", ArgKind::Integer),
            Arg::required("end-slot", ArgKind::Integer),
        ]),
    )
}];

fn slots(_: &mut NodeCall<'_>) -> Result<Flow, CommandError> {
    Err(CommandError::Other("ERR slots are not assigned by hand: the leader has all of them"))
}

fn epochs(_: &mut NodeCall<'_>) -> Result<Flow, CommandError> {
    Err(CommandError::Other("ERR epochs are granted by the cluster; FAILOVER begins a new one"))
}

fn joining(_: &mut NodeCall<'_>) -> Result<Flow, CommandError> {
    Err(CommandError::Other(
        "ERR a node joins a cluster when it is started with --join HOST:PORT, the port for nodes of any \
         member",
    ))
}

fn leaving(_: &mut NodeCall<'_>) -> Result<Flow, CommandError> {
    Err(CommandError::Other(
        "ERR a node does not forget its cluster; stop it and tell another member CLUSTER FORGET",
    ))
}

fn following(_: &mut NodeCall<'_>) -> Result<Flow, CommandError> {
    Err(CommandError::Other(
        "ERR the cluster agrees on who follows whom; FAILOVER asks for another leader",
    ))
}

pub(super) const ADDSLOTS: Command<NodeHandler> = Command::new(
    Spec {
        name: "addslots",
        arity: -3,
        summary: "Refused: the leader has all slots.",
        args: SLOT,
        ..CHANGES
    },
    slots,
);

pub(super) const ADDSLOTSRANGE: Command<NodeHandler> = Command::new(
    Spec {
        name: "addslotsrange",
        arity: -4,
        since: "7.0.0",
        summary: "Refused: the leader has all slots.",
        args: RANGES,
        ..CHANGES
    },
    slots,
);

pub(super) const DELSLOTS: Command<NodeHandler> =
    Command::new(Spec { name: "delslots", ..ADDSLOTS.spec }, slots);

pub(super) const DELSLOTSRANGE: Command<NodeHandler> =
    Command::new(Spec { name: "delslotsrange", ..ADDSLOTSRANGE.spec }, slots);

pub(super) const FLUSHSLOTS: Command<NodeHandler> = Command::new(
    Spec { name: "flushslots", arity: 2, summary: ADDSLOTS.spec.summary, ..CHANGES },
    slots,
);

pub(super) const SETSLOT: Command<NodeHandler> = Command::new(
    Spec {
        name: "setslot",
        arity: -4,
        summary: ADDSLOTS.spec.summary,
        args: &[
            Arg::required("slot", ArgKind::Integer),
            Arg::several("subcommand", ArgKind::String),
        ],
        ..CHANGES
    },
    slots,
);

pub(super) const BUMPEPOCH: Command<NodeHandler> = Command::new(
    Spec {
        name: "bumpepoch",
        arity: 2,
        summary: "Refused: epochs are granted by the cluster.",
        tips: &["nondeterministic_output"],
        ..CHANGES
    },
    epochs,
);

pub(super) const SET_CONFIG_EPOCH: Command<NodeHandler> = Command::new(
    Spec {
        name: "set-config-epoch",
        summary: BUMPEPOCH.spec.summary,
        args: &[Arg::required("config-epoch", ArgKind::Integer)],
        ..CHANGES
    },
    epochs,
);

pub(super) const MEET: Command<NodeHandler> = Command::new(
    Spec {
        name: "meet",
        arity: -4,
        summary: "Refused: a node joins when it is started.",
        args: &[
            Arg::required("ip", ArgKind::String),
            Arg::required("port", ArgKind::Integer),
            Arg::optional("cluster-bus-port", "", ArgKind::Integer),
        ],
        ..CHANGES
    },
    joining,
);

pub(super) const REPLICATE: Command<NodeHandler> = Command::new(
    Spec {
        name: "replicate",
        arity: -3,
        summary: "Refused: the cluster agrees on who follows whom.",
        args: &[Arg::several("node-id", ArgKind::String)],
        ..CHANGES
    },
    following,
);

pub(super) const RESET: Command<NodeHandler> = Command::new(
    Spec {
        name: "reset",
        arity: -2,
        flags: Flags::ADMIN.with(Flags::STALE).with(Flags::NOSCRIPT),
        summary: "Refused: a node does not forget its cluster.",
        args: &[Arg {
            optional: true,
            ..Arg::required(
                "reset-type",
                ArgKind::OneOf(&[Arg::word("hard", "HARD"), Arg::word("soft", "SOFT")]),
            )
        }],
        ..CHANGES
    },
    leaving,
);
