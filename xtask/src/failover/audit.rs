//! Reads back what clients wrote, and accounts for what is missing.
//!
//! What was acknowledged is there. In `async` it may also stand in the archive of a node whose tail was
//! cut off, with a receipt that says so. What was refused is nowhere.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Result, bail};

use super::archive::{self, Archive};
use super::ledger::{Outcome, Verdict, Write, judge};
use crate::chaos::Acks;
use crate::chaos::resp::{Connection, Reply};

/// How long one page may take.
const PATIENCE: Duration = Duration::from_secs(20);
/// Keys in a page.
const PAGE: usize = 500;
/// So many of a kind are named in a complaint.
const NAMED: usize = 10;

/// What is wrong or missing so far.
pub(crate) struct Audit {
    acks: Acks,
    /// How many of each client's writes have been read back.
    read: Vec<usize>,
    /// Acknowledged and not there.
    lost: BTreeSet<Write>,
    ghosts: BTreeSet<Write>,
    foreign: BTreeSet<Write>,
    /// By node and id.
    archives: BTreeMap<(usize, String), Archive>,
    /// Nodes that hold something else than the leader.
    differences: Vec<String>,
}

impl Audit {
    pub(crate) fn new(acks: Acks, clients: usize) -> Audit {
        Audit {
            acks,
            read: vec![0; clients],
            lost: BTreeSet::new(),
            ghosts: BTreeSet::new(),
            foreign: BTreeSet::new(),
            archives: BTreeMap::new(),
            differences: Vec::new(),
        }
    }

    /// Reads what has been written since the last time at the leader, and all nodes' archives.
    pub(crate) fn advance(
        &mut self,
        addresses: &[SocketAddr],
        leader: usize,
        outcomes: &[Vec<Outcome>],
    ) -> Result<()> {
        let mut connection = Connection::open_at(addresses[leader], PATIENCE)?;
        let from = self.read.clone();
        for (write, outcome, found) in Pages::new(&mut connection, outcomes, &from).all()? {
            self.take_in(write, outcome, found.as_deref());
        }
        self.read = outcomes.iter().map(Vec::len).collect();
        self.read_archives(addresses)
    }

    /// Reads everything again, at every node, with what each node holds itself.
    pub(crate) fn finish(
        &mut self,
        addresses: &[SocketAddr],
        leader: usize,
        outcomes: &[Vec<Outcome>],
    ) -> Result<()> {
        self.read.fill(0);
        self.advance(addresses, leader, outcomes)?;
        let nothing_read = vec![0; outcomes.len()];
        let held = |node: usize| -> Result<Vec<(Write, Outcome, Option<String>)>> {
            let mut connection = Connection::open_at(addresses[node], PATIENCE)?;
            connection.call(&["CONSISTENCY", "eventual"])?;
            Pages::new(&mut connection, outcomes, &nothing_read).all()
        };
        let at_leader = held(leader)?;
        for node in (0..addresses.len()).filter(|node| *node != leader) {
            let here = held(node)?;
            let differ: Vec<Write> = (at_leader.iter().zip(&here))
                .filter(|(there, here)| there.2 != here.2)
                .map(|(there, _)| there.0)
                .collect();
            if !differ.is_empty() {
                let what = format!("the leader, node {leader}, and node {node} differ");
                self.differences.push(complaint(&what, differ.iter()));
            }
        }
        Ok(())
    }

    fn take_in(&mut self, write: Write, outcome: Outcome, found: Option<&str>) {
        match judge(write, outcome, found) {
            Verdict::Fine => return,
            Verdict::Lost => self.lost.insert(write),
            Verdict::Ghost => self.ghosts.insert(write),
            Verdict::Foreign => self.foreign.insert(write),
        };
    }

    fn read_archives(&mut self, addresses: &[SocketAddr]) -> Result<()> {
        for (node, address) in addresses.iter().enumerate() {
            for archive in archive::of_node(*address)? {
                self.archives.insert((node, archive.id.clone()), archive);
            }
        }
        Ok(())
    }

    /// Writes that were acknowledged and are not there.
    pub(crate) fn lost(&self) -> usize {
        self.lost.len()
    }

    pub(crate) fn archives(&self) -> impl Iterator<Item = (usize, &Archive)> {
        self.archives.iter().map(|((node, _), archive)| (*node, archive))
    }

    /// Lost writes that stand in an archive whose receipt says that such writes had been acknowledged.
    pub(crate) fn accounted(&self) -> usize {
        self.lost.iter().filter(|write| self.is_accounted(write)).count()
    }

    fn is_accounted(&self, write: &Write) -> bool {
        self.archives.values().any(|archive| {
            let is_admitted = archive.receipt.as_ref().is_some_and(|receipt| {
                receipt.acks == Acks::Async.to_string() && receipt.acknowledged > 0
            });
            is_admitted && archive.writes.contains(write)
        })
    }

