//! History is cut, and goes on otherwise: what counts afterwards is the new branch, whenever the power
//! fails; what was cut off is kept in an archive.

mod fixture;

use fixture::{
    append, effects, files, identity, open, options, recover_all, reopen, segments, stream,
};
use proptest::prelude::*;
use trefoil_clock::{Epoch, Hlc, Lsn, NodeId, ShardId};
use trefoil_log::{
    ArchiveError, DivergedReader, EpochCause, EpochEntry, FaultDisk, FaultPlan, FrameBody, Note,
    Positions, Recovered, SEGMENT_HEADER_BYTES, SnapshotEnd, SnapshotHeader, SnapshotWriter,
    Writer, highest_snapshot_epoch, list_diverged, list_snapshots, recover, remove_diverged,
};

const SHARD: ShardId = ShardId(0);

/// The records that count, as `(lsn, effects)`.
fn recover_counting(disk: &FaultDisk) -> (Vec<(Lsn, Vec<u8>)>, Recovered) {
    let mut all = Vec::new();
    let recovered = recover(disk, identity(), &Positions::new(), |frame| {
        if let FrameBody::Runs(runs) = &frame.body {
            for record in runs.iter().flat_map(|run| run.records()) {
                let record = record.expect("whole");
                all.push((frame.header.seq, record.lsn, record.effects.to_vec()));
            }
        }
        Ok(())
    });
    let recovered = recovered.expect("a crash is not damage");
    let counts = |(seq, lsn, effects)| {
        (lsn <= recovered.end.voids.end_of(stream(), seq)).then_some((lsn, effects))
    };
    (all.into_iter().filter_map(counts).collect(), recovered)
}

fn archived(disk: &FaultDisk, at: usize) -> Result<Vec<(Lsn, Vec<u8>)>, ArchiveError> {
    let archive = &list_diverged(disk).expect("a listing")[at];
    let mut reader = DivergedReader::open(disk, archive)?;
    assert_eq!(reader.identity(), identity());
    let mut records = Vec::new();
    while let Some(run) = reader.next()? {
        let whole = run.records().map(|record| record.expect("whole"));
        records.extend(whole.map(|record| (record.lsn, record.effects.to_vec())));
    }
    Ok(records)
}

fn expected(lsns: std::ops::RangeInclusive<u64>, bytes: usize) -> Vec<(Lsn, Vec<u8>)> {
    lsns.map(|lsn| (Lsn(lsn), effects(Lsn(lsn), bytes))).collect()
}

fn snapshot(disk: &FaultDisk, start: u64, end: u64, epoch: u64) -> SnapshotWriter<FaultDisk> {
    let epochs =
        vec![EpochEntry { epoch: Epoch(epoch), leader: NodeId(1), first_lsn: Lsn(start + 1) }];
    let (start_lsn, start_hlc) = (Lsn(start), Hlc(start));
    let header =
        SnapshotHeader { identity: identity(), shard: SHARD, start_lsn, start_hlc, epochs };
    let writer = SnapshotWriter::create(disk.clone(), &header).expect("created");
    if end > 0 {
        writer.finish(SnapshotEnd { lsn: Lsn(end), hlc: Hlc(end) }).expect("finished");
        return SnapshotWriter::create(disk.clone(), &header).expect("created");
    }
    writer
}

#[test]
fn the_tail_is_archived_and_read_back() {
    let disk = FaultDisk::new();
    let mut writer = reopen(&disk);
    for _ in 0..30 {
        append(&mut writer, 4, 100).expect("appended");
    }
    assert!(segments(&disk).len() > 2);
    let archive = writer.archive_tail(stream(), Lsn(50)).expect("archived").expect("a tail");
    assert_eq!((archive.epoch, archive.first, archive.last), (Epoch(1), Lsn(51), Lsn(120)));
    assert_eq!(archived(&disk, 0).expect("whole"), expected(51..=120, 100));
    assert_eq!(writer.archive_tail(stream(), Lsn(50)).expect("archived"), Some(archive.clone()));
    assert_eq!(list_diverged(&disk).expect("a listing"), [archive], "the same archive once");
    assert_eq!(writer.archive_tail(stream(), Lsn(120)).expect("archived"), None);
    // The branch that follows is cut off below the first cut.
    writer.truncate_stream(SHARD, Lsn(50)).expect("cut");
    append(&mut writer, 70, 20).expect("appended");
    let second = writer.archive_tail(stream(), Lsn(40)).expect("archived").expect("a tail");
    assert_eq!((second.first, second.last), (Lsn(41), Lsn(120)));
    let both = [expected(41..=50, 100), expected(51..=120, 20)].concat();
    assert_eq!(archived(&disk, 0).expect("whole"), both);
    writer.truncate_stream(SHARD, Lsn(50)).expect("cut");
    append(&mut writer, 70, 20).expect("appended");
    let third = writer.archive_tail(stream(), Lsn(50)).expect("archived").expect("a tail");
    assert!(third.name.ends_with("-2.log"), "other records under the same numbers: {}", third.name);
    for archive in list_diverged(&disk).expect("a listing") {
        remove_diverged(&disk, &archive).expect("removed");
    }
    assert_eq!(files(&disk, ".part"), [""; 0]);
    recover_all(&disk);
}

