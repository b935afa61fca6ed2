//! Changes of role and of history, step by step, none of which waits.
//!
//! While one is under way no message is looked at and no order taken. A change that touches data or
//! role passes through a moment in which no command runs and nothing is applied.

use trefoil_clock::{ClusterId, Epoch, EpochEntry, Identity, Lsn};
use trefoil_log::{Disk, EpochCause, keep_used_epoch, list_diverged, used_epoch};
use trefoil_replication::{FollowerAction, Installed};
use trefoil_store::record::{LogBatch, Run};

use super::{LeaderAddress, Part, Peers, SavedMembers, SavedRole, save_members};
use crate::log::{Outcome, Task, Ticket};
use crate::recovery::Report;
use crate::replication::Role;

/// What is under way.
pub(super) enum Change {
    /// To follow somebody: nobody writes any more, then what was written is in the log.
    Follow { leader: LeaderAddress, adopts: bool, stage: Stage },
    /// To lead: everything received is applied, then an epoch begins.
    Lead { epoch: NextEpoch, stage: Stage },
    /// Not to lead any more.
    Depose,
    /// To lose a tail.
    Cut { to: Lsn, rebuild: bool, stage: Stage },
    /// To load a snapshot that was received.
    Install { adopting: Option<ClusterId>, stage: Stage },
    /// To begin anew in another history.
    Adopt { cluster: ClusterId, stage: Stage },
}

/// In which epoch a node is to lead.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum NextEpoch {
    /// The first one that nobody is known to have used, and not below this one.
    From(Epoch),
    /// This one, which the cluster has granted.
    Granted(Epoch),
}

/// How far a change has come.
pub(super) enum Stage {
    /// Commands, or the applier, may be running.
    Begun,
    /// They are not; the log is being written.
    Quiet,
    /// The log thread is at it.
    Asked(Ticket, Option<EpochEntry>),
}

impl Change {
    pub(super) fn follow(leader: LeaderAddress, adopts: bool) -> Change {
        Change::Follow { leader, adopts, stage: Stage::Begun }
    }

    pub(super) fn lead(epoch: NextEpoch) -> Change {
        Change::Lead { epoch, stage: Stage::Begun }
    }

    pub(super) fn cut(to: Lsn, rebuild: bool) -> Change {
        Change::Cut { to, rebuild, stage: Stage::Begun }
    }

    pub(super) fn install(adopting: Option<ClusterId>) -> Change {
        Change::Install { adopting, stage: Stage::Begun }
    }

    pub(super) fn adopt(cluster: ClusterId) -> Change {
        Change::Adopt { cluster, stage: Stage::Begun }
    }
}

impl<D: Disk> Peers<D> {
    /// At the start: nothing is served yet, the data is loaded.
    pub(super) fn begin_as_follower(&mut self, leader: LeaderAddress, adopts: bool) {
        Peers::<D>::publish_role(&self.node, Role::Following);
        self.begin_following(leader, adopts);
    }

    /// At the start: goes on in the last epoch.
    pub(super) fn lead_on(&mut self, committed: Lsn) {
        Peers::<D>::publish_role(&self.node, Role::Leading);
        self.begin_leading(self.node.replication.epochs(), committed, None);
    }

    /// REPLICAOF host port.
    pub(super) fn order_follow(&mut self, leader: LeaderAddress) {
        // Said again of a leader that can't be followed, it also means: give the own history up.
        if let Part::Following(following) = &self.part
            && following.leader == leader
            && following.trouble.is_none()
        {
            return;
        }
        self.save_role(SavedRole::Follower { leader: leader.clone(), adopts: true });
        self.change = Some(Change::follow(leader, true));
        self.go_on_with_change();
    }

