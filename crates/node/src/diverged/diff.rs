//! What writing an archive again would do, key by key: what the lost branch made of it, what is here now.
//!
//! It tells what [`super::Reapply`] would do, by the same rules, and changes nothing. What a key was at
//! the fork is known only if nobody has changed it since; otherwise changes of a part are told as such.

use std::collections::BTreeMap;

use trefoil_clock::Lsn;
use trefoil_log::{DivergedName, DivergedReader, FsDisk, FsFile};
use trefoil_store::Keyspace;
use trefoil_store::record::codec::TABLES;
use trefoil_store::record::{Cause, Effect};
use trefoil_store::txn::{StripeId, Txn, Writer};

use super::DivergedError;
use super::show::{SHOWN_MAX, line};

/// Changes of a part that are told of one key.
const PARTS_MAX: usize = 8;

/// The beginning of a value, and how long it is.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Glimpse {
    /// At most so much as is shown.
    pub head: Vec<u8>,
    /// Bytes of all of it.
    pub len: u64,
}

impl Glimpse {
    fn new(bytes: &[u8]) -> Glimpse {
        let mut glimpse = Glimpse::default();
        glimpse.put(0, bytes);
        glimpse
    }

    /// Writes over it from there on, as SETRANGE does.
    fn put(&mut self, offset: u64, bytes: &[u8]) {
        let from = usize::try_from(offset).unwrap_or(SHOWN_MAX).min(SHOWN_MAX);
        let to = from.saturating_add(bytes.len()).min(SHOWN_MAX);
        if to > self.head.len() {
            self.head.resize(to, 0);
        }
        self.head[from..to].copy_from_slice(&bytes[..to - from]);
        self.len = self.len.max(offset.saturating_add(bytes.len() as u64));
    }
}

/// What the lost branch made of a key.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Lost {
    /// A value.
    Value(Glimpse),
    /// It deleted it.
    Deleted,
    /// It changed a part of what is not known any more: the first of these changes, as commands.
    Parts(Vec<String>),
}

/// What writing it again would do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// It would be written: nobody has changed it since.
    Writes,
    /// Nothing: it has been changed since.
    Changed,
    /// Nothing: it is so already, or it was not a client who did it.
    Nothing,
}

impl Verdict {
    /// As the reply says it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Verdict::Writes => "writes",
            Verdict::Changed => "changed",
            Verdict::Nothing => "nothing",
        }
    }
}

/// A key that the lost branch changed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct KeyDiff {
    /// How often.
    pub changes: u64,
    /// In which record last.
    pub last: Lsn,
    /// When, Unix milliseconds.
    pub last_ms: u64,
    /// What it is there.
    pub lost: Lost,
    /// What it is here; None: it is not there.
    pub now: Option<Glimpse>,
    /// What would come of it.
    pub verdict: Verdict,
    /// Whether it would be there after the changes so far.
    is_there: bool,
    /// Whether the newer history has changed it.
    has_changed: bool,
}

/// See the module.
pub struct Diff {
    reader: DivergedReader<FsFile>,
    fork: Lsn,
    keys_max: usize,
    /// By database and key.
    pub keys: BTreeMap<(u8, Box<[u8]>), KeyDiff>,
    /// Changes of whole databases.
    pub whole: u64,
    /// Changes of keys beyond the first so many.
    pub left_off: u64,
}

impl Diff {
    /// Opens an archive. Of the keys the first so many are told.
    ///
    /// # Errors
    /// The archive can't be read.
    pub fn new(
        disk: &FsDisk,
        archive: &DivergedName,
        keys_max: usize,
    ) -> Result<Diff, DivergedError> {
        let reader = DivergedReader::open(disk, archive)?;
        let fork = Lsn(archive.first.0.saturating_sub(1));
        Ok(Diff { reader, fork, keys_max, keys: BTreeMap::new(), whole: 0, left_off: 0 })
    }

    /// Goes through the next run. False: that was all.
    ///
    /// # Errors
    /// The archive can't be read.
    pub fn step(
        &mut self,
        keyspace: &Keyspace,
        writer: &mut Writer,
    ) -> Result<bool, DivergedError> {
        let Some(run) = self.reader.next()? else { return Ok(false) };
        let mut place = Place { keyspace, writer, fork: self.fork };
        for record in run.records() {
            let record = record?;
            let mut bytes = record.effects;
            while !bytes.is_empty() {
                let effect = Effect::decode(&mut bytes)?;
                let Some((table, key)) = effect.key() else {
                    self.whole += 1;
                    continue;
                };
                let db = (0..TABLES).find(|&db| keyspace.table_of(db) == table).unwrap_or(table);
                let name = (db, key.into());
                if self.keys.len() >= self.keys_max && !self.keys.contains_key(&name) {
                    self.left_off += 1;
                    continue;
                }
                let row = self.keys.entry(name).or_insert_with(|| place.look(db, table, key));
                row.changes += 1;
                (row.last, row.last_ms) = (record.lsn, record.hlc.millis());
                let now_ms = place.writer.now_ms;
                row.take(&effect, now_ms);
            }
        }
        Ok(true)
    }
}

