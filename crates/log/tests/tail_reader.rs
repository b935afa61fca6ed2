//! The log is read back while it is written: what a reader delivers is what was written, in order and
//! once, whatever the writer does meanwhile.

mod fixture;

use std::collections::BTreeMap;
use std::sync::mpsc;
use std::thread;

use fixture::{append, append_to, effects, identity, open, recover_all, reopen, segments, stream};
use proptest::prelude::*;
use trefoil_clock::{Lsn, Origin, ShardId};
use trefoil_log::{
    FaultDisk, Note, Positions, SEGMENT_HEADER_BYTES, Stream, TailError, TailRead, TailReader,
    Writer, recover,
};

fn other() -> Stream {
    Stream { shard: ShardId(3), origin: Origin(1) }
}

type Records = Vec<(Lsn, Vec<u8>)>;

fn reader(disk: &FaultDisk) -> TailReader<FaultDisk> {
    TailReader::new(disk.clone(), identity(), stream())
}

/// One call of `read`.
fn read_some(
    reader: &mut TailReader<FaultDisk>,
    writer: &Writer<FaultDisk>,
    up_to: Lsn,
    bytes_max: u64,
    out: &mut Records,
) -> Result<TailRead, TailError> {
    reader.read(&writer.written_end(stream()), up_to, bytes_max, |run| {
        assert_eq!(run.header.stream(), stream());
        out.extend(
            run.records().map(|record| record.expect("whole")).map(|r| (r.lsn, r.effects.to_vec())),
        );
    })
}

fn read_all(
    reader: &mut TailReader<FaultDisk>,
    writer: &Writer<FaultDisk>,
) -> Result<Records, TailError> {
    let mut out = Vec::new();
    while read_some(reader, writer, Lsn(u64::MAX), 700, &mut out)?.more {}
    Ok(out)
}

fn seek(
    reader: &mut TailReader<FaultDisk>,
    writer: &Writer<FaultDisk>,
    after: u64,
) -> Result<(), TailError> {
    reader.seek(&writer.written_end(stream()), Lsn(after))
}

fn lsns(records: &Records) -> Vec<u64> {
    records.iter().map(|(lsn, _)| lsn.0).collect()
}

#[test]
fn every_position_of_a_long_log_can_be_sought() {
    let disk = FaultDisk::new();
    let mut writer = reopen(&disk);
    for i in 0..60 {
        append(&mut writer, 3, 100).expect("appended");
        append_to(&mut writer, other(), 2, 50).expect("appended");
        if i % 7 == 0 {
            append(&mut writer, 1, 5000).expect("appended");
        }
    }
    writer.write().expect("written");
    assert!(segments(&disk).len() > 5);
    let end = writer.written(stream()).0;
    for after in 0..=end {
        let mut reader = reader(&disk);
        seek(&mut reader, &writer, after).expect("all of it is there");
        let records = read_all(&mut reader, &writer).expect("readable");
        assert_eq!(lsns(&records), (after + 1..=end).collect::<Vec<_>>());
    }
    let mut reader = reader(&disk);
    assert!(matches!(seek(&mut reader, &writer, end + 1), Err(TailError::Ahead { .. })));
}

#[test]
fn what_is_not_written_yet_is_not_read_and_comes_later() {
    let disk = FaultDisk::new();
    let mut writer = reopen(&disk);
    let mut reader = reader(&disk);
    seek(&mut reader, &writer, 0).expect("the beginning");
    assert_eq!(read_all(&mut reader, &writer).expect("readable"), []);
    append(&mut writer, 2, 10).expect("appended");
    assert_eq!(read_all(&mut reader, &writer).expect("readable"), [], "it is in the buffer");
    let stale = writer.written_end(stream());
    writer.write().expect("written");
    let none = reader.read(&stale, Lsn(9), 1000, |_| panic!("an older end knows of no record"));
    assert_eq!(none.expect("readable"), TailRead::default());
    assert_eq!(lsns(&read_all(&mut reader, &writer).expect("readable")), [1, 2]);
}

