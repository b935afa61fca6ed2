//! Who is electable, and by which rule: agreed upon before it counts (rule 10).

use trefoil_clock::NodeId;
use trefoil_replication::{AckPolicy, Acks};

use super::super::agenda::MS;
use super::super::process::Role;
use super::super::sabotage::Defect;
use super::super::world::World;
use super::orders::Order;
use super::part::{Electable, Saved};

impl World {
    /// Members are to be written down where elections look.
    pub(crate) fn publish_members(&mut self, slot: usize, members: Vec<NodeId>) {
        let rule = self.rule(slot);
        let Some(part) = self.part(slot) else { return };
        let acks = part.members.acks.more_careful(rule, members.len());
        if self.defect == Defect::ElectableEarly {
            let early = &members;
            self.with_leader(slot, |core, now, out| core.on_members_persisted(now, early, out));
        }
        self.publish(slot, Saved { acks, nodes: members });
    }

    /// Asks for members to be agreed upon.
    fn publish(&mut self, slot: usize, saved: Saved) {
        let Some(epoch) = self.led_epoch(slot) else { return };
        let own = self.nodes[slot].disk.identity.node;
        let Some(part) = self.part(slot) else { return };
        let is_asked = part.wanted.as_ref().map_or(saved == part.members, |it| *it == saved);
        if is_asked {
            return;
        }
        self.trace(format_args!("n{slot} asks for electable {saved:?}"));
        let Some(part) = self.part(slot) else { return };
        let nodes = saved.nodes.iter().copied().chain([own]).collect();
        let acks = saved.acks;
        part.wanted = Some(saved);
        part.electable = Some(Electable { epoch, nodes, acks });
        self.met.event("electable sets asked for");
        self.wake_control(slot);
        self.strike_change(slot);
    }

    pub(super) fn on_published(&mut self, slot: usize, published: &Electable) {
        if self.led_epoch(slot) != Some(published.epoch) {
            return;
        }
        let own = self.nodes[slot].disk.identity.node;
        let nodes: Vec<NodeId> =
            published.nodes.iter().copied().filter(|&node| node != own).collect();
        let Some(part) = self.part(slot) else { return };
        part.members = Saved { acks: published.acks, nodes: nodes.clone() };
        if part.wanted.as_ref() == Some(&part.members) {
            part.wanted = None;
        }
        self.met.event("electable sets agreed upon");
        self.nodes[slot].disk.members.clone_from(&nodes);
        let waived = published.acks == Acks::Async;
        self.with_leader(slot, |core, now, out| {
            core.on_members_persisted(now, &nodes, out);
            if waived {
                core.on_waived(now, out);
            }
        });
    }

    /// The own log is to be enough: elections have to know it before.
    pub(crate) fn waive(&mut self, slot: usize) {
        if self.is_managed(slot)
            && self.part_of(slot).is_some_and(|part| part.members.acks != Acks::Async)
        {
            return self.save_acks(slot, Acks::Async);
        }
        self.with_leader(slot, |core, now, out| core.on_waived(now, out));
    }

    /// The rule that elections are to go by: while the own log is enough, they can't rely on more.
    fn rule(&self, slot: usize) -> Acks {
        match self.nodes[slot].process.as_ref().map(|process| &process.role) {
            Some(Role::Leading(leading)) if leading.core.is_degrading() => Acks::Async,
            _ => self.policy_of(slot).acks,
        }
    }

    /// The rule of acknowledgements in force, or that of two of which more have to be heard.
    pub(crate) fn keep_acks(&mut self, slot: usize) {
        if !self.is_managed(slot) {
            return;
        }
        let Role::Leading(leading) = &self.process(slot).role else { return };
        let acks = match leading.core.is_policy_in_force() {
            true => self.rule(slot),
            false => self.careful_acks(slot),
        };
        self.save_acks(slot, acks);
    }

    fn careful_acks(&self, slot: usize) -> Acks {
        let after = self.rule(slot);
        let Some(part) = self.part_of(slot) else { return after };
        part.members.acks.more_careful(after, part.members.nodes.len())
    }

    fn save_acks(&mut self, slot: usize, acks: Acks) {
        if !self.is_managed(slot) {
            return;
        }
        let Some(part) = self.part(slot) else { return };
        let nodes = match &part.wanted {
            Some(wanted) => wanted.nodes.clone(),
            None => part.members.nodes.clone(),
        };
        self.publish(slot, Saved { acks, nodes });
    }

    /// The policy that a leader begins with: by the rule that elections go by now, if the policy's own one
    /// would have them hear more members. That one comes into force once it is agreed upon.
    pub(crate) fn first_policy(&mut self, slot: usize) -> AckPolicy {
        let policy = self.policy_of(slot);
        if !self.is_managed(slot) || self.defect == Defect::ElectableEarly {
            return policy;
        }
        let Some(part) = self.part(slot) else { return policy };
        let Saved { acks, nodes } = &part.members;
        if acks.more_careful(policy.acks, nodes.len()) == *acks {
            return policy;
        }
        let first = AckPolicy { acks: *acks, ..policy };
        part.orders.push_back(Order::Reconfigure);
        self.met.event("leaders that begin by an older rule");
        self.wake_peers(slot, MS);
        first
    }

    /// Whether the rule that is to come has to be agreed upon first.
    pub(super) fn is_rule_unpublished(&mut self, slot: usize) -> bool {
        if self.defect == Defect::ElectableEarly
            || !self.is_managed(slot)
            || self.led_epoch(slot).is_none()
        {
            return false;
        }
        let acks = self.careful_acks(slot);
        let Some(part) = self.part(slot) else { return false };
        let members = part.members.nodes.len();
        // What was asked for before may still be agreed upon, and then elections would go by that.
        let is_careful = |wanted: &Saved| wanted.acks.more_careful(acks, members) == wanted.acks;
        if part.members.acks == acks && part.wanted.as_ref().is_none_or(is_careful) {
            return false;
        }
        // Members that are being agreed upon stay wanted: their leader's core waits for them.
        let nodes = match &part.wanted {
            Some(wanted) => wanted.nodes.clone(),
            None => part.members.nodes.clone(),
        };
        self.publish(slot, Saved { acks, nodes });
        true
    }

    /// The policy is another one from here on.
    pub(super) fn reconfigure(&mut self, slot: usize) {
        let policy = self.policy_of(slot);
        let acks = self.careful_acks(slot);
        self.save_acks(slot, acks);
        let Role::Leading(leading) = &mut self.process(slot).role else { return };
        leading.policy = policy;
        self.with_leader(slot, |core, now, out| core.set_policy(now, policy, out));
        self.keep_acks(slot);
    }
}
