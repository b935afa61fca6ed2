//! A session's clock as text that clients carry from node to node.
//!
//! `t1.<cluster>.<epoch>.<lsn>.<checksum>`: hexadecimal, except for epoch and LSN, which are decimal so
//! that people can read them. The checksum is FNV-1a (Fowler, Noll, Vo), 32 bits, over everything before
//! its dot: against typing and truncation, not against forgery, which gains nobody anything.

use std::fmt;

use trefoil_clock::{ClusterId, Epoch, Lsn, Position};

/// What the text begins with.
const VERSION: &str = "t1";

/// A session's clock.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Token {
    /// The history.
    pub cluster: ClusterId,
    /// What the session has seen.
    pub position: Position,
}

/// Why a text is no token.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TokenError {
    /// Not in the form of one.
    NotAToken,
    /// Of a version that is not known here.
    UnknownVersion,
    /// Damaged on the way.
    Damaged,
}

impl fmt::Display for TokenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            TokenError::NotAToken => "not a session token",
            TokenError::UnknownVersion => "a session token of an unknown version",
            TokenError::Damaged => "a damaged session token",
        })
    }
}

impl std::error::Error for TokenError {}

impl Token {
    /// The text: printable, without spaces.
    #[must_use]
    pub fn encode(&self) -> String {
        let Position { epoch, lsn } = self.position;
        let body = format!("{VERSION}.{}.{epoch}.{lsn}", self.cluster);
        format!("{body}.{:08x}", checksum(body.as_bytes()))
    }

    /// The token that a text stands for.
    ///
    /// # Errors
    /// If it stands for none; says why.
    pub fn decode(text: &[u8]) -> Result<Token, TokenError> {
        let text = std::str::from_utf8(text).map_err(|_| TokenError::NotAToken)?;
        let parts: Vec<&str> = text.split('.').collect();
        let looks_like_one = parts[0].len() >= 2
            && parts[0].starts_with('t')
            && parts[0][1..].bytes().all(|byte| byte.is_ascii_digit());
        if !looks_like_one {
            return Err(TokenError::NotAToken);
        }
        if parts[0] != VERSION {
            return Err(TokenError::UnknownVersion);
        }
        let [_, cluster, epoch, lsn, _] = parts[..] else { return Err(TokenError::Damaged) };
        let parsed = || {
            let cluster = ClusterId(u128::from_str_radix(cluster, 16).ok()?);
            let position =
                Position { epoch: Epoch(epoch.parse().ok()?), lsn: Lsn(lsn.parse().ok()?) };
            Some(Token { cluster, position })
        };
        // Encoding it again finds a wrong checksum, and every other way to write the same numbers.
        parsed().filter(|token| token.encode() == text).ok_or(TokenError::Damaged)
    }
}

/// FNV-1a, 32 bits.
fn checksum(bytes: &[u8]) -> u32 {
    const OFFSET_BASIS: u32 = 0x811c_9dc5;
    const PRIME: u32 = 0x0100_0193;
    bytes.iter().fold(OFFSET_BASIS, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(PRIME))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn token(cluster: u128, epoch: u64, lsn: u64) -> Token {
        let position = Position { epoch: Epoch(epoch), lsn: Lsn(lsn) };
        Token { cluster: ClusterId(cluster), position }
    }

    #[test]
    fn a_token_looks_like_this() {
        let text = token(0xabc, 3, 1_234).encode();
        assert_eq!(text, "t1.00000000000000000000000000000abc.3.1234.60a86ae7");
    }

    #[test]
    fn texts_that_are_no_tokens_say_why() {
        let good = token(1, 2, 3).encode();
        assert_eq!(Token::decode(b"hello"), Err(TokenError::NotAToken));
        assert_eq!(Token::decode(b"\xff\xfe"), Err(TokenError::NotAToken));
        assert_eq!(Token::decode(b""), Err(TokenError::NotAToken));
        assert_eq!(Token::decode(b"t2.1.2.3.4"), Err(TokenError::UnknownVersion));
        assert_eq!(Token::decode(&good.as_bytes()[..20]), Err(TokenError::Damaged));
        assert_eq!(Token::decode(good.to_uppercase().as_bytes()), Err(TokenError::NotAToken));
    }

    proptest! {
        #[test]
        fn what_is_encoded_is_decoded(cluster: u128, epoch: u64, lsn: u64) {
            let token = token(cluster, epoch, lsn);
            prop_assert_eq!(Token::decode(token.encode().as_bytes()), Ok(token));
        }

        #[test]
        fn a_changed_byte_is_noticed(cluster: u128, lsn: u64, at: prop::sample::Index, byte: u8) {
            let mut text = token(cluster, 7, lsn).encode().into_bytes();
            let at = at.index(text.len());
            prop_assume!(text[at] != byte);
            text[at] = byte;
            prop_assert!(Token::decode(&text).is_err());
        }

        #[test]
        fn no_bytes_panic(bytes: Vec<u8>) {
            let _ = Token::decode(&bytes);
        }
    }
}
