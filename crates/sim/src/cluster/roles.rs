//! Which core a node's links and timers belong to, and how a node goes from one role to another.

use trefoil_clock::{Lsn, NodeId};
use trefoil_replication::{FollowerState, LinkId, Recovering, RecoveringAction, RecoveringOptions};
use trefoil_wire::peer::{Fence, Message, Refuse, RefuseReason};

use super::agenda::MS;
use super::disk::Duty;
use super::leading::Begins;
use super::process::{Role, Todo};
use super::record::decode_runs;
use super::sabotage::Defect;
use super::world::World;

impl World {
    /// Somebody dialed and was greeted.
    pub(crate) fn on_accepted(&mut self, slot: usize, link: usize, dialer: NodeId) {
        let id = LinkId(link as u64);
        match &self.process(slot).role {
            Role::Leading(_) => {
                self.with_leader(slot, |core, now, out| core.on_link(now, id, dialer, out));
            }
            Role::Recovering { .. } => {
                self.with_recovering(slot, |core, now, out| core.on_link(now, id, dialer, out));
            }
            Role::Following(_) | Role::Fenced => {}
        }
    }

    pub(crate) fn on_link_down(&mut self, slot: usize, link: usize) {
        let id = LinkId(link as u64);
        match &mut self.process(slot).role {
            Role::Leading(_) => {
                self.with_leader(slot, |core, now, out| core.on_link_down(now, id, out));
            }
            Role::Recovering { .. } => {
                self.with_recovering(slot, |core, now, out| core.on_link_down(now, id, out));
            }
            Role::Following(following) if following.link == Some(link) => {
                following.link = None;
                self.with_follower(slot, |core, now, out| core.on_link_down(now, out));
                self.dial_later(slot);
            }
            Role::Following(_) | Role::Fenced => {}
        }
    }

    pub(crate) fn on_message(
        &mut self,
        slot: usize,
        link: usize,
        fence: &Fence,
        message: &Message<'_>,
    ) {
        if !matches!(message, Message::Heartbeat(_) | Message::Ack(_)) {
            let epoch = fence.epoch;
            self.trace(format_args!("n{slot} < l{link} e{epoch} {:?}", message.kind()));
        }
        let dialed = self.side_of(link, slot) == 0;
        match &self.process(slot).role {
            Role::Leading(_) => self.on_leader_message(slot, link, fence, message),
            Role::Recovering { .. } => self.on_recovering_message(slot, link, fence, message),
            Role::Following(_) if dialed => self.on_follower_message(slot, link, fence, message),
            Role::Following(_) | Role::Fenced => self.refuse(slot, link, message),
        }
    }

    /// Who does not lead says so to those that want to follow.
    fn refuse(&mut self, slot: usize, link: usize, message: &Message<'_>) {
        if !matches!(message, Message::Follow(_)) {
            return;
        }
        let identity = self.nodes[slot].disk.identity;
        let epoch = self.process(slot).epochs.last().map(|entry| entry.epoch).unwrap_or_default();
        let fence =
            Fence { cluster: identity.cluster, shard: super::SHARD, epoch, sender: identity.node };
        let refuse = Refuse { reason: RefuseReason::NotLeader, text: "it does not lead" };
        self.send_message(link, slot, &fence, &Message::Refuse(refuse));
        self.close(link, slot);
    }

    pub(crate) fn on_tick(&mut self, slot: usize) {
        self.process(slot).tick_at = None;
        match self.process(slot).role {
            Role::Leading(_) => {
                self.with_leader(slot, |core, now, out| core.on_timeout(now, out));
                self.answer_late_probes(slot);
                self.keep_acks(slot);
            }
            Role::Following(_) => {
                self.with_follower(slot, |core, now, out| core.on_timeout(now, out));
            }
            Role::Recovering { .. } => {
                self.with_recovering(slot, |core, now, out| core.on_timeout(now, out));
            }
            Role::Fenced => {}
        }
        self.set_tick(slot);
    }