struct Place<'p> {
    keyspace: &'p Keyspace,
    writer: &'p mut Writer,
    fork: Lsn,
}

impl Place<'_> {
    /// A key as it is here.
    fn look(&mut self, db: u8, table: u8, bytes: &[u8]) -> KeyDiff {
        let key = self.keyspace.key(bytes);
        let mut stripes = vec![StripeId::new(table, key.stripe() as u16)];
        let mut txn = Txn::several(self.keyspace, self.writer, 0, &mut stripes);
        txn.select(db);
        let version = txn.peek(&key).map(|meta| meta.version);
        let now = txn.peek_string(&key).ok().flatten().map(|view| Glimpse::new(view.bytes()));
        txn.commit();
        let has_changed = version.is_some_and(|version| version > self.fork.0);
        KeyDiff {
            changes: 0,
            last: Lsn::ZERO,
            last_ms: 0,
            lost: match &now {
                Some(value) if !has_changed => Lost::Value(value.clone()),
                _ => Lost::Parts(Vec::new()),
            },
            is_there: version.is_some(),
            now,
            verdict: Verdict::Nothing,
            has_changed,
        }
    }
}

impl KeyDiff {
    fn take(&mut self, effect: &Effect<'_>, now_ms: u64) {
        let verdict = self.judge(effect, now_ms);
        self.verdict = match (self.verdict, verdict) {
            (Verdict::Writes, _) | (_, Verdict::Writes) => Verdict::Writes,
            (Verdict::Changed, _) | (_, Verdict::Changed) => Verdict::Changed,
            (Verdict::Nothing, Verdict::Nothing) => Verdict::Nothing,
        };
        match (effect, &mut self.lost) {
            (Effect::PutString { value, .. }, lost) => *lost = Lost::Value(Glimpse::new(value)),
            (Effect::Delete { .. }, lost) => *lost = Lost::Deleted,
            (Effect::Append { suffix, .. }, Lost::Value(value)) => value.put(value.len, suffix),
            (Effect::SetRange { offset, bytes, .. }, Lost::Value(value)) => {
                value.put(*offset, bytes);
            }
            (_, Lost::Parts(parts)) if parts.len() < PARTS_MAX => parts.push(line(effect)),
            _ => {}
        }
    }

    /// By the rules of [`super::Reapply`].
    fn judge(&mut self, effect: &Effect<'_>, now_ms: u64) -> Verdict {
        if self.has_changed {
            return Verdict::Changed;
        }
        match *effect {
            Effect::PutString { deadline: Some(ms), .. } if ms <= now_ms => Verdict::Nothing,
            Effect::PutString { .. } => {
                self.is_there = true;
                Verdict::Writes
            }
            Effect::Delete { cause: Cause::Expired | Cause::Evicted, .. } => Verdict::Nothing,
            Effect::Delete { .. } if !self.is_there => Verdict::Nothing,
            Effect::Delete { .. } => {
                self.is_there = false;
                Verdict::Writes
            }
            _ if !self.is_there => Verdict::Changed,
            _ => Verdict::Writes,
        }
    }

    /// Whether the value that was lost is the one that is here.
    #[must_use]
    pub fn is_same(&self) -> bool {
        match (&self.lost, &self.now) {
            (Lost::Value(lost), Some(now)) => lost == now && lost.len <= SHOWN_MAX as u64,
            (Lost::Deleted, now) => now.is_none(),
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_beginning_of_a_value_is_kept_whatever_is_written_to_it() {
        let mut value = Glimpse::new(b"abc");
        value.put(value.len, b"de");
        value.put(1, b"X");
        assert_eq!((value.head.as_slice(), value.len), (b"aXcde".as_slice(), 5));
        value.put(7, b"z");
        assert_eq!((value.head.as_slice(), value.len), (b"aXcde\0\0z".as_slice(), 8));
        value.put(1 << 40, b"far");
        assert_eq!((value.head.len(), value.len), (SHOWN_MAX, (1 << 40) + 3));
    }
}
