//! The leader, the links and the followers of an interleaving.

use trefoil_clock::{ClusterId, Epoch, EpochEntry, EpochTable, Lsn, NodeId, Position, ShardId};
use trefoil_replication::{
    AckLevel, AckPolicy, Acks, FollowerState, Leader, LeaderAction, LeaderOptions, LeaderStart,
    LinkId, LocalRule, LogState, OnLost, RowState, RunHead, SnapshotReady,
};
use trefoil_wire::peer::{Heartbeat, Message, SnapshotId};

use super::node::{Node, Parcel};

const LEADER: NodeId = NodeId(1);

/// See the module.
pub(crate) struct World {
    leader: Leader,
    epochs: EpochTable,
    /// The epoch of each of the leader's records.
    log: Vec<Epoch>,
    state: LogState,
    nodes: Vec<Node>,
    now_ms: u64,
    last_link: u64,
    snapshot_wanted: bool,
    last_snapshot: u128,
    persist: Option<Vec<NodeId>>,
    /// What was committed after the last step.
    commit: Lsn,
}

fn table(entries: &[(u64, u64)]) -> EpochTable {
    let entry = |&(epoch, first)| {
        let (epoch, first_lsn) = (Epoch(epoch), Lsn(first));
        EpochEntry { epoch, leader: LEADER, first_lsn }
    };
    EpochTable::from_entries(entries.iter().map(entry).collect()).expect("they ascend")
}

fn policy(acks: Acks) -> AckPolicy {
    AckPolicy { acks, level: AckLevel::Flushed, on_lost: OnLost::Block, degrade_after_ms: 0 }
}

impl World {
    /// The leader begins epoch 2 with record 9. One follower is new, one has a tail that was lost, one
    /// has nothing of epoch 2 yet.
    pub(crate) fn new() -> World {
        let epochs = table(&[(1, 1), (2, 9)]);
        let log: Vec<Epoch> = (1..=9).map(|lsn| epochs.position(Lsn(lsn)).epoch).collect();
        let state = log_state(&log, Lsn(9), Lsn::ZERO);
        let mut options = LeaderOptions::new(LEADER, ClusterId(1), ShardId(0));
        options.window_bytes = 500;
        options.stream_bytes_max = 300;
        options.chunk_bytes_max = 4;
        options.retained_bytes_max = 2_000;
        let members = vec![NodeId(2), NodeId(3)];
        let start = LeaderStart { epochs: epochs.clone(), log: state, committed: Lsn(5), members };
        let policy = policy(Acks::SemiSync(1));
        let mut leader = Leader::new(options, start, policy, LocalRule::Appended, 0);
        leader.begin_epoch(Lsn(9));
        let old = table(&[(1, 1)]);
        let nodes = vec![
            Node::new(NodeId(2), old.clone(), Lsn(12)),
            Node::new(NodeId(3), old, Lsn(8)),
            Node::new(NodeId(4), EpochTable::default(), Lsn::ZERO),
        ];
        World {
            leader,
            epochs,
            log,
            state,
            nodes,
            now_ms: 0,
            last_link: 0,
            snapshot_wanted: false,
            last_snapshot: 0,
            persist: None,
            commit: Lsn(5),
        }
    }

    pub(crate) fn step(&mut self, kind: u8, who: usize, dice: u8) {
        let now = self.now_ms;
        match kind {
            0 | 1 => self.grow(usize::from(dice % 8)),
            2 | 3 => self.nodes[who].receive(now),
            4 | 5 => self.hear(who),
            6 => self.nodes[who].write(now),
            7 => self.nodes[who].sync(now),
            8 => self.nodes[who].apply(now),
            9 => self.nodes[who].finish(now, &self.log),
            10 => self.connect(who),
            11 if dice < 80 => self.disconnect(who),
            12 if dice < 80 => {
                self.disconnect(who);
                self.nodes[who].crash();
            }
            13 => self.pass_time(u64::from(dice)),
            14 => self.keep_house(),
            15 if dice < 60 => self.ask_for(dice),
            _ => {}
        }
    }

    fn lead(&mut self, act: impl FnOnce(&mut Leader, u64, &mut Vec<LeaderAction>)) {
        let mut out = Vec::new();
        act(&mut self.leader, self.now_ms, &mut out);
        let mut actions: std::collections::VecDeque<LeaderAction> = out.into();
        while let Some(action) = actions.pop_front() {
            let mut more = Vec::new();
            self.carry_out(action, &mut more);
            actions.extend(more);
        }
    }

