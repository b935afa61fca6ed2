//! What befalls the cluster: people who change it, and everything that goes wrong.

use std::collections::BTreeSet;

use trefoil_clock::NodeId;
use trefoil_cluster::raft::{Config, Raft};

use crate::defect::{Defect, Forgery};
use crate::dice::Dice;
use crate::world::World;

/// What may happen.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Blow {
    Propose,
    Reconfigure,
    Crash,
    Restart,
    Cut,
    Heal,
    HandOver,
    Compact,
    Pause,
}

/// What happens how often in a run.
pub(crate) struct Temper {
    /// Each as often as it weighs.
    blows: Vec<Blow>,
    pub(crate) gap_max_ms: u64,
}

impl Temper {
    pub(crate) fn new(dice: &mut Dice, defect: Defect) -> Temper {
        let mut blows = Vec::new();
        let usual = [
            (Blow::Propose, 40),
            (Blow::Reconfigure, 10),
            (Blow::Crash, 4),
            (Blow::Restart, 6),
            (Blow::Cut, 6),
            (Blow::Heal, 6),
            (Blow::HandOver, 3),
            (Blow::Compact, 6),
            (Blow::Pause, 2),
        ];
        for (blow, weight) in usual {
            let is_few = defect == Defect::OldTermCounted && blow == Blow::Propose;
            let factor = if is_few { 1 } else { dice.pick(&[1, 2, 4]).expect("some") };
            blows.extend(std::iter::repeat_n(blow, weight * factor));
        }
        let gap_max_ms = match defect {
            Defect::OldTermCounted => 20,
            _ => dice.pick(&[20, 60, 200]).expect("some"),
        };
        Temper { blows, gap_max_ms }
    }
}

impl World {
    /// One thing happens.
    pub(crate) fn strike(&mut self) -> Result<(), String> {
        let blow = self.dice.pick(&self.temper.blows).expect("something may happen");
        match blow {
            Blow::Propose => drop(self.propose()?),
            Blow::Reconfigure => self.reconfigure()?,
            Blow::Crash => self.crash_somebody(),
            Blow::Restart => self.restart_somebody(),
            Blow::Cut => self.cut(),
            Blow::Heal => self.network.heal(),
            Blow::HandOver => self.hand_over()?,
            Blow::Compact => self.compact_somewhere()?,
            Blow::Pause => self.pause_somebody(),
        }
        Ok(())
    }

    /// Nodes of which something is true, among those that run.
    fn those(&self, is_one: impl Fn(&Raft) -> bool) -> Vec<NodeId> {
        let running = self.machines.values().filter(|machine| machine.is_up(self.now_ms));
        running
            .filter(|machine| machine.raft.as_ref().is_some_and(&is_one))
            .map(|machine| machine.node())
            .collect()
    }

    /// A command for somebody who thinks that it leads.
    pub(crate) fn propose(&mut self) -> Result<bool, String> {
        let leaders = self.those(Raft::is_leader);
        let Some(node) = self.dice.pick(&leaders) else { return Ok(false) };
        self.commands += 1;
        let (now_ms, command) = (self.now_ms, self.commands.to_le_bytes().to_vec());
        let proposed = self.with(node, |raft, out| raft.propose(now_ms, command, out))?;
        Ok(proposed.is_ok())
    }

    fn reconfigure(&mut self) -> Result<(), String> {
        let leaders = self.those(Raft::is_leader);
        let Some(node) = self.dice.pick(&leaders) else { return Ok(()) };
        let raft = self.machines[&node].raft.as_ref().expect("it is up");
        let mut config = raft.config().clone();
        let everybody = self.nodes();
        let who = self.dice.pick(&everybody).expect("there are nodes");
        if config.learners.remove(&who) {
            if self.dice.percent(80) {
                config.voters.insert(who);
            }
        } else if config.voters.contains(&who) {
            // Mostly they stay, so that there is somebody to agree.
            if config.voters.len() > 2 && self.dice.percent(40) {
                config.voters.remove(&who);
                if self.dice.percent(50) {
                    config.learners.insert(who);
                }
            }
        } else {
            config.learners.insert(who);
        }
        if self.defect == Defect::TwoVotersAtOnce && self.change_two(node)? {
            return Ok(());
        }
        let now_ms = self.now_ms;
        let changed = self.with(node, |raft, out| raft.change_config(now_ms, config, out))?;
        self.tally.configs += u64::from(changed.is_ok());
        Ok(())
    }

