//! One round: everything is well, clients write, the leader is taken away, clients write again, the
//! leader comes back, everything is well.

use std::time::Duration;

use anyhow::{Result, bail};
use rand::RngExt as _;
use rand::rngs::SmallRng;
use serde::Serialize;

use super::cluster::Cluster;
use super::faults::{self, Demand, Fault, OUTAGE_MAX};
use super::figures::{Strike, longest_us};
use super::ledger::{Counts, Outcome, Sample};
use super::load::Load;
use super::patience::{rest, wait_until};
use super::views;

/// How long the cluster may take to be whole again.
pub(crate) const WHOLE_PATIENCE: Duration = Duration::from_secs(90);
/// Clients write so long before and after what happens in a round, milliseconds.
const LEAD_IN_MS: std::ops::Range<u64> = 500..1_500;
const LEAD_OUT: Duration = Duration::from_millis(500);

/// What a round came to.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Round {
    pub(crate) fault: String,
    pub(crate) victim: usize,
    /// Who led before, and in which epoch.
    pub(crate) leader_before: usize,
    pub(crate) epoch_before: u64,
    /// The same in the end.
    pub(crate) leader: usize,
    pub(crate) epoch: u64,
    /// From the fault to the first acknowledged write, and until every client has had one.
    pub(crate) first_ms: Option<f64>,
    pub(crate) all_ms: Option<f64>,
    /// From when the victim was given back until the cluster was whole.
    pub(crate) whole_ms: f64,
    /// The longest that any client waited for one write. This and the rest leave out what was asked of
    /// a follower that was the victim.
    pub(crate) longest_ms: f64,
    pub(crate) acked: u64,
    pub(crate) refused: u64,
    pub(crate) unknown: u64,
    /// Writes that were tried more than once.
    pub(crate) retried: u64,
}

/// How rounds are done.
pub(crate) struct Rules {
    pub(crate) fault: Fault,
    /// How long a fault lasts that lasts.
    pub(crate) hold: Duration,
    /// Promote by REPLICAOF.
    pub(crate) by_hand: bool,
}

/// One round. The clients rest before and after.
pub(crate) fn play(
    cluster: &mut Cluster,
    load: &Load,
    rules: &Rules,
    rng: &mut SmallRng,
) -> Result<Round> {
    let (leader, epoch_before) = wait_until_whole(cluster)?;
    load.clear_samples();
    load.go();
    rest(Duration::from_millis(rng.random_range(LEAD_IN_MS)))?;
    let demand = rules.fault.demand();
    let mut round = match (demand, rules.fault) {
        (Demand::AnotherLeader, _) => take_away(cluster, load, rules, leader)?,
        (Demand::NoNotice, _) => {
            let step = rng.random_range(1..cluster.count());
            disturb(cluster, load, rules, (leader + step) % cluster.count())?
        }
        (Demand::NoFailure, Fault::Restart) => restart_all(cluster, load, leader)?,
        (Demand::NoFailure, _) => hand_over(cluster, load, leader)?,
    };
    rest(LEAD_OUT)?;
    load.rest();
    if demand != Demand::AnotherLeader {
        // What was under way ends as well.
        rest(LEAD_OUT)?;
    }
    let mut samples = load.samples();
    if demand == Demand::NoNotice {
        samples.retain(|sample| sample.node != round.victim);
    }
    sum_up(&samples, &mut round);
    round.fault = rules.fault.name();
    (round.leader_before, round.epoch_before) = (leader, epoch_before);
    (round.leader, round.epoch) = wait_until_whole(cluster)?;
    Ok(round)
}

/// Waits until all nodes run, follow one leader and count. Returns the leader and its epoch.
pub(crate) fn wait_until_whole(cluster: &mut Cluster) -> Result<(usize, u64)> {
    let addresses = cluster.addresses();
    let found = wait_until("all nodes follow one leader and are electable", WHOLE_PATIENCE, || {
        views::whole(&addresses)
    });
    cluster.check_alive()?;
    found
}

/// A fault of the leader.
fn take_away(cluster: &mut Cluster, load: &Load, rules: &Rules, victim: usize) -> Result<Round> {
    let fault = rules.fault;
    let at_us = load.now_us();
    faults::strike(cluster, fault, victim)?;
    let strike = Strike { at_us, struck_us: load.now_us(), victim };
    let promoted = match rules.by_hand {
        true => Some(faults::promote_by_hand(cluster, victim)?),
        false => None,
    };
    let clients = load.clients();
    // An outage that does not end is a figure, too.
    let end_us = strike.at_us + millis(OUTAGE_MAX) * 1_000;
    wait_until("an end of the wait for writes", OUTAGE_MAX * 2, || {
        let all = strike.all_write_us(&load.samples(), clients);
        Ok((all.is_some() || load.now_us() > end_us).then_some(()))
    })?;
    if fault.lasts() {
        let passed_ms = (load.now_us() - strike.at_us) / 1_000;
        rest(Duration::from_millis(millis(rules.hold).saturating_sub(passed_ms)))?;
    }
    let samples = load.samples();
    let mended_us = load.now_us();
    if let Some(new) = promoted {
        follow_by_hand(cluster, fault, victim, new)?;
    } else {
        faults::mend(cluster, fault, victim, None)?;
    }
    wait_until_whole(cluster)?;
    Ok(Round {
        victim,
        first_ms: strike.first_write_us(&samples).map(to_ms),
        all_ms: strike.all_write_us(&samples, clients).map(to_ms),
        whole_ms: to_ms(load.now_us() - mended_us),
        ..Round::default()
    })
}

