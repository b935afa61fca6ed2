//! A gossip datagram: kind (1 byte), cluster (16 bytes, all zero while it is not known), content.
//!
//! Sealing it, and telling it from other datagrams of the same port, is the caller's business.
//! Whatever comes in is data from outside: what does not decode to the last byte is nothing.

use serde::{Deserialize, Serialize};
use trefoil_clock::{ClusterId, NodeId};

use super::identity::Identity;
use super::record::{NodeRecord, RecordVersion};

/// Longest datagram that gossip makes or takes.
pub const DATAGRAM_BYTES_MAX: usize = 1_200;

/// Bytes before the content.
pub(super) const ENVELOPE_BYTES: usize = 17;

/// Most entries of a digest: with the longest numbers it just fits.
pub(super) const DIGEST_ENTRIES_MAX: usize = 28;

/// Bytes of records in one datagram.
pub(super) const RECORDS_BYTES_MAX: usize = DATAGRAM_BYTES_MAX - ENVELOPE_BYTES - 60;

const KIND_SWIM: u8 = 1;
const KIND_OURS: u8 = 2;

/// A run of node ids, both ends included.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) struct Run {
    pub(super) first: NodeId,
    pub(super) last: NodeId,
}

impl Run {
    pub(super) const ALL: Run = Run { first: NodeId(0), last: NodeId(u128::MAX) };
}

/// What members say to each other beside the membership protocol.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) enum Body {
    /// Who is there? From a node that knows an address only.
    Seek {
        /// Repeated in the answer.
        nonce: u64,
    },
    /// I am.
    Here {
        /// From the question.
        nonce: u64,
        /// Who answers.
        identity: Identity,
    },
    /// You are under suspicion: say something.
    Suspected {
        /// Who suspects.
        by: Identity,
        /// Who is suspected.
        whom: Identity,
        /// Since which incarnation.
        incarnation: u16,
    },
    /// These versions I have of a run of nodes.
    Digest {
        /// The run.
        run: Run,
        /// Ascending.
        held: Vec<(NodeId, RecordVersion)>,
    },
    /// Tell me about these.
    Want {
        /// The nodes.
        ids: Vec<NodeId>,
    },
    /// Records of members that live, as far as the sender knows.
    Records {
        /// The records.
        records: Vec<NodeRecord>,
        /// There is more in this run: ask again.
        rest: Option<Run>,
    },
}

/// What a datagram says.
#[derive(PartialEq, Eq, Debug)]
pub(super) enum Content<'a> {
    /// For the membership protocol.
    Swim(&'a [u8]),
    /// For us.
    Ours(Body),
}

/// Takes a datagram apart. None: it is no gossip datagram.
pub(super) fn open(datagram: &[u8]) -> Option<(Option<ClusterId>, Content<'_>)> {
    if datagram.len() > DATAGRAM_BYTES_MAX {
        return None;
    }
    let (kind, rest) = datagram.split_first()?;
    let (cluster, content) = rest.split_first_chunk::<16>()?;
    let cluster = Some(ClusterId(u128::from_be_bytes(*cluster))).filter(|id| id.0 != 0);
    let content = match *kind {
        KIND_SWIM => Content::Swim(content),
        KIND_OURS => match postcard::take_from_bytes(content) {
            Ok((body, [])) => Content::Ours(body),
            _ => return None,
        },
        _ => return None,
    };
    Some((cluster, content))
}

/// Puts a datagram together.
pub(super) fn close(cluster: Option<ClusterId>, content: &Content<'_>) -> Vec<u8> {
    let (kind, content) = match content {
        Content::Swim(bytes) => (KIND_SWIM, bytes.to_vec()),
        Content::Ours(body) => {
            (KIND_OURS, postcard::to_allocvec(body).expect("a body is plain data"))
        }
    };
    let mut datagram = Vec::with_capacity(ENVELOPE_BYTES + content.len());
    datagram.push(kind);
    datagram.extend(cluster.map_or(0, |id| id.0).to_be_bytes());
    datagram.extend(content);
    debug_assert!(datagram.len() <= DATAGRAM_BYTES_MAX, "a datagram keeps to its length");
    datagram
}

#[cfg(test)]
mod tests {
    use super::super::identity::Generation;
    use super::*;

    #[test]
    fn the_longest_digest_fits() {
        let version = RecordVersion { generation: Generation(u64::MAX), counter: u64::MAX };
        let held = vec![(NodeId(u128::MAX), version); DIGEST_ENTRIES_MAX];
        let run = Run { first: NodeId(u128::MAX), last: NodeId(u128::MAX) };
        let body = Content::Ours(Body::Digest { run, held });
        let datagram = close(Some(ClusterId(1)), &body);
        assert!(datagram.len() <= DATAGRAM_BYTES_MAX, "{}", datagram.len());
        assert_eq!(open(&datagram), Some((Some(ClusterId(1)), body)));
    }

    #[test]
    fn what_is_too_long_or_too_short_is_nothing() {
        let datagram = close(None, &Content::Ours(Body::Seek { nonce: 5 }));
        assert!(open(&datagram).is_some());
        assert_eq!(open(&[datagram.as_slice(), &[0]].concat()), None);
        for length in 0..datagram.len() {
            assert_eq!(open(&datagram[..length]), None);
        }
        assert_eq!(open(&vec![KIND_SWIM; DATAGRAM_BYTES_MAX + 1]), None);
    }
}