    /// The defect: two learners become voters at once. The leader's log says so, and it reads it after
    /// a restart, cut off from the other old voters, with the new ones.
    fn change_two(&mut self, leader: NodeId) -> Result<bool, String> {
        let raft = self.machines[&leader].raft.as_ref().expect("it is up");
        let old = raft.config().clone();
        let learners: Vec<NodeId> = old.learners.iter().copied().collect();
        let &[one, other] = learners.as_slice() else { return Ok(false) };
        if old.voters.len() != 3 || self.forgery.is_some() || !old.voters.contains(&leader) {
            return Ok(false);
        }
        let (mut said, mut meant) = (old.clone(), old.clone());
        said.learners.remove(&one);
        said.voters.insert(one);
        meant.voters.extend([one, other]);
        meant.learners.clear();
        let (index, term) = (raft.last().index.next(), raft.term());
        self.forgery = Some(Forgery { index, term, config: meant });
        let others: Vec<NodeId> =
            old.voters.iter().copied().filter(|&voter| voter != leader).collect();
        self.network.split(&others, &[leader, one, other], false);
        let now_ms = self.now_ms;
        let changed = self.with(leader, |raft, out| raft.change_config(now_ms, said, out))?;
        if changed.is_err() {
            self.forgery = None;
            return Ok(true);
        }
        self.machines.get_mut(&leader).expect("it exists").crash(usize::MAX);
        self.start(leader);
        Ok(true)
    }

    fn crash_somebody(&mut self) {
        let only_leaders = self.dice.percent(40);
        let running = self.those(|raft| raft.is_leader() || !only_leaders);
        let Some(node) = self.dice.pick(&running) else { return };
        let machine = self.machines.get_mut(&node).expect("it exists");
        let waiting = u64::try_from(machine.unsynced.len()).expect("few");
        let survive = usize::try_from(self.dice.below(waiting + 1)).expect("few");
        machine.crash(if self.defect.is_of_the_disk() { 0 } else { survive });
        self.tally.crashes += 1;
        if self.dice.percent(50) {
            self.start(node);
        }
    }

    fn restart_somebody(&mut self) {
        let down = self.machines.values().filter(|machine| machine.raft.is_none());
        let down: Vec<NodeId> = down.map(|machine| machine.node()).collect();
        if let Some(node) = self.dice.pick(&down) {
            self.start(node);
        }
    }

    fn cut(&mut self) {
        let leaders = if self.dice.percent(40) { self.those(Raft::is_leader) } else { Vec::new() };
        let with_leader = self.dice.percent(30);
        let (left, right): (Vec<NodeId>, Vec<NodeId>) =
            self.nodes().into_iter().partition(|node| match leaders.as_slice() {
                [] => self.dice.percent(50),
                // A leader alone, or with one other.
                leaders => leaders.contains(node) || (with_leader && self.dice.percent(30)),
            });
        let one_way = self.dice.percent(25);
        self.network.split(&left, &right, one_way);
    }

    fn hand_over(&mut self) -> Result<(), String> {
        let leaders = self.those(Raft::is_leader);
        let Some(node) = self.dice.pick(&leaders) else { return Ok(()) };
        let config: &Config = self.machines[&node].raft.as_ref().expect("it is up").config();
        let voters: BTreeSet<NodeId> = config.voters.clone();
        let voters: Vec<NodeId> = voters.into_iter().collect();
        let to = self.dice.pick(&voters).expect("somebody votes");
        let now_ms = self.now_ms;
        let transferred = self.with(node, |raft, out| raft.transfer(now_ms, to, out))?;
        self.tally.transfers += u64::from(transferred.is_ok());
        Ok(())
    }

    fn compact_somewhere(&mut self) -> Result<(), String> {
        let running = self.those(|_| true);
        let Some(node) = self.dice.pick(&running) else { return Ok(()) };
        let state = self.machines[&node].state;
        // Refused if there is nothing new to keep.
        let _ = self.with(node, |raft, out| raft.compact(state.index, state.save(), out))?;
        Ok(())
    }

    fn pause_somebody(&mut self) {
        let running = self.those(|_| true);
        let Some(node) = self.dice.pick(&running) else { return };
        let until_ms = self.now_ms + self.dice.between(10, 800);
        self.machines.get_mut(&node).expect("it exists").paused_until_ms = until_ms;
    }
}