    fn carry_out(&mut self, action: LeaderAction, more: &mut Vec<LeaderAction>) {
        let now = self.now_ms;
        match action {
            LeaderAction::Send { link, message } => self.send(link, Parcel::Plain(message)),
            LeaderAction::Heartbeat { link, id, end, commit, safe } => {
                let clock = trefoil_clock::Hlc(0);
                let heartbeat = Heartbeat { id, end, commit, safe, clock };
                self.send(link, Parcel::Plain(Message::Heartbeat(heartbeat)));
            }
            LeaderAction::Stream { link, prev, up_to, commit, .. } => {
                let last = Lsn(up_to.0.min(prev.lsn.0 + 3));
                if prev.lsn < self.state.floor {
                    return self.leader.on_gone(now, link, more);
                }
                let runs = self.runs(prev, last);
                self.send(link, Parcel::Records { prev, commit, runs });
                self.leader.on_streamed(now, link, last, 100 * (last.0 - prev.lsn.0), more);
            }
            LeaderAction::TakeSnapshot { .. } => self.snapshot_wanted = true,
            LeaderAction::SendChunk { link, snapshot, offset, bytes_max } => {
                let bytes = usize::try_from(bytes_max).expect("chunks are small");
                self.send(link, Parcel::Chunk { snapshot, offset, bytes });
                self.leader.on_chunk_sent(now, link, bytes_max, more);
            }
            LeaderAction::PersistMembers { members } => self.persist = Some(members),
            LeaderAction::Close { link, .. } => {
                for node in self.nodes.iter_mut().filter(|node| node.link == Some(link)) {
                    node.disconnect(now);
                }
            }
            LeaderAction::Waive => self.leader.on_waived(now, more),
            LeaderAction::StepDown { .. } => panic!("nobody else leads"),
            LeaderAction::ReleaseSnapshot { .. }
            | LeaderAction::Watermarks { .. }
            | LeaderAction::Event(_) => {}
        }
    }

    fn runs(&self, prev: Position, last: Lsn) -> Vec<RunHead> {
        let mut runs: Vec<RunHead> = Vec::new();
        for lsn in prev.lsn.0 + 1..=last.0 {
            let epoch = self.log[usize::try_from(lsn - 1).expect("a short log")];
            match runs.last_mut() {
                Some(run) if run.epoch == epoch => run.count += 1,
                _ => runs.push(RunHead { epoch, first: Lsn(lsn), count: 1 }),
            }
        }
        runs
    }

    fn send(&mut self, link: LinkId, parcel: Parcel) {
        let fence = self.leader.fence();
        for node in self.nodes.iter_mut().filter(|node| node.link == Some(link)) {
            node.inbox.push_back((fence, parcel.clone()));
        }
    }

    fn grow(&mut self, records: usize) {
        self.log.extend(std::iter::repeat_n(Epoch(2), records));
        self.state = log_state(&self.log, self.state.durable, self.state.floor);
        let state = self.state;
        self.lead(|leader, now, out| leader.on_log(now, state, out));
    }

    fn hear(&mut self, who: usize) {
        let node = &mut self.nodes[who];
        let Some(link) = node.link else { return };
        let Some((fence, message)) = node.outbox.pop_front() else { return };
        self.lead(|leader, now, out| leader.on_message(now, link, &fence, &message, out));
    }

    fn connect(&mut self, who: usize) {
        if self.nodes[who].link.is_some() {
            return;
        }
        self.last_link += 1;
        let (link, id) = (LinkId(self.last_link), self.nodes[who].id);
        self.nodes[who].connect(self.now_ms, link, LEADER);
        self.lead(|leader, now, out| leader.on_link(now, link, id, out));
    }

    fn disconnect(&mut self, who: usize) {
        if let Some(link) = self.nodes[who].link {
            self.nodes[who].disconnect(self.now_ms);
            self.lead(|leader, now, out| leader.on_link_down(now, link, out));
        }
    }

    fn pass_time(&mut self, ms: u64) {
        self.now_ms += ms;
        self.lead(|leader, now, out| leader.on_timeout(now, out));
        let links: Vec<Option<LinkId>> = self.nodes.iter().map(|node| node.link).collect();
        self.nodes.iter_mut().for_each(|node| node.time(self.now_ms));
        for (who, link) in links.into_iter().enumerate() {
            if let Some(link) = link.filter(|_| self.nodes[who].link.is_none()) {
                self.lead(|leader, now, out| leader.on_link_down(now, link, out));
            }
        }
    }