/// A fault of a follower.
fn disturb(cluster: &mut Cluster, load: &Load, rules: &Rules, victim: usize) -> Result<Round> {
    faults::strike(cluster, rules.fault, victim)?;
    rest(rules.hold)?;
    let mended_us = load.now_us();
    faults::mend(cluster, rules.fault, victim, None)?;
    wait_until_whole(cluster)?;
    let whole_ms = to_ms(load.now_us() - mended_us);
    Ok(Round { victim, whole_ms, ..Round::default() })
}

/// Gives the old leader back as a follower of the one that was promoted.
fn follow_by_hand(cluster: &mut Cluster, fault: Fault, victim: usize, new: usize) -> Result<()> {
    if fault == Fault::Kill {
        cluster.forget_role(victim)?;
        return faults::mend(cluster, fault, victim, Some(new));
    }
    faults::mend(cluster, fault, victim, None)?;
    let address = cluster.address(new);
    let (ip, port) = (address.ip().to_string(), address.port().to_string());
    views::ask(cluster.address(victim), &["REPLICAOF", &ip, &port]).map(drop)
}

/// FAILOVER.
fn hand_over(cluster: &mut Cluster, load: &Load, leader: usize) -> Result<Round> {
    let addresses = cluster.addresses();
    let asked_us = load.now_us();
    views::ask(addresses[leader], &["FAILOVER"])?;
    wait_until("another node leads after FAILOVER", OUTAGE_MAX, || {
        Ok(views::leader(&addresses).filter(|(now, _)| *now != leader))
    })?;
    wait_until_whole(cluster)?;
    let whole_ms = to_ms(load.now_us() - asked_us);
    Ok(Round { victim: leader, whole_ms, ..Round::default() })
}

/// All nodes one after the other, the leader last.
fn restart_all(cluster: &mut Cluster, load: &Load, leader: usize) -> Result<Round> {
    let begun_us = load.now_us();
    let mut order: Vec<usize> = (0..cluster.count()).filter(|node| *node != leader).collect();
    order.push(leader);
    for node in order {
        cluster.stop(node)?;
        cluster.start(node, None)?;
        wait_until_whole(cluster)?;
    }
    let whole_ms = to_ms(load.now_us() - begun_us);
    Ok(Round { victim: leader, whole_ms, ..Round::default() })
}

fn sum_up(samples: &[Sample], round: &mut Round) {
    let outcomes: Vec<Outcome> = samples.iter().map(|sample| sample.outcome).collect();
    let counts = Counts::of(&outcomes);
    (round.acked, round.refused, round.unknown) = (counts.acked, counts.refused, counts.unknown);
    round.longest_ms = to_ms(longest_us(samples));
    let retried = samples.iter().filter(|sample| sample.tries > 1).count();
    round.retried = u64::try_from(retried).expect("they were counted in memory");
}

/// A check that is made once, before any round: whoever promotes by hand can't do the rest.
pub(crate) fn check_by_hand(fault: Fault) -> Result<()> {
    if fault.demand() != Demand::AnotherLeader {
        bail!("--by-hand is for faults that take the leader away");
    }
    Ok(())
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).expect("less than an age")
}

pub(crate) fn to_ms(us: u64) -> f64 {
    us as f64 / 1_000.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failover::ledger::Write;

    #[test]
    fn a_round_sums_up_what_its_clients_saw() {
        let sample = |number, answered_us, outcome, tries| Sample {
            write: Write { client: 0, number },
            node: 0,
            invoked_us: 0,
            answered_us,
            outcome,
            tries,
        };
        let samples = [
            sample(0, 700, Outcome::Acked, 1),
            sample(1, 2_500, Outcome::Acked, 3),
            sample(2, 100, Outcome::Refused, 1),
        ];
        let mut round = Round::default();
        sum_up(&samples, &mut round);
        assert_eq!((round.acked, round.refused, round.unknown, round.retried), (2, 1, 0, 1));
        assert!((round.longest_ms - 2.5).abs() < f64::EPSILON);
    }
}