#[test]
fn a_reader_at_the_end_goes_on_after_a_restart_and_after_all_was_retained() {
    let disk = FaultDisk::new();
    let mut writer = reopen(&disk);
    append(&mut writer, 5, 10).expect("appended");
    writer.sync().expect("synced");
    let mut writer = open(&disk, recover_all(&disk).1);
    let mut reader = reader(&disk);
    seek(&mut reader, &writer, 5).expect("the end");
    writer.retain(&[(stream(), Lsn(5))].into_iter().collect()).expect("retained");
    assert_eq!(segments(&disk).len(), 0);
    assert_eq!(writer.stream_floor(stream()).lsn, Lsn(6));
    append(&mut writer, 2, 10).expect("appended");
    writer.write().expect("written");
    assert_eq!(lsns(&read_all(&mut reader, &writer).expect("readable")), [6, 7]);
    seek(&mut reader, &writer, 5).expect("the oldest record that is there");
    assert_eq!(lsns(&read_all(&mut reader, &writer).expect("readable")), [6, 7]);
    assert!(matches!(seek(&mut reader, &writer, 4), Err(TailError::Gone { .. })));
}

#[test]
fn a_recycled_segment_under_the_reader_is_gone() {
    let disk = FaultDisk::new();
    let mut writer = reopen(&disk);
    for _ in 0..10 {
        append(&mut writer, 3, 600).expect("appended");
    }
    writer.sync().expect("synced");
    let mut reader = reader(&disk);
    let before = writer.written_end(stream());
    seek(&mut reader, &writer, 0).expect("there");
    let mut records = Vec::new();
    read_some(&mut reader, &writer, Lsn(1), 1, &mut records).expect("readable");
    writer.retain(&[(stream(), Lsn(30))].into_iter().collect()).expect("retained");
    for _ in 0..10 {
        append(&mut writer, 3, 600).expect("appended");
    }
    writer.sync().expect("synced");
    // By what the reader knew, everything is still there.
    let mut read = |reader: &mut TailReader<FaultDisk>| {
        reader.read(&before, Lsn(30), u64::MAX, |run| {
            records.extend(
                run.records().map(|r| r.expect("whole")).map(|r| (r.lsn, r.effects.to_vec())),
            );
        })
    };
    assert!(matches!(read(&mut reader), Err(TailError::Gone { .. })));
    assert!(records.iter().all(|(lsn, bytes)| *bytes == effects(*lsn, 600)));
    let after = reader.after().0;
    assert!(matches!(seek(&mut reader, &writer, after), Err(TailError::Gone { .. })));
}

#[test]
fn damage_is_told_from_what_is_gone() {
    let disk = FaultDisk::new();
    let mut writer = reopen(&disk);
    for _ in 0..10 {
        append(&mut writer, 3, 600).expect("appended");
    }
    writer.sync().expect("synced");
    for name in [&segments(&disk)[0], segments(&disk).last().expect("some")] {
        disk.flip_bit(name, SEGMENT_HEADER_BYTES as u64 + 300, 1);
        let mut reader = reader(&disk);
        let read = seek(&mut reader, &writer, 0).and_then(|()| read_all(&mut reader, &writer));
        assert!(matches!(read, Err(TailError::Damaged { file, .. }) if file == *name));
        disk.flip_bit(name, SEGMENT_HEADER_BYTES as u64 + 300, 1);
    }
}

#[test]
fn nothing_before_a_cut_of_history_is_streamed() {
    let disk = FaultDisk::new();
    let mut writer = reopen(&disk);
    append(&mut writer, 10, 20).expect("appended");
    writer.write().expect("written");
    let (mut behind, mut at, mut ahead) = (reader(&disk), reader(&disk), reader(&disk));
    for (reader, after) in [(&mut behind, 2), (&mut at, 6), (&mut ahead, 8)] {
        seek(reader, &writer, after).expect("there");
    }
    read_all(&mut ahead, &writer).expect("readable");
    writer.append_note(&Note::Truncate { shard: ShardId(0), lsn: Lsn(6) }).expect("appended");
    append(&mut writer, 5, 30).expect("appended");
    writer.write().expect("written");
    for reader in [&mut behind, &mut at, &mut ahead] {
        assert!(matches!(read_all(reader, &writer), Err(TailError::Gone { .. })));
    }
    assert!(matches!(seek(&mut behind, &writer, 5), Err(TailError::Gone { .. })));
    for after in 6..=11 {
        seek(&mut at, &writer, after).expect("behind the cut");
        let records = read_all(&mut at, &writer).expect("readable");
        assert_eq!(lsns(&records), (after + 1..=11).collect::<Vec<_>>());
        assert!(records.iter().all(|(lsn, bytes)| *bytes == effects(*lsn, 30)), "the new ones");
    }
    // The floor survives a restart.
    writer.sync().expect("synced");
    let floor = writer.stream_floor(stream());
    let mut writer = open(&disk, recover_all(&disk).1);
    assert_eq!(writer.stream_floor(stream()), floor);
    writer.retain(&[(stream(), Lsn(11))].into_iter().collect()).expect("retained");
    assert_eq!(writer.stream_floor(stream()).lsn, Lsn(12));
}

