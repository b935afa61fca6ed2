//! What goes wrong in a run of this family, by the seed: whoever has a part in the agreement is hit in
//! it, and leadership changes at the worst moments.

use trefoil_cluster::state::ResignReason;
use trefoil_replication::FollowerState::{Cutting, Fetching, Installing};

use super::super::agenda::{MS, Micros};
use super::super::process::Role;
use super::super::world::{CLUSTER, Event, World};
use super::Strike;
use super::orders::Order;

impl World {
    pub(crate) fn on_heal_fault(&mut self) {
        let Some((slot, other)) = self.next_fault() else { return };
        let leader = self.leading_slot();
        match self.dice.below(34) {
            0..=2 => self.hit_kill(leader, "kill -9 of the leader"),
            3 => self.hit_kill(slot, "kill -9"),
            4 => self.hit_raft_leader(),
            5 | 6 => self.hit_power(slot),
            7 => self.hit_power(leader),
            8 | 9 => self.hit_cut_from_voters(leader),
            10 | 11 => self.hit_cut_from_followers(leader),
            12 | 13 => self.hit_cut(slot, other, Ways::One),
            14 => self.hit_cut(slot, other, Ways::Both),
            15 | 16 => self.hit_isolation(leader),
            17 => self.hit_isolation(slot),
            18 | 19 => self.hit_split(),
            20..=22 => self.hit_pause(leader),
            23 => self.hit_pause(slot),
            24 => self.hit_clean_restart(slot),
            25 => self.hit_lost_disk(slot),
            26 => self.hit_old_copy(slot),
            27 => self.hit_disk_full(slot),
            28 => self.hit_slow_link(slot, other),
            29 => self.hit_twice(leader),
            30 => self.set_strike(Strike::ElectableChange),
            31 => self.hit_during_transfer(leader),
            32 => self.fault_cut(),
            _ => self.fault_clock_jumps(slot),
        }
    }

    fn hit_kill(&mut self, slot: usize, what: &'static str) {
        if self.nodes[slot].process.is_some() {
            self.met.fault(what);
            self.kill(slot);
        }
    }

    /// Who leads the control plane.
    fn raft_leader(&self) -> Option<usize> {
        (0..self.nodes.len()).find(|&slot| {
            let own = self.nodes[slot].disk.identity.node;
            let view = self.part_of(slot).and_then(|part| part.view.as_ref());
            view.is_some_and(|view| view.raft_leader == Some(own))
        })
    }

    fn hit_raft_leader(&mut self) {
        let Some(slot) = self.raft_leader() else { return };
        if self.dice.one_in(2) {
            self.hit_kill(slot, "kill -9 of the raft leader");
        } else {
            self.met.fault("raft leader paused");
            self.hit_pause(slot);
        }
    }

    fn hit_power(&mut self, slot: usize) {
        if self.nodes[slot].process.is_some() && self.power_may_go(slot) {
            self.met.fault("power lost");
            self.lose_power(slot);
        }
    }

    fn until(&mut self) -> Micros {
        self.now + (50 + self.dice.below(2_000)) * MS
    }

    fn voters(&self) -> Vec<usize> {
        let newest = self.healing.as_ref().and_then(|healing| healing.newest.as_ref());
        let voters = newest.map(|view| view.voters.clone()).unwrap_or_default();
        voters.into_iter().filter_map(|node| self.slot_of(node)).collect()
    }

    /// Datagrams get lost, links go on.
    fn mute(&mut self, from: usize, to: usize, until: Micros) {
        self.trouble(from, to, until);
        if let Some(healing) = &mut self.healing {
            healing.mute_until[from][to] = until;
        }
    }

    /// Nothing gets through.
    fn part_ways(&mut self, from: usize, to: usize, until: Micros) {
        self.trouble(from, to, until);
        self.net.stuck_until[from][to] = until;
    }

    fn hit_cut_from_voters(&mut self, slot: usize) {
        self.met.fault("leader cut off from the voters only");
        let until = self.until();
        self.trace(format_args!("n{slot} is not heard by voters until {until}"));
        let one_way = self.dice.one_in(3);
        for voter in self.voters() {
            if voter != slot {
                self.mute(slot, voter, until);
                if !one_way {
                    self.mute(voter, slot, until);
                }
            }
        }
    }

