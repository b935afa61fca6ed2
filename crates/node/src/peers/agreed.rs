//! What the cluster has agreed upon, carried out: who leads, whom to follow, when to stop.
//!
//! Invariants: a managed node leads in epochs that were granted to it only; once it has said that it is
//! fenced it takes no record of that epoch; once it has resigned it acknowledges nothing.

use trefoil_clock::{ClusterId, Epoch, NodeId, Position};
use trefoil_cluster::state::{Addresses, Directive, ResignReason};
use trefoil_log::Disk;
use trefoil_replication::LinkId;

use super::change::{Change, NextEpoch};
use super::{Door, LeaderAddress, Part, Peers, SavedMembers};
use crate::agreement::{Electable, Resigned, Standing};
use crate::pause::Held;
use crate::replication::{AckLevel, Acks, Order, Role};

/// A pause for a handover outlasts it by so much, milliseconds: whoever takes the role ends it.
const PAUSE_MARGIN_MS: u64 = 1_000;

/// See the module.
#[derive(Default)]
pub(super) struct Agreed {
    /// The epoch that was revoked, until another one is granted.
    fenced: Option<Epoch>,
    handover: Option<Handover>,
    /// What was asked to be published, until it is.
    pub(super) wanted: Option<SavedMembers>,
    /// To be told once nothing is acknowledged any more.
    parting: Option<Resigned>,
}

/// Leadership is being handed over.
struct Handover {
    to: NodeId,
    until_ms: u64,
    /// No write runs any more.
    quiet: bool,
}

impl Agreed {
    pub(super) fn is_fenced(&self) -> bool {
        self.fenced.is_some()
    }
}

impl<D: Disk> Peers<D> {
    pub(super) fn is_managed(&self) -> bool {
        self.node.agreement.is_managed()
    }

    /// At the start of a managed node: it waits until it is told what to do.
    pub(super) fn begin_unled(&mut self) {
        self.node.replication.set_ready(false);
        Peers::<D>::publish_role(&self.node, Role::Following);
        self.part = Part::Idle;
    }

    /// The cluster asks for this.
    pub(super) fn take_directive(&mut self, cluster: ClusterId, directive: Directive) {
        match directive {
            Directive::Nothing => {}
            Directive::Fence { epoch } => self.fence(epoch),
            Directive::Lead { epoch, members, acks } => {
                self.agreed.fenced = None;
                if matches!(self.part, Part::Leading(_)) {
                    if self.node.replication.epoch() == epoch {
                        return;
                    }
                    // In an epoch that is over: first that ends.
                    let again = Order::Agreed {
                        cluster,
                        directive: Directive::Lead { epoch, members, acks },
                    };
                    self.node.replication.orders.put(again);
                    self.change = Some(Change::Depose);
                    self.go_on_with_change();
                    return;
                }
                let nodes = members.into_iter().collect();
                self.members = SavedMembers { acks, nodes };
                self.agreed.wanted = None;
                self.change = Some(Change::lead(NextEpoch::Granted(epoch)));
                self.go_on_with_change();
            }
            Directive::Follow { addresses, .. } => {
                self.follow_member(cluster, &addresses);
            }
        }
    }

    fn follow_member(&mut self, cluster: ClusterId, addresses: &Addresses) {
        let address = LeaderAddress {
            host: addresses.peers.ip().to_string(),
            port: addresses.peers.port(),
            door: Door::Peers,
        };
        let was_fenced = self.agreed.fenced.take().is_some();
        if let Part::Following(following) = &mut self.part
            && following.leader == address
            && !was_fenced
        {
            return;
        }
        let adopts = self.node.replication.cluster() != cluster;
        self.change = Some(Change::follow(address, adopts));
        self.go_on_with_change();
    }

    /// Takes no record of this epoch any more, and gives none.
    fn fence(&mut self, epoch: Epoch) {
        self.agreed.fenced = Some(epoch);
        self.agreed.wanted = None;
        match &self.part {
            Part::Leading(_) | Part::Recovering(_) => {
                self.change = Some(Change::Depose);
                self.go_on_with_change();
            }
            Part::Following(_) => {
                let links: Vec<LinkId> = self.inbound.keys().copied().collect();
                for link in links {
                    self.drop_link(link);
                }
            }
            Part::Idle => {}
        }
    }

