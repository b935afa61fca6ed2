//! Ways to take a node away, mostly the leader, and to give it back.

use std::time::Duration;

use anyhow::{Result, bail};
use clap::ValueEnum;
use rustix::process::Signal;

use super::cluster::Cluster;
use super::views;
use crate::hosts::{isolating, one_way};

/// What happens to the leader.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(crate) enum Fault {
    /// kill -9
    Kill,
    /// SIGSTOP
    Pause,
    /// Cut off from all nodes, not from clients
    Isolate,
    /// Cut off in one direction: nobody hears it
    Mute,
    /// Cut off in one direction: it hears nobody
    Deaf,
    /// FAILOVER, as one does before maintenance
    Graceful,
    /// A rolling restart of all nodes with SIGTERM
    Restart,
    /// SIGSTOP of a follower: nothing is to come of it
    PauseFollower,
    /// A follower cut off from all nodes: nothing is to come of it
    IsolateFollower,
}

/// What is asked of the cluster.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Demand {
    /// Another leader, soon.
    AnotherLeader,
    /// That clients see no failure.
    NoFailure,
    /// That those who have nothing to do with it notice nothing.
    NoNotice,
}

impl Fault {
    pub(crate) fn demand(self) -> Demand {
        match self {
            Fault::Kill | Fault::Pause | Fault::Isolate | Fault::Mute | Fault::Deaf => {
                Demand::AnotherLeader
            }
            Fault::Graceful | Fault::Restart => Demand::NoFailure,
            Fault::PauseFollower | Fault::IsolateFollower => Demand::NoNotice,
        }
    }

    /// Whether it takes hosts that can be cut off.
    pub(crate) fn needs_hosts(self) -> bool {
        matches!(self, Fault::Isolate | Fault::Mute | Fault::Deaf | Fault::IsolateFollower)
    }

    /// Whether the victim is given back after a while, not as soon as clients can write again.
    pub(crate) fn lasts(self) -> bool {
        self.needs_hosts() || matches!(self, Fault::Pause | Fault::PauseFollower)
    }

    pub(crate) fn name(self) -> String {
        self.to_possible_value().map_or(String::new(), |value| value.get_name().to_owned())
    }
}

/// Strikes a node with a fault that nobody planned.
pub(crate) fn strike(cluster: &mut Cluster, fault: Fault, victim: usize) -> Result<()> {
    let count = cluster.count();
    let others: Vec<usize> = (0..count).filter(|node| *node != victim).collect();
    match fault {
        Fault::Kill => cluster.kill(victim),
        Fault::Pause | Fault::PauseFollower => cluster.signal(victim, Signal::STOP)?,
        Fault::Isolate | Fault::IsolateFollower => {
            cluster.hosts()?.cut(isolating(victim, count))?;
        }
        Fault::Mute => cluster.hosts()?.cut(one_way(&[victim], &others))?,
        Fault::Deaf => cluster.hosts()?.cut(one_way(&others, &[victim]))?,
        Fault::Graceful | Fault::Restart => bail!("{} is no strike", fault.name()),
    }
    Ok(())
}

/// Takes the fault back. `join`: whom a node that starts again has to be told.
pub(crate) fn mend(
    cluster: &mut Cluster,
    fault: Fault,
    victim: usize,
    join: Option<usize>,
) -> Result<()> {
    match fault {
        Fault::Kill => cluster.start(victim, join)?,
        Fault::Pause | Fault::PauseFollower => cluster.signal(victim, Signal::CONT)?,
        Fault::Isolate | Fault::Mute | Fault::Deaf | Fault::IsolateFollower => {
            cluster.hosts()?.heal()?;
        }
        Fault::Graceful | Fault::Restart => {}
    }
    Ok(())
}

/// A failover as a person with a script does it: the survivor that holds most leads, the others follow
/// it. Returns the new leader.
pub(crate) fn promote_by_hand(cluster: &Cluster, victim: usize) -> Result<usize> {
    let survivors = || (0..cluster.count()).filter(|node| *node != victim);
    let mut best = None;
    for node in survivors() {
        let view = views::view(cluster.address(node))?;
        best = best.max(Some((view.epoch, view.end, node)));
    }
    let Some((.., new)) = best else { bail!("there is nobody to promote") };
    views::ask(cluster.address(new), &["REPLICAOF", "NO", "ONE"])?;
    let address = cluster.address(new);
    let (ip, port) = (address.ip().to_string(), address.port().to_string());
    for node in survivors().filter(|node| *node != new) {
        views::ask(cluster.address(node), &["REPLICAOF", &ip, &port])?;
    }
    Ok(new)
}

/// So long an outage is waited out before a round is given up.
pub(crate) const OUTAGE_MAX: Duration = Duration::from_secs(30);
