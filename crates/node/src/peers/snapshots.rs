//! Snapshots on their way: the leader's file that is being sent, the follower's that is being written.
//!
//! Any snapshot on disk that begins late enough will do; else one is taken. Its file stays open, so
//! that a later snapshot may remove its name meanwhile.

use std::io;

use trefoil_clock::Lsn;
use trefoil_log::{Disk, DiskFile, SnapshotReader, list_snapshots, read_full_at, write_all_at};
use trefoil_replication::{LeaderAction, LinkId, SnapshotReady};
use trefoil_wire::peer::{Chunk, Message, SnapshotId};

use super::{Part, Peers};

/// The file that a snapshot is received into.
pub const INCOMING: &str = "incoming.part";

/// A snapshot that followers fetch.
pub(super) struct HeldSnapshot<D: Disk> {
    id: SnapshotId,
    file: D::File,
}

impl<D: Disk> Peers<D> {
    /// The core wants a snapshot that starts at `start_min` or later.
    pub(super) fn want_snapshot(&mut self, start_min: Lsn, more: &mut Vec<LeaderAction>) {
        match self.find_snapshot(start_min) {
            Ok(Some((held, ready))) => {
                let now_ms = self.now_ms;
                let Part::Leading(leading) = &mut self.part else { return };
                leading.snapshot = Some(held);
                leading.wanted = None;
                leading.core.on_snapshot_ready(now_ms, ready, more);
            }
            Ok(None) => {
                if let Part::Leading(leading) = &mut self.part {
                    leading.wanted = Some(start_min);
                }
                self.node.snapshots.ask_or_schedule();
            }
            Err(error) => self.give_snapshot_up(&error, more),
        }
    }

    /// A snapshot was taken, or could not be.
    pub(super) fn on_snapshot_ended(&mut self) {
        let Part::Leading(leading) = &mut self.part else { return };
        let Some(start_min) = leading.wanted.take() else { return };
        let mut more = Vec::new();
        match self.find_snapshot(start_min) {
            Ok(None) if self.node.snapshots.last_failed() => {
                let error = io::Error::other("no snapshot could be taken");
                self.give_snapshot_up(&error, &mut more);
            }
            _ => self.want_snapshot(start_min, &mut more),
        }
        self.lead(|_, _, out| out.append(&mut more));
    }

    fn give_snapshot_up(&mut self, error: &io::Error, more: &mut Vec<LeaderAction>) {
        eprintln!("trefoil: a follower needs a snapshot: {error}");
        let now_ms = self.now_ms;
        if let Part::Leading(leading) = &mut self.part {
            leading.core.on_snapshot_failed(now_ms, more);
        }
    }

    /// The newest snapshot on disk, if it starts late enough.
    fn find_snapshot(
        &mut self,
        start_min: Lsn,
    ) -> io::Result<Option<(HeldSnapshot<D>, SnapshotReady)>> {
        let Some(newest) = list_snapshots(&self.disk)?.into_iter().max_by_key(|one| one.end_lsn)
        else {
            return Ok(None);
        };
        let Ok(reader) = SnapshotReader::open(&self.disk, &newest.name) else { return Ok(None) };
        let start_lsn = reader.header().start_lsn;
        if start_lsn < start_min {
            return Ok(None);
        }
        let epochs = self.node.replication.epochs();
        let file = self.disk.open(&newest.name)?;
        let random = (self.options.random)();
        let name: [u8; 16] = std::array::from_fn(|at| random[at]);
        let snapshot = SnapshotId(u128::from_le_bytes(name));
        let ready = SnapshotReady {
            snapshot,
            start: epochs.position(start_lsn),
            end: newest.end_lsn,
            bytes: file.size()?,
        };
        Ok(Some((HeldSnapshot { id: snapshot, file }, ready)))
    }

    pub(super) fn send_chunk(
        &mut self,
        link: LinkId,
        snapshot: SnapshotId,
        (offset, bytes_max): (u64, u64),
        more: &mut Vec<LeaderAction>,
    ) {
        let now_ms = self.now_ms;
        let Part::Leading(leading) = &mut self.part else { return };
        let Some(held) = leading.snapshot.as_ref().filter(|held| held.id == snapshot) else {
            return;
        };
        let mut bytes = vec![0; bytes_max as usize];
        match read_full_at(&held.file, &mut bytes, offset) {
            Ok(filled) => {
                bytes.truncate(filled);
                let chunk = Chunk { snapshot, offset, bytes: &bytes };
                if let Some(out) = self.outbound.get_mut(&link) {
                    out.put_large(&leading.core.fence(), &Message::Chunk(chunk));
                }
                leading.core.on_chunk_sent(now_ms, link, filled as u64, more);
            }
            Err(error) => {
                eprintln!("trefoil: a snapshot can't be read for a follower: {error}");
                if let Some(out) = self.outbound.get_mut(&link) {
                    out.close();
                }
            }
        }
    }

    pub(super) fn release_snapshot(&mut self, snapshot: SnapshotId) {
        if let Part::Leading(leading) = &mut self.part
            && leading.snapshot.as_ref().is_some_and(|held| held.id == snapshot)
        {
            leading.snapshot = None;
        }
    }
}

/// The place of a snapshot that is being received.
pub(super) struct Incoming<D: Disk> {
    file: D::File,
}

impl<D: Disk> Incoming<D> {
    /// Opens the place, keeping so many bytes of what is there.
    pub(super) fn open(disk: &D, keep: u64) -> io::Result<Incoming<D>> {
        if keep > 0 {
            let file = disk.open(INCOMING)?;
            if file.size()? < keep {
                return Err(io::Error::other("less of the snapshot is there than was thought"));
            }
            file.truncate(keep)?;
            return Ok(Incoming { file });
        }
        match disk.remove(INCOMING) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        Ok(Incoming { file: disk.create(INCOMING)? })
    }

    pub(super) fn write(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        write_all_at(&self.file, bytes, offset).map_err(|partial| partial.source)
    }
}
