//! A node with its disk: what is synced survives, of the rest a part may.

use std::collections::VecDeque;

use trefoil_clock::NodeId;
use trefoil_cluster::raft::{
    Entry, Index, LogPosition, Options, Raft, Snapshot, Start, Ticket, Write,
};

/// See the module.
pub(crate) struct Machine {
    pub(crate) options: Options,
    /// None: it is down.
    pub(crate) raft: Option<Raft>,
    /// What is on the disk for sure.
    pub(crate) synced: Start,
    /// What the core was told is on the disk. The same, but for a defect.
    pub(crate) believed: Start,
    /// All that was to be written, synced or not.
    pub(crate) written: Start,
    pub(crate) unsynced: VecDeque<(Ticket, Write)>,
    /// What the core was not told of yet.
    untold: VecDeque<(Ticket, Write)>,
    /// When the sync that runs is done, and what it covers.
    pub(crate) sync: Option<(u64, Ticket)>,
    /// When its timer fires.
    pub(crate) timer_ms: Option<u64>,
    /// It does nothing until then.
    pub(crate) paused_until_ms: u64,
    pub(crate) state: Applied,
}

/// The state machine: where it stands, and the digest of all that brought it there.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Applied {
    pub(crate) index: Index,
    pub(crate) digest: u64,
}

impl Applied {
    /// The state after one more entry.
    pub(crate) fn after(self, entry: &Entry) -> Applied {
        let bytes = postcard::to_allocvec(entry).expect("an entry can be encoded");
        let mut digest = self.digest;
        for byte in bytes {
            digest = (digest ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3).rotate_left(7);
        }
        Applied { index: entry.index, digest }
    }

    /// Some bytes more than needed, so that a snapshot has several parts.
    pub(crate) fn save(self) -> Vec<u8> {
        self.digest.to_le_bytes().repeat(8)
    }

    pub(crate) fn load(snapshot: &Snapshot) -> Applied {
        let bytes: [u8; 8] = snapshot.data[..8].try_into().expect("eight bytes are eight");
        assert_eq!(snapshot.data, bytes.repeat(8), "a snapshot arrives as it was made");
        Applied { index: snapshot.index, digest: u64::from_le_bytes(bytes) }
    }
}

impl Machine {
    pub(crate) fn new(options: Options, start: Start) -> Machine {
        Machine {
            options,
            raft: None,
            synced: start.clone(),
            believed: start.clone(),
            written: start,
            unsynced: VecDeque::new(),
            untold: VecDeque::new(),
            sync: None,
            timer_ms: None,
            paused_until_ms: 0,
            state: Applied::default(),
        }
    }

    pub(crate) fn node(&self) -> NodeId {
        self.options.node
    }

    pub(crate) fn is_up(&self, now_ms: u64) -> bool {
        self.raft.is_some() && now_ms >= self.paused_until_ms
    }

    /// It stops at once. Of what was not synced so many writes reached the disk all the same.
    pub(crate) fn crash(&mut self, survive: usize) {
        for (_, write) in self.unsynced.drain(..).take(survive) {
            self.synced.apply(write);
        }
        self.raft = None;
        self.untold.clear();
        (self.sync, self.timer_ms, self.paused_until_ms) = (None, None, 0);
    }

    /// It starts with what its disk holds.
    pub(crate) fn start(&mut self, now_ms: u64, seed: u64) {
        self.options.seed = seed;
        self.believed = self.synced.clone();
        self.written = self.synced.clone();
        self.state = self.synced.snapshot.as_ref().map(Applied::load).unwrap_or_default();
        let start = self.synced.clone();
        self.raft = Some(Raft::new(self.options, start, now_ms).expect("a disk holds a log"));
    }

    /// The core wants this written.
    pub(crate) fn write(&mut self, ticket: Ticket, write: Write) {
        self.written.apply(write.clone());
        self.untold.push_back((ticket, write.clone()));
        self.unsynced.push_back((ticket, write));
    }

    /// The core is told that everything up to a write is there.
    pub(crate) fn tell(&mut self, ticket: Ticket) {
        while let Some((_, write)) = self.untold.pop_front_if(|(of, _)| *of <= ticket) {
            self.believed.apply(write);
        }
    }

    /// A sync is done: everything up to a write is there.
    pub(crate) fn on_synced(&mut self, ticket: Ticket) {
        while let Some((_, write)) = self.unsynced.pop_front_if(|(of, _)| *of <= ticket) {
            self.synced.apply(write);
        }
    }
}

/// The position at an index of a log; none if it is not held.
pub(crate) fn position(log: &Start, index: Index) -> Option<LogPosition> {
    let kept = log.snapshot.as_ref().map(Snapshot::position).unwrap_or_default();
    if index == kept.index {
        return Some(kept);
    }
    let behind = index.0.checked_sub(kept.index.0)?.checked_sub(1)?;
    let entry = log.entries.get(usize::try_from(behind).ok()?)?;
    assert_eq!(entry.index, index, "a log is dense");
    Some(entry.position())
}

/// Where a log ends.
pub(crate) fn last(log: &Start) -> Index {
    let kept = log.snapshot.as_ref().map_or(Index::ZERO, |snapshot| snapshot.index);
    log.entries.last().map_or(kept, |entry| entry.index)
}
