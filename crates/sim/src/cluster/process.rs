//! A node's running process: everything that a crash takes away.

use std::collections::{BTreeMap, VecDeque};

use trefoil_clock::{EpochTable, Lsn, Position};
use trefoil_replication::{
    AckPolicy, Follower, FollowerAction, Leader, LeaderAction, LinkId, Recovering,
    RecoveringAction, SessionClock,
};
use trefoil_wire::peer::SnapshotId;

use super::agenda::Micros;
use super::client::Request;
use super::healing::Part;
use super::record::Record;
use super::snapshot::{Building, Snapshot};
use super::store::Store;

/// What waits for the log thread.
#[derive(Clone, Debug)]
pub(crate) enum Queued {
    Record(Record),
    Epochs(EpochTable),
}

/// Actions of a core that are being carried out: those that come meanwhile go behind them.
#[derive(Debug)]
pub(crate) struct Todo<A> {
    pub(crate) actions: VecDeque<A>,
    pub(crate) running: bool,
}

impl<A> Default for Todo<A> {
    fn default() -> Todo<A> {
        Todo { actions: VecDeque::new(), running: false }
    }
}

/// A process that leads.
pub(crate) struct Leading {
    pub(crate) core: Leader,
    pub(crate) todo: Todo<LeaderAction>,
    /// The watermarks that the core told last.
    pub(crate) commit: Lsn,
    pub(crate) released: Lsn,
    pub(crate) policy: AckPolicy,
    /// Probes that wait for the lease: the newest of each link.
    pub(crate) unanswered: BTreeMap<LinkId, u64>,
    /// A snapshot is wanted that starts here or later.
    pub(crate) wanted: Option<Lsn>,
    /// Snapshots that followers fetch, by name, and their files.
    pub(crate) offered: BTreeMap<u128, Vec<u8>>,
}

/// A process that follows, or tries to.
pub(crate) struct Following {
    pub(crate) core: Follower,
    pub(crate) todo: Todo<FollowerAction>,
    /// The node that is to be followed.
    pub(crate) whom: usize,
    pub(crate) link: Option<usize>,
    /// The link's other side has answered.
    pub(crate) connected: bool,
    /// Records up to this one may be applied.
    pub(crate) commit_to: Lsn,
    /// Links of earlier leaders that a defect keeps open.
    pub(crate) stale_links: Vec<usize>,
}

/// What the process does.
pub(crate) enum Role {
    Leading(Box<Leading>),
    Following(Box<Following>),
    Recovering {
        core: Box<Recovering>,
        todo: Todo<RecoveringAction>,
    },
    /// It learned of a newer epoch: it serves nothing until a person says what it is to do.
    Fenced,
}

impl Role {
    pub(crate) fn letter(&self) -> char {
        match self {
            Role::Leading(_) => 'L',
            Role::Following(_) => 'f',
            Role::Recovering { .. } => 'R',
            Role::Fenced => 'x',
        }
    }
}

/// A client's request that waits.
#[derive(Clone, Debug)]
pub(crate) struct Waiting {
    pub(crate) request: Request,
    pub(crate) since: Micros,
    pub(crate) until: Until,
}

/// What it waits for.
#[derive(Clone, Debug)]
pub(crate) enum Until {
    /// The leader's release; then this answer leaves.
    Released { lsn: Lsn, answer: super::client::Answer },
    /// The follower's store shows more.
    Applied,
    /// A probe, and then what it says to be applied.
    Probed { id: u64, commit: Option<Lsn> },
}

/// What the message that is being handled brought along.
#[derive(Default)]
pub(crate) struct InHand {
    pub(crate) records: Vec<Record>,
    pub(crate) chunk: Vec<u8>,
}

/// See the module.
pub(crate) struct Process {
    pub(crate) role: Role,
    /// The last record that was received or made, and its history.
    pub(crate) end: Position,
    pub(crate) epochs: EpochTable,
    /// Not handed to the operating system yet.
    pub(crate) queue: VecDeque<Queued>,
    pub(crate) writing: bool,
    pub(crate) syncing: bool,
    pub(crate) store: Store,
    /// Received, not applied.
    pub(crate) received: VecDeque<Record>,
    pub(crate) applying: bool,
    /// Before this record the store shows no state that existed.
    pub(crate) whole_from: Lsn,
    pub(crate) building: Option<Building>,
    /// Complete, but not valid yet.
    pub(crate) made: Vec<Snapshot>,
    pub(crate) in_hand: InHand,
    pub(crate) sessions: BTreeMap<u32, SessionClock>,
    pub(crate) waiting: Vec<Waiting>,
    /// Links whose other end this process may still write to.
    pub(crate) links: Vec<usize>,
    /// When the next look at the core's deadline is put down.
    pub(crate) tick_at: Option<Micros>,
    pub(crate) serial: u64,
    /// Which core it is: rises when the role changes.
    pub(crate) core: u64,
    /// Its part in the agreement, if nodes agree.
    pub(crate) part: Option<Box<Part>>,
}

impl Process {
    pub(crate) fn new(store: Store, end: Position, epochs: EpochTable, whole_from: Lsn) -> Process {
        Process {
            role: Role::Fenced,
            end,
            epochs,
            queue: VecDeque::new(),
            writing: false,
            syncing: false,
            store,
            received: VecDeque::new(),
            applying: false,
            whole_from,
            building: None,
            made: Vec::new(),
            in_hand: InHand::default(),
            sessions: BTreeMap::new(),
            waiting: Vec::new(),
            links: Vec::new(),
            tick_at: None,
            serial: 0,
            core: 0,
            part: None,
        }
    }

    /// A snapshot of this name can be given to followers.
    pub(crate) fn name_snapshot(&mut self, node: u128, life: u64) -> SnapshotId {
        self.serial += 1;
        SnapshotId(node << 64 | u128::from(life) << 32 | u128::from(self.serial))
    }

    /// What is committed, as far as this node knows.
    pub(crate) fn commit(&self) -> Lsn {
        match &self.role {
            Role::Leading(leading) => leading.commit,
            Role::Following(following) => following.core.commit(),
            Role::Recovering { .. } | Role::Fenced => Lsn::ZERO,
        }
    }
}
