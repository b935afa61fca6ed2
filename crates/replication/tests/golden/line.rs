//! A line of a script: a word, its arguments in order, and `key=value` pairs in any order.

use std::collections::BTreeMap;
use std::str::FromStr;

use trefoil_clock::{ClusterId, Epoch, EpochEntry, EpochTable, Lsn, NodeId, Position, ShardId};
use trefoil_replication::{AckLevel, AckPolicy, Acks, OnLost, RunHead};
use trefoil_wire::peer::{Fence, SnapshotId};

/// See the module.
pub(crate) struct Line {
    pub(crate) word: String,
    args: Vec<String>,
    pairs: BTreeMap<String, String>,
}

impl Line {
    pub(crate) fn parse(text: &str) -> Line {
        let mut words = text.split_whitespace().map(str::to_owned);
        let word = words.next().expect("a line has a word");
        let (mut args, mut pairs) = (Vec::new(), BTreeMap::new());
        for part in words {
            match part.split_once('=') {
                Some((key, value)) => drop(pairs.insert(key.to_owned(), value.to_owned())),
                None => args.push(part),
            }
        }
        Line { word, args, pairs }
    }

    pub(crate) fn arg(&self, at: usize) -> &str {
        self.args.get(at).unwrap_or_else(|| panic!("{} has an argument {at}", self.word))
    }

    pub(crate) fn has(&self, word: &str) -> bool {
        self.args.iter().any(|arg| arg == word)
    }

    pub(crate) fn get(&self, key: &str) -> Option<&str> {
        self.pairs.get(key).map(String::as_str)
    }

    pub(crate) fn number_at<T: FromStr>(&self, at: usize) -> T {
        number(self.arg(at))
    }

    pub(crate) fn number<T: FromStr>(&self, key: &str, default: T) -> T {
        self.get(key).map_or(default, number)
    }

    pub(crate) fn lsn(&self, key: &str, default: Lsn) -> Lsn {
        Lsn(self.number(key, default.0))
    }

    pub(crate) fn position(&self, key: &str, default: Position) -> Position {
        self.get(key).map_or(default, position)
    }

    pub(crate) fn epochs(&self, default: &EpochTable) -> EpochTable {
        self.get("epochs").map_or(default.clone(), epochs)
    }

    pub(crate) fn nodes(&self, key: &str) -> Vec<NodeId> {
        self.get(key).map_or(Vec::new(), nodes)
    }

    /// A fence, with what the line says changed.
    pub(crate) fn fence(&self, usual: Fence) -> Fence {
        Fence {
            cluster: ClusterId(self.number("cluster", usual.cluster.0)),
            shard: ShardId(self.number("shard", usual.shard.0)),
            epoch: Epoch(self.number("epoch", usual.epoch.0)),
            sender: self.get("from").map_or(usual.sender, node),
        }
    }

    pub(crate) fn policy(&self, usual: AckPolicy) -> AckPolicy {
        let acks = self.get("acks").map_or(usual.acks, |acks| match acks.split_once(':') {
            Some(("semi-sync", k)) => Acks::SemiSync(number(k)),
            None if acks == "async" => Acks::Async,
            None if acks == "sync" => Acks::Sync,
            _ => panic!("acks are not {acks:?}"),
        });
        let level = self.get("level").map_or(usual.level, |level| match level {
            "received" => AckLevel::Received,
            "flushed" => AckLevel::Flushed,
            "applied" => AckLevel::Applied,
            _ => panic!("a level is not {level:?}"),
        });
        let on_lost = match self.get("on-lost") {
            Some("degrade") => OnLost::Degrade,
            Some(_) => OnLost::Block,
            None => usual.on_lost,
        };
        let degrade_after_ms = self.number("after", usual.degrade_after_ms);
        AckPolicy { acks, level, on_lost, degrade_after_ms }
    }
}

fn number<T: FromStr>(text: &str) -> T {
    text.parse().unwrap_or_else(|_| panic!("{text:?} is no number"))
}

/// `F`: a node is a letter.
pub(crate) fn node(text: &str) -> NodeId {
    NodeId(text.bytes().next().map(u128::from).expect("a node is a letter"))
}

/// `F,G`; `-` for none.
pub(crate) fn nodes(text: &str) -> Vec<NodeId> {
    text.split(',').filter(|text| *text != "-").map(node).collect()
}

/// `s7`
pub(crate) fn snapshot(text: &str) -> SnapshotId {
    SnapshotId(number(text.strip_prefix('s').expect("a snapshot is s and a number")))
}

/// `2:14`: epoch and LSN.
pub(crate) fn position(text: &str) -> Position {
    let (epoch, lsn) = text.split_once(':').expect("a position is an epoch and an LSN");
    Position { epoch: Epoch(number(epoch)), lsn: Lsn(number(lsn)) }
}

/// `1A1,2B10`: epoch, leader, first record; `-` for none.
pub(crate) fn epochs(text: &str) -> EpochTable {
    let entry = |text: &str| {
        let at = text.find(char::is_alphabetic).expect("an entry names its leader");
        EpochEntry {
            epoch: Epoch(number(&text[..at])),
            leader: node(&text[at..]),
            first_lsn: Lsn(number(&text[at + 1..])),
        }
    };
    let entries = text.split(',').filter(|text| *text != "-").map(entry).collect();
    EpochTable::from_entries(entries).expect("epochs ascend")
}

/// `1:11+3,2:14+1`: epoch, first record, how many.
pub(crate) fn runs(text: &str) -> Vec<RunHead> {
    let run = |text: &str| {
        let (at, count) = text.split_once('+').expect("a run is a position and a count");
        let at = position(at);
        RunHead { epoch: at.epoch, first: at.lsn, count: number(count) }
    };
    text.split(',').map(run).collect()
}
