//! CONSISTENCY and SESSION: how fresh a connection's reads are, and its session on other nodes.
//! READONLY, READWRITE and ASKING, which clients of clusters send, change nothing here.

use trefoil_clock::{Lsn, NodeId, Position};
use trefoil_commands::{Arg, ArgKind, Command, CommandError, Flags, Group, Spec, parse_i64};
use trefoil_replication::{Consistency, Token, TokenError};

use super::help::{container, help, reply_help};
use crate::handler::{Flow, NodeCall, NodeHandler};
use crate::replication::FollowerRow;

/// The family's commands.
pub(super) const COMMANDS: &[Command<NodeHandler>] = &[
    ASKING,
    CONSISTENCY,
    READONLY,
    READWRITE,
    Command {
        spec: Spec {
            name: "session",
            arity: -2,
            summary: "Groups the commands about sessions on several nodes.",
            complexity: "Depends on subcommand.",
            ..BASE
        },
        run: container,
        subcommands: &[HELP, LEADER, RESUME, ROUTE, TOKEN],
    },
];

const BASE: Spec = Spec {
    flags: Flags::NOSCRIPT
        .with(Flags::LOADING)
        .with(Flags::STALE)
        .with(Flags::FAST)
        .with(Flags::NO_MULTI),
    group: Group::Connection,
    since: "7.2.0",
    ..Spec::BASE
};

const LOST: CommandError = CommandError::Other(crate::worker::LOST);

const ASKING: Command<NodeHandler> = Command::new(
    Spec {
        name: "asking",
        arity: 1,
        flags: Flags::FAST,
        since: "3.0.0",
        summary: "Accepted, for clients of clusters; there are no slots on the move.",
        ..BASE
    },
    ok,
);

const READONLY: Command<NodeHandler> = Command::new(
    Spec {
        name: "readonly",
        arity: 1,
        flags: Flags::LOADING.with(Flags::STALE).with(Flags::FAST),
        since: "3.0.0",
        summary: "Accepted, for clients of clusters; a follower answers reads anyway.",
        ..BASE
    },
    ok,
);

const READWRITE: Command<NodeHandler> = Command::new(
    Spec {
        name: "readwrite",
        arity: 1,
        flags: Flags::LOADING.with(Flags::STALE).with(Flags::FAST),
        since: "3.0.0",
        summary: "Accepted, for clients of clusters; a follower sends writes on anyway.",
        ..BASE
    },
    ok,
);

fn ok(call: &mut NodeCall<'_>) -> Result<Flow, CommandError> {
    call.reply().ok();
    Ok(Flow::Continue)
}

const CONSISTENCY: Command<NodeHandler> = Command::new(
    Spec {
        name: "consistency",
        summary: "Says how fresh this connection's reads are to be, or tells it.",
        args: &[Arg {
            optional: true,
            ..Arg::required(
                "level",
                ArgKind::OneOf(&[
                    Arg::word("eventual", "EVENTUAL"),
                    Arg::word("session", "SESSION"),
                    Arg::behind("milliseconds", "BOUNDED", ArgKind::Integer),
                    Arg::word("linearizable", "LINEARIZABLE"),
                ]),
            )
        }],
        ..BASE
    },
    consistency,
);

fn consistency(call: &mut NodeCall<'_>) -> Result<Flow, CommandError> {
    if call.args.len() == 1 {
        tell(call);
        return Ok(Flow::Continue);
    }
    let word = call.args.get(1);
    let is = |name: &str| word.eq_ignore_ascii_case(name.as_bytes());
    let (level, used) = match call.args.len() {
        _ if is("eventual") => (Some(Consistency::Eventual), 2),
        _ if is("session") => (Some(Consistency::Session), 2),
        _ if is("linearizable") => (Some(Consistency::Linearizable), 2),
        len if is("bounded") && len >= 3 => {
            let millis = parse_i64(call.args.get(2)).and_then(|millis| u64::try_from(millis).ok());
            (Some(Consistency::Bounded(millis.ok_or(CommandError::NotInteger)?)), 3)
        }
        _ => (None, 1),
    };
    if let Some(option) = (used < call.args.len()).then(|| call.args.get(used)) {
        return Err(match option {
            b"R" | b"r" | b"W" | b"w" => CommandError::Other(
                "ERR R and W are for leaderless keyspaces; the keyspace 'default' has a single leader",
            ),
            _ => CommandError::Syntax,
        });
    }
    call.session.freshness.get_or_insert_default().consistency = level;
    call.reply().ok();
    Ok(Flow::Continue)
}