#[test]
fn every_flipped_bit_of_an_archive_is_noticed() {
    let disk = FaultDisk::new();
    let mut writer = reopen(&disk);
    append(&mut writer, 3, 10).expect("appended");
    append(&mut writer, 3, 10).expect("appended");
    let name = writer.archive_tail(stream(), Lsn(2)).expect("archived").expect("a tail").name;
    let bytes = disk.contents(&name).expect("there").len() as u64;
    let whole = archived(&disk, 0).expect("whole");
    for byte in 0..bytes {
        disk.flip_bit(&name, byte, 3);
        match archived(&disk, 0) {
            Err(ArchiveError::Damaged { .. }) => {}
            // The header's own fields are not the records'.
            Ok(read) => assert!(byte < SEGMENT_HEADER_BYTES as u64 && read == whole),
            Err(other) => panic!("byte {byte}: {other}"),
        }
        disk.flip_bit(&name, byte, 3);
    }
}

#[test]
fn snapshots_that_end_behind_a_cut_are_void_but_their_epochs_are_remembered() {
    let disk = FaultDisk::new();
    let mut writer = reopen(&disk);
    append(&mut writer, 30, 10).expect("appended");
    writer.sync().expect("synced");
    drop(snapshot(&disk, 5, 10, 3));
    let unfinished = snapshot(&disk, 15, 20, 9);
    let voided = writer.truncate_stream(SHARD, Lsn(12)).expect("cut");
    assert_eq!(voided, ["snap-00000000000000000020.trefoil.void"]);
    let left = list_snapshots(&disk).expect("a listing");
    assert_eq!(left.iter().map(|one| one.end_lsn).collect::<Vec<_>>(), [Lsn(10)]);
    let late = unfinished.finish(SnapshotEnd { lsn: Lsn(25), hlc: Hlc(25) });
    late.expect_err("a snapshot of the old branch is not completed");
    assert_eq!(highest_snapshot_epoch(&disk).expect("readable"), Epoch(9));
    append(&mut writer, 8, 20).expect("appended");
    writer.sync().expect("synced");
    drop(snapshot(&disk, 15, 20, 4));
    writer.truncate_stream(SHARD, Lsn(12)).expect("cut");
    assert_eq!(files(&disk, ".void2").len(), 1, "a void snapshot is not overwritten");
}

#[test]
fn void_records_and_notes_count_for_the_highest_epoch() {
    let disk = FaultDisk::new();
    let mut writer = reopen(&disk);
    append(&mut writer, 5, 10).expect("appended");
    let entry = EpochEntry { epoch: Epoch(7), leader: NodeId(1), first_lsn: Lsn(4) };
    writer.truncate_stream(SHARD, Lsn(3)).expect("cut");
    let note = Note::EpochStart { shard: SHARD, entry, cause: EpochCause::Grant };
    writer.append_note(&note).expect("appended");
    writer.truncate_stream(SHARD, Lsn(2)).expect("cut");
    let (records, recovered) = recover_counting(&disk);
    assert_eq!(records, expected(1..=2, 10));
    assert_eq!(recovered.highest_epoch, Epoch(7));
    assert!(recovered.epochs[&SHARD].is_empty());
}

#[derive(Clone, Debug)]
enum Step {
    Append(u32),
    Large,
    Write,
    Sync,
    /// Archives and cuts so many records from the end.
    Cut(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (1u32..8).prop_map(Step::Append),
        1 => Just(Step::Large),
        2 => Just(Step::Write),
        2 => Just(Step::Sync),
        2 => (0u64..25).prop_map(Step::Cut),
    ]
}

