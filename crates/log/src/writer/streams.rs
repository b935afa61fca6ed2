//! How far each stream's records have come: accepted, written, synced.

use trefoil_clock::Lsn;

use crate::position::{Positions, Stream};
use crate::run::Run;

/// Invariant: `durable <= written <= appended`.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Progress {
    pub(super) appended: Lsn,
    pub(super) written: Lsn,
    pub(super) durable: Lsn,
    /// What will be durable when the sync that is running succeeds.
    syncing: Lsn,
}

/// Progress per stream, sorted by stream.
#[derive(Debug, Default)]
pub(super) struct StreamTable {
    rows: Vec<(Stream, Progress)>,
}

impl StreamTable {
    pub(super) fn starting_at(ends: &Positions) -> StreamTable {
        let row = |(stream, lsn)| {
            (stream, Progress { appended: lsn, written: lsn, durable: lsn, syncing: lsn })
        };
        StreamTable { rows: ends.iter().map(row).collect() }
    }

    pub(super) fn get(&self, stream: Stream) -> Progress {
        let found = self.rows.binary_search_by_key(&stream, |row| row.0);
        found.map_or(Progress::default(), |at| self.rows[at].1)
    }

    /// Panics if the runs, in this order, leave a gap in a stream.
    pub(super) fn check_dense(&self, runs: &[Run<'_>]) {
        for (at, run) in runs.iter().enumerate() {
            let stream = run.header.stream();
            let earlier = runs[..at].iter().rev().find(|other| other.header.stream() == stream);
            let last =
                earlier.map_or_else(|| self.get(stream).appended, |other| other.header.last_lsn());
            assert!(run.header.count > 0, "a run holds at least one record");
            assert_eq!(run.header.base_lsn, last.next(), "records of {stream} are dense");
        }
    }

    pub(super) fn append(&mut self, stream: Stream, last: Lsn) {
        match self.rows.binary_search_by_key(&stream, |row| row.0) {
            Ok(at) => self.rows[at].1.appended = last,
            Err(at) => {
                self.rows.insert(at, (stream, Progress { appended: last, ..Progress::default() }));
            }
        }
    }

    pub(super) fn truncate(&mut self, stream: Stream, lsn: Lsn) {
        if let Ok(at) = self.rows.binary_search_by_key(&stream, |row| row.0) {
            let progress = &mut self.rows[at].1;
            for position in [
                &mut progress.appended,
                &mut progress.written,
                &mut progress.durable,
                &mut progress.syncing,
            ] {
                *position = lsn.min(*position);
            }
        }
    }

    pub(super) fn mark_written(&mut self) {
        for (_, progress) in &mut self.rows {
            progress.written = progress.appended;
        }
    }

    pub(super) fn mark_syncing(&mut self) {
        for (_, progress) in &mut self.rows {
            progress.syncing = progress.written;
        }
    }

    pub(super) fn mark_durable(&mut self) {
        for (_, progress) in &mut self.rows {
            progress.durable = progress.syncing;
        }
    }

    pub(super) fn appended_all(&self) -> Positions {
        self.rows.iter().map(|(stream, progress)| (*stream, progress.appended)).collect()
    }
}