    /// The leader's disk: snapshots, members, and the front of the log.
    fn keep_house(&mut self) {
        if std::mem::take(&mut self.snapshot_wanted) {
            self.last_snapshot += 1;
            let start = self.leader.commit();
            let ready = SnapshotReady {
                snapshot: SnapshotId(self.last_snapshot),
                start: self.epochs.position(start),
                end: self.state.end,
                bytes: 10,
            };
            self.lead(|leader, now, out| leader.on_snapshot_ready(now, ready, out));
        }
        if let Some(members) = self.persist.take() {
            self.lead(|leader, now, out| leader.on_members_persisted(now, &members, out));
        }
        let floor = self.leader.needed_after().min(self.leader.commit()).max(self.state.floor);
        self.state = log_state(&self.log, self.state.end, floor);
        let state = self.state;
        self.lead(|leader, now, out| leader.on_log(now, state, out));
    }

    fn ask_for(&mut self, dice: u8) {
        let acks = match dice % 4 {
            0 => Acks::Sync,
            1 => Acks::SemiSync(2),
            2 => Acks::SemiSync(1),
            _ => Acks::Async,
        };
        self.lead(|leader, now, out| leader.set_policy(now, policy(acks), out));
    }

    pub(crate) fn check(&mut self) {
        self.leader.validate();
        self.nodes.iter().for_each(|node| node.follower.validate());
        for node in &self.nodes {
            assert_eq!(node.follower.end().lsn, node.end(), "core and log agree");
            if node.follower.state() == FollowerState::Streaming {
                assert!(self.log.starts_with(&node.log), "who streams has a prefix");
            }
        }
        let commit = self.leader.commit();
        assert!(commit >= self.commit, "a commit does not go back");
        if commit > self.commit {
            self.check_commit(commit);
        }
        self.commit = commit;
        for row in self.leader.rows(self.now_ms) {
            let node = self.nodes.iter().find(|node| node.id == row.node).expect("it is known");
            let streams = matches!(row.state, RowState::CatchingUp | RowState::Streaming);
            assert!(!streams || row.flushed <= node.flushed, "only what is synced is said to be");
        }
    }

    /// As many members as the rule asks for have synced what was committed just now.
    fn check_commit(&self, commit: Lsn) {
        let needed = self.leader.needed_acks().expect("the rule can be met, or nothing commits");
        let length = usize::try_from(commit.0).expect("a short log");
        let members = self.leader.members();
        let holders = self.nodes.iter().filter(|node| {
            let has_it = node.flushed >= commit && node.log[..length] == self.log[..length];
            members.contains(&node.id) && has_it
        });
        assert!(holders.count() >= needed, "{commit} is committed by too few");
    }

    /// Delivers and finishes everything, until nothing is left to do.
    pub(crate) fn come_to_rest(&mut self) {
        for _ in 0..400 {
            self.pass_time(50);
            for who in 0..self.nodes.len() {
                self.connect(who);
                for _ in 0..4 {
                    self.nodes[who].receive(self.now_ms);
                    self.nodes[who].sync(self.now_ms);
                    self.nodes[who].apply(self.now_ms);
                    self.nodes[who].finish(self.now_ms, &self.log);
                    self.hear(who);
                    self.hear(who);
                }
                self.check();
            }
            self.keep_house();
            self.check();
        }
        for row in self.leader.rows(self.now_ms) {
            assert_eq!(row.state, RowState::Streaming, "everybody follows: {row:?}");
            assert_eq!(row.applied, self.state.end, "everybody shows everything: {row:?}");
            assert_eq!(row.lag_ms, Some(0), "nobody lags: {row:?}");
            assert!(row.member, "everybody is a member");
        }
        assert_eq!(self.leader.commit(), self.state.end, "everything is committed");
        assert!(self.nodes.iter().all(|node| node.follower.is_ready()), "everybody is ready");
    }
}

fn log_state(log: &[Epoch], durable: Lsn, floor: Lsn) -> LogState {
    let end = Lsn(log.len() as u64);
    LogState { end, durable, floor, end_bytes: end.0 * 100, floor_bytes: floor.0 * 100 }
}
