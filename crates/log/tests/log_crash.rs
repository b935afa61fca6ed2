//! Whatever is done to a log and whenever the power fails: what is recovered is a prefix of what was
//! appended, and it contains everything that was synced.

mod fixture;

use fixture::{SEGMENT_BYTES, effects, identity, options, records_of, stream};
use proptest::prelude::*;
use trefoil_clock::{Epoch, Hlc, Lsn};
use trefoil_log::{
    Allocate, FaultDisk, FaultPlan, Positions, RecoverError, Recovered, RunBuilder, Writer,
    WriterOptions, recover,
};

#[derive(Clone, Debug)]
enum Step {
    /// Frames of one run each: number of records and their size.
    Append(u32, usize),
    Write,
    Sync,
    Prepare,
    /// Lets go of everything up to this many records before the last durable one.
    Retain(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (1u32..8, 0usize..400).prop_map(|(count, bytes)| Step::Append(count, bytes)),
        1 => (1u32..3, 3000usize..9000).prop_map(|(count, bytes)| Step::Append(count, bytes)),
        3 => Just(Step::Write),
        3 => Just(Step::Sync),
        2 => Just(Step::Prepare),
        1 => (0u64..20).prop_map(Step::Retain),
    ]
}

/// One life of the process: what it does, when the power fails, and with which luck.
#[derive(Clone, Debug)]
struct Life {
    steps: Vec<Step>,
    power_off_after: u64,
    recovery_power_off_after: u64,
    short_write_every: Option<u64>,
    crash_seed: u64,
    zero_fill: bool,
}

fn life() -> impl Strategy<Value = Life> {
    let steps = prop::collection::vec(step(), 1..40);
    let short = prop::option::of(2u64..5);
    (steps, 0u64..80, 0u64..20, short, any::<u64>(), any::<bool>()).prop_map(
        |(
            steps,
            power_off_after,
            recovery_power_off_after,
            short_write_every,
            crash_seed,
            zero_fill,
        )| Life {
            steps,
            power_off_after,
            recovery_power_off_after,
            short_write_every,
            crash_seed,
            zero_fill,
        },
    )
}

/// What the log should hold.
#[derive(Default)]
struct Model {
    /// Per accepted frame the LSNs in it and the size of its records.
    frames: Vec<(std::ops::Range<u64>, usize)>,
    durable: Lsn,
    retained_after: Lsn,
}

impl Model {
    fn run(&mut self, writer: &mut Writer<FaultDisk>, step: &Step) {
        match step {
            Step::Append(count, bytes) => self.append(writer, *count, *bytes),
            Step::Write => drop(writer.write()),
            Step::Sync => drop(writer.sync()),
            Step::Prepare => drop(writer.prepare()),
            Step::Retain(behind) => {
                let needed_after = Lsn(writer.durable(stream()).0.saturating_sub(*behind));
                self.retained_after = self.retained_after.max(needed_after);
                drop(writer.retain(&[(stream(), needed_after)].into_iter().collect()));
            }
        }
        assert!(writer.durable_seq() <= writer.written_seq());
        assert!(writer.written_seq() <= writer.appended_seq());
        self.durable = writer.durable(stream());
    }

    fn append(&mut self, writer: &mut Writer<FaultDisk>, count: u32, bytes: usize) {
        let base = writer.appended(stream()).next().0;
        let mut builder = RunBuilder::new(stream(), Epoch(1), Lsn(base), Hlc(base));
        for lsn in base..base + u64::from(count) {
            builder.push(Hlc(lsn), &effects(Lsn(lsn), bytes));
        }
        if writer.append_runs(&[builder.run()]).is_ok() {
            self.frames.push((base..base + u64::from(count), bytes));
        }
    }

    /// Compares with what was recovered, and forgets what was lost.
    fn check(&mut self, records: &[(Lsn, Vec<u8>)], recovered: &Recovered) {
        let last = recovered.end.positions.get(stream());
        assert!(
            last >= self.durable,
            "record {} was synced, {last} is the last recovered",
            self.durable
        );
        self.frames.retain(|(lsns, _)| lsns.start <= last.0);
        assert!(self.frames.last().is_none_or(|(lsns, _)| lsns.end == last.0 + 1), "no half frame");
        self.durable = last;
        let kept = self.frames.iter().flat_map(|(lsns, bytes)| {
            lsns.clone().map(|lsn| (Lsn(lsn), effects(Lsn(lsn), *bytes)))
        });
        // What lies behind the retention point may be gone or not.
        let expected: Vec<_> = kept.filter(|(lsn, _)| *lsn > self.retained_after).collect();
        let found: Vec<_> =
            records.iter().filter(|(lsn, _)| *lsn > self.retained_after).cloned().collect();
        assert!(found == expected, "{} records instead of {}", found.len(), expected.len());
    }
}

