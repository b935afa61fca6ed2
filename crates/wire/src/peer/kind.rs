//! The byte that says which message a frame holds, and how long such a frame may be.

use super::message::Message;

/// Bytes behind the length and the checksum of an ordinary frame, at most. Senders gather records and
/// parts of snapshots up to this.
pub const FRAME_MAX: u32 = 64 << 20;

/// The same for a message without a payload; the longest of them carries an epoch table.
const PLAIN_MAX: u32 = 16 << 20;

/// Which message a frame holds.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(u8)]
pub enum Kind {
    /// [`Message::Follow`].
    Follow = 1,
    /// [`Message::Welcome`].
    Welcome = 2,
    /// [`Message::Refuse`].
    Refuse = 3,
    /// [`Message::Append`].
    Append = 4,
    /// [`Message::Heartbeat`].
    Heartbeat = 5,
    /// [`Message::Ack`].
    Ack = 6,
    /// [`Message::Probe`].
    Probe = 7,
    /// [`Message::ProbeAnswer`].
    ProbeAnswer = 8,
    /// [`Message::Offer`].
    Offer = 9,
    /// [`Message::Fetch`].
    Fetch = 10,
    /// [`Message::Chunk`].
    Chunk = 11,
    /// [`Message::Pull`].
    Pull = 12,
    /// [`Message::Pulled`].
    Pulled = 13,
    /// [`Message::Restart`].
    Restart = 14,
    /// [`Message::Publish`].
    Publish = 15,
}

impl Kind {
    /// Every kind, in the order of its bytes, which begin with 1.
    pub const ALL: [Kind; 15] = [
        Kind::Follow,
        Kind::Welcome,
        Kind::Refuse,
        Kind::Append,
        Kind::Heartbeat,
        Kind::Ack,
        Kind::Probe,
        Kind::ProbeAnswer,
        Kind::Offer,
        Kind::Fetch,
        Kind::Chunk,
        Kind::Pull,
        Kind::Pulled,
        Kind::Restart,
        Kind::Publish,
    ];

    pub(super) fn from_byte(byte: u8) -> Option<Kind> {
        usize::from(byte).checked_sub(1).and_then(|at| Kind::ALL.get(at)).copied()
    }

    /// The longest frame of this kind that is read. A single record may be as long as the log allows, and
    /// has to get across whole; nothing else needs more than [`FRAME_MAX`].
    pub(super) fn len_max(self) -> u32 {
        match self {
            Kind::Append | Kind::Publish => u32::MAX,
            Kind::Chunk => FRAME_MAX,
            _ => PLAIN_MAX,
        }
    }
}

impl Message<'_> {
    /// Which message it is.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match self {
            Message::Follow(_) => Kind::Follow,
            Message::Welcome(_) => Kind::Welcome,
            Message::Refuse(_) => Kind::Refuse,
            Message::Append(_) => Kind::Append,
            Message::Heartbeat(_) => Kind::Heartbeat,
            Message::Ack(_) => Kind::Ack,
            Message::Probe { .. } => Kind::Probe,
            Message::ProbeAnswer { .. } => Kind::ProbeAnswer,
            Message::Offer(_) => Kind::Offer,
            Message::Fetch { .. } => Kind::Fetch,
            Message::Chunk(_) => Kind::Chunk,
            Message::Pull { .. } => Kind::Pull,
            Message::Pulled { .. } => Kind::Pulled,
            Message::Restart => Kind::Restart,
            Message::Publish(_) => Kind::Publish,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_byte_of_a_kind_leads_back_to_it() {
        for kind in Kind::ALL {
            assert_eq!(Kind::from_byte(kind as u8), Some(kind));
        }
        assert_eq!(Kind::from_byte(0), None);
        assert_eq!(Kind::from_byte(Kind::ALL.len() as u8 + 1), None);
    }
}
