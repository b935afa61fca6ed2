//! Runs outside of frames: one after another, each as it stands in a frame. So they travel to followers.

use crate::cursor::Cursor;
use crate::frame::decode_run;
use crate::run::Run;
use crate::writer::put_run_prefix;

/// Appends a run: header, length, payload.
///
/// # Panics
/// If the payload is 4 GiB or more; no frame is.
pub fn put_run(run: &Run<'_>, out: &mut Vec<u8>) {
    put_run_prefix(run, out);
    out.extend_from_slice(run.payload);
}

/// Reads what [`put_run`] wrote, from bytes of unknown quality.
#[derive(Clone, Debug)]
pub struct RunList<'a> {
    all: usize,
    cursor: Cursor<'a>,
    broken: bool,
}

impl<'a> RunList<'a> {
    /// Runs in exactly these bytes.
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> RunList<'a> {
        RunList { all: bytes.len(), cursor: Cursor::new(bytes), broken: false }
    }

    /// How many bytes are used up: right behind a run, where its payload ends.
    #[must_use]
    pub fn used(&self) -> usize {
        self.all - self.cursor.rest().len()
    }

    /// Whether the bytes ended in the middle of a run, or made no sense.
    #[must_use]
    pub fn is_broken(&self) -> bool {
        self.broken
    }
}

impl<'a> Iterator for RunList<'a> {
    type Item = Run<'a>;

    fn next(&mut self) -> Option<Run<'a>> {
        if self.broken || self.cursor.is_empty() {
            return None;
        }
        let mut cursor = self.cursor.clone();
        let run = decode_run(&mut cursor);
        match run {
            Some(_) => self.cursor = cursor,
            None => self.broken = true,
        }
        run
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use trefoil_clock::{Epoch, Hlc, Lsn, ShardId};

    use super::*;
    use crate::position::Stream;
    use crate::run::RunBuilder;

    fn runs(sizes: &[Vec<u8>]) -> Vec<RunBuilder> {
        let mut lsn = 1;
        let mut runs = Vec::new();
        for records in sizes {
            let stream = Stream::leader(ShardId(0));
            let mut run = RunBuilder::new(stream, Epoch(1), Lsn(lsn), Hlc(lsn));
            for &len in records {
                run.push(Hlc(lsn), &vec![len; usize::from(len)]);
                lsn += 1;
            }
            runs.push(run);
        }
        runs
    }

    proptest! {
        #[test]
        fn what_was_put_is_read(
            sizes in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..4), 0..5),
            cut in any::<prop::sample::Index>(),
        ) {
            let runs = runs(&sizes);
            let mut bytes = Vec::new();
            for run in &runs {
                put_run(&run.run(), &mut bytes);
            }
            let mut list = RunList::new(&bytes);
            prop_assert!(list.by_ref().eq(runs.iter().map(RunBuilder::run)));
            prop_assert!(!list.is_broken() && list.used() == bytes.len());
            let part = &bytes[..cut.index(bytes.len() + 1)];
            let mut list = RunList::new(part);
            let whole = list.by_ref().count();
            prop_assert!(whole <= runs.len());
            prop_assert_eq!(list.is_broken(), list.used() < part.len());
        }

        #[test]
        fn random_bytes_do_no_harm(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let mut list = RunList::new(&bytes);
            while list.next().is_some() {}
        }
    }
}
