//! The protocol between nodes: framed, versioned, checksummed.
//!
//! A link begins with a [`Greeting`]: both sides agree on a version, say who they are and prove that they
//! know the cluster's secret, if there is one. Then frames go both ways: [`encode`] and [`encode_head`]
//! write them, [`FrameReader`] reads them. Sans-IO; the format is docs/formats/peer.md.
//!
//! Invariants:
//! * No bytes from outside panic, or make us reserve memory that was only announced.
//! * The same bytes give the same messages, however they were split into reads.
//! * Behind a frame that is broken in any way nothing more is read.

mod body;
mod error;
mod frame;
mod greeting;
mod handshake;
mod input;
mod kind;
mod message;
mod reader;

pub use error::FrameError;
pub use frame::{APPEND_HEAD_BYTES, RUNS_BYTES_MAX, encode, encode_head};
pub use greeting::{Greeted, Greeting};
pub use handshake::{
    ClusterSecret, GreetingError, Hello, PEER_VERSIONS, Peer, Role, SecretState, VersionRange,
};
pub use kind::{FRAME_MAX, Kind};
pub use message::{
    Ack, Append, Chunk, Fence, Follow, Heartbeat, Message, Offer, Publish, Refuse, RefuseReason,
    SnapshotId, Welcome,
};
pub use reader::FrameReader;