fn tell(call: &mut NodeCall<'_>) {
    let settings = &call.worker.node.settings;
    let chosen = call.session.freshness.as_ref().is_some_and(|it| it.consistency.is_some());
    let (name, bound_ms) = match call.session.consistency(settings) {
        Consistency::Eventual => ("eventual", None),
        Consistency::Session => ("session", None),
        Consistency::Bounded(millis) => ("bounded", Some(millis)),
        Consistency::Linearizable => ("linearizable", None),
    };
    let role = call.worker.node.replication.role().name();
    let mut reply = call.reply();
    reply.map(4);
    reply.bulk(b"consistency");
    reply.bulk(name.as_bytes());
    reply.bulk(b"bound-ms");
    match bound_ms {
        Some(millis) => reply.integer(millis.cast_signed()),
        None => reply.null(),
    }
    reply.bulk(b"said-by");
    reply.bulk(if chosen { b"connection" } else { b"configuration" });
    reply.bulk(b"role");
    reply.bulk(role.as_bytes());
}

const TOKEN: Command<NodeHandler> = Command::new(
    Spec {
        name: "token",
        arity: 2,
        summary: "Tells what the session has seen, as a text that SESSION RESUME takes.",
        ..BASE
    },
    token,
);

fn token(call: &mut NodeCall<'_>) -> Result<Flow, CommandError> {
    if !call.worker.may_touch_data() {
        return Ok(Flow::Retry);
    }
    let (worker, session) = (&*call.worker, &mut *call.session);
    let replication = &worker.node.replication;
    let position = if replication.is_leading() {
        let last = worker.node.keyspace.sequencer().last_lsn();
        call.depends_on = last;
        replication.epochs().position(last)
    } else {
        let view = &worker.follower;
        let seen = session.seen(&worker.node, view);
        if view.has_lost(seen) {
            return Err(LOST);
        }
        if view.is_ready { seen.max(view.position()) } else { seen }
    };
    let token = Token { cluster: replication.cluster(), position }.encode();
    call.reply().bulk(token.as_bytes());
    Ok(Flow::Continue)
}

const RESUME: Command<NodeHandler> = Command::new(
    Spec {
        name: "resume",
        arity: 3,
        summary: "Continues the session that a token is from.",
        args: &[Arg::required("token", ArgKind::String)],
        ..BASE
    },
    resume,
);

fn resume(call: &mut NodeCall<'_>) -> Result<Flow, CommandError> {
    if !call.worker.may_touch_data() {
        return Ok(Flow::Retry);
    }
    let token = Token::decode(call.args.get(2)).map_err(|error| {
        CommandError::Other(match error {
            TokenError::NotAToken => "ERR this is no session token",
            TokenError::UnknownVersion => {
                "ERR the session token is of a release that is not known here"
            }
            TokenError::Damaged => "ERR the session token is damaged",
        })
    })?;
    let (worker, session) = (&*call.worker, &mut *call.session);
    let replication = &worker.node.replication;
    if token.cluster != replication.cluster() {
        return Err(CommandError::Other("LOSTBRANCH the session token is from another cluster"));
    }
    if replication.is_leading() {
        let last = worker.node.keyspace.sequencer().last_lsn();
        check_branch(token.position, last, &replication.epochs())?;
    } else if worker.follower.has_lost(token.position) {
        return Err(LOST);
    } else {
        session.resume(&worker.node, &worker.follower, token.position);
    }
    call.reply().ok();
    Ok(Flow::Continue)
}

