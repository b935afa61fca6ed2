//! What must hold in every run of the cluster simulation: one file per invariant, named after it.
//!
//! The judge sees more than any node: it numbers each record itself, so it knows which histories exist
//! and where they part, whatever nodes say about epochs and LSNs.
//!
//! Invariants of its own: ids are dense from 1; a record's parent has a smaller id.

mod acknowledged_survive;
mod bounded_reads;
mod commit_is_final;
mod linearizable;
mod log_matching;
mod lost_is_archived;
mod no_uncommitted_reads;
mod one_agreement;
mod one_record_per_position;
mod own_log_survives;
mod sessions;
mod state_is_history;

use std::collections::{BTreeMap, HashMap, HashSet};

use trefoil_clock::{ClusterId, Epoch, EpochTable, Identity, Lsn, NodeId, Position};

pub(crate) use lost_is_archived::Archive;
pub(crate) use sessions::Operation;

use crate::cluster::{Care, Change, Micros, Plan, Store};

/// How far a record is committed, as far as anybody said.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Committed {
    No,
    /// By a leader alone: `async` or degraded.
    ByItself,
    /// By acknowledgements.
    Strictly,
}

/// A record that was made.
pub(crate) struct Known {
    pub(crate) cluster: ClusterId,
    pub(crate) leader: NodeId,
    pub(crate) position: Position,
    pub(crate) parent: u64,
    pub(crate) committed: Committed,
    /// The leader that made it said that it is committed.
    pub(crate) by_maker: bool,
    /// A client was told.
    pub(crate) acknowledged: bool,
    /// The state of all keys behind it.
    state: Store,
}

/// See the module.
pub(crate) struct Judge {
    /// By id; the first stands for the beginning.
    known: Vec<Known>,
    names: HashMap<(ClusterId, NodeId, Position), u64>,
    /// What was acknowledged strictly, by number.
    acknowledged: BTreeMap<Lsn, (Epoch, u64)>,
    /// The last record that was committed strictly.
    strict_end: u64,
    /// By epoch and leader: when what was committed.
    commits: HashMap<(Epoch, NodeId), Vec<(Micros, Lsn)>>,
    /// When leaders under a lease answered what depends on a record.
    answered: Vec<(Micros, Epoch, Lsn)>,
    newest: Option<(Epoch, NodeId)>,
    led: HashMap<Epoch, NodeId>,
    /// Epochs in which two nodes led.
    doubled: HashSet<Epoch>,
    /// Nodes whose disk is lost, and records that a power loss took from the node that made them.
    lost_disks: HashSet<NodeId>,
    lost_power: HashSet<u64>,
    pub(crate) operations: Vec<Operation>,
    pub(crate) histories: u64,
    /// Acknowledged writes that are lost although nothing broke.
    lost: u64,
    care: Care,
    /// Linearizability is promised for the whole run.
    linearizable: bool,
    agreed: one_agreement::Agreed,
    broken: Option<String>,
}

impl Judge {
    pub(crate) fn new(plan: &Plan) -> Judge {
        let beginning = Known {
            cluster: ClusterId(0),
            leader: NodeId(0),
            position: Position::default(),
            parent: 0,
            committed: Committed::Strictly,
            by_maker: false,
            acknowledged: false,
            state: Store::default(),
        };
        Judge {
            known: vec![beginning],
            names: HashMap::new(),
            acknowledged: BTreeMap::new(),
            strict_end: 0,
            commits: HashMap::new(),
            answered: Vec::new(),
            newest: None,
            led: HashMap::new(),
            doubled: HashSet::new(),
            lost_disks: HashSet::new(),
            lost_power: HashSet::new(),
            operations: Vec::new(),
            histories: 0,
            lost: 0,
            care: plan.care,
            linearizable: plan.promises_linearizability(),
            agreed: one_agreement::Agreed::default(),
            broken: None,
        }
    }

    /// Somebody was made the leader though too few members could be asked (rule 9): from here on P3,
    /// P4 and P6 promise nothing.
    pub(crate) fn promoted_against_the_rule(&mut self) {
        self.care = Care::Careless;
        self.linearizable = false;
    }

    /// A promise is broken; the first one counts.
    pub(crate) fn broken(&mut self, promise: &str, text: impl AsRef<str>) {
        if self.broken.is_none() {
            self.broken = Some(format!("{promise}: {}", text.as_ref()));
        }
    }

    /// What was broken first.
    pub(crate) fn verdict(&self) -> Option<String> {
        self.broken.clone()
    }

    /// The id of the record that a history has at a number; 0: the beginning, or nobody made it.
    pub(crate) fn id_at(&mut self, cluster: ClusterId, epochs: &EpochTable, lsn: Lsn) -> u64 {
        let Some(entry) = epochs.entry_of(lsn).filter(|_| lsn > Lsn::ZERO) else { return 0 };
        let position = Position { epoch: entry.epoch, lsn };
        if let Some(id) = self.names.get(&(cluster, entry.leader, position)) {
            return *id;
        }
        // A node that adopted this history may have it under the old name until records come.
        self.broken("P9", format!("nobody made {position:?} as leader {}", entry.leader));
        0
    }

    /// Whether `earlier` is `later` or stands before it in the same history.
    fn is_before(&self, earlier: u64, mut later: u64) -> bool {
        let number = self.known[earlier as usize].position.lsn;
        while self.known[later as usize].position.lsn > number {
            later = self.known[later as usize].parent;
        }
        earlier == later
    }

    /// A node began to lead in an epoch.
    pub(crate) fn on_epoch(&mut self, cluster: ClusterId, epoch: Epoch, leader: NodeId) -> bool {
        if cluster != crate::cluster::CLUSTER {
            return false;
        }
        let twice = *self.led.entry(epoch).or_insert(leader) != leader;
        if twice {
            self.doubled.insert(epoch);
        }
        if self.newest.is_none_or(|(newest, _)| newest <= epoch) {
            self.newest = Some((epoch, leader));
        }
        twice
    }

    /// Who leads in the newest epoch.
    pub(crate) fn newest_leader(&self) -> Option<(Epoch, NodeId)> {
        self.newest
    }

    /// Numbers a record that a leader makes.
    pub(crate) fn on_record(
        &mut self,
        identity: Identity,
        position: Position,
        parent: u64,
        change: Change,
    ) -> u64 {
        let id = self.known.len() as u64;
        self.name(identity, position, id);
        let mut state = self.known[parent as usize].state.clone();
        state.apply(&crate::cluster::Record {
            epoch: position.epoch,
            lsn: position.lsn,
            id,
            change,
        });
        self.known.push(Known {
            cluster: identity.cluster,
            leader: identity.node,
            position,
            parent,
            committed: Committed::No,
            by_maker: false,
            acknowledged: false,
            state,
        });
        id
    }

    /// A node's disk is gone.
    pub(crate) fn on_disk_lost(&mut self, node: NodeId) {
        self.lost_disks.insert(node);
    }

    /// Acknowledged writes that are lost where that is allowed.
    pub(crate) fn lost_count(&self) -> u64 {
        self.lost
    }

    /// The last judgement: the cluster's history ends with this record.
    pub(crate) fn the_end(&mut self, end: u64, archives: &[Archive]) {
        let mut survived = vec![false; self.known.len()];
        let mut id = end;
        while id > 0 {
            survived[id as usize] = true;
            id = self.known[id as usize].parent;
        }
        survived[0] = true;
        self.check_acknowledged(&survived);
        self.check_archived(&survived, archives);
        self.check_sessions(&survived);
        self.check_linearizable();
    }
}
