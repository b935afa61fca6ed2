//! A disk in memory that forgets, tears, fills up and fails, for tests and simulation.
//!
//! Without planned faults it is an honest disk. [`FaultDisk::crash`] is a power loss: of what was not
//! synced, each 512-byte sector may or may not have reached the platter, in any order; the sector that was
//! written last may be torn within; names that were not synced may or may not have changed.
//!
//! Invariants:
//! * What a successful `sync_data` or `sync_dir` covered survives every crash.
//! * The same calls and seeds give the same bytes.
//! * A failed sync makes nothing durable.

mod dice;
mod file;

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use self::dice::Dice;
use self::file::Inode;
use crate::disk::{Disk, DiskFile};

/// A simulated disk. Clones are the same disk; so are handles that were opened before a crash.
#[derive(Clone, Debug, Default)]
pub struct FaultDisk {
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    /// Never shrinks: an inode without a name stays readable through its handles.
    inodes: Vec<Inode>,
    /// What programs see.
    names: BTreeMap<String, usize>,
    /// What a power loss leaves for certain.
    durable_names: BTreeMap<String, usize>,
    /// Changes of names since the last `sync_dir`, in order.
    pending: Vec<NameChange>,
    plan: FaultPlan,
    writes_done: u64,
    syncs_done: u64,
    changes_done: u64,
}

/// The faults to come. All numbers count from the disk's first operation of that kind, starting at 1.
#[derive(Clone, Debug, Default)]
pub struct FaultPlan {
    /// Bytes that all files together may have; beyond it writes are short, then fail with `StorageFull`.
    pub capacity_bytes: Option<u64>,
    /// The write that fails with an I/O error and changes nothing.
    pub fail_write: Option<u64>,
    /// The sync (of a file or of the directory) that fails with an I/O error.
    pub fail_sync: Option<u64>,
    /// The change (write, sync, allocation, truncation, or change of a name) that is the last one to happen:
    /// afterwards the power is off, and every change fails until [`FaultDisk::crash`].
    pub power_off_after: Option<u64>,
    /// Every n-th write writes only half of its bytes.
    pub short_write_every: Option<u64>,
}

#[derive(Clone, Debug)]
enum NameChange {
    Create { name: String, inode: usize },
    Rename { from: String, to: String },
    Remove { name: String },
}

impl NameChange {
    /// Does nothing if an earlier change that it builds on did not happen.
    fn apply(&self, names: &mut BTreeMap<String, usize>) {
        match self {
            NameChange::Create { name, inode } => {
                names.insert(name.clone(), *inode);
            }
            NameChange::Rename { from, to } => {
                if let Some(inode) = names.remove(from) {
                    names.insert(to.clone(), inode);
                }
            }
            NameChange::Remove { name } => {
                names.remove(name);
            }
        }
    }
}

impl FaultDisk {
    /// An empty disk without faults.
    #[must_use]
    pub fn new() -> FaultDisk {
        FaultDisk::default()
    }

    /// Replaces the faults to come.
    pub fn plan(&self, plan: FaultPlan) {
        self.lock().plan = plan;
    }

    /// Writes so far, to aim [`FaultPlan::fail_write`].
    #[must_use]
    pub fn writes_done(&self) -> u64 {
        self.lock().writes_done
    }

    /// Syncs so far, to aim [`FaultPlan::fail_sync`].
    #[must_use]
    pub fn syncs_done(&self) -> u64 {
        self.lock().syncs_done
    }

    /// Changes of any kind so far, to aim [`FaultPlan::power_off_after`].
    #[must_use]
    pub fn changes_done(&self) -> u64 {
        self.lock().changes_done
    }

    /// Bytes of all files together.
    #[must_use]
    pub fn used_bytes(&self) -> u64 {
        self.lock().used_bytes()
    }

    /// Power loss and restart. Planned faults are forgotten, everything that survived is durable.
    pub fn crash(&self, seed: u64) {
        let dice = &mut Dice::new(seed);
        let state = &mut *self.lock();
        // A journalled directory loses a suffix of the changes; others lose any of them.
        let journalled = dice.flip();
        let mut stopped = false;
        for change in std::mem::take(&mut state.pending) {
            stopped |= dice.flip();
            if !stopped {
                change.apply(&mut state.durable_names);
            }
            stopped &= journalled;
        }
        state.names.clone_from(&state.durable_names);
        for inode in &mut state.inodes {
            inode.crash(dice);
        }
        state.plan = FaultPlan::default();
    }

    /// Flips one bit of a stored file, live and durable.
    ///
    /// # Panics
    /// If there is no such file or byte.
    pub fn flip_bit(&self, name: &str, byte: u64, bit: u8) {
        let mut state = self.lock();
        let inode = *state.names.get(name).expect("a bit of an existing file is flipped");
        state.inodes[inode].flip_bit(byte as usize, bit);
    }

