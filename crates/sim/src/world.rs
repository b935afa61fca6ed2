//! A run: lives of one node on one disk, each ended in another way, and what is checked between them.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use trefoil_log::{FaultDisk, FaultPlan};
use trefoil_node::log::Fsync;

use crate::dice::Dice;
use crate::life::{Life, WORKERS};
use crate::model::{Model, State};

/// A defect that is built in, to see that the checkers find it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Sabotage {
    /// None.
    Nothing,
    /// Replies leave when the operating system has the record, also under `fsync always`.
    AcknowledgeWhenWritten,
    /// A transaction of several keys loses its last change.
    HalfTransactions,
}

/// A promise that was broken.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Failure {
    /// The seed that shows it.
    pub seed: u64,
    /// What was found.
    pub what: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Failure { seed, what } = self;
        write!(f, "{what}\nreplay: cargo run -p trefoil-sim -- --seed {seed}")
    }
}

/// How a life ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum End {
    PowerLoss,
    /// In the middle of something: the disk stops taking changes.
    PowerOff,
    Kill,
    Clean,
    /// A kill, and a bit flips while the node is down.
    Decay,
}

/// What a run has met, so that a test can tell whether the runs mean anything.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Coverage {
    /// Starts from a snapshot and a log that does not begin at the first record.
    pub from_snapshot: u64,
    /// Records that were lost by crashes, as they may be.
    pub records_lost: u64,
    /// Starts that refused a damaged file.
    pub refusals: u64,
    /// Starts that said what they left aside.
    pub warnings: u64,
    /// Times that writes were refused because the disk was full.
    pub disk_full: u64,
}

impl Coverage {
    /// Adds another run's.
    pub fn add(&mut self, other: &Coverage) {
        self.from_snapshot += other.from_snapshot;
        self.records_lost += other.records_lost;
        self.refusals += other.refusals;
        self.warnings += other.warnings;
        self.disk_full += other.disk_full;
    }
}

struct World {
    coverage: Coverage,
    seed: u64,
    sabotage: Sabotage,
    disk: FaultDisk,
    fsync: Fsync,
    now_ms: Arc<AtomicU64>,
    dice: Dice,
    model: Model,
    /// The longest time between two turns of the log thread in this life.
    gap_ms: u64,
    /// The disk was full or off in this life, so time bounds say nothing.
    disturbed: bool,
}

/// What a crash may leave.
struct Bounds {
    end: End,
    floor: u64,
    ceiling: u64,
    died_ms: u64,
}

/// Runs a seed.
///
/// # Errors
/// A promise was broken.
pub fn run(seed: u64, sabotage: Sabotage) -> Result<Coverage, Failure> {
    let mut dice = Dice::new(seed);
    let fsync = [Fsync::Always, Fsync::Everysec, Fsync::No][dice.below(3) as usize];
    let mut world = World {
        coverage: Coverage::default(),
        seed,
        sabotage,
        disk: FaultDisk::new(),
        fsync,
        now_ms: Arc::new(AtomicU64::new(0)),
        dice,
        model: Model::default(),
        gap_ms: 0,
        disturbed: false,
    };
    let mut bounds = Bounds { end: End::Clean, floor: 0, ceiling: 0, died_ms: 0 };
    for _ in 0..3 + world.dice.below(4) {
        let mut life = world.restart(&bounds)?;
        bounds = world.live(&mut life)?;
    }
    world.restart(&bounds)?;
    Ok(world.coverage)
}

impl World {
    fn fail<T>(&self, what: impl Into<String>) -> Result<T, Failure> {
        Err(Failure {
            seed: self.seed,
            what: format!("fsync {}: {}", self.fsync.name(), what.into()),
        })
    }