    /// Whether a leader is not to be looked for now.
    pub(super) fn is_fenced(&self) -> bool {
        self.agreed.is_fenced()
    }

    /// The epoch that was granted can't be led in.
    pub(super) fn refuse_grant(&mut self, epoch: Epoch) {
        let end = self.node.replication.epochs().position(self.log_end());
        self.node.agreement.wishes.resign(Resigned {
            epoch,
            end,
            to: None,
            reason: ResignReason::Unclean,
        });
        self.node.post.wake_control();
    }

    /// Tells the agreement where this node stands.
    pub(super) fn stand(&mut self) {
        if self.change.is_some() {
            return;
        }
        let replication = &self.node.replication;
        let logged = self.log_end();
        let taken_in = match &self.part {
            Part::Following(following) => following.core.end(),
            Part::Idle | Part::Leading(_) | Part::Recovering(_) => {
                replication.epochs().position(self.node.keyspace.sequencer().last_lsn())
            }
        };
        let is_logged = logged >= taken_in.lsn;
        let standing = Standing {
            led: matches!(self.part, Part::Leading(_)).then(|| replication.epoch()),
            fenced: self.agreed.fenced.filter(|_| is_logged),
            end: if is_logged { taken_in } else { Position::default() },
            whole: logged >= self.options.ready_after,
            intact: self.is_intact(),
        };
        if self.node.agreement.wishes.stand(standing) {
            self.node.post.wake_control();
        }
    }

    /// Asks for members to be agreed upon. The answer is [`Peers::on_published`].
    pub(super) fn publish(&mut self, saved: SavedMembers) {
        let is_asked = match &self.agreed.wanted {
            Some(wanted) => *wanted == saved,
            None => saved == self.members,
        };
        if is_asked {
            return;
        }
        let own = self.node.replication.identity().node;
        let electable = Electable {
            epoch: self.node.replication.epoch(),
            nodes: saved.nodes.iter().copied().chain([own]).collect(),
            acks: saved.acks,
        };
        self.agreed.wanted = Some(saved);
        self.node.agreement.wishes.publish(electable);
        self.node.post.wake_control();
    }

    /// Whether the rule that is to come has to be agreed upon first, so that an election by it finds what
    /// was acknowledged under either (rule 10).
    pub(super) fn is_rule_unpublished(&mut self) -> bool {
        if !self.is_managed() || !matches!(self.part, Part::Leading(_)) {
            return false;
        }
        let acks = self.careful_acks();
        let members = self.members.nodes.len();
        // What was asked for before may still be agreed upon, and then elections would go by that.
        let is_careful =
            |wanted: &SavedMembers| wanted.acks.more_careful(acks, members) == wanted.acks;
        if self.members.acks == acks && self.agreed.wanted.as_ref().is_none_or(is_careful) {
            return false;
        }
        // Members that are being agreed upon stay wanted: their leader's core waits for them.
        let nodes = match &self.agreed.wanted {
            Some(wanted) => wanted.nodes.clone(),
            None => self.members.nodes.clone(),
        };
        self.publish(SavedMembers { acks, nodes });
        true
    }

    /// It is agreed who is electable. What was wanted after that is asked for anew.
    pub(super) fn on_published(&mut self, published: &Electable) {
        if !matches!(self.part, Part::Leading(_))
            || published.epoch != self.node.replication.epoch()
        {
            return;
        }
        let own = self.node.replication.identity().node;
        let nodes = published.nodes.iter().copied().filter(|&node| node != own).collect();
        self.members = SavedMembers { acks: published.acks, nodes };
        if self.agreed.wanted.as_ref() == Some(&self.members) {
            self.agreed.wanted = None;
        }
        self.node.replication.set_members(self.members.nodes.clone());
        let mut more = Vec::new();
        let now_ms = self.now_ms;
        if let Part::Leading(leading) = &mut self.part {
            leading.core.on_members_persisted(now_ms, &self.members.nodes, &mut more);
            if self.members.acks == Acks::Async {
                leading.core.on_waived(now_ms, &mut more);
            }
        }
        self.lead(|_, _, out| out.append(&mut more));
        self.publish_watermarks();
    }

