//! What consensus remembers, on disk: written by a thread of its own, so that a slow sync delays no lease.
//!
//! Invariants: writes are synced in the order of their tickets, and told only then; a store that can't
//! be relied on any more ends the process.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail};
use trefoil_clock::NodeId;
use trefoil_cluster::control::{ControlWrite, Ticket};
use trefoil_cluster::raft::{Entry, HardState, Snapshot, Start, Write};
use trefoil_log::FsDisk;
use trefoil_log::control::{
    CONTROL_LOG, ControlLog, ControlLogError, ControlLogOptions, ControlRecord, Recovered,
};
use trefoil_node::peers::save_generation;

use super::mailbox::ControlMailbox;

/// While the disk is full, it is tried again after this time.
const FULL_WAIT: Duration = Duration::from_millis(250);

/// A write that waits.
pub(super) enum Job {
    /// Of what consensus remembers; its end is told.
    Write(Ticket, ControlWrite),
    /// Of the number of this node's life.
    Generation(u64),
}

/// See the module.
pub(crate) struct Storage {
    disk: FsDisk,
    log: ControlLog<FsDisk>,
}

impl Storage {
    /// Opens the store, and says what it remembers; nothing if the node starts for the first time.
    pub(crate) fn open(disk: &FsDisk, node: NodeId, first: First) -> Result<(Storage, Start)> {
        let opened = ControlLog::open(disk, node, ControlLogOptions::default());
        let (log, recovered) = opened.with_context(|| format!("{CONTROL_LOG} can't be used"))?;
        if recovered.created && first == First::No {
            bail!(
                "{CONTROL_LOG} is missing from the data directory: this node may have voted, and does not \
                 know how any more. Remove it from its cluster, start it with an empty data directory, \
                 and let it join anew. A node that was alone in its cluster keeps its data: remove \
                 node.generation, too"
            );
        }
        let start = decode(recovered)
            .with_context(|| format!("{CONTROL_LOG} holds what this release can't read"))?;
        start.check().map_err(|error| anyhow!("{CONTROL_LOG} can't be used: {error}"))?;
        Ok((Storage { disk: disk.clone(), log }, start))
    }

    /// Where jobs are put, and the thread that does them.
    pub(super) fn split(self, mailbox: Arc<ControlMailbox>) -> (Sender<Job>, StorageThread) {
        let (jobs, taken) = channel();
        (jobs, StorageThread { disk: self.disk, log: self.log, taken, mailbox })
    }
}

/// Whether a node has never started before.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum First {
    /// It has not.
    Yes,
    /// It has.
    No,
}

/// See the module.
pub(super) struct StorageThread {
    disk: FsDisk,
    log: ControlLog<FsDisk>,
    taken: Receiver<Job>,
    mailbox: Arc<ControlMailbox>,
}

impl StorageThread {
    /// Runs until nobody gives jobs any more.
    pub(super) fn run(mut self) {
        while let Ok(first) = self.taken.recv() {
            let jobs: Vec<Job> = std::iter::once(first).chain(self.taken.try_iter()).collect();
            let (mut written, mut tickets) = (Vec::new(), Vec::new());
            for job in jobs {
                match job {
                    Job::Write(ticket, write) => {
                        written.extend(records(&write));
                        tickets.push(ticket);
                    }
                    Job::Generation(generation) => self.keep_generation(generation),
                }
            }
            if !written.is_empty() {
                self.write(&written);
            }
            for ticket in tickets {
                self.mailbox.on_persisted(ticket);
            }
        }
    }

    /// If it is lost, the others find the number used twice, and it is raised again.
    fn keep_generation(&self, generation: u64) {
        if let Err(error) = save_generation(&self.disk, generation) {
            eprintln!("trefoil: the number of this node's life can't be kept: {error}");
        }
    }

    fn write(&mut self, records: &[ControlRecord]) {
        let mut told = false;
        while let Err(error) = self.log.write(records) {
            if !is_transient(&error) {
                eprintln!(
                    "trefoil: this node stops, since what it has agreed to can't be kept: {error}"
                );
                std::process::exit(1);
            }
            if !std::mem::replace(&mut told, true) {
                eprintln!("trefoil: {CONTROL_LOG} can't be written, it is tried again: {error}");
            }
            sleep(FULL_WAIT);
        }
    }
}