    /// Starts the node again and compares it with the model.
    fn restart(&mut self, bounds: &Bounds) -> Result<Life, Failure> {
        let mut flipped = if bounds.end == End::Decay { self.flip_a_bit() } else { None };
        let mut started = Life::begin(&self.disk, self.fsync, &self.now_ms, &mut self.dice);
        if let (Err(error), Some((name, byte, bit))) = (&started, &flipped) {
            if self.disk.contents(name).is_none() {
                return self.fail(format!("it refused to start, and yet {name} is gone: {error}"));
            }
            // Refused, so nothing was changed: with the bit flipped back it starts.
            self.disk.flip_bit(name, *byte, *bit);
            flipped = None;
            self.coverage.refusals += 1;
            started = Life::begin(&self.disk, self.fsync, &self.now_ms, &mut self.dice);
        }
        let (mut life, report) = match started {
            Ok(started) => started,
            Err(error) => {
                return self.fail(format!("after {:?} it does not start: {error}", bounds.end));
            }
        };
        let found = life.last_lsn();
        let Bounds { end, floor, ceiling, .. } = *bounds;
        let said = report.log.torn.is_some() || !report.rejected.is_empty();
        self.coverage.from_snapshot += u64::from(report.snapshot_lsn.0 > 0);
        self.coverage.warnings += u64::from(said);
        self.coverage.records_lost += ceiling.saturating_sub(found);
        // A damaged header of the last segment can look as if the segment had never been begun; then
        // its records are missing without a word. Everything else has to be said.
        let header_of_a_segment = flipped.as_ref().is_some_and(|(name, byte, _)| {
            name.starts_with("wal-") && *byte < trefoil_log::SEGMENT_HEADER_BYTES as u64
        });
        let excused = flipped.is_some() && (said || header_of_a_segment);
        if found > ceiling || (found < floor && !excused) {
            return self.fail(format!(
                "after {end:?} {flipped:?} the last record is {found}, it should be from {floor} to \
                 {ceiling}"
            ));
        }
        if end == End::Clean && !report.log.clean_stop && ceiling > 0 {
            return self.fail("a clean stop is not recognised");
        }
        if let Some(late) = self.lost_too_much(bounds, found) {
            return self.fail(format!("record {late} was handed over in time and is lost"));
        }
        let expected = self.model.state_at(found);
        if let Some(difference) = difference(&expected, &life.contents()) {
            return self.fail(format!("after {end:?}, at record {found}: {difference}"));
        }
        self.model.cut(found);
        Ok(life)
    }

    /// P2: the first record that was published more than a second before the end, and is lost.
    fn lost_too_much(&self, bounds: &Bounds, found: u64) -> Option<u64> {
        let applies = bounds.end == End::PowerLoss && self.fsync == Fsync::Everysec;
        if self.disturbed || !applies {
            return None;
        }
        let allowed_ms = 1_000 + 2 * self.gap_ms;
        let mut published = 0;
        for transaction in &self.model.since {
            published = published.max(transaction.published_ms?);
            if transaction.lsn > found && published + allowed_ms < bounds.died_ms {
                return Some(transaction.lsn);
            }
        }
        None
    }

    /// A life, and what its end may leave.
    fn live(&mut self, life: &mut Life) -> Result<Bounds, Failure> {
        let end =
            [End::PowerLoss, End::PowerLoss, End::PowerOff, End::Kill, End::Clean, End::Decay]
                [self.dice.below(6) as usize];
        (self.gap_ms, self.disturbed) = (0, false);
        let steps = 10 + self.dice.below(150);
        let off_at = self.dice.below(steps);
        let (mut last_turn, mut full) = (self.now(), false);
        for step in 0..steps {
            if end == End::PowerOff && step == off_at {
                let last = self.disk.changes_done() + self.dice.below(40);
                self.disk.plan(FaultPlan { power_off_after: Some(last), ..FaultPlan::default() });
                self.disturbed = true;
            } else if end != End::PowerOff && self.dice.one_in(60) {
                full = !full;
                self.fill(full);
            }
            self.now_ms.fetch_add(self.dice.below(80), Relaxed);
            self.coverage.disk_full += u64::from(full && life.refuses());
            if self.step(life)? {
                self.gap_ms = self.gap_ms.max(self.now() - last_turn);
                last_turn = self.now();
            }
            if life.is_lost() {
                break;
            }
        }
        self.gap_ms = self.gap_ms.max(self.now() - last_turn);
        if full {
            self.fill(false);
        }
        self.end(life, end)
    }

