//! What goes wrong: one fault after another, drawn from the seed, each mended before the next.
//!
//! The seed decides which faults come, to whom and for how long; what the processes make of it is up
//! to the machine, so a seed repeats a schedule, not a history.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use rand::rngs::SmallRng;
use rand::seq::IndexedRandom as _;
use rand::{RngExt as _, SeedableRng as _};
use rustix::process::Signal;

use super::failover::{self, Acks, Plan};
use super::nodes::Nodes;
use super::proxy::Weather;
use super::terms::Terms;

/// How long a node may take to answer after a start.
const START_PATIENCE: Duration = Duration::from_secs(30);

/// A kind of fault.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Fault {
    KillFollower,
    KillLeader,
    RestartFollower,
    RestartLeader,
    PauseFollower,
    PauseLeader,
    CutLink,
    StallLink,
    OneWayLink,
    SlowLink,
    Failover,
    AlterAcks,
}

impl Fault {
    /// Kinds, and how often each comes.
    const WEIGHTS: [(Fault, u32); 12] = [
        (Fault::KillFollower, 4),
        (Fault::KillLeader, 3),
        (Fault::RestartFollower, 1),
        (Fault::RestartLeader, 2),
        (Fault::PauseFollower, 3),
        (Fault::PauseLeader, 2),
        (Fault::CutLink, 3),
        (Fault::StallLink, 2),
        (Fault::OneWayLink, 2),
        (Fault::SlowLink, 2),
        (Fault::Failover, 4),
        (Fault::AlterAcks, 2),
    ];

    /// Whether a single node can't have it.
    fn needs_followers(self) -> bool {
        !matches!(self, Fault::KillLeader | Fault::RestartLeader | Fault::PauseLeader)
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Fault::KillFollower => "kill -9 of a follower",
            Fault::KillLeader => "kill -9 of the leader, which leads again",
            Fault::RestartFollower => "clean restart of a follower",
            Fault::RestartLeader => "clean restart of the leader",
            Fault::PauseFollower => "SIGSTOP of a follower",
            Fault::PauseLeader => "SIGSTOP of the leader",
            Fault::CutLink => "cut link",
            Fault::StallLink => "stalled link",
            Fault::OneWayLink => "link stalled in one direction",
            Fault::SlowLink => "slow link",
            Fault::Failover => "failover by hand, old leader back as a follower",
            Fault::AlterAcks => "other acks for a while",
        }
    }
}

/// See the module.
pub(super) struct Nemesis {
    nodes: Arc<Nodes>,
    rng: SmallRng,
    acks: Acks,
    pub(super) faults: BTreeMap<Fault, u64>,
    pub(super) terms: Terms,
}

impl Nemesis {
    pub(super) fn new(nodes: Arc<Nodes>, seed: u64, acks: Acks, terms: Terms) -> Nemesis {
        let rng = SmallRng::seed_from_u64(seed);
        Nemesis { nodes, rng, acks, faults: BTreeMap::new(), terms }
    }

    /// Plagues the cluster for so long. What is broken at the end has been mended.
    pub(super) fn plague(&mut self, duration: Duration, tell: impl Fn(&str)) -> Result<()> {
        let end = Instant::now() + duration;
        while Instant::now() < end {
            self.wait(100..800);
            let fault = self.draw();
            tell(fault.name());
            self.strike(fault).with_context(|| format!("during: {}", fault.name()))?;
            *self.faults.entry(fault).or_default() += 1;
        }
        Ok(())
    }

    fn draw(&mut self) -> Fault {
        let alone = self.nodes.count() == 1;
        let weight = |(fault, weight): &(Fault, u32)| {
            if alone && fault.needs_followers() { 0 } else { *weight }
        };
        let drawn = Fault::WEIGHTS.choose_weighted(&mut self.rng, weight);
        drawn.expect("some faults need no followers").0
    }

    fn wait(&mut self, millis: std::ops::Range<u64>) {
        let millis = self.rng.random_range(millis);
        thread::sleep(Duration::from_millis(millis));
    }

    fn a_follower(&mut self) -> usize {
        *self.nodes.followers().choose(&mut self.rng).expect("a cluster has followers")
    }

    fn strike(&mut self, fault: Fault) -> Result<()> {
        let leader = self.nodes.leader();
        match fault {
            Fault::KillFollower | Fault::RestartFollower => self.restart_follower(fault),
            Fault::KillLeader | Fault::RestartLeader => self.restart_leader(leader, fault),
            Fault::PauseFollower => {
                let follower = self.a_follower();
                self.pause(follower)
            }
            Fault::PauseLeader => self.pause(leader),
            Fault::CutLink => self.disturb(Weather::Cut),
            Fault::StallLink => self.disturb(Weather::Stalled),
            Fault::OneWayLink => {
                let to_leader = self.rng.random_bool(0.5);
                self.disturb(if to_leader {
                    Weather::StalledToLeader
                } else {
                    Weather::StalledToFollower
                })
            }
            Fault::SlowLink => {
                let delay_ms = self.rng.random_range(5..100);
                self.disturb(Weather::Slow { delay_ms })
            }
            Fault::Failover => self.fail_over(leader),
            Fault::AlterAcks => self.alter(leader),
        }
    }