type Records = Vec<(Lsn, Vec<u8>)>;

fn recover_after(disk: &FaultDisk, after: Lsn) -> Result<(Records, Recovered), RecoverError> {
    let from: Positions = [(stream(), after)].into_iter().collect();
    let mut records = Vec::new();
    let recovered = recover(disk, identity(), &from, |frame| {
        records.extend(records_of(frame));
        Ok(())
    })?;
    Ok((records, recovered))
}

fn live_and_crash(disk: &FaultDisk, model: &mut Model, life: &Life) {
    let power_off = |after| {
        let power_off_after = Some(disk.changes_done() + after);
        let short_write_every = life.short_write_every;
        disk.plan(FaultPlan { power_off_after, short_write_every, ..FaultPlan::default() });
    };
    // A recovery that is itself cut short must not change the outcome of the next one.
    power_off(life.recovery_power_off_after);
    let _ = recover_after(disk, model.retained_after);
    disk.crash(life.crash_seed ^ 1);
    let (records, recovered) =
        recover_after(disk, model.retained_after).expect("a crash is not damage");
    model.check(&records, &recovered);
    let allocate = if life.zero_fill { Allocate::ZeroFill } else { Allocate::Fallocate };
    let options = WriterOptions { allocate, ..options() };
    power_off(life.power_off_after);
    if let Ok(mut writer) = Writer::open(disk.clone(), identity(), recovered.end, options) {
        for step in &life.steps {
            model.run(&mut writer, step);
        }
    }
    disk.crash(life.crash_seed);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_was_synced_survives_and_the_rest_is_a_prefix(lives in prop::collection::vec(life(), 1..6)) {
        let disk = FaultDisk::new();
        let mut model = Model::default();
        for life in &lives {
            live_and_crash(&disk, &mut model, life);
        }
        let (records, recovered) = recover_after(&disk, model.retained_after).expect("a crash is not damage");
        model.check(&records, &recovered);
    }
}

#[test]
fn a_crash_at_every_single_change_keeps_what_was_synced() {
    for last_change in 0..120 {
        for seed in 0..4 {
            let disk = FaultDisk::new();
            let mut model = Model::default();
            let steps = (0..40).map(|i| match i % 5 {
                0 => Step::Append(3, 200),
                1 => Step::Append(1, SEGMENT_BYTES as usize / 2),
                2 => Step::Sync,
                3 => Step::Retain(4),
                _ => Step::Prepare,
            });
            let life = Life {
                steps: steps.collect(),
                power_off_after: last_change,
                recovery_power_off_after: seed,
                short_write_every: None,
                crash_seed: seed,
                zero_fill: seed % 2 == 0,
            };
            live_and_crash(&disk, &mut model, &life);
            live_and_crash(&disk, &mut model, &life);
            let (records, recovered) =
                recover_after(&disk, model.retained_after).expect("a crash is not damage");
            model.check(&records, &recovered);
        }
    }
}

fn short_life(steps: Vec<Step>, power_off_after: u64, recovery: u64, crash_seed: u64) -> Life {
    Life {
        steps,
        power_off_after,
        recovery_power_off_after: recovery,
        short_write_every: None,
        crash_seed,
        zero_fill: false,
    }
}

fn check_lives(lives: &[Life]) {
    let disk = FaultDisk::new();
    let mut model = Model::default();
    for life in lives {
        live_and_crash(&disk, &mut model, life);
    }
    let (records, recovered) = recover_after(&disk, Lsn::ZERO).expect("a crash is not damage");
    model.check(&records, &recovered);
}

#[test]
fn a_spare_whose_renaming_was_lost_does_not_bring_its_frames_back() {
    let append = |bytes| Step::Append(1, bytes);
    check_lives(&[
        short_life(vec![append(0), Step::Prepare], 0, 0, 0),
        short_life(vec![append(0), Step::Prepare, Step::Write], 7, 0, 14_365_792_316_809_798_898),
        short_life(vec![append(1), Step::Prepare], 3, 0, 1_607_858_809_943_090_532),
    ]);
}

#[test]
fn removing_torn_segments_never_loses_the_first_before_the_last() {
    let append = Step::Append;
    let steps = vec![Step::Prepare, append(3, 122), append(2, 7095), append(1, 0), append(1, 3882)];
    check_lives(&[
        short_life(vec![append(1, 0)], 0, 0, 0),
        short_life(steps, 19, 0, 5_349_020_101_829_771_106),
        short_life(vec![append(1, 0)], 0, 3, 7_625_017_040_554_524_062),
    ]);
}