    /// Hands leadership over to a follower, if that can be done until then.
    pub(super) fn begin_handover(&mut self, to: NodeId, within_ms: u64) {
        if !matches!(self.part, Part::Leading(_)) {
            return;
        }
        let until_ms = self.now_ms + within_ms;
        self.agreed.handover = Some(Handover { to, until_ms, quiet: false });
        self.go_on_with_handover();
    }

    /// Writes wait; once the next leader has all of them this one stops.
    pub(super) fn go_on_with_handover(&mut self) {
        let Some(handover) = self.agreed.handover.take() else { return };
        if !matches!(self.part, Part::Leading(_)) {
            self.node.unpause();
            return;
        }
        if self.now_ms >= handover.until_ms {
            eprintln!("trefoil: node {} did not catch up in time: this node leads on", handover.to);
            self.node.unpause();
            self.node.agreement.wishes.keep_leading();
            self.node.post.wake_control();
            return;
        }
        let left_ms = handover.until_ms - self.now_ms + PAUSE_MARGIN_MS;
        self.node.pause(Held::Writes, (self.options.wall_ms)() + left_ms);
        let quiet = handover.quiet || self.alone(|_| {});
        let to = handover.to;
        self.agreed.handover = Some(Handover { quiet, ..handover });
        if !quiet {
            return;
        }
        self.tell_leader_progress();
        let last = self.node.keyspace.sequencer().last_lsn();
        let flushes = self.policy().level != AckLevel::Received;
        let Part::Leading(leading) = &self.part else { return };
        let rows = leading.core.rows(self.now_ms);
        let has_all = rows
            .iter()
            .any(|row| row.node == to && row.received >= last && (!flushes || row.flushed >= last));
        let settled = has_all && self.log_end() >= last && leading.core.released() >= last;
        if !settled || !self.node.agreement.lease.holds() {
            return;
        }
        let (epoch, end) =
            (self.node.replication.epoch(), self.node.replication.epochs().position(last));
        // What was done is committed: replies that are on their way out may still leave.
        self.node.replication.set_parting(last);
        self.agreed.handover = None;
        self.agreed.fenced = Some(epoch);
        self.change = Some(Change::Depose);
        self.go_on_with_change();
        let reason = ResignReason::Asked;
        self.agreed.parting = Some(Resigned { epoch, end, to: Some(to), reason });
        self.tell_parting();
    }

    /// It took too long, the cluster says.
    pub(super) fn give_handover_up(&mut self) {
        if self.agreed.handover.take().is_some() {
            self.node.unpause();
        }
    }

    /// Gives leadership back at once, with whatever followers have.
    pub(super) fn step_down(&mut self, reason: ResignReason) {
        if !matches!(self.part, Part::Leading(_)) {
            return;
        }
        let epoch = self.node.replication.epoch();
        let last = self.node.keyspace.sequencer().last_lsn();
        let end = self.node.replication.epochs().position(last);
        self.agreed.fenced = Some(epoch);
        self.agreed.parting = Some(Resigned { epoch, end, to: None, reason });
        self.change = Some(Change::Depose);
        self.go_on_with_change();
        self.tell_parting();
    }

    /// Once nothing is acknowledged any more, says so.
    pub(super) fn tell_parting(&mut self) {
        if self.change.is_none()
            && let Some(resigned) = self.agreed.parting.take()
        {
            self.node.agreement.wishes.resign(resigned);
            self.node.post.wake_control();
        }
    }

    /// Whether a handover wants to be looked at often.
    pub(super) fn is_handing_over(&self) -> bool {
        self.agreed.handover.is_some()
    }

    /// A role was taken: commands that waited for that go on.
    pub(super) fn end_pause(&mut self) {
        self.node.post.wake_waiting();
        if self.is_managed() && self.agreed.handover.is_none() {
            self.node.unpause();
        }
    }
}
