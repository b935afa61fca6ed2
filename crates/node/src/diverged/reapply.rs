//! Writes what an archive holds once more, where nobody has changed the key since.
//!
//! A key counts as changed if its version is behind the fork: then the newer history has written it.
//! A key that is not there has no version. What creates it is written, though the newer history may
//! have deleted it; what changes only a part of it is not. Nothing is done about whole databases
//! (FLUSHDB, SWAPDB), nor for what had expired or was evicted.

use std::collections::HashMap;

use trefoil_clock::Lsn;
use trefoil_log::{DivergedName, DivergedReader, FsDisk, FsFile, Run};
use trefoil_store::record::codec::TABLES;
use trefoil_store::record::{Cause, Effect};
use trefoil_store::txn::{Deadline, NewString, StripeId, Txn, Writer};
use trefoil_store::{Keyspace, Value};

use super::DivergedError;

/// How far it has come.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Reapplied {
    /// Records that were looked at.
    pub records: u64,
    /// Changes that were made.
    pub applied: u64,
    /// Changes that were not made, because the key has changed since.
    pub changed: u64,
    /// Changes that are never made again.
    pub ignored: u64,
    /// A reply depends on this record.
    pub depends_on: Lsn,
}

/// See the module.
pub struct Reapply {
    reader: DivergedReader<FsFile>,
    /// The last record that both histories have.
    fork: Lsn,
    /// Versions that were written here, by table and key.
    own: HashMap<(u8, Box<[u8]>), u64>,
    /// So far.
    pub report: Reapplied,
}

/// What becomes of a change.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    Applied,
    Changed,
    Ignored,
}

impl Reapply {
    /// Opens an archive.
    pub fn new(disk: &FsDisk, archive: &DivergedName) -> Result<Reapply, DivergedError> {
        let reader = DivergedReader::open(disk, archive)?;
        let fork = Lsn(archive.first.0.saturating_sub(1));
        Ok(Reapply { reader, fork, own: HashMap::new(), report: Reapplied::default() })
    }

    /// Goes through the next run. False: that was all.
    pub fn step(
        &mut self,
        keyspace: &Keyspace,
        writer: &mut Writer,
    ) -> Result<bool, DivergedError> {
        let Some(run) = self.reader.next()? else { return Ok(false) };
        let (fork, own, report) = (self.fork, &mut self.own, &mut self.report);
        apply_run(&run, &mut Target { keyspace, writer, fork, own, report })?;
        Ok(true)
    }
}

struct Target<'t> {
    keyspace: &'t Keyspace,
    writer: &'t mut Writer,
    fork: Lsn,
    own: &'t mut HashMap<(u8, Box<[u8]>), u64>,
    report: &'t mut Reapplied,
}

fn apply_run(run: &Run<'_>, target: &mut Target<'_>) -> Result<(), DivergedError> {
    for record in run.records() {
        let mut bytes = record?.effects;
        let mut effects = Vec::new();
        while !bytes.is_empty() {
            effects.push(Effect::decode(&mut bytes)?);
        }
        target.apply_record(&effects);
    }
    Ok(())
}

impl Target<'_> {
    /// What of a record can be written again is one record again.
    fn apply_record(&mut self, effects: &[Effect<'_>]) {
        self.report.records += 1;
        let keyspace = self.keyspace;
        let keys = || effects.iter().filter_map(Effect::key);
        let mut stripes: Vec<StripeId> = keys()
            .map(|(table, key)| StripeId::new(table, keyspace.key(key).stripe() as u16))
            .collect();
        let mut txn = Txn::several(keyspace, self.writer, 0, &mut stripes);
        let mut written = Vec::new();
        for effect in effects {
            let fate = apply(&mut txn, effect, self.fork, self.own);
            match fate {
                Fate::Applied => self.report.applied += 1,
                Fate::Changed => self.report.changed += 1,
                Fate::Ignored => self.report.ignored += 1,
            }
            if let (Fate::Applied, Some(key)) = (fate, effect.key()) {
                written.push(key);
            }
        }
        if let Some(lsn) = txn.commit().written {
            self.report.depends_on = lsn;
            for (table, key) in written {
                self.own.insert((table, key.into()), lsn.0);
            }
        }
    }
}

fn apply(
    txn: &mut Txn<'_>,
    effect: &Effect<'_>,
    fork: Lsn,
    own: &HashMap<(u8, Box<[u8]>), u64>,
) -> Fate {
    let Some((table, bytes)) = effect.key() else { return Fate::Ignored };
    let keyspace = txn.keyspace();
    let Some(db) = (0..TABLES).find(|&db| keyspace.table_of(db) == table) else {
        return Fate::Ignored;
    };
    txn.select(db);
    let key = keyspace.key(bytes);
    let version = txn.peek(&key).map(|meta| meta.version);
    let is_ours = |version: u64| {
        own.get(&(table, bytes.into())) == Some(&version)
            || txn.stamp().is_some_and(|(lsn, _)| lsn.0 == version)
    };
    if version.is_some_and(|version| version > fork.0 && !is_ours(version)) {
        return Fate::Changed;
    }
    let is_over = |deadline: Option<u64>| deadline.is_some_and(|ms| ms <= txn.now_ms());
    match *effect {
        Effect::PutString { deadline, .. } if is_over(deadline) => return Fate::Ignored,
        Effect::PutString { value, deadline, raw, .. } => {
            let deadline = deadline.map_or(Deadline::None, Deadline::At);
            txn.put(&key, NewString { value: Value::Inline(value), raw }, deadline);
        }
        Effect::Delete { cause: Cause::Expired | Cause::Evicted, .. } => return Fate::Ignored,
        Effect::Delete { .. } if version.is_none() => return Fate::Ignored,
        Effect::Delete { .. } => {
            txn.delete(&key);
        }
        _ if version.is_none() => return Fate::Changed,
        Effect::SetDeadline { deadline, .. } => {
            txn.set_deadline(&key, deadline);
        }
        Effect::Append { suffix, .. } => txn.append(&key, suffix),
        Effect::SetRange { offset, bytes, .. } => txn.set_range(&key, offset as usize, bytes),
        Effect::Flush { .. } | Effect::Swap { .. } => return Fate::Ignored,
    }
    Fate::Applied
}