#[derive(Default)]
struct Model {
    /// The size of each record that counts; its LSN is its index + 1.
    history: Vec<usize>,
    durable: usize,
    /// A cut that may have happened: the power failed meanwhile.
    perhaps_cut_to: Option<usize>,
    /// Sizes that tell one branch from another.
    next_bytes: usize,
}

impl Model {
    /// Returns false once the power is off.
    fn run(&mut self, writer: &mut Writer<FaultDisk>, step: &Step) -> bool {
        match *step {
            Step::Append(count) => self.append(writer, count, 0),
            Step::Large => self.append(writer, 1, 6000),
            Step::Write => drop(writer.write()),
            Step::Sync => drop(writer.sync()),
            Step::Cut(back) => {
                let lsn = self.history.len().saturating_sub(back as usize);
                if writer.archive_tail(stream(), Lsn(lsn as u64)).is_err() {
                    return false;
                }
                if writer.truncate_stream(SHARD, Lsn(lsn as u64)).is_err() {
                    self.perhaps_cut_to = Some(lsn);
                    return false;
                }
                self.history.truncate(lsn);
            }
        }
        self.durable = writer.durable(stream()).0 as usize;
        true
    }

    fn append(&mut self, writer: &mut Writer<FaultDisk>, count: u32, more: usize) {
        self.next_bytes = self.next_bytes % 90 + 1;
        let bytes = self.next_bytes + more;
        if append(writer, count, bytes).is_ok() {
            self.history.extend((0..count).map(|_| bytes));
        }
    }

    fn expected(&self) -> Vec<(Lsn, Vec<u8>)> {
        let record = |(at, bytes): (usize, &usize)| {
            let lsn = Lsn(at as u64 + 1);
            (lsn, effects(lsn, *bytes))
        };
        self.history.iter().enumerate().map(record).collect()
    }

    fn check(&mut self, disk: &FaultDisk) -> Recovered {
        let (records, recovered) = recover_counting(disk);
        assert_eq!(recovered.end.positions.get(stream()), Lsn(records.len() as u64));
        match self.perhaps_cut_to.take() {
            Some(lsn) if records.len() <= lsn && self.durable >= lsn => {
                assert_eq!(records.len(), lsn);
            }
            _ => assert!(records.len() >= self.durable, "{} of {}", records.len(), self.durable),
        }
        self.history.truncate(records.len());
        self.durable = records.len();
        assert!(records == self.expected(), "the records that count are those of the branch");
        recovered
    }
}

fn live(disk: &FaultDisk, model: &mut Model, steps: &[Step], power: u64, seed: u64) {
    let recovered = model.check(disk);
    let power_off_after = Some(disk.changes_done() + power);
    disk.plan(FaultPlan { power_off_after, ..FaultPlan::default() });
    let writer = Writer::open(disk.clone(), identity(), recovered.end, options());
    if let Ok(mut writer) = writer {
        let _ = steps.iter().all(|step| model.run(&mut writer, step));
    }
    disk.crash(seed);
    for at in 0..list_diverged(disk).expect("a listing").len() {
        archived(disk, at).expect("an archive that has its name is whole");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_cut_happens_wholly_or_not_at_all(
        lives in prop::collection::vec((prop::collection::vec(step(), 1..30), 0u64..90, any::<u64>()), 1..6),
    ) {
        let disk = FaultDisk::new();
        let mut model = Model::default();
        for (steps, power, seed) in &lives {
            live(&disk, &mut model, steps, *power, *seed);
        }
        model.check(&disk);
    }
}

#[test]
fn the_power_may_fail_at_every_step_of_a_cut() {
    let steps =
        [Step::Append(5), Step::Large, Step::Append(7), Step::Sync, Step::Cut(9), Step::Append(3)];
    for power in 0..60 {
        for seed in 0..8 {
            let disk = FaultDisk::new();
            let mut model = Model::default();
            live(&disk, &mut model, &steps, power, seed);
            live(&disk, &mut model, &steps, 90 - power, seed);
            model.check(&disk);
        }
    }
}

#[test]
fn a_writer_goes_on_behind_a_cut_after_a_restart() {
    let disk = FaultDisk::new();
    let mut writer = reopen(&disk);
    append(&mut writer, 9, 10).expect("appended");
    writer.truncate_stream(SHARD, Lsn(4)).expect("cut");
    let mut writer = open(&disk, recover_all(&disk).1);
    append(&mut writer, 2, 20).expect("appended");
    writer.sync().expect("synced");
    let (records, _) = recover_counting(&disk);
    assert_eq!(records, [expected(1..=4, 10), expected(5..=6, 20)].concat());
}