    /// Puts down when the core wants to be woken.
    pub(crate) fn set_tick(&mut self, slot: usize) {
        let local = self.local_ms(slot);
        let Some(process) = &mut self.nodes[slot].process else { return };
        let deadline = match &process.role {
            Role::Leading(leading) => leading.core.deadline(),
            Role::Following(following) => following.core.deadline(),
            Role::Recovering { core, .. } => core.deadline(),
            Role::Fenced => None,
        };
        let Some(deadline) = deadline else { return };
        let at = self.now + deadline.saturating_sub(local).clamp(1, 5_000) * MS;
        if process.tick_at.is_none_or(|earlier| at < earlier) {
            process.tick_at = Some(at);
            self.task(slot, at - self.now, super::task::Task::Tick);
        }
    }

    /// Ends what the process did: who waits is told that it is unknown, links are closed.
    pub(crate) fn leave_role(&mut self, slot: usize, why: &'static str) {
        self.process(slot).core += 1;
        let stay_open = self.links_that_stay(slot);
        for link in self.process(slot).links.clone() {
            if !stay_open.contains(&link) {
                self.close(link, slot);
            }
        }
        self.answer_all(slot, why);
        // Connections end: what a session saw here need not be here any more, a token will tell.
        self.break_clients(slot);
        let process = self.process(slot);
        process.building = None;
        process.made.clear();
    }

    /// The defect: links to earlier leaders, which would have to be closed.
    fn links_that_stay(&mut self, slot: usize) -> Vec<usize> {
        let accepts_old = self.defect == Defect::OldEpochAccepted;
        match &self.process(slot).role {
            Role::Following(following) if accepts_old => {
                following.stale_links.iter().copied().chain(following.link).collect()
            }
            _ => Vec::new(),
        }
    }

    /// REPLICAOF host port. False: it is busy with its files, or does not run.
    pub(crate) fn point(
        &mut self,
        slot: usize,
        whom: usize,
        adopts: bool,
        heeds_safe: bool,
    ) -> bool {
        if !self.takes_orders(slot) {
            return false;
        }
        self.nodes[slot].disk.duty = Duty::Follow { whom, adopts };
        let process = self.process(slot);
        let (safe, needs) = match &process.role {
            Role::Following(following) => {
                let ready = following.core.is_ready();
                let needs = if ready { Lsn::ZERO } else { process.end.lsn };
                (following.core.safe(), needs)
            }
            Role::Leading(leading) => (leading.core.safe(), process.end.lsn),
            Role::Recovering { .. } | Role::Fenced => (Lsn::ZERO, process.end.lsn),
        };
        let needs = needs.max(process.whole_from);
        let safe = if heeds_safe { safe } else { Lsn::ZERO };
        let stale_links = self.links_that_stay(slot);
        self.leave_role(slot, "unknown: demoted");
        self.nodes[slot].disk.members.clear();
        self.follow(slot, whom, safe, needs);
        if let Role::Following(following) = &mut self.process(slot).role {
            following.stale_links = stale_links;
        }
        true
    }

    /// REPLICAOF NO ONE. False: it can't lead, or does not run.
    pub(crate) fn promote(&mut self, slot: usize) -> bool {
        if !self.takes_orders(slot) {
            return false;
        }
        let process = self.process(slot);
        let Role::Following(following) = &process.role else { return false };
        if process.end.lsn < process.whole_from {
            return false;
        }
        let committed = following.core.commit().min(process.end.lsn);
        let epoch = process.epochs.last().map(|entry| entry.epoch).unwrap_or_default();
        let epoch = epoch.max(following.core.fence().epoch).next();
        self.leave_role(slot, "unknown: promoted");
        self.nodes[slot].disk.duty = Duty::Lead;
        self.nodes[slot].disk.members.clear();
        self.nodes[slot].disk.incoming = None;
        let process = self.process(slot);
        while let Some(record) = process.received.pop_front() {
            process.store.apply(&record);
        }
        self.lead(slot, epoch, Begins::Epoch, committed);
        self.met.event("promotions");
        true
    }

    /// A leader leads on in a new epoch, because a person says so.
    pub(crate) fn begin_next_epoch(&mut self, slot: usize) {
        let Role::Leading(leading) = &self.process(slot).role else { return };
        let (epoch, committed) = (leading.core.fence().epoch.next(), leading.commit);
        self.leave_role(slot, "unknown: a new epoch");
        self.lead(slot, epoch, Begins::Epoch, committed);
    }

    /// Whether a person reaches the process and it has no half-done change of its files.
    pub(crate) fn takes_orders(&self, slot: usize) -> bool {
        let node = &self.nodes[slot];
        let Some(process) = &node.process else { return false };
        let busy = match &process.role {
            Role::Following(following) => {
                matches!(following.core.state(), FollowerState::Cutting | FollowerState::Installing)
            }
            _ => false,
        };
        !busy && node.paused_until <= self.now
    }

