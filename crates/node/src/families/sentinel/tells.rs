//! Where the leader is, who follows it, and who else can be asked.

use trefoil_commands::{Command, CommandError, Spec};

use super::names::{is_known, leader, service, topology};
use super::{ABOUT, OF_SERVICE, rows};
use crate::families::fields::{Fields, write_all};
use crate::handler::{Flow, NodeCall, NodeHandler};

pub(super) const GET_MASTER_ADDR_BY_NAME: Command<NodeHandler> = Command::new(
    Spec {
        name: "get-master-addr-by-name",
        summary: "Tells where clients reach the leader.",
        ..OF_SERVICE
    },
    address,
);

pub(super) const GET_PRIMARY_ADDR_BY_NAME: Command<NodeHandler> = Command::new(
    Spec { name: "get-primary-addr-by-name", ..GET_MASTER_ADDR_BY_NAME.spec },
    address,
);

fn address(call: &mut NodeCall<'_>) -> Result<Flow, CommandError> {
    let topology = topology(call);
    let leader = topology.leader().filter(|_| is_known(call, call.args.get(2)));
    let mut reply = call.reply();
    match leader {
        Some(leader) => {
            reply.array(2);
            reply.bulk(leader.host.as_bytes());
            reply.bulk(leader.port.to_string().as_bytes());
        }
        None => reply.null_array(),
    }
    Ok(Flow::Continue)
}

pub(super) const MASTERS: Command<NodeHandler> = Command::new(
    Spec { name: "masters", summary: "Describes the leader, under each of its names.", ..ABOUT },
    masters,
);

pub(super) const PRIMARIES: Command<NodeHandler> =
    Command::new(Spec { name: "primaries", ..MASTERS.spec }, masters);

fn masters(call: &mut NodeCall<'_>) -> Result<Flow, CommandError> {
    let topology = topology(call);
    let names = call.worker.node.settings.replication.sentinel_names();
    let all: Vec<Fields> = match topology.leader() {
        Some(leader) => names.iter().map(|name| rows::master(name, &topology, leader)).collect(),
        None => Vec::new(),
    };
    write_all(&mut call.reply(), &all);
    Ok(Flow::Continue)
}

pub(super) const MASTER: Command<NodeHandler> =
    Command::new(Spec { name: "master", summary: "Describes the leader.", ..OF_SERVICE }, master);

pub(super) const PRIMARY: Command<NodeHandler> =
    Command::new(Spec { name: "primary", ..MASTER.spec }, master);

fn master(call: &mut NodeCall<'_>) -> Result<Flow, CommandError> {
    let (name, topology) = service(call)?;
    rows::master(&name, &topology, leader(&topology)?).write(&mut call.reply());
    Ok(Flow::Continue)
}

pub(super) const REPLICAS: Command<NodeHandler> = Command::new(
    Spec { name: "replicas", since: "5.0.0", summary: "Describes the followers.", ..OF_SERVICE },
    replicas,
);

pub(super) const SLAVES: Command<NodeHandler> = Command::new(
    Spec { name: "slaves", summary: "Describes the followers, by its old name.", ..OF_SERVICE },
    replicas,
);

fn replicas(call: &mut NodeCall<'_>) -> Result<Flow, CommandError> {
    let (_, topology) = service(call)?;
    let leader = leader(&topology)?;
    let all: Vec<Fields> = topology.followers().map(|seat| rows::slave(leader, seat)).collect();
    write_all(&mut call.reply(), &all);
    Ok(Flow::Continue)
}

pub(super) const SENTINELS: Command<NodeHandler> = Command::new(
    Spec { name: "sentinels", summary: "Describes the nodes but this one.", ..OF_SERVICE },
    sentinels,
);

fn sentinels(call: &mut NodeCall<'_>) -> Result<Flow, CommandError> {
    let (_, topology) = service(call)?;
    let all: Vec<Fields> = topology.others().map(|seat| rows::sentinel(&topology, seat)).collect();
    write_all(&mut call.reply(), &all);
    Ok(Flow::Continue)
}
