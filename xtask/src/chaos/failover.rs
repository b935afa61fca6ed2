//! A failover as a person would do it: find out who has most, promote it, point the others to it.

use std::time::Duration;

use anyhow::{Context, Result};

use super::nodes::Nodes;

/// How long a promotion may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// Promotes the follower that holds most and returns it. All followers run and the leader is dead: an
/// acknowledgement of any of them counts, so each must be asked.
pub(super) fn promote_best(nodes: &Nodes) -> Result<usize> {
    let mut best = None;
    for follower in nodes.followers() {
        let position = nodes.wait_until("a follower tells its position", PATIENCE, || {
            position(nodes, follower).map(Some)
        })?;
        best = best.max(Some((position, follower)));
    }
    let (_, new) = best.context("there is no follower")?;
    nodes.ask(new, &["REPLICAOF", "NO", "ONE"])?;
    nodes.set_leader(new);
    Ok(new)
}

/// The last record that a node holds: its epoch and its LSN.
fn position(nodes: &Nodes, node: usize) -> Result<(u64, u64)> {
    let fields = nodes.info(node)?;
    let number = |name: &str| -> Result<u64> {
        let field = fields.iter().find(|(field, _)| field == name);
        let (_, value) = field.with_context(|| format!("INFO replication has no {name}"))?;
        value.trim().parse().with_context(|| format!("{name} is {value:?}"))
    };
    Ok((number("epoch")?, number("master_repl_offset")?))
}

/// Points all nodes but `except` to their new leader: directly while they run, or by a restart that
/// joins over the link of ours.
pub(super) fn follow(
    nodes: &Nodes,
    except: &[usize],
    new: usize,
    through_proxy: bool,
) -> Result<()> {
    for node in (0..nodes.count()).filter(|node| !except.contains(node)) {
        if through_proxy {
            nodes.kill(node);
            nodes.start(node, Some(new))?;
        } else {
            nodes.ask(node, &["REPLICAOF", "127.0.0.1", &nodes.client_port(new).to_string()])?;
        }
    }
    Ok(())
}

/// Waits until a node leads and has a record of its epoch committed: it takes writes.
pub(super) fn wait_until_leads(nodes: &Nodes, node: usize) -> Result<()> {
    nodes.wait_until(&format!("node {node} takes writes"), PATIENCE, || {
        nodes.ask(node, &["SET", "probe", "1"]).map(|_| Some(()))
    })
}
