//! What stands in a datagram of the membership protocol, looked at before the protocol gets it.
//!
//! foca takes any number of members and keeps its broadcast handler to itself. So the limit on members is
//! kept here, and only records that are news are handed on: foca sends on whatever it is given.

use foca::{BroadcastHandler, Header, Invalidates, Member, Message};
use trefoil_clock::NodeId;

use super::identity::Identity;
use super::record::{NodeRecord, RecordVersion};

/// A datagram in parts.
pub(super) struct Packet<'a> {
    pub(super) header: Header<Identity>,
    pub(super) updates: Vec<Member<Identity>>,
    /// Header and updates as they came.
    prefix: &'a [u8],
    /// Encoded records.
    pub(super) records: Vec<&'a [u8]>,
}

impl<'a> Packet<'a> {
    /// None: malformed.
    pub(super) fn parse(data: &'a [u8]) -> Option<Packet<'a>> {
        let (header, mut rest) = postcard::take_from_bytes::<Header<Identity>>(data).ok()?;
        let mut updates = Vec::new();
        if header.message != Message::Broadcast && !rest.is_empty() {
            let (count, tail) = rest.split_first_chunk::<2>()?;
            rest = tail;
            for _ in 0..u16::from_be_bytes(*count) {
                let (member, tail) = postcard::take_from_bytes(rest).ok()?;
                updates.push(member);
                rest = tail;
            }
        }
        let prefix = &data[..data.len() - rest.len()];
        let mut records = Vec::new();
        while !rest.is_empty() {
            let (length, tail) = rest.split_first_chunk::<2>()?;
            let length = usize::from(u16::from_be_bytes(*length));
            let (record, tail) = tail.split_at_checked(length)?;
            records.push(record);
            rest = tail;
        }
        Some(Packet { header, updates, prefix, records })
    }

    /// Everybody it speaks of as a member.
    pub(super) fn members(&self) -> impl Iterator<Item = &Identity> {
        std::iter::once(&self.header.src).chain(self.updates.iter().map(Member::id))
    }

    /// The datagram with these records only.
    pub(super) fn with_records(&self, records: &[&[u8]]) -> Vec<u8> {
        let mut data = self.prefix.to_vec();
        for record in records {
            let length = u16::try_from(record.len()).expect("it came with such a length");
            data.extend(length.to_be_bytes());
            data.extend(*record);
        }
        data
    }
}

/// Lets foca spread the records that get this far.
pub(super) struct News;

/// Which record a broadcast is.
pub(super) struct RecordKey {
    id: NodeId,
    version: RecordVersion,
}

impl Invalidates for RecordKey {
    fn invalidates(&self, other: &RecordKey) -> bool {
        self.id == other.id && self.version >= other.version
    }
}

/// A broadcast that is no record.
#[derive(Debug, thiserror::Error)]
#[error("a broadcast is not a node's record")]
pub(super) struct NotARecord;

impl BroadcastHandler<Identity> for News {
    type Key = RecordKey;
    type Error = NotARecord;

    fn receive_item(
        &mut self,
        data: &[u8],
        _sender: Option<&Identity>,
    ) -> Result<Option<RecordKey>, NotARecord> {
        let record = NodeRecord::decode(data).ok_or(NotARecord)?;
        Ok(Some(RecordKey { id: record.identity.id, version: record.version() }))
    }
}
