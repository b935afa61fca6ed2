//! Loads the pieces of a snapshot, with several threads.
//!
//! A piece is a part of one stripe of one table, so threads that load different pieces seldom meet.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::thread;

use trefoil_log::{DiskFile, PieceRef, SnapshotError, SnapshotReader};
use trefoil_store::Keyspace;
use trefoil_store::apply::load_piece;
use trefoil_store::record::codec::TABLES;
use trefoil_store::txn::Writer;

use crate::snapshot::NAMES_TABLE;

/// Pieces that a thread takes at once: mostly those of neighbouring stripes.
const TAKEN: usize = 8;

/// Loads all pieces and returns how many keys they hold.
pub(super) fn load<F: DiskFile>(
    snapshot: &SnapshotReader<F>,
    keyspace: &Keyspace,
    threads: usize,
) -> Result<u64, SnapshotError> {
    let pieces = snapshot.index()?;
    let threads = threads.min(pieces.len().div_ceil(TAKEN)).max(1);
    let loader = Loader {
        snapshot,
        keyspace,
        pieces,
        next: AtomicUsize::new(0),
        failed: AtomicBool::new(false),
    };
    thread::scope(|scope| {
        let loaders: Vec<_> = (1..threads)
            .map(|tally| {
                scope.spawn({
                    let loader = &loader;
                    move || loader.run(tally)
                })
            })
            .collect();
        let mut keys = loader.run(0);
        for thread in loaders {
            let loaded = thread.join().expect("loading a piece does not panic");
            keys = keys.and_then(|keys| Ok(keys + loaded?));
        }
        keys
    })
}

struct Loader<'a, F> {
    snapshot: &'a SnapshotReader<F>,
    keyspace: &'a Keyspace,
    pieces: Vec<PieceRef>,
    next: AtomicUsize,
    failed: AtomicBool,
}

impl<F: DiskFile> Loader<'_, F> {
    /// Loads pieces until none is left, or another thread has failed.
    fn run(&self, tally: usize) -> Result<u64, SnapshotError> {
        let mut writer = Writer::new(tally, 1);
        // Entries are as if used last when the snapshot ended, not long ago.
        writer.now_ms = self.snapshot.footer().end.hlc.millis();
        let (mut buffer, mut keys) = (Vec::new(), 0);
        while !self.failed.load(Relaxed) {
            let first = self.next.fetch_add(TAKEN, Relaxed);
            let Some(taken) = self.pieces.get(first..) else { break };
            for piece in taken.iter().take(TAKEN) {
                match self.load(piece, &mut writer, &mut buffer) {
                    Ok(loaded) => keys += loaded,
                    Err(error) => {
                        self.failed.store(true, Relaxed);
                        return Err(error);
                    }
                }
            }
        }
        Ok(keys)
    }

    fn load(
        &self,
        piece: &PieceRef,
        writer: &mut Writer,
        buffer: &mut Vec<u8>,
    ) -> Result<u64, SnapshotError> {
        let damaged = SnapshotError::Piece { offset: piece.offset };
        let payload = self.snapshot.read_piece(piece, buffer)?;
        if piece.head.table == NAMES_TABLE {
            let (version, names) = payload.split_first_chunk().ok_or(damaged)?;
            let damaged = SnapshotError::Piece { offset: piece.offset };
            let names: [u8; TABLES as usize] = names.try_into().map_err(|_| damaged)?;
            if names.iter().any(|&table| table >= TABLES) {
                return Err(SnapshotError::Piece { offset: piece.offset });
            }
            self.keyspace.restore_names(names, u64::from_le_bytes(*version));
            return Ok(0);
        }
        load_piece(self.keyspace, writer, payload).map_err(|_| damaged)
    }
}