    /// REPLICAOF NO ONE.
    pub(super) fn order_lead(&mut self) {
        match &self.part {
            Part::Leading(_) => {}
            Part::Recovering(_) => self.gather(None, |core, _, out| core.force(out)),
            Part::Idle | Part::Following(_)
                if self.node.log.appended() < self.options.ready_after =>
            {
                eprintln!(
                    "trefoil: this node can't lead: of the leader's snapshot it lacks the records {} to {}",
                    self.node.log.appended().next(),
                    self.options.ready_after
                );
            }
            Part::Idle | Part::Following(_) => self.begin_lead(Epoch::default()),
        }
    }

    /// Leads, in an epoch of this number or above.
    pub(super) fn begin_lead(&mut self, above: Epoch) {
        self.change = Some(Change::lead(NextEpoch::From(above)));
    }

    /// Leads no more, because somebody leads in this epoch: it is not to be used here, not even after a
    /// restart.
    pub(super) fn depose(&mut self, known: Epoch) {
        if let Err(error) = keep_used_epoch(&self.disk, known) {
            eprintln!("trefoil: that epoch {known} is used could not be kept: {error}");
        }
        self.change = Some(Change::Depose);
    }

    /// Goes on as far as possible.
    pub(super) fn go_on_with_change(&mut self) {
        while let Some(change) = self.change.take() {
            match self.go_on(change) {
                Ok(()) => {}
                Err(change) => {
                    self.change = Some(change);
                    return;
                }
            }
        }
    }

    /// A step of a change: done with it, or what is left.
    fn go_on(&mut self, change: Change) -> Result<(), Change> {
        match change {
            Change::Follow { leader, adopts, stage } => self.go_on_following(leader, adopts, stage),
            Change::Lead { epoch, stage } => self.go_on_leading(epoch, stage),
            Change::Depose => {
                if !self.alone(|node| Peers::<D>::publish_role(node, Role::Deposed)) {
                    return Err(Change::Depose);
                }
                self.drop_all_links();
                self.part = Part::Idle;
                Ok(())
            }
            Change::Cut { to, rebuild, stage } => self.go_on_cutting(to, rebuild, stage),
            Change::Install { adopting, stage } => self.go_on_installing(adopting, stage),
            Change::Adopt { cluster, stage } => self.go_on_adopting(cluster, stage),
        }
    }

    fn go_on_following(
        &mut self,
        leader: LeaderAddress,
        adopts: bool,
        stage: Stage,
    ) -> Result<(), Change> {
        // What was received or pulled may be neither in the log yet nor applied.
        let taken_in = match &self.part {
            Part::Following(following) => Some(following.core.end().lsn),
            Part::Recovering(gathering) => Some(gathering.end()),
            _ => None,
        };
        if let Stage::Begun = stage {
            let quiet = self.alone(|node| {
                node.replication.set_ready(false);
                Peers::<D>::publish_role(node, Role::Following);
            });
            if !quiet {
                return Err(Change::Follow { leader, adopts, stage: Stage::Begun });
            }
            self.drop_all_links();
        }
        let last = taken_in.unwrap_or_else(|| self.node.keyspace.sequencer().last_lsn());
        if self.node.log.appended() < last {
            return Err(Change::Follow { leader, adopts, stage: Stage::Quiet });
        }
        if taken_in.is_none() {
            // What was written here was applied as it was written.
            self.node.applier.pause();
            self.node.applier.clear(last);
        }
        if !matches!(self.part, Part::Following(_)) {
            self.forget_members();
        }
        self.begin_following(leader, adopts);
        self.end_pause();
        Ok(())
    }

    /// What is applied from here on need not be committed: nobody sees it before it is. False: not yet.
    fn hide(&mut self) -> bool {
        !self.node.replication.is_ready() || self.alone(|node| node.replication.set_ready(false))
    }

