//! How big a request may be.

/// Whether the sender has authenticated; decides the words of a refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trust {
    /// Authenticated, or no authentication is asked for.
    Authenticated,
    /// Has still to authenticate: small requests only.
    Unauthenticated,
}

/// Upper bounds for one request. Passed to each call of the parser, so that the first command
/// after AUTH is already judged by the new bounds; the shell must run AUTH before it parses on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of one argument (`proto-max-bulk-len`).
    pub bulk_len_max: u32,
    /// Number of arguments of one command.
    pub multibulk_len_max: u32,
    /// Bytes of an inline command, and of a line that announces a count.
    pub inline_len_max: u32,
    /// Which words a refusal uses.
    pub trust: Trust,
}

impl Limits {
    /// Redis's default for `proto-max-bulk-len`: 512 MiB.
    pub const BULK_LEN_MAX: u32 = 512 * 1024 * 1024;
    /// Redis's bound for the number of arguments.
    pub const MULTIBULK_LEN_MAX: u32 = i32::MAX as u32;
    /// Redis's bound for lines: 64 KiB.
    pub const INLINE_LEN_MAX: u32 = 64 * 1024;

    /// The bounds for clients that have not authenticated but must: 10 arguments of 16 KiB.
    pub const fn unauthenticated() -> Self {
        Self {
            bulk_len_max: 16 * 1024,
            multibulk_len_max: 10,
            inline_len_max: Self::INLINE_LEN_MAX,
            trust: Trust::Unauthenticated,
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            bulk_len_max: Self::BULK_LEN_MAX,
            multibulk_len_max: Self::MULTIBULK_LEN_MAX,
            inline_len_max: Self::INLINE_LEN_MAX,
            trust: Trust::Authenticated,
        }
    }
}
