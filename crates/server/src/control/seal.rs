//! Sealed datagrams: what the control plane says to other nodes, so that only they can have said it.
//!
//! With the cluster's secret: ChaCha20-Poly1305 (RFC 8439) under a key that HKDF-SHA256 (RFC 5869) makes of it.
//! Without one: a checksum, which notices garbage and no attacker, so it is for the loopback interface only;
//! whoever opens the socket sees to that. It isn't a session: a datagram that is sent again opens again, the cores
//! bear repetition.
//!
//! `version u8 | nonce (12 bytes) | ciphertext | tag (16 bytes)`, or `version u8 | plain | crc u32`.
//! The version is covered by the tag or the checksum.
//!
//! Invariants:
//! * A nonce is random, 96 bits, and used once: two of 2^32 datagrams share one with a chance below 2^-32.
//! * No datagram is longer than [`DATAGRAM_BYTES_MAX`].

use crc_fast::{CrcAlgorithm, Digest};
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::hkdf::{HKDF_SHA256, Salt};

/// The longest datagram, bytes: below what UDP over IPv4 and IPv6 can carry.
pub(crate) const DATAGRAM_BYTES_MAX: usize = 60_000;

/// The longest message that fits a datagram, sealed or checked, bytes.
pub(crate) const PLAIN_BYTES_MAX: usize = DATAGRAM_BYTES_MAX - SEAL_BYTES;

const SEALED: u8 = 1;
const CHECKED: u8 = 2;

/// Never changes without a new version: other text, other key.
const KEY_INFO: &[u8] = b"trefoil control datagram 1";

const TAG_BYTES: usize = 16;
const CRC_BYTES: usize = 4;
const SEAL_BYTES: usize = 1 + NONCE_LEN + TAG_BYTES;

/// A message that is too long for a datagram.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct TooLong {
    /// The message's bytes; at most [`PLAIN_BYTES_MAX`] fit.
    pub(crate) bytes: usize,
}

/// Why a datagram is not taken for a message of this cluster.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum NotSealed {
    /// Shorter or longer than any datagram.
    Length(usize),
    /// Of a version that is not known.
    Version(u8),
    /// The sender has a secret and this node has none.
    SecretMissing,
    /// This node has a secret and the sender has none.
    SecretUnused,
    /// Sealed with another secret, damaged or forged.
    Forged,
    /// The checksum does not match.
    Checksum,
}

/// Seals and opens datagrams.
pub(crate) struct Sealer {
    /// `None`: datagrams only carry a checksum.
    key: Option<LessSafeKey>,
}

impl Sealer {
    /// The same secret makes the same key on every node.
    pub(crate) fn new(secret: Option<&[u8]>) -> Sealer {
        Sealer { key: secret.map(derive_key) }
    }

    /// Replaces `out` by a datagram with this message. On an error `out` is empty.
    pub(crate) fn seal(&mut self, plain: &[u8], out: &mut Vec<u8>) -> Result<(), TooLong> {
        out.clear();
        if plain.len() > PLAIN_BYTES_MAX {
            return Err(TooLong { bytes: plain.len() });
        }
        let Some(key) = &self.key else {
            out.push(CHECKED);
            out.extend_from_slice(plain);
            out.extend_from_slice(&crc32c(out).to_le_bytes());
            return Ok(());
        };
        let nonce: [u8; NONCE_LEN] = rand::random();
        out.push(SEALED);
        out.extend_from_slice(&nonce);
        let start = out.len();
        out.extend_from_slice(plain);
        let nonce = Nonce::assume_unique_for_key(nonce);
        let tag = key
            .seal_in_place_separate_tag(nonce, Aad::from([SEALED]), &mut out[start..])
            .expect("a message that fits a datagram is far below the cipher's limit");
        out.extend_from_slice(tag.as_ref());
        Ok(())
    }

    /// The message in a datagram, decrypted in its place. On an error the datagram's bytes mean nothing any more.
    pub(crate) fn open<'a>(&self, datagram: &'a mut [u8]) -> Result<&'a [u8], NotSealed> {
        let bytes = datagram.len();
        if bytes > DATAGRAM_BYTES_MAX {
            return Err(NotSealed::Length(bytes));
        }
        let version = *datagram.first().ok_or(NotSealed::Length(bytes))?;
        match (version, &self.key) {
            (SEALED, Some(key)) => open_sealed(key, &mut datagram[1..]),
            (CHECKED, None) => open_checked(datagram),
            (SEALED, None) => Err(NotSealed::SecretMissing),
            (CHECKED, Some(_)) => Err(NotSealed::SecretUnused),
            _ => Err(NotSealed::Version(version)),
        }
    }
}

