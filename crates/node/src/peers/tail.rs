//! Giving a recovering leader what this follower holds behind its end: a slice at a time, as the link
//! takes it.

use trefoil_clock::Lsn;
use trefoil_log::{Disk, TailError, TailReader, put_run};
use trefoil_wire::peer::{Append, Message};

use super::{Part, Peers};
use crate::log::stream;

/// Bytes of one message.
const MESSAGE_BYTES: u64 = 1 << 20;
/// No more is put on the link while so much of it waits.
const UNSENT_MAX: usize = 4 << 20;

/// A tail on its way.
pub(super) struct Tail<D: Disk> {
    reader: TailReader<D>,
    up_to: Lsn,
}

impl<D: Disk> Peers<D> {
    /// Begins to give the records behind `after`, up to `up_to`.
    pub(super) fn begin_tail(&mut self, after: Lsn, up_to: Lsn) {
        let identity = self.node.replication.identity();
        let mut reader = TailReader::new(self.disk.clone(), identity, stream());
        let sought = match self.node.log.written_end() {
            Some(written) => reader.seek(&written, after),
            None => Ok(()),
        };
        if let Err(error) = sought {
            return self.lose_tail(&error);
        }
        if let Part::Following(following) = &mut self.part {
            following.tail = Some(Tail { reader, up_to });
        }
        self.go_on_with_tail();
    }

    /// Goes on as far as the link has room; says so when that was all.
    pub(super) fn go_on_with_tail(&mut self) {
        let Part::Following(following) = &mut self.part else { return };
        let Some(mut tail) = following.tail.take() else { return };
        match self.send_slices(&mut tail) {
            Err(error) => self.lose_tail(&error),
            Ok(true) => self.follow(None, |core, now_ms, out| core.on_tail_sent(now_ms, out)),
            Ok(false) => {
                if let Part::Following(following) = &mut self.part {
                    following.tail = Some(tail);
                }
            }
        }
    }

    /// Whether all is sent.
    fn send_slices(&mut self, tail: &mut Tail<D>) -> Result<bool, TailError> {
        let Some(written) = self.node.log.written_end() else { return Ok(true) };
        let epochs = self.node.replication.epochs();
        let (commit, clock) = (self.node.replication.commit(), self.clock());
        let mut runs = Vec::new();
        while tail.reader.after() < tail.up_to {
            if self.unsent_to_leader() > UNSENT_MAX {
                return Ok(false);
            }
            let prev = epochs.position(tail.reader.after());
            runs.clear();
            let read = tail
                .reader
                .read(&written, tail.up_to, MESSAGE_BYTES, |run| put_run(&run, &mut runs))?;
            if read.runs > 0 {
                let append = Append { prev, commit, clock, flush: true, runs: &runs };
                self.put_as_follower(&Message::Append(append));
            } else if !read.more {
                break;
            }
        }
        Ok(true)
    }

    fn unsent_to_leader(&self) -> usize {
        let Part::Following(following) = &self.part else { return 0 };
        let out = following.link().and_then(|link| self.outbound.get(&link));
        out.map_or(0, |out| out.unsent().len())
    }

    fn lose_tail(&mut self, error: &TailError) {
        eprintln!("trefoil: the log can't be read back for the leader: {error}");
        self.leave_leader("our own log can't be read".into());
    }
}
