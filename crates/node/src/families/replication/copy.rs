//! REPLICATION DIVERGED FETCH and STORE: an archive goes from the node that has it to the one that leads,
//! where it can be applied. `trefoil diverged apply` does that.
//!
//! Invariant: an archive has its name only once all of it is there and synced.

use std::io::{self, ErrorKind};

use trefoil_commands::{CommandError, parse_i64};
use trefoil_log::{Disk, DiskFile, DivergedName, DivergedReader, read_full_at, write_all_at};

use super::diverged::{disk, failed, wanted};
use crate::diverged::{self, DivergedError};
use crate::handler::{Flow, NodeCall};

/// Bytes that FETCH gives at most, and STORE takes.
const PIECE_BYTES_MAX: usize = 1 << 20;
/// An archive that is not all there yet.
const PART: &str = "diverged-copy.part";

/// `FETCH <id> <offset>`: the bytes from there on, none at the end.
pub(super) fn fetch(call: &mut NodeCall<'_>) -> Result<Flow, CommandError> {
    let offset = number(call.args.get(4))?;
    let disk = disk(call)?;
    let archive = diverged::find(&disk, &wanted(call)).map_err(failed)?;
    let mut piece = vec![0; PIECE_BYTES_MAX];
    let read = disk.open(&archive.name).and_then(|file| read_full_at(&file, &mut piece, offset));
    let count = read.map_err(|error| failed(error.into()))?;
    call.reply().bulk(&piece[..count]);
    Ok(Flow::Continue)
}

/// `STORE <file> <offset> <bytes>`: the next piece; `STORE <file> <length> END`: that was all.
pub(super) fn store(call: &mut NodeCall<'_>) -> Result<Flow, CommandError> {
    let archive = DivergedName::parse(&wanted(call))
        .ok_or(CommandError::Other("ERR that is no archive's file name"))?;
    let (offset, piece) = (number(call.args.get(4))?, call.args.get(5));
    let disk = disk(call)?;
    let is_there = diverged::find(&disk, &diverged::id(&archive.name)).is_ok();
    if is_there {
        return Err(CommandError::Other("ERR there is such an archive already"));
    }
    if piece.len() > PIECE_BYTES_MAX {
        return Err(CommandError::Other("ERR a piece is at most 1 MB"));
    }
    let stored = match piece.eq_ignore_ascii_case(b"END") {
        true => finish(&disk, &archive, offset),
        false => add(&disk, offset, piece).map_err(DivergedError::from),
    };
    stored.map_err(failed)?;
    call.reply().ok();
    Ok(Flow::Continue)
}

fn number(word: &[u8]) -> Result<u64, CommandError> {
    parse_i64(word).and_then(|number| u64::try_from(number).ok()).ok_or(CommandError::NotInteger)
}

/// Pieces come in order; the first one begins anew.
fn add(disk: &impl Disk, offset: u64, piece: &[u8]) -> io::Result<()> {
    if offset == 0 {
        match disk.remove(PART) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        disk.create(PART)?;
    }
    let file = disk.open(PART)?;
    if file.size()? != offset {
        return Err(io::Error::other("that is not the next piece; begin with the first one"));
    }
    write_all_at(&file, piece, offset).map_err(|partial| partial.source)
}

fn finish<D: Disk>(disk: &D, archive: &DivergedName, len: u64) -> Result<(), DivergedError> {
    let file = disk.open(PART)?;
    if file.size()? != len {
        return Err(io::Error::other("pieces of it are missing").into());
    }
    file.sync_data()?;
    // Whether it is an archive at all; its records are checked when they are read.
    DivergedReader::open(disk, &DivergedName { name: PART.into(), ..archive.clone() })?;
    disk.rename(PART, &archive.name)?;
    disk.sync_dir()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::diverged::testing::{node_with_archive, put};
    use crate::handler::Flow;
    use crate::harness::TestNode;

    #[test]
    fn an_archive_goes_to_the_node_that_leads_and_is_applied_there() {
        let (mut old, dir, archive) = node_with_archive(3, &[&[put("a", "1")], &[put("b", "2")]]);
        let bytes = std::fs::read(dir.path().join(&archive.name)).expect("an archive");
        let mut client = old.client();
        let fetched = old.run(&mut client, "REPLICATION DIVERGED FETCH 3-3-4 0");
        assert!(fetched.starts_with(&format!("${} ", bytes.len())), "{fetched}");
        let end = format!("REPLICATION DIVERGED FETCH 3-3-4 {}", bytes.len());
        old.check(&mut client, &[(&end, "$0")]);

        let mut new = TestNode::new();
        let place = tempfile::tempdir().expect("a directory");
        let path = place.path().to_string_lossy().into_owned().into_bytes();
        *new.node.settings.data_dir.write().expect("no panic") = path;
        let mut client = new.client();
        let store = |offset: usize, piece: &[u8]| -> Vec<Vec<u8>> {
            let (name, offset) = (archive.name.as_bytes(), offset.to_string());
            let words: [&[u8]; 6] =
                [b"REPLICATION", b"DIVERGED", b"STORE", name, offset.as_bytes(), piece];
            words.map(<[u8]>::to_vec).to_vec()
        };
        let half = bytes.len() / 2;
        for (words, expected) in [
            (store(0, b"x"), "+OK"),
            (store(0, &bytes[..half]), "+OK"),
            (store(0, &bytes[..half]), "+OK"),
            (store(7, &bytes[half..]), "-ERR that is not the next piece; begin with the first one"),
            (store(bytes.len(), b"END"), "-ERR pieces of it are missing"),
            (store(half, &bytes[half..]), "+OK"),
            (store(bytes.len(), b"END"), "+OK"),
            (store(0, &bytes), "-ERR there is such an archive already"),
        ] {
            let words: Vec<&[u8]> = words.iter().map(Vec::as_slice).collect();
            let reply = new.run_words(&mut client, &words);
            assert_eq!(String::from_utf8_lossy(&reply).trim_end(), expected);
        }
        new.check(
            &mut client,
            &[("REPLICATION DIVERGED STORE ../x 0 y", "-ERR that is no archive's file name")],
        );
        loop {
            let reply = new.run(&mut client, "REPLICATION DIVERGED APPLY 3-3-4");
            if client.flow != Flow::Retry {
                assert!(reply.contains("$7 applied :2"), "{reply}");
                break;
            }
        }
        new.check(&mut client, &[("MGET a b", "*2 $1 1 $1 2")]);
    }
}