    fn go_on_leading(&mut self, next: NextEpoch, stage: Stage) -> Result<(), Change> {
        let again = |stage| Err(Change::Lead { epoch: next, stage });
        match stage {
            Stage::Begun => {
                self.drop_all_links();
                let waits = matches!(self.part, Part::Following(_) | Part::Recovering(_));
                if waits && !self.hide() {
                    return again(Stage::Begun);
                }
                // What was received, pulled or written may not be in the log yet.
                let end = match &self.part {
                    Part::Following(following) => following.core.end().lsn,
                    Part::Recovering(gathering) => gathering.end(),
                    _ => self.node.keyspace.sequencer().last_lsn(),
                };
                // A new leader's history is all that it has received; its barrier commits it.
                self.node.applier.resume();
                self.node.applier.set_commit(end);
                let log = &self.node.log;
                if log.appended() < end || (waits && self.node.applier.applied() < log.appended()) {
                    return again(Stage::Begun);
                }
                let used = match self.newest_epoch() {
                    Ok(used) => used,
                    Err(error) => {
                        eprintln!("trefoil: it is not known which epochs were used: {error}");
                        self.depose(Epoch::default());
                        return Ok(());
                    }
                };
                let epoch = match next {
                    NextEpoch::From(first) => used.next().max(first),
                    NextEpoch::Granted(epoch) if epoch > used => epoch,
                    NextEpoch::Granted(epoch) => {
                        self.refuse_grant(epoch);
                        self.change = Some(Change::Depose);
                        return Ok(());
                    }
                };
                let entry = EpochEntry {
                    epoch,
                    leader: self.node.replication.identity().node,
                    first_lsn: log.appended().next(),
                };
                let task = Task::BeginEpoch { entry, cause: EpochCause::Grant };
                again(Stage::Asked(self.node.log.give_task(task), Some(entry)))
            }
            Stage::Asked(ticket, Some(entry)) => match ticket.take() {
                None => again(Stage::Asked(ticket, Some(entry))),
                Some(Outcome::Failed(error)) => {
                    eprintln!("trefoil: no epoch can begin, so this node does not lead: {error}");
                    if let NextEpoch::Granted(epoch) = next {
                        self.refuse_grant(epoch);
                    }
                    self.depose(Epoch::default());
                    Ok(())
                }
                Some(Outcome::Done | Outcome::Reloaded(_) | Outcome::NeedsRebuild) => {
                    let mut epochs = self.node.replication.epochs();
                    epochs.push(entry);
                    self.node.replication.set_epochs(epochs);
                    again(Stage::Quiet)
                }
            },
            Stage::Asked(_, None) | Stage::Quiet => self.finish_leading(next),
        }
    }

    /// The newest epoch that this node knows to have been used, by what is left of other histories too:
    /// one epoch of one leader is one history.
    fn newest_epoch(&self) -> std::io::Result<Epoch> {
        let archived = list_diverged(&self.disk)?.into_iter().map(|archive| archive.epoch).max();
        let used = used_epoch(&self.disk)?.max(archived.unwrap_or_default());
        Ok(used.max(self.node.replication.epoch()))
    }

    /// The epoch is noted: takes the lead, and writes the barrier, before any command runs.
    fn finish_leading(&mut self, next: NextEpoch) -> Result<(), Change> {
        let wall_ms = (self.options.wall_ms)();
        let (gated, mut barrier) = (self.policy_waits(), Lsn::ZERO);
        let led = self.alone(|node| {
            // Nothing that is committed by followers only may be seen before it is.
            node.replication.set_remote(gated.then_some(Lsn::ZERO));
            let stamp = node.keyspace.sequencer().next(wall_ms);
            barrier = stamp.lsn;
            // A record without effects: its length, and no time since the run's base.
            let bytes = vec![1, 0];
            let run = Run { base: stamp, count: 1, start: 0, len: bytes.len() };
            node.log.push(LogBatch { runs: vec![run], bytes });
            Peers::<D>::publish_role(node, Role::Leading);
        });
        if !led {
            return Err(Change::Lead { epoch: next, stage: Stage::Quiet });
        }
        let committed = match &self.part {
            Part::Following(following) => following.core.commit(),
            _ => Lsn::ZERO,
        };
        let epochs = self.node.replication.epochs();
        let epoch = self.node.replication.epoch();
        eprintln!("trefoil: this node leads in epoch {epoch}, from record {barrier} on");
        self.save_role(SavedRole::Leader);
        self.begin_leading(epochs, committed, Some(barrier));
        self.end_pause();
        Ok(())
    }