    /// What must not be.
    pub(crate) fn complaints(&self) -> Vec<String> {
        let mut complaints = self.differences.clone();
        let may_lose = self.acks == Acks::Async;
        let unaccounted: Vec<&Write> =
            self.lost.iter().filter(|write| !may_lose || !self.is_accounted(write)).collect();
        for (what, writes) in [
            ("acknowledged, and neither there nor accounted for", unaccounted),
            ("refused, and there all the same", self.ghosts.iter().collect()),
            ("with a value that nobody wrote", self.foreign.iter().collect()),
        ] {
            if !writes.is_empty() {
                complaints.push(complaint(what, writes.into_iter()));
            }
        }
        for (node, archive) in self.archives() {
            let acknowledged = archive.receipt.as_ref().map_or(0, |receipt| receipt.acknowledged);
            let id = &archive.id;
            if !may_lose && acknowledged > 0 {
                complaints.push(format!(
                    "node {node} cut off {acknowledged} records that had been acknowledged ({id})"
                ));
            }
            if archive.receipt.is_none() {
                complaints.push(format!("archive {id} of node {node} has no receipt"));
            }
            if archive.is_cut_short {
                complaints.push(format!("archive {id} of node {node} is too long to be read here"));
            }
        }
        complaints
    }
}

fn complaint<'a>(what: &str, writes: impl ExactSizeIterator<Item = &'a Write>) -> String {
    let count = writes.len();
    let named: Vec<String> = writes.take(NAMED).map(|write| write.key()).collect();
    let more = if count > NAMED { ", ..." } else { "" };
    format!("{count} writes {what}: {}{more}", named.join(", "))
}

/// Writes from these numbers on, read page by page.
struct Pages<'a> {
    connection: &'a mut Connection,
    writes: Vec<(Write, Outcome)>,
}

impl<'a> Pages<'a> {
    fn new(connection: &'a mut Connection, outcomes: &[Vec<Outcome>], from: &[usize]) -> Pages<'a> {
        let mut writes = Vec::new();
        for (client, outcomes) in outcomes.iter().enumerate() {
            for (number, outcome) in outcomes.iter().enumerate().skip(from[client]) {
                writes.push((Write { client, number }, *outcome));
            }
        }
        Pages { connection, writes }
    }

    fn all(self) -> Result<Vec<(Write, Outcome, Option<String>)>> {
        let mut all = Vec::with_capacity(self.writes.len());
        for page in self.writes.chunks(PAGE) {
            let keys: Vec<String> = page.iter().map(|(write, _)| write.key()).collect();
            let mut words = vec!["MGET"];
            words.extend(keys.iter().map(String::as_str));
            let reply = self.connection.call(&words)?;
            if let Reply::Error(text) = &reply {
                bail!("MGET: {text}");
            }
            if reply.elements().len() != page.len() {
                bail!("MGET of {} keys has {} values", page.len(), reply.elements().len());
            }
            for ((write, outcome), found) in page.iter().zip(reply.elements()) {
                all.push((*write, *outcome, found.text().map(str::to_owned)));
            }
        }
        Ok(all)
    }
}

#[cfg(test)]
mod tests {
    use super::super::archive::Receipt;
    use super::*;

    const WRITE: Write = Write { client: 0, number: 7 };

    fn archive(acks: &str, acknowledged: u64) -> Archive {
        Archive {
            id: "1-2-3".to_owned(),
            epoch: 1,
            records: 2,
            receipt: Some(Receipt { acks: acks.to_owned(), acknowledged, keys: 2 }),
            writes: BTreeSet::from([WRITE]),
            is_cut_short: false,
        }
    }

    fn with(acks: Acks, archive: Option<Archive>) -> Audit {
        let mut audit = Audit::new(acks, 1);
        audit.take_in(WRITE, Outcome::Acked, None);
        if let Some(archive) = archive {
            audit.archives.insert((0, archive.id.clone()), archive);
        }
        audit
    }

    #[test]
    fn in_async_a_lost_write_is_accounted_for_by_an_archive_with_its_receipt() {
        assert_eq!(with(Acks::Async, None).complaints().len(), 1);
        let audit = with(Acks::Async, Some(archive("async", 2)));
        assert_eq!((audit.lost(), audit.accounted()), (1, 1));
        assert!(audit.complaints().is_empty(), "{:?}", audit.complaints());
        assert_eq!(with(Acks::Async, Some(archive("async", 0))).complaints().len(), 1);
        let no_receipt = Archive { receipt: None, ..archive("async", 2) };
        assert_eq!(with(Acks::Async, Some(no_receipt)).complaints().len(), 2);
    }

    #[test]
    fn where_nothing_may_be_lost_an_archive_excuses_nothing() {
        let complaints = with(Acks::SemiSync(1), Some(archive("semi-sync:1", 1))).complaints();
        assert_eq!(complaints.len(), 2, "{complaints:?}");
        let mut audit = Audit::new(Acks::Sync, 1);
        audit.archives.insert((0, "1-2-3".to_owned()), archive("sync", 0));
        assert!(audit.complaints().is_empty());
        audit.take_in(WRITE, Outcome::Refused, Some("0#7"));
        assert!(audit.complaints()[0].contains("w:0:7"), "{:?}", audit.complaints());
    }

    #[test]
    fn a_long_list_of_writes_names_the_first() {
        let writes: Vec<Write> = (0..12).map(|number| Write { client: 1, number }).collect();
        let text = complaint("lost", writes.iter());
        assert!(text.starts_with("12 writes lost: w:1:0, w:1:1"), "{text}");
        assert!(text.ends_with("w:1:9, ..."), "{text}");
    }
}