    /// A file's bytes as programs see them; `None` if there is no such file.
    #[must_use]
    pub fn contents(&self, name: &str) -> Option<Vec<u8>> {
        let state = self.lock();
        state.names.get(name).map(|inode| state.inodes[*inode].live().to_vec())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn handle(&self, inode: usize) -> FaultFile {
        FaultFile { disk: self.clone(), inode }
    }
}

impl State {
    fn used_bytes(&self) -> u64 {
        self.names.values().map(|inode| self.inodes[*inode].live().len() as u64).sum()
    }

    fn free_bytes(&self) -> u64 {
        self.plan.capacity_bytes.map_or(u64::MAX, |bytes| bytes.saturating_sub(self.used_bytes()))
    }

    fn find(&self, name: &str) -> io::Result<usize> {
        self.names.get(name).copied().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn change_name(&mut self, change: NameChange) -> io::Result<()> {
        self.count_change()?;
        change.apply(&mut self.names);
        self.pending.push(change);
        Ok(())
    }

    fn count_change(&mut self) -> io::Result<()> {
        if self.plan.power_off_after.is_some_and(|last| self.changes_done >= last) {
            return Err(io::Error::other("the power is off"));
        }
        self.changes_done += 1;
        Ok(())
    }

    fn count_sync(&mut self) -> io::Result<()> {
        self.count_change()?;
        self.syncs_done += 1;
        if self.plan.fail_sync == Some(self.syncs_done) {
            return Err(io::Error::other("injected sync failure"));
        }
        Ok(())
    }

    /// How many of `wanted` bytes the next write may write.
    fn admit_write(&mut self, inode: usize, wanted: usize, offset: u64) -> io::Result<usize> {
        self.count_change()?;
        self.writes_done += 1;
        if self.plan.fail_write == Some(self.writes_done) {
            return Err(io::Error::other("injected write failure"));
        }
        let size = self.inodes[inode].live().len() as u64;
        let writable = size.saturating_add(self.free_bytes()).saturating_sub(offset);
        let mut count = writable.min(wanted as u64) as usize;
        if count == 0 && wanted > 0 {
            return Err(io::ErrorKind::StorageFull.into());
        }
        if self.plan.short_write_every.is_some_and(|n| self.writes_done.is_multiple_of(n)) {
            count = count.div_ceil(2);
        }
        Ok(count)
    }
}

impl Disk for FaultDisk {
    type File = FaultFile;

    fn create(&self, name: &str) -> io::Result<FaultFile> {
        let state = &mut *self.lock();
        if state.names.contains_key(name) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let inode = state.inodes.len();
        state.inodes.push(Inode::default());
        state.change_name(NameChange::Create { name: name.to_owned(), inode })?;
        Ok(self.handle(inode))
    }

    fn open(&self, name: &str) -> io::Result<FaultFile> {
        let inode = self.lock().find(name)?;
        Ok(self.handle(inode))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut state = self.lock();
        state.find(from)?;
        state.change_name(NameChange::Rename { from: from.to_owned(), to: to.to_owned() })
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut state = self.lock();
        state.find(name)?;
        state.change_name(NameChange::Remove { name: name.to_owned() })
    }

    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.lock().names.keys().cloned().collect())
    }

    fn sync_dir(&self) -> io::Result<()> {
        let state = &mut *self.lock();
        state.count_sync()?;
        state.pending.clear();
        state.durable_names.clone_from(&state.names);
        Ok(())
    }

    fn available(&self) -> io::Result<u64> {
        Ok(self.lock().free_bytes())
    }
}

/// An open file of a [`FaultDisk`].
#[derive(Clone, Debug)]
pub struct FaultFile {
    disk: FaultDisk,
    inode: usize,
}

impl DiskFile for FaultFile {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        let state = self.disk.lock();
        let live = state.inodes[self.inode].live();
        let from = live.get(offset as usize..).unwrap_or_default();
        let count = from.len().min(buf.len());
        buf[..count].copy_from_slice(&from[..count]);
        Ok(count)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        let state = &mut *self.disk.lock();
        let count = state.admit_write(self.inode, bytes.len(), offset)?;
        state.inodes[self.inode].write(&bytes[..count], offset as usize);
        Ok(count)
    }

    fn size(&self) -> io::Result<u64> {
        Ok(self.disk.lock().inodes[self.inode].live().len() as u64)
    }

    fn preallocate(&self, size: u64) -> io::Result<()> {
        let state = &mut *self.disk.lock();
        let missing = size.saturating_sub(state.inodes[self.inode].live().len() as u64);
        if missing > state.free_bytes() {
            return Err(io::ErrorKind::StorageFull.into());
        }
        state.count_change()?;
        state.inodes[self.inode].grow(size as usize);
        Ok(())
    }

    fn truncate(&self, size: u64) -> io::Result<()> {
        let state = &mut *self.disk.lock();
        state.count_change()?;
        state.inodes[self.inode].truncate(size as usize);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        let state = &mut *self.disk.lock();
        state.count_sync()?;
        state.inodes[self.inode].sync();
        Ok(())
    }
}