    /// A dirty leader with members begins to ask them.
    pub(crate) fn recover(&mut self, slot: usize) {
        self.met.event("recoveries of dirty leaders");
        let disk = &self.nodes[slot].disk;
        let options = RecoveringOptions {
            node: disk.identity.node,
            cluster: disk.identity.cluster,
            shard: super::SHARD,
            members: disk.members.clone(),
            acks: self.policy_of(slot).acks,
            async_wait_ms: 300,
            link_timeout_ms: 400,
            heartbeat_ms: 40,
        };
        let now = self.local_ms(slot);
        let process = self.process(slot);
        let mut out = Vec::new();
        let core = Recovering::new(options, process.end, process.epochs.clone(), now, &mut out);
        let mut todo = Todo::default();
        todo.actions.extend(out);
        process.role = Role::Recovering { core: Box::new(core), todo };
        self.with_recovering(slot, |_, _, _| {});
    }

    /// Calls the core of a leader that recovers, and carries out what it wants done.
    pub(crate) fn with_recovering(
        &mut self,
        slot: usize,
        call: impl FnOnce(&mut Recovering, u64, &mut Vec<RecoveringAction>),
    ) {
        let now = self.local_ms(slot);
        let Some(process) = &mut self.nodes[slot].process else { return };
        let Role::Recovering { core, todo } = &mut process.role else { return };
        let mut out = Vec::new();
        call(core, now, &mut out);
        core.validate();
        todo.actions.extend(out);
        if std::mem::replace(&mut todo.running, true) {
            return;
        }
        while let Some(action) = self.next_recovering_action(slot) {
            self.carry_out_recovering(slot, action);
        }
        self.set_tick(slot);
    }

    fn next_recovering_action(&mut self, slot: usize) -> Option<RecoveringAction> {
        let Role::Recovering { todo, .. } = &mut self.process(slot).role else { return None };
        let next = todo.actions.pop_front();
        todo.running = next.is_some();
        next
    }

    fn carry_out_recovering(&mut self, slot: usize, action: RecoveringAction) {
        self.trace(format_args!("n{slot} recovers: {action:?}"));
        match action {
            RecoveringAction::Send { link, message } => {
                let Role::Recovering { core, .. } = &self.process(slot).role else { return };
                let fence = core.fence();
                self.send_message(link.0 as usize, slot, &fence, &message);
            }
            RecoveringAction::Append { last } => {
                self.met.event("records pulled by recovering leaders");
                self.take_records(slot, last);
                let process = self.process(slot);
                while let Some(record) = process.received.pop_front() {
                    process.store.apply(&record);
                }
            }
            RecoveringAction::Close { link } => self.close(link.0 as usize, slot),
            RecoveringAction::StepDown { .. } => {
                self.met.event("recovering leaders that stepped down");
                self.leave_role(slot, "unknown: stepped down");
                self.process(slot).role = Role::Fenced;
            }
            RecoveringAction::Lead { epoch } => self.lead_again(slot, epoch),
        }
    }

    /// The recovered leader leads on; links that are open go over to the leader's core.
    fn lead_again(&mut self, slot: usize, epoch: trefoil_clock::Epoch) {
        let links = self.process(slot).links.clone();
        self.process(slot).core += 1;
        self.lead(slot, epoch, Begins::Epoch, Lsn::ZERO);
        for link in links {
            let other = self.net.links[link].ends[0].slot;
            let node = self.nodes[other].disk.identity.node;
            self.on_accepted(slot, link, node);
        }
    }

    fn on_recovering_message(
        &mut self,
        slot: usize,
        link: usize,
        fence: &Fence,
        message: &Message<'_>,
    ) {
        let (heads, records) = match message {
            Message::Append(append) => {
                decode_runs(append.runs).expect("runs are read as they were written")
            }
            _ => Default::default(),
        };
        self.process(slot).in_hand.records = records;
        let id = LinkId(link as u64);
        self.with_recovering(slot, |core, now, out| {
            core.on_message(now, id, fence, message, &heads, out);
        });
        if let Some(process) = &mut self.nodes[slot].process {
            process.in_hand.records.clear();
        }
    }
}