#[test]
fn the_log_is_measured_by_its_segments() {
    let disk = FaultDisk::new();
    let mut writer = reopen(&disk);
    for _ in 0..50 {
        append(&mut writer, 4, 100).expect("appended");
    }
    writer.write().expect("written");
    assert!(writer.log_bytes() > 50 * 4 * 100);
    let behind: Vec<_> = (0..=200).map(|lsn| writer.bytes_after(stream(), Lsn(lsn))).collect();
    assert!(behind.is_sorted_by(|near, far| near >= far));
    assert_eq!(behind[200], 0);
    for (lsn, bytes) in behind.iter().enumerate() {
        let exact = (200 - lsn as u64) * 102;
        assert!(bytes.abs_diff(exact) < fixture::SEGMENT_BYTES, "{bytes} at {lsn}");
    }
}

#[test]
fn readers_on_other_threads_keep_up_with_the_writer() {
    let disk = FaultDisk::new();
    let mut writer = reopen(&disk);
    let follow = |ends: mpsc::Receiver<trefoil_log::WrittenEnd>, after: u64| {
        let mut reader = reader(&disk);
        let mut sought = false;
        let mut expected = after;
        for end in ends {
            if !sought && end.lsn >= Lsn(after) {
                reader.seek(&end, Lsn(after)).expect("there");
                sought = true;
            }
            while sought
                && reader
                    .read(&end, Lsn(u64::MAX), 2000, |run| {
                        for record in run.records().map(|record| record.expect("whole")) {
                            expected += 1;
                            assert_eq!(record.lsn, Lsn(expected));
                            assert_eq!(record.effects, effects(record.lsn, 40));
                        }
                    })
                    .expect("readable")
                    .more
            {}
        }
        expected
    };
    thread::scope(|scope| {
        let (sender, receiver) = mpsc::channel();
        let (late_sender, late_receiver) = mpsc::channel();
        let reader = scope.spawn(move || follow(receiver, 0));
        let late = scope.spawn(move || follow(late_receiver, 500));
        for _ in 0..400 {
            append(&mut writer, 5, 40).expect("appended");
            writer.write().expect("written");
            for sender in [&sender, &late_sender] {
                sender.send(writer.written_end(stream())).expect("the reader lives");
            }
        }
        drop((sender, late_sender));
        assert_eq!(reader.join().expect("it agrees"), 2000);
        assert_eq!(late.join().expect("it agrees"), 2000);
    });
}

#[derive(Clone, Debug)]
enum Step {
    Append(u32, usize),
    Other(u32),
    Write,
    Sync,
    Restart,
    Retain(u64),
    Truncate(u64),
    /// Reads up to so many records from the end, and so many bytes.
    Read(u64, u64),
    /// Seeks a position so far from the end.
    Seek(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (1u32..8, 0usize..300).prop_map(|(count, bytes)| Step::Append(count, bytes)),
        1 => (1u32..3, 3000usize..9000).prop_map(|(count, bytes)| Step::Append(count, bytes)),
        1 => (1u32..4).prop_map(Step::Other),
        4 => Just(Step::Write),
        1 => Just(Step::Sync),
        1 => Just(Step::Restart),
        1 => (0u64..40).prop_map(Step::Retain),
        1 => (0u64..12).prop_map(Step::Truncate),
        6 => (0u64..10, 1u64..3000).prop_map(|(short, bytes)| Step::Read(short, bytes)),
        2 => (0u64..40).prop_map(Step::Seek),
    ]
}

