//! Carries out what the core wants, and tells it what the node wants.

use std::io;

use trefoil_clock::{Epoch, Lsn};
use trefoil_cluster::control::{Action, Event, LocalReport};
use trefoil_cluster::state::{Directive, ResignReason};
use trefoil_node::agreement::Electable;
use trefoil_node::log::SHARD;
use trefoil_node::pubsub::hub::Kind;
use trefoil_node::replication::{FollowerState, Order};

use super::clock::uptime_ms;
use super::storage::Job;
use super::{ControlThread, OF_CONTROL};

/// Where what happens to the cluster is published, for clients that subscribe.
const CHANNEL: &[u8] = b"__trefoil__:cluster";

impl ControlThread {
    pub(super) fn carry_out(&mut self, actions: Vec<Action>) -> io::Result<()> {
        for action in actions {
            self.do_one(action)?;
        }
        Ok(())
    }

    fn do_one(&mut self, action: Action) -> io::Result<()> {
        let node = &self.node;
        match action {
            Action::Send { to, datagram } => {
                self.send(OF_CONTROL, &datagram, to);
            }
            Action::Persist { ticket, write } => {
                self.keep(Job::Write(ticket, write))?;
            }
            Action::Admitted { cluster } => {
                self.joins_until_ms = None;
                eprintln!("trefoil: this node belongs to cluster {cluster} now");
            }
            Action::Directive(directive) => self.direct(directive),
            Action::Lease { until_ms } => {
                // It falls when others begin to vote, and when it is over.
                if self.lease_until_ms.is_some_and(|before| until_ms < before)
                    && node.agreement.lease.is_required()
                {
                    node.agreement.lease.require();
                }
                self.lease_until_ms = Some(until_ms);
                node.renew_lease(until_ms);
            }
            Action::Electable { epoch, electable, acks } => {
                let published = Electable { epoch, nodes: electable, acks };
                node.replication.orders.put(Order::Published(published));
                node.post.wake_peers();
            }
            Action::Pause { to, deadline_ms } => {
                let within_ms = deadline_ms.saturating_sub(uptime_ms());
                node.replication.orders.put(Order::HandOver { to, within_ms });
                node.post.wake_peers();
            }
            Action::Resume => {
                node.replication.orders.put(Order::LeadOn);
                node.post.wake_peers();
            }
            Action::Answer { id, result } => {
                if let Some(asked) = self.asked.remove(&id) {
                    node.agreement.requests.answer(asked, result);
                    node.note_answer();
                }
            }
            Action::Published(view) => {
                let managed = view.state.is_managed();
                self.take_policy(&view.state);
                if managed {
                    self.gossiping.meet(uptime_ms(), &view);
                    self.carry_out_gossip()?;
                }
                self.node.publish_view(view);
                self.become_managed(managed);
                self.node.note_answer();
            }
            Action::Event(event) => self.tell(&event),
        }
        Ok(())
    }

    pub(super) fn keep(&self, job: Job) -> io::Result<()> {
        let gone = |_| io::Error::other("the thread that writes the control log is gone");
        self.jobs.send(job).map_err(gone)
    }

    pub(super) fn send(&mut self, of: u8, datagram: &[u8], to: std::net::SocketAddr) {
        self.plain.clear();
        self.plain.push(of);
        self.plain.extend_from_slice(datagram);
        let Some(socket) = &self.socket else { return };
        if self.sealer.seal(&self.plain, &mut self.sealed).is_ok() {
            // What can't be sent is lost, as any datagram may be.
            let _ = socket.send_to(&self.sealed, to);
        }
    }

    /// The cluster decides from now on who leads.
    fn become_managed(&mut self, managed: bool) {
        if !managed || self.node.agreement.is_managed() {
            return;
        }
        self.node.agreement.lease.require();
        self.node.agreement.set_managed(true);
        self.look_at_lease();
    }