/// Whether nothing was changed, and it may go well next time.
fn is_transient(error: &ControlLogError) -> bool {
    matches!(error, ControlLogError::Io { .. } | ControlLogError::NoSpace)
}

/// As the store keeps it.
fn records(write: &ControlWrite) -> Vec<ControlRecord> {
    let ControlWrite::Raft(write) = write else { return vec![ControlRecord::Reset] };
    let mut records = Vec::new();
    if let Some(hard) = &write.hard {
        records.push(ControlRecord::Hard(encode(hard)));
    }
    if let Some(snapshot) = &write.snapshot {
        let index = snapshot.index.0;
        let keep_from = index + 1;
        records.push(ControlRecord::Snapshot { index, keep_from, bytes: encode(snapshot) });
    }
    if let Some(from) = write.truncate_from {
        records.push(ControlRecord::Truncate { from: from.0 });
    }
    records.extend(
        write
            .entries
            .iter()
            .map(|entry| ControlRecord::Entry { index: entry.index.0, bytes: encode(entry) }),
    );
    records
}

fn encode<T: serde::Serialize>(value: &T) -> Vec<u8> {
    postcard::to_allocvec(value).expect("what consensus remembers can be encoded")
}

/// The sum of what was written.
fn decode(recovered: Recovered) -> Result<Start, postcard::Error> {
    let mut start = Start::default();
    let hard: Option<HardState> =
        recovered.hard.map(|bytes| postcard::from_bytes(&bytes)).transpose()?;
    let snapshot: Option<Snapshot> =
        recovered.snapshot.map(|(_, bytes)| postcard::from_bytes(&bytes)).transpose()?;
    let entries: Result<Vec<Entry>, _> =
        recovered.entries.iter().map(|(_, bytes)| postcard::from_bytes(bytes)).collect();
    start.apply(Write { hard, snapshot, truncate_from: None, entries: entries? });
    Ok(start)
}

#[cfg(test)]
mod tests {
    use trefoil_clock::NodeId;
    use trefoil_cluster::raft::{Config, Index, Payload, Term};

    use super::*;

    fn entry(index: u64, bytes: u8) -> Entry {
        Entry { index: Index(index), term: Term(1), payload: Payload::Command(vec![bytes]) }
    }

    #[test]
    fn what_was_written_is_what_a_start_finds() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let disk = FsDisk::open(dir.path()).expect("a folder");
        let node = NodeId(7);
        let (mut storage, start) = Storage::open(&disk, node, First::Yes).expect("a new store");
        assert_eq!(start, Start::default());
        let founding = Start::founding(node, b"state".to_vec());
        let snapshot = Snapshot {
            index: Index(3),
            term: Term(1),
            config: Config::of_one(node),
            data: b"later".to_vec(),
        };
        let writes = [
            founding.write(),
            Write { entries: vec![entry(2, 1), entry(3, 2), entry(4, 3)], ..Write::default() },
            Write { truncate_from: Some(Index(4)), entries: vec![entry(4, 9)], ..Write::default() },
            Write { snapshot: Some(snapshot), ..Write::default() },
        ];
        let mut expected = Start::default();
        for write in writes {
            storage.log.write(&records(&ControlWrite::Raft(write.clone()))).expect("there is room");
            expected.apply(write);
        }
        drop(storage);
        let (mut storage, found) = Storage::open(&disk, node, First::No).expect("it is whole");
        assert_eq!(found, expected);
        storage.log.write(&records(&ControlWrite::Reset)).expect("there is room");
        drop(storage);
        let (_, found) = Storage::open(&disk, node, First::No).expect("it is whole");
        assert_eq!(found, Start::default());
    }

    #[test]
    fn a_node_that_has_lost_its_votes_does_not_start() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let disk = FsDisk::open(dir.path()).expect("a folder");
        assert!(Storage::open(&disk, NodeId(7), First::No).is_err());
    }
}
