//! Whatever is written to a control log and whenever the power fails: it holds exactly what was synced, and at
//! most the one batch whose sync was under way.

mod control_fixture;

use std::collections::BTreeMap;

use control_fixture::{open, options, try_open};
use proptest::prelude::*;
use trefoil_log::control::{ControlLogError, ControlRecord, Recovered};
use trefoil_log::{FaultDisk, FaultPlan};

const MARK_BYTES: u64 = 17;

/// A record in terms of what is there.
#[derive(Clone, Debug)]
enum Step {
    Hard(usize),
    Append(usize),
    /// Cuts so many entries off, as far as the snapshot allows.
    CutBack(u64),
    /// A snapshot so far before the end that keeps so many entries before it.
    Compact(u64, u64),
    /// A snapshot so far behind the end.
    Install(u64),
    Reset,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (0usize..60).prop_map(Step::Hard),
        6 => (0usize..300).prop_map(Step::Append),
        1 => (600usize..2500).prop_map(Step::Append),
        2 => (0u64..4).prop_map(Step::CutBack),
        3 => (0u64..4, 0u64..4).prop_map(|(behind, keep)| Step::Compact(behind, keep)),
        1 => (1u64..9).prop_map(Step::Install),
        1 => Just(Step::Reset),
    ]
}

/// What a store should hold, kept in another way than the store does.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
struct Model {
    hard: Option<Vec<u8>>,
    snapshot: Option<(u64, Vec<u8>)>,
    entries: BTreeMap<u64, Vec<u8>>,
    /// Makes contents differ.
    steps: u64,
}

impl Model {
    fn last(&self) -> u64 {
        let snapshot = self.snapshot.as_ref().map_or(0, |(index, _)| *index);
        self.entries.last_key_value().map_or(snapshot, |(index, _)| *index)
    }

    fn run(&mut self, step: &Step) -> ControlRecord {
        self.steps += 1;
        let content = |bytes| self.steps.to_le_bytes().into_iter().cycle().take(bytes).collect();
        let snapshot_index = self.snapshot.as_ref().map_or(0, |(index, _)| *index);
        match *step {
            Step::Hard(bytes) => {
                let bytes: Vec<u8> = content(bytes);
                self.hard = Some(bytes.clone());
                ControlRecord::Hard(bytes)
            }
            Step::Append(bytes) => {
                let (index, bytes): (_, Vec<u8>) = (self.last() + 1, content(bytes));
                self.entries.insert(index, bytes.clone());
                ControlRecord::Entry { index, bytes }
            }
            Step::CutBack(count) => {
                let from = (self.last() + 1).saturating_sub(count).max(snapshot_index + 1);
                self.entries.retain(|index, _| *index < from);
                ControlRecord::Truncate { from }
            }
            Step::Compact(behind, keep) => {
                let index = self.last().saturating_sub(behind).max(snapshot_index);
                self.snapshot(index, (index + 1).saturating_sub(keep), content(9))
            }
            Step::Install(ahead) => self.snapshot(self.last() + ahead, 0, content(400)),
            Step::Reset => {
                *self = Model { steps: self.steps, ..Model::default() };
                ControlRecord::Reset
            }
        }
    }

    fn snapshot(&mut self, index: u64, keep_from: u64, bytes: Vec<u8>) -> ControlRecord {
        if self.last() < index {
            self.entries.clear();
        }
        self.entries.retain(|entry, _| *entry >= keep_from);
        self.snapshot = Some((index, bytes.clone()));
        ControlRecord::Snapshot { index, keep_from, bytes }
    }

    fn is(&self, found: &Recovered) -> bool {
        let entries: Vec<_> = self.entries.clone().into_iter().collect();
        (&self.hard, &self.snapshot, &entries) == (&found.hard, &found.snapshot, &found.entries)
    }
}

/// One life of the process: its batches, what fails, and how it ends.
#[derive(Clone, Debug)]
struct Life {
    batches: Vec<Vec<Step>>,
    power_off_after: u64,
    opening_power_off_after: u64,
    free_bytes: Option<u64>,
    fail_write: u64,
    short_write_every: Option<u64>,
    crash_seed: u64,
    /// Whether the machine loses its power at the end, not only the process.
    power_loss: bool,
}

