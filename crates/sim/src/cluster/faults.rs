//! What goes wrong, by the seed. Names of pitfalls are those of the list of promises.

use trefoil_clock::{ClusterId, Identity, NodeId};
use trefoil_replication::{AckLevel, Acks, LocalRule};

use super::agenda::MS;
use super::disk::{Disk, Duty};
use super::network::Told;
use super::plan::Care;
use super::world::{CLUSTER, Event, World};

impl World {
    /// Two nodes that a fault may strike, unless all is to heal; when the next one comes.
    pub(crate) fn next_fault(&mut self) -> Option<(usize, usize)> {
        if self.healed {
            return None;
        }
        let gap = self.plan.fault_gap;
        let again = gap / 2 + self.dice.below(gap);
        self.agenda.put(self.now + again, Event::Fault);
        let nodes = self.nodes.len() as u64;
        let slot = self.dice.below(nodes) as usize;
        let other = (slot + 1 + self.dice.below(nodes - 1) as usize) % self.nodes.len();
        Some((slot, other))
    }

    /// One fault.
    pub(crate) fn on_fault(&mut self) {
        let Some((slot, other)) = self.next_fault() else { return };
        match self.dice.below(26) {
            0..=2 => self.fault_kill(slot),
            3 | 4 => self.fault_power(slot),
            5 => self.fault_power_everywhere(),
            6 => self.fault_disk_lost(slot),
            7..=9 => self.fault_cut(),
            10 | 11 => self.fault_partition(slot, other, BothWays::Yes),
            12 | 13 => self.fault_partition(slot, other, BothWays::No),
            14 => self.fault_isolation(slot),
            15..=17 => self.fault_pause(slot),
            18 => self.fault_disk_full(slot),
            19 => self.fault_sync_fails(slot),
            20 | 21 => self.fault_slow_link(slot, other),
            22 => self.fault_clock_jumps(slot),
            23 | 24 => self.fault_unseen(slot),
            _ => self.fault_kill_during_transfer(),
        }
    }

    /// Kill -9.
    fn fault_kill(&mut self, slot: usize) {
        if self.nodes[slot].process.is_some() {
            self.met.fault("kill -9");
            self.kill(slot);
        }
    }

    /// Pitfall 34: a follower dies in the middle of a snapshot; 12: of a cut or an install.
    pub(crate) fn fault_kill_during_transfer(&mut self) {
        use trefoil_replication::FollowerState::{Cutting, Fetching, Installing};
        let busy = (0..self.nodes.len()).find(|slot| {
            let process = self.nodes[*slot].process.as_ref();
            matches!(process.map(|p| &p.role), Some(super::process::Role::Following(following))
                if matches!(following.core.state(), Fetching { .. } | Cutting | Installing))
        });
        if let Some(slot) = busy {
            self.met.fault("kill -9 during a cut, fetch or install");
            self.kill(slot);
        }
    }

    /// Whether a power loss at a node can take what was acknowledged.
    fn power_matters(&self, slot: usize) -> bool {
        let led = self.nodes[slot].disk.duty == Duty::Lead;
        self.only_received() || led && self.plan.local == LocalRule::Appended
    }

    /// Followers acknowledge, at times, what they have not synced: nothing is promised then for the
    /// case that the power goes.
    fn only_received(&self) -> bool {
        self.plan.policy.level == AckLevel::Received || !self.plan.steady
    }

    /// Whether the run has promises that a loss of data could break. Careless people and `async`
    /// promise nothing that it could.
    fn is_promised(&self) -> bool {
        let acknowledged = self.plan.policy.acks != Acks::Async || !self.plan.steady;
        self.plan.care == Care::Careful && acknowledged
    }

    /// Whether the promises cover that the power goes at a node.
    pub(crate) fn power_may_go(&mut self, slot: usize) -> bool {
        let covered = !(self.is_promised() && self.only_received());
        covered && (!self.power_matters(slot) || self.may_lose())
    }

    /// Whether the promises cover one more loss of data.
    pub(crate) fn may_lose(&mut self) -> bool {
        if self.is_promised() && self.losses >= self.plan.losses_max {
            return false;
        }
        self.losses += 1;
        true
    }

    fn fault_power(&mut self, slot: usize) {
        if self.nodes[slot].process.is_some() && self.power_may_go(slot) {
            self.met.fault("power lost");
            self.lose_power(slot);
        }
    }

    /// The power goes for all at once.
    fn fault_power_everywhere(&mut self) {
        let matters = (0..self.nodes.len()).filter(|slot| self.power_matters(*slot)).count();
        let covered = !(self.is_promised() && self.only_received());
        if matters == 0 || covered && matters == 1 && self.may_lose() {
            self.met.fault("power lost everywhere");
            for slot in 0..self.nodes.len() {
                self.lose_power(slot);
            }
        }
    }

