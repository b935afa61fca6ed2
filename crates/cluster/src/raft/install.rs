//! Snapshots, on both sides: part by part, one under way at a time.
//!
//! Invariants: parts are of one snapshot of one leader in one term; what is assembled is bounded, and
//! grows only with what has really come.

use std::sync::Arc;

use trefoil_clock::NodeId;

use super::message::Chunk;
use super::progress::{Flow, Transit};
use super::{Action, Body, Config, Ignored, Index, LogPosition, Raft, Snapshot, State};

/// A snapshot of which parts have come.
#[derive(Debug)]
pub(super) struct Incoming {
    pub(super) at: LogPosition,
    total: usize,
    config: Config,
    pub(super) data: Vec<u8>,
}

impl Raft {
    /// A follower lacks what the log does not hold any more.
    pub(super) fn begin_snapshot(&mut self, to: NodeId, out: &mut Vec<Action>) {
        let snapshot = self.journal.snapshot().map(Arc::clone);
        let snapshot = snapshot.expect("what the log does not hold is in a snapshot");
        let State::Leader(leading) = &mut self.state else { return };
        let Some(progress) = leading.progress.get_mut(&to) else { return };
        progress.flow = Flow::Snapshot(Transit { snapshot, offset: 0, seq: 0 });
        self.send_chunk(to, out);
    }

    /// Sends the part that is next, again or for the first time.
    pub(super) fn send_chunk(&mut self, to: NodeId, out: &mut Vec<Action>) {
        let State::Leader(leading) = &mut self.state else { return };
        let Some(progress) = leading.progress.get_mut(&to) else { return };
        let Flow::Snapshot(transit) = &mut progress.flow else { return };
        leading.seq += 1;
        transit.seq = leading.seq;
        let Transit { snapshot, offset, seq } = transit;
        let rest = &snapshot.data[*offset..];
        let bytes = rest[..rest.len().min(self.options.chunk_bytes_max)].to_vec();
        let chunk = Chunk {
            seq: *seq,
            at: snapshot.position(),
            total: snapshot.data.len() as u64,
            offset: *offset as u64,
            config: (*offset == 0).then(|| snapshot.config.clone()),
            bytes,
        };
        self.send(to, Body::Chunk(chunk), out);
    }

    /// A follower has so much of its snapshot.
    pub(super) fn on_received(
        &mut self,
        now_ms: u64,
        from: NodeId,
        seq: u64,
        offset: u64,
        out: &mut Vec<Action>,
    ) -> Result<(), Ignored> {
        let progress = self.heard_from(now_ms, from)?;
        let Flow::Snapshot(transit) = &mut progress.flow else { return Err(Ignored::Stale) };
        if transit.seq != seq {
            return Err(Ignored::Stale);
        }
        let offset = usize::try_from(offset).unwrap_or(usize::MAX);
        if offset > transit.snapshot.data.len() {
            return Err(Ignored::Beyond);
        }
        transit.offset = offset;
        progress.moved = true;
        self.send_chunk(from, out);
        Ok(())
    }

    pub(super) fn on_chunk(
        &mut self,
        now_ms: u64,
        from: NodeId,
        chunk: Chunk,
        out: &mut Vec<Action>,
    ) -> Result<(), Ignored> {
        let (seq, at) = (chunk.seq, chunk.at);
        self.check_chunk(&chunk)?;
        self.follow(now_ms, from)?;
        if at.index <= self.committed() {
            let matched = at.index;
            self.send_when_durable(matched, from, Body::Accepted { seq, matched }, out);
            return Ok(());
        }
        // Terms never fall along a log, and what is committed here is in the leader's.
        let committed = self.journal.position(self.committed()).expect("it is held");
        if at.term < committed.term {
            return Err(Ignored::ConflictsWithCommitted);
        }
        let Some(incoming) = self.take_part(chunk) else {
            self.send(from, Body::Received { seq, offset: 0 }, out);
            return Ok(());
        };
        if incoming.data.len() < incoming.total {
            let offset = incoming.data.len() as u64;
            self.send(from, Body::Received { seq, offset }, out);
            return Ok(());
        }
        self.install(from, seq, out);
        Ok(())
    }

    fn check_chunk(&self, chunk: &Chunk) -> Result<(), Ignored> {
        if chunk.total > self.options.snapshot_bytes_max as u64 {
            return Err(Ignored::TooLarge);
        }
        let end = chunk.offset.checked_add(chunk.bytes.len() as u64);
        let fits = end.is_some_and(|end| end <= chunk.total);
        let config_ok = chunk.config.as_ref().is_none_or(Config::is_well_formed);
        let place_ok = chunk.at.term <= self.hard.term && chunk.at.index < Index::LIMIT;
        if fits && config_ok && place_ok { Ok(()) } else { Err(Ignored::Malformed) }
    }

    /// Adds a part to what has come; none: the begin is missing.
    fn take_part(&mut self, chunk: Chunk) -> Option<&Incoming> {
        let total = usize::try_from(chunk.total).ok()?;
        let is_same = |incoming: &&Incoming| incoming.at == chunk.at && incoming.total == total;
        if self.incoming.as_ref().filter(is_same).is_none() {
            let config = chunk.config.filter(|_| chunk.offset == 0)?;
            self.incoming = Some(Incoming { at: chunk.at, total, config, data: Vec::new() });
        }
        let incoming = self.incoming.as_mut()?;
        if incoming.data.len() as u64 == chunk.offset {
            incoming.data.extend_from_slice(&chunk.bytes);
        }
        Some(incoming)
    }

    /// All of it is here: it takes the place of state and log.
    fn install(&mut self, from: NodeId, seq: u64, out: &mut Vec<Action>) {
        let Incoming { at, config, data, .. } = self.incoming.take().expect("its last part came");
        let snapshot = Snapshot { index: at.index, term: at.term, config, data };
        self.writing.set_snapshot(snapshot.clone());
        out.push(Action::Install(snapshot.clone()));
        if let Some(from) = self.journal.install(snapshot) {
            self.writing.truncate(from);
        }
        let matched = at.index;
        self.send_when_durable(matched, from, Body::Accepted { seq, matched }, out);
    }

    /// Parts of a snapshot that the log has overtaken.
    pub(super) fn forget_old_parts(&mut self) {
        let committed = self.committed();
        self.incoming.take_if(|incoming| incoming.at.index <= committed);
    }
}