fn life() -> impl Strategy<Value = Life> {
    let batches = prop::collection::vec(prop::collection::vec(step(), 0..5), 1..30);
    let faults = (prop::option::of(0u64..4000), 0u64..100, prop::option::of(2u64..5));
    (batches, 0u64..160, 0u64..16, faults, any::<u64>(), any::<bool>()).prop_map(
        |(batches, power_off_after, opening_power_off_after, faults, crash_seed, power_loss)| {
            let (free_bytes, fail_write, short_write_every) = faults;
            Life {
                batches,
                power_off_after,
                opening_power_off_after,
                free_bytes,
                fail_write,
                short_write_every,
                crash_seed,
                power_loss,
            }
        },
    )
}

/// What the disk may hold: what was synced, and the batch whose sync failed.
#[derive(Default)]
struct Expected {
    synced: Model,
    under_way: Option<Model>,
}

impl Expected {
    fn check(&mut self, found: &Recovered) {
        if let Some(model) = self.under_way.take().filter(|model| model.is(found)) {
            self.synced = model;
        }
        assert!(self.synced.is(found), "{:?} is not {found:?}", self.synced);
    }

    fn live(&mut self, disk: &FaultDisk, life: &Life) {
        let mut log = open(disk).0;
        let free_bytes = life.free_bytes.map(|bytes| disk.used_bytes() + bytes);
        disk.plan(FaultPlan {
            power_off_after: Some(disk.changes_done() + life.power_off_after),
            short_write_every: life.short_write_every,
            fail_write: Some(disk.writes_done() + life.fail_write),
            capacity_bytes: free_bytes,
            ..FaultPlan::default()
        });
        for steps in &life.batches {
            let mut model = self.synced.clone();
            let records: Vec<_> = steps.iter().map(|step| model.run(step)).collect();
            match log.write(&records) {
                Ok(()) => self.synced = model,
                Err(ControlLogError::SyncFailed { .. }) => self.under_way = Some(model),
                Err(ControlLogError::Disorder(disorder)) => panic!("{disorder}"),
                Err(_) => {}
            }
            assert!(log.used_bytes() < 40_000, "the file is rewritten at times");
        }
    }
}

fn live_and_die(disk: &FaultDisk, expected: &mut Expected, life: &Life) {
    // An opening that is itself cut short must not change the outcome of the next one.
    let power_off_after = Some(disk.changes_done() + life.opening_power_off_after);
    disk.plan(FaultPlan { power_off_after, ..FaultPlan::default() });
    let _ = try_open(disk);
    disk.crash(life.crash_seed ^ 1);
    expected.check(&open(disk).1);
    expected.live(disk, life);
    disk.plan(FaultPlan::default());
    if life.power_loss {
        disk.crash(life.crash_seed);
    }
    expected.check(&open(disk).1);
    // What open has returned is durable.
    disk.crash(life.crash_seed ^ 2);
    let again = open(disk).1;
    assert!(again.torn_bytes <= MARK_BYTES, "only the mark may be torn");
    expected.check(&again);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_was_synced_is_there_and_nothing_else(lives in prop::collection::vec(life(), 1..5)) {
        let disk = FaultDisk::new();
        let mut expected = Expected::default();
        for life in &lives {
            live_and_die(&disk, &mut expected, life);
        }
    }
}

#[test]
fn a_power_loss_at_every_single_change_keeps_what_was_synced() {
    let batches: Vec<_> = (0..16)
        .map(|i| match i % 4 {
            0 => vec![Step::Hard(30), Step::Append(200)],
            1 => vec![Step::Append(700)],
            2 => vec![Step::CutBack(1), Step::Append(90), Step::Append(5)],
            _ => vec![Step::Compact(1, 1)],
        })
        .collect();
    for power_off_after in 0..90 {
        for seed in 0..6 {
            let disk = FaultDisk::new();
            let mut expected = Expected::default();
            let life = Life {
                batches: batches.clone(),
                power_off_after,
                opening_power_off_after: seed,
                free_bytes: None,
                fail_write: 0,
                short_write_every: (seed % 2 == 1).then_some(3),
                crash_seed: seed,
                power_loss: true,
            };
            live_and_die(&disk, &mut expected, &life);
            live_and_die(&disk, &mut expected, &life);
        }
    }
    assert!(options().rewrite_bytes < 4000, "so the lives above rewrite the file");
}