/// `rest` is everything behind the version.
fn open_sealed<'a>(key: &LessSafeKey, rest: &'a mut [u8]) -> Result<&'a [u8], NotSealed> {
    let bytes = 1 + rest.len();
    let (nonce, ciphertext) =
        rest.split_first_chunk_mut::<NONCE_LEN>().ok_or(NotSealed::Length(bytes))?;
    if ciphertext.len() < TAG_BYTES {
        return Err(NotSealed::Length(bytes));
    }
    let nonce = Nonce::assume_unique_for_key(*nonce);
    match key.open_in_place(nonce, Aad::from([SEALED]), ciphertext) {
        Ok(plain) => Ok(plain),
        Err(ring::error::Unspecified) => Err(NotSealed::Forged),
    }
}

fn open_checked(datagram: &[u8]) -> Result<&[u8], NotSealed> {
    let short = NotSealed::Length(datagram.len());
    let (covered, crc) = datagram.split_last_chunk::<CRC_BYTES>().ok_or(short)?;
    let (_, plain) = covered.split_first().ok_or(short)?;
    if crc32c(covered) != u32::from_le_bytes(*crc) {
        return Err(NotSealed::Checksum);
    }
    Ok(plain)
}

fn derive_key(secret: &[u8]) -> LessSafeKey {
    let pseudo_random = Salt::new(HKDF_SHA256, &[]).extract(secret);
    let key = pseudo_random
        .expand(&[KEY_INFO], &CHACHA20_POLY1305)
        .expect("a key is shorter than what HKDF can give");
    LessSafeKey::new(UnboundKey::from(key))
}

