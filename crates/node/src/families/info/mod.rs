//! INFO: what a node tells about itself, in Redis's sections and with Redis's names where a field
//! means the same. Fields of our own begin with `trefoil_` or are about the log.

mod cluster;
mod replication;
mod sections;
mod text;

use trefoil_commands::{Arg, ArgKind, Command, CommandError, Flags, Group, Spec};

use crate::handler::{Flow, NodeCall, NodeHandler};
use crate::host;
use sections::{Section, Seen};
use text::Lines;

/// The family's commands.
pub(super) const COMMANDS: &[Command<NodeHandler>] = &[Command::new(
    Spec {
        name: "info",
        arity: -1,
        flags: Flags::LOADING.with(Flags::STALE).with(Flags::DANGEROUS),
        group: Group::Server,
        summary: "Tells about the node: counters, memory, persistence.",
        args: &[Arg { multiple: true, ..Arg::optional("section", "", ArgKind::String) }],
        tips: &["nondeterministic_output", "request_policy:all_shards", "response_policy:special"],
        ..Spec::BASE
    },
    info,
)];

fn info(call: &mut NodeCall<'_>) -> Result<Flow, CommandError> {
    let asked: Vec<&[u8]> = call.args.skip(1).iter().collect();
    let seen = Seen {
        node: &call.worker.node,
        now_ms: call.worker.writer.now_ms,
        counters: call.worker.node.counters.totals(),
    };
    let mut lines = Lines::default();
    for section in sections::ALL {
        if is_asked(section, &asked) {
            lines.section(section.title);
            (section.write)(&seen, &mut lines);
        }
    }
    let text = lines.into_text();
    call.reply().verbatim(*b"txt", text.as_bytes());
    Ok(Flow::Continue)
}

fn is_asked(section: &Section, asked: &[&[u8]]) -> bool {
    let is = |word: &[u8], name: &str| word.eq_ignore_ascii_case(name.as_bytes());
    asked.is_empty() && section.is_default
        || asked.iter().any(|word| {
            is(word, "all")
                || is(word, "everything")
                || is(word, "default") && section.is_default
                || is(word, section.title)
        })
}

#[cfg(test)]
mod tests {
    use crate::harness::TestNode;

    fn field<'a>(info: &'a str, name: &str) -> Option<&'a str> {
        let start = info.find(&format!(" {name}:"))? + name.len() + 2;
        info[start..].split(' ').next()
    }

    #[test]
    fn sections_are_chosen_by_name() {
        let mut node = TestNode::new();
        let mut client = node.client();
        let titles = |info: &str| -> Vec<String> {
            let parts = info.split("# ").skip(1);
            parts.map(|part| part.split(' ').next().unwrap_or("").to_string()).collect()
        };
        let default = [
            "Server",
            "Clients",
            "Memory",
            "Persistence",
            "Stats",
            "Replication",
            "CPU",
            "Errorstats",
            "Cluster",
            "Keyspace",
        ];
        assert_eq!(titles(&node.run(&mut client, "INFO")), default);
        assert_eq!(titles(&node.run(&mut client, "INFO default")), default);
        let all = node.run(&mut client, "INFO all");
        assert_eq!(titles(&all), titles(&node.run(&mut client, "INFO everything")));
        assert!(titles(&all).contains(&"Commandstats".to_string()));
        assert_eq!(titles(&node.run(&mut client, "INFO memory SERVER")), ["Server", "Memory"]);
        assert_eq!(node.run(&mut client, "INFO none"), "$0");
    }

    #[test]
    fn what_happened_is_counted() {
        let mut node = TestNode::new();
        let mut client = node.client();
        for line in ["SET a 1 EX 100", "GET a", "GET b", "INCR a x", "INCR a", "SET s x", "INCR s"]
        {
            node.run(&mut client, line);
        }
        let info = node.run(&mut client, "INFO everything");
        for (name, value) in [
            ("keyspace_hits", "1"),
            ("keyspace_misses", "1"),
            ("db0", "keys=2,expires=1,avg_ttl=0"),
            ("cmdstat_get", "calls=2,rejected_calls=0,failed_calls=0"),
            ("cmdstat_incr", "calls=2,rejected_calls=0,failed_calls=1"),
            ("errorstat_ERR", "count=2"),
            ("total_error_replies", "2"),
            ("total_commands_processed", "6"),
            ("role", "master"),
            ("maxmemory_policy", "noeviction"),
        ] {
            assert_eq!(field(&info, name), Some(value), "{name}");
        }
        let used = node.node.keyspace.memory().to_string();
        assert_eq!(field(&info, "used_memory_dataset"), Some(used.as_str()));
        assert_eq!(field(&info, "run_id").map(str::len), Some(40));
    }
}