    fn policy_waits(&self) -> bool {
        let asynchronous = crate::replication::Acks::Async;
        self.acks() != asynchronous || self.is_managed() && self.members.acks != asynchronous
    }

    fn go_on_cutting(&mut self, to: Lsn, rebuild: bool, stage: Stage) -> Result<(), Change> {
        let again = |stage| Err(Change::Cut { to, rebuild, stage });
        match stage {
            Stage::Begun | Stage::Quiet => {
                self.node.applier.pause();
                if rebuild && !self.stand_still() {
                    return again(Stage::Begun);
                }
                if rebuild {
                    self.node.applier.clear(self.node.applier.applied());
                } else {
                    self.node.applier.cut(to);
                }
                let ticket = self.node.log.give_task(Task::Cut { to, rebuild });
                again(Stage::Asked(ticket, None))
            }
            Stage::Asked(ticket, _) => match ticket.take() {
                None => again(Stage::Asked(ticket, None)),
                Some(Outcome::Failed(error)) => self.stop_node(&error),
                Some(Outcome::NeedsRebuild) => {
                    Err(Change::Cut { to, rebuild: true, stage: Stage::Begun })
                }
                Some(outcome) => {
                    let mut epochs = self.node.replication.epochs();
                    epochs.cut(to);
                    if let Outcome::Reloaded(report) = outcome {
                        self.after_reload(&report);
                        epochs = report.epochs;
                    }
                    self.node.log.set_epochs(epochs.clone());
                    self.node.replication.set_epochs(epochs.clone());
                    self.node.applier.resume();
                    let end = epochs.position(to.min(self.node.log.appended()));
                    let applied = self.node.applier.applied();
                    self.follow(None, |core, now_ms, out| {
                        core.on_cut_done(now_ms, end, epochs, applied, out);
                    });
                    Ok(())
                }
            },
        }
    }

    fn go_on_installing(
        &mut self,
        adopting: Option<ClusterId>,
        stage: Stage,
    ) -> Result<(), Change> {
        let again = |stage| Err(Change::Install { adopting, stage });
        match stage {
            Stage::Begun | Stage::Quiet => {
                self.node.applier.pause();
                if !self.stand_still() {
                    return again(Stage::Begun);
                }
                // What waits is forgotten once the data is another; if it stays, so do they.
                let own = self.node.replication.identity();
                let cluster = adopting.unwrap_or(own.cluster);
                let identity = Identity { cluster, ..own };
                let archive = adopting.is_some();
                let task = Task::Install { identity, archive };
                again(Stage::Asked(self.node.log.give_task(task), None))
            }
            Stage::Asked(ticket, _) => match ticket.take() {
                None => again(Stage::Asked(ticket, None)),
                Some(Outcome::Reloaded(report)) => {
                    let installed = self.after_reload(&report);
                    self.forget_members();
                    self.node.applier.resume();
                    self.follow(None, |core, now_ms, out| {
                        core.on_installed(now_ms, installed, out);
                    });
                    Ok(())
                }
                Some(Outcome::Done | Outcome::NeedsRebuild) => {
                    self.stop_node("the snapshot was not loaded")
                }
                Some(Outcome::Failed(error)) => {
                    eprintln!("trefoil: the leader's snapshot can't be installed: {error}");
                    self.node.applier.resume();
                    let applied = self.node.applier.applied();
                    if applied != self.node.keyspace.sequencer().last_lsn() {
                        return self.stop_node(&error);
                    }
                    self.allow_snapshots();
                    Peers::<D>::publish_role(&self.node, Role::Following);
                    let mut out: Vec<FollowerAction> = Vec::new();
                    self.fail_install(&mut out);
                    self.follow(None, |_, _, actions| actions.append(&mut out));
                    Ok(())
                }
            },
        }
    }

