//! The protocol between nodes: framed, versioned, checksummed.

mod message;

pub use message::{
    Ack, Append, Chunk, Fence, Follow, Heartbeat, Message, Offer, Refuse, RefuseReason, SnapshotId,
    Welcome,
};
