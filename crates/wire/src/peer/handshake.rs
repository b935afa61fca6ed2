//! What two nodes say before the first frame, as bytes: hello, proof, refusal.
//!
//! `len u16 | crc u32 | kind u8 | body`, little-endian; `len` counts what follows the checksum, which is
//! CRC-32C over the length and all that follows the checksum. This framing and the fields of [`Hello`] are
//! the same in every version of the protocol: later versions may only append to the hello.
//!
//! The proof is no encryption: it tells each side that the other knows the secret, at this moment. Who
//! must fear that bytes are changed on the way uses TLS underneath.

use std::fmt;
use std::sync::Arc;

use trefoil_clock::{ClusterId, NodeId};

use super::frame::checksum;
use super::input::Input;

/// Each side's hello begins with it.
pub(super) const MAGIC: [u8; 8] = *b"TREFOILP";

/// The versions of the protocol that this code speaks.
pub const PEER_VERSIONS: VersionRange = VersionRange { min: 1, max: 1 };

/// Bytes behind the checksum of one of these messages, at most.
pub(super) const HANDSHAKE_MAX: usize = 1024;

const PREFIX_BYTES: usize = 6;
/// Bytes of a refusal's text, at most.
const TEXT_MAX: usize = 512;

/// Keyed hash of a message: HMAC-SHA256 with the cluster's secret as key. The shell brings the
/// cryptography along.
pub type ClusterSecret = Arc<dyn Fn(&[u8]) -> [u8; 32] + Send + Sync>;

/// Versions from `min` to `max`, both included.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct VersionRange {
    /// The oldest, at least 1.
    pub min: u16,
    /// The newest, at least `min`.
    pub max: u16,
}

impl VersionRange {
    /// The newest version that both know.
    #[must_use]
    pub fn highest_common(self, other: VersionRange) -> Option<u16> {
        let newest = self.max.min(other.max);
        (newest >= self.min && newest >= other.min).then_some(newest)
    }
}

impl fmt::Display for VersionRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.min == self.max {
            write!(f, "{}", self.max)
        } else {
            write!(f, "{} to {}", self.min, self.max)
        }
    }
}

/// Which end of a link.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Role {
    /// It connected.
    Dialer = 1,
    /// It was connected to.
    Listener = 2,
}

/// Whether a node was given a cluster secret.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum SecretState {
    /// No: it proves nothing and asks for no proof.
    Unset = 0,
    /// Yes: it proves that it knows it, and asks for the same.
    Set = 1,
}

/// What each side says first.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Hello {
    /// What it can speak.
    pub versions: VersionRange,
    /// Who it is.
    pub node: NodeId,
    /// Whose history it has.
    pub cluster: ClusterId,
    /// Random and never used twice, so that no proof is good for another link.
    pub nonce: [u8; 32],
    /// Where clients reach it.
    pub client_port: u16,
    /// Whether it asks for proofs.
    pub secret: SecretState,
}

/// The other side, once the greeting is over.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Peer {
    /// The version that both speak from now on.
    pub version: u16,
    /// Who it is.
    pub node: NodeId,
    /// Whose history it said it has.
    pub cluster: ClusterId,
    /// Where clients reach it.
    pub client_port: u16,
}

/// Why two nodes do not talk. Each but [`GreetingError::Refused`], [`GreetingError::NotAPeer`] and
/// [`GreetingError::Malformed`] is told to the other side.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum GreetingError {
    /// Something else answers or asks there.
    #[error("the other side does not speak the peer protocol")]
    NotAPeer,
    /// It began like a node, then it did not go on like one.
    #[error("the other side's greeting is malformed")]
    Malformed,
    /// Too far apart in age.
    #[error("no common protocol version: this node speaks {own}, the other one {other}")]
    NoCommonVersion {
        /// What we speak.
        own: VersionRange,
        /// What it speaks.
        other: VersionRange,
    },
    /// A node that reached itself.
    #[error("both ends of the link are the same node, {node}")]
    SameNode {
        /// That node.
        node: NodeId,
    },
    /// We have a secret, it has none.
    #[error("this node has a cluster secret, node {node} has none")]
    SecretMissingThere {
        /// The other one.
        node: NodeId,
    },
    /// It has a secret, we have none.
    #[error("this node has no cluster secret, node {node} has one")]
    SecretMissingHere {
        /// The other one.
        node: NodeId,
    },
    /// Its proof is not the one that our secret makes.
    #[error("the cluster secrets of this node and of node {node} differ")]
    SecretDiffers {
        /// The other one.
        node: NodeId,
    },
    /// It found one of these.
    #[error("the other side refuses: {text}")]
    Refused {
        /// In its words.
        text: String,
    },
}

