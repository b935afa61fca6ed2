//! AUTH and HELLO: who the client is, and which protocol it speaks.

use trefoil_commands::{Arg, ArgKind, Command, CommandError, Flags, Group, Spec, parse_i64};
use trefoil_wire::resp::Protocol;

use super::{client, role};
use crate::auth;
use crate::handler::{Flow, NodeCall, NodeHandler};
use crate::release;
use crate::session::Restrictions;

/// The family's commands.
pub(super) const COMMANDS: &[Command<NodeHandler>] = &[AUTH, HELLO];

const FLAGS: Flags = Flags::NOSCRIPT
    .with(Flags::LOADING)
    .with(Flags::STALE)
    .with(Flags::FAST)
    .with(Flags::NO_AUTH)
    .with(Flags::ALLOW_BUSY);

const AUTH: Command<NodeHandler> = Command::new(
    Spec {
        name: "auth",
        arity: -2,
        flags: FLAGS,
        group: Group::Connection,
        summary: "Authenticates the connection.",
        args: &[
            Arg::optional("username", "", ArgKind::String),
            Arg::required("password", ArgKind::String),
        ],
        ..Spec::BASE
    },
    authenticate,
);

fn authenticate(call: &mut NodeCall<'_>) -> Result<Flow, CommandError> {
    let settings = &call.worker.node.settings;
    let (user, password) = match call.args.len() {
        2 if !auth::is_required(settings) => {
            return Err(CommandError::Other(
                "ERR AUTH <password> called without any password configured for the default user. \
                 Are you sure your configuration is correct?",
            ));
        }
        2 => (auth::USER.as_bytes(), call.args.get(1)),
        3 => (call.args.get(1), call.args.get(2)),
        _ => return Err(CommandError::Syntax),
    };
    auth::authenticate(settings, call.session, user, password)?;
    call.reply().ok();
    Ok(Flow::Continue)
}

const HELLO: Command<NodeHandler> = Command::new(
    Spec {
        name: "hello",
        arity: -1,
        flags: FLAGS,
        group: Group::Connection,
        since: "6.0.0",
        summary: "Agrees on the protocol; may authenticate and name the connection as well.",
        args: &[Arg {
            optional: true,
            ..Arg::required(
                "arguments",
                ArgKind::Block(&[
                    Arg::required("protover", ArgKind::Integer),
                    Arg::optional(
                        "auth",
                        "AUTH",
                        ArgKind::Block(&[
                            Arg::required("username", ArgKind::String),
                            Arg::required("password", ArgKind::String),
                        ]),
                    ),
                    Arg::optional("clientname", "SETNAME", ArgKind::String),
                ]),
            )
        }],
        ..Spec::BASE
    },
    hello,
);

/// What HELLO was asked for.
#[derive(Default)]
struct Wanted<'a> {
    protocol: Option<Protocol>,
    credentials: Option<(&'a [u8], &'a [u8])>,
    name: Option<&'a [u8]>,
}

fn hello(call: &mut NodeCall<'_>) -> Result<Flow, CommandError> {
    let wanted = wanted(call)?;
    if let Some((user, password)) = wanted.credentials {
        auth::authenticate(&call.worker.node.settings, call.session, user, password)?;
    }
    if call.session.restrictions.has(Restrictions::UNAUTHENTICATED) {
        return Err(CommandError::Other(
            "NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO \
             <proto> AUTH <user> <pass> option can be used to authenticate the client and select \
             the RESP protocol version at the same time",
        ));
    }
    if let Some(name) = wanted.name {
        client::set_name(call.session, name);
    }
    if let Some(protocol) = wanted.protocol {
        call.session.speak(protocol);
    }
    introduce(call);
    Ok(Flow::Continue)
}

fn wanted<'a>(call: &NodeCall<'a>) -> Result<Wanted<'a>, CommandError> {
    let args = call.args;
    let mut wanted = Wanted::default();
    if args.len() < 2 {
        return Ok(wanted);
    }
    let version = parse_i64(args.get(1))
        .ok_or(CommandError::Other("ERR Protocol version is not an integer or out of range"))?;
    wanted.protocol = Some(match version {
        2 => Protocol::Resp2,
        3 => Protocol::Resp3,
        _ => return Err(CommandError::Other("NOPROTO unsupported protocol version")),
    });
    let mut at = 2;
    while at < args.len() {
        let (option, left) = (args.get(at), args.len() - 1 - at);
        if option.eq_ignore_ascii_case(b"AUTH") && left >= 2 {
            wanted.credentials = Some((args.get(at + 1), args.get(at + 2)));
            at += 3;
        } else if option.eq_ignore_ascii_case(b"SETNAME") && left >= 1 {
            let name = args.get(at + 1);
            client::check_label(name, "Client names")?;
            wanted.name = Some(name);
            at += 2;
        } else {
            let option = String::from_utf8_lossy(option);
            return Err(CommandError::Detailed(format!(
                "ERR Syntax error in HELLO option '{option}'"
            )));
        }
    }
    Ok(wanted)
}