    fn go_on_adopting(&mut self, cluster: ClusterId, stage: Stage) -> Result<(), Change> {
        let again = |stage| Err(Change::Adopt { cluster, stage });
        match stage {
            Stage::Begun | Stage::Quiet => {
                self.node.applier.pause();
                if !self.stand_still() {
                    return again(Stage::Begun);
                }
                self.node.applier.clear(self.node.applier.applied());
                let identity = Identity { cluster, ..self.node.replication.identity() };
                again(Stage::Asked(self.node.log.give_task(Task::Adopt { identity }), None))
            }
            Stage::Asked(ticket, _) => match ticket.take() {
                None => again(Stage::Asked(ticket, None)),
                Some(Outcome::Failed(error)) => self.stop_node(&error),
                Some(Outcome::Done | Outcome::NeedsRebuild) => {
                    self.stop_node("the data was not given up")
                }
                Some(Outcome::Reloaded(report)) => {
                    let Installed { end, epochs, applied } = self.after_reload(&report);
                    self.forget_members();
                    self.node.applier.resume();
                    self.follow(None, |core, now_ms, out| {
                        core.on_cut_done(now_ms, end, epochs, applied, out);
                    });
                    Ok(())
                }
            },
        }
    }

    /// Nothing is served while the data is exchanged. Whether that is so.
    fn stand_still(&mut self) -> bool {
        // A snapshot that is being taken is of data that will be gone.
        let quiet = self.hold_snapshots();
        quiet
            && self.alone(|node| {
                node.replication.set_ready(false);
                let seen = node.replication.epochs().position(node.keyspace.sequencer().last_lsn());
                node.sessions.on_data_replaced(seen, node.clients.next_id());
                Peers::<D>::publish_role(node, Role::Loading);
            })
    }

    /// The data is another: tells everybody what it is.
    fn after_reload(&mut self, report: &Report) -> Installed {
        let node = &self.node;
        node.snapshots.on_start((self.options.wall_ms)(), report.snapshot_lsn);
        let end = node.log.appended();
        node.applier.clear(end);
        if node.replication.cluster() != report.identity.cluster {
            node.sessions.begin_anew();
        }
        self.options.ready_after = report.ready_after;
        node.replication.set_identity(report.identity);
        node.replication.set_epochs(report.epochs.clone());
        node.log.set_epochs(report.epochs.clone());
        Peers::<D>::publish_role(node, Role::Following);
        self.allow_snapshots();
        let end_position = report.epochs.position(end);
        Installed { end: end_position, epochs: report.epochs.clone(), applied: end }
    }

    /// The members of a leader that leads no more are not those of the next.
    fn forget_members(&mut self) {
        if self.members.nodes.is_empty() {
            return;
        }
        self.members = SavedMembers::default();
        if let Err(error) = save_members(&self.disk, &self.members) {
            eprintln!("trefoil: the list of members could not be emptied: {error}");
        }
        self.node.replication.set_members(Vec::new());
    }

    fn drop_all_links(&mut self) {
        let links: Vec<_> = self.inbound.keys().copied().collect();
        for link in links {
            self.inbound.remove(&link);
            if let Some(out) = self.outbound.get_mut(&link) {
                out.close();
            }
        }
    }

    /// Data and log may not agree any more: a restart sorts that out.
    fn stop_node(&mut self, error: &str) -> Result<(), Change> {
        eprintln!("trefoil: this node stops, a restart goes on from what is on disk: {error}");
        self.node.post.stop_process();
        self.part = Part::Idle;
        Ok(())
    }
}
