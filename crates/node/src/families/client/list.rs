//! CLIENT LIST and INFO: a line for each connection, or for one's own.

use trefoil_commands::{Arg, ArgKind, Command, CommandError, Spec, parse_i64};

use super::{ADMIN, Kind, SUBCOMMAND};
use crate::handler::{Flow, NodeCall, NodeHandler};

pub(super) const INFO: Command<NodeHandler> = Command::new(
    Spec {
        name: "info",
        since: "6.2.0",
        summary: "Tells what is known of the connection.",
        tips: &["nondeterministic_output"],
        ..SUBCOMMAND
    },
    info,
);

fn info(call: &mut NodeCall<'_>) -> Result<Flow, CommandError> {
    let now_ms = call.worker.writer.now_ms;
    call.session.publish(now_ms);
    let mut line = Vec::new();
    call.session.record.describe(now_ms, &mut line);
    line.push(b'\n');
    call.reply().verbatim(*b"txt", &line);
    Ok(Flow::Continue)
}

pub(super) const LIST: Command<NodeHandler> = Command::new(
    Spec {
        name: "list",
        arity: -2,
        flags: ADMIN,
        since: "2.4.0",
        summary: "Lists the connections.",
        complexity: "O(N) where N is the number of client connections",
        args: &[
            Arg::optional(
                "client-type",
                "TYPE",
                ArgKind::OneOf(&[
                    Arg::word("normal", "NORMAL"),
                    Arg::word("master", "MASTER"),
                    Arg::word("replica", "REPLICA"),
                    Arg::word("pubsub", "PUBSUB"),
                ]),
            ),
            Arg { multiple: true, ..Arg::optional("client-id", "ID", ArgKind::Integer) },
        ],
        tips: &["nondeterministic_output"],
        ..SUBCOMMAND
    },
    list,
);

fn list(call: &mut NodeCall<'_>) -> Result<Flow, CommandError> {
    let (args, now_ms) = (call.args, call.worker.writer.now_ms);
    let clients = &call.worker.node.clients;
    let option = |name: &str| args.get(2).eq_ignore_ascii_case(name.as_bytes());
    let records = match args.len() {
        2 => clients.all(),
        4 if option("TYPE") => {
            let kind = Kind::parse(args.get(3))?;
            let mut records = clients.all();
            records.retain(|record| Kind::of(record) == kind);
            records
        }
        4.. if option("ID") => {
            let ids = args.skip(3).iter().map(parse_i64);
            let ids: Option<Vec<i64>> = ids.collect();
            let ids = ids.ok_or(CommandError::Other("ERR Invalid client ID"))?;
            let ids = ids.into_iter().filter_map(|id| u64::try_from(id).ok());
            ids.filter_map(|id| clients.find(id)).collect()
        }
        _ => return Err(CommandError::Syntax),
    };
    call.session.publish(now_ms);
    let mut lines = Vec::new();
    for record in records {
        record.describe(now_ms, &mut lines);
        lines.push(b'\n');
    }
    call.reply().verbatim(*b"txt", &lines);
    Ok(Flow::Continue)
}

#[cfg(test)]
mod tests {
    use crate::harness::TestNode;

    #[test]
    fn a_line_says_what_is_known_of_a_connection() {
        let mut node = TestNode::new();
        let mut client = node.client();
        node.pass_ms(3_000);
        let line = "id=1 addr=127.0.0.1:40000 laddr=127.0.0.1:6379 fd=0 name= age=3 idle=0 \
                    flags=N db=0 sub=0 psub=0 ssub=0 multi=-1 qbuf=0 qbuf-free=0 argv-mem=0 \
                    multi-mem=0 rbs=0 rbp=0 obl=0 oll=0 omem=0 tot-mem=";
        for command in ["INFO", "LIST", "LIST ID 1", "LIST TYPE normal"] {
            let reply = node.run(&mut client, &format!("CLIENT {command}"));
            let (_, reply) = reply.split_once(' ').expect("a bulk");
            assert!(reply.starts_with(line), "{reply}");
            let name = command.split(' ').next().expect("a word").to_ascii_lowercase();
            let rest = format!("cmd=client|{name} user=default redir=-1 resp=2 lib-name= lib-ver=");
            assert!(reply.contains(&rest), "{reply}");
        }
    }

    #[test]
    fn connections_of_other_workers_are_listed() {
        let mut node = TestNode::with_workers(2);
        let mut here = node.client();
        let mut there = node.client_on(1);
        node.run(&mut there, "SELECT 9");
        node.run(&mut there, "HELLO 3 SETNAME other");
        node.pass_ms(5_000);
        let list = node.run(&mut here, "CLIENT LIST");
        let lines: Vec<&str> = list.lines().filter(|line| line.contains(" name=other ")).collect();
        assert_eq!(lines.len(), 1, "{list}");
        for part in [" idle=5 ", " db=9 ", " cmd=hello ", " resp=3 "] {
            assert!(lines[0].contains(part), "{list}");
        }
        let one = node.run(&mut here, "CLIENT LIST ID 77 2 -5");
        assert!(one.contains("id=2 ") && !one.contains("id=1 "), "{one}");
    }

    #[test]
    fn only_known_options_choose() {
        let mut node = TestNode::new();
        let mut client = node.client();
        node.check(
            &mut client,
            &[
                ("CLIENT LIST TYPE foo", "-ERR Unknown client type 'foo'"),
                ("CLIENT LIST TYPE pubsub", "$0"),
                ("CLIENT LIST TYPE replica", "$0"),
                ("CLIENT LIST TYPE", "-ERR syntax error"),
                ("CLIENT LIST ID", "-ERR syntax error"),
                ("CLIENT LIST ID x", "-ERR Invalid client ID"),
                ("CLIENT LIST foo", "-ERR syntax error"),
            ],
        );
    }
}