    fn restart_follower(&mut self, fault: Fault) -> Result<()> {
        let follower = self.a_follower();
        match fault {
            Fault::RestartFollower => self.nodes.stop(follower)?,
            _ => self.nodes.kill(follower),
        }
        self.wait(0..1_500);
        self.nodes.start(follower, None)?;
        self.wait_for_answers(follower)
    }

    /// The leader ends and leads again. After a clean stop nothing may be lost in any mode, but who
    /// was talking to it can't know.
    fn restart_leader(&mut self, leader: usize, fault: Fault) -> Result<()> {
        self.terms.end(&self.nodes, false);
        match fault {
            Fault::RestartLeader => self.nodes.stop(leader)?,
            _ => self.nodes.kill(leader),
        }
        self.wait(0..500);
        self.nodes.start(leader, None)?;
        failover::wait_until_leads(&self.nodes, leader)?;
        self.terms.begin(&self.nodes);
        Ok(())
    }

    fn wait_for_answers(&self, node: usize) -> Result<()> {
        let nodes = &self.nodes;
        nodes.wait_until(&format!("node {node} answers"), START_PATIENCE, || {
            nodes.ask(node, &["PING"]).map(|_| Some(()))
        })
    }

    fn pause(&mut self, node: usize) -> Result<()> {
        self.nodes.signal(node, Signal::STOP);
        self.wait(50..2_500);
        self.nodes.signal(node, Signal::CONT);
        Ok(())
    }

    /// Bad weather on one follower's link, or on all of them.
    fn disturb(&mut self, weather: Weather) -> Result<()> {
        let leader = self.nodes.leader();
        let mut hit = self.nodes.followers();
        if self.rng.random_bool(0.7) {
            hit = vec![self.a_follower()];
        }
        for follower in &hit {
            self.nodes.link(*follower, leader).set(weather);
        }
        self.wait(100..3_000);
        self.nodes.clear_links();
        Ok(())
    }

    /// The leader dies, and as many followers as the promise allows; of the others the one that has
    /// most leads; the dead come back as its followers.
    fn fail_over(&mut self, old: usize) -> Result<()> {
        let (members, followers) = (failover::members(&self.nodes)?, self.nodes.followers());
        let plan = Plan::draw(self.acks, &followers, &members, &mut self.rng);
        self.terms.end(&self.nodes, true);
        self.nodes.kill(old);
        plan.lost.iter().for_each(|lost| self.nodes.kill(*lost));
        self.wait(0..300);
        let new = failover::promote_best(&self.nodes, &plan.candidates)?;
        let through_proxy = self.rng.random_bool(0.5);
        let mut dead = plan.lost;
        dead.push(old);
        let left_out: Vec<usize> = dead.iter().copied().chain([new]).collect();
        failover::follow(&self.nodes, &left_out, new, through_proxy)?;
        // Under `sync` the dead count until they are back, or forgotten.
        let left = self.nodes.count() - left_out.len();
        let needs_dead = match self.acks {
            Acks::Async => false,
            Acks::SemiSync(count) => left < count,
            Acks::Sync => true,
        };
        if !needs_dead {
            failover::wait_until_leads(&self.nodes, new)?;
            self.terms.begin(&self.nodes);
        }
        self.wait(0..1_500);
        for node in dead {
            self.bring_back(node, new)?;
        }
        if needs_dead {
            failover::wait_until_leads(&self.nodes, new)?;
            self.terms.begin(&self.nodes);
        }
        Ok(())
    }

    /// Starts a dead node as a follower of the new leader.
    fn bring_back(&mut self, old: usize, new: usize) -> Result<()> {
        if self.rng.random_bool(0.5) {
            self.nodes.start(old, Some(new))?;
            return self.wait_for_answers(old);
        }
        // It comes back as what it was, and must not take itself for the leader that it may have been.
        self.nodes.start(old, None)?;
        self.wait_for_answers(old)?;
        self.wait(0..1_000);
        failover::follow(&self.nodes, &self.others(old), new, false)
    }

    fn others(&self, node: usize) -> Vec<usize> {
        (0..self.nodes.count()).filter(|other| *other != node).collect()
    }

    /// Another promise for a while; never a weaker one than what is judged at the end, unless it is
    /// made good before it ends.
    fn alter(&mut self, leader: usize) -> Result<()> {
        let other = match self.acks {
            Acks::Sync => Acks::SemiSync(1),
            Acks::Async | Acks::SemiSync(_) => Acks::Sync,
        };
        self.nodes.ask(leader, &["CONFIG", "SET", "acks", &other.to_string()])?;
        self.wait(200..2_000);
        self.nodes.ask(leader, &["CONFIG", "SET", "acks", &self.acks.to_string()])?;
        failover::wait_until_leads(&self.nodes, leader)
    }
}