fn introduce(call: &mut NodeCall<'_>) {
    let id = call.session.address.id as i64;
    let version = if call.session.protocol == Protocol::Resp3 { 3 } else { 2 };
    let is_master = role::is_master(&call.worker.node.replication);
    let mut reply = call.reply();
    reply.map(7);
    reply.bulk(b"server");
    reply.bulk(release::SERVER.as_bytes());
    reply.bulk(b"version");
    reply.bulk(release::REDIS_VERSION.as_bytes());
    reply.bulk(b"proto");
    reply.integer(version);
    reply.bulk(b"id");
    reply.integer(id);
    reply.bulk(b"mode");
    reply.bulk(b"standalone");
    reply.bulk(b"role");
    reply.bulk(if is_master { b"master" } else { b"replica" });
    reply.bulk(b"modules");
    reply.empty_array();
}

#[cfg(test)]
mod tests {
    use crate::harness::TestNode;

    const NOAUTH: &str = "-NOAUTH Authentication required.";
    const WRONGPASS: &str = "-WRONGPASS invalid username-password pair or user is disabled.";

    fn with_password() -> TestNode {
        let node = TestNode::new();
        *node.node.settings.requirepass.write().expect("no panic") = b"secret".to_vec();
        node
    }

    #[test]
    fn hello_tells_what_clients_ask_for() {
        let mut node = TestNode::new();
        let mut client = node.client();
        let fields = |proto: u32| {
            format!(
                "$6 server $5 redis $7 version $5 7.2.4 $5 proto :{proto} $2 id :1 $4 mode \
                 $10 standalone $4 role $6 master $7 modules *0"
            )
        };
        node.check(
            &mut client,
            &[
                ("HELLO", &format!("*14 {}", fields(2))),
                ("HELLO 3 SETNAME me", &format!("%7 {}", fields(3))),
                ("CLIENT GETNAME", "$2 me"),
                ("HELLO", &format!("%7 {}", fields(3))),
                ("HELLO 2 AUTH default whatever", &format!("*14 {}", fields(2))),
                ("HELLO 4", "-NOPROTO unsupported protocol version"),
                ("HELLO x", "-ERR Protocol version is not an integer or out of range"),
                ("HELLO 2 AUTH a", "-ERR Syntax error in HELLO option 'AUTH'"),
                ("HELLO 2 SETNAME", "-ERR Syntax error in HELLO option 'SETNAME'"),
                ("HELLO 3 AUTH a b", WRONGPASS),
                (
                    "HELLO 3 SETNAME \"a b\"",
                    "-ERR Client names cannot contain spaces, newlines or special characters.",
                ),
                ("GET nothing", "$-1"),
            ],
        );
    }

    #[test]
    fn without_a_password_there_is_nothing_to_authenticate() {
        let mut node = TestNode::new();
        let mut client = node.client();
        node.check(
            &mut client,
            &[
                (
                    "AUTH x",
                    "-ERR AUTH <password> called without any password configured for the default \
                     user. Are you sure your configuration is correct?",
                ),
                ("AUTH default x", "+OK"),
                ("AUTH other x", WRONGPASS),
                ("AUTH a b c", "-ERR syntax error"),
            ],
        );
    }

    #[test]
    fn nothing_is_served_before_the_password() {
        let mut node = with_password();
        let mut client = node.client();
        node.check(
            &mut client,
            &[
                ("GET k", NOAUTH),
                ("PING", NOAUTH),
                ("CLIENT ID", NOAUTH),
                ("AUTH Secret", WRONGPASS),
                ("AUTH other secret", WRONGPASS),
                ("GET k", NOAUTH),
                ("AUTH secret", "+OK"),
                ("GET k", "$-1"),
                ("AUTH wrong", WRONGPASS),
                ("GET k", "$-1"),
                ("RESET", "+RESET"),
                ("GET k", NOAUTH),
                ("AUTH default secret", "+OK"),
                ("GET k", "$-1"),
            ],
        );
    }

    #[test]
    fn hello_can_authenticate() {
        let mut node = with_password();
        let mut client = node.client();
        let refused = node.run(&mut client, "HELLO 3");
        assert!(refused.starts_with("-NOAUTH HELLO must be called with the client already"));
        assert_eq!(node.run(&mut client, "HELLO 3 AUTH default x"), WRONGPASS);
        assert!(node.run(&mut client, "HELLO 3 AUTH default secret").starts_with("%7 "));
        node.check(&mut client, &[("GET k", "_")]);
    }

    #[test]
    fn a_password_that_is_taken_away_lets_everybody_in() {
        let mut node = with_password();
        let mut client = node.client();
        node.check(&mut client, &[("GET k", NOAUTH)]);
        node.node.settings.requirepass.write().expect("no panic").clear();
        node.check(&mut client, &[("GET k", "$-1")]);
    }
}