    fn direct(&mut self, directive: Directive) {
        self.become_managed(true);
        if !matches!(directive, Directive::Lead { .. }) {
            self.lease_until_ms = None;
        }
        let cluster = self.control.state().cluster;
        self.directive = Some(directive.clone());
        self.node.replication.orders.put(Order::Agreed { cluster, directive });
        self.node.post.wake_peers();
    }

    fn tell(&self, event: &Event) {
        eprintln!("trefoil: {event}");
        let text = event.to_string();
        let node = &self.node;
        node.hub.publish(&*node.post, Kind::Plain, (CHANNEL, text.as_bytes()), Lsn::ZERO);
    }

    /// What the node's threads and clients want of the agreement.
    pub(super) fn take_wishes(&mut self) -> io::Result<()> {
        let now_ms = uptime_ms();
        let mut out = Vec::new();
        // Before its standing, which shows that it leads no more but not why.
        if let Some(resigned) = self.node.agreement.wishes.take_resigned() {
            self.lease_until_ms = None;
            let (epoch, end, to) = (resigned.epoch, resigned.end, resigned.to);
            self.control.resign(now_ms, epoch, end, to, resigned.reason, &mut out);
        }
        let standing = self.node.agreement.wishes.standing();
        if self.node.agreement.is_managed() {
            let report = self.report();
            self.control.on_local(now_ms, report, &mut out);
        } else if let Some(epoch) = standing.led
            && self.agreed_epoch() < epoch
        {
            self.control.advance(now_ms, epoch, &mut out);
        }
        if let Some(wanted) = self.node.agreement.wishes.take_electable() {
            let Electable { epoch, nodes, acks } = wanted;
            self.control.propose_electable(now_ms, epoch, nodes, acks, &mut out);
        }
        if self.node.agreement.wishes.take_kept() {
            self.control.keep_leading(now_ms, &mut out);
        }
        while let Some(asked) = self.node.agreement.requests.take() {
            let id = self.control.request(now_ms, asked.request, &mut out);
            self.asked.insert(id, asked.id);
        }
        self.tell_own_policy(now_ms, &mut out);
        self.carry_out(out)?;
        self.resign_if_sick(now_ms);
        Ok(())
    }

    pub(super) fn agreed_epoch(&self) -> Epoch {
        self.control.state().shards.get(&SHARD).map_or(Epoch::default(), |shard| shard.epoch)
    }

    fn report(&mut self) -> LocalReport {
        let standing = self.node.agreement.wishes.standing();
        let followers = self.node.replication.followers();
        let caught_up =
            followers.iter().filter(|row| row.is_member && row.state == FollowerState::Streaming);
        LocalReport {
            led: standing.led,
            fenced: standing.fenced,
            end: standing.end,
            applied: self.node.keyspace.sequencer().last_lsn(),
            whole: standing.whole,
            intact: standing.intact,
            healthy: self.health.is_well(),
            caught_up: caught_up.map(|row| row.node).collect(),
        }
    }

    /// A leader that can't write, or whose loop stands still, lets another one lead.
    fn resign_if_sick(&mut self, now_ms: u64) {
        let trouble = self.health.look(&self.node, now_ms);
        let leads = self.node.replication.is_leading() && self.node.agreement.is_managed();
        if let Some(reason) = trouble
            && leads
            && self.others_are_well()
        {
            eprintln!("trefoil: this node gives leadership back: {}", said(reason));
            self.node.replication.orders.put(Order::StepDown(reason));
            self.node.post.wake_peers();
        }
    }

    /// Whether a follower could take over.
    fn others_are_well(&self) -> bool {
        let followers = self.node.replication.followers();
        followers.iter().any(|row| row.is_member && row.state.is_online())
    }
}

fn said(reason: ResignReason) -> &'static str {
    match reason {
        ResignReason::SickDisk => "its log can't be written",
        ResignReason::StalledLoop => "a thread that serves clients stands still",
        ResignReason::Asked | ResignReason::Stopping | ResignReason::Unclean => "it was asked to",
    }
}