impl GreetingError {
    /// Whether the other side can make something of being told.
    pub(super) fn is_told(&self) -> bool {
        use GreetingError::{Malformed, NotAPeer, Refused};
        !matches!(self, Refused { .. } | NotAPeer | Malformed)
    }
}

/// One message of the greeting.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Word {
    Hello(Hello),
    Proof([u8; 32]),
    Refused(String),
}

const HELLO: u8 = 1;
const PROOF: u8 = 2;
const REFUSED: u8 = 3;

impl Word {
    /// Appends its bytes, without the magic.
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        let start = out.len();
        out.extend_from_slice(&[0; PREFIX_BYTES]);
        match self {
            Word::Hello(hello) => {
                out.push(HELLO);
                put_hello(out, hello);
            }
            Word::Proof(mac) => {
                out.push(PROOF);
                out.extend_from_slice(mac);
            }
            Word::Refused(text) => {
                out.push(REFUSED);
                out.extend_from_slice(&text.as_bytes()[..text.floor_char_boundary(TEXT_MAX)]);
            }
        }
        let len = (out.len() - start - PREFIX_BYTES) as u16;
        let crc = checksum(u32::from(len), &[&out[start + PREFIX_BYTES..]]);
        out[start..start + 2].copy_from_slice(&len.to_le_bytes());
        out[start + 2..start + PREFIX_BYTES].copy_from_slice(&crc.to_le_bytes());
    }

    /// The word at the start of `bytes` and how long it is. `None`: not all of it is there.
    pub(super) fn decode(bytes: &[u8]) -> Result<Option<(Word, usize)>, GreetingError> {
        let mut input = Input::new(bytes);
        let (Some(len), crc) = (input.u16(), input.u32()) else { return Ok(None) };
        if len == 0 || usize::from(len) > HANDSHAKE_MAX {
            return Err(GreetingError::Malformed);
        }
        let all = PREFIX_BYTES + usize::from(len);
        let Some(word) = bytes.get(PREFIX_BYTES..all) else { return Ok(None) };
        if crc != Some(checksum(u32::from(len), &[word])) {
            return Err(GreetingError::Malformed);
        }
        Word::read(word).map(|word| Some((word, all))).ok_or(GreetingError::Malformed)
    }

    fn read(bytes: &[u8]) -> Option<Word> {
        let mut input = Input::new(bytes);
        match input.u8()? {
            HELLO => read_hello(&mut input).map(Word::Hello),
            PROOF => {
                let mac = input.array()?;
                input.is_empty().then_some(Word::Proof(mac))
            }
            REFUSED => {
                let text = String::from_utf8_lossy(input.rest());
                // It ends up in a log line.
                let shown = |c: char| if c.is_control() { ' ' } else { c };
                Some(Word::Refused(text.chars().map(shown).collect()))
            }
            _ => None,
        }
    }
}

/// The fields of version 1, in order.
pub(super) fn put_hello(out: &mut Vec<u8>, hello: &Hello) {
    out.extend_from_slice(&hello.versions.min.to_le_bytes());
    out.extend_from_slice(&hello.versions.max.to_le_bytes());
    out.extend_from_slice(&hello.node.0.to_le_bytes());
    out.extend_from_slice(&hello.cluster.0.to_le_bytes());
    out.extend_from_slice(&hello.nonce);
    out.extend_from_slice(&hello.client_port.to_le_bytes());
    out.push(hello.secret as u8);
}

/// What a later version appends is passed over.
fn read_hello(input: &mut Input<'_>) -> Option<Hello> {
    let versions = VersionRange { min: input.u16()?, max: input.u16()? };
    let node = NodeId(input.u128()?);
    let cluster = ClusterId(input.u128()?);
    let nonce = input.array()?;
    let client_port = input.u16()?;
    let secret = if input.flag()? { SecretState::Set } else { SecretState::Unset };
    (versions.min >= 1 && versions.min <= versions.max).then_some(Hello {
        versions,
        node,
        cluster,
        nonce,
        client_port,
        secret,
    })
}