    fn hit_cut_from_followers(&mut self, slot: usize) {
        self.met.fault("leader cut off from the followers only");
        let until = self.until();
        self.trace(format_args!("n{slot} is not heard by followers until {until}"));
        // Links stand still, datagrams go on: the lease stays.
        for other in (0..self.nodes.len()).filter(|other| *other != slot) {
            self.net.stall_until[slot][other] = until;
            self.net.stall_until[other][slot] = until;
        }
    }

    fn hit_cut(&mut self, from: usize, to: usize, ways: Ways) {
        let until = self.until();
        self.met.fault(if ways == Ways::One { "one-way cuts" } else { "cuts" });
        self.trace(format_args!("cut from n{from} to n{to} {ways:?} until {until}"));
        self.part_ways(from, to, until);
        if ways == Ways::Both {
            self.part_ways(to, from, until);
        }
    }

    fn hit_isolation(&mut self, slot: usize) {
        self.met.fault("isolated nodes");
        let until = self.until();
        self.trace(format_args!("n{slot} is isolated until {until}"));
        for other in (0..self.nodes.len()).filter(|other| *other != slot) {
            self.part_ways(slot, other, until);
            self.part_ways(other, slot, until);
        }
    }

    /// Two sides that do not hear each other.
    fn hit_split(&mut self) {
        self.met.fault("split nodes");
        let (until, sides) = (self.until(), self.dice.roll());
        self.trace(format_args!("split {sides:b} until {until}"));
        for from in 0..self.nodes.len() {
            for to in (0..self.nodes.len()).filter(|to| (sides >> from ^ sides >> to) & 1 == 1) {
                self.part_ways(from, to, until);
            }
        }
    }

    /// Longer than a lease, or a little; in the middle of whatever it does, as of a reply.
    fn hit_pause(&mut self, slot: usize) {
        if self.nodes[slot].process.is_none() {
            return;
        }
        let for_ms = [100, 400, 800, 3_000][self.dice.below(4) as usize];
        let until = self.now + (10 + self.dice.below(for_ms)) * MS;
        self.nodes[slot].paused_until = until;
        self.unwell(slot, until - self.now);
        self.met.fault("pauses");
        self.trace(format_args!("n{slot} is paused until {until}"));
    }

    /// A leader gives its lease back before its process ends.
    fn hit_clean_restart(&mut self, slot: usize) {
        if self.nodes[slot].process.is_none() {
            return;
        }
        self.met.fault("clean restarts");
        self.put_order(slot, Order::StepDown(ResignReason::Stopping));
        self.agenda.put(self.now + 20 * MS, Event::Stop(slot));
    }

    /// How many more voters may forget what they are.
    fn may_lose_voter(&self, slot: usize) -> bool {
        let Some(healing) = &self.healing else { return false };
        let Some(newest) = &healing.newest else { return false };
        let own = self.nodes[slot].disk.identity.node;
        let dead = newest.voters.iter().filter(|node| healing.gone.contains(node)).count();
        let settled = healing.voters_changed_at + 2_000 * MS < self.now;
        let agree = (0..self.nodes.len())
            .filter_map(|slot| self.part_of(slot)?.view.as_ref())
            .all(|view| view.voters == newest.voters);
        let formed = settled
            && agree
            && newest.state.barred.is_empty()
            && newest.state.members.len() >= self.nodes.len()
            && newest.voters.len() >= 3;
        formed && (!newest.voters.contains(&own) || dead + 1 < newest.voters.len().div_ceil(2))
    }

    /// Somebody else holds data, so that it is not all lost.
    fn is_spared(&self, slot: usize) -> bool {
        let holds = |other: usize| {
            let disk = &self.nodes[other].disk;
            other != slot && disk.identity.cluster == CLUSTER && disk.log.end().lsn.0 > 0
        };
        !(0..self.nodes.len()).any(holds)
    }