/// Whether a leader's data has what a token tells of.
fn check_branch(
    seen: Position,
    end: Lsn,
    epochs: &trefoil_clock::EpochTable,
) -> Result<(), CommandError> {
    if epochs.last().is_some_and(|last| seen.epoch > last.epoch) {
        return Err(CommandError::Other(
            "MASTERDOWN the session token is of an epoch that this node does not know yet",
        ));
    }
    if epochs.holds(seen, end) { Ok(()) } else { Err(LOST) }
}

const ROUTE: Command<NodeHandler> = Command::new(
    Spec {
        name: "route",
        arity: 3,
        summary: "Tells which nodes a user should read from, the best one first: always the same while \
                  it is there.",
        args: &[Arg::required("user", ArgKind::String)],
        ..BASE
    },
    route,
);

/// Followers first, so that the leader is relieved.
fn route(call: &mut NodeCall<'_>) -> Result<Flow, CommandError> {
    let user = call.args.get(2);
    let rows = call.worker.node.replication.followers();
    let mut rows: Vec<&FollowerRow> =
        rows.iter().filter(|row| row.state.is_online() && !row.is_lagging).collect();
    rows.sort_by_key(|row| std::cmp::Reverse(weight(row.node, user)));
    let local = call.session.record.local;
    let nodes: Vec<(String, u16)> = rows
        .iter()
        .filter_map(|row| Some((row.ip?.to_string(), row.port)))
        .chain([(local.ip().to_string(), local.port())])
        .collect();
    let mut reply = call.reply();
    reply.array(nodes.len());
    for (host, port) in &nodes {
        reply.array(2);
        reply.bulk(host.as_bytes());
        reply.integer(i64::from(*port));
    }
    Ok(Flow::Continue)
}

/// How much a node wants a user: rendezvous hashing, so that a node's end moves only its own users.
/// FNV-1a over both, mixed once more; the same on every node and in every release.
fn weight(node: NodeId, user: &[u8]) -> u64 {
    let bytes = node.0.to_le_bytes().into_iter().chain(user.iter().copied());
    let hash = bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let hash = (hash ^ (hash >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash ^ (hash >> 29)
}

const LEADER: Command<NodeHandler> = Command::new(
    Spec {
        name: "leader",
        arity: 3,
        summary: "Said by a follower that forwards what its clients send: only that node may answer, \
                  and only while it leads.",
        args: &[Arg::required("node-id", ArgKind::String)],
        ..BASE
    },
    leader,
);

fn leader(call: &mut NodeCall<'_>) -> Result<Flow, CommandError> {
    let replication = &call.worker.node.replication;
    let own = replication.identity().node.to_string();
    if !call.args.get(2).eq_ignore_ascii_case(own.as_bytes()) {
        return Err(CommandError::Other("MASTERDOWN this is another node"));
    }
    if !call.worker.serves_peers() {
        return Err(CommandError::Other("MASTERDOWN this node does not lead"));
    }
    let reign = replication.reign();
    call.session.freshness.get_or_insert_default().peer_of_reign = Some(reign);
    call.reply().ok();
    Ok(Flow::Continue)
}

const HELP: Command<NodeHandler> = help(|call| {
    reply_help(
        call,
        &[
            "SESSION <subcommand> [<arg> ...]. Subcommands are:",
            "TOKEN",
            "    What this session has seen, as a text.",
            "RESUME <token>",
            "    Goes on with the session that the token is from, on any node.",
            "ROUTE <user>",
            "    Hosts and ports of the nodes that this user should read from, the best one first.",
            "LEADER <node-id>",
            "    For other nodes: only the leader with this id may answer.",
            "HELP",
            "    These lines.",
        ],
    )
});