/// The history as it should be read, and the reader's place in it.
struct Model {
    disk: FaultDisk,
    writer: Writer<FaultDisk>,
    reader: TailReader<FaultDisk>,
    /// Of each record that counts the bytes.
    records: BTreeMap<u64, usize>,
    /// Up to where each stream's records are not needed any more.
    retained: Positions,
    /// The reader's position; `None`: it has to seek.
    at: Option<u64>,
}

impl Model {
    fn run(&mut self, step: &Step) {
        let end = self.writer.written(stream()).0;
        match *step {
            Step::Append(count, bytes) => {
                let base = self.writer.appended(stream()).0;
                append(&mut self.writer, count, bytes).expect("appended");
                self.records.extend((1..=u64::from(count)).map(|i| (base + i, bytes)));
            }
            Step::Other(count) => {
                append_to(&mut self.writer, other(), count, 30).expect("appended");
            }
            Step::Write => self.writer.write().expect("written"),
            Step::Sync => self.writer.sync().expect("synced"),
            Step::Restart => {
                self.writer.sync().expect("synced");
                let recovered = recover(&self.disk, identity(), &self.retained, |_| Ok(()));
                self.writer = open(&self.disk, recovered.expect("whole"));
            }
            Step::Retain(behind) => {
                for (stream, behind) in [(stream(), behind), (other(), 0)] {
                    let lsn = Lsn(self.writer.durable(stream).0.saturating_sub(behind));
                    self.retained.set(stream, lsn.max(self.retained.get(stream)));
                }
                self.writer.retain(&self.retained).expect("retained");
            }
            Step::Truncate(back) => {
                let lsn = self.writer.appended(stream()).0.saturating_sub(back);
                // Below that no snapshot would be left to start from.
                if Lsn(lsn) >= self.retained.get(stream()) {
                    let note = Note::Truncate { shard: ShardId(0), lsn: Lsn(lsn) };
                    self.writer.append_note(&note).expect("appended");
                    self.records.split_off(&(lsn + 1));
                }
            }
            Step::Read(short, bytes_max) => self.read(end.saturating_sub(short), bytes_max),
            Step::Seek(back) => {
                let after = end.saturating_sub(back);
                let there = Lsn(after).next() >= self.writer.stream_floor(stream()).lsn;
                let sought = seek(&mut self.reader, &self.writer, after);
                assert_eq!(sought.is_ok(), there, "{sought:?}");
                self.at = there.then_some(after);
            }
        }
    }

    fn read(&mut self, up_to: u64, bytes_max: u64) {
        let Some(at) = self.at else { return };
        let mut out = Vec::new();
        match read_some(&mut self.reader, &self.writer, Lsn(up_to), bytes_max, &mut out) {
            Ok(read) => {
                let last = at + out.len() as u64;
                assert_eq!(lsns(&out), (at + 1..=last).collect::<Vec<_>>());
                assert!(last <= up_to.max(at));
                assert!(read.more || last == up_to.max(at), "nothing is held back");
                assert!(!read.more || !out.is_empty(), "it moves on");
                for (lsn, bytes) in out {
                    assert_eq!(bytes, effects(lsn, self.records[&lsn.0]));
                }
                self.at = Some(last);
            }
            Err(TailError::Gone { .. }) => {
                let floor = self.writer.stream_floor(stream());
                let cut = floor.cut_by.0 > 0;
                assert!(cut || Lsn(at).next() < floor.lsn, "{at} is behind {floor:?}");
                self.at = None;
            }
            Err(error) => panic!("{error}"),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 800, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_reader_delivers_the_history_as_it_counts(steps in prop::collection::vec(step(), 1..120)) {
        let disk = FaultDisk::new();
        let writer = reopen(&disk);
        let reader = reader(&disk);
        let mut model = Model { disk, writer, reader, records: BTreeMap::new(), retained: Positions::new(), at: None };
        for step in &steps {
            model.run(step);
        }
        model.writer.write().expect("written");
        model.run(&Step::Seek(40));
        while model.at.is_some_and(|at| at < model.writer.written(stream()).0) {
            model.run(&Step::Read(0, 1000));
        }
    }
}