    /// A voter or another node starts empty, under another name: it does not vote as if it remembered.
    fn hit_lost_disk(&mut self, slot: usize) {
        let spared = self.is_spared(slot) || self.nodes[slot].process.is_none();
        if spared || !self.may_lose_voter(slot) || !self.may_lose() {
            return;
        }
        self.met.fault("disk lost");
        self.trace(format_args!("n{slot} loses its disk"));
        self.begin_anew(slot, None);
    }

    /// An old copy of a disk comes back, under another name.
    fn hit_old_copy(&mut self, slot: usize) {
        let copy = self.healing.as_mut().and_then(|healing| healing.copies.remove(&slot));
        let Some(copy) = copy.filter(|_| !self.is_spared(slot) && self.may_lose_voter(slot)) else {
            let disk = self.nodes[slot].disk.clone();
            if disk.identity.cluster == CLUSTER
                && !disk.reseed
                && let Some(healing) = &mut self.healing
            {
                healing.copies.insert(slot, disk);
            }
            return;
        };
        if self.nodes[slot].process.is_none() || !self.may_lose() {
            return;
        }
        self.met.fault("disk restored from an old copy");
        self.trace(format_args!("n{slot} gets an old copy of its disk"));
        self.begin_anew(slot, Some(copy));
    }

    fn hit_disk_full(&mut self, slot: usize) {
        self.fault_disk_full(slot);
        let until = self.nodes[slot].full_until;
        self.unwell(slot, until - self.now);
    }

    fn hit_slow_link(&mut self, from: usize, to: usize) {
        self.fault_slow_link(from, to);
        let until = if self.net.delay[from][to] > 40 * MS { u64::MAX / 2 } else { self.now };
        self.trouble(from, to, until);
    }

    /// Two failovers in a row.
    fn hit_twice(&mut self, leader: usize) {
        self.hit_kill(leader, "two leaders in a row die");
        self.set_strike(Strike::NextLeader);
    }

    fn set_strike(&mut self, strike: Strike) {
        if let Some(healing) = &mut self.healing {
            healing.strike = strike;
        }
    }

    fn takes_strike(&mut self, strike: Strike) -> bool {
        let healed = self.healed;
        let Some(healing) = &mut self.healing else { return false };
        let hit = healing.strike == strike && !healed;
        if hit {
            healing.strike = Strike::Nothing;
        }
        hit
    }

    /// Somebody has just begun to lead.
    pub(super) fn strike_leader(&mut self, slot: usize) {
        if self.takes_strike(Strike::NextLeader) {
            self.met.fault("kill -9 of a new leader");
            let after = self.dice.below(60 * MS);
            self.agenda.put(self.now + after, Event::Kill(slot));
        }
    }

    /// A leader has just asked for another electable set.
    pub(super) fn strike_change(&mut self, slot: usize) {
        if self.takes_strike(Strike::ElectableChange) {
            self.met.fault("kill -9 during a change of the electable set");
            let after = self.dice.below(8 * MS);
            self.agenda.put(self.now + after, Event::Kill(slot));
        }
    }

    pub(crate) fn on_kill(&mut self, slot: usize) {
        if !self.healed {
            self.kill(slot);
        }
    }

    pub(crate) fn on_stop(&mut self, slot: usize) {
        if !self.healed {
            self.stop_cleanly(slot);
        }
    }

    /// The leader goes while a follower fetches a snapshot or cuts its log.
    fn hit_during_transfer(&mut self, leader: usize) {
        let busy = (0..self.nodes.len()).any(|slot| {
            let process = self.nodes[slot].process.as_ref();
            matches!(process.map(|process| &process.role), Some(Role::Following(following))
                if matches!(following.core.state(), Fetching { .. } | Cutting | Installing))
        });
        if !busy {
            return self.hit_kill(leader, "kill -9 of the leader");
        }
        match self.dice.below(3) {
            0 => self.hit_kill(leader, "leader killed during a fetch or a cut"),
            1 => {
                self.met.fault("leader isolated during a fetch or a cut");
                self.hit_isolation(leader);
            }
            _ => {
                self.met.fault("follower killed during a fetch or a cut");
                self.fault_kill_during_transfer();
            }
        }
    }
}

/// In which directions nothing gets through.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Ways {
    One,
    Both,
}