/// CRC-32C (Castagnoli), as in the log's files.
fn crc32c(bytes: &[u8]) -> u32 {
    let mut digest = Digest::new(CrcAlgorithm::Crc32Iscsi);
    digest.update(bytes);
    digest.finalize() as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: Option<&[u8]> = Some(b"a secret that all nodes know");
    const MODES: [Option<&[u8]>; 2] = [SECRET, None];

    fn sealed(secret: Option<&[u8]>, plain: &[u8]) -> Vec<u8> {
        let mut out = b"left over".to_vec();
        Sealer::new(secret).seal(plain, &mut out).expect("it fits");
        out
    }

    fn opened(secret: Option<&[u8]>, datagram: &[u8]) -> Result<Vec<u8>, NotSealed> {
        Sealer::new(secret).open(&mut datagram.to_vec()).map(<[u8]>::to_vec)
    }

    #[test]
    fn a_message_comes_back_from_another_sealer_with_the_same_secret() {
        for secret in MODES {
            for plain in [&b""[..], b"x", &[7; 1400], &[0; PLAIN_BYTES_MAX]] {
                let datagram = sealed(secret, plain);
                assert!(datagram.len() <= DATAGRAM_BYTES_MAX);
                assert_eq!(opened(secret, &datagram).as_deref(), Ok(plain));
            }
        }
    }

    #[test]
    fn every_flipped_bit_is_noticed() {
        for secret in MODES {
            let mut datagram = sealed(secret, b"renew epoch 7, sent at 1234");
            for bit in 0..datagram.len() * 8 {
                datagram[bit / 8] ^= 1 << (bit % 8);
                assert!(opened(secret, &datagram).is_err(), "bit {bit}");
                datagram[bit / 8] ^= 1 << (bit % 8);
            }
            assert!(opened(secret, &datagram).is_ok());
        }
    }

    #[test]
    fn every_truncated_or_prolonged_datagram_is_noticed() {
        for secret in MODES {
            let mut datagram = sealed(secret, b"renew epoch 7, sent at 1234");
            for bytes in 0..datagram.len() {
                assert!(opened(secret, &datagram[..bytes]).is_err(), "{bytes} bytes");
            }
            datagram.push(0);
            assert!(opened(secret, &datagram).is_err());
        }
    }

    #[test]
    fn what_is_too_short_for_any_message_says_so() {
        for secret in MODES {
            assert_eq!(opened(secret, b""), Err(NotSealed::Length(0)));
        }
        assert_eq!(opened(SECRET, &[SEALED; SEAL_BYTES - 1]), Err(NotSealed::Length(28)));
        assert_eq!(opened(SECRET, &[SEALED; SEAL_BYTES]), Err(NotSealed::Forged));
        assert_eq!(opened(None, &[CHECKED; CRC_BYTES]), Err(NotSealed::Length(4)));
        assert_eq!(opened(None, &[CHECKED; CRC_BYTES + 1]), Err(NotSealed::Checksum));
    }

    #[test]
    fn another_secret_opens_nothing() {
        let datagram = sealed(SECRET, b"revoke");
        for other in [&b""[..], b"a secret that all nodes knoW"] {
            assert_eq!(opened(Some(other), &datagram), Err(NotSealed::Forged));
        }
    }

    #[test]
    fn nodes_with_and_without_a_secret_do_not_hear_each_other() {
        assert_eq!(opened(None, &sealed(SECRET, b"a")), Err(NotSealed::SecretMissing));
        assert_eq!(opened(SECRET, &sealed(None, b"a")), Err(NotSealed::SecretUnused));
    }

    #[test]
    fn a_datagram_replayed_under_another_version_is_refused() {
        for secret in MODES {
            let mut datagram = sealed(secret, b"grant");
            for version in (0..=u8::MAX).filter(|version| ![SEALED, CHECKED].contains(version)) {
                datagram[0] = version;
                assert_eq!(opened(secret, &datagram), Err(NotSealed::Version(version)));
            }
        }
        let mut checked = sealed(SECRET, b"grant");
        checked[0] = CHECKED;
        assert_eq!(opened(None, &checked), Err(NotSealed::Checksum));
    }

    #[test]
    fn the_version_is_part_of_what_is_authenticated() {
        let key = derive_key(b"secret");
        let nonce = [9; NONCE_LEN];
        let mut body = b"grant".to_vec();
        let once = Nonce::assume_unique_for_key(nonce);
        key.seal_in_place_append_tag(once, Aad::from([SEALED + 2]), &mut body).expect("sealed");
        let datagram = [&[SEALED], &nonce[..], &body].concat();
        assert_eq!(opened(Some(b"secret"), &datagram), Err(NotSealed::Forged));
    }

    #[test]
    fn the_key_is_that_of_the_rfc() {
        // HMAC-SHA256 by hand: extract with a salt of zeros, expand with the text and the byte 1.
        let hmac = |key: &[u8], text: &[u8]| {
            let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, key);
            ring::hmac::sign(&key, text)
        };
        let extracted = hmac(&[0; 32], b"secret");
        let expanded = hmac(extracted.as_ref(), &[KEY_INFO, &[1]].concat());
        let key = UnboundKey::new(&CHACHA20_POLY1305, expanded.as_ref()).expect("32 bytes");
        let mut body = b"grant".to_vec();
        let nonce = [3; NONCE_LEN];
        let once = Nonce::assume_unique_for_key(nonce);
        LessSafeKey::new(key)
            .seal_in_place_append_tag(once, Aad::from([SEALED]), &mut body)
            .expect("sealed");
        let datagram = [&[SEALED], &nonce[..], &body].concat();
        assert_eq!(opened(Some(b"secret"), &datagram).as_deref(), Ok(&b"grant"[..]));
    }

    #[test]
    fn a_nonce_is_not_used_twice() {
        let mut sealer = Sealer::new(SECRET);
        let mut out = Vec::new();
        let mut nonces = std::collections::BTreeSet::new();
        for _ in 0..1000 {
            sealer.seal(b"the same", &mut out).expect("it fits");
            assert!(nonces.insert(out[1..=NONCE_LEN].to_vec()));
        }
    }

    #[test]
    fn what_is_too_long_is_neither_sealed_nor_opened() {
        for secret in MODES {
            let mut out = b"left over".to_vec();
            let plain = vec![0; PLAIN_BYTES_MAX + 1];
            let refused = Sealer::new(secret).seal(&plain, &mut out);
            assert_eq!(refused, Err(TooLong { bytes: PLAIN_BYTES_MAX + 1 }));
            assert!(out.is_empty());
            let long = vec![SEALED; DATAGRAM_BYTES_MAX + 1];
            assert_eq!(opened(secret, &long), Err(NotSealed::Length(DATAGRAM_BYTES_MAX + 1)));
        }
    }
}