    /// Lets the disk be full, or not.
    fn fill(&mut self, full: bool) {
        self.disturbed = true;
        let capacity_bytes = full.then(|| self.disk.used_bytes() + self.dice.below(3_000));
        self.disk.plan(FaultPlan { capacity_bytes, ..FaultPlan::default() });
    }

    /// One thing happens. Whether it was a turn of the log thread.
    fn step(&mut self, life: &mut Life) -> Result<bool, Failure> {
        match self.dice.below(10) {
            0..=4 if !life.refuses() => {
                let now = self.now();
                if let Some(mut transaction) = life.transact(now, &mut self.dice) {
                    if self.sabotage == Sabotage::HalfTransactions && transaction.changes.len() > 2
                    {
                        transaction.changes.pop();
                    }
                    self.model.since.push(transaction);
                }
                Ok(false)
            }
            5 | 6 => {
                let worker = self.dice.below(WORKERS as u64) as usize;
                self.publish(life, worker);
                Ok(false)
            }
            7 => {
                let steps = 1 + self.dice.below(1_500);
                life.work_on_snapshot(steps);
                Ok(false)
            }
            _ => {
                life.drive_or_note_the_loss();
                Ok(true)
            }
        }
    }

    fn publish(&mut self, life: &mut Life, worker: usize) {
        let now = self.now();
        let Some(batch) = life.publish(worker) else { return };
        for run in &batch.runs {
            let lsns = run.base.lsn.0..run.base.lsn.0 + u64::from(run.count);
            for transaction in self.model.since.iter_mut().rev() {
                if lsns.contains(&transaction.lsn) {
                    transaction.published_ms = Some(now);
                }
            }
        }
    }

    fn end(&mut self, life: &mut Life, end: End) -> Result<Bounds, Failure> {
        let died_ms = self.now();
        if end == End::Clean {
            let ceiling = life.last_lsn();
            if !life.stop() {
                return self.fail("the node can't stop cleanly on a disk that has room");
            }
            return Ok(Bounds { end, floor: ceiling, ceiling, died_ms });
        }
        let (written, durable) = life.progress();
        let acknowledged = match self.sabotage {
            Sabotage::AcknowledgeWhenWritten => written,
            Sabotage::Nothing | Sabotage::HalfTransactions => durable,
        };
        let floor = match end {
            End::PowerLoss | End::PowerOff => {
                self.disk.crash(self.dice.roll());
                acknowledged
            }
            End::Kill | End::Decay | End::Clean => written,
        };
        Ok(Bounds { end, floor: floor.0, ceiling: life.last_lsn(), died_ms })
    }

    /// Flips a bit of a stored file and says which.
    fn flip_a_bit(&mut self) -> Option<(String, u64, u8)> {
        let names: Vec<String> = trefoil_log::Disk::list(&self.disk).ok()?;
        let name = names.get(self.dice.below(names.len().max(1) as u64) as usize)?.clone();
        let len = self.disk.contents(&name)?.len() as u64;
        if len == 0 {
            return None;
        }
        let (byte, bit) = (self.dice.below(len), self.dice.below(8) as u8);
        self.disk.flip_bit(&name, byte, bit);
        Some((name, byte, bit))
    }

    fn now(&self) -> u64 {
        self.now_ms.load(Relaxed)
    }
}

/// The first difference between two states.
fn difference(expected: &State, found: &State) -> Option<String> {
    for (db, (expected, found)) in expected.iter().zip(found).enumerate() {
        for key in expected.keys().chain(found.keys()) {
            let (wanted, got) = (expected.get(key), found.get(key));
            if wanted != got {
                let show = |held: Option<&(Vec<u8>, Option<u64>)>| {
                    held.map(|(value, deadline)| (value.len(), value.first().copied(), *deadline))
                };
                return Some(format!(
                    "key {} of database {db} should be (length, first byte, deadline) {:?}, is {:?}",
                    String::from_utf8_lossy(key),
                    show(wanted),
                    show(got)
                ));
            }
        }
    }
    None
}
