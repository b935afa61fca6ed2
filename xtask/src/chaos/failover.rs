//! A failover as a person would do it: find out who has most, promote it, point the others to it.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context, Result};
use rand::RngExt as _;
use rand::rngs::SmallRng;
use rand::seq::SliceRandom as _;

use super::nodes::Nodes;

/// How long a promotion may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// When a write is acknowledged.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Acks {
    Async,
    SemiSync(usize),
    Sync,
}

impl FromStr for Acks {
    type Err = String;

    fn from_str(word: &str) -> Result<Acks, String> {
        let count = word.strip_prefix("semi-sync:").map(str::parse);
        match (word, count) {
            ("async", _) => Ok(Acks::Async),
            ("sync", _) => Ok(Acks::Sync),
            (_, Some(Ok(count @ 1..))) => Ok(Acks::SemiSync(count)),
            _ => Err("it is async, semi-sync:K or sync".to_owned()),
        }
    }
}

impl fmt::Display for Acks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Acks::Async => write!(f, "async"),
            Acks::SemiSync(count) => write!(f, "semi-sync:{count}"),
            Acks::Sync => write!(f, "sync"),
        }
    }
}

/// Followers, sorted by what is to become of them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Plan {
    /// The new leader is the one of these that holds most. They meet every possible set of
    /// acknowledgements (rule 9).
    pub(super) candidates: Vec<usize>,
    /// They die with the leader, and the promise holds all the same.
    pub(super) lost: Vec<usize>,
}

impl Plan {
    /// Draws who is lost. `members` are those whose acknowledgements count, as the leader said.
    pub(super) fn draw(
        acks: Acks,
        followers: &[usize],
        members: &[usize],
        rng: &mut SmallRng,
    ) -> Plan {
        let mut members = members.to_vec();
        members.shuffle(rng);
        let lost = match acks {
            // Nothing is promised, so whoever leads next, what it lacks is lost and archived.
            Acks::Async => {
                let anyone = vec![followers[rng.random_range(0..followers.len())]];
                let all = followers.to_vec();
                let candidates = if rng.random_bool(0.3) { anyone } else { all };
                return Plan { candidates, lost: Vec::new() };
            }
            Acks::SemiSync(count) => (count - 1).min(members.len().saturating_sub(1)),
            Acks::Sync => members.len().saturating_sub(1),
        };
        let lost = members.split_off(members.len() - lost);
        if members.is_empty() {
            Plan { candidates: followers.to_vec(), lost }
        } else {
            Plan { candidates: members, lost }
        }
    }
}

/// Followers whose acknowledgements count, as the leader says while it lives.
pub(super) fn members(nodes: &Nodes) -> Result<Vec<usize>> {
    let told = format!("{:?}", nodes.ask(nodes.leader(), &["REPLICATION", "MEMBERS"])?);
    let mut members = Vec::new();
    for follower in nodes.followers() {
        let fields = nodes.info(follower)?;
        let id = fields.iter().find(|(name, _)| name == "trefoil_node");
        let (_, id) = id.context("INFO replication has no trefoil_node")?;
        if told.contains(id.trim()) {
            members.push(follower);
        }
    }
    Ok(members)
}

/// Promotes the candidate that holds most and returns it. All candidates run and the leader is dead.
pub(super) fn promote_best(nodes: &Nodes, candidates: &[usize]) -> Result<usize> {
    let mut best = None;
    for &candidate in candidates {
        let position = nodes.wait_until("a follower tells its position", PATIENCE, || {
            position(nodes, candidate).map(Some)
        })?;
        best = best.max(Some((position, candidate)));
    }
    let (_, new) = best.context("there is nobody to promote")?;
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

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng as _;

    fn plans(acks: &str, members: &[usize]) -> Vec<Plan> {
        let acks = acks.parse().expect("a mode");
        let mut rng = SmallRng::seed_from_u64(1);
        (0..50).map(|_| Plan::draw(acks, &[1, 2, 3, 4], members, &mut rng)).collect()
    }

    #[test]
    fn candidates_meet_every_set_that_may_have_acknowledged() {
        for count in 1..=4 {
            for plan in plans(&format!("semi-sync:{count}"), &[1, 2, 3, 4]) {
                assert_eq!(plan.candidates.len(), 4 - count + 1, "{plan:?}");
                assert_eq!(plan.lost.len(), count - 1);
            }
        }
        for plan in plans("sync", &[1, 3]) {
            assert_eq!((plan.candidates.len(), plan.lost.len()), (1, 1));
            assert!([1, 3].contains(&plan.candidates[0]), "{plan:?}");
        }
        assert!(plans("async", &[]).iter().all(|plan| plan.lost.is_empty()));
    }

    #[test]
    fn modes_read_as_they_are_written() {
        for word in ["async", "sync", "semi-sync:2"] {
            assert_eq!(word.parse::<Acks>().map(|acks| acks.to_string()), Ok(word.to_owned()));
        }
        assert!("semi-sync:0".parse::<Acks>().is_err());
    }
}
