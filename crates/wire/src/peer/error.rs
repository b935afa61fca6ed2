//! What can be wrong with the bytes of another node. The link is dropped; nothing that came before
//! is in doubt.

/// The stream of frames cannot be understood any more: where the next one begins is unknown.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum FrameError {
    /// A frame that could not hold the fields that all have.
    #[error("a frame of {bytes} bytes is too short")]
    TooShort {
        /// Its length.
        bytes: u32,
    },
    /// A frame longer than any of its kind may be.
    #[error("a frame of kind {kind} announces {bytes} bytes, more than {max}")]
    TooLong {
        /// The byte of its kind.
        kind: u8,
        /// Its length.
        bytes: u32,
        /// What would be allowed.
        max: u32,
    },
    /// The bytes are not those that were sent.
    #[error("a frame of {bytes} bytes fails its checksum")]
    Checksum {
        /// Its length.
        bytes: u32,
    },
    /// A message that this version does not know.
    #[error("a frame is of unknown kind {kind}")]
    UnknownKind {
        /// The byte of its kind.
        kind: u8,
    },
    /// The checksum holds, but the fields are not those of such a message.
    #[error("the body of a frame of kind {kind} is malformed")]
    Malformed {
        /// The byte of its kind.
        kind: u8,
    },
}