    /// Pitfall 8 and 19: the disk is lost; the node is a new one, with no history or one of its own.
    fn fault_disk_lost(&mut self, slot: usize) {
        let holds = |other: usize| {
            let disk = &self.nodes[other].disk;
            other != slot && disk.identity.cluster == CLUSTER && disk.log.end().lsn.0 > 0
        };
        let last = !(0..self.nodes.len()).any(holds);
        let spared = last || self.nodes[slot].process.is_none();
        if spared || !self.dice.one_in(2) || !self.may_lose() {
            return;
        }
        self.met.fault("disk lost");
        self.break_clients(slot);
        self.drop_links(slot, Told::No);
        let node = &mut self.nodes[slot];
        node.process = None;
        node.generation += 1;
        let id = NodeId(slot as u128 + 1 + u128::from(node.generation) * 1_000);
        let old = node.disk.identity.node;
        let intended = self.operator.intended;
        // A new node has nobody to follow as long as the one that is to lead is itself.
        let whom = intended;
        let duty = if self.dice.one_in(3) {
            // It starts as it would anew: alone, leading a history of its own. Nobody may follow it.
            self.met.event("empty leaders of their own history");
            Duty::Lead
        } else {
            Duty::Follow { whom, adopts: true }
        };
        let own = ClusterId(u128::from(self.dice.roll()));
        let cluster = if duty == Duty::Lead { own } else { CLUSTER };
        self.nodes[slot].disk = Disk::format(Identity { node: id, cluster }, duty);
        self.judge.on_disk_lost(old);
        self.trace(format_args!("n{slot} loses its disk"));
        self.start_later(slot);
    }

    /// A connection breaks.
    pub(crate) fn fault_cut(&mut self) {
        let open: Vec<usize> = (0..self.net.links.len())
            .rev()
            .take(20)
            .filter(|link| self.net.links[*link].ends.iter().all(|end| end.open))
            .collect();
        if let Some(&link) = open.get(self.dice.below(open.len().max(1) as u64) as usize) {
            self.met.fault("links cut");
            self.trace(format_args!("l{link} is cut"));
            self.cut(link);
        }
    }

    /// Nothing gets through between two nodes, in one direction or both. Pitfall 34: a link that stalls
    /// without closing.
    fn fault_partition(&mut self, from: usize, to: usize, both: BothWays) {
        let until = self.now + (20 + self.dice.below(1_200)) * MS;
        self.net.stuck_until[from][to] = until;
        if both == BothWays::Yes {
            self.net.stuck_until[to][from] = until;
        }
        self.met.fault(if both == BothWays::Yes { "partitions" } else { "one-way stalls" });
        self.trace(format_args!("stuck from n{from} to n{to} {both:?} until {until}"));
    }

    /// A node is cut off from all others, but not from its clients.
    fn fault_isolation(&mut self, slot: usize) {
        self.met.fault("isolated nodes");
        for other in (0..self.nodes.len()).filter(|other| *other != slot) {
            self.fault_partition(slot, other, BothWays::Yes);
        }
    }

    /// SIGSTOP and SIGCONT.
    fn fault_pause(&mut self, slot: usize) {
        if self.nodes[slot].process.is_some() {
            let for_ms = if self.dice.one_in(2) { 50 } else { 1_500 };
            self.nodes[slot].paused_until = self.now + (10 + self.dice.below(for_ms)) * MS;
            self.met.fault("pauses");
            self.trace(format_args!("n{slot} is paused"));
        }
    }

    pub(crate) fn fault_disk_full(&mut self, slot: usize) {
        self.nodes[slot].full_until = self.now + (10 + self.dice.below(800)) * MS;
        self.met.fault("disks full");
        self.trace(format_args!("n{slot}'s disk is full"));
    }

    /// Pitfall 7: a failed sync ends the process; what it covered may be lost with the next power loss.
    fn fault_sync_fails(&mut self, slot: usize) {
        if self.nodes[slot].process.is_some() && self.power_may_go(slot) {
            self.met.fault("syncs that fail");
            self.lose_power(slot);
        }
    }

    pub(crate) fn fault_slow_link(&mut self, from: usize, to: usize) {
        let slow = self.dice.one_in(2);
        self.net.delay[from][to] = if slow { (1 + self.dice.below(60)) * MS } else { 200 };
        self.met.fault("links that became slow or fast");
    }

    /// A node that works, and that people can't get through to: they may take it for dead.
    fn fault_unseen(&mut self, slot: usize) {
        self.nodes[slot].unseen_until = self.now + (100 + self.dice.below(2_500)) * MS;
        self.met.fault("nodes that people can't reach");
        self.trace(format_args!("n{slot} is out of people's reach"));
    }

    /// Wall clocks jump, forward and back.
    pub(crate) fn fault_clock_jumps(&mut self, slot: usize) {
        self.nodes[slot].skew_ms = self.dice.below(5_000);
        self.met.fault("clock jumps");
    }
}

/// Whether a partition goes both ways.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum BothWays {
    Yes,
    No,
}
